//! What the threads of a member share, and what they need of whoever runs the routes.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::engine::{Engine, Trouble};
use super::lease::{Call, Moment, Rules, Subject, name_of};
use super::member::Member;
use super::right::Right;
use crate::error::Result;
use crate::observe::cluster::{ClusterSnapshot, SharedSnapshot};
use crate::observe::incident::Incident;
use crate::observe::logger::Logger;
use crate::position::Positions;
use crate::position::tenure::Tenure;

/// What runs the routes.
pub(crate) trait Runner: Send + Sync {
    /// Starts the route of this slot, which this process owns now; the tenure hears when it has ended.
    ///
    /// # Errors
    /// When its settings cannot be used now.
    fn start(&self, slot: usize, owned: Owned) -> Result<()>;

    /// Lets the route of this slot come to its end, if it runs.
    fn drain(&self, slot: usize);

    /// Its events that are on their way.
    fn outstanding(&self, slot: usize) -> usize;
}

/// A route that is shared.
pub(crate) struct SharedRoute {
    /// Its place in the process.
    pub(crate) slot: usize,
    /// Its name.
    pub(crate) name: String,
    /// The address of its source.
    pub(crate) address: String,
    /// Whether there is a position to keep.
    pub(crate) keeps_position: bool,
}

/// A route as this process owns it.
pub(crate) struct Owned {
    /// What keeps its position, if anything does.
    pub(crate) positions: Option<Box<dyn Positions>>,
    /// The right to it.
    pub(crate) tenure: Arc<dyn Tenure>,
}

/// What they share.
pub(super) struct Shared {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) rules: Rules,
    pub(super) name: String,
    pub(super) me: String,
    pub(super) began: Instant,
    pub(super) places: Vec<Place>,
    pub(super) runner: Box<dyn Runner>,
    pub(super) record_interval: Duration,
    // Routes that run here.
    pub(super) owned: Arc<AtomicUsize>,
    pub(super) member: Mutex<Member>,
    // Of the routes that are taken or owned.
    pub(super) rights: Mutex<Vec<Option<Arc<Right>>>>,
    pub(super) stage: AtomicU8,
    pub(super) nudge: Sender<()>,
    pub(super) nudged: Receiver<()>,
    pub(super) incident: Incident,
    pub(super) changes: [AtomicU64; 4],
    pub(super) calls: [AtomicU64; 4],
    // When all leases were seen last, in milliseconds since `began`.
    pub(super) seen: AtomicU64,
}

/// A route that is shared, as its owner knows it.
pub(super) struct Place {
    pub(super) slot: usize,
    pub(super) logger: Logger,
    pub(super) subject: Subject,
    pub(super) address: String,
    pub(super) keeps_position: bool,
    pub(super) incident: Incident,
    // Its record or its settings.
    pub(super) unusable: Incident,
    renewed: AtomicU64,
}

/// What became of a route here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Acquired,
    HandedOver,
    Expired,
    Fenced,
}

pub(super) const RUNS: u8 = 0;
/// Routes are taken no more.
pub(super) const LEAVING: u8 = 1;
/// No route runs any more.
pub(super) const LEFT: u8 = 2;

impl Place {
    pub(super) fn new(route: SharedRoute) -> Place {
        let logger = Logger::route(&route.name);
        Place {
            slot: route.slot,
            incident: Incident::new(&logger),
            unusable: Incident::new(&logger),
            logger,
            subject: Subject::Route(route.name),
            address: route.address,
            keeps_position: route.keeps_position,
            renewed: AtomicU64::new(0),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        let (Subject::Route(name) | Subject::Member(name)) = &self.subject;
        name
    }

    /// Its lease was renewed at this moment.
    pub(super) fn renewed(&self, at: Moment) {
        self.renewed.store(at.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Shared {
    /// Now, by the clock of this process.
    pub(super) fn now(&self) -> Moment {
        self.began.elapsed()
    }

    pub(super) fn member(&self) -> MutexGuard<'_, Member> {
        crate::sync::lock(&self.member)
    }

    pub(super) fn is_leaving(&self) -> bool {
        RUNS < self.stage.load(Ordering::SeqCst)
    }

    pub(super) fn has_left(&self) -> bool {
        self.stage.load(Ordering::SeqCst) == LEFT
    }

    pub(super) fn look_soon(&self) {
        // One is enough.
        let _ = self.nudge.try_send(());
    }

    pub(super) fn changed(&self, change: Change) {
        self.changes[change as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// For who watches.
    pub(super) fn snapshot(&self) -> ClusterSnapshot {
        let now = self.now();
        let since = |at: &AtomicU64| now.saturating_sub(Duration::from_millis(at.load(Ordering::Relaxed)));
        let member = self.member();
        let rights = crate::sync::lock(&self.rights);
        let route = |(place, right): (&Place, &Option<Arc<Right>>)| {
            let is_mine = right.as_ref().is_some_and(|right| right.is_held());
            let (owner, _) = member.sight().owner(now, &place.subject);
            let owner = if is_mine { Some(&*self.me) } else { owner.filter(|owner| *owner != self.me) };
            SharedSnapshot {
                route: place.name().to_string(),
                owner: owner.map(|owner| name_of(owner).to_string()),
                renewed: is_mine.then(|| since(&place.renewed)),
            }
        };
        let is_seen = 0 < self.seen.load(Ordering::Relaxed);
        ClusterSnapshot {
            name: self.name.clone(),
            identity: name_of(&self.me).to_string(),
            members: member.living().into_iter().map(|holder| name_of(holder).to_string()).collect(),
            unseen: is_seen.then(|| since(&self.seen)),
            lease: self.rules.lease,
            routes: self.places.iter().zip(rights.iter()).map(route).collect(),
            changes: told(CHANGES, &self.changes).collect(),
            calls: told(CALLS, &self.calls).map(|((call, result), count)| (call, result, count)).collect(),
        }
    }

    pub(super) fn count(&self, call: &Call, trouble: Option<&Trouble>) {
        let is_write = matches!(call, Call::WriteLease(..) | Call::WriteRecord(..));
        let row = usize::from(is_write) + 2 * usize::from(trouble.is_some());
        self.calls[row].fetch_add(1, Ordering::Relaxed);
    }

    /// Comes to this stage, and tells everybody.
    pub(super) fn enter(&self, stage: u8) {
        self.stage.fetch_max(stage, Ordering::SeqCst);
        self.look_soon();
        crate::sync::lock(&self.rights).iter().flatten().for_each(|right| right.nudge());
    }
}

/// The words of `Change`.
const CHANGES: [&str; 4] = ["acquired", "handed_over", "expired", "fenced"];
const CALLS: [(&str, &str); 4] = [("read", "ok"), ("write", "ok"), ("read", "failed"), ("write", "failed")];

fn told<T>(words: [T; 4], counts: &[AtomicU64; 4]) -> impl Iterator<Item = (T, u64)> {
    words.into_iter().zip(counts.iter().map(|count| count.load(Ordering::Relaxed)))
}
