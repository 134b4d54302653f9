//! The event router: events of vCenter and others in, CloudEvents out.
//!
//! The modules stand in the order in which an event meets them.
//!
//! | Module | What it does |
//! | --- | --- |
//! | [`cli`] | turns arguments into a command and runs it |
//! | [`config`] | `router.toml` to resolved settings, with all problems of the file at once |
//! | [`kinds`] | the table of sources and processors: one row for each kind |
//! | [`source`] | reads events: vCenter over SOAP, Horizon over REST, a webhook's senders, the router itself |
//! | [`vim`] | XML of a page to JSON of its events |
//! | [`event`], [`cloudevents`] | what travels through the router |
//! | [`pattern`] | which events a route or a rule wants |
//! | [`template`] | what of an event goes into a request |
//! | [`pipeline`] | order, back-pressure, retries, settling of a route |
//! | [`position`] | where a route stands, kept beyond the process |
//! | `cluster` | shares the routes with other routers |
//! | [`processor`] | sends an event and judges the answer |
//! | [`aws`], [`kubernetes`] | what sinks ask of these platforms: keys and signatures, addresses and tokens |
//! | [`http`] | the only place that touches sockets |
//! | [`observe`] | counters and logs |
//! | [`demo`] | a simulated vCenter for the demo, the tests and the benchmarks |

pub mod aws;
pub mod cli;
pub mod cloudevents;
mod cluster;
pub mod config;
pub mod demo;
mod error;
pub mod event;
mod finding;
mod fingerprint;
pub mod http;
mod identity;
pub mod kinds;
pub mod kubernetes;
pub mod limits;
pub mod observe;
mod order;
mod owned;
pub mod pattern;
mod pem;
pub mod pipeline;
mod plain_file;
pub mod position;
pub mod processor;
mod router;
pub mod source;
mod stop;
mod sync;
pub mod template;
mod temporary;
#[cfg(test)]
mod testing;
mod text_file;
mod version;
pub mod vim;
mod x509;
