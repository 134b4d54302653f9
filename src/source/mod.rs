//! What a source promises: a history of events that can be read from a point in time, in order.

use std::any::Any;
use std::fmt::{self, Debug};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{Format, RouteConfig};
use crate::error::{Error, Result};
use crate::event::{Event, EventType, Position};
use crate::finding::Tell;
use crate::limits::SOURCE_CALL_WAIT_DEFAULT;
use crate::observe::incident::LOGIN_REFUSED;
use crate::observe::registry::Registry;
use crate::stop::Stop;
use crate::vim::json::BrokenEvent;

pub(crate) mod horizon;
pub(crate) mod own;
pub(crate) mod span;
pub mod vcenter;
pub(crate) mod watch;
pub(crate) mod webhook;

use watch::SourceWatch;

/// A readable history of events. One thread owns it; every call ends within its deadline.
pub trait Source: Send {
    /// Connects and stands before the first event at or after `begin`; `None` means from the
    /// source's own present on. Whatever was open before is given up first.
    fn open(&mut self, begin: Option<Timestamp>) -> Result<Opened, SourceError>;

    /// The next events in the source's order, oldest first. An empty page means that nothing came.
    /// After an error the source must be opened again.
    fn read(&mut self) -> Result<Page, SourceError>;

    /// The place of an event that the source left out because the route does not want it, when all that
    /// is wanted before it was read: the route may go on from there. Told once each.
    fn passed(&mut self) -> Option<Position> {
        None
    }

    /// Waits until new events are likely, `longest` has passed, or stop.
    fn wait(&mut self, stop: &Stop, longest: Duration) -> Result<(), SourceError>;

    /// The source's present, if it can be asked for.
    fn present(&mut self) -> Result<Option<Timestamp>, SourceError> {
        Ok(None)
    }

    /// Whether the credentials are others than those of the last attempt to open it, or can be read again, so
    /// that what failed may be tried again at once.
    fn has_new_credentials(&self) -> bool {
        false
    }

    /// Where others see what the source suffers from, from any thread and while it runs.
    fn watch(&self) -> SourceWatch {
        SourceWatch::default()
    }

    /// The longest that one call of `open` or `read` takes for one answer of the other side when all is
    /// well: a thread that is at it for much longer hangs.
    fn call_wait_max(&self) -> Duration {
        SOURCE_CALL_WAIT_DEFAULT
    }

    /// Gives back what the source holds at the other side (collector, session). Best effort.
    fn close(&mut self);
}

/// A source as a section of the configuration describes it: what a kind of sources is to the router.
pub trait SourceSettings: Any + Debug + Send + Sync {
    /// Where it is, for people and for the record of a position. No secret is in it.
    fn address(&self) -> &str;

    /// What people call sources of this kind, such as `vCenter`.
    fn product(&self) -> &'static str;

    /// What a source of the router itself needs: where its routes are watched, and the state folder.
    fn attach(&self, _registry: &Arc<Registry>, _state_dir: &Path) {}

    /// Whether its events come to this process alone: then its routes run in each router of a cluster.
    fn is_local(&self) -> bool {
        false
    }

    /// The source as this route reads it, not connected yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    fn make(&self, name: &str, route: &RouteConfig) -> Result<Box<dyn Source>>;

    /// Tries every step to the source, and leaves nothing behind.
    fn probe(&self, tell: Tell<'_>);

    /// The types of events that it knows.
    ///
    /// # Errors
    /// When it cannot be asked, or does not tell.
    fn event_types(&self) -> Result<Vec<EventType>> {
        Err(Error::new(format!("{} does not tell the types of its events", self.product())))
    }

    /// The present of the source; none if it cannot be asked for.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn present(&self) -> Result<Option<Timestamp>> {
        Ok(None)
    }

    /// Why no event from here has a value where a pattern asks for one, by the path of names joined by
    /// dots; none if some event may have one, or nobody can know.
    fn missing_path(&self, _path: &str) -> Option<String> {
        None
    }

    /// An event as it could come from here, whose identity are `key` and `time` (RFC 3339).
    ///
    /// # Errors
    /// When there is none of this name.
    fn sample(&self, name: &str, _format: Format, _key: i32, _time: &str) -> Result<Event> {
        Err(Error::new(format!("there is no sample of an event {name} of {}", self.product())))
    }

    /// Where the name of an event stands in the `type` of its CloudEvent, if it stands there.
    fn name_in_type(&self, _ty: &str) -> Option<Range<usize>> {
        None
    }
}

/// What became known when a source was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Identity of the event history, such as vCenter's `instanceUuid`.
    pub(crate) identity: String,
    /// Where reading begins, in the source's clock.
    pub(crate) begin: Timestamp,
    /// The source's present.
    pub(crate) now: Timestamp,
    /// For the log: product, version, how it is read.
    pub(crate) description: String,
    /// The source's retention has passed `begin`: events between it and the oldest one that is left
    /// are gone.
    pub(crate) is_purged: bool,
}

/// Some events in order.
#[derive(Debug, Default)]
pub struct Page {
    /// The events, oldest first.
    pub(crate) items: Vec<Item>,
    /// More is waiting: read again at once.
    pub(crate) more: bool,
    /// What the source wants its operator to be warned of. Told once each.
    pub(crate) notices: Vec<String>,
}

/// One entry of a page.
#[derive(Debug)]
pub(crate) enum Item {
    /// An event that can be delivered.
    Event(Event),
    /// Something that cannot be converted: it goes to the dead letters as it came.
    Broken(BrokenEvent),
}

impl Item {
    /// Its place; none if not both halves of it could be read.
    fn position(&self) -> Option<Position> {
        match self {
            Item::Event(event) => Some(event.position),
            Item::Broken(broken) => broken.position(),
        }
    }
}

impl BrokenEvent {
    /// Its place; none if not both halves of it could be read.
    pub(crate) fn position(&self) -> Option<Position> {
        Some(Position { key: self.key?, time: self.created? })
    }
}

/// Why a source failed, and thereby how to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceFailure {
    /// Session or collector are gone, or the connection failed: open again, with back-off.
    Lost,
    /// The login was refused: wait long, so that the account is not locked.
    LoginRefused,
    /// The other side is not what the configuration says, or the account lacks a right; an
    /// administrator must act. Tried again with the longest back-off.
    Misconfigured,
}

impl SourceFailure {
    /// A bounded word for counters and incidents.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            SourceFailure::Lost => "lost",
            SourceFailure::LoginRefused => LOGIN_REFUSED,
            SourceFailure::Misconfigured => "misconfigured",
        }
    }
}

/// A failed call to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// How to go on.
    pub(crate) failure: SourceFailure,
    /// What to tell the operator.
    error: Error,
}

impl SourceError {
    /// A failure after which the source is opened again.
    pub(crate) fn lost(error: Error) -> SourceError {
        SourceError { failure: SourceFailure::Lost, error }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}
