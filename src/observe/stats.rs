//! Counters of a route: written by its threads, read from memory by whoever watches.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jiff::Timestamp;

/// What a route counted since the start. All counters only grow.
#[derive(Debug, Default)]
pub struct RouteStats {
    /// Events read from the source, repeated reads of known ones not counted.
    pub read: Counter,
    /// Events that the processor acknowledged.
    pub delivered: Counter,
    /// Events that the route's filter excluded.
    pub filtered: Counter,
    /// Events that nobody subscribes to.
    pub unmatched: Counter,
    /// Deliveries that were repeated.
    pub retried: Counter,
    /// Letters in the dead-letter file.
    pub dead_lettered: Counter,
    /// Events given up without a trace on disk (at-most-once only).
    pub lost: Counter,
    /// Times the source was opened again after the first.
    pub reconnects: Counter,
    /// The source is open.
    pub connected: AtomicBool,
    times: Mutex<Times>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    // The source's clock minus ours, in milliseconds.
    clock_ahead_ms: i64,
    checkpoint: Option<Timestamp>,
    last_key: Option<i64>,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl RouteStats {
    /// The source told its time: lag is measured in its clock.
    pub fn source_clock(&self, source_now: Timestamp) {
        let ahead = source_now.as_millisecond() - Timestamp::now().as_millisecond();
        self.lock().clock_ahead_ms = ahead;
    }

    /// Seconds from `time` to the source's present.
    pub fn seconds_behind(&self, time: Timestamp) -> f64 {
        let now = Timestamp::now().as_millisecond() + self.lock().clock_ahead_ms;
        (now - time.as_millisecond()).max(0) as f64 / 1000.0
    }

    /// The checkpoint on disk tells this position.
    pub fn checkpointed_to(&self, time: Timestamp) {
        self.lock().checkpoint = Some(time);
    }

    /// The position that the checkpoint on disk tells.
    pub fn checkpoint(&self) -> Option<Timestamp> {
        self.lock().checkpoint
    }

    /// An event with this key was read.
    pub fn read_key(&self, key: i64) {
        self.lock().last_key = Some(key);
    }

    /// The key of the newest event that was read.
    pub fn last_key(&self) -> Option<i64> {
        self.lock().last_key
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Times> {
        // Plain numbers: nothing can be half done.
        self.times.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
