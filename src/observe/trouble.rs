//! Trouble: said when it begins, when its reason changes, once a minute while it lasts, and when it
//! is over. Repeats are counted, not repeated, and what comes and goes quickly is said at most every
//! few seconds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::limits::{TROUBLE_FLAPPING, TROUBLE_REMINDER};

/// What one part of a route suffers from.
#[derive(Debug)]
pub struct Trouble {
    // "route power", the start of every line.
    who: String,
    // Lets the many successes pass without a lock.
    lasting: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    said: Option<Instant>,
    unsaid: u64,
}

#[derive(Debug)]
struct Current {
    reason: String,
    detail: String,
    since: Instant,
    times: u64,
    said: bool,
}

impl Trouble {
    /// No trouble so far.
    pub fn new(who: impl Into<String>) -> Trouble {
        Trouble { who: who.into(), lasting: AtomicBool::new(false), state: Mutex::new(State::default()) }
    }

    /// It happened (again). `reason` is a short word that stays the same while the cause does;
    /// `detail` is the whole message, `consequence` what the router does about it.
    pub fn happened(&self, reason: &str, detail: &str, consequence: &str) {
        let mut state = self.lock();
        self.lasting.store(true, Ordering::Relaxed);
        let now = Instant::now();
        let quiet = state.said.map_or(Duration::MAX, |said| now - said);
        let current = state.current.get_or_insert_with(|| Current {
            reason: String::new(),
            detail: String::new(),
            since: now,
            times: 0,
            said: false,
        });
        let changed = current.reason != reason;
        current.reason = reason.to_string();
        current.detail = detail.to_string();
        current.times += 1;
        let (times, since) = (current.times, now - current.since);
        let due = if changed || !current.said { TROUBLE_FLAPPING } else { TROUBLE_REMINDER };
        if quiet < due {
            state.unsaid += 1;
            return;
        }
        current.said = true;
        state.said = Some(now);
        let unsaid = std::mem::take(&mut state.unsaid);
        drop(state);
        let mut counted = String::new();
        if 1 < times {
            counted = format!("; {times} times in {:.1} s", since.as_secs_f64());
        } else if 0 < unsaid {
            counted = format!("; {unsaid} more failures since the last message");
        }
        log::warn!(target: self.who.as_str(), "{detail}{counted}; {consequence}");
    }

    /// It works again.
    pub fn over(&self) {
        if !self.lasting.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        self.lasting.store(false, Ordering::Relaxed);
        let Some(current) = state.current.take() else { return };
        drop(state);
        if current.said {
            log::info!(target: self.who.as_str(), "works again after {:.1} s ({} failures; the last: {})", current.since.elapsed().as_secs_f64(),
                current.times,
                current.detail);
        }
    }

    /// What is wrong and since when, if anything is.
    pub fn current(&self) -> Option<(String, Duration)> {
        self.lock().current.as_ref().map(|current| (current.detail.clone(), current.since.elapsed()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_begins_changes_and_ends() {
        let trouble = Trouble::new("route power");
        trouble.over();
        trouble.happened("connect", "POST http://a: refused", "retrying");
        trouble.happened("connect", "POST http://a: refused again", "retrying");
        let (detail, _) = trouble.current().unwrap();
        assert_eq!(detail, "POST http://a: refused again");
        trouble.happened("503", "POST http://a: status 503", "retrying");
        trouble.over();
        assert_eq!(trouble.current(), None);
    }

    #[test]
    fn what_comes_and_goes_quickly_is_counted_until_it_is_said_again() {
        let trouble = Trouble::new("route power");
        for _ in 0..100 {
            trouble.happened("503", "POST http://a: status 503", "retrying");
            trouble.over();
        }
        assert_eq!(trouble.lock().unsaid, 99);
    }
}
