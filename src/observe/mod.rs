//! Counters and logs: what the operator sees.

pub mod log;
pub mod stats;
pub mod trouble;
