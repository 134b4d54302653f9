//! A simulated vCenter that speaks SOAP on loopback: the stream of `router demo`, the fault script
//! of the tests, the load of the benchmarks.
//!
//! | Module | What it does |
//! | --- | --- |
//! | [`simulator`] | starts, drives and counts: what tests use |
//! | `script`, `effects`, `faults` | what goes wrong, when and how: with the feature `faults`, else `healthy` |
//! | [`record`], [`history`] | events and their order |
//! | [`stream`], `scenes`, `inventory` | a believable stream of events |
//! | `state`, `shared`, `calls`, `properties`, `descriptions`, `soap` | sessions and collectors, the calls on them, their XML |

pub mod fault;
#[cfg(feature = "faults")]
pub mod faults;
pub mod history;
pub(crate) mod random;
pub mod record;
#[cfg(feature = "faults")]
pub mod script;
pub mod simulator;
pub mod stream;

mod calls;
mod descriptions;
#[cfg(feature = "faults")]
mod effects;
#[cfg(not(feature = "faults"))]
mod healthy;
mod inventory;
mod properties;
mod scenes;
mod shared;
mod soap;
mod state;

#[cfg(not(feature = "faults"))]
use healthy as script;
