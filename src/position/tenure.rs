//! The right to a route: who holds it reads, delivers and saves, and nobody else does.
//!
//! It is asked before a batch is delivered, before the source is opened, after each page that was read and
//! before each record is saved. Where it is lost the route ends, and what it has read is left to whoever
//! holds the right now.

/// The right of this process to one route, until it is lost.
pub trait Tenure: Send + Sync {
    /// Whether the right is still held. It is asked on the way of every event, so it answers from memory;
    /// once it was lost it stays lost: what comes next is another tenure.
    fn is_valid(&self) -> bool;

    /// The route has come to its end: nothing is read, delivered or saved under it any more.
    fn ended(&self) {}
}

/// The tenure of a process that shares its routes with no other: the lock of the state folder keeps others
/// out. It lasts.
#[derive(Debug)]
pub struct Unshared;

impl Tenure for Unshared {
    fn is_valid(&self) -> bool {
        true
    }
}
