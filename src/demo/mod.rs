//! A simulated vCenter that speaks SOAP on loopback: the stream of `router demo`, the fault script
//! of the tests, the load of the benchmarks.
//!
//! | Module | What it does |
//! | --- | --- |
//! | [`simulator`] | starts, drives and counts: what tests use |
//! | [`script`] | what goes wrong, when |
//! | [`record`], [`history`] | events and their order |
//! | `state`, `calls`, `properties`, `soap` | sessions and collectors, the calls on them, their XML |

pub mod history;
pub mod record;
pub mod script;
pub mod simulator;

mod calls;
mod properties;
mod soap;
mod state;
