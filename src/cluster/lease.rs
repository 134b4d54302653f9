//! What the routers of a cluster share in their engine: leases and records. Pure data.

use std::time::Duration;

/// Time since a process began, by its own clock, which never goes back.
pub(crate) type Moment = Duration;

/// A state of an object in the engine: every change gives it another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Tells an object from another that had its name before.
    pub(crate) uid: String,
    /// Tells its states apart.
    pub(crate) number: String,
}

/// An object as the engine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept<T> {
    /// Its state.
    pub(crate) version: Version,
    /// What it says.
    pub(crate) value: T,
}

/// What a lease is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// The route of this name: its holder is who may run it.
    Route(String),
    /// The member of this name: its holder is alive.
    Member(String),
}

/// Who holds something, and shows again and again that it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// As [`holder`] makes it; empty when nobody is.
    pub(crate) holder: String,
    /// A lease that nobody has changed for this time is over.
    pub(crate) lasts: Duration,
    /// How many holders there were.
    pub(crate) term: u64,
}

/// Where a route stands, and who may write that: whoever takes the route over writes it first of all, and
/// with that every write of the one before is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who has taken the route over; empty where nobody ever has.
    pub(crate) holder: String,
    /// The term of its lease.
    pub(crate) term: u64,
    /// How long its lease lasts: the lease itself may be missing.
    pub(crate) lasts: Duration,
    /// The position (`position::record`); none where none is known, or none is kept.
    pub(crate) text: Option<String>,
}

/// What an engine is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// The lease of the route.
    ReadLease,
    /// Puts this in the place of that version; without one, where there is none.
    WriteLease(Option<Version>, Lease),
    /// The record of the route.
    ReadRecord,
    /// Puts this in the place of that version; without one, where there is none.
    WriteRecord(Option<Version>, Record),
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The lease that was read, if there is one.
    Lease(Option<Kept<Lease>>),
    /// The record that was read, if there is one.
    Record(Option<Kept<Record>>),
    /// It is written, and has this version now.
    Written(Version),
    /// Nothing is written: there is another version, or none.
    Changed,
    /// Nobody knows. It is not asked again before this time is over.
    Failed(Duration),
}

/// Who a run of the router is: its name, the key of its state folder, and what no other run has.
pub(crate) fn holder(name: &str, node: &str, run: &str) -> String {
    format!("{name}_{node}_{run}")
}

/// Holder without its run: the same for all runs that share a state folder, one after the other.
pub(crate) fn node_of(holder: &str) -> &str {
    holder.rsplit_once('_').map_or(holder, |(node, _)| node)
}

/// The name of a holder, for people.
pub(crate) fn name_of(holder: &str) -> &str {
    let node = node_of(holder);
    node.rsplit_once('_').map_or(node, |(name, _)| name)
}

/// How long things take in a cluster, all by the time that a lease lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Others take a route over whose lease did not change for so long.
    pub(crate) lease: Duration,
    /// An owner stops by itself so long after it has sent its last successful renewal. Two thirds: clocks
    /// may run at rates that differ by half.
    pub(crate) hold: Duration,
    /// From one renewal to the next.
    pub(crate) renewal: Duration,
    /// From a renewal that failed to the next.
    pub(crate) retry: Duration,
    /// From one look at all leases to the next.
    pub(crate) look: Duration,
    /// So long no member may have come or gone before a route is given away.
    pub(crate) settle: Duration,
}

impl Rules {
    /// Those of a lease that lasts so long.
    pub(crate) fn of(lease: Duration) -> Rules {
        Rules {
            lease,
            hold: lease * 2 / 3,
            renewal: lease / 5,
            retry: lease / 15,
            look: lease * 2 / 15,
            settle: lease * 2,
        }
    }
}
