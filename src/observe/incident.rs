//! Incident: said when it begins, when its reason changes, once a minute while it lasts, and when it
//! is over. Repeats are counted, not repeated, and what comes and goes quickly is said at most every
//! few seconds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::limits::{TROUBLE_FLAPPING, TROUBLE_REMINDER};

/// The reason of events that are dated after their source's present.
pub(crate) const DATED_AHEAD: &str = "dated ahead";
/// The reason of a source that refuses the account.
pub(crate) const LOGIN_REFUSED: &str = "login refused";

/// What one part of a route suffers from.
#[derive(Debug)]
pub(crate) struct Incident {
    // "route power", the start of every line.
    who: String,
    // Lets the many successes pass without a lock.
    lasting: AtomicBool,
    state: Mutex<State>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A short word that stays the same while the cause does.
    pub(crate) reason: String,
    /// The whole message of the last failure: what was tried, why it failed, what to do.
    pub(crate) detail: String,
    /// What the router does about it.
    pub(crate) consequence: String,
    /// Since when.
    pub(crate) since: Instant,
    /// Failures since then.
    pub(crate) times: u64,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    // The end of the last incident.
    ended: Option<Instant>,
    said: Option<Instant>,
    unsaid: u64,
}

#[derive(Debug)]
struct Current {
    report: Report,
    // The reason that was said last.
    said: Option<String>,
}

impl Incident {
    /// No incident so far.
    pub(crate) fn new(who: impl Into<String>) -> Incident {
        Incident { who: who.into(), lasting: AtomicBool::new(false), state: Mutex::new(State::default()) }
    }

    /// It happened (again). `reason` is a short word that stays the same while the cause does;
    /// `detail` is the whole message, `consequence` what the router does about it.
    pub(crate) fn happened(&self, reason: &str, detail: &str, consequence: &str) {
        let mut state = self.lock();
        self.lasting.store(true, Ordering::Relaxed);
        let now = Instant::now();
        let quiet = state.said.map_or(Duration::MAX, |said| now - said);
        let current = state.current.get_or_insert_with(|| Current {
            report: Report {
                reason: String::new(),
                detail: String::new(),
                consequence: String::new(),
                since: now,
                times: 0,
            },
            said: None,
        });
        let report = &mut current.report;
        report.reason = reason.to_string();
        report.detail = detail.to_string();
        report.consequence = consequence.to_string();
        report.times += 1;
        let (times, since) = (report.times, now - report.since);
        let is_new = current.said.as_deref() != Some(reason);
        let due = if is_new { TROUBLE_FLAPPING } else { TROUBLE_REMINDER };
        if quiet < due {
            state.unsaid += 1;
            return;
        }
        current.said = Some(reason.to_string());
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
    pub(crate) fn over(&self) {
        if !self.lasting.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        self.lasting.store(false, Ordering::Relaxed);
        let Some(Current { report, said }) = state.current.take() else { return };
        state.ended = Some(Instant::now());
        drop(state);
        if said.is_some() {
            log::info!(target: self.who.as_str(), "works again after {:.1} s ({} failures; the last: {})", report.since.elapsed().as_secs_f64(),
                report.times,
                report.detail);
        }
    }

    /// What is wrong, if anything is.
    pub(crate) fn current(&self) -> Option<Report> {
        self.lock().current.as_ref().map(|current| current.report.clone())
    }

    /// When the last incident ended, if there was one.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.lock().ended
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        crate::sync::lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_begins_changes_and_ends() {
        let incident = Incident::new("route power");
        incident.over();
        incident.happened("connect", "POST http://a: refused", "retrying");
        incident.happened("connect", "POST http://a: refused again", "retrying");
        let report = incident.current().unwrap();
        assert_eq!((report.detail.as_str(), report.times), ("POST http://a: refused again", 2));
        assert_eq!((report.reason.as_str(), report.consequence.as_str()), ("connect", "retrying"));
        assert_eq!(incident.ended(), None);
        incident.happened("503", "POST http://a: status 503", "retrying");
        incident.over();
        assert_eq!(incident.current(), None);
        assert!(incident.ended().is_some());
    }

    #[test]
    fn what_comes_and_goes_quickly_is_counted_until_it_is_said_again() {
        let incident = Incident::new("route power");
        for _ in 0..100 {
            incident.happened("503", "POST http://a: status 503", "retrying");
            incident.over();
        }
        assert_eq!(incident.lock().unsaid, 99);
    }

    #[test]
    fn a_reason_that_changes_quickly_is_said_as_soon_as_it_may() {
        let incident = Incident::new("route power");
        let unsaid = |reason, quiet: Duration| {
            incident.lock().said = Some(Instant::now().checked_sub(quiet).expect("a clock that has run"));
            incident.happened(reason, "POST http://a: status 503", "retrying");
            incident.lock().unsaid
        };
        assert_eq!(unsaid("503", TROUBLE_FLAPPING), 0);
        assert_eq!(unsaid("connect", Duration::ZERO), 1);
        assert_eq!(unsaid("connect", TROUBLE_FLAPPING), 0);
        assert_eq!(unsaid("connect", TROUBLE_FLAPPING), 1);
    }
}
