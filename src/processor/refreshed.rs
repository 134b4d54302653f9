//! A value that a thread renews again and again. The last good one stays in use while it cannot be
//! refreshed, unless it is known to be no longer true.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Context, Result};
use crate::limits::{CREDENTIALS_TICK, REFRESH_INTERVAL_MIN, REFRESH_RETRY_WAIT_MAX, THREAD_STACK_BYTES};
use crate::observe::incident::{Incident, Report};
use crate::observe::logger::Logger;

/// How a value is made.
pub(crate) trait Refresh: Send + 'static {
    type Value: Send + Sync + 'static;
    /// What goes on while it cannot be refreshed, in the words of the log.
    const STALE_TEXT: &'static str = "what is known so far stays in use";
    /// What does not while there is none.
    const EMPTY_TEXT: &'static str = "events wait";

    /// Makes it anew; `last` is the one in use. Also tells after which time to do so again. What takes
    /// several calls looks between them whether `is_ended`: then any failure will do.
    ///
    /// # Errors
    /// Why not.
    fn refresh(
        &self,
        last: Option<&Self::Value>,
        is_ended: &dyn Fn() -> bool,
    ) -> Result<(Self::Value, Duration), RefreshError>;

    /// Counts how often the credentials have changed since they were refused: then a failure is tried again
    /// soon. It may read their files.
    fn credential_changes(&self) -> u64 {
        0
    }

    /// The longest wait after a failure.
    fn retry_wait_max(&self) -> Duration {
        REFRESH_RETRY_WAIT_MAX
    }
}

/// Why a value could not be refreshed.
#[derive(Debug)]
pub(crate) struct RefreshError {
    /// A short word that stays the same while the cause does.
    pub reason: &'static str,
    /// For the operator.
    pub(crate) text: String,
    /// The value in use must not be used any more.
    pub(crate) gone: bool,
}

/// A value and the thread that renews it. Dropped, the thread ends after the call in which it is;
/// nobody waits for that.
pub(crate) struct Refreshed<T> {
    shared: Arc<Shared<T>>,
    thread: JoinHandle<()>,
}

struct Shared<T> {
    incident: Incident,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    value: Option<Arc<T>>,
    /// When the renewal began that gave the value.
    made: Option<Instant>,
    /// Why the last one failed, if it did.
    failure: Option<String>,
    /// When the last renewal began.
    asked: Option<Instant>,
    /// Somebody doubts the value.
    wanted: bool,
    stopped: bool,
}

impl<T: Send + Sync + 'static> Refreshed<T> {
    /// Starts the thread, which makes the first value at once.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        thread: String,
        logger: &Logger,
        renew: impl Refresh<Value = T>,
    ) -> Result<Refreshed<T>> {
        let state =
            State { value: None, made: None, failure: None, asked: None, wanted: false, stopped: false };
        let shared = Arc::new(Shared {
            incident: Incident::new(logger),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let seen = shared.clone();
        let thread = std::thread::Builder::new()
            .name(thread)
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || seen.run(&renew))
            .context(|| "start a thread")?;
        Ok(Refreshed { shared, thread })
    }

    /// The value; waits for one, but not longer than `wait`.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn current(&self, wait: Duration) -> Result<Arc<T>, String> {
        let state = self.wait_for(self.shared.lock(), wait, |state| state.value.is_some());
        match &state.value {
            Some(value) => Ok(value.clone()),
            None => Err(state.failure.clone().unwrap_or_else(|| "no answer yet".to_string())),
        }
    }

    /// A value whose renewal began after `since`; has it refreshed and waits for that, but not longer
    /// than `wait`.
    pub(crate) fn newer(&self, since: Instant, wait: Duration) -> Option<Arc<T>> {
        let is_newer = |state: &State<T>| state.made.is_some_and(|made| since < made);
        let mut state = self.shared.lock();
        if !is_newer(&state) {
            state.wanted = true;
            self.shared.changed.notify_all();
            state = self.wait_for(state, wait, is_newer);
        }
        state.value.clone().filter(|_| is_newer(&state))
    }

    /// Has the value refreshed soon, unless that was begun after `since`: it did not serve.
    pub(crate) fn invalidate(&self, since: Instant) {
        let mut state = self.shared.lock();
        if state.asked.is_none_or(|asked| asked <= since) {
            state.wanted = true;
            self.shared.changed.notify_all();
        }
    }

    /// Whether the thread is gone, which it must not be: a panic.
    pub(crate) fn is_dead(&self) -> bool {
        self.thread.is_finished()
    }

    /// What keeps it from being refreshed, if anything does.
    pub(crate) fn incident(&self) -> Option<Report> {
        self.shared.incident.current()
    }

    fn wait_for<'a>(
        &self,
        state: MutexGuard<'a, State<T>>,
        wait: Duration,
        is_done: impl Fn(&State<T>) -> bool,
    ) -> MutexGuard<'a, State<T>> {
        let waited = self.shared.changed.wait_timeout_while(state, wait, |state| !is_done(state));
        crate::sync::unpoisoned(waited).0
    }
}

impl<T> Drop for Refreshed<T> {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every change of the state is one assignment.
        crate::sync::lock(&self.state)
    }

    fn run<R: Refresh<Value = T>>(&self, renew: &R) {
        let mut after_failure = REFRESH_INTERVAL_MIN;
        let changes_seen = Cell::new(0);
        loop {
            let asked = Instant::now();
            let last = {
                let mut state = self.lock();
                state.wanted = false;
                state.asked = Some(asked);
                state.value.clone()
            };
            let refreshed = renew.refresh(last.as_deref(), &|| self.lock().stopped);
            if self.lock().stopped {
                return;
            }
            let has_failed = refreshed.is_err();
            let interval = match refreshed {
                Ok((value, interval)) => {
                    self.incident.over();
                    after_failure = REFRESH_INTERVAL_MIN;
                    let mut state = self.lock();
                    (state.value, state.made) = (Some(Arc::new(value)), Some(asked));
                    state.failure = None;
                    interval
                }
                Err(failure) => {
                    self.fail::<R>(failure);
                    let interval = after_failure.min(renew.retry_wait_max());
                    after_failure = interval * 2;
                    interval
                }
            };
            self.changed.notify_all();
            let has_news = || {
                let changes = renew.credential_changes();
                changes != changes_seen.replace(changes)
            };
            if self.pause(asked, interval, has_failed.then_some(&has_news as &dyn Fn() -> bool)) {
                return;
            }
        }
    }

    fn fail<R: Refresh>(&self, failure: RefreshError) {
        let mut state = self.lock();
        if failure.gone {
            state.value = None;
        }
        let consequence = if state.value.is_some() { R::STALE_TEXT } else { R::EMPTY_TEXT };
        state.failure = Some(failure.text.clone());
        drop(state);
        let consequence = format!("{consequence}, asking again");
        match failure.reason {
            "401" | "402" | "403" | "407" | "credentials" | "signature" | "denied" => {
                self.incident.demands(failure.reason, &failure.text, &consequence);
            }
            reason => self.incident.happened(reason, &failure.text, &consequence),
        }
    }

    /// Waits for the time of the next renewal, or until `has_news`, but not less than the shortest
    /// interval; true when there will be none.
    fn pause(&self, asked: Instant, interval: Duration, has_news: Option<&dyn Fn() -> bool>) -> bool {
        let tick = has_news.map_or(Duration::MAX, |_| CREDENTIALS_TICK);
        loop {
            let state = self.lock();
            let interval = if state.wanted { REFRESH_INTERVAL_MIN } else { interval };
            let left = interval.saturating_sub(asked.elapsed());
            if state.stopped || left.is_zero() {
                return state.stopped;
            }
            drop(crate::sync::unpoisoned(self.changed.wait_timeout(state, left.min(tick))));
            if has_news.is_some_and(|has_news| has_news()) {
                self.lock().wanted = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Gives what the test sends, one for each renewal.
    struct Script(mpsc::Receiver<Result<(u32, Duration), RefreshError>>, mpsc::Sender<Option<u32>>);

    impl Refresh for Script {
        type Value = u32;

        fn refresh(&self, last: Option<&u32>, _: &dyn Fn() -> bool) -> Result<(u32, Duration), RefreshError> {
            self.1.send(last.copied()).unwrap();
            let ended = || RefreshError { reason: "end", text: "the test is over".into(), gone: false };
            self.0.recv().unwrap_or_else(|_| Err(ended()))
        }
    }

    const LONG: Duration = Duration::from_secs(3600);
    const WAIT: Duration = Duration::from_secs(20);

    fn failure(gone: bool) -> RefreshError {
        RefreshError { reason: "test", text: "no".into(), gone }
    }

    #[test]
    fn values_stay_until_they_are_gone() {
        let (answers, script) = mpsc::channel();
        let (asked, asks) = mpsc::channel();
        let refreshed =
            Refreshed::start("test".into(), &Logger::processor("test"), Script(script, asked)).unwrap();
        assert_eq!(asks.recv_timeout(WAIT).unwrap(), None);
        assert_eq!(refreshed.current(Duration::ZERO).unwrap_err(), "no answer yet");
        answers.send(Ok((1, LONG))).unwrap();
        assert_eq!(*refreshed.current(WAIT).unwrap(), 1);
        assert!(refreshed.incident().is_none());

        // A doubt from before the renewal is settled by it.
        refreshed.invalidate(Instant::now() - LONG);
        refreshed.invalidate(Instant::now());
        assert_eq!(asks.recv_timeout(WAIT).unwrap(), Some(1));
        answers.send(Err(failure(false))).unwrap();
        assert_eq!(asks.recv_timeout(WAIT).unwrap(), Some(1));
        assert_eq!(*refreshed.current(WAIT).unwrap(), 1);
        assert_eq!(refreshed.incident().unwrap().detail, "no");

        answers.send(Err(failure(true))).unwrap();
        assert_eq!(asks.recv_timeout(WAIT).unwrap(), None);
        assert_eq!(refreshed.current(Duration::ZERO).unwrap_err(), "no");
        answers.send(Ok((2, LONG))).unwrap();
        assert_eq!(*refreshed.current(WAIT).unwrap(), 2);
        let began = Instant::now();
        assert_eq!(refreshed.newer(began - LONG, Duration::ZERO).as_deref(), Some(&2), "new enough");
        assert_eq!(refreshed.newer(began, Duration::ZERO), None);
        answers.send(Ok((3, LONG))).unwrap();
        assert_eq!(refreshed.newer(began, WAIT).as_deref(), Some(&3));
        drop(answers);
    }
}
