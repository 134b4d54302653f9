//! Who may be delivered next: events of one lane stay in order, lanes proceed in parallel, and a
//! lane that waits for its retry holds nobody but itself. Pure data; time comes in as a value.
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
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Instant;

use crate::config::Order;
use crate::event::{Event, Lane, Sequence};
use crate::processor::{Delivery, Ticket};

/// Emptied lanes whose memory is kept.
const SPARE_MAX: usize = 256;
/// Events that such a lane has room for.
const SPARE_EVENTS_MAX: usize = 16;

/// All waiting events of a route.
#[derive(Debug)]
pub(crate) struct Lanes {
    order: Order,
    lanes: HashMap<Lane, VecDeque<Delivery>>,
    // Memory of lanes that are gone, for those to come: most lanes live for one event.
    spare: Vec<VecDeque<Delivery>>,
    // Lanes whose first event may be taken now, in the order in which they became free.
    ready: VecDeque<Lane>,
    parked: BinaryHeap<Reverse<(Instant, u64, Lane)>>,
    events: usize,
    bytes: usize,
    pushed: u64,
}

impl Lanes {
    /// No event waits.
    pub(crate) fn new(order: Order) -> Lanes {
        Lanes {
            order,
            lanes: HashMap::new(),
            spare: Vec::new(),
            ready: VecDeque::new(),
            parked: BinaryHeap::new(),
            events: 0,
            bytes: 0,
            pushed: 0,
        }
    }

    /// An event waits behind those of its lane.
    pub(crate) fn push(&mut self, sequence: Sequence, event: Event) {
        self.pushed += 1;
        self.events += 1;
        self.bytes += event.bytes();
        let lane = match self.order {
            Order::Entity => event.lane,
            Order::Strict => Lane::COMMON,
            Order::None => Lane(self.pushed),
        };
        let mut delivery = Delivery::new(event);
        (delivery.ticket.sequence, delivery.ticket.lane) = (sequence, lane);
        match self.lanes.get_mut(&lane) {
            Some(waiting) => waiting.push_back(delivery),
            None => {
                // Most lanes never hold a second event.
                let mut waiting = self.spare.pop().unwrap_or_else(|| VecDeque::with_capacity(1));
                waiting.push_back(delivery);
                self.lanes.insert(lane, waiting);
                self.ready.push_back(lane);
            }
        }
    }

    /// Takes the first events of at most `most` free lanes. Their lanes are busy until `finish` or
    /// `park`.
    pub(crate) fn take(&mut self, now: Instant, most: usize, taken: &mut Vec<Delivery>) {
        self.wake_parked(now);
        for _ in 0..most {
            let Some(lane) = self.ready.pop_front() else { return };
            if let Some(delivery) = self.lanes.get_mut(&lane).and_then(VecDeque::pop_front) {
                self.events -= 1;
                self.bytes -= delivery.event.bytes();
                taken.push(delivery);
            }
        }
    }

    /// A taken event is settled: its lane goes on. Gives back its number and itself.
    pub(crate) fn finish(&mut self, delivery: Delivery) -> (Sequence, Event) {
        let Delivery { event, ticket: Ticket { sequence, lane, .. }, .. } = delivery;
        match self.lanes.get(&lane) {
            Some(waiting) if waiting.is_empty() => {
                let emptied = self
                    .lanes
                    .remove(&lane)
                    .filter(|waiting| waiting.capacity() <= SPARE_EVENTS_MAX && self.spare.len() < SPARE_MAX);
                self.spare.extend(emptied);
            }
            Some(_) => self.ready.push_back(lane),
            None => {}
        }
        (sequence, event)
    }

    /// A taken event must be delivered again, not before `due`: it stays the first of its lane.
    pub(crate) fn park(&mut self, delivery: Delivery, due: Instant) {
        self.events += 1;
        self.bytes += delivery.event.bytes();
        self.pushed += 1;
        let lane = delivery.ticket.lane;
        self.parked.push(Reverse((due, self.pushed, lane)));
        self.lanes.entry(lane).or_default().push_front(delivery);
    }

    /// When the next parked lane becomes free.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.parked.peek().map(|Reverse((due, _, _))| *due)
    }

    /// Lanes that could be taken now.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Events that wait, parked ones included, taken ones not.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// Bytes of the events that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
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
    use crate::pipeline::window::Window;
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
            assert_eq!((bench.lanes.events(), bench.lanes.bytes(), bench.lanes.lanes.len()), (0, 0, 0));
        }
    }
}
