//! The network and the store of the simulated world: calls, their answers, and what gets lost.

use super::*;

impl World {
    pub(super) fn call(&mut self, node: usize, who: Who, ask: Ask) {
        self.count += 1;
        let (id, run, sent) = (self.count, self.nodes[node].run, self.moment(node));
        self.nodes[node].calls.insert(id, (who, sent));
        let failed = |wait| Answer::Reply(Reply::Failed(Duration::from_millis(wait)));
        if self.now < self.outage_until && self.random.below(2) == 0 {
            self.at(1000, Happening::Answer { node, run, id, answer: failed(0) });
            return;
        }
        self.at(CALL_SECONDS * SECOND, Happening::Answer { node, run, id, answer: failed(0) });
        if self.is_cruel && self.random.below(300) == 0 && !self.is_bare() {
            // The worst moment: it is sent, and the answer is read much later.
            self.nodes[node].paused_until =
                self.now + 10 * SECOND + self.random.below(30 * SECOND as usize) as u64;
        }
        if self.nodes[node].parted_until <= self.now {
            let latency = self.latency();
            self.at(latency, Happening::Apply { node, run, id, ask });
        }
    }

    pub(super) fn latency(&mut self) -> u64 {
        match self.random.below(100) {
            0 | 1 => self.random.below(8 * SECOND as usize) as u64,
            _ => 500 + self.random.below(20_000) as u64,
        }
    }

    pub(super) fn apply(&mut self, node: usize, run: u64, id: u64, ask: Ask) {
        if self.now < self.outage_until {
            return;
        }
        let answer = match ask {
            Ask::List => Answer::Listed(self.list()),
            Ask::On(subject, route, call) => Answer::Reply(self.store(subject, route, call)),
        };
        if self.nodes[node].parted_until <= self.now {
            let latency = self.latency();
            self.at(latency, Happening::Answer { node, run, id, answer });
        }
    }

    // From a cache, which may be behind.
    pub(super) fn list(&mut self) -> Vec<(Subject, Kept<Lease>)> {
        let listed = self.leases.iter().map(|(subject, lease)| (subject.clone(), lease.clone()));
        let fresh: Vec<_> = listed.collect();
        if self.random.below(10) == 0 {
            return self.older.clone();
        }
        self.older = fresh.clone();
        fresh
    }

    pub(super) fn store(&mut self, subject: Subject, route: usize, call: Call) -> Reply {
        self.count += 1;
        let number = self.count.to_string();
        let fits = |found: Option<&Version>, wanted: &Option<Version>| {
            self.mutant == Mutant::NoCompareAndSwap || found == wanted.as_ref()
        };
        match call {
            Call::ReadLease => Reply::Lease(self.leases.get(&subject).cloned()),
            Call::ReadRecord => Reply::Record(self.records.get(&route).cloned()),
            Call::WriteLease(version, value) => {
                let found = self.leases.get(&subject).map(|kept| &kept.version);
                if !fits(found, &version) {
                    return Reply::Changed;
                }
                let uid = found.map_or_else(|| number.clone(), |found| found.uid.clone());
                let version = Version { uid, number };
                self.leases.insert(subject, Kept { version: version.clone(), value });
                Reply::Written(version)
            }
            Call::WriteRecord(version, value) => {
                let found = self.records.get(&route).map(|kept| &kept.version);
                if !fits(found, &version) {
                    return Reply::Changed;
                }
                let uid = found.map_or_else(|| number.clone(), |found| found.uid.clone());
                let version = Version { uid, number };
                self.truths[route].written(&value);
                self.records.insert(route, Kept { version: version.clone(), value });
                Reply::Written(version)
            }
        }
    }

    pub(super) fn answered(&mut self, node: usize, who: Who, sent: Moment, answer: Answer) {
        let now = self.moment(node);
        match (who, answer) {
            (Who::Agent, Answer::Reply(reply)) => {
                if self.nodes[node].presence.answered(reply) {
                    self.present(node);
                } else if self.nodes[node].leaving {
                    self.wake(node, Who::Agent);
                } else {
                    self.call(node, Who::List, Ask::List);
                }
            }
            (Who::List, answer) => {
                if let Answer::Listed(listed) = answer {
                    self.look(node, now, listed);
                }
                let run = self.nodes[node].run;
                let look = self.rules(node).look;
                let wait = self.until(node, now + look);
                self.at(wait, Happening::Wake { node, run, who: Who::Agent });
            }
            (Who::Tenant(route), Answer::Reply(reply)) => {
                let sent = if self.mutant == Mutant::HoldFromTheAnswer { now } else { sent };
                if let Some(tenant) = &mut self.nodes[node].tenants[route] {
                    tenant.busy = false;
                    tenant.tenancy.answered(sent, now, reply);
                    if let Some(sealed) = tenant.tenancy.take_sealed() {
                        self.start(node, route, sealed);
                    }
                    self.see_owners(route);
                }
                self.wake(node, Who::Tenant(route));
            }
            (Who::Saver(route, id), Answer::Reply(reply)) => self.saved(node, route, id, reply),
            _ => {}
        }
    }
}
