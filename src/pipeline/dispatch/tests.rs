//! The model: workers, a poller and a channel as data, over random schedules. Whoever sleeps wakes only by
//! what really wakes a thread, so a call that is missing shows as work that nobody does.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::*;
use crate::event::{Event, Position};
use crate::limits::{BATCH_BYTES_MAX, BATCHES_AHEAD_MAX};
use crate::testing::{Random, event};

const WORKERS: usize = 4;
const OBJECTS: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Debug)]
enum Worker {
    /// Runs, and steps next.
    Awake,
    Follows,
    Leads(Lead),
    Delivers(Vec<Delivery>),
    Ended,
}

struct Model {
    random: Random,
    dispatch: Dispatch,
    now: Instant,
    workers: Vec<Worker>,
    channel: VecDeque<Batch>,
    is_sending: bool,
    // The leader's nudge, which stays until a leader takes it.
    nudge: bool,
    sent: i64,
    // By object.
    delivered: BTreeMap<u64, Vec<i64>>,
    settled: usize,
    // There is no room for a record.
    holds: bool,
}

impl Model {
    fn new(order: Order, random: Random) -> Model {
        Model {
            random,
            dispatch: Dispatch::new(order),
            now: Instant::now(),
            workers: (0..WORKERS).map(|_| Worker::Awake).collect(),
            channel: VecDeque::new(),
            is_sending: true,
            nudge: false,
            sent: 0,
            delivered: BTreeMap::new(),
            settled: 0,
            holds: false,
        }
    }

    // One batch, if there is room.
    fn send(&mut self) {
        if !self.is_sending || BATCHES_AHEAD_MAX <= self.channel.len() {
            return;
        }
        let entries = 1 + self.random.below(4);
        let batch = (0..entries).map(|_| self.entry()).collect();
        self.channel.push_back(batch);
    }

    fn entry(&mut self) -> Entry {
        let mut event: Event = event(self.sent, OBJECTS[self.random.below(OBJECTS.len())]);
        self.sent += 1;
        match self.random.below(8) {
            0 => {
                self.settled += 1;
                Entry::Settled(Some(event.position), None)
            }
            1 => {
                self.sent -= 1;
                Entry::CaughtUp
            }
            large => {
                event.ce.data = vec![b' '; if large == 2 { 4 * BATCH_BYTES_MAX } else { 10 }];
                Entry::Event(event)
            }
        }
    }

    fn hold(&mut self, holds: bool) {
        self.holds = holds;
        if self.dispatch.hold(holds) && !holds {
            self.wake_all();
        }
    }

    fn wake_all(&mut self) {
        self.nudge = true;
        for worker in &mut self.workers {
            if matches!(worker, Worker::Follows) {
                *worker = Worker::Awake;
                self.dispatch.stop_following();
            }
        }
    }

    fn step(&mut self, index: usize, mut done: Vec<Done>) {
        self.dispatch.settle(&mut done, self.now);
        let (most, mut taken) = (1 + self.random.below(3), Vec::new());
        let step = self.dispatch.step(self.now, most, &mut taken);
        assert!(!self.holds || taken.is_empty(), "something is begun while the route holds");
        let calls = self.dispatch.calls();
        self.nudge |= calls.leader;
        if calls.all {
            self.wake_all();
        }
        if calls.follower
            && let Some(follower) = self.workers.iter().position(|worker| matches!(worker, Worker::Follows))
        {
            self.workers[follower] = Worker::Awake;
            self.dispatch.stop_following();
        }
        self.workers[index] = match step {
            Step::Deliver => Worker::Delivers(taken),
            Step::Lead(lead) => Worker::Leads(lead),
            Step::Follow => Worker::Follows,
            Step::End => Worker::Ended,
        };
    }

    // What the leader's wait does: true when it ends.
    fn lead(&mut self, index: usize, lead: Lead) -> bool {
        let received = if lead.receives { self.channel.pop_front() } else { None };
        let is_over = lead.receives && received.is_none() && !self.is_sending;
        let is_due = lead.due.is_some_and(|due| due <= self.now);
        if received.is_none() && !is_over && !is_due && !self.nudge {
            return false;
        }
        self.nudge &= received.is_some();
        self.dispatch.stop_leading();
        if let Some(batch) = received {
            self.dispatch.receive(batch);
        }
        if is_over {
            self.dispatch.end_stream();
        }
        self.step(index, Vec::new());
        true
    }

    fn deliver(&mut self, index: usize) {
        let Worker::Delivers(taken) = std::mem::replace(&mut self.workers[index], Worker::Awake) else {
            return;
        };
        let mut done = Vec::new();
        for delivery in taken {
            if self.random.below(4) == 0 {
                let wait = Duration::from_millis(self.random.below(40) as u64);
                done.push(Done::Parked(delivery, self.now + wait));
                continue;
            }
            self.settled += 1;
            let Position { key, .. } = delivery.event.position;
            self.delivered.entry(delivery.event.lane.0).or_default().push(key);
            done.push(Done::Settled(delivery));
        }
        self.step(index, done);
    }

    // Lets one worker do what it can do. True when it did something.
    fn run(&mut self, index: usize) -> bool {
        match &self.workers[index] {
            Worker::Awake => self.step(index, Vec::new()),
            Worker::Delivers(_) => self.deliver(index),
            Worker::Leads(lead) => return self.lead(index, *lead),
            Worker::Follows | Worker::Ended => return false,
        }
        true
    }

    fn check_bounds(&self) {
        let one = 4 * BATCH_BYTES_MAX + 1024;
        assert!(self.dispatch.lanes.flowing_bytes() <= LANES_BYTES_MAX + one);
        // What fails comes back beside what was admitted meanwhile.
        assert!(self.dispatch.lanes.held().bytes <= HELD_BYTES_MAX + WORKERS * 3 * one);
        assert!(self.dispatch.inbox.len() <= 4);
    }

    // Work that is free wakes somebody, and somebody waits for the channel while others deliver.
    fn check_wakes(&self) {
        let is_any = |wanted: fn(&Worker) -> bool| self.workers.iter().any(wanted);
        if self.nudge || is_any(|worker| matches!(worker, Worker::Awake)) {
            return;
        }
        let sleeps = is_any(|worker| matches!(worker, Worker::Follows | Worker::Leads(_)));
        let is_free = !self.holds && 0 < self.dispatch.lanes.ready();
        assert!(!sleeps || !is_free, "a lane is free beside a worker that sleeps");
        let follows = is_any(|worker| matches!(worker, Worker::Follows));
        assert!(!follows || is_any(|worker| matches!(worker, Worker::Leads(_))), "nobody leads");
    }

    // Nobody can do anything any more but by time.
    fn settle_down(&mut self) {
        while (0..WORKERS).any(|index| self.run(index)) {}
        let is_asleep = |worker: &Worker| !matches!(worker, Worker::Awake | Worker::Delivers(_));
        assert!(self.workers.iter().all(is_asleep));
    }

    fn run_to_the_end(&mut self) {
        for _ in 0..10_000 {
            self.settle_down();
            if self.workers.iter().all(|worker| matches!(worker, Worker::Ended)) {
                return;
            }
            // Whoever sleeps must have something to wait for: the poller, or a retry.
            let lead = self.workers.iter().find_map(|worker| match worker {
                Worker::Leads(lead) => Some(*lead),
                _ => None,
            });
            let lead = lead.expect("nobody leads, although not all have ended");
            assert_eq!(self.dispatch.lanes.ready(), 0, "a lane is free and everybody sleeps");
            let next = self.dispatch.lanes.next_due();
            // It may wake for one that was taken meanwhile, when an outage ended.
            let is_in_time = next.is_none_or(|next| lead.due.is_some_and(|due| due <= next));
            assert!(is_in_time, "the leader sleeps past a retry");
            let waits_for_poller = lead.receives && self.is_sending;
            assert!(waits_for_poller || lead.due.is_some(), "everybody sleeps for ever");
            match lead.due {
                Some(due) if self.random.below(2) == 0 || !waits_for_poller => self.now = due,
                _ if self.sent < 200 => self.send(),
                _ => self.is_sending = false,
            }
        }
        panic!("the route does not come to its end: {:?}", self.workers);
    }
}

#[test]
fn whatever_the_schedule_all_is_delivered_in_order_and_everybody_ends() {
    let mut random = Random::from_test("dispatch");
    for (round, order) in
        [Order::Entity, Order::Strict, Order::None].into_iter().cycle().take(600).enumerate()
    {
        let mut model = Model::new(order, Random::new(random.bits()));
        for _ in 0..random.below(800) {
            match model.random.below(7) {
                0 => model.send(),
                1 => model.now += Duration::from_millis(5),
                2 => {
                    let holds = model.random.below(3) == 0;
                    model.hold(holds);
                }
                _ => {
                    let index = model.random.below(WORKERS);
                    model.run(index);
                }
            }
            model.check_bounds();
            model.check_wakes();
        }
        if round % 3 == 0 {
            model.is_sending = false;
        }
        model.hold(false);
        model.run_to_the_end();
        assert_eq!(model.settled as i64, model.sent, "{order:?}: something was left behind");
        if order != Order::None {
            assert!(model.delivered.values().all(|keys| keys.is_sorted()), "{order:?}");
        }
        assert_eq!(model.dispatch.gauge().outstanding, 0);
    }
}

#[test]
fn closing_ends_everybody_and_what_is_in_flight_comes_back() {
    let mut random = Random::from_test("dispatch, closing");
    for _ in 0..300 {
        let mut model = Model::new(Order::Entity, Random::new(random.bits()));
        for _ in 0..random.below(300) {
            match model.random.below(4) {
                0 => model.send(),
                _ => {
                    let index = model.random.below(WORKERS);
                    model.run(index);
                }
            }
        }
        model.dispatch.close();
        model.wake_all();
        model.settle_down();
        assert!(model.workers.iter().all(|worker| matches!(worker, Worker::Ended)), "{:?}", model.workers);
    }
}
