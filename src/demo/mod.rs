//! A simulated vCenter that speaks SOAP on loopback.
