//! The source's clock, as the route knows it between two looks at it. Pure: moments come in.
//!
//! A position is a time of the source, so a clock that is set back would put it into the future, and
//! what is recorded until the clock has caught up would lie behind it. So the clock is asked at each
//! opening and once a minute, and carried forward by ours in between.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::limits::{CLOCK_CHECK_INTERVAL, CLOCK_DOUBT_INTERVAL, CLOCK_STEP_MAX, CLOCK_TOLERANCE};

/// What the source's clock showed, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceClock {
    shown: Timestamp,
    at: Instant,
}

impl SourceClock {
    /// The clock shows this now.
    pub(crate) fn new(shown: Timestamp, at: Instant) -> SourceClock {
        SourceClock { shown, at }
    }

    /// What it shows now, if nobody has set it.
    pub(crate) fn present(&self, now: Instant) -> Timestamp {
        let elapsed = SignedDuration::try_from(now.saturating_duration_since(self.at));
        elapsed.ok().and_then(|elapsed| self.shown.checked_add(elapsed).ok()).unwrap_or(Timestamp::MAX)
    }

    /// Whether the source should be asked again. `ahead`: its last event is dated after its present.
    pub(crate) fn is_check_due(&self, ahead: bool, now: Instant) -> bool {
        let interval = if ahead { CLOCK_DOUBT_INTERVAL } else { CLOCK_CHECK_INTERVAL };
        interval <= now.saturating_duration_since(self.at)
    }

    /// By how much the clock that shows `shown` now was set back, if it was.
    pub(crate) fn set_back(&self, shown: Timestamp, now: Instant) -> Option<SignedDuration> {
        step_back(self.present(now).duration_since(shown))
    }
}

/// By how much a source's clock was set back while nobody looked: it was `then` ahead of this machine's
/// and is `now` ahead of it. Larger steps than anybody takes come from this machine's own clock, which
/// was not set yet.
pub(crate) fn set_back_meanwhile(then: SignedDuration, now: SignedDuration) -> Option<SignedDuration> {
    step_back(then.checked_sub(now)?).filter(|step| *step <= CLOCK_STEP_MAX)
}

/// How far a position can be trusted when the source's clock shows `present` and was set back by `step`:
/// what is recorded from now on may be dated that much before it.
pub(crate) fn trusted(position: Timestamp, present: Timestamp, step: Option<SignedDuration>) -> Timestamp {
    position.checked_sub(step.unwrap_or_default()).unwrap_or(Timestamp::MIN).min(present)
}

/// Whether `time` is so far ahead of `present` that it is worth a word.
pub(crate) fn is_ahead(time: Timestamp, present: Timestamp) -> bool {
    step_back(time.duration_since(present)).is_some()
}

fn step_back(step: SignedDuration) -> Option<SignedDuration> {
    Some(step)
        .filter(|step| SignedDuration::try_from(CLOCK_TOLERANCE).is_ok_and(|tolerance| tolerance < *step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_clock_runs_on_between_two_looks() {
        let (begin, shown) = (Instant::now(), Timestamp::from_second(1000).unwrap());
        let later = begin + Duration::from_secs(30);
        let clock = SourceClock::new(shown, begin);
        assert_eq!(clock.present(later), Timestamp::from_second(1030).unwrap());
        assert!(!clock.is_check_due(false, later) && clock.is_check_due(true, later));
        assert!(clock.is_check_due(false, begin + Duration::from_secs(60)));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(clock.set_back(at(1029), later), None, "within the tolerance");
        assert_eq!(clock.set_back(at(1100), later), None, "set forward");
        assert_eq!(clock.set_back(at(30), later), Some(SignedDuration::from_secs(1000)));
        assert!(is_ahead(at(1075), at(1000)) && !is_ahead(at(1001), at(1000)));
    }

    #[test]
    fn a_step_while_nobody_looked_is_seen_by_the_difference_of_two_clocks() {
        let hours = SignedDuration::from_hours;
        assert_eq!(set_back_meanwhile(hours(1), hours(0)), Some(hours(1)));
        assert_eq!(set_back_meanwhile(hours(0), hours(1)), None, "set forward");
        assert_eq!(set_back_meanwhile(hours(0), hours(-24)), Some(hours(24)));
        assert_eq!(set_back_meanwhile(hours(400_000), hours(0)), None, "our own clock was not set");
    }
}
