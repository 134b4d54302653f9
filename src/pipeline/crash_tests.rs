//! Ledger, window and checkpoint together, over random schedules of reading, settling, recording and
//! dying: whatever happens, every event is settled in the end.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::checkpoint::{self, Checkpoint};
use super::ledger::{Ledger, Progress, Sequence};
use super::window::Window;
use crate::event::Position;
use crate::testing::Random;

const EVENTS: usize = 150;
/// Far more than it takes.
const STEPS_MAX: usize = 50_000;
const START: i64 = 1_000_000;

/// What is odd about the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Some events are recorded late, within the overlap.
    Late,
    /// Its keys begin again, within a second too.
    Restarting,
    /// Its clock is set back, by more than the overlap.
    SetBack,
}

/// A source, and a route that reads from it and dies now and then.
struct World {
    source: Source,
    random: Random,
    clock: Timestamp,
    key: i64,
    history: Vec<Position>,
    // The collector: its filter, and the index in the history that is read next.
    begin: Timestamp,
    cursor: usize,
    window: Window,
    ledger: Ledger,
    // Events on their way, by their index.
    issued: Vec<(usize, Sequence)>,
    was_issued: Vec<bool>,
    settled: Vec<u32>,
    // What this life knows to be settled; the checkpoint file, and what that knows.
    known: BTreeSet<usize>,
    record: String,
    recorded: BTreeSet<usize>,
    repeats: usize,
}

impl World {
    fn new(source: Source, random: Random) -> World {
        let start = Timestamp::from_second(START).unwrap();
        let mut world = World {
            source,
            random,
            clock: start,
            key: 1,
            history: Vec::new(),
            begin: start,
            cursor: 0,
            window: Window::default(),
            ledger: Ledger::new(start, Window::default(), None),
            issued: Vec::new(),
            was_issued: Vec::new(),
            settled: Vec::new(),
            known: BTreeSet::new(),
            record: String::new(),
            recorded: BTreeSet::new(),
            repeats: 0,
        };
        world.write_record();
        world
    }

    fn run(mut self) -> World {
        for step in 0.. {
            let lost = self.settled.iter().position(|times| *times == 0).map(|index| self.history[index]);
            if EVENTS <= self.history.len() && lost.is_none() {
                break;
            }
            assert!(step < STEPS_MAX, "{:?}: {lost:?} is never settled; {}", self.source, self.record);
            match self.random.below(10) {
                0..3 if self.history.len() < EVENTS => self.happen(),
                3..6 => self.read(),
                6..8 => self.settle_one(),
                8 => self.write_record(),
                9 if self.random.below(12) == 0 => self.die(),
                _ => {}
            }
        }
        self
    }

    fn happen(&mut self) {
        // Events in bursts, so that keys begin again within a second that is being read.
        let step = if self.random.below(5) == 0 { 700_000_000 } else { 3_000_000 };
        self.clock += SignedDuration::from_nanos(1 + self.random.below(step) as i64);
        let mut time = self.clock;
        match self.source {
            Source::Late => time -= SignedDuration::from_millis(self.random.below(1900) as i64),
            Source::Restarting if self.random.below(12) == 0 => self.key = self.random.below(8) as i64 - 4,
            Source::SetBack if self.random.below(30) == 0 => {
                self.clock -= SignedDuration::from_secs(self.random.below(60) as i64);
            }
            _ => {}
        }
        self.history.push(Position { key: self.key, time });
        // What is recorded before the first start is not wanted.
        let is_wanted = Timestamp::from_second(START).unwrap() <= time;
        self.settled.push(u32::from(!is_wanted));
        self.was_issued.push(false);
        self.key += 1;
        // What a clock that was set back hides from a new start was read by this one.
        while self.source == Source::SetBack && self.cursor < self.history.len() {
            self.read();
        }
    }

    // The next event that is new.
    fn read(&mut self) {
        while let Some(&position) = self.history.get(self.cursor) {
            self.cursor += 1;
            if self.hand_over(self.cursor - 1, position) {
                return;
            }
        }
    }

    // As the poller does. True when the event is new.
    fn hand_over(&mut self, index: usize, position: Position) -> bool {
        if position.time < self.begin {
            // An event that no collector has shown yet is out of reach of any position by time.
            let is_hidden = self.source == Source::SetBack && !self.was_issued[index];
            self.settled[index] += u32::from(is_hidden);
            return false;
        }
        if self.window.contains(position) {
            return false;
        }
        self.was_issued[index] = true;
        if self.window.is_reuse(position) {
            self.window.begin_again(position.time);
            self.ledger.begin_again(position.time);
        }
        self.issued.push((index, self.ledger.issue(Some(position))));
        self.window.insert(position);
        self.repeats += usize::from(0 < self.settled[index]);
        let was_recorded = self.recorded.contains(&index);
        assert!(!was_recorded || self.source == Source::SetBack, "{position:?} was recorded as settled");
        true
    }

    fn settle_one(&mut self) {
        if self.issued.is_empty() {
            return;
        }
        // Mostly the oldest, as it goes when nothing fails.
        let chosen = if self.random.below(3) == 0 { self.random.below(self.issued.len()) } else { 0 };
        let (index, sequence) = self.issued.remove(chosen);
        self.ledger.settle(sequence, None);
        self.settled[index] += 1;
        self.known.insert(index);
    }

    fn write_record(&mut self) {
        let progress = self.ledger.progress();
        let checkpoint = Checkpoint { address: "a".to_string(), identity: "b".to_string(), progress };
        self.record = checkpoint::encode(&checkpoint).unwrap();
        self.recorded = self.known.clone();
    }

    fn die(&mut self) {
        let progress = checkpoint::decode(self.record.as_bytes()).unwrap().progress;
        self.begin = progress.resume();
        let Progress { start, settled, last, .. } = progress;
        self.window = settled.clone();
        self.ledger = Ledger::new(start, settled, last);
        self.issued.clear();
        self.cursor = 0;
        self.known = self.recorded.clone();
    }
}

#[test]
fn whenever_it_dies_every_event_is_settled_in_the_end() {
    let mut random = Random::from_test("crashes");
    for source in [Source::Late, Source::Restarting, Source::SetBack] {
        let mut repeats = 0;
        for _ in 0..60 {
            repeats += World::new(source, Random::new(random.bits())).run().repeats;
        }
        println!("{source:?}: {repeats} repeats");
    }
}
