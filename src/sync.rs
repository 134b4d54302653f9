//! What threads share: locks that outlive a panic, and chance for jitter.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, poisoned or not: a thread that panics ends the process, and until then the others
/// must not pile up panics.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    unpoisoned(mutex.lock())
}

/// The guard of a wait or a read, poisoned or not, for the same reason.
pub(crate) fn unpoisoned<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// A number from 0 to 1, so that waits that began together do not end together: the seeds of the
/// standard library's hasher are random.
pub(crate) fn jitter() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// 16 hexadecimal digits that nobody else has.
pub(crate) fn random_key() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitters_fall_between_zero_and_one_and_differ() {
        let thrown: Vec<f64> = (0..100).map(|_| jitter()).collect();
        assert!(thrown.iter().all(|jitter| (0.0..1.0).contains(jitter)));
        assert!(thrown.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_panic_leaves_locks_usable() {
        let mutex = Mutex::new(1);
        let panicked = std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let _held = lock(&mutex);
                std::panic::resume_unwind(Box::new("while it is held"));
            });
            holder.join().is_err()
        });
        assert!(panicked && mutex.is_poisoned());
        assert_eq!(*lock(&mutex), 1);
    }
}
