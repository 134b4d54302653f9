//! All events of the simulated vCenter in their order, the oldest first.
//!
//! Each event has a place in the sequence, counted from 0 and never reused, so that collectors
//! stand where they stood when older events are dropped.

use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;

use super::record::Record;

/// Events that were there at the start, made when they are read, and those recorded since.
#[derive(Clone, Default)]
pub struct History {
    made: Option<Made>,
    recorded: VecDeque<Arc<Record>>,
    /// Recorded events that were dropped.
    dropped: u64,
    /// The place of the first event that is kept.
    begin: u64,
}

#[derive(Clone)]
struct Made {
    count: u64,
    make: Arc<dyn Fn(u64) -> Record + Send + Sync>,
}

impl History {
    /// No events yet.
    pub(crate) fn empty() -> History {
        History::default()
    }

    /// These events. Their times should not fall.
    pub fn of(records: impl IntoIterator<Item = Record>) -> History {
        History { recorded: records.into_iter().map(Arc::new).collect(), ..History::default() }
    }

    /// `count` events that are never held: `make` gives the event at a place from 0 on, always the
    /// same for the same place, with times that do not fall.
    pub fn generated(count: u64, make: impl Fn(u64) -> Record + Send + Sync + 'static) -> History {
        History { made: Some(Made { count, make: Arc::new(make) }), ..History::default() }
    }

    /// The place behind the newest event.
    pub(crate) fn end(&self) -> u64 {
        self.recorded_begin() + self.recorded.len() as u64
    }

    /// The place of the oldest event that is kept; `end` if there is none.
    pub(crate) fn begin(&self) -> u64 {
        self.begin
    }

    /// The event at that place, if it is kept.
    pub(crate) fn get(&self, place: u64) -> Option<Arc<Record>> {
        if place < self.begin {
            return None;
        }
        match &self.made {
            Some(made) if place < made.count => Some(Arc::new((made.make)(place))),
            _ => self.recorded.get(place.checked_sub(self.recorded_begin())? as usize).cloned(),
        }
    }

    /// The newest event.
    pub(crate) fn latest(&self) -> Option<Arc<Record>> {
        self.end().checked_sub(1).and_then(|place| self.get(place))
    }

    /// A place before which no event is at or after `time`. Exact for events whose times rise.
    pub(super) fn place_of(&self, time: Timestamp) -> u64 {
        let made = self.made_count();
        let (mut low, mut high) = (self.begin.min(made), made);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle) {
                Some(record) if record.time < time => low = middle + 1,
                _ => high = middle,
            }
        }
        if low < made {
            return low;
        }
        // What tests record may have any time: the first that is late enough.
        let late = self.recorded.iter().position(|record| time <= record.time);
        self.recorded_begin() + late.unwrap_or(self.recorded.len()) as u64
    }

    pub(super) fn push(&mut self, record: Record) {
        self.recorded.push_back(Arc::new(record));
    }

    /// Drops the oldest events up to the first that is at or after `time`.
    pub(super) fn forget_before(&mut self, time: Timestamp) {
        while let Some(record) = self.get(self.begin) {
            if time <= record.time {
                break;
            }
            self.forget_oldest();
        }
    }

    /// Drops the oldest events until at most `records_max` recorded ones are left.
    pub(super) fn forget_beyond(&mut self, records_max: usize) {
        while records_max < self.recorded.len() {
            self.begin = self.begin.max(self.recorded_begin());
            self.forget_oldest();
        }
    }

    /// Drops all events.
    pub(super) fn forget_all(&mut self) {
        self.begin = self.end();
        self.dropped += self.recorded.len() as u64;
        self.recorded.clear();
    }

    fn forget_oldest(&mut self) {
        if self.begin == self.recorded_begin() && self.recorded.pop_front().is_some() {
            self.dropped += 1;
        }
        self.begin += 1;
    }

    fn recorded_begin(&self) -> u64 {
        self.made_count() + self.dropped
    }

    fn made_count(&self) -> u64 {
        self.made.as_ref().map_or(0, |made| made.count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Draft;
    use super::*;

    fn record(second: u64) -> Record {
        let time = Timestamp::from_second(second as i64).unwrap();
        Record { key: second as i32, time, draft: Draft::default() }
    }

    #[test]
    fn places_by_time_across_made_and_recorded_events() {
        let mut history = History::generated(1_000_000, |place| record(place / 2));
        let end = history.latest().unwrap().time;
        assert_eq!(end.as_second(), 499_999);
        for second in [500_000, 500_000, 500_007] {
            history.push(record(second));
        }
        for (second, place) in
            [(0, 0), (3, 6), (499_999, 999_998), (500_000, 1_000_000), (500_001, 1_000_002)]
        {
            assert_eq!(history.place_of(Timestamp::from_second(second).unwrap()), place, "{second}");
        }
        assert_eq!(history.place_of(Timestamp::MAX), history.end());
    }

    #[test]
    fn forgotten_events_leave_their_places() {
        let mut history = History::of([record(1), record(2), record(3)]);
        history.forget_before(record(2).time);
        assert_eq!((history.begin(), history.end()), (1, 3));
        assert!(history.get(0).is_none());
        assert_eq!(history.place_of(Timestamp::MIN), 1);
        history.forget_all();
        assert!(history.latest().is_none());
        history.push(record(9));
        assert_eq!(history.get(3).unwrap().key, 9);
        history.push(record(10));
        history.forget_beyond(1);
        assert_eq!((history.begin(), history.end(), history.get(4).unwrap().key), (4, 5, 10));
    }
}
