//! What the operator sees: the log, and a server that shows counters and states from memory.

pub(crate) mod cluster;
pub mod expvar;
pub(crate) mod flood;
pub(crate) mod incident;
pub(crate) mod log;
pub(crate) mod logger;
pub(crate) mod metrics;
pub(crate) mod outcomes;
pub(crate) mod pace;
pub(crate) mod page;
pub(crate) mod process;
pub mod registry;
pub mod server;
pub mod snapshot;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod systemd;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod words;
