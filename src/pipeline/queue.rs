//! What the threads of a route share, behind one lock: the lanes, the ledger, and whether to go on.
//! Every wait ends when work comes, when its time is up, or when the queue is closed.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::config::Order;
use crate::event::{Event, Position};
use crate::limits::{OUTSTANDING_EVENTS_MAX, QUEUE_BYTES_MAX};
use crate::pipeline::lanes::Lanes;
use crate::pipeline::ledger::{EventName, Ledger, Progress};
use crate::pipeline::window::Window;
use crate::processor::Delivery;

// How often the checkpointer looks again while the last workers finish.
const ENDING_TICK: Duration = Duration::from_millis(20);

/// The shared state of a route.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    // Workers wait for deliveries, one of them until the next parked lane is due; the poller waits for
    // room, the checkpointer for progress, the poller again for the checkpointer's first record.
    work: Condvar,
    alarm: Condvar,
    room: Condvar,
    moved: Condvar,
    durable: Condvar,
}

#[derive(Debug)]
struct State {
    lanes: Lanes,
    ledger: Ledger,
    // The source that the ledger's positions belong to.
    identity: String,
    idle_workers: usize,
    // Idle workers that were told of work and have not got the lock yet: nobody needs to tell them
    // again. Each telling is a system call, whether or not someone listens.
    waking_workers: usize,
    checkpointer_waits: bool,
    alarm_armed: bool,
    // The poller found the queue full and waits until there is room again.
    full: bool,
    // Counts everything that a checkpoint must tell; `durable` is how much of it is on disk.
    version: u64,
    durable: u64,
    phase: Phase,
}

/// What the threads of a route are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Phase {
    /// Read and deliver.
    Running,
    /// Deliver what is waiting, then end.
    Draining,
    /// Finish what is in flight, then end.
    Closed,
}

/// What a worker did with a delivery it had taken.
#[derive(Debug)]
pub(crate) enum Done {
    /// The event is settled.
    Settled(Delivery),
    /// It must be delivered again, not before this.
    Parked(Delivery, Instant),
}

/// What the checkpointer has to write.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The source that it belongs to.
    pub(crate) identity: String,
    /// The state that the record tells.
    pub(crate) progress: Progress,
    /// To be handed back when it is durable.
    pub(crate) version: u64,
}

/// The numbers of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gauge {
    /// Events read and not in the settled prefix.
    pub(crate) outstanding: usize,
    /// Events that wait for a worker.
    pub(crate) waiting: usize,
    /// The time up to which everything is settled.
    pub(crate) time: Timestamp,
}

impl Queue {
    /// Nothing waits; nothing is settled.
    pub(crate) fn new(order: Order) -> Queue {
        Queue {
            state: Mutex::new(State {
                lanes: Lanes::new(order),
                ledger: Ledger::new(Timestamp::MIN, Window::default(), None),
                identity: String::new(),
                idle_workers: 0,
                waking_workers: 0,
                checkpointer_waits: false,
                alarm_armed: false,
                full: false,
                version: 0,
                durable: 0,
                phase: Phase::Running,
            }),
            work: Condvar::new(),
            alarm: Condvar::new(),
            room: Condvar::new(),
            moved: Condvar::new(),
            durable: Condvar::new(),
        }
    }

    /// Sets the source and where the route stands in it before its first event, and makes the checkpointer
    /// record it.
    pub(crate) fn begin(&self, identity: &str, ledger: Ledger) {
        let mut state = self.lock();
        state.identity = identity.to_string();
        state.ledger = ledger;
        self.tell_checkpointer(&mut state);
    }

    /// What is pushed from now on comes from another source.
    pub(crate) fn change_source(&self, identity: &str) {
        let mut state = self.lock();
        state.identity = identity.to_string();
        state.ledger.change_source();
        self.tell_checkpointer(&mut state);
    }

    /// The source's clock shows `present`, so much ahead of this machine's.
    pub(crate) fn see_present(&self, present: Timestamp, offset: SignedDuration) {
        self.lock().ledger.see_present(present, offset);
    }

    /// The source's clock was set back: a position after `to` comes back to it.
    pub(crate) fn set_back(&self, to: Timestamp) {
        let mut state = self.lock();
        state.ledger.set_back(to);
        self.tell_checkpointer(&mut state);
    }

    /// Everything that the source has was pushed.
    pub(crate) fn catch_up(&self) {
        let mut state = self.lock();
        state.ledger.catch_up();
        self.tell_checkpointer(&mut state);
    }

    /// What is pushed next, of this time, has a key that another event of the same second had.
    pub(crate) fn keys_begin_again(&self, time: Timestamp) {
        self.lock().ledger.begin_again(time);
    }

    /// Waits until all that was to be recorded by now is durable. False when the queue was closed
    /// first.
    pub(crate) fn wait_durable(&self) -> bool {
        let mut state = self.lock();
        let wanted = state.version;
        while state.durable < wanted && state.phase == Phase::Running {
            state = wait(&self.durable, state, None);
        }
        wanted <= state.durable
    }

    /// Puts an event into its lane; waits while the queue is full. False when it was closed.
    pub(crate) fn push(&self, event: Event) -> bool {
        let Some(mut state) = self.wait_room(event.bytes()) else { return false };
        let sequence = state.ledger.issue(Some(event.position));
        state.lanes.push(sequence, event);
        self.wake_worker(state);
        true
    }

    /// An event that needs no delivery (excluded, or kept as a dead letter) takes its place in the
    /// ledger; waits while that is full. False when the queue was closed.
    pub(crate) fn push_settled(&self, position: Option<Position>, name: Option<EventName>) -> bool {
        let Some(mut state) = self.wait_room(0) else { return false };
        let sequence = state.ledger.issue(position);
        state.ledger.settle(sequence, name);
        self.tell_checkpointer(&mut state);
        true
    }

    // None when the queue was closed.
    fn wait_room(&self, bytes: usize) -> Option<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.full = state.is_full(bytes);
        while state.phase == Phase::Running && state.full {
            state = wait(&self.room, state, None);
        }
        (state.phase == Phase::Running).then_some(state)
    }

    /// Hands back what a worker did, and takes its next deliveries: waits until there are some. False
    /// when the worker must end.
    pub(crate) fn exchange(&self, done: &mut Vec<Done>, most: usize, taken: &mut Vec<Delivery>) -> bool {
        let mut state = self.lock();
        self.settle(&mut state, done);
        loop {
            if state.phase == Phase::Closed {
                return false;
            }
            let now = Instant::now();
            state.lanes.take(now, most, taken);
            if !taken.is_empty() {
                // Pass on what this worker leaves behind: other deliveries, or the watch for parked ones.
                self.wake_worker(state);
                return true;
            }
            if state.phase == Phase::Draining && state.lanes.events() == 0 {
                // Others may have gone to rest while this worker had the last delivery.
                self.work.notify_all();
                self.alarm.notify_all();
                return false;
            }
            state = self.rest(state, now);
        }
    }

    // One worker watches for the next parked lane, so that its time wakes one and not all.
    fn rest<'a>(&self, mut state: MutexGuard<'a, State>, now: Instant) -> MutexGuard<'a, State> {
        match state.lanes.next_due() {
            Some(due) if !state.alarm_armed => {
                state.alarm_armed = true;
                state = wait(&self.alarm, state, Some(due.saturating_duration_since(now)));
                state.alarm_armed = false;
            }
            _ => {
                state.idle_workers += 1;
                state = wait(&self.work, state, None);
                state.idle_workers -= 1;
                state.waking_workers = state.waking_workers.saturating_sub(1);
            }
        }
        state
    }

    fn settle(&self, state: &mut State, done: &mut Vec<Done>) {
        // What is settled ahead of its turn is recorded too: while one object is held for hours, a
        // restart must not repeat all the others.
        let mut moved = false;
        for done in done.drain(..) {
            match done {
                Done::Settled(delivery) => {
                    let (sequence, event) = state.lanes.finish(delivery);
                    state.ledger.settle(sequence, Some(event.ce.into()));
                    moved = true;
                }
                Done::Parked(delivery, due) => {
                    state.lanes.park(delivery, due);
                    // Whoever watches computed its time without this delivery.
                    if state.alarm_armed {
                        self.alarm.notify_one();
                    }
                }
            }
        }
        if moved {
            self.tell_checkpointer(state);
        }
        if state.full && state.is_roomy() {
            state.full = false;
            self.room.notify_one();
        }
    }

    /// For the checkpointer: waits until there is something new to record; when the route is ending, only
    /// for a moment. None when there is nothing.
    pub(crate) fn wait_moved(&self) -> Option<Snapshot> {
        let mut state = self.lock();
        if state.durable == state.version {
            let longest = (state.phase != Phase::Running).then_some(ENDING_TICK);
            state.checkpointer_waits = true;
            state = wait(&self.moved, state, longest);
            state.checkpointer_waits = false;
        }
        (state.durable < state.version).then(|| Snapshot {
            identity: state.identity.clone(),
            progress: state.ledger.progress(),
            version: state.version,
        })
    }

    /// The checkpointer has made this version durable.
    pub(crate) fn recorded(&self, version: u64) {
        let mut state = self.lock();
        state.durable = state.durable.max(version);
        self.durable.notify_all();
    }

    /// Tells all threads to come to an end. A phase never goes back.
    pub(crate) fn set_phase(&self, phase: Phase) {
        let mut state = self.lock();
        if state.phase < phase {
            state.phase = phase;
        }
        for condvar in [&self.work, &self.alarm, &self.room, &self.moved, &self.durable] {
            condvar.notify_all();
        }
    }

    /// The numbers of this moment.
    pub(crate) fn gauge(&self) -> Gauge {
        let state = self.lock();
        Gauge {
            outstanding: state.ledger.outstanding(),
            waiting: state.lanes.events(),
            time: state.ledger.time(),
        }
    }

    // There is something new to record.
    fn tell_checkpointer(&self, state: &mut State) {
        state.version += 1;
        if state.checkpointer_waits {
            self.moved.notify_one();
        }
    }

    // Gives the lock back first, so that whoever wakes need not wait for it.
    fn wake_worker(&self, mut state: MutexGuard<'_, State>) {
        let unwatched = !state.alarm_armed && state.lanes.next_due().is_some();
        if state.lanes.ready() == 0 && !unwatched {
            return;
        }
        if state.waking_workers < state.idle_workers {
            state.waking_workers += 1;
            drop(state);
            self.work.notify_one();
        } else if state.idle_workers == 0 && state.alarm_armed {
            drop(state);
            self.alarm.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panics ends the process; until then the others must not pile up panics.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    fn is_full(&self, bytes: usize) -> bool {
        let waiting = self.lanes.bytes();
        OUTSTANDING_EVENTS_MAX <= self.ledger.outstanding()
            || (0 < waiting && QUEUE_BYTES_MAX < waiting.saturating_add(bytes))
    }

    // Well below full, so that poller and workers do not wake each other for every event.
    fn is_roomy(&self) -> bool {
        self.ledger.outstanding() <= OUTSTANDING_EVENTS_MAX / 4 * 3
            && self.lanes.bytes() <= QUEUE_BYTES_MAX / 2
    }
}

fn wait<'a>(
    condvar: &Condvar,
    state: MutexGuard<'a, State>,
    longest: Option<Duration>,
) -> MutexGuard<'a, State> {
    match longest {
        None => condvar.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner()),
        Some(longest) => {
            condvar.wait_timeout(state, longest).unwrap_or_else(|poisoned| poisoned.into_inner()).0
        }
    }
}
