//! The source's clock, as the route knows it between two looks at it. Pure: moments come in.
//!
//! A position is a time of the source, so a clock that is set back would put it into the future, and
//! what is recorded until the clock has caught up would lie behind it. So the clock is asked at each
//! opening and every few seconds, and carried forward by ours in between.

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

    /// By how much the clock that shows `shown` now was set forward, or back if that is negative.
    pub(crate) fn gained(&self, shown: Timestamp, now: Instant) -> SignedDuration {
        shown.duration_since(self.present(now))
    }
}

/// The same while nobody looked: the source's clock was `then` ahead of this machine's, and is `now`
/// ahead of it. Larger steps back than anybody takes come from this machine's own clock, which was not
/// set yet.
pub(crate) fn gained_meanwhile(then: SignedDuration, now: SignedDuration) -> SignedDuration {
    now.checked_sub(then).filter(|gained| -CLOCK_STEP_MAX <= *gained).unwrap_or_default()
}

/// By how much a clock was set back that gained so much, if it was.
pub(crate) fn set_back(gained: SignedDuration) -> Option<SignedDuration> {
    Some(-gained).filter(|step| tolerance() < *step)
}

/// Whether a clock was set forward that gained so much.
pub(crate) fn is_set_forward(gained: SignedDuration) -> bool {
    tolerance() < gained
}

/// How far a position can be trusted when the source's clock shows `present` and was set back by `step`:
/// what is recorded from now on may be dated that much before it.
pub(crate) fn trusted(position: Timestamp, present: Timestamp, step: Option<SignedDuration>) -> Timestamp {
    position.checked_sub(step.unwrap_or_default()).unwrap_or(Timestamp::MIN).min(present)
}

/// Whether `time` is so far ahead of `present` that it is worth a word.
pub(crate) fn is_ahead(time: Timestamp, present: Timestamp) -> bool {
    tolerance() < time.duration_since(present)
}

fn tolerance() -> SignedDuration {
    SignedDuration::try_from(CLOCK_TOLERANCE).unwrap_or_default()
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
        assert!(!clock.is_check_due(false, begin + CLOCK_DOUBT_INTERVAL) && clock.is_check_due(true, later));
        assert!(clock.is_check_due(false, begin + CLOCK_CHECK_INTERVAL));
        let at = |second| Timestamp::from_second(second).unwrap();
        let back = |shown| set_back(clock.gained(shown, later));
        assert_eq!(back(at(1029)), None, "within the tolerance");
        assert_eq!(back(at(1100)), None, "set forward");
        assert_eq!(back(at(30)), Some(SignedDuration::from_secs(1000)));
        assert!(
            is_set_forward(clock.gained(at(1100), later)) && !is_set_forward(clock.gained(at(1031), later))
        );
        assert!(is_ahead(at(1075), at(1000)) && !is_ahead(at(1001), at(1000)));
    }

    #[test]
    fn a_step_while_nobody_looked_is_seen_by_the_difference_of_two_clocks() {
        let hours = SignedDuration::from_hours;
        let back = |then, now| set_back(gained_meanwhile(hours(then), hours(now)));
        assert_eq!(back(1, 0), Some(hours(1)));
        assert_eq!(back(0, 1), None, "set forward");
        assert_eq!(back(0, -24), Some(hours(24)));
        assert_eq!(back(400_000, 0), None, "our own clock was not set");
    }
}
