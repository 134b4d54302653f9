//! When the newest delivery began that a route's sink acknowledged. The workers share it without a lock:
//! each delivery tells it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The begin of the newest acknowledged delivery.
#[derive(Debug)]
pub(crate) struct LastAccepted {
    made: Instant,
    // Microseconds since `made`, and one; 0 means that there was none.
    moment: AtomicU64,
}

impl Default for LastAccepted {
    fn default() -> LastAccepted {
        LastAccepted { made: Instant::now(), moment: AtomicU64::new(0) }
    }
}

impl LastAccepted {
    /// A delivery that began then was acknowledged.
    pub(crate) fn set(&self, begun: Instant) {
        let moment = begun.saturating_duration_since(self.made).as_micros() as u64 + 1;
        self.moment.fetch_max(moment, Ordering::Relaxed);
    }

    /// When the newest one began.
    pub(crate) fn get(&self) -> Option<Instant> {
        let moment = self.moment.load(Ordering::Relaxed).checked_sub(1)?;
        self.made.checked_add(Duration::from_micros(moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_begin_counts() {
        let accepted = LastAccepted::default();
        assert_eq!(accepted.get(), None);
        let (early, late) =
            (accepted.made + Duration::from_millis(5), accepted.made + Duration::from_millis(7));
        accepted.set(late);
        accepted.set(early);
        assert_eq!(accepted.get(), Some(late));
    }
}
