//! The stop signal: every wait of the program is a wait on work, on time, or on this.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Raises the signal, once and for all. Clones raise the same signal.
#[derive(Clone)]
pub(crate) struct StopSource {
    // Dropping the only sender of a channel wakes all who wait on it.
    sender: Arc<std::sync::Mutex<Option<Sender<()>>>>,
    raised: Arc<AtomicBool>,
}

/// Sees the signal. Clones see the same signal.
#[derive(Clone)]
pub struct Stop {
    receiver: Receiver<()>,
    raised: Arc<AtomicBool>,
}

/// A signal that is not raised yet.
pub(crate) fn stop_signal() -> (StopSource, Stop) {
    let (sender, receiver) = bounded(0);
    let raised = Arc::new(AtomicBool::new(false));
    let source = StopSource { sender: Arc::new(std::sync::Mutex::new(Some(sender))), raised: raised.clone() };
    (source, Stop { receiver, raised })
}

impl StopSource {
    /// Wakes everyone who waits, now and later.
    pub(crate) fn stop(&self) {
        self.raised.store(true, Ordering::SeqCst);
        // A poisoned lock only means that another thread panicked: the process is ending anyway.
        crate::sync::lock(&self.sender).take();
    }
}

impl Stop {
    /// Whether the signal was raised.
    pub(crate) fn is_stopped(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// Waits at most `time`; true when the signal is raised.
    pub fn wait(&self, time: Duration) -> bool {
        let _ = self.receiver.recv_timeout(time);
        self.is_stopped()
    }

    /// For `select!`: becomes ready (disconnected) when the signal is raised.
    pub(crate) fn channel(&self) -> &Receiver<()> {
        &self.receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_wakes_waiters_and_stays_raised() {
        let (source, stop) = stop_signal();
        assert!(!stop.wait(Duration::from_millis(1)));
        let waiter = stop.clone();
        let thread = std::thread::spawn(move || waiter.wait(Duration::from_secs(60)));
        source.stop();
        assert!(thread.join().unwrap());
        assert!(stop.wait(Duration::from_secs(60)));
    }
}
