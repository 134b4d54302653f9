//! The long poll: a thread that waits for changes of a collector's latest page and wakes the
//! poller. It carries no data, so nothing is lost when it fails: the poller then polls by itself.
//!
//! The thread has a property collector of its own, because a server allows one wait at a time on
//! each. The version token of an update stands in for all changes since it was given, so that no
//! wake-up is lost between two calls.
//!
//! The calls are paced by us (`pace`): while one may not begin yet, and while a server is of no use that
//! answers at once without news, the poller polls by itself.
//!
//! ```text
//!  making --made--> waiting --update or time--> waiting
//!    ^  \             |
//!    |   refused,   failed
//!    |   failed       |
//!    +-- resting <----+            stop, from any state: gives its collector back and ends
//! ```

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::connection::{CallOptions, Connection};
use super::fault::CallError;
use super::pace::{Pace, Worth};
use super::soap::{self, Latest, Reference, UpdateSet};
use crate::error::Error;
use crate::limits::{
    LONG_POLL_JOIN_WAIT_MAX, LONG_POLL_RETRY_WAIT_MAX, LONG_POLL_RETRY_WAIT_MIN, LONG_POLL_SECONDS_MAX,
    LONG_POLL_SECONDS_MIN, LONG_POLL_USELESS_MAX, THREAD_STACK_BYTES,
};
use crate::observe::logger::Logger;
use crate::stop::{Stop, StopSource, stop_signal};
use crate::sync;

/// The poller's side of the long poll.
pub(crate) struct LongPoll {
    logger: Logger,
    /// One token for any number of changes since the last look.
    pub(crate) signal: Receiver<()>,
    shared: Arc<Shared>,
    stop: StopSource,
    ended: Ended,
}

/// Tells when a long poll's thread has ended: the thread holds the other side.
pub(crate) struct Ended(Receiver<()>);

struct Shared {
    /// A wait is in progress, or about to begin, that will report the next change.
    waiting: AtomicBool,
    /// The property collector, so that another thread can cancel the wait.
    property_collector: Mutex<Option<Reference>>,
    /// The newest event that an update has shown.
    latest: Mutex<Option<Latest>>,
}

/// What the thread works with.
struct Waiter {
    logger: Logger,
    connection: Arc<Connection>,
    root_property_collector: Reference,
    event_collector: Reference,
    shared: Arc<Shared>,
    signal: Sender<()>,
    stop: Stop,
    seconds: u32,
    pace: Pace,
    /// The failure was said. Nothing is said again until the long poll was seen to work.
    complained: bool,
}

impl LongPoll {
    /// Starts the thread; none if the system refuses one.
    pub(crate) fn start(
        name: &str,
        connection: Arc<Connection>,
        root_property_collector: Reference,
        event_collector: Reference,
    ) -> Option<LongPoll> {
        let (signal_sender, signal) = bounded(1);
        let (ended_sender, ended) = bounded(0);
        let (stop_source, stop) = stop_signal();
        let shared = Arc::new(Shared {
            waiting: AtomicBool::new(false),
            property_collector: Mutex::new(None),
            latest: Mutex::new(None),
        });
        let mut waiter = Waiter {
            logger: Logger::source(name),
            connection,
            root_property_collector,
            event_collector,
            shared: shared.clone(),
            signal: signal_sender,
            stop,
            seconds: LONG_POLL_SECONDS_MAX,
            pace: Pace::default(),
            complained: false,
        };
        let thread = std::thread::Builder::new()
            .name(format!("vc-wake:{}", name.replace('\0', "")))
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || {
                let _ended: Sender<()> = ended_sender;
                waiter.run();
            });
        if let Err(error) = thread {
            log::warn!(target: &Logger::source(name), "start the long poll's thread: {error}; polling instead");
            return None;
        }
        let logger = Logger::source(name);
        Some(LongPoll { logger, signal, shared, stop: stop_source, ended: Ended(ended) })
    }

    /// Whether the next change will be reported. Otherwise the poller must look by itself.
    pub(crate) fn is_waiting(&self) -> bool {
        self.shared.waiting.load(Ordering::SeqCst)
    }

    /// The newest event that the long poll has shown.
    pub(crate) fn latest(&self) -> Option<Latest> {
        *sync::lock(&self.shared.latest)
    }

    /// Tells the thread to end, without waiting for it and without a call to the server.
    pub(crate) fn halt(&self) {
        self.stop.stop();
    }

    /// Cancels the wait and ends the thread. The second value is false when the session is not
    /// worth another call; the first is there when the thread hangs in a call and was left to
    /// itself: that call's deadline ends it.
    pub(crate) fn finish(self, connection: &Connection) -> (Option<Ended>, bool) {
        self.stop.stop();
        let property_collector = sync::lock(&self.shared.property_collector).take();
        let mut reachable = true;
        if let Some(property_collector) = property_collector {
            for method in ["CancelWaitForUpdates", "DestroyPropertyCollector"] {
                if reachable
                    && let Err(error) =
                        connection.ask(&soap::call(method, &property_collector), CallOptions::CLOSE)
                {
                    log::debug!(target: &self.logger, "{method}: {error}");
                    reachable = !error.ends_session();
                }
            }
        }
        // A server that cannot be told will not let go either: no use waiting for it.
        let patience = if reachable { LONG_POLL_JOIN_WAIT_MAX } else { Duration::ZERO };
        match self.ended.0.recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => (Some(self.ended), reachable),
            _ => (None, reachable),
        }
    }
}

impl Ended {
    /// Whether the thread has ended by now.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.0.try_recv(), Err(TryRecvError::Disconnected))
    }
}

impl Waiter {
    fn run(&mut self) {
        let mut rest = LONG_POLL_RETRY_WAIT_MIN;
        let mut failures = 0;
        while !self.stop.is_stopped() {
            let began = Instant::now();
            let result = self.make().and_then(|property_collector| self.wait_on(&property_collector));
            self.shared.waiting.store(false, Ordering::SeqCst);
            let Err(error) = result else { break };
            if self.stop.is_stopped() {
                break;
            }
            // Whatever happened to the session, the poller finds out by asking.
            self.wake();
            self.shorten_if_cut(&error, began.elapsed());
            if LONG_POLL_RETRY_WAIT_MAX <= began.elapsed() {
                rest = LONG_POLL_RETRY_WAIT_MIN;
                failures = 0;
            }
            failures += 1;
            // A lost server or session fails here first; the poller says so in a moment.
            if !self.complained && (1 < failures || self.is_lasting(&error)) {
                log::info!(
                    target: &self.logger,
                    "the long poll failed: {}; polling every second meanwhile",
                    self.connection.explain(&error)
                );
                self.complained = true;
            }
            self.give_back();
            self.stop.wait(rest);
            rest = (rest * 2).min(LONG_POLL_RETRY_WAIT_MAX);
        }
        self.give_back();
    }

    /// Makes a property collector that watches the latest page.
    fn make(&self) -> Result<Reference, CallError> {
        let envelope = soap::call("CreatePropertyCollector", &self.root_property_collector);
        let property_collector = self.connection.get(&envelope, CallOptions::CREATE, soap::reference)?;
        *sync::lock(&self.shared.property_collector) = Some(property_collector.clone());
        let envelope = soap::create_filter(&property_collector, &self.event_collector, "latestPage");
        self.connection.ask(&envelope, CallOptions::CREATE)?;
        Ok(property_collector)
    }

    /// Waits for changes until stop.
    fn wait_on(&mut self, property_collector: &Reference) -> Result<(), CallError> {
        let mut version = String::new();
        loop {
            let wait = self.pace.wait(Instant::now());
            if !wait.is_zero() {
                // The poller looks by itself meanwhile; what comes until the next call is told by that.
                self.shared.waiting.store(false, Ordering::SeqCst);
                self.stop.wait(wait);
                self.shared.waiting.store(!version.is_empty(), Ordering::SeqCst);
            }
            if self.stop.is_stopped() {
                return Ok(());
            }
            self.pace.begin(Instant::now());
            let envelope = soap::wait_for_updates(property_collector, &version, self.seconds);
            let answer = self.connection.get(&envelope, CallOptions::long_poll(self.seconds), soap::updates);
            let news = match answer {
                Ok(update) => {
                    // From the first answer on, the token stands for every later change.
                    self.shared.waiting.store(true, Ordering::SeqCst);
                    update.is_some_and(|update| self.take(update, &mut version))
                }
                Err(error) if error.is_fault("InvalidCollectorVersion") && !version.is_empty() => {
                    version.clear();
                    false
                }
                Err(error) => return Err(error),
            };
            match self.pace.answered(news, Instant::now()) {
                Worth::Prompt => {}
                Worth::Waited => {
                    if std::mem::take(&mut self.complained) {
                        log::info!(target: &self.logger, "the long poll works again");
                    }
                }
                Worth::Useless => return Err(useless()),
            }
        }
    }

    /// Takes over an update. Whether it shows an event that the last one did not.
    fn take(&self, update: UpdateSet, version: &mut String) -> bool {
        *version = update.version;
        let mut news = false;
        if let Some(latest) = update.latest {
            news = sync::lock(&self.shared.latest).replace(latest) != Some(latest);
        }
        if update.changed {
            self.wake();
        }
        news
    }

    /// Whether it will be no better soon. What a lost server or session does to the long poll, the poller
    /// says in a moment.
    fn is_lasting(&self, error: &CallError) -> bool {
        *error == useless() || (error.is_refusal() && !self.connection.is_accident(error))
    }

    fn wake(&self) {
        // Full means that the poller has not looked since the last token: one is enough.
        let _ = self.signal.try_send(());
    }

    /// A box between us and vCenter that cuts idle connections shows as a failed transport after
    /// some waiting: wait shorter from now on.
    fn shorten_if_cut(&mut self, error: &CallError, elapsed: Duration) {
        let cut = matches!(error, CallError::Transport(_) | CallError::Status(408 | 502 | 504, _));
        if cut
            && Duration::from_secs(LONG_POLL_SECONDS_MIN.into()) < elapsed
            && LONG_POLL_SECONDS_MIN < self.seconds
        {
            self.seconds = (self.seconds / 2).max(LONG_POLL_SECONDS_MIN);
            log::info!(target: &self.logger, "long polls last at most {} s from now on", self.seconds);
        }
    }

    /// Destroys the property collector, unless the poller has taken it over to do so.
    fn give_back(&self) {
        let taken = sync::lock(&self.shared.property_collector).take();
        if let Some(property_collector) = taken
            && let Err(error) = self
                .connection
                .ask(&soap::call("DestroyPropertyCollector", &property_collector), CallOptions::CLOSE)
        {
            log::debug!(target: &self.logger, "DestroyPropertyCollector: {error}");
        }
    }
}

/// The server answers, but not when there is something to tell.
fn useless() -> CallError {
    CallError::Garbled(Error::new(format!(
        "{LONG_POLL_USELESS_MAX} answers came at once, one after the other, and told nothing new"
    )))
}
