//! What a route of the simulated world does, as far as it matters there: reads, delivers, saves.

use super::*;

impl World {
    pub(super) fn present_event(&self) -> u64 {
        self.now * RATE / SECOND
    }

    pub(super) fn start(&mut self, node: usize, route: usize, sealed: Kept<Record>) {
        self.takeovers += 1;
        self.count += 1;
        let id = self.count;
        self.nodes[node].member.runs(route);
        let text = sealed.value.text.as_ref().map(|text| text.parse().unwrap());
        self.nodes[node].running[route] = Some(Running {
            id,
            saving: Saving::new(&sealed),
            next_read: text,
            settled_to: text.unwrap_or_default(),
            settled: BTreeSet::new(),
            saved: text,
            queue: VecDeque::new(),
            busy: 0,
            asking: None,
            stopping: false,
        });
        let (run, login) = (self.nodes[node].run, 1000 + self.random.below(300_000) as u64);
        self.at(login, Happening::Read { node, run, route, id });
        if self.truths[route].at_least_once {
            self.at(login, Happening::Wake { node, run, who: Who::Saver(route, id) });
        }
    }

    pub(super) fn read(&mut self, node: usize, route: usize, id: u64) {
        if !self.is_current(node, route, id) || !self.is_valid(node, route) {
            return;
        }
        let (present, run, at_least_once) =
            (self.present_event(), self.nodes[node].run, self.truths[route].at_least_once);
        let Some(running) = &mut self.nodes[node].running[route] else { return };
        if running.stopping {
            return;
        }
        if running.next_read.is_none() {
            (running.next_read, running.settled_to) = (Some(present), present);
        }
        // The start is durable before anything is read.
        let may_read = !at_least_once || running.saved.is_some();
        if let Some(next) = &mut running.next_read
            && may_read
            && running.queue.len() < 50
        {
            let end = present.min(*next + 50);
            let events: Vec<u64> = (*next..end).collect();
            *next = end;
            let delay = 100 + self.random.below(5000) as u64;
            self.at(delay, Happening::Push { node, run, route, id, events });
        }
        self.at(200_000, Happening::Read { node, run, route, id });
    }

    pub(super) fn work(&mut self, node: usize, route: usize) {
        let (valid, run) = (self.is_valid(node, route), self.nodes[node].run);
        loop {
            let delay = 1000 + self.random.below(50_000) as u64;
            let Some(running) = &mut self.nodes[node].running[route] else { return };
            if WORKERS <= running.busy || !valid {
                return;
            }
            let Some(event) = running.queue.pop_front() else { return };
            running.busy += 1;
            let id = running.id;
            self.at(delay, Happening::Deliver { node, run, route, id, event });
        }
    }

    pub(super) fn deliver(&mut self, node: usize, route: usize, id: u64, event: u64) {
        let me = self.me(node);
        let is_late = self.records.get(&route).is_some_and(|record| record.value.holder != me);
        self.truths[route].delivered(event, is_late);
        if !self.is_current(node, route, id) {
            return;
        }
        let at_least_once = self.truths[route].at_least_once;
        let Some(running) = &mut self.nodes[node].running[route] else { return };
        running.busy -= 1;
        running.settled.insert(event);
        while running.settled.remove(&running.settled_to) {
            running.settled_to += 1;
        }
        if running.stopping && running.busy == 0 && (at_least_once || running.queue.is_empty()) {
            let run = self.nodes[node].run;
            self.at(1, Happening::Wake { node, run, who: Who::Saver(route, id) });
        }
        self.work(node, route);
    }

    pub(super) fn save(&mut self, node: usize, route: usize, id: u64) {
        if !self.is_current(node, route, id) || !self.is_valid(node, route) {
            return self.tend(node, route);
        }
        let at_least_once = self.truths[route].at_least_once;
        let this = &mut self.nodes[node];
        let Some(running) = &mut this.running[route] else { return };
        let is_known = running.next_read.is_some() && at_least_once;
        if is_known && running.saved != Some(running.settled_to) {
            if running.asking.is_none() {
                running.asking = Some(running.settled_to);
                let call = running.saving.next(&running.settled_to.to_string());
                let subject = Subject::Route(route.to_string());
                self.call(node, Who::Saver(route, id), Ask::On(subject, route, call));
            }
        } else if running.stopping && running.busy == 0 && running.queue.is_empty() {
            this.running[route] = None;
            if let Some(tenant) = &mut this.tenants[route] {
                tenant.tenancy.leave();
            }
            self.tend(node, route);
        } else if at_least_once && !running.stopping {
            let run = this.run;
            self.at(SECOND, Happening::Wake { node, run, who: Who::Saver(route, id) });
        }
    }

    pub(super) fn saved(&mut self, node: usize, route: usize, id: u64, reply: Reply) {
        if !self.is_current(node, route, id) {
            return;
        }
        let run = self.nodes[node].run;
        let Some(running) = &mut self.nodes[node].running[route] else { return };
        let Some(asked) = running.asking else { return };
        match running.saving.answered(&asked.to_string(), reply) {
            Saved::Done => {
                (running.saved, running.asking) = (Some(asked), None);
                let wait = if running.stopping { 1 } else { SECOND };
                self.at(wait, Happening::Wake { node, run, who: Who::Saver(route, id) });
            }
            Saved::Again => {
                let call = running.saving.next(&asked.to_string());
                self.call(
                    node,
                    Who::Saver(route, id),
                    Ask::On(Subject::Route(route.to_string()), route, call),
                );
            }
            Saved::Unknown => {
                running.asking = None;
                self.at(SECOND, Happening::Wake { node, run, who: Who::Saver(route, id) });
            }
            Saved::Lost(by) => {
                if let Some(tenant) = &mut self.nodes[node].tenants[route] {
                    tenant.tenancy.fenced(&by);
                }
                self.tend(node, route);
            }
        }
    }
}
