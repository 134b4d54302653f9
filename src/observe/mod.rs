//! What the operator sees: the log, and a server that shows counters and states from memory.

pub mod expvar;
pub mod incident;
pub mod log;
pub mod metrics;
pub mod outcomes;
pub mod page;
pub mod process;
pub mod registry;
pub mod server;
pub mod snapshot;
pub mod stats;
pub mod status;
pub mod systemd;
#[cfg(test)]
pub(crate) mod testing;
