//! One page of events: XML in, JSON out, in one pass.
