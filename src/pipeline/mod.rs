//! The pipeline of a route: one source joined to one processor.
//!
//! ```text
//!  poller thread       bounded channel     queue (one lock)            worker threads (n)
//!  open, read, filter --> batches --> lanes: who may go next  -->  deliver, judge, retry
//!                                     ledger: what is settled <--  settle, or dead letter
//!                                            |
//!                                     checkpointer thread: checkpoint file
//! ```
//!
//! The poller owns the source, the checkpointer owns the checkpoint file, the queue owns what is on its
//! way. A full channel blocks the poller; nothing else ever waits for anything but work, time or stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use jiff::Timestamp;

use crate::config::RouteConfig;
use crate::error::{Context, Error, Result};
use crate::event::Event;
use crate::observe::incident::Incident;
use crate::observe::snapshot::About;
use crate::observe::stats::{Pulse, RouteStats};
use crate::processor::Processor;
use crate::source::Source;
use crate::stop::{Stop, StopSource, stop_signal};

mod accepted;
pub(crate) mod batch;
pub mod checkpoint;
mod checkpointer;
pub(crate) mod clock;
pub mod dead_letter;
pub(crate) mod dispatch;
pub(crate) mod filter;
pub(crate) mod go_checkpoint;
pub(crate) mod lanes;
pub(crate) mod ledger;
mod poller;
pub(crate) mod queue;
mod recent;
pub mod retry;
pub(crate) mod view;
pub(crate) mod window;
mod worker;

#[cfg(test)]
mod tests;

use accepted::LastAccepted;
use checkpoint::CheckpointFile;
use dead_letter::DeadLetters;
use filter::Filter;
use go_checkpoint::GoCheckpoint;
use ledger::Progress;
use poller::Start;
use queue::Queue;
use retry::Promise;
use view::View;

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
    /// The state folder; none makes the route at-most-once and keeps nothing on disk.
    pub state_dir: Option<PathBuf>,
}

/// A thread of a route has come to its end.
#[derive(Debug)]
pub struct Exit {
    /// The route's place in the list of routes.
    pub(crate) route: usize,
    /// What the thread did.
    pub(crate) role: Role,
    /// Why, if not because it was told to.
    pub(crate) failure: Option<Error>,
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
    who: String,
    config: RouteConfig,
    filter: Filter,
    queue: Queue,
    stats: RouteStats,
    accepted: LastAccepted,
    promise: Promise,
    keeps_checkpoint: bool,
    replay_max: Option<Duration>,
    overlap: Duration,
    dead_letters: Option<DeadLetters>,
    source_incident: Incident,
    delivery_incident: Incident,
    dead_letter_incident: Incident,
    filter_incident: Incident,
    clock_incident: Incident,
    repeat_incident: Incident,
    stop: Stop,
}

impl Route {
    /// Reads the checkpoint and starts the threads. Every thread's end is told on `exits`, which
    /// must have room for all of them ([`Route::threads_max`]).
    ///
    /// # Errors
    /// When there are checkpoints and none can be used.
    pub fn start(index: usize, parts: RouteParts, exits: &Sender<Exit>) -> Result<Route> {
        let RouteParts { config, mut source, about, replay_max, overlap, processor, state_dir } = parts;
        let who = format!("route {}", config.name);
        let file = state_dir.as_ref().map(|folder| CheckpointFile::new(folder, &config.name));
        let start = match (&file, &state_dir) {
            (Some(file), Some(folder)) => {
                resume(&who, file, &GoCheckpoint::new(folder, &about.source_address))?.with_overlap(overlap)
            }
            _ => Start::Now,
        };
        let (stop, stop_seen) = stop_signal();
        let (end_checkpointer, end_seen) = stop_signal();
        let (queue, feed) = Queue::new(config.order);
        let shared = Arc::new(Shared {
            queue,
            stats: RouteStats::default(),
            accepted: LastAccepted::default(),
            promise: if file.is_some() { Promise::AtLeastOnce } else { Promise::AtMostOnce },
            keeps_checkpoint: file.is_some(),
            replay_max,
            overlap,
            dead_letters: state_dir
                .map(|folder| DeadLetters::new(&folder, &config.name, config.dead_letter_bytes_max)),
            source_incident: Incident::new(who.as_str()),
            delivery_incident: Incident::new(who.as_str()),
            dead_letter_incident: Incident::new(who.as_str()),
            filter_incident: Incident::new(who.as_str()),
            clock_incident: Incident::new(who.as_str()),
            repeat_incident: Incident::new(who.as_str()),
            filter: Filter::new(&config.types, config.pattern.clone()),
            stop: stop_seen,
            who,
            config,
        });
        let view = View {
            shared: shared.clone(),
            about: Arc::new(about),
            started: Timestamp::now(),
            processor: processor.clone(),
            source: source.watch(),
            read_wait_max: source.call_wait_max(),
            pulses: Vec::new(),
        };
        let address = view.about.source_address.clone();
        let mut route = Route { shared: shared.clone(), stop, end_checkpointer, view };
        if let Some(file) = file {
            let shared = shared.clone();
            let body = move |pulse: &Pulse| checkpointer::run(&shared, &file, &address, &end_seen, pulse);
            route.spawn(index, Role::Checkpointer, exits, body)?;
        }
        for _ in 0..shared.config.workers {
            let (shared, processor) = (shared.clone(), processor.clone());
            let body = move |pulse: &Pulse| {
                worker::run(&shared, &processor, pulse);
                Ok(())
            };
            route.spawn(index, Role::Worker, exits, body)?;
        }
        let body = move |pulse: &Pulse| {
            poller::run(&shared, source.as_mut(), start, feed, pulse);
            Ok(())
        };
        route.spawn(index, Role::Poller, exits, body)?;
        Ok(route)
    }

    /// How many threads a route of this configuration has.
    pub fn threads_max(config: &RouteConfig) -> usize {
        config.workers + 2
    }

    /// The threads it was started with.
    pub(crate) fn roles(&self) -> Vec<Role> {
        self.view.pulses.iter().map(|(role, _)| *role).collect()
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

    /// What can be watched of it.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.shared.config.name
    }

    fn spawn(
        &mut self,
        route: usize,
        role: Role,
        exits: &Sender<Exit>,
        body: impl FnOnce(&Pulse) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let prefix = match role {
            Role::Poller => "poll",
            Role::Worker => "work",
            Role::Checkpointer => "ckpt",
        };
        // Linux shows the first 15 bytes.
        let name = format!("{prefix}:{}", self.shared.config.name);
        let pulse = Arc::new(Pulse::new());
        let watched = pulse.clone();
        let mut notice = Notice { exits: exits.clone(), exit: Some(Exit { route, role, failure: None }) };
        std::thread::Builder::new()
            .name(name)
            .stack_size(crate::limits::THREAD_STACK_BYTES)
            .spawn(move || {
                let failure = body(&pulse).err();
                if let Some(exit) = &mut notice.exit {
                    exit.failure = failure;
                }
            })
            .context(|| format!("{}: start a thread", self.shared.who))?;
        self.view.pulses.push((role, watched));
        Ok(())
    }
}

// Tells the end of a thread however it ends, so that none vanishes unseen.
struct Notice {
    exits: Sender<Exit>,
    exit: Option<Exit>,
}

impl Drop for Notice {
    fn drop(&mut self) {
        if let Some(mut exit) = self.exit.take() {
            if std::thread::panicking() {
                exit.failure = Some(Error::new("a thread panicked; this is a fault of the router"));
            }
            let _ = self.exits.try_send(exit);
        }
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

fn resume(who: &str, file: &CheckpointFile, older: &GoCheckpoint) -> Result<Start> {
    let path = file.path().display();
    let Some(found) = file.read().context(|| who)? else { return Ok(take_over(who, file, older)) };
    if let Some(error) = found.fallback {
        log::warn!(target: who, "{error}; going on from the previous record, some events will be repeated");
    }
    let checkpoint::Checkpoint { identity, progress, .. } = found.checkpoint;
    log::info!(target: who, path:%; "found existing and valid checkpoint, resuming at {}", progress.resume());
    Ok(Start::Checkpoint { identity, progress })
}

// The first start: where the Go router stood, if it ran here.
fn take_over(who: &str, file: &CheckpointFile, older: &GoCheckpoint) -> Start {
    let path = older.path().display();
    match older.read() {
        Ok(None) => {
            let path = file.path().display();
            log::info!(target: who, path:%; "no valid checkpoint found");
            Start::Now
        }
        Ok(Some(time)) => {
            log::info!(target: who, path:%; "taking over the position of the Go router, resuming at {time}");
            Start::Checkpoint { identity: String::new(), progress: Progress::from_start(time) }
        }
        Err(error) => {
            log::warn!(
                target: who, path:%;
                "{error}; starting at the source's present: if events are missing, stop the router, set the \
                 position with `router checkpoint set -c FILE --route NAME TIME` and start it again"
            );
            Start::Now
        }
    }
}
