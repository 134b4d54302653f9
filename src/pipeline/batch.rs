//! The bounded channel between the poller and the workers: what a poller can say, and how it sends it.
//!
//! ```text
//!   poller --> Feed: entries of a page, cut into batches --bounded::<Batch>--> the worker that leads
//! ```
//!
//! A full channel blocks the poller: that is the back-pressure. It is bounded in events and in bytes,
//! because a batch is, and an event that is larger than one takes the places of several.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use jiff::{SignedDuration, Timestamp};

use crate::event::{Event, Position};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, BATCHES_AHEAD_MAX};
use crate::position::progress::EventName;
use crate::stop::Stop;

/// One thing that a poller has to say. The order of reading is the order of the stream.
#[derive(Debug)]
pub(crate) enum Entry {
    /// An event that is to be delivered.
    Event(Event),
    /// An event that needs no delivery (excluded, or kept as a dead letter) and takes its place in
    /// the ledger.
    Settled(Option<Position>, Option<EventName>),
    /// The event that comes next, of this time, has a key that another one of the same second had.
    KeysBeginAgain(Timestamp),
    /// What follows comes from another source, of this identity.
    SourceChanged(String),
    /// The source's clock shows this, so much ahead of this machine's.
    Present(Timestamp, SignedDuration),
    /// The source's clock was set back: a position after this time comes back to it.
    ClockSetBack(Timestamp),
    /// Everything that the source has was sent.
    CaughtUp,
}

// The smallest entries fill a batch by their number.
const _: () = assert!(BATCH_ENTRIES_MAX * size_of::<Entry>() <= BATCH_BYTES_MAX);

/// Entries of one page, `BATCH_BYTES_MAX` of them or a single larger one.
pub(crate) type Batch = Vec<Entry>;

impl Entry {
    /// Bytes that it holds in memory, near enough for the limits.
    fn bytes(&self) -> usize {
        let held = match self {
            Entry::Event(event) => return event.bytes(),
            Entry::Settled(_, name) => name.as_ref().map_or(0, |name| name.ty.len() + name.id.len()),
            Entry::SourceChanged(identity) => identity.len(),
            _ => 0,
        };
        held + size_of::<Entry>()
    }

    /// Whether it takes a place in the ledger.
    pub(crate) fn is_event(&self) -> bool {
        matches!(self, Entry::Event(_) | Entry::Settled(..))
    }
}

/// The channel's two ends.
pub(crate) fn channel() -> (Feed, Intake) {
    let (sender, receiver) = bounded(BATCHES_AHEAD_MAX);
    let ahead = Arc::new(AtomicUsize::new(0));
    let is_open = Arc::new(AtomicBool::new(false));
    let (batch, hire) = (Batch::new(), Hire(Box::new(|| ())));
    let feed =
        Feed { sender, batch, bytes: 0, ahead: ahead.clone(), sent: 0, is_open: is_open.clone(), hire };
    (feed, Intake { receiver, ahead, is_open })
}

/// The poller's end. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct Feed {
    sender: Sender<Batch>,
    batch: Batch,
    bytes: usize,
    // Events in the channel.
    ahead: Arc<AtomicUsize>,
    // Batches that were ever sent.
    sent: u64,
    // Whether there is a worker to receive.
    is_open: Arc<AtomicBool>,
    hire: Hire,
}

// Brings a worker to receive.
struct Hire(Box<dyn Fn() + Send>);

impl std::fmt::Debug for Hire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hire")
    }
}

impl Feed {
    /// Sets what brings a worker, when something is sent and there is none.
    pub(crate) fn set_hire(&mut self, hire: impl Fn() + Send + 'static) {
        self.hire = Hire(Box::new(hire));
    }

    /// Adds an entry to the batch, and sends that when it is full. Waits while the channel is full;
    /// false when the route is to stop.
    pub(crate) fn push(&mut self, entry: Entry, stop: &Stop) -> bool {
        let bytes = entry.bytes();
        if BATCH_BYTES_MAX < self.bytes + bytes && !self.flush(stop) {
            return false;
        }
        self.bytes += bytes;
        self.batch.push(entry);
        self.batch.len() < BATCH_ENTRIES_MAX && self.bytes < BATCH_BYTES_MAX || self.flush(stop)
    }

    /// Sends what is left of a page. False when the route is to stop.
    pub(crate) fn flush(&mut self, stop: &Stop) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        // Beyond its own place a large event takes those of as many batches as it outweighs.
        let places = (self.bytes / BATCH_BYTES_MAX).max(1);
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        self.send(batch, stop) && (1..places).all(|_| self.send(Batch::new(), stop))
    }

    /// How many batches were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    fn send(&mut self, batch: Batch, stop: &Stop) -> bool {
        let events = events_of(&batch);
        self.ahead.fetch_add(events, Ordering::Relaxed);
        self.sent += 1;
        let sent = select! {
            send(self.sender, batch) -> result => result.is_ok(),
            recv(stop.channel()) -> _ => false,
        };
        if !sent {
            self.ahead.fetch_sub(events, Ordering::Relaxed);
            return false;
        }
        // The last worker says that it leaves before it looks whether something came.
        fence(Ordering::SeqCst);
        if !self.is_open.load(Ordering::SeqCst) && !self.is_open.swap(true, Ordering::SeqCst) {
            (self.hire.0)();
        }
        true
    }
}

/// The workers' end, of which one at a time makes use.
#[derive(Debug)]
pub(crate) struct Intake {
    receiver: Receiver<Batch>,
    ahead: Arc<AtomicUsize>,
    is_open: Arc<AtomicBool>,
}

impl Intake {
    /// Where the leader waits. What is received is told by [`Intake::received`].
    pub(crate) fn receiver(&self) -> &Receiver<Batch> {
        &self.receiver
    }

    /// A batch left the channel.
    pub(crate) fn received(&self, batch: &Batch) {
        self.ahead.fetch_sub(events_of(batch), Ordering::Relaxed);
    }

    /// The last worker leaves; whoever sends brings one. False when it must stay, as something came.
    pub(crate) fn close(&self) -> bool {
        self.is_open.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.receiver.is_empty() || self.is_open.swap(true, Ordering::SeqCst)
    }

    /// Events in the channel.
    pub(crate) fn events(&self) -> usize {
        self.ahead.load(Ordering::Relaxed)
    }
}

fn events_of(batch: &Batch) -> usize {
    batch.iter().filter(|entry| entry.is_event()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::stop_signal;
    use crate::testing::event;

    fn sized(bytes: usize) -> Entry {
        let mut event = event(1, "a");
        event.ce.data = vec![b' '; bytes];
        Entry::Event(event)
    }

    #[test]
    fn a_page_is_cut_into_batches_by_bytes_and_by_entries() {
        let ((mut feed, intake), (_source, stop)) = (channel(), stop_signal());
        for _ in 0..10 {
            assert!(feed.push(sized(BATCH_BYTES_MAX / 4), &stop));
        }
        assert!(feed.flush(&stop) && feed.flush(&stop));
        let lengths: Vec<usize> = intake.receiver().try_iter().map(|batch| batch.len()).collect();
        assert_eq!(lengths, [3, 3, 3, 1]);
        for _ in 0..BATCH_ENTRIES_MAX + 1 {
            assert!(feed.push(Entry::CaughtUp, &stop));
        }
        assert!(feed.flush(&stop));
        let lengths: Vec<usize> = intake.receiver().try_iter().map(|batch| batch.len()).collect();
        assert_eq!(lengths, [BATCH_ENTRIES_MAX, 1]);
        assert_eq!(feed.sent(), 6);
    }

    #[test]
    fn a_large_event_is_admitted_and_takes_the_places_of_several_batches() {
        let ((mut feed, intake), (source, stop)) = (channel(), stop_signal());
        assert!(feed.push(sized(3 * BATCH_BYTES_MAX), &stop));
        assert_eq!((intake.receiver().len(), intake.events()), (3, 1));
        // With more of them the channel is full, and the poller waits until it is told to stop.
        let waiting = std::thread::spawn(move || {
            let mut pushed = 0;
            while feed.push(sized(3 * BATCH_BYTES_MAX), &stop) {
                pushed += 1;
            }
            pushed
        });
        while intake.receiver().len() < BATCHES_AHEAD_MAX {
            std::thread::yield_now();
        }
        source.stop();
        assert!((2..BATCHES_AHEAD_MAX / 3 + 1).contains(&waiting.join().unwrap()));
        let batches: Vec<Batch> = intake.receiver().try_iter().collect();
        batches.iter().for_each(|batch| intake.received(batch));
        assert!(batches.iter().all(|batch| batch.len() <= 1) && intake.events() == 0);
    }
}
