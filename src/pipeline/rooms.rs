//! What is owed to targets that failed: an event that some of its targets took becomes one *part* for
//! each of the others, and its own lane goes on. Pure data; time comes in as a value.
//!
//! ```text
//!               its targets
//!   event ----> a: taken
//!          \--> b: failed ------> room of b: part of this event --+
//!           \-> c: withheld ----> room of c: part of this event --+--> the last one settles the event
//! ```
//!
//! A target is withheld from later events of a lane while something of that lane waits in its room, so
//! that each target gets them in order, and from all events while it is down ([`Room`]).

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::time::{Duration, Instant};

use crate::event::{Carried, Event, Lane, Sequence};
use crate::limits::{PART_BYTES, ROOMS_BYTES_MAX, TARGETS_COUNTED_MAX};
use crate::pipeline::room::{Failed, Room};
use crate::processor::{Aim, Delivery, Target};

/// What one target is owed of an event.
#[derive(Debug)]
pub(crate) struct Owing {
    pub(crate) target: Target,
    /// Attempts for this target: 0 where it was withheld.
    pub(crate) attempts: u32,
    /// When the first of them failed.
    pub(crate) failing_since: Option<Instant>,
    /// When the target first refused the sender.
    pub(crate) refused_since: Option<Instant>,
    /// When it is tried again; none where it was withheld.
    pub(crate) due: Option<Instant>,
}

/// What targets answered to a delivery, where there are several.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// They took the event, or refused this very one.
    pub(crate) accepted: Vec<Target>,
    /// They failed.
    pub(crate) failed: Vec<Failed>,
    /// It was the first attempt.
    pub(crate) is_new: bool,
    /// For some of them it is given up.
    pub(crate) refused: bool,
}

/// The rooms of all targets that fail.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: BTreeMap<Target, Room>,
    // Events of which parts are open.
    open: HashMap<Sequence, Open>,
    bytes: usize,
    waiting: usize,
    away: usize,
    away_max: usize,
    give_up_after: Option<Duration>,
    // The target that was served last.
    turn: Option<Target>,
    completed: u64,
}

#[derive(Debug)]
struct Open {
    parts: usize,
    refused: bool,
}

impl Rooms {
    /// Nothing is owed.
    pub(crate) fn new(give_up_after: Option<Duration>) -> Rooms {
        Rooms {
            rooms: BTreeMap::new(),
            open: HashMap::new(),
            bytes: 0,
            waiting: 0,
            away: 0,
            away_max: 1,
            give_up_after,
            turn: None,
            completed: 0,
        }
    }

    /// Of so many workers half may be busy with what failed, so that others are left for what flows.
    pub(crate) fn set_workers(&mut self, workers: usize) {
        self.away_max = (workers / 2).max(1);
    }

    /// Takes notice of what targets answered to a whole event or to a part.
    pub(crate) fn hear(&mut self, answers: &Answers, is_part: bool, now: Instant) {
        for failed in &answers.failed {
            let target = failed.failure.target.as_str();
            if !self.rooms.contains_key(target) {
                if TARGETS_COUNTED_MAX <= self.rooms.len() {
                    self.rooms.retain(|_, room| 0 < room.parts());
                }
                self.rooms.insert(target.into(), Room::default());
            }
            if let Some(room) = self.rooms.get_mut(target) {
                room.failed(failed, answers.is_new, is_part, now);
            }
        }
        if self.rooms.is_empty() {
            return;
        }
        for target in &answers.accepted {
            if let Some(room) = self.rooms.get_mut(target) {
                room.succeeded(now);
                self.forget(target);
            }
        }
    }

    /// An event is settled but for these targets.
    pub(crate) fn split(
        &mut self,
        (sequence, lane): (Sequence, Lane),
        event: Carried,
        owing: Vec<Owing>,
        refused: bool,
        now: Instant,
    ) {
        let event = event.share();
        self.bytes += event.bytes() + owing.len() * PART_BYTES;
        self.waiting += owing.len();
        self.open.insert(sequence, Open { parts: owing.len(), refused });
        for owing in owing {
            let mut part = Delivery::of(Carried::Shared(event.clone()), sequence, lane);
            part.attempts = owing.attempts;
            part.aim = Aim::Owing(owing.target.clone());
            part.ticket.failing_since = owing.failing_since;
            part.ticket.refused_since = owing.refused_since;
            self.rooms.entry(owing.target).or_default().push(part, owing.due.unwrap_or(now), now);
        }
    }

    /// Takes the part that is due, of one target after the other.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Delivery> {
        if self.waiting == 0 || self.away_max <= self.away {
            return None;
        }
        let (away_max, give_up_after) = (self.away_max, self.give_up_after);
        let is_due = |room: &Room| room.next_due(away_max, give_up_after).is_some_and(|due| due <= now);
        let after = self.turn.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let rooms = self.rooms.range::<Target, _>((after, Bound::Unbounded)).chain(&self.rooms);
        let target = rooms.into_iter().find(|(_, room)| is_due(room)).map(|(target, _)| target.clone())?;
        let part = self.rooms.get_mut(&target)?.take(now, away_max, give_up_after)?;
        self.turn = Some(target);
        self.waiting -= 1;
        self.away += 1;
        Some(part)
    }

    /// When the next part is due; none while no more workers may take one.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.waiting == 0 || self.away_max <= self.away {
            return None;
        }
        self.rooms.values().filter_map(|room| room.next_due(self.away_max, self.give_up_after)).min()
    }

    /// A taken part is settled, for good or as `refused`. The last one of an event gives that back.
    pub(crate) fn finish(
        &mut self,
        part: Delivery,
        refused: bool,
        now: Instant,
    ) -> Option<(Sequence, Event)> {
        let sequence = part.ticket.sequence;
        self.away -= 1;
        self.bytes -= PART_BYTES;
        if let Some(target) = part.owing() {
            if let Some(room) = self.rooms.get_mut(target) {
                room.finish(&part, now);
            }
            self.forget(target);
        }
        let open = self.open.get_mut(&sequence)?;
        open.parts -= 1;
        open.refused |= refused;
        if 0 < open.parts {
            return None;
        }
        let open = self.open.remove(&sequence)?;
        self.completed += u64::from(!open.refused);
        self.bytes -= part.event.bytes();
        Some((sequence, part.event.into_event()))
    }

    /// A taken part must be delivered again, not before `due`.
    pub(crate) fn put_back(&mut self, part: Delivery, due: Instant, now: Instant) {
        self.away -= 1;
        self.waiting += 1;
        if let Some(room) = part.owing().cloned().and_then(|target| self.rooms.get_mut(&target)) {
            room.put_back(part, due, now);
        }
    }

    /// What waits for a retry need not wait for its own time any more.
    pub(crate) fn end_waits(&mut self, now: Instant) {
        self.rooms.values_mut().for_each(|room| room.end_waits(now));
    }

    /// Who must not be called for an event of this lane, if anybody.
    pub(crate) fn withheld(&self, lane: Lane) -> Vec<Target> {
        let withholding = self.rooms.iter().filter(|(_, room)| room.withholds(lane));
        withholding.map(|(target, _)| target.clone()).collect()
    }

    /// Nothing failed of late.
    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Whether more events may come of which parts may fail.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < ROOMS_BYTES_MAX
    }

    /// Bytes of what is owed.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Parts that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Events of which all parts were taken in the end.
    pub(crate) fn completed(&self) -> u64 {
        self.completed
    }

    /// How many events are owed to a target, and since when one of them fails.
    pub(crate) fn owed_to(&self, target: &str) -> (usize, Option<Instant>) {
        self.rooms.get(target).map_or((0, None), |room| (room.parts(), room.failing_since()))
    }

    /// The target at which a part fails for the longest time, since when, and how many events wait for it.
    pub(crate) fn longest_failing(&self) -> Option<(&str, Instant, usize)> {
        let failing = self
            .rooms
            .iter()
            .filter_map(|(target, room)| room.failing_since().map(|since| (&**target, since, room.parts())));
        failing.min_by_key(|(_, since, _)| *since)
    }

    /// The target that is owed most, and how many events.
    pub(crate) fn fullest(&self) -> Option<(Target, usize)> {
        let fullest = self.rooms.iter().max_by_key(|(_, room)| room.parts());
        fullest.map(|(target, room)| (target.clone(), room.parts()))
    }

    fn forget(&mut self, target: &Target) {
        if self.rooms.get(target).is_some_and(Room::is_needless) {
            self.rooms.remove(target);
        }
    }
}

#[cfg(test)]
mod tests;
