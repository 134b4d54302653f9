//! The ledger of a route: which events are on their way, and up to where everything is settled.
//! Pure data.
//!
//! A position may only be stored when everything before it is settled. So the ledger remembers the
//! end of the *contiguous* settled run, never merely the latest settled event; what is settled
//! beyond it is remembered as runs between the events that are not: one event may be held for hours
//! while all the others pass it.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::event::{Position, Sequence};
use crate::limits::{LEDGER_LOOSE_MAX, LEDGER_PLACES_MAX, LEDGER_RANGES_MAX};
use crate::position::progress::{EventName, Progress};
use crate::position::window::{Window, is_dated_ahead};

/// Issued events, oldest first, and the settled history before them.
#[derive(Debug)]
pub(crate) struct Ledger {
    start: Timestamp,
    // The source's clock, and how far it is ahead of this machine's, as far as that is known.
    present: Timestamp,
    clock_offset: SignedDuration,
    settled: Window,
    last: Option<EventName>,
    // Everything before this number is settled; the number that is issued next.
    first: u64,
    next: u64,
    entries: VecDeque<Entry>,
    unsettled: usize,
    // Settled entries that are no run yet.
    loose: usize,
    // Ranges of keys in `settled`, counted when runs were made last.
    ranges: usize,
}

// An event, or a run of settled ones.
#[derive(Debug)]
struct Entry {
    // Of its first event.
    sequence: u64,
    // A broken event may have no readable position; it still holds its place. A run has none: its
    // events are known to the window.
    position: Option<Position>,
    // Of a run: how far its events move the position.
    newest: Option<Timestamp>,
    // The source's clock when the event was read.
    present: Timestamp,
    settled: bool,
    // Everything that the source had was read before this.
    caught_up: bool,
    // Of a settled event, until the prefix has passed it.
    name: Option<EventName>,
}

impl Ledger {
    /// Nothing issued; `settled` and `last` are what an earlier run knew.
    pub(crate) fn new(start: Timestamp, settled: Window, last: Option<EventName>) -> Ledger {
        Ledger {
            start,
            present: Timestamp::MAX,
            clock_offset: SignedDuration::ZERO,
            settled,
            last,
            first: 0,
            next: 0,
            entries: VecDeque::new(),
            unsettled: 0,
            loose: 0,
            ranges: 0,
        }
    }

    /// An event was read.
    pub(crate) fn issue(&mut self, position: Option<Position>) -> Sequence {
        self.push(position, false)
    }

    /// Everything that the source has was read: when all of it is settled, a position that was held
    /// after a step of the source's clock moves again.
    pub(crate) fn catch_up(&mut self) {
        let sequence = self.push(None, true);
        self.settle(sequence, None);
    }

    fn push(&mut self, position: Option<Position>, caught_up: bool) -> Sequence {
        let sequence = self.next;
        self.entries.push_back(Entry {
            sequence,
            position,
            newest: None,
            present: self.present,
            settled: false,
            caught_up,
            name: None,
        });
        self.next += 1;
        self.unsettled += 1;
        Sequence(sequence)
    }

    /// The source began its keys again: the event that is issued next, at `time`, has a key that
    /// another one had in the same second.
    pub(crate) fn begin_again(&mut self, time: Timestamp) {
        self.settled.begin_again(time);
    }

    /// The source's clock shows `present`, so much ahead of this machine's: what is issued from now on
    /// does not move the position beyond that.
    pub(crate) fn see_present(&mut self, present: Timestamp, offset: SignedDuration) {
        (self.present, self.clock_offset) = (present, offset);
    }

    /// The source's clock was set back: a position after `to` comes back to it, and what is on its way
    /// does not move it beyond.
    pub(crate) fn set_back(&mut self, to: Timestamp) {
        self.start = self.start.min(self.settled.start_before(to));
        self.settled.pull_back(to);
        for entry in &mut self.entries {
            entry.present = entry.present.min(to);
            entry.newest = entry.newest.map(|newest| newest.min(to));
        }
    }

    /// From now on events come from another source: positions of the one before say nothing about
    /// them. What is on its way holds its place, and the time stays.
    pub(crate) fn change_source(&mut self) {
        self.settled.forget_keys();
        for entry in &mut self.entries {
            (entry.position, entry.newest) = (None, None);
        }
    }

    /// An event is done with. True when the settled prefix grew.
    pub(crate) fn settle(&mut self, sequence: Sequence, name: Option<EventName>) -> bool {
        let Some(index) = self.index_of(sequence.0) else { return false };
        let Some(entry) = self.entries.get_mut(index).filter(|entry| !entry.settled) else { return false };
        (entry.settled, entry.name) = (true, name);
        self.unsettled -= 1;
        self.loose += 1;
        let before = self.first;
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.settled) {
            self.pass(entry);
        }
        self.first = self.entries.front().map_or(self.next, |entry| entry.sequence);
        if LEDGER_LOOSE_MAX <= self.loose {
            self.make_runs();
        }
        before < self.first
    }

    // Until there are runs, numbers count places.
    fn index_of(&self, sequence: u64) -> Option<usize> {
        let place = sequence.checked_sub(self.first)? as usize;
        match self.entries.get(place) {
            Some(entry) if entry.sequence == sequence => Some(place),
            _ => self.entries.binary_search_by_key(&sequence, |entry| entry.sequence).ok(),
        }
    }

    // The settled prefix grows by this.
    fn pass(&mut self, entry: Entry) {
        if let Some(position) = entry.position {
            self.settled.insert(position, entry.present);
            self.loose = self.loose.saturating_sub(1);
        }
        if let Some(newest) = entry.newest {
            self.settled.advance(newest);
        }
        if entry.caught_up {
            self.settled.release();
        }
        if entry.name.is_some() {
            self.last = entry.name;
        }
    }

    /// Makes one entry of all settled ones between two that are not.
    pub(crate) fn make_runs(&mut self) {
        let mut entries: VecDeque<Entry> = VecDeque::with_capacity(self.entries.len() - self.loose / 2);
        for mut entry in std::mem::take(&mut self.entries) {
            // The end of a hold keeps its place.
            if !entry.settled || entry.caught_up {
                entries.push_back(entry);
                continue;
            }
            if let Some(position) = entry.position.take() {
                self.settled.know(position);
                entry.newest = (!is_dated_ahead(position.time, entry.present)).then_some(position.time);
            }
            match entries.back_mut().filter(|last| last.settled && !last.caught_up) {
                Some(run) => {
                    run.newest = run.newest.max(entry.newest);
                    run.name = entry.name.or(run.name.take());
                }
                None => entries.push_back(entry),
            }
        }
        self.entries = entries;
        self.loose = 0;
        self.ranges = self.settled.ranges();
    }

    /// Whether another event can be issued: what is held for long must not fill the memory.
    pub(crate) fn has_room(&self) -> bool {
        self.entries.len() < LEDGER_PLACES_MAX && self.ranges < LEDGER_RANGES_MAX
    }

    /// Events that are issued and not settled.
    pub(crate) fn outstanding(&self) -> usize {
        self.unsettled
    }

    /// How many events the settled prefix holds, counted from the start of this run.
    #[cfg(test)]
    fn prefix(&self) -> u64 {
        self.first
    }

    /// The time up to which everything is settled.
    pub(crate) fn time(&self) -> Timestamp {
        self.settled.newest().unwrap_or(self.start)
    }

    /// What a checkpoint has to say now.
    pub(crate) fn progress(&self) -> Progress {
        let of = |settled| {
            let entries = self.entries.iter().filter(move |entry| entry.settled == settled);
            entries.filter_map(|entry| entry.position)
        };
        // A source whose clock was set back records events that are older than those before them.
        let oldest = of(false).map(|position| position.time).min();
        let time =
            oldest.filter(|oldest| *oldest < self.settled.overlap_before(self.time())).unwrap_or(self.time());
        let settled = self.settled.with(of(true));
        Progress {
            start: self.start.min(time),
            time,
            settled,
            last: self.last.clone(),
            clock_offset: self.clock_offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn at(milliseconds: i64, key: i64) -> Option<Position> {
        Some(Position { key, time: Timestamp::from_millisecond(milliseconds).unwrap() })
    }

    fn name(id: &str) -> Option<EventName> {
        Some(EventName { ty: "VmPoweredOnEvent".to_string(), id: id.to_string() })
    }

    fn last(ledger: &Ledger) -> Option<String> {
        ledger.progress().last.map(|name| name.id)
    }

    #[test]
    fn the_last_event_is_that_of_the_prefix() {
        let start = Timestamp::from_second(1).unwrap();
        let mut ledger = Ledger::new(start, Window::default(), name("before"));
        let first = ledger.issue(at(10_000, 1));
        let second = ledger.issue(at(10_500, 2));
        let nameless = ledger.issue(None);
        ledger.settle(second, name("b"));
        assert_eq!(last(&ledger).as_deref(), Some("before"));
        ledger.settle(first, name("a"));
        assert_eq!(last(&ledger).as_deref(), Some("b"));
        ledger.settle(nameless, None);
        assert_eq!(last(&ledger).as_deref(), Some("b"), "the last that has a name");
    }

    #[test]
    fn an_event_of_a_clock_that_was_set_back_is_read_again_until_it_is_settled() {
        let start = Timestamp::from_second(95).unwrap();
        let overlap = std::time::Duration::from_secs(2);
        let mut ledger = Ledger::new(start, Window::default().with_overlap(overlap), None);
        let first = ledger.issue(at(100_000, 1));
        ledger.settle(first, None);
        let late = ledger.issue(at(98_000, 2));
        assert_eq!(ledger.progress().time, at(100_000, 1).unwrap().time, "within the overlap");
        let back = ledger.issue(at(90_000, 3));
        for _ in 0..2 {
            let progress = ledger.progress();
            assert_eq!((progress.time, progress.resume()), (at(90_000, 3).unwrap().time, progress.time));
            ledger.settle(late, None);
        }
        ledger.settle(back, None);
        assert_eq!(ledger.progress().time, at(100_000, 1).unwrap().time);
        assert_eq!(ledger.progress().resume(), at(98_000, 2).unwrap().time);
    }

    #[test]
    fn an_event_that_is_dated_ahead_is_known_and_does_not_move_the_position() {
        let (start, second) =
            (Timestamp::from_second(0).unwrap(), |second| Timestamp::from_second(second).unwrap());
        let mut ledger = Ledger::new(start, Window::default(), None);
        ledger.see_present(second(1000), SignedDuration::ZERO);
        for (time, key) in [(990_000, 1), (87_400_000, 2), (991_000, 3)] {
            let event = ledger.issue(at(time, key));
            ledger.settle(event, None);
        }
        let progress = ledger.progress();
        assert_eq!((progress.time, progress.resume()), (second(991), second(391)));
        assert!(progress.settled.contains(at(87_400_000, 2).unwrap()), "nothing is repeated that is known");
        // The clock is set back under what is on its way and what is settled.
        let late = ledger.issue(at(999_000, 4));
        ledger.set_back(second(700));
        ledger.see_present(second(700), SignedDuration::ZERO);
        ledger.settle(late, None);
        let progress = ledger.progress();
        assert_eq!((progress.time, progress.resume()), (second(700), second(100)));
        assert!(progress.settled.contains(at(999_000, 4).unwrap()));
    }

    #[test]
    fn what_another_source_had_says_nothing_about_this_one() {
        let start = Timestamp::from_second(1).unwrap();
        let mut ledger = Ledger::new(start, Window::default(), None);
        let [first, second] = [1, 2].map(|key| ledger.issue(at(10_000, key)));
        ledger.settle(first, None);
        ledger.change_source();
        let same = ledger.issue(at(10_000, 2));
        ledger.settle(second, None);
        let progress = ledger.progress();
        assert_eq!(progress.time, at(10_000, 1).unwrap().time);
        assert!(!progress.settled.contains(at(10_000, 1).unwrap()));
        assert!(!progress.settled.contains(at(10_000, 2).unwrap()), "it was the other source's");
        assert!(ledger.settle(same, None));
        assert!(ledger.progress().settled.contains(at(10_000, 2).unwrap()));
    }

    #[test]
    fn prefix_waits_for_the_oldest() {
        let start = Timestamp::from_second(1).unwrap();
        let mut ledger = Ledger::new(start, Window::default(), None);
        let first = ledger.issue(at(10_000, 1));
        let second = ledger.issue(at(10_500, 2));
        let third = ledger.issue(None);
        assert!(!ledger.settle(second, None));
        assert!(!ledger.settle(third, None));
        assert_eq!((ledger.time(), ledger.prefix(), ledger.outstanding()), (start, 0, 1));
        assert!(ledger.progress().settled.contains(at(10_500, 2).unwrap()));
        assert_eq!(ledger.progress().resume(), start);
        assert!(ledger.settle(first, name("a")));
        assert_eq!((ledger.prefix(), ledger.outstanding()), (3, 0));
        assert_eq!(ledger.time(), at(10_500, 2).unwrap().time);
        assert!(!ledger.settle(first, name("a")), "settling twice changes nothing");
    }

    #[test]
    fn one_held_event_lets_all_others_pass_in_little_memory() {
        let start = Timestamp::from_second(1).unwrap();
        let mut ledger = Ledger::new(start, Window::default(), None);
        let held = ledger.issue(at(10_000, 0));
        let mut last = held;
        for key in 1..200_000 {
            last = ledger.issue(at(10_000 + key, key));
            ledger.settle(last, name("passes"));
            assert!(ledger.has_room() && ledger.entries.len() <= LEDGER_LOOSE_MAX + 1);
        }
        let progress = ledger.progress();
        assert_eq!((ledger.outstanding(), progress.resume()), (1, start));
        assert!(progress.settled.contains(at(209_999, 199_999).unwrap()) && progress.last.is_none());
        assert!(!ledger.settle(last, None), "it is part of a run");
        assert!(ledger.settle(held, None));
        assert_eq!((ledger.time(), ledger.prefix()), (at(209_999, 0).unwrap().time, 200_000));
        assert_eq!(ledger.progress().last.unwrap().id, "passes");
    }

    #[test]
    fn what_was_settled_behind_a_held_event_is_bounded_where_its_keys_have_gaps() {
        let mut ledger = Ledger::new(Timestamp::from_second(1).unwrap(), Window::default(), None);
        ledger.issue(at(10_000, 0));
        let mut issued = 0;
        while ledger.has_room() {
            issued += 2;
            let passes = ledger.issue(at(10_000 + issued, issued));
            ledger.settle(passes, None);
        }
        assert!(issued as usize / 2 <= LEDGER_RANGES_MAX + LEDGER_LOOSE_MAX);
    }

    /// The model: a list of events and the set of settled ones. At any moment a restart from
    /// `progress` must read again every event that is not settled.
    #[test]
    fn no_unsettled_event_is_ever_before_resume_or_skipped() {
        let mut random = Random::from_test("ledger");
        for _ in 0..300 {
            let start = Timestamp::from_second(1000).unwrap();
            let mut ledger = Ledger::new(start, Window::default(), None);
            let mut clock = 1_000_000;
            let mut model: Vec<(Position, Sequence, bool)> = Vec::new();
            for key in 0..random.below(200) as i64 {
                clock += random.below(900) as i64;
                let position = at(clock, key).unwrap();
                model.push((position, ledger.issue(Some(position)), false));
                for _ in 0..random.below(3) {
                    let chosen = random.below(model.len());
                    model[chosen].2 = true;
                    ledger.settle(model[chosen].1, None);
                }
                if random.below(5) == 0 {
                    ledger.make_runs();
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
