//! This router among its like: it shows that it lives, looks at all leases, takes routes and gives them away.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crossbeam_channel::{bounded, never};

use super::engine::Trouble;
use super::engines;
use super::lease::{Call, Moment, Reply, Rules, Subject, holder, node_of};
use super::member::{Member, Take};
use super::owner::Owner;
use super::presence::Presence;
use super::shared::{LEAVING, LEFT, Place, RUNS, Runner, Shared, SharedRoute};
use crate::config::cluster::ClusterSection;
use crate::error::{Context, Result};
use crate::limits::{
    CLUSTER_LEAVE_WAIT_MAX, CLUSTER_MEMBER_AGE_MAX, CLUSTER_WAKE_INTERVAL, THREAD_STACK_BYTES,
};
use crate::observe::incident::Incident;
use crate::observe::logger::Logger;
use crate::observe::registry::LookAtCluster;

/// The logger.
const TARGET: &str = "cluster";

/// The threads of a member. It is left by `leave` and `finish`.
pub(crate) struct Replica {
    shared: Arc<Shared>,
}

impl Replica {
    /// Joins the others. `node`: the key of the state folder, whose lock this process holds.
    ///
    /// # Errors
    /// When the settings of the engine cannot be used, or no thread can be started.
    pub(crate) fn start(
        section: &ClusterSection,
        node: &str,
        routes: Vec<SharedRoute>,
        runner: Box<dyn Runner>,
    ) -> Result<Replica> {
        let rules = Rules::of(section.lease);
        let engine = engines::open(section)?;
        let me = holder(&section.identity, node, &crate::sync::random_key());
        let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
        let member = Member::new(rules, &me, &names);
        let places: Vec<Place> = routes.into_iter().map(Place::new).collect();
        let (nudge, nudged) = bounded(1);
        let shared = Arc::new(Shared {
            engine,
            name: section.name.clone(),
            rules,
            began: Instant::now(),
            runner,
            record_interval: section.checkpoint_interval,
            owned: Arc::default(),
            member: Mutex::new(member),
            rights: Mutex::new(places.iter().map(|_| None).collect()),
            places,
            stage: AtomicU8::new(RUNS),
            nudge,
            nudged,
            incident: Incident::new(&Logger::cluster()),
            changes: Default::default(),
            calls: Default::default(),
            seen: AtomicU64::new(0),
            me,
        });
        let (looking, waking) = (shared.clone(), shared.clone());
        spawn("cluster".to_string(), move || looking.run())?;
        spawn("cl-wake".to_string(), move || waking.wake())?;
        log::info!(
            target: TARGET,
            "{} shares its routes with the other members of the cluster {}",
            section.identity, section.name
        );
        Ok(Replica { shared })
    }

    /// Tells how it is.
    pub(crate) fn watch(&self) -> LookAtCluster {
        let shared = self.shared.clone();
        Box::new(move || shared.snapshot())
    }

    /// Takes no more routes: the process is about to end.
    pub(crate) fn leave(&self) {
        self.shared.enter(LEAVING);
    }

    /// No route runs any more: waits until all are left to others.
    pub(crate) fn finish(&self) {
        self.shared.enter(LEFT);
        let end = Instant::now() + CLUSTER_LEAVE_WAIT_MAX;
        let has_rights = || crate::sync::lock(&self.shared.rights).iter().any(Option::is_some);
        while has_rights() && Instant::now() < end {
            let _ = self.shared.nudged.recv_timeout(CLUSTER_WAKE_INTERVAL);
        }
        self.shared.forget_me();
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name(name).stack_size(THREAD_STACK_BYTES).spawn(body);
    thread.map(drop).context(|| "start a thread")
}

impl Shared {
    fn subject(&self) -> Subject {
        Subject::Member(node_of(&self.me).to_string())
    }

    fn run(self: &Arc<Shared>) {
        let mut presence = Presence::new(self.rules, &self.me);
        let mut due = Moment::ZERO;
        while !self.is_leaving() {
            let begun = self.now();
            if due <= begun {
                due = begun + self.rules.renewal;
                self.show(&mut presence);
            }
            self.look();
            let _ = self.nudged.recv_timeout((begun + self.rules.look).saturating_sub(self.now()));
        }
        // Others need not wait until it is seen that this one is gone.
        self.show(&mut presence);
    }

    // Shows that this member lives, or leaves.
    fn show(&self, presence: &mut Presence) {
        loop {
            let call = presence.next(self.is_leaving());
            let asked = self.engine.ask(&self.subject(), &call);
            self.count(&call, asked.as_ref().err());
            let reply = asked.unwrap_or_else(|trouble| {
                self.suffers(&trouble);
                Reply::Failed(trouble.wait)
            });
            if !presence.answered(reply) {
                return;
            }
        }
    }

    fn suffers(&self, trouble: &Trouble) {
        let consequence =
            "routes that are owned go on as long as their leases are renewed, and no others are taken";
        self.incident.happened(trouble.reason, &trouble.error.to_string(), consequence);
    }

    fn look(self: &Arc<Shared>) {
        let listed = match self.engine.list() {
            Ok(listed) => listed,
            Err(trouble) => return self.suffers(&trouble),
        };
        self.incident.over();
        let now = self.now();
        self.seen.store(now.as_millis() as u64, Ordering::Relaxed);
        let outstanding = |place: usize| self.runner.outstanding(self.places[place].slot);
        let mut member = self.member();
        let (takes, give) = member.look(now, listed, &outstanding);
        let forgotten = member.sight().forgotten(now, CLUSTER_MEMBER_AGE_MAX);
        drop(member);
        for take in takes {
            self.own(take);
        }
        if let Some(place) = give {
            log::info!(target: &self.places[place].logger, "it is given away, so that all members have about as many routes");
            self.runner.drain(self.places[place].slot);
        }
        for (subject, lease) in forgotten {
            let _ = self.engine.forget(&subject, &lease.version);
        }
    }

    fn own(self: &Arc<Shared>, take: Take) {
        let place = take.route;
        let owner = Owner::new(self, take, self.rules);
        crate::sync::lock(&self.rights)[place] = Some(owner.right());
        let shared = self.clone();
        let Subject::Route(name) = &self.places[place].subject else { return };
        let spawned = spawn(format!("own:{name}"), move || {
            owner.run();
            crate::sync::lock(&shared.rights)[place] = None;
            shared.look_soon();
        });
        if let Err(error) = spawned {
            crate::sync::lock(&self.rights)[place] = None;
            self.member().ended(place, Moment::ZERO);
            self.incident.happened("thread", &error.to_string(), "the route is tried again");
        }
    }

    fn wake(&self) {
        while !self.is_leaving() {
            let rest = match self.engine.wake() {
                Ok(true) => {
                    self.look_soon();
                    CLUSTER_WAKE_INTERVAL
                }
                Ok(false) => CLUSTER_WAKE_INTERVAL,
                // The looks have the reason.
                Err(trouble) => trouble.wait.clamp(self.rules.look, self.rules.lease),
            };
            // The looks need no wake-up meanwhile.
            let _ = never::<()>().recv_timeout(rest);
        }
    }

    fn forget_me(&self) {
        if let Ok(Reply::Lease(Some(found))) = self.engine.ask(&self.subject(), &Call::ReadLease) {
            let _ = self.engine.forget(&self.subject(), &found.version);
        }
    }
}
