//! The model: workers, a poller and a channel as data, over random schedules. Whoever sleeps wakes only by
//! what really wakes a thread, so a call that is missing shows as work that nobody does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::*;
use crate::config::Order;
use crate::event::{Event, Position};
use crate::limits::{BATCH_BYTES_MAX, BATCHES_AHEAD_MAX, ROOMS_BYTES_MAX, WORKER_IDLE_MAX};
use crate::pipeline::room::Failed;
use crate::processor::{Failure, Retry};
use crate::testing::{Random, event, route_config};

const WORKERS: usize = 4;
const OBJECTS: [&str; 5] = ["a", "b", "c", "d", "e"];
const TARGETS: [&str; 3] = ["p", "q", "r"];
const GIVE_UP_AFTER: Duration = Duration::from_millis(60);

/// Who wants an event: some want all, some want few, and few events are for nobody.
fn wanted(key: i64) -> Vec<Target> {
    let wants = |n: &usize| key % (*n as i64 + 2) != 1;
    (0..TARGETS.len()).filter(wants).map(|n| TARGETS[n].into()).collect()
}

#[derive(Debug)]
enum Worker {
    /// Runs, and steps next.
    Awake,
    Follows,
    Leads(Lead),
    Delivers(Vec<Delivery>),
    /// Was started, and comes next.
    Comes,
    /// Is not there.
    Gone,
    /// Has heard that nothing will come any more.
    Ended,
}

struct Model {
    random: Random,
    order: Order,
    dispatch: Dispatch,
    now: Instant,
    workers: Vec<Worker>,
    channel: VecDeque<Batch>,
    is_sending: bool,
    // Whether there is a worker to receive, as far as the poller knows.
    is_open: bool,
    // The leader's nudge, which stays until a leader takes it.
    nudge: bool,
    sent: i64,
    // How often each target fails, of 8 times; where there are none, the sink is one.
    moods: Vec<usize>,
    gives_up: bool,
    // By object, and by target where there are several.
    delivered: BTreeMap<(u64, usize), Vec<i64>>,
    // What has come to an end for a target, and what has to.
    ended: BTreeSet<(i64, usize)>,
    owed: BTreeSet<(i64, usize)>,
    settled: usize,
    // There is no room for a record.
    holds: bool,
}

impl Model {
    fn new(order: Order, mut random: Random, has_targets: bool) -> Model {
        let gives_up = random.below(2) == 0;
        let mut config = route_config(order, WORKERS);
        config.retry.give_up_after = gives_up.then_some(GIVE_UP_AFTER);
        Model {
            moods: TARGETS.iter().filter(|_| has_targets).map(|_| random.below(9)).collect(),
            gives_up,
            random,
            order,
            dispatch: Dispatch::new(&config),
            now: Instant::now(),
            workers: (0..WORKERS).map(|_| Worker::Gone).collect(),
            is_open: false,
            channel: VecDeque::new(),
            is_sending: true,
            nudge: false,
            sent: 0,
            delivered: BTreeMap::new(),
            ended: BTreeSet::new(),
            owed: BTreeSet::new(),
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
        if !std::mem::replace(&mut self.is_open, true) {
            self.dispatch.crew().hire();
            self.start();
        }
    }

    // A thread is started, who is counted already.
    fn start(&mut self) {
        let place = self.workers.iter().position(|worker| matches!(worker, Worker::Gone | Worker::Ended));
        self.workers[place.expect("more workers than there may be")] = Worker::Comes;
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
                if !self.moods.is_empty() {
                    let targets = wanted(event.position.key);
                    let places = targets.iter().map(|target| (event.position.key, place_of(target)));
                    self.owed.extend(places);
                }
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
        let calls = self.dispatch.calls(self.now);
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
        if calls.recruit {
            self.start();
        }
        self.workers[index] = match step {
            NextStep::Deliver => Worker::Delivers(taken),
            NextStep::Lead(lead) => Worker::Leads(lead),
            NextStep::Follow => Worker::Follows,
            NextStep::Leave if self.dispatch.crew().present() == 1 && !self.close() => {
                self.dispatch.crew().stay();
                Worker::Awake
            }
            NextStep::Leave | NextStep::End => {
                self.dispatch.crew().leave();
                if step == NextStep::End { Worker::Ended } else { Worker::Gone }
            }
        };
    }

    // The last one leaves, if nothing came.
    fn close(&mut self) -> bool {
        self.is_open = !self.channel.is_empty();
        !self.is_open
    }

    // A minute passes, after which whoever sleeps looks whether it is needed.
    fn wait_long(&mut self) {
        self.now += WORKER_IDLE_MAX;
        for index in 0..WORKERS {
            match self.workers[index] {
                Worker::Follows => self.dispatch.stop_following(),
                Worker::Leads(_) => self.dispatch.stop_leading(),
                _ => continue,
            }
            self.workers[index] = Worker::Awake;
            self.step(index, Vec::new());
        }
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
        let done = taken.into_iter().map(|delivery| match self.moods.is_empty() {
            true => self.deliver_whole(delivery),
            false => self.deliver_to_targets(delivery),
        });
        let done = done.collect();
        self.step(index, done);
    }

    fn deliver_whole(&mut self, delivery: Delivery) -> Done {
        if self.random.below(4) == 0 {
            return self.again(delivery);
        }
        self.settled += 1;
        let Position { key, .. } = delivery.event.position;
        self.delivered.entry((self.lane_of(&delivery), 0)).or_default().push(key);
        settled(delivery, Answers::default())
    }

    fn again(&mut self, delivery: Delivery) -> Done {
        let wait = Duration::from_millis(self.random.below(40) as u64);
        Done { then: Then::Again(self.now + wait), ..settled(delivery, Answers::default()) }
    }

    // What the worker and a processor with several targets make of it.
    fn deliver_to_targets(&mut self, mut delivery: Delivery) -> Done {
        let key = delivery.event.position.key;
        if let Some(target) = delivery.owing().cloned().filter(|_| delivery.ticket.expired.is_some()) {
            assert!(self.gives_up);
            self.end(key, &target);
            return settled(delivery, Answers { refused: true, ..Answers::default() });
        }
        if self.random.below(30) == 0 {
            // Its targets are not known yet.
            return self.again(delivery);
        }
        let (called, withheld): (Vec<Target>, Vec<Target>) = match &delivery.aim {
            Aim::Subscribers(withheld) => {
                wanted(key).into_iter().partition(|target| !withheld.contains(target))
            }
            Aim::Owing(target) | Aim::Named(target) => (vec![target.clone()], Vec::new()),
        };
        let mut answers = Answers { is_new: delivery.attempts == 0, ..Answers::default() };
        delivery.attempts += 1;
        let attempts = delivery.attempts;
        let mut owing: Vec<Owing> =
            withheld.into_iter().map(|target| Owing { attempts: 0, due: None, ..owed(target) }).collect();
        for target in called {
            if self.moods[place_of(&target)] <= self.random.below(8) {
                self.end(key, &target);
                let lane = self.lane_of(&delivery);
                self.delivered.entry((lane, place_of(&target))).or_default().push(key);
                answers.accepted.push(target);
                continue;
            }
            let pause = self.now + Duration::from_millis(self.random.below(40) as u64);
            answers.failed.push(Failed { failure: failure(&target), pause });
            owing.push(Owing { attempts, due: Some(pause), ..owed(target) });
        }
        let due = owing.first().and_then(|owing| owing.due);
        let then = match (delivery.owing().is_some(), due) {
            (true, Some(due)) => Then::Again(due),
            (false, _) if !owing.is_empty() => Then::Owe(owing),
            _ => Then::Settle,
        };
        Done { then, ..settled(delivery, answers) }
    }

    fn lane_of(&self, delivery: &Delivery) -> u64 {
        if self.order == Order::Strict { 0 } else { delivery.event.lane.0 }
    }

    fn end(&mut self, key: i64, target: &Target) {
        assert!(self.ended.insert((key, place_of(target))), "{target} is done with {key} twice");
    }

    // Lets one worker do what it can do. True when it did something.
    fn run(&mut self, index: usize) -> bool {
        match &self.workers[index] {
            Worker::Comes => {
                self.dispatch.crew().arrive();
                self.step(index, Vec::new());
            }
            Worker::Awake => self.step(index, Vec::new()),
            Worker::Delivers(_) => self.deliver(index),
            Worker::Leads(lead) => return self.lead(index, *lead),
            Worker::Follows | Worker::Gone | Worker::Ended => return false,
        }
        true
    }

    fn check_bounds(&self) {
        let one = 4 * BATCH_BYTES_MAX + 1024;
        assert!(self.dispatch.lanes.flowing_bytes() <= LANES_BYTES_MAX + one);
        // What fails comes back beside what was admitted meanwhile.
        assert!(self.dispatch.lanes.held().bytes <= HELD_BYTES_MAX + WORKERS * 3 * one);
        assert!(self.dispatch.inbox.len() <= 4);
        // What flowed when it became full may still come, and once for each worker.
        assert!(self.dispatch.rooms.bytes() <= ROOMS_BYTES_MAX + LANES_BYTES_MAX + (WORKERS + 1) * one);
        let parts = self.workers.iter().filter_map(|worker| match worker {
            Worker::Delivers(taken) => {
                Some(taken.iter().filter(|delivery| delivery.owing().is_some()).count())
            }
            _ => None,
        });
        assert!(parts.sum::<usize>() <= WORKERS / 2, "what failed takes the workers of what flows");
    }

    // Work that is free wakes somebody, and somebody waits for the channel while others deliver.
    fn check_wakes(&self) {
        let is_any = |wanted: fn(&Worker) -> bool| self.workers.iter().any(wanted);
        if self.nudge || is_any(|worker| matches!(worker, Worker::Awake | Worker::Comes)) {
            return;
        }
        if self.workers.iter().all(|worker| matches!(worker, Worker::Gone)) {
            assert!(
                self.channel.is_empty() && self.dispatch.is_empty(),
                "something waits and nobody is there"
            );
        }
        let sleeps = is_any(|worker| matches!(worker, Worker::Follows | Worker::Leads(_)));
        let wakes_by_time = self.workers.iter().any(
            |worker| matches!(worker, Worker::Leads(lead) if lead.due.is_some_and(|due| due <= self.now)),
        );
        assert!(
            !sleeps || wakes_by_time || !self.dispatch.is_work(self.now),
            "a lane is free beside a worker that sleeps"
        );
        let follows = is_any(|worker| matches!(worker, Worker::Follows));
        assert!(!follows || is_any(|worker| matches!(worker, Worker::Leads(_))), "nobody leads");
    }

    // Nobody can do anything any more but by time.
    fn settle_down(&mut self) {
        while (0..WORKERS).any(|index| self.run(index)) {}
        let is_asleep =
            |worker: &Worker| !matches!(worker, Worker::Awake | Worker::Comes | Worker::Delivers(_));
        assert!(self.workers.iter().all(is_asleep));
    }

    fn run_to_the_end(&mut self) {
        for round in 0..10_000 {
            if round == 300 {
                // Whatever failed all the time recovers.
                self.moods.iter_mut().for_each(|mood| *mood = (*mood).min(4));
            }
            self.settle_down();
            if self.workers.iter().all(|worker| matches!(worker, Worker::Gone | Worker::Ended)) {
                assert!(self.channel.is_empty(), "something was sent and nobody is there");
                if !self.is_sending {
                    return;
                }
                self.send();
                self.is_sending = self.sent < 200;
                continue;
            }
            // Whoever sleeps must have something to wait for: the poller, or a retry.
            let lead = self.workers.iter().find_map(|worker| match worker {
                Worker::Leads(lead) => Some(*lead),
                _ => None,
            });
            let lead = lead.expect("nobody leads, although not all have ended");
            assert!(!self.dispatch.is_work(self.now), "a lane is free and everybody sleeps");
            // What was due may have been put off meanwhile.
            let wakes_in_time = |next: Instant| lead.due.is_some_and(|due| due <= next);
            assert!(self.dispatch.next_due().is_none_or(wakes_in_time), "the leader sleeps past a retry");
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

fn place_of(target: &Target) -> usize {
    TARGETS.iter().position(|known| *known == &**target).unwrap()
}

fn failure(target: &str) -> Failure {
    let retry = Retry::Later { after: None, unsent: false };
    Failure { target: target.to_string(), retry, reason: "500", detail: "status 500".to_string() }
}

fn owed(target: Target) -> Owing {
    Owing { target, attempts: 0, failing_since: None, refused_since: None, due: None }
}

fn settled(delivery: Delivery, answers: Answers) -> Done {
    Done { delivery, then: Then::Settle, answers, is_pushed_back: false }
}

#[test]
fn whatever_the_schedule_all_is_delivered_in_order_and_everybody_ends() {
    let mut random = Random::from_test("dispatch");
    for round in 0..600 {
        let order = [Order::Entity, Order::Strict, Order::None][round % 3];
        let mut model = Model::new(order, Random::new(random.bits()), round / 3 % 2 == 0);
        for _ in 0..random.below(800) {
            match model.random.below(7) {
                0 => model.send(),
                1 if model.random.below(20) == 0 => model.wait_long(),
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
            if model.random.below(60) == 0 && !model.moods.is_empty() {
                let place = model.random.below(TARGETS.len());
                model.moods[place] = model.random.below(9);
            }
            model.check_bounds();
            model.check_wakes();
        }
        if round % 4 == 0 {
            model.is_sending = false;
        }
        model.hold(false);
        model.run_to_the_end();
        match model.moods.is_empty() {
            true => assert_eq!(model.settled as i64, model.sent, "{order:?}: something was left behind"),
            false => assert_eq!(model.ended, model.owed, "{order:?}: something was left behind"),
        }
        if order != Order::None {
            assert!(model.delivered.values().all(|keys| keys.is_sorted()), "{order:?}");
        }
        assert_eq!(model.dispatch.gauge().outstanding, 0);
        assert_eq!((model.dispatch.rooms.bytes(), model.dispatch.rooms.waiting()), (0, 0));
    }
}

#[test]
fn a_target_that_fails_and_then_hangs_holds_only_itself() {
    for order in [Order::Entity, Order::Strict, Order::None] {
        let mut model = Model::new(order, Random::new(4711), true);
        model.moods = vec![8, 0, 0];
        let hangs = |model: &Model, index: usize| match &model.workers[index] {
            Worker::Delivers(taken) => taken.iter().any(|delivery| delivery.owing().is_some()),
            _ => false,
        };
        for _ in 0..3000 {
            if model.sent < 400 {
                model.send();
            }
            model.now += Duration::from_millis(1);
            for index in 0..WORKERS {
                if !hangs(&model, index) {
                    model.run(index);
                }
            }
        }
        let of_p = |(_, place): &&(i64, usize)| *place == 0;
        let left: Vec<_> = model.owed.difference(&model.ended).filter(|owed| !of_p(owed)).collect();
        assert!(left.is_empty(), "{order:?}: {left:?}");
        assert_eq!(model.ended.iter().filter(of_p).count(), 0, "{order:?}");
        assert_eq!(model.dispatch.owed_to("p").0, model.owed.iter().filter(of_p).count(), "{order:?}");
        assert!(model.delivered.values().all(|keys| order == Order::None || keys.is_sorted()), "{order:?}");
        let hanging = (0..WORKERS).filter(|index| hangs(&model, *index)).count();
        assert_eq!(hanging, 1, "{order:?}: one attempt at a time is enough for a target that is down");
    }
}

#[test]
fn workers_come_when_work_waits_and_leave_when_none_comes() {
    let mut model = Model::new(Order::None, Random::new(7), false);
    assert_eq!(model.dispatch.crew().present(), 0);
    while model.sent < 50 {
        model.send();
        (0..WORKERS).for_each(|index| {
            model.run(index);
        });
    }
    let most = model.dispatch.crew().present();
    assert!(2 < most);
    for _ in 0..1000 {
        model.now += Duration::from_millis(5);
        model.settle_down();
    }
    assert_eq!(model.settled as i64, model.sent);
    // In the first minute they were needed.
    model.wait_long();
    assert_eq!(model.dispatch.crew().present(), most);
    model.wait_long();
    model.wait_long();
    assert_eq!(model.dispatch.crew().present(), 0, "{:?}", model.workers);
    model.send();
    model.settle_down();
    assert!((1..=2).contains(&model.dispatch.crew().present()));
}

#[test]
fn closing_ends_everybody_and_what_is_in_flight_comes_back() {
    let mut random = Random::from_test("dispatch, closing");
    for round in 0..300 {
        let mut model = Model::new(Order::Entity, Random::new(random.bits()), round % 2 == 0);
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
        let is_over = |worker: &Worker| matches!(worker, Worker::Gone | Worker::Ended);
        assert!(model.workers.iter().all(is_over), "{:?}", model.workers);
        assert_eq!(model.dispatch.crew().present(), 0);
    }
}

#[test]
fn after_large_events_there_is_room_for_as_many_small_ones_as_ever() {
    let (mut dispatch, now) = (Dispatch::new(&route_config(Order::None, WORKERS)), Instant::now());
    let mut key = 0;
    let mut fill_and_drain = |bytes: usize| {
        let first = key;
        while dispatch.is_receiving() {
            key += 1;
            let mut event: Event = event(key, "a");
            event.ce.data = vec![b'x'; bytes];
            dispatch.receive([Entry::Event(event)].into_iter().collect());
        }
        let (mut taken, mut settled) = (Vec::new(), 0);
        while dispatch.step(now, WORKERS, &mut taken) == NextStep::Deliver {
            settled += taken.len() as i64;
            let mut done: Vec<Done> =
                taken.drain(..).map(|delivery| self::settled(delivery, Answers::default())).collect();
            dispatch.settle(&mut done, now);
        }
        dispatch.stop_leading();
        assert_eq!(settled, key - first);
        settled
    };
    let small = fill_and_drain(512);
    let large = fill_and_drain(64 * 1024);
    assert!((2..20).contains(&large) && 400 < small, "{large} large ones, {small} small ones");
    assert_eq!(
        [fill_and_drain(512), fill_and_drain(2 * LANES_BYTES_MAX), fill_and_drain(512)],
        [small, 1, small]
    );
}
