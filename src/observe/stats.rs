//! Counters of a route: written by its threads, read from memory by whoever watches.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::outcomes::Outcomes;
use crate::event::Position;

/// What a route counted since the start. All counters only grow.
#[derive(Debug, Default)]
pub(crate) struct RouteStats {
    /// Events read from the source, repeated reads of known ones not counted.
    pub(crate) read: Counter,
    /// Events that the processor acknowledged.
    pub(crate) delivered: Counter,
    /// Events that the route's filter excluded.
    pub(crate) filtered: Counter,
    /// Events that nobody subscribes to.
    pub(crate) unmatched: Counter,
    /// Deliveries that were repeated, by reason.
    pub(crate) retried: Counters,
    /// How long the processor took for one call.
    pub(crate) delivery: Histogram,
    /// Letters in the dead-letter file.
    pub(crate) dead_lettered: Counter,
    /// Events given up without a trace on disk (at-most-once only).
    pub(crate) lost: Counter,
    /// What the source could not explain in events, by kind.
    pub(crate) anomalies: Counters,
    /// Spans of events that the source no longer had when the route came back to them.
    pub(crate) gaps: Counter,
    /// Times the source was opened again after the first.
    pub(crate) reconnects: Counter,
    /// Pages that the source gave, empty ones included.
    pub(crate) pages: Counter,
    /// Times the source could not be opened or read, by reason.
    pub(crate) source_failures: Counters,
    /// Attempts to deliver an event, by its name.
    pub(crate) names: Outcomes,
    times: Mutex<Times>,
}

/// The connection to a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// The source is open.
    pub(crate) connected: bool,
    /// Since when it is or is not; none before the first attempt.
    pub(crate) since: Option<Timestamp>,
    /// What the source called itself when it was opened last: product, version.
    pub(crate) description: String,
}

#[derive(Debug, Default)]
struct Times {
    link: Link,
    // The source's clock minus ours, in milliseconds.
    clock_ahead_ms: i64,
    checkpoint: Option<Timestamp>,
    last_read: Option<Position>,
    // All that the source has was read; none before its first page.
    is_read_up: Option<bool>,
    gap: Option<(Timestamp, Timestamp)>,
}

/// Numbers that only grow, by a bounded word.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<BTreeMap<&'static str, u64>>);

impl Counters {
    /// Counts one more for `word`.
    pub(crate) fn add(&self, word: &'static str) {
        *self.lock().entry(word).or_default() += 1;
    }

    /// The counts so far.
    pub(crate) fn get(&self) -> Vec<(&'static str, u64)> {
        self.lock().iter().map(|(word, count)| (*word, *count)).collect()
    }

    /// The sum of all counts.
    #[cfg(test)]
    pub(crate) fn sum(&self) -> u64 {
        self.lock().values().sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, u64>> {
        crate::sync::lock(&self.0)
    }
}

/// How often something took how long.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; Histogram::BOUNDS_MS.len()],
    beyond: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    /// The upper bounds of the buckets, in milliseconds.
    pub(crate) const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 1000, 2500, 10_000, 60_000];

    /// Counts one that took `time`.
    pub(crate) fn observe(&self, time: Duration) {
        let place = Histogram::BOUNDS_MS.iter().position(|bound| time <= Duration::from_millis(*bound));
        let bucket = place.map_or(&self.beyond, |place| &self.buckets[place]);
        bucket.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    /// How many took at most each bound, cumulated, the last being all; and their sum in seconds.
    pub(crate) fn get(&self) -> (Vec<u64>, f64) {
        let mut cumulated = Vec::with_capacity(Histogram::BOUNDS_MS.len() + 1);
        let mut count = 0;
        for bucket in self.buckets.iter().chain([&self.beyond]) {
            count += bucket.load(Ordering::Relaxed);
            cumulated.push(count);
        }
        (cumulated, self.sum_us.load(Ordering::Relaxed) as f64 / 1e6)
    }
}

/// Tells how long a thread has been at one piece of work: a thread that waits for work is well
/// however long that takes, one that is busy for too long hangs.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    // Milliseconds from `began` to the start of the work, plus one; zero while waiting for work.
    busy_since: AtomicU64,
}

impl Pulse {
    /// A thread that waits for work.
    pub(crate) fn new() -> Pulse {
        Pulse { began: Instant::now(), busy_since: AtomicU64::new(0) }
    }

    /// A piece of work begins.
    pub(crate) fn busy(&self) {
        self.busy_since.store(self.began.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
    }

    /// It is done.
    pub(crate) fn resting(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }

    /// How long the thread has been at its present work.
    pub(crate) fn busy_for(&self) -> Duration {
        match self.busy_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.began.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse::new()
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts `n` more.
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl RouteStats {
    /// The source told its time: lag is measured in its clock.
    pub(crate) fn source_clock(&self, source_now: Timestamp) {
        let ahead = source_now.as_millisecond() - Timestamp::now().as_millisecond();
        self.lock().clock_ahead_ms = ahead;
    }

    /// Seconds from `time` to the source's present.
    pub(crate) fn seconds_behind(&self, time: Timestamp) -> f64 {
        let now = Timestamp::now().as_millisecond() + self.lock().clock_ahead_ms;
        (now - time.as_millisecond()).max(0) as f64 / 1000.0
    }

    /// The checkpoint on disk tells this position.
    pub(crate) fn checkpointed_to(&self, time: Timestamp) {
        self.lock().checkpoint = Some(time);
    }

    /// The position that the checkpoint on disk tells.
    pub(crate) fn checkpoint(&self) -> Option<Timestamp> {
        self.lock().checkpoint
    }

    pub(crate) fn read_event(&self, position: Position) {
        self.lock().last_read = Some(position);
    }

    /// The event that was read last.
    pub(crate) fn last_read(&self) -> Option<Position> {
        self.lock().last_read
    }

    /// The source no longer had its events from `begin` to `end`.
    pub(crate) fn gap_found(&self, begin: Timestamp, end: Timestamp) {
        self.gaps.add(1);
        self.lock().gap = Some((begin, end));
    }

    /// The last span of events that the source no longer had.
    pub(crate) fn gap(&self) -> Option<(Timestamp, Timestamp)> {
        self.lock().gap
    }

    /// The source was opened and called itself this.
    pub(crate) fn connected(&self, description: &str) {
        let link =
            Link { connected: true, since: Some(Timestamp::now()), description: description.to_string() };
        let mut times = self.lock();
        times.link = link;
        times.is_read_up = None;
    }

    /// The source gave a page; whether it was the last one for now.
    pub(crate) fn page(&self, is_last: bool) {
        self.pages.add(1);
        self.lock().is_read_up = Some(is_last);
    }

    /// Whether all that the source has was read; none before its first page.
    pub(crate) fn is_read_up(&self) -> Option<bool> {
        self.lock().is_read_up
    }

    /// The source is not open, or no longer.
    pub(crate) fn disconnected(&self) {
        let mut times = self.lock();
        if times.link.connected || times.link.since.is_none() {
            times.link.connected = false;
            times.link.since = Some(Timestamp::now());
        }
    }

    /// The connection to the source.
    pub(crate) fn link(&self) -> Link {
        self.lock().link.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Times> {
        // Plain numbers: nothing can be half done.
        crate::sync::lock(&self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_cumulates() {
        let histogram = Histogram::default();
        for milliseconds in [1, 3, 3, 100_000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let (cumulated, sum) = histogram.get();
        assert_eq!(cumulated[..4], [1, 1, 3, 3]);
        assert_eq!(*cumulated.last().unwrap(), 4);
        assert!((sum - 100.007).abs() < 1e-9);
    }

    #[test]
    fn a_pulse_is_busy_only_while_working() {
        let pulse = Pulse::new();
        assert_eq!(pulse.busy_for(), Duration::ZERO);
        pulse.busy();
        let begun = Instant::now();
        while pulse.busy_for() < Duration::from_millis(2) {
            assert!(begun.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        pulse.resting();
        assert_eq!(pulse.busy_for(), Duration::ZERO);
    }
}
