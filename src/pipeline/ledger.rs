//! The ledger of a route: which events are on their way, and up to where everything is settled.
//! Pure data.
//!
//! A position may only be stored when everything before it is settled. So the ledger remembers the
//! end of the *contiguous* settled run, never merely the latest settled event; what is settled
//! beyond it is remembered one by one.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::event::Position;
use crate::pipeline::window::Window;

/// The number of an event in its ledger, in order of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

/// Issued events, oldest first, and the settled history before them.
#[derive(Debug)]
pub struct Ledger {
    start: Timestamp,
    settled: Window,
    first: u64,
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    // A broken event may have no readable position; it still holds its place.
    position: Option<Position>,
    settled: bool,
}

/// What a checkpoint has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Nothing before this time was ever wanted.
    pub start: Timestamp,
    /// Everything up to this time is settled, or is not and stands behind the prefix.
    pub time: Timestamp,
    /// The settled events near `time` and beyond it.
    pub settled: Window,
}

impl Ledger {
    /// Nothing issued; `settled` is what an earlier run knew.
    pub fn new(start: Timestamp, settled: Window) -> Ledger {
        Ledger { start, settled, first: 0, entries: VecDeque::new() }
    }

    /// An event was read.
    pub fn issue(&mut self, position: Option<Position>) -> Sequence {
        self.entries.push_back(Entry { position, settled: false });
        Sequence(self.first + self.entries.len() as u64 - 1)
    }

    /// An event is done with. True when the settled prefix grew.
    pub fn settle(&mut self, sequence: Sequence) -> bool {
        let Some(index) = sequence.0.checked_sub(self.first) else { return false };
        let Some(entry) = self.entries.get_mut(index as usize) else { return false };
        entry.settled = true;
        let before = self.first;
        while self.entries.front().is_some_and(|entry| entry.settled) {
            if let Some(position) = self.entries.pop_front().and_then(|entry| entry.position) {
                self.settled.insert(position);
            }
            self.first += 1;
        }
        before < self.first
    }

    /// Events that are issued and not in the settled prefix.
    pub fn outstanding(&self) -> usize {
        self.entries.len()
    }

    /// The oldest event that is not settled.
    pub fn oldest_unsettled(&self) -> Option<Position> {
        self.entries.front().and_then(|entry| entry.position)
    }

    /// How many events the settled prefix holds, counted from the start of this run.
    pub fn prefix(&self) -> u64 {
        self.first
    }

    /// The time up to which everything is settled.
    pub fn time(&self) -> Timestamp {
        self.settled.newest().unwrap_or(self.start)
    }

    /// What a checkpoint has to say now.
    pub fn progress(&self) -> Progress {
        let time = self.time();
        let beyond = self.entries.iter().filter(|entry| entry.settled).filter_map(|entry| entry.position);
        Progress { start: self.start, time, settled: self.settled.with(beyond) }
    }
}

impl Progress {
    /// Where reading begins when the router starts from this progress.
    pub fn resume(&self) -> Timestamp {
        super::window::overlap_before(self.time).max(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn at(milliseconds: i64, key: i64) -> Option<Position> {
        Some(Position { key, time: Timestamp::from_millisecond(milliseconds).unwrap() })
    }

    #[test]
    fn prefix_waits_for_the_oldest() {
        let start = Timestamp::from_second(1).unwrap();
        let mut ledger = Ledger::new(start, Window::default());
        let first = ledger.issue(at(10_000, 1));
        let second = ledger.issue(at(10_500, 2));
        let third = ledger.issue(None);
        assert!(!ledger.settle(second));
        assert!(!ledger.settle(third));
        assert_eq!((ledger.time(), ledger.prefix(), ledger.outstanding()), (start, 0, 3));
        assert!(ledger.progress().settled.contains(at(10_500, 2).unwrap()));
        assert_eq!(ledger.progress().resume(), start);
        assert!(ledger.settle(first));
        assert_eq!((ledger.prefix(), ledger.outstanding()), (3, 0));
        assert_eq!(ledger.time(), at(10_500, 2).unwrap().time);
        assert!(!ledger.settle(first), "settling twice changes nothing");
    }

    /// The model: a list of events and the set of settled ones. At any moment a restart from
    /// `progress` must read again every event that is not settled.
    #[test]
    fn no_unsettled_event_is_ever_before_resume_or_skipped() {
        let mut random = Random::from_test("ledger");
        for _ in 0..300 {
            let start = Timestamp::from_second(1000).unwrap();
            let mut ledger = Ledger::new(start, Window::default());
            let mut clock = 1_000_000;
            let mut model: Vec<(Position, Sequence, bool)> = Vec::new();
            for key in 0..random.below(200) as i64 {
                clock += random.below(900) as i64;
                let position = at(clock, key).unwrap();
                model.push((position, ledger.issue(Some(position)), false));
                for _ in 0..random.below(3) {
                    let chosen = random.below(model.len());
                    model[chosen].2 = true;
                    ledger.settle(model[chosen].1);
                }
                let progress = ledger.progress();
                for (position, _, settled) in &model {
                    let read_again =
                        progress.resume() <= position.time && !progress.settled.contains(*position);
                    assert!(*settled || read_again, "{position:?} would be lost");
                    let near = progress.resume() <= position.time;
                    assert!(!(*settled && near && read_again), "{position:?} would be repeated");
                }
                let prefix = model.iter().take_while(|(_, _, settled)| *settled).count() as u64;
                assert_eq!(ledger.prefix(), prefix);
            }
        }
    }
}
