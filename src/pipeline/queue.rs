//! What the threads of a route share, behind one lock: the dispatch, and how they wait.
//! Every wait ends when there is work, when its time is up, or when the queue is closed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, never, select};

use crate::config::RouteConfig;
use crate::limits::{CREDENTIALS_TICK, WORKER_IDLE_MAX};
use crate::pipeline::batch::{Batch, Feed, Intake, channel};
use crate::pipeline::crew::Lead;
use crate::pipeline::dispatch::{Dispatch, Done, Full, Gauge, Holder, NextStep};
use crate::pipeline::ledger::Ledger;
use crate::pipeline::staff::Staff;
use crate::position::checkpointer::Unsaved;
use crate::processor::Delivery;
use crate::sync::{lock, unpoisoned};

// How often the checkpointer looks again while the last workers finish.
const ENDING_TICK: Duration = Duration::from_millis(20);

/// The shared state of a route.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    intake: Intake,
    // The leader waits for the channel, for a retry, or for this.
    nudge: Sender<()>,
    nudged: Receiver<()>,
    // Followers wait for a call, the checkpointer for progress, the poller for the record of what it said.
    work: Condvar,
    moved: Condvar,
    durable: Condvar,
    // Where the number of workers is not given: those of the whole process.
    staff: Option<Arc<Staff>>,
}

/// What a worker is to do after it handed back what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Deliver what it took.
    Deliver,
    /// End: it is not needed now.
    Leave,
    /// End: nothing will come any more.
    End,
}

/// What a worker can be asked while it waits for work.
pub(crate) trait Helper {
    /// While deliveries wait for a retry: whether they need not, now.
    fn has_news(&self) -> bool;
    /// Starts one more worker, who is counted already.
    fn recruit(&self);
}

#[derive(Debug)]
struct State {
    dispatch: Dispatch,
    checkpointer_waits: bool,
    // How much of the dispatch's version is on disk.
    durable: u64,
}

// What a leader waited for has come.
enum Woken {
    Batch(Batch),
    StreamEnded,
    Other,
}

impl Queue {
    /// Nothing waits; nothing is settled. The feed is the poller's.
    pub(crate) fn new(config: &RouteConfig, staff: &Arc<Staff>, has_targets: bool) -> (Queue, Feed) {
        let (feed, intake) = channel();
        let staff = config.workers.is_none().then(|| staff.clone());
        let (nudge, nudged) = bounded(1);
        let mut dispatch = Dispatch::new(config);
        if has_targets {
            dispatch.crew().serve_targets(config.order);
        }
        let state = State { dispatch, checkpointer_waits: false, durable: 0 };
        let queue = Queue {
            state: Mutex::new(state),
            intake,
            nudge,
            nudged,
            work: Condvar::new(),
            moved: Condvar::new(),
            durable: Condvar::new(),
            staff,
        };
        (queue, feed)
    }

    /// The poller starts a worker, as none is there to receive.
    pub(crate) fn hire(&self) {
        let mut state = self.lock();
        let before = state.dispatch.crew().present();
        state.dispatch.crew().hire();
        self.changed(&mut state, before);
    }

    /// A worker that was started has come.
    pub(crate) fn arrive(&self) {
        self.lock().dispatch.crew().arrive();
    }

    /// A worker could not be started. False when there is none at all.
    pub(crate) fn cannot_hire(&self) -> bool {
        let mut state = self.lock();
        let before = state.dispatch.crew().present();
        state.dispatch.crew().cannot_hire();
        self.changed(&mut state, before);
        1 < before
    }

    // The number of workers is another one now.
    fn changed(&self, state: &mut State, before: usize) {
        if let Some(staff) = &self.staff {
            staff.changed(before, state.dispatch.crew().present());
        }
    }

    /// Sets the source and where the route stands in it before its first event, and makes the checkpointer
    /// record it.
    pub(crate) fn begin(&self, identity: &str, ledger: Ledger) {
        let mut state = self.lock();
        state.dispatch.begin(identity, ledger);
        self.tell_checkpointer(&state);
    }

    /// Waits until all that the poller said in its first `sent` batches is durable. False when the queue
    /// was closed first.
    pub(crate) fn wait_durable(&self, sent: u64) -> bool {
        let mut state = self.lock();
        let mut wanted = None;
        loop {
            if sent <= state.dispatch.received() {
                let wanted = *wanted.get_or_insert(state.dispatch.version());
                if wanted <= state.durable {
                    return true;
                }
            }
            if state.dispatch.is_closed() {
                return false;
            }
            state = wait(&self.durable, state, None);
        }
    }

    /// Hands back what a worker did, and takes its next deliveries: waits until there are some.
    pub(crate) fn exchange(
        &self,
        done: &mut Vec<Done>,
        most: usize,
        taken: &mut Vec<Delivery>,
        helper: &dyn Helper,
    ) -> Turn {
        let mut state = self.lock();
        let version = state.dispatch.version();
        state.dispatch.settle(done, Instant::now());
        self.tell_if_moved(&state, version);
        loop {
            let now = Instant::now();
            let present = state.dispatch.crew().present();
            if let Some(staff) = &self.staff {
                state.dispatch.crew().set_share(staff.share(present));
            }
            let step = state.dispatch.step(now, most, taken);
            let calls = state.dispatch.calls(now);
            if calls.leader || calls.all {
                // One that lies there already is as good.
                let _ = self.nudge.try_send(());
            }
            if calls.all {
                self.work.notify_all();
            }
            if calls.recruit {
                self.changed(&mut state, present);
            }
            match step {
                NextStep::Deliver => {
                    // Gives the lock back first, so that whoever wakes need not wait for it.
                    drop(state);
                    if calls.follower {
                        self.work.notify_one();
                    }
                    if calls.recruit {
                        helper.recruit();
                    }
                    return Turn::Deliver;
                }
                NextStep::Leave if present == 1 && !self.intake.close() => state.dispatch.crew().stay(),
                NextStep::Leave | NextStep::End => {
                    state.dispatch.crew().leave();
                    self.changed(&mut state, present);
                    return if step == NextStep::End { Turn::End } else { Turn::Leave };
                }
                NextStep::Follow => {
                    state = wait(&self.work, state, Some(WORKER_IDLE_MAX));
                    state.dispatch.stop_following();
                }
                NextStep::Lead(lead) => {
                    drop(state);
                    let woken = self.lead(lead);
                    let has_news = lead.due.is_some() && helper.has_news();
                    state = self.lock();
                    if has_news {
                        state.dispatch.end_waits(Instant::now());
                    }
                    state.dispatch.stop_leading();
                    let version = state.dispatch.version();
                    self.take_in(&mut state, woken);
                    self.tell_if_moved(&state, version);
                }
            }
        }
    }

    // The leader's wait, without the lock.
    fn lead(&self, lead: Lead) -> Woken {
        let never = never();
        let batches = if lead.receives { self.intake.receiver() } else { &never };
        let until = |due: Instant| due.saturating_duration_since(Instant::now()).min(CREDENTIALS_TICK);
        let longest = lead.due.map_or(WORKER_IDLE_MAX, until);
        select! {
            recv(batches) -> batch => batch.map_or(Woken::StreamEnded, Woken::Batch),
            recv(self.nudged) -> _ => Woken::Other,
            default(longest) => Woken::Other,
        }
    }

    // Moves what the leader received, and what else lies there, as far as there is room.
    fn take_in(&self, state: &mut State, woken: Woken) {
        let mut next = match woken {
            Woken::Batch(batch) => Ok(batch),
            Woken::StreamEnded => Err(TryRecvError::Disconnected),
            Woken::Other => return,
        };
        loop {
            match next {
                Ok(batch) => {
                    self.intake.received(&batch);
                    state.dispatch.receive(batch);
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return state.dispatch.end_stream(),
            }
            if !state.dispatch.is_receiving() {
                return;
            }
            next = self.intake.receiver().try_recv();
        }
    }

    /// For the checkpointer: waits until there is something new to record; when the route is ending, only
    /// for a moment. None when there is nothing.
    pub(crate) fn wait_moved(&self) -> Option<Unsaved> {
        let mut state = self.lock();
        if state.durable == state.dispatch.version() {
            let longest = state.dispatch.is_closed().then_some(ENDING_TICK);
            state.checkpointer_waits = true;
            state = wait(&self.moved, state, longest);
            state.checkpointer_waits = false;
        }
        (state.durable < state.dispatch.version()).then(|| state.dispatch.snapshot())
    }

    /// The checkpointer has made this version durable.
    pub(crate) fn recorded(&self, version: u64) {
        let mut state = self.lock();
        state.durable = state.durable.max(version);
        self.durable.notify_all();
        if state.dispatch.hold(false) {
            // All of them may have work.
            let _ = self.nudge.try_send(());
            self.work.notify_all();
        }
    }

    /// There is no room for a record: nothing is delivered until there is one.
    pub(crate) fn hold(&self) {
        self.lock().dispatch.hold(true);
    }

    /// Gives up what waits: only what is in flight is finished.
    pub(crate) fn close(&self) {
        self.lock().dispatch.close();
        let _ = self.nudge.try_send(());
        for condvar in [&self.work, &self.moved, &self.durable] {
            condvar.notify_all();
        }
    }

    /// What waits for retries, when there is no room for more of it.
    pub(crate) fn full_of(&self) -> Option<Full> {
        self.lock().dispatch.full_of()
    }

    /// How many events are owed to a target, and since when one of them fails; of no target in particular,
    /// since when an event does.
    pub(crate) fn owed_to(&self, target: &str) -> (usize, Option<Instant>) {
        self.lock().dispatch.owed_to(target)
    }

    /// What fails for the longest time.
    pub(crate) fn holder(&self) -> Option<Holder> {
        self.lock().dispatch.holder()
    }

    /// Events that all targets took in the end, of those that some failed at first.
    pub(crate) fn completed(&self) -> u64 {
        self.lock().dispatch.completed()
    }

    /// The numbers of this moment.
    pub(crate) fn gauge(&self) -> Gauge {
        let gauge = self.lock().dispatch.gauge();
        let ahead = self.intake.events();
        Gauge { outstanding: gauge.outstanding + ahead, waiting: gauge.waiting + ahead, ..gauge }
    }

    fn tell_if_moved(&self, state: &State, version: u64) {
        if version < state.dispatch.version() {
            self.tell_checkpointer(state);
        }
    }

    // There is something new to record.
    fn tell_checkpointer(&self, state: &State) {
        if state.checkpointer_waits {
            self.moved.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Queue {
    // What its workers have of the process is free again, however they ended.
    fn drop(&mut self) {
        let present = self.lock().dispatch.crew().present();
        if let Some(staff) = &self.staff {
            staff.changed(present, 0);
        }
    }
}

fn wait<'a>(
    condvar: &Condvar,
    state: MutexGuard<'a, State>,
    longest: Option<Duration>,
) -> MutexGuard<'a, State> {
    match longest {
        None => unpoisoned(condvar.wait(state)),
        Some(longest) => unpoisoned(condvar.wait_timeout(state, longest)).0,
    }
}
