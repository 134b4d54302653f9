//! What a processor promises: it sends events and judges the answers. It never retries, waits or
//! forgets on its own: that is the pipeline's.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::event::{Carried, Event, Lane, Sequence};
use crate::finding::Tell;
use crate::http::client::{SendError, SendErrorKind};
use crate::limits::DELIVERY_WAIT_MAX;
use crate::observe::incident::Report;
use crate::observe::outcomes::Outcome;
use crate::template::Template;

pub(crate) mod batches;
pub mod eventbridge;
pub mod extensions;
pub(crate) mod http;
pub mod knative;
pub(crate) mod openfaas;
pub(crate) mod refreshed;
pub mod stdout;

/// Sends events to one kind of sink. Shared by the worker threads of a route.
pub trait Processor: Send + Sync {
    /// The most events that one call takes.
    fn batch_events_max(&self) -> usize {
        1
    }

    /// Sends the deliveries and pushes one verdict for each, in their order. `verdicts` comes
    /// empty. Every call ends within the processor's own deadline.
    fn deliver(&self, batch: &[Delivery], verdicts: &mut Vec<Verdict>);

    /// Delivers one event as `deliver` does, and adds a line for a person about each target and what
    /// it answered, where there is more to say than the verdict does.
    fn deliver_aloud(&self, delivery: Delivery, _lines: &mut Vec<String>) -> Option<Verdict> {
        let mut verdicts = Vec::new();
        self.deliver(&[delivery], &mut verdicts);
        verdicts.pop()
    }

    /// The longest that one call of `deliver` takes when all is well: a thread that is at it for
    /// much longer hangs.
    fn deliver_wait_max(&self) -> Duration {
        DELIVERY_WAIT_MAX
    }

    /// Whether there are several targets behind it, each of which has its own verdict.
    fn has_targets(&self) -> bool {
        false
    }

    /// When the newest delivery began that this target acknowledged, for processors that have several
    /// targets.
    fn last_accepted(&self, _target: &str) -> Option<Instant> {
        None
    }

    /// What it suffers from beside the deliveries themselves.
    fn incident(&self) -> Option<Report> {
        None
    }

    /// Counts how often the credentials have changed since the sink refused them: what waits for that need
    /// wait no longer. It may read their files.
    fn credential_changes(&self) -> u64 {
        0
    }

    /// What became of the calls to each target, for processors that have several. As many as there
    /// are names in the sink, up to a limit.
    fn target_counts(&self) -> Vec<(String, Outcome)> {
        Vec::new()
    }
}

/// A processor as a section of the configuration describes it: what a kind of processors is to the
/// router.
pub trait ProcessorSettings: Any + Debug + Send + Sync {
    /// Where events go, for people. No secret is in it.
    fn address(&self) -> String;

    /// What the log calls processors of this kind; none where there is nothing to say.
    fn product(&self) -> Option<&'static str>;

    /// What makes the body of a request, if something does.
    fn template(&self) -> Option<Arc<Template>> {
        None
    }

    /// The processor of a route, which is not connected yet; `name` is that of the configuration.
    ///
    /// # Errors
    /// When the settings cannot be used.
    fn make(&self, name: &str, route: &str, at_least_once: bool) -> Result<Arc<dyn Processor>>;

    /// Tries every step to the sink that delivers nothing. `known` gives the events that can come; none
    /// when they are not known.
    fn probe(&self, name: &str, known: &dyn Fn() -> Option<KnownEvents>, tell: Tell<'_>);
}

/// The names of all events that can reach a processor.
#[derive(Debug)]
pub struct KnownEvents {
    /// What people call their source.
    pub(crate) product: &'static str,
    /// By name.
    pub(crate) names: Vec<String>,
}

/// The reason of a failure that ends a command: who read what it prints has seen enough.
pub(crate) const READER_GONE: &str = "closed";

/// The name of one of several targets behind a processor: a function of a gateway.
pub type Target = Arc<str>;

/// Which targets a delivery is for. Processors with one target take no notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// All that want the event, but these are not called: what failed for them goes first. The verdict
    /// names those of them that want it.
    Subscribers(Vec<Target>),
    /// This one, which owes an acknowledgement, if it still wants the event.
    Owing(Target),
    /// This one, whether it wants the event or not: a dead letter on its way back.
    Named(Target),
}

/// One event on its way to a sink.
#[derive(Debug)]
pub struct Delivery {
    /// The event.
    pub event: Carried,
    /// How often it was sent before.
    pub attempts: u32,
    /// Who is meant.
    pub aim: Aim,
    /// What its route knows it by.
    pub(crate) ticket: Ticket,
}

/// The place of a delivery in its route. A processor has no use for it.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Its number in the ledger.
    pub(crate) sequence: Sequence,
    /// With which deliveries it stays in order.
    pub(crate) lane: Lane,
    /// When its first attempt failed, for giving up.
    pub(crate) failing_since: Option<Instant>,
    /// When a target first refused the sender, for telling whether it is the event.
    pub(crate) refused_since: Option<Instant>,
    /// How often its target was tried in vain since it is down, whatever the event.
    pub(crate) misses: u32,
    /// It waited too long for a target that fails: it is given up without another attempt, for this
    /// failure.
    pub(crate) expired: Option<Box<Failure>>,
}

impl Delivery {
    /// The first delivery of an event, for which nothing waits.
    pub fn new(event: Event) -> Delivery {
        let lane = event.lane;
        Delivery::of(Carried::Own(event), Sequence::default(), lane)
    }

    /// The first delivery of an event that has its place in a route.
    pub(crate) fn of(event: Carried, sequence: Sequence, lane: Lane) -> Delivery {
        let ticket =
            Ticket { sequence, lane, failing_since: None, refused_since: None, misses: 0, expired: None };
        Delivery { event, attempts: 0, aim: Aim::Subscribers(Vec::new()), ticket }
    }

    /// The target that owes it; none for a whole event.
    pub(crate) fn owing(&self) -> Option<&Target> {
        match &self.aim {
            Aim::Owing(target) => Some(target),
            Aim::Subscribers(_) | Aim::Named(_) => None,
        }
    }
}

/// What became of one delivery: delivered, if nothing failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What failed, by target.
    pub(crate) failures: Vec<Failure>,
    /// Which of several targets acknowledged it.
    pub(crate) accepted: Vec<Target>,
    /// Which want it and were not called, as they were withheld.
    pub(crate) withheld: Vec<Target>,
    /// Nobody wanted the event (no function subscribes to it): settled, but not delivered.
    pub(crate) unmatched: bool,
}

/// One failed target of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The function, or empty where the processor has one target.
    pub(crate) target: String,
    /// Whether sending the same again can help.
    pub(crate) retry: Retry,
    /// A bounded word for metrics, such as `connect`, `timeout`, `429`.
    pub reason: &'static str,
    /// For the operator: what was tried, on what, and what came back.
    pub(crate) detail: String,
}

impl Failure {
    /// Whether it says that the sink has too much to do.
    pub(crate) fn is_push_back(&self) -> bool {
        matches!(self.reason, "429" | "503" | "throttled" | "timeout")
    }
}

/// Whether sending the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It can; `after` is what the sink asked for.
    Later {
        /// The sink's `Retry-After`.
        after: Option<Duration>,
        /// Certainly no byte of the request was processed, so that even at-most-once may repeat.
        unsent: bool,
    },
    /// The sink refuses the sender or the address (credentials, rights, a redirect), which is hardly the
    /// event's fault: the route holds and tries again. Where the sink accepts another event meanwhile,
    /// it is this event after all.
    Sender {
        /// The sink's `Retry-After`.
        after: Option<Duration>,
    },
    /// The credentials are missing, unreadable, ended or wrong, which is never the event's fault: the
    /// route holds and tries again.
    Credentials {
        /// The sink's `Retry-After`.
        after: Option<Duration>,
        /// As in `Later`.
        unsent: bool,
    },
    /// The event is refused, and will be again: a dead letter.
    Never,
    /// Nothing was sent, because the targets are not known yet. This is no attempt: it is asked again
    /// soon and never given up.
    NotReady,
}

impl Verdict {
    /// Everything was acknowledged.
    pub(crate) fn delivered() -> Verdict {
        Verdict::default()
    }

    /// Whether the sink acknowledged everything.
    pub fn is_delivered(&self) -> bool {
        self.failures.is_empty() && !self.unmatched
    }

    /// Nobody wanted it.
    fn unmatched() -> Verdict {
        Verdict { unmatched: true, ..Verdict::default() }
    }

    /// The only target failed.
    pub(crate) fn failed(failure: Failure) -> Verdict {
        Verdict { failures: vec![failure], ..Verdict::default() }
    }
}

/// Whether to send again when no answer came: always, but for requests that are wrong in
/// themselves.
fn retry_of(error: &SendError) -> Retry {
    match error.kind {
        SendErrorKind::Request => Retry::Never,
        _ => Retry::Later { after: None, unsent: error.unsent },
    }
}

#[cfg(test)]
mod tests;
