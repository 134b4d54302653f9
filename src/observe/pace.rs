//! How fast a route comes back to the present. Pure: time is a value.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::limits::{PACE_INTERVAL, PACE_SPAN};

/// How far a route was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at: Instant,
    /// Events settled so far.
    pub(crate) events: u64,
    /// Everything up to this time is settled, in the source's clock.
    pub(crate) time: Timestamp,
}

/// The marks of the last while.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    marks: VecDeque<Mark>,
}

/// What a route does in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Speed {
    /// Events that it settles.
    pub(crate) events: f64,
    /// Seconds of history that it settles: above one it comes nearer to the present.
    history: f64,
}

impl Pace {
    /// Remembers a mark, if the last one is old enough.
    pub(crate) fn note(&mut self, mark: Mark) {
        while self.marks.front().is_some_and(|first| PACE_SPAN < mark.at.saturating_duration_since(first.at))
        {
            self.marks.pop_front();
        }
        let is_due = |last: &Mark| PACE_INTERVAL <= mark.at.saturating_duration_since(last.at);
        if self.marks.back().is_none_or(is_due) {
            self.marks.push_back(mark);
        }
    }

    /// The speed since the oldest mark; none where nothing has moved since.
    pub(crate) fn speed(&self, now: Mark) -> Option<Speed> {
        let first = self.marks.front().filter(|first| first.time < now.time)?;
        let seconds = now.at.saturating_duration_since(first.at).max(Duration::from_millis(1)).as_secs_f64();
        let history = now.time.duration_since(first.time).as_secs_f64();
        let events = now.events.saturating_sub(first.events) as f64;
        Some(Speed { events: events / seconds, history: history / seconds })
    }
}

impl Speed {
    /// When the present is reached: all that is behind is known and counted (`all_read`), or its time is.
    pub(crate) fn end(self, behind: usize, lag_seconds: f64, all_read: bool) -> Option<Duration> {
        let seconds = match all_read {
            true => behind as f64 / self.events,
            false => lag_seconds / (self.history - 1.0),
        };
        Duration::try_from_secs_f64(seconds).ok().filter(|end| *end < Duration::from_secs(365 * 24 * 3600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(began: Instant, seconds: u64, events: u64, history: i64) -> Mark {
        let time = Timestamp::from_second(1_700_000_000 + history).unwrap();
        Mark { at: began + Duration::from_secs(seconds), events, time }
    }

    #[test]
    fn speed_is_that_of_the_last_while() {
        let (began, mut pace) = (Instant::now(), Pace::default());
        assert_eq!(pace.speed(mark(began, 0, 0, 0)), None);
        pace.note(mark(began, 0, 0, 0));
        assert_eq!(pace.speed(mark(began, 9, 50, 0)), None, "one event that is held holds the time");
        assert_eq!(pace.speed(mark(began, 10, 100, 600)), Some(Speed { events: 10.0, history: 60.0 }));
        for second in 1..=1000 {
            pace.note(mark(began, second, second * 2, second as i64));
        }
        assert!(pace.marks.len() as u64 <= PACE_SPAN.as_secs() / PACE_INTERVAL.as_secs() + 1);
        let speed = pace.speed(mark(began, 1000, 2000, 1000)).unwrap();
        assert_eq!(speed, Speed { events: 2.0, history: 1.0 });
    }

    #[test]
    fn the_end_is_told_where_it_can_be_seen() {
        let seconds = |n| Some(Duration::from_secs(n));
        let fast = Speed { events: 10.0, history: 61.0 };
        assert_eq!(fast.end(138, 600.0, true).map(|end| end.as_secs()), Some(13));
        assert_eq!(fast.end(138, 600.0, false), seconds(10));
        let slow = Speed { events: 0.0, history: 1.0 };
        assert_eq!((slow.end(138, 600.0, true), slow.end(138, 600.0, false)), (None, None));
        assert_eq!(Speed { events: 1.0, history: 0.5 }.end(5, 600.0, false), None, "it falls behind");
    }
}
