//! Ledger, window and checkpoint together, over random schedules of reading, settling, recording and
//! dying: whatever happens, every event is settled in the end.

use std::collections::BTreeSet;

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::super::clock::{ClockReading, SourceClock, gain_meanwhile, set_back, trusted};
use super::super::ledger::Ledger;
use crate::event::{Position, Sequence};
use crate::position::progress::Progress;
use crate::position::record::{self, Checkpoint};
use crate::position::window::Window;
use crate::testing::Random;

const EVENTS: usize = 150;
/// Far more than it takes.
const STEPS_MAX: usize = 50_000;
const START: i64 = 1_000_000;

/// How far behind the position late events are still delivered.
const OVERLAP: Duration = Duration::from_secs(600);
const DAY: usize = 24 * 3600;

/// What is odd about the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Some events are recorded late, within the overlap.
    Late,
    /// Its keys begin again, within a second too.
    Restarting,
    /// Its clock is set back and forward, by up to a day.
    Stepping,
    /// Some events are dated ahead, by up to a day.
    Ahead,
}

/// A source, and a route that reads from it, loses its session and dies now and then.
struct World {
    source: Source,
    random: Random,
    // This machine's clock, and how far the source's is ahead of it.
    here: Timestamp,
    offset: SignedDuration,
    begin_of_time: Instant,
    // The clock was set since the route looked at it.
    stepped: bool,
    key: i64,
    history: Vec<Position>,
    // The collector: its filter, and the index in the history that is read next.
    begin: Timestamp,
    cursor: usize,
    clock: SourceClock,
    start: Timestamp,
    known_at_open: Window,
    window: Window,
    ledger: Ledger,
    // Events on their way, by their index.
    issued: Vec<(usize, Sequence)>,
    settled: Vec<u32>,
    // What this life knows to be settled; the checkpoint file, and what that knows.
    known: BTreeSet<usize>,
    record: String,
    recorded: BTreeSet<usize>,
    holds: bool,
    repeats: usize,
}

impl World {
    fn new(source: Source, mut random: Random) -> World {
        let here = Timestamp::from_second(START).unwrap();
        // Where the clock may be set, the first start may happen while it is ahead.
        let hours = if source == Source::Stepping { random.below(48) as i64 - 24 } else { 0 };
        let offset = SignedDuration::from_hours(hours);
        let start = here + offset;
        let begin_of_time = Instant::now();
        let window = Window::default().with_overlap(OVERLAP);
        let mut ledger = Ledger::new(start, window.clone(), None);
        ledger.see_present(start, offset);
        let mut world = World {
            source,
            random,
            here,
            offset,
            begin_of_time,
            stepped: false,
            key: 1,
            history: Vec::new(),
            begin: start,
            cursor: 0,
            clock: SourceClock::new(look(start, begin_of_time)),
            start,
            known_at_open: window.clone(),
            window,
            ledger,
            issued: Vec::new(),
            settled: Vec::new(),
            known: BTreeSet::new(),
            record: String::new(),
            recorded: BTreeSet::new(),
            holds: false,
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
            match self.random.below(40) {
                0..12 if self.history.len() < EVENTS => self.happen(),
                12..24 => self.read(),
                24..32 if !self.holds => self.settle_one(),
                // Now and then there is no room for a record: the one before it stands, and the route holds.
                32..36 => match self.random.below(6) {
                    0 => self.holds = true,
                    _ => self.write_record(),
                },
                36..38 if self.random.below(8) == 0 => self.die(),
                38 if self.random.below(4) == 0 => self.lose_session(),
                39 => self.look_at_clock(),
                _ => {}
            }
        }
        self
    }

    fn present(&self) -> Timestamp {
        self.here + self.offset
    }

    fn now(&self) -> Instant {
        let elapsed = self.here.duration_since(Timestamp::from_second(START).unwrap());
        self.begin_of_time + Duration::try_from(elapsed).unwrap()
    }

    fn happen(&mut self) {
        // Events in bursts, so that keys begin again within a span that is being read.
        let step = if self.random.below(5) == 0 { 700_000_000 } else { 3_000_000 };
        self.here += SignedDuration::from_nanos(1 + self.random.below(step) as i64);
        let seconds = |random: &mut Random, most: usize| SignedDuration::from_secs(random.below(most) as i64);
        match self.source {
            Source::Restarting if self.random.below(12) == 0 => self.key = self.random.below(8) as i64 - 4,
            Source::Stepping if self.random.below(15) == 0 && !self.stepped => {
                let most = [60, 3600, DAY][self.random.below(3)];
                let step = seconds(&mut self.random, most);
                self.offset = if self.random.below(2) == 0 { self.offset - step } else { self.offset + step };
                self.stepped = true;
            }
            _ => {}
        }
        let mut time = self.present();
        match self.source {
            Source::Late => time -= seconds(&mut self.random, 590),
            Source::Ahead if self.random.below(10) == 0 => {
                let most = [75, 3600, DAY][self.random.below(3)];
                time += seconds(&mut self.random, most);
            }
            _ => {}
        }
        // What was recorded late and is dated before the first start is not wanted.
        let is_wanted = self.source != Source::Late || Timestamp::from_second(START).unwrap() <= time;
        self.history.push(Position { key: self.key, time });
        self.settled.push(u32::from(!is_wanted));
        self.key += 1;
    }

    // The next event that the collector shows and that is new.
    fn read(&mut self) {
        if self.cursor == self.history.len() && self.window.is_held() {
            self.window.release();
            self.ledger.catch_up();
        }
        while let Some(&position) = self.history.get(self.cursor) {
            self.cursor += 1;
            if self.begin <= position.time && self.hand_over(self.cursor - 1, position) {
                return;
            }
        }
    }

    // As the poller does. True when the event is new.
    fn hand_over(&mut self, index: usize, position: Position) -> bool {
        if self.known_at_open.contains(position) {
            return false;
        }
        if self.window.has_key(position) {
            self.window.begin_again(position.time);
            self.ledger.begin_again(position.time);
        }
        self.issued.push((index, self.ledger.issue(Some(position))));
        self.window.insert(position, self.clock.present(self.now()));
        self.repeats += usize::from(0 < self.settled[index]);
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
        if self.random.below(4) == 0 {
            self.ledger.make_runs();
        }
        self.settled[index] += 1;
        self.known.insert(index);
    }

    fn write_record(&mut self) {
        let progress = self.ledger.progress();
        let checkpoint = Checkpoint { address: "a".to_string(), identity: "b".to_string(), progress };
        self.record = record::encode(&checkpoint).unwrap();
        self.recorded = self.known.clone();
        self.holds = false;
    }

    fn die(&mut self) {
        let progress = record::decode(self.record.as_bytes()).unwrap().progress;
        let Progress { start, settled, last, clock_offset, .. } = progress;
        self.window = settled.with_overlap(OVERLAP);
        self.start = start;
        self.ledger = Ledger::new(start, self.window.clone(), last);
        self.issued.clear();
        self.known = self.recorded.clone();
        self.holds = false;
        self.open(set_back(gain_meanwhile(clock_offset, (self.offset, self.offset))));
    }

    fn lose_session(&mut self) {
        let step = set_back(self.clock.gain(&look(self.present(), self.now())));
        self.open(step);
    }

    // What the poller does now and then.
    fn look_at_clock(&mut self) {
        match set_back(self.clock.gain(&look(self.present(), self.now()))) {
            Some(step) => self.open(Some(step)),
            None => self.see_clock(),
        }
    }

    fn see_clock(&mut self) {
        self.clock.see(look(self.present(), self.now()));
        self.ledger.see_present(self.present(), self.offset);
        self.stepped = false;
    }

    fn open(&mut self, step: Option<SignedDuration>) {
        let position = self.window.newest().unwrap_or(self.start);
        let to = trusted(position, self.present(), step);
        if to < position {
            self.start = self.start.min(self.window.start_before(to));
            self.window.pull_back(to);
            self.ledger.set_back(to);
        }
        self.see_clock();
        if to < position {
            self.write_record();
        }
        self.begin = self.window.resume().map_or(self.start, |at| at.max(self.start));
        self.known_at_open = self.window.clone();
        self.cursor = 0;
    }
}

fn look(shown: Timestamp, at: Instant) -> ClockReading {
    ClockReading { shown, asked: at, answered: at }
}

#[test]
fn whenever_it_dies_every_event_is_settled_in_the_end() {
    let mut random = Random::from_test("crashes");
    for source in [Source::Late, Source::Restarting, Source::Stepping, Source::Ahead] {
        let mut repeats = 0;
        for _ in 0..60 {
            repeats += World::new(source, Random::new(random.bits())).run().repeats;
        }
        println!("{source:?}: {repeats} repeats");
    }
}
