//! One event on its way through the router, and where it stands in its source's history.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cloudevents::CloudEvent;
use crate::vim::Anomaly;

/// Identity and place of an event in the history of its source.
///
/// Keys are opaque: vCenter's are signed 32-bit numbers that may wrap to negative or restart, so
/// nothing may be concluded from their order. Key and time together identify an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The source's own number of the event.
    pub key: i64,
    /// When the source recorded it (vCenter's `createdTime`, in vCenter's clock).
    pub time: Timestamp,
}

/// The number of an event in its route's ledger, in order of reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sequence(pub(crate) u64);

/// Events of one lane stay in their order; different lanes proceed in parallel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u64);

impl Lane {
    /// The lane of events that belong to no object.
    pub const COMMON: Lane = Lane(0);

    /// The lane of an object by its identity in the source, such as `vm-56`. Two objects may share
    /// a lane: that costs parallelism, never order.
    pub(crate) fn of_object(identity: &str) -> Lane {
        use std::hash::Hasher;
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(identity.as_bytes());
        Lane(hasher.finish() | 1)
    }
}

/// One event, ready for delivery.
#[derive(Clone, Debug)]
pub struct Event {
    /// Where it stands in the source.
    pub position: Position,
    /// With which events it must stay in order.
    pub lane: Lane,
    /// What the processor sends.
    pub ce: CloudEvent,
    /// What the source could not explain in it. It is delivered all the same.
    pub anomalies: Vec<Anomaly>,
    /// Who waits for its settling, if anybody does.
    pub receipt: Option<Arc<dyn Receipt>>,
}

/// What a source that owes somebody an answer gives an event on its way.
pub trait Receipt: Debug + Send + Sync {
    /// The event is settled: acknowledged, not wanted by the route, or kept as a dead letter. Quick, and
    /// waits for nobody.
    fn settled(&self);

    /// The event is given up and kept nowhere. What is said about its settling afterwards means nothing.
    fn lost(&self);
}

/// An event in the hands of a delivery: its own, or one for several deliveries to different targets.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are Own, and a box is an allocation per event")]
pub enum Carried {
    /// Of one delivery.
    Own(Event),
    /// Of several.
    Shared(Arc<Event>),
}

impl Deref for Carried {
    type Target = Event;

    fn deref(&self) -> &Event {
        match self {
            Carried::Own(event) => event,
            Carried::Shared(event) => event,
        }
    }
}

impl Carried {
    /// The same for several deliveries.
    pub(crate) fn share(self) -> Arc<Event> {
        match self {
            Carried::Own(event) => Arc::new(event),
            Carried::Shared(event) => event,
        }
    }

    /// The event itself: a copy only while others carry it too.
    pub(crate) fn into_event(self) -> Event {
        match self {
            Carried::Own(event) => event,
            Carried::Shared(event) => Arc::unwrap_or_clone(event),
        }
    }
}

/// One type of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    /// The name by which routes and functions ask for it.
    pub(crate) id: String,
    /// The source's word for how grave it is, such as `info`.
    pub(crate) category: String,
    /// A few words for people.
    pub(crate) description: String,
}

impl Event {
    /// Bytes that the event holds in memory, near enough for queue limits.
    pub(crate) fn bytes(&self) -> usize {
        self.ce.data.len() + 512
    }

    /// What people call it: its name and its number.
    pub(crate) fn title(&self) -> String {
        format!("{} (key {})", self.ce.name(), self.position.key)
    }

    /// Tells who waits for it that the event is settled.
    pub(crate) fn tell_settled(&self) {
        if let Some(receipt) = &self.receipt {
            receipt.settled();
        }
    }
}
