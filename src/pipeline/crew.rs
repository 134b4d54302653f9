//! The workers of a route as numbers: how many there are, who sleeps, who is called, and how many may
//! deliver at a time. Pure.
//!
//! Threads are started when work waits and nobody sleeps who could take it, and leave when for a minute fewer
//! were busy. So a route without events has none.

use std::time::Instant;

use crate::config::Order;
use crate::limits::WORKER_IDLE_MAX;
use crate::pipeline::concurrency::{Call, Concurrency};

/// Who is there, and what they do.
#[derive(Debug)]
pub(crate) struct Crew {
    concurrency: Concurrency,
    // In strict order one more, where targets have rooms of their own.
    spare: usize,
    // What the process allows.
    share: usize,
    // What the system allows: when no thread could be started, for the rest of the minute.
    cap: usize,
    present: usize,
    // Those of them that were started and have not come yet.
    starting: usize,
    busy: usize,
    lead: Option<Lead>,
    // Was the leader told to look again since it began to wait?
    nudged: bool,
    followers: usize,
    // Followers that were called and have not come yet: nobody needs to call them again.
    called: usize,
    // The most that were busy at a time in this minute, and in the one before.
    peaks: [usize; 2],
    minute: Option<Instant>,
}

impl Crew {
    /// Nobody is there. So many may deliver at a time, or without a number as many as the sink takes.
    pub(crate) fn new(workers: Option<usize>) -> Crew {
        Crew {
            concurrency: Concurrency::new(workers),
            spare: 0,
            share: usize::MAX,
            cap: usize::MAX,
            present: 0,
            starting: 0,
            busy: 0,
            lead: None,
            nudged: false,
            followers: 0,
            called: 0,
            peaks: [0; 2],
            minute: None,
        }
    }

    /// There are several targets, and one that hangs must leave workers to the others. In strict order they
    /// are never called at the same time for different events, so that there one more is enough.
    pub(crate) fn serve_targets(&mut self, order: Order) {
        match order {
            Order::Strict => self.spare = 1,
            Order::Entity | Order::None => self.concurrency.keep_begin(),
        }
    }

    /// What the process allows at most, from now on.
    pub(crate) fn set_share(&mut self, share: usize) {
        self.share = share;
    }

    /// How many may deliver at a time.
    pub(crate) fn limit(&self) -> usize {
        (self.concurrency.limit() + self.spare).min(self.share).min(self.cap)
    }

    /// How many are there.
    pub(crate) fn present(&self) -> usize {
        self.present
    }

    /// Whether one more may begin to deliver.
    pub(crate) fn may_begin(&self) -> bool {
        self.busy < self.limit()
    }

    /// One begins to deliver.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.busy += 1;
        self.look_at(now);
        self.peaks[0] = self.peaks[0].max(self.busy);
    }

    /// One has delivered.
    pub(crate) fn end(&mut self, call: Call, now: Instant) {
        self.busy -= 1;
        self.concurrency.ended(call, now);
    }

    /// One is started.
    pub(crate) fn hire(&mut self) {
        self.present += 1;
        self.starting += 1;
    }

    /// It has come.
    pub(crate) fn arrive(&mut self) {
        self.starting -= 1;
    }

    /// It could not be started: those that are there must do, until the minute is over.
    pub(crate) fn cannot_hire(&mut self) {
        self.starting -= 1;
        self.present -= 1;
        self.cap = self.present.max(1);
    }

    /// One that slept or came has nothing to do and leaves.
    pub(crate) fn leave(&mut self) {
        self.present -= 1;
    }

    /// Whether one that has nothing to do may leave, beside a leader.
    pub(crate) fn is_surplus(&mut self, now: Instant) -> bool {
        self.look_at(now);
        self.limit() < self.present || self.peaks[0].max(self.peaks[1]) + 1 < self.present
    }

    /// Whether the last one may leave, as far as time alone decides.
    pub(crate) fn is_idle(&mut self, now: Instant) -> bool {
        self.look_at(now);
        self.present == 1 && self.peaks == [0; 2]
    }

    /// There is work after all.
    pub(crate) fn stay(&mut self) {
        self.peaks[0] = self.peaks[0].max(1);
    }

    fn look_at(&mut self, now: Instant) {
        let since = *self.minute.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since);
        if elapsed < WORKER_IDLE_MAX {
            return;
        }
        let is_long_ago = WORKER_IDLE_MAX * 2 <= elapsed;
        self.peaks = [self.busy, if is_long_ago { self.busy } else { self.peaks[0] }];
        (self.minute, self.cap) = (Some(now), usize::MAX);
    }

    /// What the leader waits for, if there is one.
    pub(crate) fn lead(&self) -> Option<Lead> {
        self.lead
    }

    /// One leads.
    pub(crate) fn start_leading(&mut self, lead: Lead) {
        (self.lead, self.nudged) = (Some(lead), false);
    }

    /// The leader woke up.
    pub(crate) fn stop_leading(&mut self) {
        self.lead = None;
    }

    /// One sleeps until it is called.
    pub(crate) fn follow(&mut self) {
        self.followers += 1;
    }

    /// A follower woke up.
    pub(crate) fn stop_following(&mut self) {
        self.followers -= 1;
        self.called = self.called.saturating_sub(1);
    }

    /// Whether a follower is called that nobody called yet. Counts as done.
    pub(crate) fn call_follower(&mut self) -> bool {
        let is_called = self.called < self.followers;
        self.called += usize::from(is_called);
        is_called
    }

    /// Whether somebody is on the way to look for work.
    pub(crate) fn is_called(&self) -> bool {
        0 < self.called + self.starting
    }

    /// The leader, where it was not told to look again. Counts as told, where it is true of what it waits for.
    pub(crate) fn nudge(&mut self, must_look: impl FnOnce(Lead) -> bool) -> bool {
        let is_nudged = self.lead.filter(|_| !self.nudged).is_some_and(must_look);
        self.nudged |= is_nudged;
        is_nudged
    }

    /// Whether one is started: others deliver, nobody sleeps, and one more may deliver. Counts as started.
    pub(crate) fn recruit(&mut self) -> bool {
        let nobody_waits = self.lead.is_none() && !self.is_called();
        let is_wanted = 0 < self.busy && nobody_waits && self.present < self.limit();
        if is_wanted {
            self.hire();
        }
        is_wanted
    }
}

/// What the leader waits for, beside a nudge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lead {
    /// For a batch: there is room.
    pub(crate) receives: bool,
    /// For this moment, when the next parked lane is due.
    pub(crate) due: Option<Instant>,
}
