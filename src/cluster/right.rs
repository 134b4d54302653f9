//! The right to one route, as the threads that run it see it: they ask on the way of every event.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::lease::Moment;
use crate::position::tenure::Tenure;

/// What a route and its owner tell each other.
pub(crate) struct Right {
    began: Instant,
    hold: Duration,
    // In microseconds since `began`.
    until: AtomicU64,
    // The time of day at `began`, in microseconds, as it seemed when `until` was set.
    day: AtomicI64,
    lost: AtomicBool,
    ended: AtomicBool,
    fenced: Mutex<Option<String>>,
    nudge: Sender<()>,
    nudged: Receiver<()>,
}

impl Right {
    /// Not held yet. `began` is where this process's moments are counted from.
    pub(crate) fn new(began: Instant, hold: Duration) -> Right {
        let (nudge, nudged) = bounded(1);
        Right {
            began,
            hold,
            until: AtomicU64::new(0),
            day: AtomicI64::new(0),
            lost: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            fenced: Mutex::new(None),
            nudge,
            nudged,
        }
    }

    /// The time of day at `began`, as it seems now: it jumps when this machine was suspended, because its
    /// own clock stood still.
    pub(crate) fn day(&self) -> i64 {
        let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        day.as_micros() as i64 - self.began.elapsed().as_micros() as i64
    }

    /// It is held until this moment; `day` as it seemed when that was asked for.
    pub(crate) fn extend(&self, until: Moment, day: i64) {
        self.day.store(day, Ordering::SeqCst);
        self.until.store(until.as_micros() as u64, Ordering::SeqCst);
    }

    /// Whether it is held, for who only watches.
    pub(crate) fn is_held(&self) -> bool {
        !self.lost.load(Ordering::SeqCst)
            && self.began.elapsed().as_micros() < u128::from(self.until.load(Ordering::SeqCst))
    }

    /// It is lost, and stays so.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    /// The record shows another holder.
    pub(crate) fn fence(&self, by: String) {
        self.lose();
        *crate::sync::lock(&self.fenced) = Some(by);
        self.nudge();
    }

    /// The holder that the record shows, if it is another.
    pub(crate) fn fenced(&self) -> Option<String> {
        crate::sync::lock(&self.fenced).clone()
    }

    /// Whether its route has come to its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Wakes its owner.
    pub(crate) fn nudge(&self) {
        // One is enough.
        let _ = self.nudge.try_send(());
    }

    /// Waits until there is something to see, but not longer than so.
    pub(crate) fn wait(&self, time: Duration) {
        let _ = self.nudged.recv_timeout(time);
    }
}

impl Tenure for Right {
    fn is_valid(&self) -> bool {
        let now = self.began.elapsed().as_micros() as u64;
        let jump = self.day().saturating_sub(self.day.load(Ordering::SeqCst));
        if self.lost.load(Ordering::SeqCst)
            || self.until.load(Ordering::SeqCst) <= now
            || (self.hold.as_micros() as i64) < jump
        {
            self.lose();
            return false;
        }
        true
    }

    fn ended(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.nudge();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_time_and_by_a_jump_of_the_day_and_stays_lost() {
        let second = Duration::from_secs(1);
        let began = Instant::now().checked_sub(second * 100).unwrap();
        let right = Right::new(began, second * 10);
        right.extend(second * 200, right.day());
        assert!(right.is_valid());
        // An hour back changes nothing, nor do seconds ahead.
        right.extend(second * 200, right.day() + 3_600_000_000);
        assert!(right.is_valid());
        right.extend(second * 200, right.day() - 9_000_000);
        assert!(right.is_valid());
        right.extend(second * 200, right.day() - 11_000_000);
        assert!(!right.is_valid());
        right.extend(second * 200, right.day());
        assert!(!right.is_valid(), "what was lost stays lost");

        let right = Right::new(began, second * 10);
        right.extend(second * 99, right.day());
        assert!(!right.is_valid());
        let right = Right::new(began, second * 10);
        right.extend(second * 200, right.day());
        right.fence("other".to_string());
        assert!(!right.is_valid() && !right.has_ended());
        assert_eq!(right.fenced().as_deref(), Some("other"));
        // It was nudged: this returns at once.
        right.wait(second * 3600);
        right.ended();
        assert!(right.has_ended());
    }
}
