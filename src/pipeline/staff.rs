//! The worker threads of the process whose routes name no number: shared, and bounded.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::{WORKERS_ASSURED, WORKERS_PROCESS_MAX};

/// How many of them are taken, beside those that each route may have in any case.
///
/// A route gets no more of the rest than are free, and gives back what is over twice that. So one that is
/// busy alone has as many as it needs, and several come to similar shares with one left free for the next.
#[derive(Debug, Default)]
pub struct Staff {
    taken: AtomicUsize,
}

impl Staff {
    /// How many threads a route may have that has so many.
    pub(crate) fn share(&self, present: usize) -> usize {
        let free = WORKERS_PROCESS_MAX.saturating_sub(self.taken.load(Ordering::Relaxed));
        let taken = present.saturating_sub(WORKERS_ASSURED);
        WORKERS_ASSURED + if taken < free { taken + 1 } else { taken.min(2 * free) }
    }

    /// A route has one more, or one less, and now so many.
    pub(crate) fn changed(&self, before: usize, now: usize) {
        let taken = |present: usize| present.saturating_sub(WORKERS_ASSURED);
        self.taken.fetch_add(taken(now), Ordering::Relaxed);
        self.taken.fetch_sub(taken(before), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WORKERS_AUTO_MAX;

    // Each in turn has one more if it may, or gives one back if it has too many.
    fn settle(staff: &Staff, routes: &mut [usize]) {
        for _ in 0..1000 {
            for present in routes.iter_mut() {
                let (before, share) = (*present, staff.share(*present).min(WORKERS_AUTO_MAX));
                *present = if before < share { before + 1 } else { before - usize::from(share < before) };
                staff.changed(before, *present);
            }
        }
    }

    #[test]
    fn few_have_what_they_need_and_many_have_equal_shares() {
        let staff = Staff::default();
        let mut routes = vec![0; 5];
        settle(&staff, &mut routes);
        assert_eq!(routes, [WORKERS_AUTO_MAX; 5]);
        // Others join while these are busy.
        routes.resize(200, 0);
        settle(&staff, &mut routes);
        let (least, most) = (routes.iter().min().unwrap(), routes.iter().max().unwrap());
        let (least, most) = (least - WORKERS_ASSURED, most - WORKERS_ASSURED);
        assert!(1 <= least && most <= 2 * least + 2, "{least} to {most}");
        assert!(routes.iter().sum::<usize>() <= WORKERS_PROCESS_MAX + 200 * WORKERS_ASSURED);
        // And the rest is theirs again when they have gone.
        routes.drain(5..).for_each(|present| staff.changed(present, 0));
        settle(&staff, &mut routes);
        assert_eq!(routes, [WORKERS_AUTO_MAX; 5]);
    }
}
