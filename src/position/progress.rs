//! How far a route has come: what a record has to say. Pure data.

use jiff::{SignedDuration, Timestamp};

use crate::cloudevents::CloudEvent;
use crate::position::window::Window;

/// What a checkpoint has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Nothing before this time was ever wanted.
    pub(crate) start: Timestamp,
    /// Up to this time everything is settled that was issued; but for what is late, which lies within
    /// the overlap.
    pub(crate) time: Timestamp,
    /// The settled events near `time` and beyond it.
    pub settled: Window,
    /// The last event of the settled prefix, if one is known by name.
    pub(crate) last: Option<EventName>,
    /// How far the source's clock was ahead of this machine's: a step of it is found after a restart.
    pub(crate) clock_offset: SignedDuration,
}

impl Progress {
    /// Nothing is settled, and everything from this time on is wanted.
    pub(crate) fn from_start(start: Timestamp) -> Progress {
        Progress {
            start,
            time: start,
            settled: Window::default(),
            last: None,
            clock_offset: SignedDuration::ZERO,
        }
    }

    /// Where reading begins when the router starts from this progress.
    pub(crate) fn resume(&self) -> Timestamp {
        self.settled.overlap_before(self.time).max(self.start)
    }
}

/// What an event is called: for people who compare the position with what their sink received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventName {
    /// Its class, or the eventTypeId of EventEx and ExtendedEvent.
    pub(crate) ty: String,
    /// The id of its CloudEvent.
    pub(crate) id: String,
}

impl From<CloudEvent> for EventName {
    fn from(mut ce: CloudEvent) -> EventName {
        // Moved where it can be: this happens for every event, under the route's lock.
        let ty = ce.subject.take().unwrap_or_else(|| ce.name().to_string());
        EventName { ty, id: ce.id }
    }
}
