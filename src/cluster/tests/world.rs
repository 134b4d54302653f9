//! A world of routers, a network and a store, in which everything fails that can: one event after the
//! other, by seeds. The routers run the state machines of the program; all else is made up.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use super::truth::Truth;
use crate::cluster::lease::{Call, Kept, Lease, Moment, Record, Reply, Rules, Subject, Version, holder};
use crate::cluster::member::Member;
use crate::cluster::presence::Presence;
use crate::cluster::saving::{Saved, Saving};
use crate::cluster::tenancy::{End, Step, Tenancy};
use crate::demo::random::Random;

mod network;
mod work;

/// What is left out of the protocol, to see that the simulation notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    None,
    /// The store replaces whatever version there is.
    NoCompareAndSwap,
    /// An owner goes on after its time.
    NoSelfStop,
    /// A missing lease is free.
    MissingMeansFree,
    /// An owner counts its time from the answer.
    HoldFromTheAnswer,
    /// Others' leases last as long as one's own.
    OwnLease,
}

const SECOND: u64 = 1_000_000;
const CALL_SECONDS: u64 = 4;
const WORKERS: usize = 2;
/// Events that a source records in a second.
const RATE: u64 = 4;

pub(super) struct World {
    pub(super) random: Random,
    pub(super) now: u64,
    mutant: Mutant,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: HashMap<u64, Happening>,
    count: u64,
    leases: HashMap<Subject, Kept<Lease>>,
    older: Vec<(Subject, Kept<Lease>)>,
    records: HashMap<usize, Kept<Record>>,
    outage_until: u64,
    // Things go on failing.
    is_cruel: bool,
    pub(super) nodes: Vec<Node>,
    pub(super) truths: Vec<Truth>,
    pub(super) takeovers: usize,
}

pub(super) struct Node {
    run: u64,
    alive: bool,
    leaving: bool,
    booted: u64,
    rate: f64,
    offset: Duration,
    lease: Duration,
    pub(super) paused_until: u64,
    pub(super) parted_until: u64,
    member: Member,
    presence: Presence,
    tenants: Vec<Option<Tenant>>,
    pub(super) running: Vec<Option<Running>>,
    calls: HashMap<u64, (Who, Moment)>,
}

struct Tenant {
    tenancy: Tenancy,
    busy: bool,
}

pub(super) struct Running {
    id: u64,
    saving: Saving,
    // None: where to begin is not known yet.
    next_read: Option<u64>,
    settled_to: u64,
    settled: BTreeSet<u64>,
    saved: Option<u64>,
    queue: VecDeque<u64>,
    busy: usize,
    // The position that is being saved.
    asking: Option<u64>,
    stopping: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Agent,
    List,
    Tenant(usize),
    Saver(usize, u64),
}

enum Ask {
    List,
    On(Subject, usize, Call),
}

enum Answer {
    Listed(Vec<(Subject, Kept<Lease>)>),
    Reply(Reply),
}

enum Happening {
    Apply { node: usize, run: u64, id: u64, ask: Ask },
    Answer { node: usize, run: u64, id: u64, answer: Answer },
    Wake { node: usize, run: u64, who: Who },
    Read { node: usize, run: u64, route: usize, id: u64 },
    Push { node: usize, run: u64, route: usize, id: u64, events: Vec<u64> },
    Deliver { node: usize, run: u64, route: usize, id: u64, event: u64 },
    Boot { node: usize, run: u64 },
}

impl World {
    pub(super) fn new(seed: u64, nodes: usize, kinds: &[bool], mutant: Mutant) -> World {
        let mut world = World {
            random: Random::new(seed),
            now: 0,
            mutant,
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            count: 0,
            leases: HashMap::new(),
            older: Vec::new(),
            records: HashMap::new(),
            outage_until: 0,
            is_cruel: true,
            nodes: Vec::new(),
            truths: kinds.iter().map(|at_least_once| Truth::new(*at_least_once)).collect(),
            takeovers: 0,
        };
        for index in 0..nodes {
            let rate = 0.85 + world.random.below(31) as f64 / 100.0;
            // One of three may have another idea of how long a lease lasts.
            let lease = if index == 0 && world.random.below(2) == 0 { 30 } else { 15 };
            let node = world.node(rate, Duration::from_secs(lease));
            world.nodes.push(node);
            let delay = world.random.below(3 * SECOND as usize) as u64;
            world.at(delay, Happening::Boot { node: index, run: 0 });
        }
        world
    }

    fn node(&mut self, rate: f64, lease: Duration) -> Node {
        let rules = Rules::of(lease);
        let routes = self.truths.len();
        Node {
            run: 0,
            alive: false,
            leaving: false,
            booted: 0,
            rate,
            offset: Duration::from_secs(self.random.below(36_000) as u64),
            lease,
            paused_until: 0,
            parted_until: 0,
            member: Member::new(rules, "", &[]),
            presence: Presence::new(rules, ""),
            tenants: (0..routes).map(|_| None).collect(),
            running: (0..routes).map(|_| None).collect(),
            calls: HashMap::new(),
        }
    }

    fn rules(&self, node: usize) -> Rules {
        let rules = Rules::of(self.nodes[node].lease);
        match self.mutant {
            Mutant::NoSelfStop => Rules { hold: Duration::from_secs(1_000_000), ..rules },
            _ => rules,
        }
    }

    fn me(&self, node: usize) -> String {
        holder("node", &format!("{node}"), &format!("{}", self.nodes[node].run))
    }

    fn at(&mut self, delay: u64, happening: Happening) {
        self.count += 1;
        self.queue.push(Reverse((self.now + delay, self.count)));
        self.happenings.insert(self.count, happening);
    }

    fn moment(&self, node: usize) -> Moment {
        let node = &self.nodes[node];
        node.offset + Duration::from_micros(((self.now - node.booted) as f64 * node.rate) as u64)
    }

    fn until(&self, node: usize, moment: Moment) -> u64 {
        let left = moment.saturating_sub(self.moment(node)).as_micros() as f64;
        (left / self.nodes[node].rate) as u64 + 1
    }

    /// Lets everything happen until then.
    pub(super) fn run(&mut self, until: u64) {
        while let Some(Reverse((time, id))) =
            self.queue.peek().copied().filter(|Reverse((time, _))| *time <= until)
        {
            self.queue.pop();
            self.now = time;
            let Some(happening) = self.happenings.remove(&id) else { continue };
            let place = match &happening {
                Happening::Apply { .. } => None,
                Happening::Answer { node, run, .. }
                | Happening::Wake { node, run, .. }
                | Happening::Read { node, run, .. }
                | Happening::Push { node, run, .. }
                | Happening::Deliver { node, run, .. }
                | Happening::Boot { node, run } => Some((*node, *run)),
            };
            if let Some((node, run)) = place {
                if self.nodes[node].run != run {
                    continue;
                }
                if time < self.nodes[node].paused_until {
                    let late = self.nodes[node].paused_until - time + self.random.below(2000) as u64;
                    self.at(late, happening);
                    continue;
                }
            }
            self.happen(happening);
        }
        self.now = until;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Apply { node, run, id, ask } => self.apply(node, run, id, ask),
            Happening::Answer { node, id, answer, .. } => {
                if let Some((who, sent)) = self.nodes[node].calls.remove(&id) {
                    self.answered(node, who, sent, answer);
                }
            }
            Happening::Wake { node, who, .. } => self.wake(node, who),
            Happening::Read { node, route, id, .. } => self.read(node, route, id),
            Happening::Push { node, route, id, events, .. } => {
                if self.is_current(node, route, id) && self.is_valid(node, route) {
                    if let Some(running) = &mut self.nodes[node].running[route] {
                        running.queue.extend(events);
                    }
                    self.work(node, route);
                }
            }
            Happening::Deliver { node, route, id, event, .. } => self.deliver(node, route, id, event),
            Happening::Boot { node, .. } => self.boot(node),
        }
    }

    fn boot(&mut self, index: usize) {
        let (rules, me, now) = (self.rules(index), self.me(index), self.now);
        let names: Vec<String> = (0..self.truths.len()).map(|route| route.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let node = &mut self.nodes[index];
        (node.alive, node.leaving, node.booted) = (true, false, now);
        node.member = Member::new(rules, &me, &names);
        node.presence = Presence::new(rules, &me);
        self.wake(index, Who::Agent);
    }

    /// The process dies, and another comes up in its place.
    pub(super) fn crash(&mut self, index: usize, back: u64) {
        let node = &mut self.nodes[index];
        node.alive = false;
        node.run += 1;
        node.paused_until = 0;
        node.calls.clear();
        node.tenants.iter_mut().for_each(|tenant| *tenant = None);
        node.running.iter_mut().for_each(|running| *running = None);
        let run = node.run;
        self.at(back, Happening::Boot { node: index, run });
    }

    /// The process is told to end.
    pub(super) fn terminate(&mut self, index: usize) {
        if !self.nodes[index].alive {
            return;
        }
        self.nodes[index].leaving = true;
        for route in 0..self.truths.len() {
            self.give(index, route);
        }
    }

    pub(super) fn fail_store(&mut self, time: u64) {
        self.outage_until = self.now + time;
    }

    pub(super) fn heal(&mut self) {
        (self.outage_until, self.is_cruel) = (0, false);
        for node in &mut self.nodes {
            (node.paused_until, node.parted_until) = (node.paused_until.min(self.now), 0);
        }
    }

    pub(super) fn delete_lease(&mut self, route: usize) {
        if !self.records.contains_key(&route) {
            return;
        }
        self.leases.remove(&Subject::Route(route.to_string()));
    }

    /// Only while its owner lives and will make it anew, and the lease is there: without both it is a route
    /// that nobody ever had.
    pub(super) fn delete_record(&mut self, route: usize) {
        let owns = |node: usize| {
            let now = self.moment(node);
            let tenant = self.nodes[node].tenants[route].as_ref();
            let is_safe =
                self.nodes[node].paused_until <= self.now && self.nodes[node].parted_until <= self.now;
            is_safe
                && tenant.is_some_and(|tenant| now + Duration::from_secs(6) < tenant.tenancy.valid_until())
        };
        let saves = |node: &Node| node.running[route].as_ref().is_some_and(|running| !running.stopping);
        let safe = (0..self.nodes.len()).any(|node| owns(node) && saves(&self.nodes[node]));
        let has_lease = self.leases.contains_key(&Subject::Route(route.to_string()));
        if safe && has_lease && self.truths[route].at_least_once && self.outage_until <= self.now {
            self.records.remove(&route);
        }
    }

    /// Whether a record is missing that its owner must make anew.
    pub(super) fn is_bare(&self) -> bool {
        (0..self.truths.len())
            .any(|route| self.truths[route].is_started() && !self.records.contains_key(&route))
    }

    fn present(&mut self, node: usize) {
        let call = self.nodes[node].presence.next(self.nodes[node].leaving);
        self.call(node, Who::Agent, Ask::On(Subject::Member(node.to_string()), 0, call));
    }

    fn wake(&mut self, node: usize, who: Who) {
        match who {
            Who::Agent
                if self.nodes[node].leaving && self.nodes[node].tenants.iter().all(Option::is_none) =>
            {
                let back = SECOND + self.random.below(10 * SECOND as usize) as u64;
                self.crash(node, back);
            }
            Who::Agent | Who::List => self.present(node),
            Who::Tenant(route) => self.tend(node, route),
            Who::Saver(route, id) => self.save(node, route, id),
        }
    }

    fn look(&mut self, node: usize, now: Moment, mut listed: Vec<(Subject, Kept<Lease>)>) {
        if self.nodes[node].leaving {
            return;
        }
        let own = self.nodes[node].lease;
        if self.mutant == Mutant::OwnLease {
            listed.iter_mut().for_each(|(_, lease)| lease.value.lasts = own);
        }
        let nothing = |_: usize| 0;
        let (takes, give) = self.nodes[node].member.look(now, listed, &nothing);
        let (rules, me) = (self.rules(node), self.me(node));
        for take in takes {
            let mut unclaimed = take.unclaimed;
            if self.mutant == Mutant::MissingMeansFree {
                let record = self.records.get(&take.route);
                unclaimed = record.map(|record| (record.version.clone(), Moment::MAX));
            }
            let tenancy = Tenancy::take(rules, &me, take.over, unclaimed, now);
            self.nodes[node].tenants[take.route] = Some(Tenant { tenancy, busy: false });
            self.tend(node, take.route);
        }
        if let Some(route) = give {
            self.give(node, route);
        }
    }

    // The owner of a route.

    fn tend(&mut self, node: usize, route: usize) {
        let now = self.moment(node);
        let this = &mut self.nodes[node];
        let Some(tenant) = &mut this.tenants[route] else { return };
        if tenant.busy {
            return;
        }
        if this.leaving && this.running[route].is_none() {
            tenant.tenancy.leave();
        }
        match tenant.tenancy.next(now) {
            Step::Ask(call) => {
                tenant.busy = true;
                self.call(node, Who::Tenant(route), Ask::On(Subject::Route(route.to_string()), route, call));
            }
            Step::Wait(until) => {
                let run = this.run;
                let wait = self.until(node, until).min(5 * SECOND);
                self.at(wait, Happening::Wake { node, run, who: Who::Tenant(route) });
            }
            Step::Over(end) => {
                if let End::Expired | End::Taken(_) = &end {
                    self.truths[route].lost += 1;
                }
                this.tenants[route] = None;
                this.running[route] = None;
                match end {
                    End::Unclaimed(version) => this.member.unclaimed(route, version, now),
                    _ => this.member.ended(route, now),
                }
            }
        }
    }

    fn give(&mut self, node: usize, route: usize) {
        let this = &mut self.nodes[node];
        match &mut this.running[route] {
            Some(running) => {
                running.stopping = true;
                if self.truths[route].at_least_once {
                    running.queue.clear();
                }
                let (id, run) = (running.id, this.run);
                self.at(1, Happening::Wake { node, run, who: Who::Saver(route, id) });
            }
            None => self.tend(node, route),
        }
    }

    fn is_valid(&self, node: usize, route: usize) -> bool {
        let tenant = self.nodes[node].tenants[route].as_ref();
        tenant.is_some_and(|tenant| self.moment(node) < tenant.tenancy.valid_until())
    }

    // The right is one's alone, by the time of the world.
    fn see_owners(&mut self, route: usize) {
        let runs = |node: &usize| self.nodes[*node].running[route].is_some() && self.is_valid(*node, route);
        let owners: Vec<usize> = (0..self.nodes.len()).filter(runs).collect();
        if 1 < owners.len() {
            self.truths[route].faults.push(format!("has the owners {owners:?} at the same time"));
        }
    }

    fn is_current(&self, node: usize, route: usize, id: u64) -> bool {
        self.nodes[node].running[route].as_ref().is_some_and(|running| running.id == id)
    }

    /// Whose each route is, by what runs: node and route.
    pub(super) fn owners(&self) -> Vec<(usize, usize)> {
        let all =
            (0..self.nodes.len()).flat_map(|node| (0..self.truths.len()).map(move |route| (node, route)));
        all.filter(|(node, route)| {
            self.nodes[*node].running[*route].is_some() && self.is_valid(*node, *route)
        })
        .collect()
    }
}
