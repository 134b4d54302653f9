//! Several routers that share their routes through an engine that is there: `[cluster]`.
//!
//! A lease for each route tells who is alive; a record for each route holds its position and is the fence:
//! whoever takes a route over replaces the record first of all, and every later write of the owner before
//! is refused. Safety rests on that alone, never on a clock; clocks only keep two from working at a time.
//!
//! | Room | What it does |
//! | --- | --- |
//! | `lease` | leases, records and what is asked for them, as values |
//! | `tenancy` | one route: taken, sealed, held, left |
//! | `saving`, `presence` | the record of an owner; the lease of a member |
//! | `sight`, `spread`, `member` | what is seen of all leases; who has how many routes; both together |
//! | `engine`, `engines` | what keeps leases and records: `kubernetes`, `etcd` |
//! | `right`, `positions` | what a route that runs has of it: its tenure, its positions |
//! | `claim` | a route in the hands of a command |
//! | `shared` | what the threads share, and what they need of whoever runs the routes |
//! | `owner`, `replica` | the threads: one for each route that is owned, one that looks at all of them |

pub(crate) mod claim;
mod engine;
pub(crate) mod engines;
mod etcd;
mod kubernetes;
pub(crate) mod lease;
mod member;
mod owner;
mod positions;
mod presence;
pub(crate) mod replica;
mod right;
mod saving;
pub(crate) mod shared;
mod sight;
mod spread;
mod tenancy;

#[cfg(test)]
mod tests;
