//! What is shown about a running router, as plain values of one moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::cluster::ClusterSnapshot;
use super::outcomes::Outcome;
use super::stats::Link;
use crate::event::Position;

/// The whole process.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// When it was taken.
    pub(crate) now: Timestamp,
    /// What the process is about.
    pub(crate) phase: Phase,
    /// The process itself.
    pub(crate) process: Process,
    /// Its routes, in the order of the configuration; none before they are started.
    pub(crate) routes: Vec<RouteSnapshot>,
    /// With whom routes are shared, if with anybody.
    pub(crate) cluster: Option<ClusterSnapshot>,
}

/// What the process is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its routes are not started yet.
    Starting,
    /// Its routes run.
    Running,
    /// It was told to end.
    Stopping,
}

/// A process, as Linux sees it. What cannot be read there is absent.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Its arguments, the program itself first.
    pub(crate) arguments: Vec<String>,
    pub(crate) started: Timestamp,
    /// Memory that it occupies.
    pub(crate) resident_bytes: Option<u64>,
    /// Memory that it may use.
    pub(crate) virtual_bytes: Option<u64>,
    /// Time that it computed, in user and system mode.
    pub(crate) cpu_seconds: Option<f64>,
    /// Its open files and sockets.
    pub(crate) open_files: Option<u64>,
    /// Processes that wanted to run on this machine, over 1, 5 and 15 minutes.
    pub(crate) load: [f64; 3],
}

/// What a route is made of, which never changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub route: String,
    /// The name of its source.
    pub source: String,
    /// The source's type, such as `vcenter`.
    pub source_type: &'static str,
    /// What people call sources of that type.
    pub source_product: &'static str,
    /// Where the source is; no user information.
    pub source_address: String,
    /// The name of its processor.
    pub processor: String,
    /// The processor's type, such as `knative`.
    pub processor_type: &'static str,
    /// What the log calls processors of that type, if anything.
    pub processor_product: Option<&'static str>,
    /// Where the processor sends to; no user information.
    pub processor_address: String,
    /// When nothing gets lost in a crash.
    pub at_least_once: bool,
}

/// One route.
#[derive(Clone, Debug)]
pub struct RouteSnapshot {
    /// What it is made of.
    pub(crate) about: Arc<About>,
    pub(crate) started: Timestamp,
    /// The connection to its source.
    pub(crate) link: Link,
    /// What is wrong, the worst first.
    pub(crate) incidents: Vec<IncidentSnapshot>,
    /// The end of the last incident that is over.
    pub(crate) incident_ended: Option<Timestamp>,
    /// What was tried to get past a stall; empty when nothing was.
    pub(crate) stall_tried: &'static str,
    /// The thread that has been at one piece of work for the longest time.
    pub(crate) busy: Busy,
    /// Events read and not in the settled prefix.
    pub(crate) outstanding: usize,
    /// Events that wait for a worker.
    pub(crate) waiting: usize,
    /// Everything up to this time is settled.
    pub(crate) settled_to: Option<Timestamp>,
    /// The same as the checkpoint on disk tells it.
    pub(crate) checkpoint: Option<Timestamp>,
    /// The event that was read last.
    pub(crate) last_read: Option<Position>,
    /// From the settled time to the source's present; 0 when nothing is behind it, and none while the source
    /// cannot be seen: it is away, stalled, or has shown nothing yet.
    pub(crate) lag_seconds: Option<f64>,
    /// It is behind its source and comes nearer.
    pub(crate) catching_up: Option<CatchingUp>,
    /// The last span of events that the source no longer had.
    pub(crate) gap: Option<(Timestamp, Timestamp)>,
    /// What was counted since the start.
    pub(crate) counts: Counts,
}

/// How a route comes back to the present.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CatchingUp {
    /// Events that were read and are not settled.
    pub(crate) backlog: usize,
    /// More of them are in the source.
    pub(crate) is_reading: bool,
    /// Events that it settles in a second.
    pub(crate) events_per_second: f64,
    /// How long it will take at this pace, where that can be told.
    pub(crate) end: Option<Duration>,
}

/// A part of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RoutePart {
    /// The source cannot be opened or read.
    Source,
    /// Events of the source are known that cannot be read.
    Stall,
    /// The position cannot be saved.
    Checkpoint,
    /// The dead-letter file cannot be written.
    DeadLetters,
    /// There is no room for more of what waits for targets that fail.
    Room,
    /// Nothing can be delivered.
    Delivery,
    /// The source's clock was set back, or events are dated ahead of it.
    Clock,
    /// The source shows the same events again and again.
    Repeats,
    /// Events cannot be judged by the route's pattern.
    Filter,
}

impl RoutePart {
    /// Its name for people and programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            RoutePart::Source => "source",
            RoutePart::Stall => "stall",
            RoutePart::Checkpoint => "checkpoint",
            RoutePart::DeadLetters => "dead letters",
            RoutePart::Room => "waiting room",
            RoutePart::Delivery => "delivery",
            RoutePart::Clock => "clock",
            RoutePart::Repeats => "repeats",
            RoutePart::Filter => "filter",
        }
    }
}

/// Something that is wrong at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IncidentSnapshot {
    pub(crate) part: RoutePart,
    /// A short word for the cause.
    pub(crate) reason: String,
    /// What was tried, why it failed, what to do.
    pub(crate) detail: String,
    /// What the router does about it.
    pub(crate) consequence: String,
    /// What a person can do about it, where the part alone does not tell; otherwise empty.
    pub(crate) cure: &'static str,
    pub(crate) since: Timestamp,
    /// Failures since then.
    pub(crate) times: u64,
}

/// How long a thread has been at one piece of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Busy {
    /// What the thread does; empty when all threads wait for work.
    pub(crate) role: &'static str,
    pub(crate) time: Duration,
    /// A thread that takes longer hangs.
    pub(crate) time_max: Duration,
}

/// What a route counted since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) read: u64,
    /// Events that the processor acknowledged.
    pub(crate) delivered: u64,
    /// Events that the route's filter excluded.
    pub(crate) filtered: u64,
    /// Events that nobody subscribes to.
    pub(crate) unmatched: u64,
    /// Letters in the dead-letter file.
    pub(crate) dead_lettered: u64,
    /// Events given up without a trace on disk.
    pub(crate) lost: u64,
    /// Spans that the source no longer had.
    pub(crate) gaps: u64,
    /// Pages read, empty ones included.
    pub(crate) pages: u64,
    /// Times the source was opened again.
    pub(crate) reconnects: u64,
    /// Deliveries that were repeated, by reason.
    pub(crate) retried: Vec<(&'static str, u64)>,
    /// Times the source could not be opened or read, by reason.
    pub(crate) source_failures: Vec<(&'static str, u64)>,
    /// What the source could not fully explain, by kind.
    pub(crate) anomalies: Vec<(&'static str, u64)>,
    /// Calls of the processor that took at most each bound of the histogram, and all.
    pub(crate) delivery_buckets: Vec<u64>,
    /// How long they took together.
    pub(crate) delivery_seconds: f64,
    /// Attempts to deliver, by the event's name.
    pub(crate) names: Vec<(String, Outcome)>,
    /// Calls to each target, for processors that have several.
    pub(crate) targets: Vec<(String, Outcome)>,
}
