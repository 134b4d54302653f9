//! Which worker does what: leader and followers, as a state machine without clock and thread.
//!
//! ```text
//!             batch                 take
//!   channel --------> inbox, lanes ------> a worker delivers --> settle or park --+
//!      |                   ^ ledger                                              |
//!      +-- one worker without work leads: it waits for the channel and the next retry
//!          the others follow: they wait until they are called  <----------------+
//! ```
//!
//! Only the leader receives, so the stream keeps its order. Whoever leaves with work passes on what is
//! left: he calls a follower, who takes other work or leads in his place. The end of the stream is the
//! poller's end of the channel that was dropped.

use std::collections::VecDeque;
use std::time::Instant;

use jiff::Timestamp;

use crate::config::RouteConfig;
use crate::event::{Event, Sequence};
use crate::limits::{HELD_BYTES_MAX, LANES_BYTES_MAX, RECOVERY_SPREAD};
use crate::pipeline::batch::{Batch, Entry};
use crate::pipeline::concurrency::Call;
use crate::pipeline::crew::{Crew, Lead};
use crate::pipeline::lanes::Lanes;
use crate::pipeline::ledger::Ledger;
use crate::pipeline::outage::Outage;
use crate::pipeline::rooms::{Answers, Owing, Rooms};
use crate::position::Standing;
use crate::position::checkpointer::Unsaved;
use crate::position::window::Window;
use crate::processor::{Aim, Delivery, Target};

/// What a worker did with a delivery it had taken.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) delivery: Delivery,
    /// What follows.
    pub(crate) then: Then,
    /// What its targets answered, where there are several.
    pub(crate) answers: Answers,
    /// The sink asked for less.
    pub(crate) is_pushed_back: bool,
}

/// What follows from a delivery.
#[derive(Debug)]
pub(crate) enum Then {
    /// The event is settled, or the part of it that this was.
    Settle,
    /// It must be delivered again, not before this.
    Again(Instant),
    /// The event is settled but for these targets.
    Owe(Vec<Owing>),
}

/// What waits, when there is no room for more of it and the route holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// The target that is owed most, where there are several.
    pub(crate) target: Option<Target>,
    /// Events that wait for it.
    pub(crate) events: usize,
    /// Bytes of all that waits.
    pub(crate) bytes: usize,
}

/// What holds the position: it fails and is tried again, while others go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// An event, or the target that owes it.
    pub(crate) name: String,
    /// When it failed first.
    pub(crate) since: Instant,
    /// Events that wait for that.
    pub(crate) events: usize,
}

/// What a worker is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// Deliver what it took.
    Deliver,
    /// Wait for what the lead waits for, then say so by [`Dispatch::stop_leading`].
    Lead(Lead),
    /// Wait until it is called, then say so by [`Dispatch::stop_following`].
    Follow,
    /// Leave: it was not needed for a minute. Then say so by [`Crew::leave`].
    Leave,
    /// End: nothing will come any more.
    End,
}

/// Whom to wake after a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    /// One follower.
    pub(crate) follower: bool,
    /// The leader, who waits for something else than what is due.
    pub(crate) leader: bool,
    /// One who is not there yet, by starting a thread.
    pub(crate) recruit: bool,
    /// Everybody: it is over.
    pub(crate) all: bool,
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

/// The events of a route between the channel and the workers.
#[derive(Debug)]
pub(crate) struct Dispatch {
    lanes: Lanes,
    rooms: Rooms,
    // What is owed was served last: what flows comes next.
    served_rooms: bool,
    ledger: Ledger,
    // The source that the ledger's positions belong to.
    identity: String,
    // What was received and has not found room.
    inbox: VecDeque<Entry>,
    received: u64,
    crew: Crew,
    // The stream has ended.
    ended: bool,
    closed: bool,
    // There is no room for a record: what is delivered now would be repeated after a crash.
    holds: bool,
    // Counts everything that a checkpoint must tell.
    version: u64,
    recovery: Outage,
}

impl Dispatch {
    /// Nothing waits; nothing is settled; nobody is there.
    pub(crate) fn new(config: &RouteConfig) -> Dispatch {
        Dispatch {
            lanes: Lanes::new(config.order),
            rooms: Rooms::new(config.retry.give_up_after),
            served_rooms: false,
            ledger: Ledger::new(Timestamp::MIN, Window::default(), None),
            identity: String::new(),
            inbox: VecDeque::new(),
            received: 0,
            crew: Crew::new(config.workers),
            ended: false,
            closed: false,
            holds: false,
            version: 0,
            recovery: Outage::default(),
        }
    }

    /// Sets the source and where the route stands in it, before its first event.
    pub(crate) fn begin(&mut self, identity: &str, ledger: Ledger) {
        self.identity = identity.to_string();
        self.ledger = ledger;
        self.version += 1;
    }

    /// Takes a batch out of the channel.
    pub(crate) fn receive(&mut self, batch: Batch) {
        self.received += 1;
        match self.inbox.is_empty() {
            true => self.inbox = batch.into(),
            false => self.inbox.extend(batch),
        }
        self.admit();
    }

    /// The poller has dropped its end of the channel.
    pub(crate) fn end_stream(&mut self) {
        self.ended = true;
    }

    /// Whether a batch should be taken out of the channel.
    pub(crate) fn is_receiving(&self) -> bool {
        !self.ended && !self.closed && !self.holds && self.inbox.is_empty() && self.has_room(None)
    }

    /// A worker hands back what it did.
    pub(crate) fn settle(&mut self, done: &mut Vec<Done>, now: Instant) {
        if done.is_empty() {
            return;
        }
        let call = Call {
            delivered: done.iter().filter(|done| !matches!(done.then, Then::Again(_))).count(),
            is_pushed_back: done.iter().any(|done| done.is_pushed_back),
            is_saturated: !self.crew.may_begin() && 0 < self.lanes.ready(),
        };
        self.crew.end(call, now);
        for Done { delivery, then, answers, .. } in done.drain(..) {
            let is_part = delivery.owing().is_some();
            self.rooms.hear(&answers, is_part, now);
            if is_part {
                self.settle_part(delivery, then, answers.refused, now);
                continue;
            }
            match then {
                Then::Settle => {
                    let (sequence, event) = self.lanes.finish(delivery);
                    self.settle_event(sequence, event.into_event());
                    self.note_success(now);
                }
                Then::Again(due) => {
                    let due = self.recovery.failed(due, now);
                    self.lanes.park(delivery, due);
                }
                Then::Owe(owing) => {
                    let lane = delivery.ticket.lane;
                    let (sequence, event) = self.lanes.finish(delivery);
                    self.rooms.split((sequence, lane), event, owing, answers.refused, now);
                    self.note_success(now);
                }
            }
        }
        self.admit();
    }

    /// What waits for a retry need not wait for its own time any more.
    pub(crate) fn end_waits(&mut self, now: Instant) {
        self.lanes.end_waits(now, RECOVERY_SPREAD);
        self.rooms.end_waits(now);
    }

    fn settle_part(&mut self, part: Delivery, then: Then, refused: bool, now: Instant) {
        match then {
            Then::Again(due) => self.rooms.put_back(part, due, now),
            Then::Settle | Then::Owe(_) => {
                if let Some((sequence, event)) = self.rooms.finish(part, refused, now) {
                    self.settle_event(sequence, event);
                }
            }
        }
    }

    // What is settled ahead of its turn is recorded too: while one object is held for hours, a restart
    // must not repeat all the others.
    fn settle_event(&mut self, sequence: Sequence, event: Event) {
        event.tell_settled();
        self.ledger.settle(sequence, Some(event.ce.into()));
        self.version += 1;
    }

    fn note_success(&mut self, now: Instant) {
        if self.recovery.succeeded(now) {
            self.lanes.end_waits(now, RECOVERY_SPREAD);
        }
    }

    /// A worker that has nothing to do takes its next deliveries, or is told what to wait for.
    pub(crate) fn step(&mut self, now: Instant, most: usize, taken: &mut Vec<Delivery>) -> NextStep {
        if self.closed {
            return NextStep::End;
        }
        if !self.holds && self.crew.may_begin() {
            self.take(now, most, taken);
        }
        if !taken.is_empty() {
            self.crew.begin(now);
            self.admit();
            return NextStep::Deliver;
        }
        if self.is_drained() {
            return NextStep::End;
        }
        if self.crew.lead().is_some() {
            if self.crew.is_surplus(now) {
                return NextStep::Leave;
            }
            self.crew.follow();
            return NextStep::Follow;
        }
        if self.is_empty() && !self.holds && self.crew.is_idle(now) {
            return NextStep::Leave;
        }
        let lead = Lead { receives: self.is_receiving(), due: self.next_due() };
        self.crew.start_leading(lead);
        NextStep::Lead(lead)
    }

    // What flows and what is owed take turns.
    fn take(&mut self, now: Instant, most: usize, taken: &mut Vec<Delivery>) {
        self.rooms.set_workers(self.crew.limit());
        if !self.served_rooms {
            taken.extend(self.rooms.take(now));
        }
        if taken.is_empty() {
            self.lanes.take(now, most, taken);
            taken.iter_mut().for_each(|delivery| self.withhold(delivery));
            self.served_rooms = false;
            if !taken.is_empty() {
                return;
            }
            taken.extend(self.rooms.take(now));
        }
        self.served_rooms = !taken.is_empty();
    }

    // Where something of this lane is owed, its later events must not come first.
    fn withhold(&self, delivery: &mut Delivery) {
        if let Aim::Subscribers(withheld) = &mut delivery.aim
            && !(self.rooms.is_empty() && withheld.is_empty())
        {
            *withheld = self.rooms.withheld(delivery.ticket.lane);
        }
    }

    // When something that waits for a retry is due.
    fn next_due(&self) -> Option<Instant> {
        if self.holds || !self.crew.may_begin() {
            return None;
        }
        let (lanes, rooms) = (self.lanes.next_due(), self.rooms.next_due());
        lanes.map_or(rooms, |lanes| Some(rooms.map_or(lanes, |rooms| rooms.min(lanes))))
    }

    // Whether a worker that looks now finds something.
    fn is_work(&self, now: Instant) -> bool {
        let may_begin = !self.holds && self.crew.may_begin();
        may_begin && (0 < self.lanes.ready() || self.rooms.next_due().is_some_and(|due| due <= now))
    }

    /// The leader woke up. Whoever has nothing to do next leads again.
    pub(crate) fn stop_leading(&mut self) {
        self.crew.stop_leading();
    }

    /// A follower woke up.
    pub(crate) fn stop_following(&mut self) {
        self.crew.stop_following();
    }

    /// Who is there.
    pub(crate) fn crew(&mut self) -> &mut Crew {
        &mut self.crew
    }

    /// Whom to wake now. Each answer counts as done.
    pub(crate) fn calls(&mut self, now: Instant) -> Calls {
        if self.closed || self.is_drained() {
            return Calls { all: true, ..Calls::default() };
        }
        let is_work = self.is_work(now);
        let nobody_leads = self.crew.lead().is_none();
        let follower = (is_work || nobody_leads) && self.crew.call_follower();
        let is_called = self.crew.is_called();
        let (next, is_receiving) = (self.next_due(), self.is_receiving());
        let leader = self.crew.nudge(|lead| {
            let is_earlier = next.is_some_and(|next| lead.due.is_none_or(|due| next < due));
            is_earlier || (!lead.receives && is_receiving) || (is_work && !is_called)
        });
        let recruit = self.crew.recruit();
        Calls { follower, leader, recruit, all: false }
    }

    /// Begins nothing more, or goes on; whether that changed.
    pub(crate) fn hold(&mut self, holds: bool) -> bool {
        std::mem::replace(&mut self.holds, holds) != holds
    }

    /// Nothing more is to be done but to finish what is in flight.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether that was said.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many batches were received.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Counts what a checkpoint must tell.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What a checkpoint must tell now.
    pub(crate) fn snapshot(&self) -> Unsaved {
        let standing = Standing { identity: self.identity.clone(), progress: self.ledger.progress() };
        Unsaved { standing, version: self.version }
    }

    /// How many events are owed to a target, and since when one of them fails; of no target in particular,
    /// since when an event does.
    pub(crate) fn owed_to(&self, target: &str) -> (usize, Option<Instant>) {
        match target {
            "" => (0, self.lanes.longest_failing().map(|(_, since, _)| since)),
            _ => self.rooms.owed_to(target),
        }
    }

    /// What fails for the longest time.
    pub(crate) fn holder(&self) -> Option<Holder> {
        let failing = self.lanes.longest_failing().into_iter().chain(self.rooms.longest_failing());
        let (name, since, events) = failing.min_by_key(|(_, since, _)| *since)?;
        Some(Holder { name: name.to_string(), since, events })
    }

    /// Events that all targets took in the end, of those that some failed at first.
    pub(crate) fn completed(&self) -> u64 {
        self.rooms.completed()
    }

    /// The numbers of this moment, but for what is in the channel.
    pub(crate) fn gauge(&self) -> Gauge {
        let inbox = self.inbox.iter();
        Gauge {
            outstanding: self.ledger.outstanding() + inbox.clone().filter(|entry| entry.is_event()).count(),
            waiting: self.lanes.events()
                + self.rooms.waiting()
                + inbox.filter(|entry| matches!(entry, Entry::Event(_))).count(),
            time: self.ledger.time(),
        }
    }

    fn is_drained(&self) -> bool {
        self.ended && self.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.inbox.is_empty() && self.lanes.events() == 0 && self.rooms.waiting() == 0
    }

    // One event is always admitted where none waits. What failed has room of its own; only when that is
    // full the route holds.
    fn has_room(&self, event: Option<&Event>) -> bool {
        let (flowing, held) = (self.lanes.flowing_bytes(), self.lanes.held());
        let bytes = event.map_or(0, Event::bytes);
        let has_lane_room = match event.is_some_and(|event| self.lanes.is_held(event)) {
            true => held.bytes.saturating_add(bytes) <= HELD_BYTES_MAX,
            false => flowing == 0 || flowing.saturating_add(bytes) <= LANES_BYTES_MAX,
        };
        self.ledger.has_room() && self.rooms.has_room() && held.bytes < HELD_BYTES_MAX && has_lane_room
    }

    /// What waits for retries, when there is no room for more of it and the route holds.
    pub(crate) fn full_of(&self) -> Option<Full> {
        if !self.rooms.has_room() {
            let fullest = self.rooms.fullest();
            return fullest.map(|(target, events)| Full {
                target: Some(target),
                events,
                bytes: self.rooms.bytes(),
            });
        }
        let is_stuck = match self.inbox.front() {
            Some(Entry::Event(event)) => self.lanes.is_held(event) && !self.has_room(Some(event)),
            _ => false,
        };
        let held = self.lanes.held();
        (is_stuck || HELD_BYTES_MAX <= held.bytes).then_some(Full {
            target: None,
            events: held.events,
            bytes: held.bytes,
        })
    }

    fn admit(&mut self) {
        while let Some(entry) = self.inbox.front() {
            let has_room = match entry {
                Entry::Event(event) => self.has_room(Some(event)),
                Entry::Settled(..) => self.has_room(None),
                _ => true,
            };
            if !has_room {
                return;
            }
            if let Some(entry) = self.inbox.pop_front() {
                self.apply(entry);
            }
        }
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Event(event) => {
                let sequence = self.ledger.issue(Some(event.position));
                self.lanes.push(sequence, event);
                return;
            }
            Entry::KeysBeginAgain(time) => return self.ledger.begin_again(time),
            Entry::Present(present, offset) => return self.ledger.see_present(present, offset),
            Entry::Settled(position, name) => {
                let sequence = self.ledger.issue(position);
                self.ledger.settle(sequence, name);
            }
            Entry::SourceChanged(identity) => {
                self.identity = identity;
                self.ledger.change_source();
            }
            Entry::ClockSetBack(to) => self.ledger.set_back(to),
            Entry::CaughtUp => self.ledger.catch_up(),
        }
        self.version += 1;
    }
}

#[cfg(test)]
mod tests;
