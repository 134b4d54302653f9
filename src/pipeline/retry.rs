//! What follows from a verdict: settle, send again, or dead letter; and when. Pure: the answer of
//! the sink was classified by the processor, the schedule is decided here.

use std::time::Duration;

use crate::config::RetryConfig;
use crate::limits::{RETRY_AFTER_MAX, SENDER_WAIT_MAX};
use crate::processor::{Failure, Retry, Verdict};

/// What the route promises about its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Nothing is lost: repeat, or keep as a dead letter.
    AtLeastOnce,
    /// Nothing is repeated unless it certainly never left.
    AtMostOnce,
}

/// What follows from a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Failures that will not be tried again.
    pub final_failures: Vec<Failure>,
    /// Failures whose targets are tried again after `wait`.
    pub again: Vec<Failure>,
    /// How long to wait before the next attempt, if there is one.
    pub wait: Duration,
}

/// Decides about one verdict of an event that was tried `attempts` times (this one included) and
/// has been failing for `failing`. `is_at_fault` tells of a target that refuses the sender whether it is
/// the event's fault after all. `jitter` is a random number from 0 to 1, for jitter.
pub fn decide(
    verdict: Verdict,
    promise: Promise,
    config: &RetryConfig,
    attempts: u32,
    failing: Duration,
    is_at_fault: impl Fn(&str) -> bool,
    jitter: f64,
) -> Decision {
    let mut decision = Decision::default();
    let (mut asked, mut longest) = (None, config.max);
    let given_up = config.give_up_after.is_some_and(|limit| limit <= failing);
    for failure in verdict.failures {
        match failure.retry {
            Retry::Later { after, unsent } if !given_up && (promise == Promise::AtLeastOnce || unsent) => {
                asked = asked.max(after);
                decision.again.push(failure);
            }
            Retry::Sender { after }
                if !given_up && promise == Promise::AtLeastOnce && !is_at_fault(&failure.target) =>
            {
                asked = asked.max(after);
                longest = longest.min(SENDER_WAIT_MAX);
                decision.again.push(failure);
            }
            Retry::Credentials { after, unsent }
                if !given_up && (promise == Promise::AtLeastOnce || unsent) =>
            {
                asked = asked.max(after);
                longest = longest.min(SENDER_WAIT_MAX);
                decision.again.push(failure);
            }
            Retry::NotReady => decision.again.push(failure),
            _ => decision.final_failures.push(failure),
        }
    }
    if !decision.again.is_empty() {
        decision.wait = wait(&RetryConfig { max: longest, ..*config }, attempts, asked, jitter);
    }
    decision
}

/// The wait after the `attempts`th failure: doubling from `first` to `max`, of which `jitter` takes
/// away up to half, and never less than what the sink asked for, up to [`RETRY_AFTER_MAX`].
pub(crate) fn wait(config: &RetryConfig, attempts: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let doubled = config.first.saturating_mul(1 << attempts.saturating_sub(1).min(30));
    let own = doubled.min(config.max).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0);
    own.max(asked.unwrap_or_default().min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::answer::retry_after;

    const CONFIG: RetryConfig = RetryConfig {
        first: Duration::from_millis(200),
        max: Duration::from_secs(30),
        give_up_after: Some(Duration::from_secs(60)),
    };

    fn failure(target: &str, retry: Retry) -> Failure {
        Failure { target: target.to_string(), retry, reason: "test", detail: String::new() }
    }

    const LATER: Retry = Retry::Later { after: None, unsent: false };
    const UNSENT: Retry = Retry::Later { after: None, unsent: true };

    #[test]
    fn waits_double_to_the_maximum() {
        let waits: Vec<_> = (1..=10).map(|n| wait(&CONFIG, n, None, 0.0).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        assert_eq!(wait(&CONFIG, u32::MAX, None, 0.0), CONFIG.max);
        assert_eq!(wait(&CONFIG, 0, None, 0.0).as_millis(), 200);
    }

    #[test]
    fn jitter_takes_away_up_to_half() {
        assert_eq!(wait(&CONFIG, 3, None, 1.0).as_millis(), 400);
        assert_eq!(wait(&CONFIG, 3, None, 0.5).as_millis(), 600);
    }

    #[test]
    fn the_sink_may_ask_for_more_but_not_for_less_or_for_ever() {
        let asked = |seconds| wait(&CONFIG, 3, Some(Duration::from_secs(seconds)), 0.0);
        assert_eq!(asked(0).as_millis(), 800);
        assert_eq!(asked(7).as_secs(), 7);
        assert_eq!(asked(1_000_000), RETRY_AFTER_MAX);
        // A date is no more than a number.
        let now = "2026-10-21T07:28:00Z".parse().unwrap();
        for far in [
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Wed, 21 Oct 2037 07:28:00 GMT",
            "Wednesday, 21-Oct-37 07:28:00 GMT",
            "Wed Oct 21 07:28:00 2037",
            "99999999999999999999",
        ] {
            assert_eq!(wait(&CONFIG, 3, retry_after(far, now), 0.0), RETRY_AFTER_MAX, "{far}");
        }
    }

    #[test]
    fn decisions() {
        use Promise::{AtLeastOnce, AtMostOnce};
        let young = Duration::from_secs(1);
        let old = Duration::from_secs(60);
        // promise, age, retry -> tried again?
        let table = [
            (AtLeastOnce, young, LATER, true),
            (AtLeastOnce, young, UNSENT, true),
            (AtLeastOnce, young, Retry::Never, false),
            (AtLeastOnce, old, LATER, false),
            (AtMostOnce, young, LATER, false),
            (AtMostOnce, young, UNSENT, true),
            (AtMostOnce, old, UNSENT, false),
            (AtMostOnce, old, Retry::NotReady, true),
            (AtLeastOnce, old, Retry::NotReady, true),
            (AtLeastOnce, young, Retry::Sender { after: None }, true),
            (AtLeastOnce, old, Retry::Sender { after: None }, false),
            (AtMostOnce, young, Retry::Sender { after: None }, false),
            (AtLeastOnce, young, Retry::Credentials { after: None, unsent: false }, true),
            (AtLeastOnce, old, Retry::Credentials { after: None, unsent: true }, false),
            (AtMostOnce, young, Retry::Credentials { after: None, unsent: false }, false),
            (AtMostOnce, young, Retry::Credentials { after: None, unsent: true }, true),
        ];
        for (promise, failing, retry, again) in table {
            let decision =
                decide(Verdict::failed(failure("", retry)), promise, &CONFIG, 1, failing, |_| false, 0.0);
            assert_eq!(decision.again.len(), usize::from(again), "{promise:?} {failing:?} {retry:?}");
            assert_eq!(decision.final_failures.len(), usize::from(!again));
            assert_eq!(decision.wait == Duration::ZERO, !again);
        }
    }

    #[test]
    fn a_refused_sender_waits_until_the_sink_accepts_another_event() {
        let long = RetryConfig { max: Duration::from_secs(3600), give_up_after: None, ..CONFIG };
        let refused = || Verdict {
            failures: ["a", "b"].map(|target| failure(target, Retry::Sender { after: None })).into(),
            ..Verdict::default()
        };
        let decided = |fault: &str| {
            decide(refused(), Promise::AtLeastOnce, &long, 30, Duration::MAX, |target| target == fault, 0.0)
        };
        let held = decided("");
        assert_eq!((held.again.len(), held.wait), (2, SENDER_WAIT_MAX));
        let unreadable = Verdict::failed(failure("b", Retry::Credentials { after: None, unsent: true }));
        let held =
            decide(unreadable, Promise::AtLeastOnce, &long, 30, Duration::MAX, |target| target == "b", 0.0);
        assert_eq!((held.again.len(), held.wait), (1, SENDER_WAIT_MAX), "no event makes a secret unreadable");
        let judged = decided("b");
        assert_eq!((judged.again[0].target.as_str(), judged.final_failures[0].target.as_str()), ("a", "b"));
    }

    #[test]
    fn only_failed_targets_are_tried_again_and_none_is_dropped() {
        let verdict = Verdict {
            failures: vec![failure("a", LATER), failure("b", Retry::Never), failure("c", LATER)],
            ..Verdict::default()
        };
        let endless = RetryConfig { give_up_after: None, ..CONFIG };
        let decision = decide(verdict, Promise::AtLeastOnce, &endless, 2, Duration::MAX, |_| false, 0.0);
        assert_eq!(decision.again.iter().map(|f| f.target.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(decision.final_failures.iter().map(|f| f.target.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(decision.wait.as_millis(), 400);
    }
}
