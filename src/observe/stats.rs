//! Counters of a route.
