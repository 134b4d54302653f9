//! The delivery that a person waits for: the first after a start, or after the source was lost. The workers
//! share it without a lock.

use std::sync::atomic::{AtomicU8, Ordering};

/// After what the next delivery is worth a line.
#[derive(Debug)]
pub(crate) struct Awaited(AtomicU8);

const NOTHING: u8 = 0;
const START: u8 = 1;
const RECONNECT: u8 = 2;

impl Awaited {
    /// The first one.
    pub(crate) fn start() -> Awaited {
        Awaited(AtomicU8::new(START))
    }

    /// The source was lost and is open again.
    pub(crate) fn reconnect(&self) {
        let _ = self.0.compare_exchange(NOTHING, RECONNECT, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A delivery was acknowledged: what it was awaited after, told once.
    pub(crate) fn take(&self) -> Option<&'static str> {
        if self.0.load(Ordering::Relaxed) == NOTHING {
            return None;
        }
        match self.0.swap(NOTHING, Ordering::Relaxed) {
            START => Some("start"),
            RECONNECT => Some("reconnect"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_once() {
        let awaited = Awaited::start();
        awaited.reconnect();
        assert_eq!((awaited.take(), awaited.take()), (Some("start"), None));
        awaited.reconnect();
        awaited.reconnect();
        assert_eq!((awaited.take(), awaited.take()), (Some("reconnect"), None));
    }
}
