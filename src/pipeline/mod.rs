//! The pipeline of a route: one source joined to one processor.
//!
//! ```text
//!  poller thread       bounded channel     queue (one lock)            worker threads (n)
//!  open, read, filter --> batches --> lanes: who may go next  -->  deliver, judge, retry
//!                                     ledger: what is settled <--  settle, or dead letter
//!                                            |
//!                                     checkpointer thread: the position
//! ```
//!
//! The poller owns the source, the checkpointer owns the position's record, the queue owns what is on its
//! way. A full channel blocks the poller; nothing else ever waits for anything but work, time or stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crossbeam_channel::Sender;
use jiff::Timestamp;
use log::Level;

use crate::config::RouteConfig;
use crate::error::{Context, Error, Result};
use crate::event::Event;
use crate::limits::WORKERS_AUTO_MAX;
use crate::observe::flood::Flood;
use crate::observe::incident::Incident;
use crate::observe::logger::Logger;
use crate::observe::snapshot::About;
use crate::observe::stats::{Pulse, RouteStats};
use crate::position::checkpointer::{self, Moving, Unsaved};
use crate::position::tenure::Tenure;
use crate::position::{Positions, SaveError};
use crate::processor::Processor;
use crate::source::Source;
use crate::stop::{Stop, StopSource, stop_signal};

mod accepted;
mod awaited;
pub(crate) mod batch;
pub(crate) mod clock;
mod concurrency;
pub(crate) mod crew;
pub mod dead_letter;
pub(crate) mod dispatch;
mod failing;
pub(crate) mod filter;
pub(crate) mod lanes;
pub(crate) mod ledger;
pub(crate) mod mixed;
mod outage;
mod poller;
pub(crate) mod queue;
mod recent;
pub mod retry;
mod room;
pub(crate) mod rooms;
mod staff;
pub(crate) mod threads;
pub(crate) mod view;
mod worker;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use accepted::LastAccepted;
use awaited::Awaited;
use dead_letter::DeadLetters;
use failing::Failing;
use filter::Filter;
use poller::Start;
use queue::Queue;
use retry::Promise;
pub use staff::Staff;
use threads::Threads;
use view::View;
use worker::Hiring;

/// What a route is made of.
pub struct RouteParts {
    /// `[route.NAME]`.
    pub config: RouteConfig,
    /// Where its events come from.
    pub source: Box<dyn Source>,
    /// What stands in the checkpoint and in the status about it.
    pub about: About,
    /// `replay_max` of the source.
    pub replay_max: Option<Duration>,
    /// `overlap` of the source.
    pub overlap: Duration,
    /// Where they go.
    pub processor: Arc<dyn Processor>,
    /// What keeps its position, if anything does.
    pub positions: Option<Box<dyn Positions>>,
    /// The right to it.
    pub tenure: Arc<dyn Tenure>,
    /// The workers of the process, for a route that names no number. The router sets its own.
    pub staff: Arc<Staff>,
    /// The folder of its dead letters; without one they are lost, and it is at-most-once.
    pub letters_dir: Option<PathBuf>,
}

/// Where the ends of a route's threads are told.
#[derive(Clone, Debug)]
pub struct Exits {
    slot: usize,
    generation: u64,
    sender: Sender<Exit>,
}

impl Exits {
    /// Those of the route that runs as this generation of this slot. A thread that ends waits until there
    /// is room for the news.
    pub fn of_slot(slot: usize, generation: u64, sender: Sender<Exit>) -> Exits {
        Exits { slot, generation, sender }
    }

    fn tell(&self, role: Role, cause: ExitCause) {
        let (slot, generation) = (self.slot, self.generation);
        // Nobody may be left to hear it.
        let _ = self.sender.send(Exit { slot, generation, role, cause });
    }
}

/// A thread of a route has come to its end.
#[derive(Debug)]
pub struct Exit {
    /// The place of its route in the process.
    pub(crate) slot: usize,
    /// The how-many-eth route of this place it belongs to.
    pub(crate) generation: u64,
    /// What the thread did.
    pub(crate) role: Role,
    /// Why it ended.
    pub(crate) cause: ExitCause,
}

/// Why a thread of a route has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ExitCause {
    /// It was told to, or nothing more is to be done.
    Told,
    /// There is no work for it now.
    Idle,
    /// The right to the route is lost.
    TenureLost,
    /// It could not go on.
    Failed(Error),
}

/// The threads of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reads.
    Poller,
    /// Delivers.
    Worker,
    /// Writes checkpoints.
    Checkpointer,
}

/// A running route.
pub struct Route {
    shared: Arc<Shared>,
    stop: StopSource,
    end_checkpointer: StopSource,
    view: View,
}

// What the threads of a route share.
struct Shared {
    logger: Logger,
    config: RouteConfig,
    filter: Filter,
    queue: Queue,
    stats: RouteStats,
    accepted: LastAccepted,
    awaited: Awaited,
    // Of its processor, as far as the waits know of them.
    credential_changes: AtomicU64,
    promise: Promise,
    keeps_checkpoint: bool,
    replay_max: Option<Duration>,
    overlap: Duration,
    dead_letters: Option<DeadLetters>,
    source_incident: Incident,
    delivery_incident: Failing,
    room_incident: Incident,
    dead_letter_incident: Incident,
    checkpoint_incident: Incident,
    filter_incident: Incident,
    clock_incident: Incident,
    repeat_incident: Incident,
    tenure: Arc<dyn Tenure>,
    // Events that are given up, and keys that went back.
    given_up: Flood,
    keys_back: Flood,
    stop: Stop,
}

impl Route {
    /// Reads the checkpoint and starts the threads. Every thread's end is told on `exits`.
    ///
    /// # Errors
    /// When there are checkpoints and none can be used.
    pub fn start(parts: RouteParts, exits: &Exits) -> Result<Route> {
        let RouteParts {
            config,
            mut source,
            about,
            replay_max,
            overlap,
            processor,
            mut positions,
            tenure,
            staff,
            letters_dir,
        } = parts;
        let logger = Logger::route(&config.name);
        let standing = positions.as_deref_mut().map(|positions| positions.load(&logger)).transpose();
        let start = Start::at(standing.context(|| logger.to_string())?.flatten(), overlap);
        let (stop, stop_seen) = stop_signal();
        let (end_checkpointer, end_seen) = stop_signal();
        let (queue, mut feed) = Queue::new(&config, &staff, processor.has_targets());
        let threads = Threads::new(&config.name, exits);
        let given_up = if letters_dir.is_some() { "dead letter" } else { "lost event" };
        let shared = Arc::new(Shared {
            queue,
            stats: RouteStats::default(),
            accepted: LastAccepted::default(),
            awaited: Awaited::start(),
            credential_changes: AtomicU64::new(0),
            promise: if letters_dir.is_some() { Promise::AtLeastOnce } else { Promise::AtMostOnce },
            keeps_checkpoint: positions.is_some(),
            replay_max,
            overlap,
            dead_letters: letters_dir
                .map(|folder| DeadLetters::new(&folder, &config.name, config.dead_letter_bytes_max)),
            source_incident: Incident::new(&logger),
            delivery_incident: Failing::new(&logger),
            room_incident: Incident::new(&logger),
            dead_letter_incident: Incident::new(&logger),
            checkpoint_incident: Incident::new(&logger),
            filter_incident: Incident::new(&logger),
            clock_incident: Incident::new(&logger),
            repeat_incident: Incident::new(&logger),
            given_up: Flood::new(&logger, Level::Error, given_up),
            keys_back: Flood::new(&logger, Level::Warn, "step back of keys"),
            filter: Filter::new(&config.types, config.pattern.clone()),
            tenure,
            stop: stop_seen,
            logger,
            config,
        });
        let view = View {
            shared: shared.clone(),
            about: Arc::new(about),
            started: Timestamp::now(),
            processor: processor.clone(),
            source: source.watch(),
            read_wait_max: source.call_wait_max(),
            threads: threads.clone(),
            pace: Arc::default(),
        };
        let route = Route { shared: shared.clone(), stop, end_checkpointer, view };
        if let Some(positions) = positions {
            route.spawn_checkpointer(positions, end_seen)?;
        }
        feed.set_hire(Hiring::when_needed(&shared, processor, &threads));
        let body = move |pulse: &Pulse| poller::run(&shared, source.as_mut(), start, feed, pulse);
        threads.spawn(Role::Poller, body)?;
        Ok(route)
    }

    /// How many threads a route of this configuration has.
    pub fn threads_max(config: &RouteConfig) -> usize {
        config.workers.unwrap_or(WORKERS_AUTO_MAX) + 3
    }

    /// How many of its threads of this role live.
    pub(crate) fn count(&self, role: Role) -> usize {
        self.view.threads.count(role)
    }

    /// Stops reading. Deliveries in flight are finished; with at-most-once those that wait too,
    /// because nothing else remembers them.
    pub fn stop(&self) {
        self.stop.stop();
        // Without a checkpoint the workers go on to the end of the stream, which is the poller's.
        if self.shared.promise == Promise::AtLeastOnce {
            self.shared.queue.close();
        }
    }

    /// Gives up what still waits for delivery.
    pub(crate) fn close(&self) {
        self.shared.queue.close();
    }

    /// Lets the checkpointer write its last record and end.
    pub(crate) fn end_checkpointer(&self) {
        self.end_checkpointer.stop();
    }

    /// The right to it.
    pub(crate) fn tenure(&self) -> &dyn Tenure {
        self.shared.tenure.as_ref()
    }

    /// What can be watched of it.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    fn spawn_checkpointer(&self, mut positions: Box<dyn Positions>, end: Stop) -> Result<()> {
        let shared = self.shared.clone();
        let body = move |pulse: &Pulse| {
            let (positions, tenure) = (positions.as_mut(), shared.tenure.as_ref());
            match checkpointer::run(shared.as_ref(), &shared.logger, positions, tenure, &end, pulse) {
                Ok(()) => ExitCause::Told,
                Err(SaveError::Lost) => ExitCause::TenureLost,
                Err(error) => ExitCause::Failed(error.into()),
            }
        };
        self.view.threads.spawn(Role::Checkpointer, body)
    }
}

impl Shared {
    // What cannot be judged is delivered: a filter must not lose anything.
    fn wants(&self, event: &Event) -> bool {
        match self.filter.wants(event) {
            Ok(wanted) => {
                self.filter_incident.over();
                wanted
            }
            Err(error) => {
                let detail = format!("event {}: {error}", event.position.key);
                self.filter_incident.happened("pattern", &detail, "delivering it unfiltered");
                true
            }
        }
    }
}

impl Moving for Shared {
    fn wait_moved(&self) -> Option<Unsaved> {
        self.queue.wait_moved()
    }

    fn saved(&self, version: u64, time: Timestamp) {
        self.queue.recorded(version);
        self.stats.checkpointed_to(time);
        self.checkpoint_incident.over();
    }

    fn not_saved(&self, error: &Error) {
        self.queue.hold();
        self.checkpoint_incident.happened("no room", &error.to_string(), "the route holds and tries again");
    }

    fn not_reached(&self, error: &Error) {
        let consequence = "events go on, and more of them are repeated if the route moves";
        self.checkpoint_incident.happened("no answer", &error.to_string(), consequence);
    }
}
