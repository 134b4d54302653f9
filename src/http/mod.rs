//! HTTP: the only place that touches sockets.

pub(crate) mod answer;
pub mod client;
mod connect;
mod dns;
mod endpoint;
mod fold;
mod proxy;
pub mod server;
mod socket;
#[cfg(test)]
pub(crate) mod testing;
mod tls;
mod wire;
