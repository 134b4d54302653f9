//! A value that a thread renews again and again. The last good one stays in use while it cannot be
//! renewed, unless it is known to be no longer true.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Context, Result};
use crate::limits::{RENEW_INTERVAL_MIN, RENEW_RETRY_WAIT_MAX, THREAD_STACK_BYTES};
use crate::observe::trouble::{Report, Trouble};

/// How a value is made.
pub trait Renew: Send + 'static {
    /// The value.
    type Value: Send + Sync + 'static;

    /// Makes it anew; `last` is the one in use. Also tells after which time to do so again.
    ///
    /// # Errors
    /// Why not.
    fn renew(&self, last: Option<&Self::Value>) -> Result<(Self::Value, Duration), Failure>;
}

/// Why a value could not be renewed.
#[derive(Debug)]
pub struct Failure {
    /// A short word that stays the same while the cause does.
    pub reason: &'static str,
    /// For the operator.
    pub text: String,
    /// The value in use must not be used any more.
    pub gone: bool,
}

/// A value and the thread that renews it. Dropped, the thread ends after the call in which it is;
/// nobody waits for that.
pub struct Renewed<T> {
    shared: Arc<Shared<T>>,
    thread: JoinHandle<()>,
}

struct Shared<T> {
    trouble: Trouble,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    value: Option<Arc<T>>,
    /// Why there is none.
    failure: Option<String>,
    /// When the last renewal began.
    asked: Option<Instant>,
    /// Somebody doubts the value.
    wanted: bool,
    stopped: bool,
}

impl<T: Send + Sync + 'static> Renewed<T> {
    /// Starts the thread, which makes the first value at once. `who` begins its log lines.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(thread: String, who: &str, renew: impl Renew<Value = T>) -> Result<Renewed<T>> {
        let state = State { value: None, failure: None, asked: None, wanted: false, stopped: false };
        let shared = Arc::new(Shared {
            trouble: Trouble::new(who),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let seen = shared.clone();
        let thread = std::thread::Builder::new()
            .name(thread)
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || seen.run(&renew))
            .context(|| "start a thread")?;
        Ok(Renewed { shared, thread })
    }

    /// The value; waits for one, but not longer than `wait`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn current(&self, wait: Duration) -> Result<Arc<T>, String> {
        let is_missing = |state: &mut State<T>| state.value.is_none();
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), wait, is_missing);
        let state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        match &state.value {
            Some(value) => Ok(value.clone()),
            None => Err(state.failure.clone().unwrap_or_else(|| "no answer yet".to_string())),
        }
    }

    /// Has the value renewed soon, unless that was begun after `since`: it did not serve.
    pub fn doubt(&self, since: Instant) {
        let mut state = self.shared.lock();
        if state.asked.is_none_or(|asked| asked <= since) {
            state.wanted = true;
            self.shared.changed.notify_all();
        }
    }

    /// Whether the thread is gone, which it must not be: a panic.
    pub fn is_dead(&self) -> bool {
        self.thread.is_finished()
    }

    /// What keeps it from being renewed, if anything does.
    pub fn trouble(&self) -> Option<Report> {
        self.shared.trouble.current()
    }
}

impl<T> Drop for Renewed<T> {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every change of the state is one assignment.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn run(&self, renew: &impl Renew<Value = T>) {
        let mut after_failure = RENEW_INTERVAL_MIN;
        loop {
            let asked = Instant::now();
            let last = {
                let mut state = self.lock();
                state.wanted = false;
                state.asked = Some(asked);
                state.value.clone()
            };
            let interval = match renew.renew(last.as_deref()) {
                Ok((value, interval)) => {
                    self.trouble.over();
                    after_failure = RENEW_INTERVAL_MIN;
                    let mut state = self.lock();
                    state.value = Some(Arc::new(value));
                    state.failure = None;
                    interval
                }
                Err(failure) => {
                    self.fail(failure);
                    let interval = after_failure;
                    after_failure = (interval * 2).min(RENEW_RETRY_WAIT_MAX);
                    interval
                }
            };
            self.changed.notify_all();
            if self.pause(asked, interval) {
                return;
            }
        }
    }

    fn fail(&self, failure: Failure) {
        let mut state = self.lock();
        if failure.gone {
            state.value = None;
        }
        let consequence = match state.value {
            Some(_) => "what is known so far stays in use, asking again",
            None => "events wait, asking again",
        };
        state.failure = Some(failure.text.clone());
        drop(state);
        self.trouble.happened(failure.reason, &failure.text, consequence);
    }

    /// Waits for the time of the next renewal, but not less than the shortest interval; true when
    /// there will be none.
    fn pause(&self, asked: Instant, interval: Duration) -> bool {
        let mut state = self.lock();
        loop {
            let interval = if state.wanted { RENEW_INTERVAL_MIN } else { interval };
            let left = interval.saturating_sub(asked.elapsed());
            if state.stopped || left.is_zero() {
                return state.stopped;
            }
            let changed = self.changed.wait_timeout(state, left);
            state = changed.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Gives what the test sends, one for each renewal.
    struct Script(mpsc::Receiver<Result<(u32, Duration), Failure>>, mpsc::Sender<Option<u32>>);

    impl Renew for Script {
        type Value = u32;

        fn renew(&self, last: Option<&u32>) -> Result<(u32, Duration), Failure> {
            self.1.send(last.copied()).unwrap();
            let ended = || Failure { reason: "end", text: "the test is over".into(), gone: false };
            self.0.recv().unwrap_or_else(|_| Err(ended()))
        }
    }

    const LONG: Duration = Duration::from_secs(3600);
    const WAIT: Duration = Duration::from_secs(20);

    fn failure(gone: bool) -> Failure {
        Failure { reason: "test", text: "no".into(), gone }
    }

    #[test]
    fn values_stay_until_they_are_gone() {
        let (answers, script) = mpsc::channel();
        let (asked, asks) = mpsc::channel();
        let renewed = Renewed::start("test".into(), "test", Script(script, asked)).unwrap();
        assert_eq!(asks.recv_timeout(WAIT).unwrap(), None);
        assert_eq!(renewed.current(Duration::ZERO).unwrap_err(), "no answer yet");
        answers.send(Ok((1, LONG))).unwrap();
        assert_eq!(*renewed.current(WAIT).unwrap(), 1);
        assert!(renewed.trouble().is_none());

        // A doubt from before the renewal is settled by it.
        renewed.doubt(Instant::now() - LONG);
        renewed.doubt(Instant::now());
        assert_eq!(asks.recv_timeout(WAIT).unwrap(), Some(1));
        answers.send(Err(failure(false))).unwrap();
        assert_eq!(asks.recv_timeout(WAIT).unwrap(), Some(1));
        assert_eq!(*renewed.current(WAIT).unwrap(), 1);
        assert_eq!(renewed.trouble().unwrap().detail, "no");

        answers.send(Err(failure(true))).unwrap();
        assert_eq!(asks.recv_timeout(WAIT).unwrap(), None);
        assert_eq!(renewed.current(Duration::ZERO).unwrap_err(), "no");
        answers.send(Ok((2, LONG))).unwrap();
        drop(answers);
        assert_eq!(*renewed.current(WAIT).unwrap(), 2);
    }
}
