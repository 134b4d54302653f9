//! What deliveries of a route suffer from: one incident, which lasts until every target that failed has
//! taken something.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::limits::{READY_INCIDENT_MAX, TARGET_INCIDENT_AGE_MAX};
use crate::observe::incident::{Incident, Report};
use crate::observe::logger::Logger;
use crate::processor::{Failure, Retry, Target};

/// The incident of deliveries.
#[derive(Debug)]
pub(crate) struct Failing {
    incident: Incident,
    // Lets the many successes pass without a lock.
    is_any: AtomicBool,
    // Who failed, and when last; nobody in particular has no name.
    targets: Mutex<BTreeMap<String, Instant>>,
}

impl Failing {
    /// Nothing failed so far.
    pub(crate) fn new(logger: &Logger) -> Failing {
        Failing { incident: Incident::new(logger), is_any: AtomicBool::new(false), targets: Mutex::default() }
    }

    /// A target failed; without a name where there is one only.
    pub(crate) fn happened(&self, failure: &Failure, consequence: &str) {
        let mut targets = crate::sync::lock(&self.targets);
        targets.insert(failure.target.clone(), Instant::now());
        self.is_any.store(true, Ordering::Relaxed);
        drop(targets);
        let (reason, detail) = (failure.reason, failure.detail.as_str());
        match failure.retry {
            Retry::Sender { .. } | Retry::Credentials { .. } => {
                self.incident.demands(reason, detail, consequence);
            }
            _ => self.incident.happened(reason, detail, consequence),
        }
    }

    /// The sink answered, and these of its targets took something, as `proof` tells. `owed_to` tells how
    /// much a target still waits for, without which its failure is forgotten after a while, and since when
    /// something fails: what has failed for long is no outage that any success ends.
    pub(crate) fn works(
        &self,
        accepted: &[Target],
        owed_to: impl Fn(&str) -> (usize, Option<Instant>),
        proof: impl FnOnce() -> String,
    ) {
        if !self.is_any.load(Ordering::Relaxed) {
            return;
        }
        let mut targets = crate::sync::lock(&self.targets);
        let now = Instant::now();
        targets.retain(|target, failed_at| {
            let has_worked = target.is_empty() || accepted.iter().any(|accepted| **accepted == **target);
            let is_recent = now.duration_since(*failed_at) < TARGET_INCIDENT_AGE_MAX;
            let (events, failing_since) = owed_to(target);
            let is_held = failing_since.is_some_and(|since| READY_INCIDENT_MAX <= now.duration_since(since));
            is_held || (!has_worked && (is_recent || 0 < events))
        });
        if targets.is_empty() {
            self.is_any.store(false, Ordering::Relaxed);
            self.incident.over_by(proof);
        }
    }

    /// What is wrong, if anything is.
    pub(crate) fn current(&self) -> Option<Report> {
        self.incident.current()
    }

    /// When the last incident ended, if there was one.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.incident.ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_until_each_of_those_that_failed_took_something() {
        let failing = Failing::new(&Logger::route("power"));
        let works = |target: &str| {
            failing.works(&[target.into()], |_| (1, None), String::new);
            failing.current().is_none()
        };
        let fails = |target: &str| {
            let retry = Retry::Later { after: None, unsent: false };
            let detail = format!("{target} failed");
            failing.happened(&Failure { target: target.to_string(), retry, reason: "500", detail }, "");
        };
        assert!(works("a"));
        fails("a");
        fails("b");
        assert!(!works("c") && !works("b"));
        assert_eq!(failing.current().unwrap().times, 2);
        assert!(works("a") && failing.ended().is_some());
        fails("");
        assert!(works("c"));
        // One event that goes on failing is not mended by others.
        fails("a");
        let works_since = |since: Instant| {
            failing.works(&["a".into()], |_| (1, Some(since)), String::new);
            failing.current().is_none()
        };
        let long_ago = Instant::now().checked_sub(READY_INCIDENT_MAX).expect("a clock that has run");
        assert!(!works_since(long_ago));
        assert!(works_since(Instant::now()));
    }
}
