//! The source's clock, as the route knows it between two looks at it. Pure: moments come in.
//!
//! A position is a time of the source, so a clock that is set back would put it into the future, and
//! what is recorded until the clock has caught up would lie behind it. So the clock is asked at each
//! opening and every few seconds, and carried forward by ours in between.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::limits::{
    CLOCK_CHECK_INTERVAL, CLOCK_DOUBT_INTERVAL, CLOCK_LOOK_AGE_MAX, CLOCK_STEP_MAX, CLOCK_TOLERANCE,
};

/// What the source's clock showed at some moment between the question and its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockReading {
    /// What it showed.
    pub(crate) shown: Timestamp,
    /// When it was asked.
    pub(crate) asked: Instant,
    /// When the answer was there: a slow answer is no sign of anything.
    pub(crate) answered: Instant,
}

/// The source's clock between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceClock {
    // The most exact look of those that agree.
    best: ClockReading,
    checked: Instant,
}

/// By how much a clock was set, forward or back if that is negative: as far as the delays of the answers
/// leave it open, between these two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gain {
    least: SignedDuration,
    most: SignedDuration,
}

impl SourceClock {
    /// The clock was looked at for the first time, or was set.
    pub(crate) fn new(look: ClockReading) -> SourceClock {
        SourceClock { best: look, checked: look.answered }
    }

    /// What it shows now at most, if nobody has set it.
    pub(crate) fn present(&self, now: Instant) -> Timestamp {
        since(self.best.shown, self.best.asked, now)
    }

    /// Whether the source should be asked again. `ahead`: its last event is dated after its present.
    pub(crate) fn is_check_due(&self, ahead: bool, now: Instant) -> bool {
        let interval = if ahead { CLOCK_DOUBT_INTERVAL } else { CLOCK_CHECK_INTERVAL };
        interval <= now.saturating_duration_since(self.checked)
    }

    /// By how much the clock was set since it was looked at before.
    pub(crate) fn gain(&self, look: &ClockReading) -> Gain {
        let earliest = since(self.best.shown, self.best.answered, look.asked);
        let least = look.shown.duration_since(self.present(look.answered));
        Gain { least, most: look.shown.duration_since(earliest) }
    }

    /// It was looked at again. Two clocks drift apart, so that a look is not exact for ever.
    pub(crate) fn see(&mut self, look: ClockReading) {
        let width = |look: &ClockReading| look.answered.saturating_duration_since(look.asked);
        let gain = self.gain(&look);
        let agrees = set_back(gain).is_none() && !is_set_forward(gain);
        let age = look.answered.saturating_duration_since(self.best.answered);
        if !agrees || width(&look) <= width(&self.best) || CLOCK_LOOK_AGE_MAX <= age {
            self.best = look;
        }
        self.checked = look.answered;
    }
}

fn since(shown: Timestamp, at: Instant, now: Instant) -> Timestamp {
    let elapsed = SignedDuration::try_from(now.saturating_duration_since(at));
    elapsed.ok().and_then(|elapsed| shown.checked_add(elapsed).ok()).unwrap_or(Timestamp::MAX)
}

/// By how much the source's clock is ahead of this machine's, at least and at most: `here` is what ours
/// shows at `now`.
pub(crate) fn offset(look: &ClockReading, here: Timestamp, now: Instant) -> (SignedDuration, SignedDuration) {
    let ahead_at = |moment: Instant| {
        let ago = SignedDuration::try_from(now.saturating_duration_since(moment)).unwrap_or_default();
        look.shown.duration_since(here.checked_sub(ago).unwrap_or(here))
    };
    (ahead_at(look.answered), ahead_at(look.asked))
}

/// The same while nobody looked: the source's clock was `then` ahead of this machine's, and is `now`
/// ahead of it, at least and at most. Larger steps back than anybody takes come from this machine's own
/// clock, which was not set yet.
pub(crate) fn gain_meanwhile(then: SignedDuration, now: (SignedDuration, SignedDuration)) -> Gain {
    let least = now.0.checked_sub(then);
    let most = now.1.checked_sub(then).filter(|most| -CLOCK_STEP_MAX <= *most);
    least.zip(most).map_or_else(Gain::default, |(least, most)| Gain { least, most })
}

/// By how much a clock was set back that gained so much, if it certainly was.
pub(crate) fn set_back(gain: Gain) -> Option<SignedDuration> {
    (tolerance() < -gain.most).then(|| -gain.least)
}

/// Whether a clock was certainly set forward that gained so much.
pub(crate) fn is_set_forward(gain: Gain) -> bool {
    tolerance() < gain.least
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

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn look(shown: i64, asked: Instant, delay_seconds: u64) -> ClockReading {
        ClockReading { shown: at(shown), asked, answered: asked + Duration::from_secs(delay_seconds) }
    }

    #[test]
    fn a_clock_runs_on_between_two_looks() {
        let begin = Instant::now();
        let later = begin + Duration::from_secs(30);
        let clock = SourceClock::new(look(1000, begin, 0));
        assert_eq!(clock.present(later), at(1030));
        assert!(!clock.is_check_due(false, begin + CLOCK_DOUBT_INTERVAL) && clock.is_check_due(true, later));
        assert!(clock.is_check_due(false, begin + CLOCK_CHECK_INTERVAL));
        let gain = |shown| clock.gain(&look(shown, later, 0));
        assert_eq!(set_back(gain(1029)), None, "within the tolerance");
        assert_eq!(set_back(gain(1100)), None, "set forward");
        assert_eq!(set_back(gain(30)), Some(SignedDuration::from_secs(1000)));
        assert!(is_set_forward(gain(1100)) && !is_set_forward(gain(1031)));
        assert!(is_ahead(at(1075), at(1000)) && !is_ahead(at(1001), at(1000)));
    }

    #[test]
    fn a_slow_answer_is_no_step() {
        let begin = Instant::now();
        let later = begin + Duration::from_secs(100);
        // The clock was read anywhere in the 10 s that the answer took.
        for (slow_before, slow_now) in [(10, 0), (0, 10), (10, 10)] {
            for read_before in [0, slow_before] {
                for read_now in [0, slow_now] {
                    let clock = SourceClock::new(look(1000 + read_before as i64, begin, slow_before));
                    let at_step =
                        |step: i64| clock.gain(&look(1100 + read_now as i64 + step, later, slow_now));
                    assert_eq!(set_back(at_step(0)), None);
                    assert!(!is_set_forward(at_step(0)));
                    let step = set_back(at_step(-60)).unwrap();
                    assert!(SignedDuration::from_secs(60) <= step, "{step}: so far events may be dated back");
                    assert!(is_set_forward(at_step(60)));
                }
            }
        }
    }

    #[test]
    fn the_most_exact_look_counts_while_it_is_fresh() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut clock = SourceClock::new(look(1000, begin, 0));
        clock.see(look(1025, after(20), 10));
        assert_eq!(clock.present(after(30)), at(1030), "an answer that took 10 s says less");
        assert!(!clock.is_check_due(false, after(40)) && clock.is_check_due(false, after(50)));
        clock.see(look(1062, after(60), 0));
        assert_eq!(clock.present(after(60)), at(1062), "a clock that runs fast");
        clock.see(look(2000, after(100), 10));
        assert_eq!(clock.present(after(110)), at(2010), "it was set");
        let old = 110 + CLOCK_LOOK_AGE_MAX.as_secs();
        clock.see(look(3000, after(old), 20));
        assert_eq!(clock.present(after(old)), at(3000));
    }

    #[test]
    fn a_step_while_nobody_looked_is_seen_by_the_difference_of_two_clocks() {
        let hours = SignedDuration::from_hours;
        let back = |then, now| set_back(gain_meanwhile(hours(then), (hours(now), hours(now))));
        assert_eq!(back(1, 0), Some(hours(1)));
        assert_eq!(back(0, 1), None, "set forward");
        assert_eq!(back(0, -24), Some(hours(24)));
        assert_eq!(back(400_000, 0), None, "our own clock was not set");
        let seconds = SignedDuration::from_secs;
        let slow = gain_meanwhile(hours(0), (seconds(-20), seconds(0)));
        assert!(set_back(slow).is_none() && !is_set_forward(slow));
        let now = Instant::now();
        let slow = ClockReading { shown: at(1000), asked: now, answered: now + Duration::from_secs(20) };
        assert_eq!(offset(&slow, at(1030), now + Duration::from_secs(30)), (seconds(-20), seconds(0)));
    }
}
