//! HTTP: the only place that touches sockets.

pub mod client;
pub mod server;
pub mod tls;
