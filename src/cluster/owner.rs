//! The thread of one route that this process takes: it asks of the engine what the state machine says,
//! has the route started when it is sealed, and leaves it when the route has ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::lease::{Call, Kept, Moment, Record, Reply, Rules, name_of};
use super::member::Take;
use super::positions::{RecordPositions, standing_of};
use super::right::Right;
use super::saving::Saving;
use super::shared::{Change, Owned, Place, Shared};
use super::tenancy::{End, Step, Tenancy};
use crate::error::Result;
use crate::limits::CLUSTER_UNUSABLE_WAIT;
use crate::position::Positions;

/// One route while it is taken, held and left.
pub(super) struct Owner {
    shared: Arc<Shared>,
    place: usize,
    tenancy: Tenancy,
    right: Arc<Right>,
    rules: Rules,
    // Its route was started.
    started: bool,
    // What was sealed cannot be used.
    unusable: bool,
}

impl Owner {
    /// Takes a route that may be taken.
    pub(super) fn new(shared: &Arc<Shared>, take: Take, rules: Rules) -> Owner {
        let now = shared.now();
        // Those that were taken together are not renewed together for ever.
        let rules = Rules { renewal: rules.renewal.mul_f64(0.8 + 0.2 * crate::sync::jitter()), ..rules };
        let right = Arc::new(Right::new(shared.began, rules.hold));
        let tenancy = Tenancy::take(rules, &shared.me, take.over, take.unclaimed, now);
        let shared = shared.clone();
        Owner { shared, place: take.route, tenancy, right, rules, started: false, unusable: false }
    }

    /// What its route shares with it.
    pub(super) fn right(&self) -> Arc<Right> {
        self.right.clone()
    }

    /// Until it is over.
    pub(super) fn run(mut self) {
        let end = loop {
            if let Some(by) = self.right.fenced() {
                self.tenancy.fenced(&by);
            }
            let is_idle = !self.started && (self.unusable || self.shared.is_leaving());
            if is_idle || self.right.has_ended() || self.shared.has_left() {
                self.tenancy.leave();
            }
            match self.tenancy.next(self.shared.now()) {
                Step::Ask(call) => self.ask(&call),
                Step::Wait(until) => self.right.wait(until.saturating_sub(self.shared.now())),
                Step::Over(end) => break end,
            }
        };
        self.right.lose();
        self.say(&end);
        if self.started {
            self.shared.owned.fetch_sub(1, Ordering::Relaxed);
            self.shared.runner.drain(self.route().slot);
            // The threads of the route end before another tenancy begins here.
            while !self.right.has_ended() && !self.shared.has_left() {
                self.right.wait(self.rules.lease);
            }
        }
        let now = self.shared.now();
        let mut member = self.shared.member();
        match end {
            End::Unclaimed(version) => member.unclaimed(self.place, version, now),
            _ if self.unusable => member.ended(self.place, now + CLUSTER_UNUSABLE_WAIT),
            _ => member.ended(self.place, Moment::ZERO),
        }
        drop(member);
        self.shared.look_soon();
    }

    fn route(&self) -> &Place {
        &self.shared.places[self.place]
    }

    fn ask(&mut self, call: &Call) {
        let (sent, day) = (self.shared.now(), self.right.day());
        let asked = self.shared.engine.ask(&self.route().subject, call);
        self.shared.count(call, asked.as_ref().err());
        let reply = match asked {
            Ok(reply) => {
                self.route().incident.over();
                reply
            }
            Err(trouble) => {
                let consequence = match self.started {
                    true => "the route stops if its lease cannot be renewed in time",
                    false => "the route is tried again",
                };
                self.route().incident.happened(trouble.reason, &trouble.error.to_string(), consequence);
                Reply::Failed(trouble.wait)
            }
        };
        let before = self.tenancy.valid_until();
        self.tenancy.answered(sent, self.shared.now(), reply);
        let until = self.tenancy.valid_until();
        if before < until {
            self.right.extend(until, day);
            self.route().renewed(sent);
        }
        if let Some(sealed) = self.tenancy.take_sealed()
            && let Err(error) = self.start(&sealed)
        {
            let place = self.shared.engine.place(&self.route().subject);
            let detail = format!("record {place}: {error}");
            self.route().unusable.demands("unusable", &detail, "the route has no owner; it is tried again");
            self.unusable = true;
        }
    }

    fn start(&mut self, sealed: &Kept<Record>) -> Result<()> {
        let standing = standing_of(sealed)?;
        let route = self.route();
        let term = self.tenancy.term();
        log::info!(target: &route.logger, "this router owns it now, as the owner number {term}");
        if route.keeps_position && standing.is_none() && 1 < term {
            log::warn!(
                target: &route.logger,
                "there is no position of it, although it had an owner before: what was recorded since then is not \
                 delivered unless `router checkpoint set` says where to begin"
            );
        }
        let positions = route.keeps_position.then(|| {
            Box::new(RecordPositions {
                engine: self.shared.engine.clone(),
                subject: route.subject.clone(),
                right: self.right.clone(),
                address: route.address.clone(),
                standing,
                saving: Saving::new(sealed),
                interval: self.shared.record_interval,
                owned: self.shared.owned.clone(),
                bytes: 0,
            }) as Box<dyn Positions>
        });
        self.shared.runner.start(route.slot, Owned { positions, tenure: self.right.clone() })?;
        route.unusable.over();
        self.shared.changed(Change::Acquired);
        self.shared.owned.fetch_add(1, Ordering::Relaxed);
        self.shared.member().runs(self.place);
        self.started = true;
        // There may be more to take.
        self.shared.look_soon();
        Ok(())
    }

    fn say(&self, end: &End) {
        let logger = &self.route().logger;
        match end {
            End::Beaten | End::Unclaimed(_) => {}
            End::Released if self.started => {
                log::info!(target: logger, "handed over: it is free for others");
                self.shared.changed(Change::HandedOver);
            }
            End::Released => {}
            End::Expired => {
                let hold = self.rules.hold.as_secs_f64();
                log::warn!(
                    target: logger,
                    "its lease could not be renewed for {hold} s: it stops here, and goes on where somebody reaches the \
                     engine"
                );
                self.shared.changed(Change::Expired);
            }
            End::Taken(by) => {
                let by = if by.is_empty() { "somebody" } else { name_of(by) };
                log::error!(
                    target: logger,
                    "{by} has taken it over while this router was away: it stops here, and what was on its way may be \
                     delivered twice"
                );
                self.shared.changed(Change::Fenced);
            }
        }
    }
}
