//! A simulated vCenter that speaks SOAP on loopback: the stream of `router demo`, the fault script
//! of the tests, the load of the benchmarks.
//!
//! | Module | What it does |
//! | --- | --- |
//! | [`simulator`] | starts, drives and counts: what tests use |
//! | [`script`] | what goes wrong, when |
//! | [`record`], [`history`] | events and their order |
//! | [`stream`], `scenes`, `inventory` | a believable stream of events |
//! | `state`, `calls`, `properties`, `descriptions`, `soap` | sessions and collectors, the calls on them, their XML |

pub mod history;
pub(crate) mod random;
pub mod record;
pub mod script;
pub mod simulator;
pub mod stream;

mod calls;
mod descriptions;
mod inventory;
mod properties;
mod scenes;
mod soap;
mod state;
