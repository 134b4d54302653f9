//! The waiting room of one target that fails: what is owed to it, in the order of each lane, and how
//! the target is. Pure data; time comes in as a value.
//!
//! A target is *down* when it fails much more often than it succeeds, whatever the event. Then everything
//! for it comes here without an attempt, and one worker at a time tries whether it is back, with a pause
//! after each failure. It is trusted again after a run of successes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::event::{Lane, Sequence};
use crate::limits::{RECOVERY_SPREAD, TARGET_DOUBT_MAX, TARGET_DOUBT_OF_FAILURE};
use crate::pipeline::outage::Outage;
use crate::processor::{Delivery, Failure};

/// A target that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    /// Until when it should be left alone.
    pub(crate) pause: Instant,
}

/// What waits for one target.
#[derive(Debug, Default)]
pub(crate) struct Room {
    lanes: HashMap<Lane, Parts>,
    // Parts that were tried, those that are away too, by when they failed first.
    failing: BTreeMap<(Instant, Sequence), Lane>,
    // The lanes of which the first part may be taken from then on.
    due: BTreeMap<(Instant, Sequence), Lane>,
    // All parts, those that are away too, and since when they are here.
    ages: BTreeMap<Sequence, (Instant, Lane)>,
    away: usize,
    // What is given up could not be kept as a dead letter: the next try.
    kept_until: Option<Instant>,
    health: Health,
    recovery: Outage,
}

// The parts of one lane. `due` is none while the first of them is away.
#[derive(Debug, Default)]
struct Parts {
    waiting: VecDeque<Delivery>,
    due: Option<Instant>,
}

// Rises with each event that fails for the first time, and sinks with each success.
#[derive(Debug, Default)]
struct Health {
    doubt: u32,
    is_down: bool,
    // The last failure since the last success, how often it was tried in vain since it is down, and until
    // when nothing is tried.
    is_failing: bool,
    misses: u32,
    last: Option<Failure>,
    pause: Option<Instant>,
}

impl Room {
    /// A part waits behind those of its lane; the first of a lane until `due`.
    pub(crate) fn push(&mut self, part: Delivery, due: Instant, now: Instant) {
        let due = if now < due { self.recovery.failed(due, now) } else { due };
        let (sequence, lane) = (part.ticket.sequence, part.ticket.lane);
        self.ages.insert(sequence, (now, lane));
        if let Some(since) = part.ticket.failing_since {
            self.failing.insert((since, sequence), lane);
        }
        match self.lanes.get_mut(&lane) {
            Some(parts) => parts.waiting.push_back(part),
            None => {
                self.lanes.insert(lane, Parts { waiting: [part].into(), due: Some(due) });
                self.due.insert((due, sequence), lane);
            }
        }
    }

    /// Whether later events of a lane must not pass what waits here.
    pub(crate) fn withholds(&self, lane: Lane) -> bool {
        self.health.is_down || self.lanes.contains_key(&lane)
    }

    /// When [`Room::take`] gives something, as far as time alone decides. `away_max`: parts that workers
    /// may have at once.
    pub(crate) fn next_due(&self, away_max: usize, give_up_after: Option<Duration>) -> Option<Instant> {
        let away_max = if self.is_probed() { 1 } else { away_max };
        if away_max <= self.away {
            return None;
        }
        let ((first, _), _) = self.due.first_key_value()?;
        let tried = self.health.pause.filter(|_| self.is_probed()).map_or(*first, |pause| pause.max(*first));
        let given_up = self.expiry(give_up_after).map(|(at, _)| at);
        Some(given_up.map_or(tried, |given_up| given_up.min(tried)))
    }

    /// Takes the part that is due. Its lane is busy until it is finished or comes back.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        away_max: usize,
        give_up_after: Option<Duration>,
    ) -> Option<Delivery> {
        self.next_due(away_max, give_up_after).filter(|due| *due <= now)?;
        let expired = self.expiry(give_up_after).filter(|(at, _)| *at <= now).map(|(_, lane)| lane);
        let lane = expired.or_else(|| self.due.first_key_value().map(|(_, lane)| *lane))?;
        let parts = self.lanes.get_mut(&lane)?;
        let mut part = parts.waiting.pop_front()?;
        if let Some(due) = parts.due.take() {
            self.due.remove(&(due, part.ticket.sequence));
        }
        part.ticket.misses = self.health.misses;
        part.ticket.expired = self.health.last.clone().filter(|_| expired.is_some()).map(Box::new);
        self.away += 1;
        Some(part)
    }

    // The oldest part that is here, if the target is down: when it is given up.
    fn expiry(&self, give_up_after: Option<Duration>) -> Option<(Instant, Lane)> {
        let give_up_after = give_up_after.filter(|_| self.is_probed())?;
        let is_here = |lane: &Lane| self.lanes.get(lane).is_some_and(|parts| parts.due.is_some());
        let (since, lane) = self.ages.values().find(|(_, lane)| is_here(lane))?;
        let at = *since + give_up_after;
        Some((self.kept_until.map_or(at, |until| until.max(at)), *lane))
    }

    /// A taken part is settled: its lane goes on.
    pub(crate) fn finish(&mut self, part: &Delivery, now: Instant) {
        let (sequence, lane) = (part.ticket.sequence, part.ticket.lane);
        self.away -= 1;
        self.ages.remove(&sequence);
        if let Some(since) = part.ticket.failing_since {
            self.failing.remove(&(since, sequence));
        }
        let Some(parts) = self.lanes.get_mut(&lane) else { return };
        match parts.waiting.front() {
            Some(next) => {
                parts.due = Some(now);
                self.due.insert((now, next.ticket.sequence), lane);
            }
            None => {
                self.lanes.remove(&lane);
            }
        }
    }

    /// A taken part comes back, until `due`: it stays the first of its lane.
    pub(crate) fn put_back(&mut self, mut part: Delivery, due: Instant, now: Instant) {
        self.away -= 1;
        if part.ticket.expired.take().is_some() {
            self.kept_until = Some(due);
        }
        let due = self.recovery.failed(due, now);
        let (sequence, lane) = (part.ticket.sequence, part.ticket.lane);
        if let Some(since) = part.ticket.failing_since {
            self.failing.insert((since, sequence), lane);
        }
        let parts = self.lanes.entry(lane).or_default();
        parts.waiting.push_front(part);
        parts.due = Some(due);
        self.due.insert((due, sequence), lane);
    }

    /// The target took something.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        let health = &mut self.health;
        (health.is_failing, health.misses, health.last, health.pause) = (false, 0, None, None);
        health.doubt = health.doubt.saturating_sub(1);
        health.is_down &= 0 < health.doubt;
        if self.recovery.succeeded(now) {
            self.end_waits(now);
        }
    }

    /// The target failed to take a whole event or a part, and should be left alone until `pause`. An
    /// event counts once: when it `is_new` to the target.
    pub(crate) fn failed(&mut self, failed: &Failed, is_new: bool, is_part: bool, now: Instant) {
        let Failed { failure, pause } = failed;
        self.recovery.failed(*pause, now);
        // What was on its way when it went down comes back at once.
        let was_tried = is_part && self.is_probed();
        let health = &mut self.health;
        health.misses = health.misses.saturating_add(u32::from(was_tried));
        health.is_failing = true;
        (health.last, health.pause) = (Some(failure.clone()), Some(*pause));
        if is_new {
            health.doubt = (health.doubt + TARGET_DOUBT_OF_FAILURE).min(TARGET_DOUBT_MAX);
            health.is_down |= health.doubt == TARGET_DOUBT_MAX;
        }
    }

    /// What waits for a retry need not wait for its own time any more: it comes in the order in which it
    /// was due, spread over a moment, and none later than it would have come.
    pub(crate) fn end_waits(&mut self, now: Instant) {
        self.health.pause = None;
        let waits = std::mem::take(&mut self.due);
        let count = waits.len().max(1) as u32;
        for (place, ((due, sequence), lane)) in waits.into_iter().enumerate() {
            let soon = now + RECOVERY_SPREAD.mul_f64(f64::from(place as u32) / f64::from(count));
            let due = due.min(soon);
            self.due.insert((due, sequence), lane);
            if let Some(parts) = self.lanes.get_mut(&lane) {
                parts.due = Some(due);
            }
        }
    }

    // The target is down, and the last attempt showed it again.
    fn is_probed(&self) -> bool {
        self.health.is_down && self.health.is_failing
    }

    /// Since when the part fails that fails for the longest time.
    pub(crate) fn failing_since(&self) -> Option<Instant> {
        self.failing.first_key_value().map(|((since, _), _)| *since)
    }

    /// Parts that are owed, those that are away included.
    pub(crate) fn parts(&self) -> usize {
        self.ages.len()
    }

    /// Nothing is owed, and nothing is known against the target.
    pub(crate) fn is_needless(&self) -> bool {
        self.ages.is_empty() && !self.health.is_failing
    }
}
