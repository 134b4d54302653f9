//! Who may be delivered next: events of one lane stay in order, lanes proceed in parallel, and a
//! lane that waits for its retry holds nobody but itself. Pure data; time comes in as a value.
//!
//! What flows and what is held are counted apart: a lane is held from its first failure until nothing
//! waits in it, so that an object that fails, or catches up afterwards, does not take the room of others.
//!
//! ```text
//!   push        take              finish
//!  ------> idle ----> delivering --------> idle, or gone when nothing waits
//!                        |  ^
//!                   park |  | due
//!                        v  |
//!                       parked
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::config::Order;
use crate::event::{Carried, Event, Lane, Sequence};
use crate::pipeline::mixed::Mixing;
use crate::processor::extensions::entity_of;
use crate::processor::{Delivery, Ticket};

/// Emptied lanes whose memory is kept.
const SPARE_MAX: usize = 256;
/// Events that such a lane has room for.
const SPARE_EVENTS_MAX: usize = 16;

/// All waiting events of a route.
#[derive(Debug)]
pub(crate) struct Lanes {
    order: Order,
    lanes: HashMap<Lane, Waiting, Mixing>,
    // Memory of lanes that are gone, for those to come: most lanes live for one event.
    spare: Vec<VecDeque<Delivery>>,
    // Lanes whose first event may be taken now, in the order in which they became free.
    ready: VecDeque<Lane>,
    parked: BinaryHeap<Reverse<(Instant, u64, Lane)>>,
    // Events that failed and are tried again, those on their way too, by when they failed first.
    failing: BTreeMap<(Instant, Sequence), Lane>,
    events: usize,
    flowing_bytes: usize,
    held: Held,
    pushed: u64,
}

/// What waits in lanes that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

// The events of one lane.
#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Delivery>,
    bytes: usize,
    // The lane failed since it was empty.
    held: bool,
    // The event that failed last.
    failing: String,
}

impl Lanes {
    /// No event waits.
    pub(crate) fn new(order: Order) -> Lanes {
        Lanes {
            order,
            lanes: HashMap::default(),
            spare: Vec::new(),
            ready: VecDeque::new(),
            parked: BinaryHeap::new(),
            failing: BTreeMap::new(),
            events: 0,
            flowing_bytes: 0,
            held: Held::default(),
            pushed: 0,
        }
    }

    /// An event waits behind those of its lane.
    pub(crate) fn push(&mut self, sequence: Sequence, event: Event) {
        self.pushed += 1;
        let lane = self.lane_of(&event).unwrap_or(Lane(self.pushed));
        let delivery = Delivery::of(Carried::Own(event), sequence, lane);
        let bytes = delivery.event.bytes();
        match self.lanes.get_mut(&lane) {
            Some(waiting) => {
                waiting.events.push_back(delivery);
                waiting.bytes += bytes;
            }
            None => {
                // Most lanes never hold a second event.
                let mut events = self.spare.pop().unwrap_or_else(|| VecDeque::with_capacity(1));
                events.push_back(delivery);
                self.lanes.insert(lane, Waiting { events, bytes, ..Waiting::default() });
                self.ready.push_back(lane);
            }
        }
        self.count(lane, 1, bytes);
    }

    /// Whether this event would wait behind one that failed.
    pub(crate) fn is_held(&self, event: &Event) -> bool {
        let waiting = self.lane_of(event).and_then(|lane| self.lanes.get(&lane));
        waiting.is_some_and(|waiting| waiting.held)
    }

    // None where each event has a lane of its own.
    fn lane_of(&self, event: &Event) -> Option<Lane> {
        match self.order {
            Order::Entity => Some(event.lane),
            Order::Strict => Some(Lane::COMMON),
            Order::None => None,
        }
    }

    // So much more waits in this lane.
    fn count(&mut self, lane: Lane, events: usize, bytes: usize) {
        self.events += events;
        match self.lanes.get(&lane).is_some_and(|waiting| waiting.held) {
            true => {
                self.held.events += events;
                self.held.bytes += bytes;
            }
            false => self.flowing_bytes += bytes,
        }
    }

    /// Takes the first events of at most `most` free lanes. Their lanes are busy until `finish` or
    /// `park`.
    pub(crate) fn take(&mut self, now: Instant, most: usize, taken: &mut Vec<Delivery>) {
        self.wake_parked(now);
        for _ in 0..most {
            let Some(lane) = self.ready.pop_front() else { return };
            let Some(waiting) = self.lanes.get_mut(&lane) else { continue };
            let Some(delivery) = waiting.events.pop_front() else { continue };
            let bytes = delivery.event.bytes();
            waiting.bytes -= bytes;
            self.events -= 1;
            match waiting.held {
                true => {
                    self.held.events -= 1;
                    self.held.bytes -= bytes;
                }
                false => self.flowing_bytes -= bytes,
            }
            taken.push(delivery);
        }
    }

    /// A taken event is settled: its lane goes on. Gives back its number and itself.
    pub(crate) fn finish(&mut self, delivery: Delivery) -> (Sequence, Carried) {
        let Delivery { event, ticket: Ticket { sequence, lane, failing_since, .. }, .. } = delivery;
        if let Some(since) = failing_since {
            self.failing.remove(&(since, sequence));
        }
        match self.lanes.get(&lane) {
            Some(waiting) if waiting.events.is_empty() => {
                let emptied = self.lanes.remove(&lane).map(|waiting| waiting.events);
                let is_kept = |events: &VecDeque<_>| {
                    events.capacity() <= SPARE_EVENTS_MAX && self.spare.len() < SPARE_MAX
                };
                self.spare.extend(emptied.filter(is_kept));
            }
            Some(_) => self.ready.push_back(lane),
            None => {}
        }
        (sequence, event)
    }

    /// A taken event must be delivered again, not before `due`: it stays the first of its lane.
    pub(crate) fn park(&mut self, delivery: Delivery, due: Instant) {
        self.pushed += 1;
        let (lane, bytes) = (delivery.ticket.lane, delivery.event.bytes());
        self.parked.push(Reverse((due, self.pushed, lane)));
        let waiting = self.lanes.entry(lane).or_default();
        if !waiting.held {
            waiting.held = true;
            self.flowing_bytes -= waiting.bytes;
            self.held.events += waiting.events.len();
            self.held.bytes += waiting.bytes;
        }
        let first_failed = delivery.ticket.failing_since.map(|since| (since, delivery.ticket.sequence));
        if first_failed.is_some_and(|failed| self.failing.insert(failed, lane).is_none()) {
            let of = entity_of(&delivery.event.ce).map(|entity| format!(" of {entity}"));
            waiting.failing = delivery.event.title() + &of.unwrap_or_default();
        }
        waiting.events.push_front(delivery);
        waiting.bytes += bytes;
        self.count(lane, 1, bytes);
    }

    /// The sink takes events again: parked lanes need not wait for their own retry. They come in the
    /// order of these, spread over `spread`, and none later than it would have come.
    pub(crate) fn end_waits(&mut self, now: Instant, spread: Duration) {
        let parked = std::mem::take(&mut self.parked).into_sorted_vec();
        let count = parked.len().max(1) as u32;
        // Sorted by the reverse: the latest comes first.
        for (place, Reverse((due, number, lane))) in parked.into_iter().rev().enumerate() {
            let soon = now + spread.mul_f64(f64::from(place as u32) / f64::from(count));
            self.parked.push(Reverse((due.min(soon), number, lane)));
        }
    }

    /// When the next parked lane becomes free.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.parked.peek().map(|Reverse((due, _, _))| *due)
    }

    /// The event that fails for the longest time, since when, and how many wait for that, itself among them.
    pub(crate) fn longest_failing(&self) -> Option<(&str, Instant, usize)> {
        let ((since, sequence), lane) = self.failing.first_key_value()?;
        let Waiting { events, failing, .. } = self.lanes.get(lane)?;
        let is_away = events.front().is_none_or(|first| first.ticket.sequence != *sequence);
        Some((failing, *since, events.len() + usize::from(is_away)))
    }

    /// Lanes that could be taken now.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Events that wait, parked ones included, taken ones not.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// Bytes of the events that wait in lanes that did not fail.
    pub(crate) fn flowing_bytes(&self) -> usize {
        self.flowing_bytes
    }

    /// What waits in the others.
    pub(crate) fn held(&self) -> Held {
        self.held
    }

    fn wake_parked(&mut self, now: Instant) {
        while let Some(Reverse((due, _, lane))) = self.parked.peek().copied() {
            if now < due {
                return;
            }
            self.parked.pop();
            self.ready.push_back(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::ledger::Ledger;
    use crate::position::window::Window;
    use crate::testing::{Random, event};
    use std::time::Duration;

    struct Bench {
        lanes: Lanes,
        ledger: Ledger,
        now: Instant,
    }

    impl Bench {
        fn new(order: Order) -> Bench {
            let ledger = Ledger::new(jiff::Timestamp::UNIX_EPOCH, Window::default(), None);
            Bench { lanes: Lanes::new(order), ledger, now: Instant::now() }
        }

        fn push(&mut self, key: i64, object: &str) {
            let event = event(key, object);
            let sequence = self.ledger.issue(Some(event.position));
            self.lanes.push(sequence, event);
        }

        fn take(&mut self, most: usize) -> Vec<Delivery> {
            let mut taken = Vec::new();
            self.lanes.take(self.now, most, &mut taken);
            taken
        }
    }

    fn keys(deliveries: &[Delivery]) -> Vec<i64> {
        deliveries.iter().map(|delivery| delivery.event.position.key).collect()
    }

    #[test]
    fn one_object_is_delivered_one_at_a_time_and_others_beside_it() {
        let mut bench = Bench::new(Order::Entity);
        for (key, object) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
            bench.push(key, object);
        }
        let mut first = bench.take(10);
        assert_eq!(keys(&first), [1, 3]);
        assert!(bench.take(10).is_empty());
        bench.lanes.finish(first.remove(0));
        assert_eq!(keys(&bench.take(10)), [2]);
        assert_eq!(bench.lanes.events(), 1);
    }

    #[test]
    fn a_parked_event_stays_first_and_holds_only_its_own_lane() {
        let mut bench = Bench::new(Order::Entity);
        for (key, object) in [(1, "a"), (2, "a"), (3, "b")] {
            bench.push(key, object);
        }
        let failed = bench.take(1).remove(0);
        let due = bench.now + Duration::from_secs(1);
        bench.lanes.park(failed, due);
        assert_eq!(keys(&bench.take(10)), [3]);
        assert_eq!(bench.lanes.next_due(), Some(due));
        bench.now = due;
        assert_eq!(keys(&bench.take(10)), [1]);
    }

    #[test]
    fn what_waits_behind_a_failure_is_counted_apart_until_its_lane_is_empty() {
        let mut bench = Bench::new(Order::Entity);
        for (key, object) in [(1, "a"), (2, "a"), (3, "b")] {
            bench.push(key, object);
        }
        let bytes = event(1, "a").bytes();
        let failed = bench.take(1).remove(0);
        assert_eq!((bench.lanes.flowing_bytes(), bench.lanes.held()), (2 * bytes, Held::default()));
        bench.lanes.park(failed, bench.now);
        bench.push(4, "a");
        assert!(bench.lanes.is_held(&event(9, "a")) && !bench.lanes.is_held(&event(9, "b")));
        assert_eq!(
            (bench.lanes.flowing_bytes(), bench.lanes.held()),
            (bytes, Held { events: 3, bytes: 3 * bytes })
        );
        // It catches up in the room of what is held.
        for left in [2, 1, 0] {
            let taken = bench.take(9);
            for delivery in taken.into_iter().filter(|delivery| delivery.event.position.key != 3) {
                bench.lanes.finish(delivery);
            }
            assert_eq!(bench.lanes.held().events, left);
        }
        assert!(!bench.lanes.is_held(&event(9, "a")));
    }

    #[test]
    fn the_end_of_an_outage_ends_the_waits_in_their_order() {
        let mut bench = Bench::new(Order::None);
        let seconds = Duration::from_secs;
        for key in 0..4 {
            bench.push(key, "a");
        }
        for (delivery, wait) in bench.take(4).into_iter().zip([30, 10, 0, 20]) {
            bench.lanes.park(delivery, bench.now + seconds(wait));
        }
        bench.lanes.end_waits(bench.now, seconds(1));
        assert_eq!(keys(&bench.take(9)), [2]);
        bench.now += seconds(1);
        assert_eq!(keys(&bench.take(9)), [1, 3, 0]);
    }

    #[test]
    fn strict_is_one_at_a_time_and_none_is_all_at_once() {
        for (order, expected) in [(Order::Strict, 1), (Order::None, 3)] {
            let mut bench = Bench::new(order);
            for (key, object) in [(1, "a"), (2, "a"), (3, "b")] {
                bench.push(key, object);
            }
            assert_eq!(bench.take(10).len(), expected);
        }
    }

    #[test]
    fn order_per_object_holds_under_random_failures_and_nothing_is_left() {
        let mut random = Random::from_test("lanes");
        for _ in 0..100 {
            let mut bench = Bench::new(Order::Entity);
            let (mut flying, mut delivered) = (Vec::new(), Vec::new());
            let mut next = 0;
            while delivered.len() < 60 {
                match random.below(4) {
                    0 if next < 60 => {
                        bench.push(next, ["a", "b", "c", "d"][random.below(4)]);
                        next += 1;
                    }
                    1 => flying.extend(bench.take(1 + random.below(3))),
                    2 if !flying.is_empty() => {
                        let delivery = flying.swap_remove(random.below(flying.len()));
                        delivered.push(delivery.event.clone());
                        bench.lanes.finish(delivery);
                    }
                    3 if !flying.is_empty() => {
                        let delivery = flying.swap_remove(random.below(flying.len()));
                        bench
                            .lanes
                            .park(delivery, bench.now + Duration::from_millis(random.below(50) as u64));
                    }
                    _ => bench.now += Duration::from_millis(10),
                }
            }
            for pair in delivered.iter().enumerate() {
                let later = delivered[pair.0..].iter().filter(|other| other.lane == pair.1.lane);
                assert!(
                    later.min_by_key(|event| event.position.key).unwrap().position.key == pair.1.position.key
                );
            }
            assert_eq!((bench.lanes.events(), bench.lanes.flowing_bytes()), (0, 0));
            assert_eq!((bench.lanes.held(), bench.lanes.lanes.len()), (Held::default(), 0));
        }
    }
}
