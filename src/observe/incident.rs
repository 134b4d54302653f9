//! Incident: said when it begins, at once when its cause changes, once a minute while it lasts, and when
//! it is over. Repeats are counted, not repeated, and a cause that comes and goes quickly is said at most
//! every few seconds. An error is what a person must act on, a warning may pass by itself.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use log::Level;

use super::logger::Logger;
use super::words::count;
use crate::limits::{CAUSES_SAID_MAX, INCIDENT_FLAPPING, INCIDENT_REMINDER};

/// Characters of a message that tell its cause.
const CAUSE_CHARS_MAX: usize = 160;

/// The reason of events that are dated after their source's present.
pub(crate) const DATED_AHEAD: &str = "dated ahead";
/// The reason of a source that refuses the account.
pub(crate) const LOGIN_REFUSED: &str = "login refused";

/// What one part of a route suffers from.
#[derive(Debug)]
pub(crate) struct Incident {
    logger: Logger,
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
    pub(crate) since: Instant,
    /// Failures since then.
    pub(crate) times: u64,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    // The end of the last incident.
    ended: Option<Instant>,
    // What was said within the last minute, the newest last: what comes and goes is not said each time.
    said: Vec<(String, Instant)>,
    unsaid: u64,
}

#[derive(Debug)]
struct Current {
    report: Report,
    // The cause that was said last.
    said: Option<String>,
}

impl State {
    // Whether a cause is said now: another one at once, the same one after a minute.
    fn is_due(&mut self, cause: &str, now: Instant) -> bool {
        self.said.retain(|(_, said)| now.saturating_duration_since(*said) < INCIDENT_REMINDER);
        let before = self.said.iter().rposition(|(said, _)| said == cause);
        let is_new = self.current.as_ref().is_none_or(|current| current.said.as_deref() != Some(cause));
        let is_due = match before.map(|place| now.saturating_duration_since(self.said[place].1)) {
            Some(quiet) => is_new && INCIDENT_FLAPPING <= quiet,
            None => self.said.len() < CAUSES_SAID_MAX,
        };
        if is_due {
            if let Some(place) = before {
                self.said.remove(place);
            }
            self.said.push((cause.to_string(), now));
        }
        is_due
    }
}

impl Incident {
    /// No incident so far.
    pub(crate) fn new(logger: &Logger) -> Incident {
        Incident {
            logger: logger.clone(),
            lasting: AtomicBool::new(false),
            state: Mutex::new(State::default()),
        }
    }

    /// It happened (again), and may pass by itself. `reason` is a short word that stays the same while the
    /// cause does; `detail` is the whole message, `consequence` what the router does about it.
    pub(crate) fn happened(&self, reason: &str, detail: &str, consequence: &str) {
        self.take(Level::Warn, reason, detail, consequence);
    }

    /// The same, and a person must act.
    pub(crate) fn demands(&self, reason: &str, detail: &str, consequence: &str) {
        self.take(Level::Error, reason, detail, consequence);
    }

    fn take(&self, level: Level, reason: &str, detail: &str, consequence: &str) {
        let mut state = self.lock();
        self.lasting.store(true, Ordering::Relaxed);
        let now = Instant::now();
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
        let cause = cause(reason, detail);
        if !state.is_due(&cause, now) {
            state.unsaid += 1;
            return;
        }
        if let Some(current) = &mut state.current {
            current.said = Some(cause);
        }
        let unsaid = std::mem::take(&mut state.unsaid);
        drop(state);
        let mut counted = String::new();
        if 1 < times {
            counted = format!("; {} in {:.1} s", count(times, "failure"), since.as_secs_f64());
        } else if 0 < unsaid {
            counted = format!("; {} since the last message", count(unsaid, "more failure"));
        }
        log::log!(target: &self.logger, level, "{detail}{counted}; {consequence}");
    }

    /// It works again.
    pub(crate) fn over(&self) {
        self.over_by(String::new);
    }

    /// It works again, as `proof` shows.
    pub(crate) fn over_by(&self, proof: impl FnOnce() -> String) {
        if !self.lasting.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        self.lasting.store(false, Ordering::Relaxed);
        let Some(Current { report, said }) = state.current.take() else { return };
        state.ended = Some(Instant::now());
        drop(state);
        if said.is_some() {
            let (seconds, proof) = (report.since.elapsed().as_secs_f64(), proof());
            let separator = if proof.is_empty() { "" } else { ": " };
            let (times, last) = (count(report.times, "failure"), report.detail);
            log::info!(target: &self.logger, "works again after {seconds:.1} s{separator}{proof} ({times}; the last: {last})");
        }
    }

    /// Whether anything is wrong.
    pub(crate) fn is_lasting(&self) -> bool {
        self.lasting.load(Ordering::Relaxed)
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

// What tells one cause from another: the reason, and of the message the words without a digit, as times,
// ports and ids differ each time.
fn cause(reason: &str, detail: &str) -> String {
    let mut cause = reason.to_string();
    for word in detail.split(' ').filter(|word| !word.contains(|c: char| c.is_ascii_digit())) {
        if CAUSE_CHARS_MAX < cause.len() {
            break;
        }
        cause.push(' ');
        cause.push_str(word);
    }
    cause
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_incident_begins_changes_and_ends() {
        let incident = Incident::new(&Logger::route("power"));
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
        let incident = Incident::new(&Logger::route("power"));
        for _ in 0..100 {
            incident.happened("503", "POST http://a: status 503", "retrying");
            incident.over();
        }
        assert_eq!(incident.lock().unsaid, 99);
    }

    #[test]
    fn another_cause_is_said_at_once_and_the_same_one_not_again() {
        let incident = Incident::new(&Logger::route("power"));
        let unsaid = |reason, detail| {
            incident.happened(reason, detail, "retrying");
            std::mem::take(&mut incident.lock().unsaid)
        };
        assert_eq!(unsaid("503", "POST http://a: status 503"), 0);
        assert_eq!(unsaid("login refused", "log in at http://a: InvalidLogin"), 0, "not at the next minute");
        assert_eq!(unsaid("login refused", "log in at http://a: InvalidLogin"), 1);
        assert_eq!(unsaid("lost", "connect 10.0.0.1:443: connection refused"), 0);
        assert_eq!(
            unsaid("lost", "TLS with 10.0.0.1: certificate refused"),
            0,
            "another text is another cause"
        );
        assert_eq!(unsaid("lost", "connect 10.0.0.2:444: connection refused"), 1, "numbers are none");
        // Two that take turns are said at most every few seconds.
        for _ in 0..10 {
            assert_eq!(unsaid("503", "POST http://a: status 503"), 1);
            assert_eq!(unsaid("login refused", "log in at http://a: InvalidLogin"), 1);
        }
        let earlier = |quiet: Duration| {
            let before = Instant::now().checked_sub(quiet).expect("a clock that has run");
            incident.lock().said.iter_mut().for_each(|(_, said)| *said = before);
        };
        earlier(INCIDENT_FLAPPING);
        assert_eq!(unsaid("503", "POST http://a: status 503"), 0);
        earlier(INCIDENT_FLAPPING);
        assert_eq!(unsaid("503", "POST http://a: status 503"), 1, "the same one after a minute");
        earlier(INCIDENT_REMINDER);
        assert_eq!(unsaid("503", "POST http://a: status 503"), 0);
    }

    #[test]
    fn a_sink_that_says_something_else_each_time_is_no_flood() {
        let incident = Incident::new(&Logger::route("power"));
        for word in "a b c d e f g h i j k l m n o p q r s t u v w x y z".split(' ') {
            incident.happened("500", word, "retrying");
        }
        assert_eq!(incident.lock().said.len(), CAUSES_SAID_MAX);
        assert_eq!(incident.lock().unsaid, 26 - CAUSES_SAID_MAX as u64);
    }

    #[test]
    fn the_proof_that_it_works_is_asked_for_only_when_it_is_said() {
        let incident = Incident::new(&Logger::route("power"));
        incident.over_by(|| unreachable!("nothing was wrong"));
        incident.demands("401", "POST http://a: status 401", "the route holds");
        let mut asked = false;
        incident.over_by(|| {
            asked = true;
            "VmPoweredOnEvent".to_string()
        });
        assert!(asked);
    }
}
