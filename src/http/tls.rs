//! TLS: trusted roots, pins, server names, and errors that name the certificate.
