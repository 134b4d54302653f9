//! Keeps the topic map of a gateway current: a thread asks for the functions again and again. The
//! last good map stays in use when that fails.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::gateway::{Gateway, ListingError};
use super::topics::TopicMap;
use crate::error::{Context, Result};
use crate::limits::{LISTING_INTERVAL_MIN, THREAD_STACK_BYTES};
use crate::observe::trouble::Trouble;

/// The topic map and the thread that renews it. Dropped, the thread ends after the call in which it
/// is; nobody waits for that.
pub struct Watch {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    map: Option<Arc<TopicMap>>,
    // When the listing began that gave the map.
    asked: Option<Instant>,
    // Why the last listing failed, if it did.
    failure: Option<String>,
    // Somebody waits for a newer map.
    wanted: bool,
    stopped: bool,
}

impl Watch {
    /// Starts the thread, which asks at once and then every `refresh`; `name` is the processor's.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(name: &str, gateway: Arc<Gateway>, refresh: Duration) -> Result<Watch> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let seen = shared.clone();
        let who = format!("processor {name}");
        let thread = std::thread::Builder::new()
            .name(format!("of-topics:{name}"))
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || run(&who, &gateway, refresh, &seen))
            .context(|| "start a thread")?;
        Ok(Watch { shared, thread })
    }

    /// The last good map; waits for the first one, but not longer than `wait`.
    ///
    /// # Errors
    /// Why there is none yet.
    pub fn current(&self, wait: Duration) -> Result<Arc<TopicMap>, String> {
        let state = self.wait_for(self.shared.lock(), wait, |state| state.map.is_some());
        match &state.map {
            Some(map) => Ok(map.clone()),
            None => Err(state.failure.clone().unwrap_or_else(|| "no answer yet".to_string())),
        }
    }

    /// A map for which the gateway was asked after `since`; has it asked, and waits for it, but not
    /// longer than `wait`.
    pub fn newer(&self, since: Instant, wait: Duration) -> Option<Arc<TopicMap>> {
        let is_newer = |state: &State| state.asked.is_some_and(|asked| since < asked);
        let mut state = self.shared.lock();
        if !is_newer(&state) {
            state.wanted = true;
            self.shared.changed.notify_all();
            state = self.wait_for(state, wait, is_newer);
        }
        state.map.clone().filter(|_| is_newer(&state))
    }

    /// Whether the thread is gone, which it must not be: a panic.
    pub fn is_dead(&self) -> bool {
        self.thread.is_finished()
    }

    fn wait_for<'a>(
        &self,
        state: MutexGuard<'a, State>,
        wait: Duration,
        done: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let changed = self.shared.changed.wait_timeout_while(state, wait, |state| !done(state));
        changed.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is one assignment.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits for the time of the next listing, but not less than the shortest interval; true when
    /// there will be none.
    fn pause(&self, asked: Instant, interval: Duration) -> bool {
        let mut state = self.lock();
        loop {
            let interval = if state.wanted { LISTING_INTERVAL_MIN } else { interval };
            let left = interval.saturating_sub(asked.elapsed());
            if state.stopped || left.is_zero() {
                return state.stopped;
            }
            let changed = self.changed.wait_timeout(state, left);
            state = changed.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}

/// Lists until told to stop. After a failure it asks again soon, then less often, at the least every
/// `refresh`.
fn run(who: &str, gateway: &Gateway, refresh: Duration, shared: &Shared) {
    let trouble = Trouble::new(who);
    let mut after_failure = LISTING_INTERVAL_MIN;
    loop {
        shared.lock().wanted = false;
        let asked = Instant::now();
        let listed = gateway.list(&|| shared.is_stopped());
        if shared.is_stopped() {
            return;
        }
        let interval = match listed {
            Ok(map) => {
                trouble.over();
                after_failure = LISTING_INTERVAL_MIN;
                let mut state = shared.lock();
                let (before, now) = (state.map.clone(), Arc::new(map));
                state.map = Some(now.clone());
                state.asked = Some(asked);
                state.failure = None;
                drop(state);
                say_change(who, gateway, before.as_deref(), &now);
                refresh
            }
            Err(ListingError { reason, error }) => {
                let consequence = match shared.lock().map {
                    Some(_) => "the functions known so far stay in use, asking again",
                    None => "events wait for the list of functions, asking again",
                };
                trouble.happened(reason, &error.to_string(), consequence);
                shared.lock().failure = Some(error.to_string());
                let interval = after_failure.min(refresh);
                after_failure = interval * 2;
                interval
            }
        };
        shared.changed.notify_all();
        if shared.pause(asked, interval) {
            return;
        }
    }
}

fn say_change(who: &str, gateway: &Gateway, before: Option<&TopicMap>, now: &TopicMap) {
    if before == Some(now) {
        return;
    }
    let (functions, topics) = (now.functions(), now.topics());
    let of = gateway.text();
    match before {
        Some(_) => {
            log::info!(target: who, "subscriptions at {of} changed: {functions} functions, {} topics", topics.len())
        }
        None => {
            log::info!(target: who, "connected to OpenFaaS gateway, {functions} functions of {of} subscribe to {} topics", topics.len())
        }
    }
    for oddity in now.oddities() {
        if before.is_none_or(|before| !before.oddities().contains(oddity)) {
            log::warn!(target: who, "{oddity}; left out");
        }
    }
    if log::log_enabled!(log::Level::Debug) {
        for topic in topics {
            log::debug!(target: who, "topic {topic}: {}", now.targets(topic).join(", "));
        }
    }
}
