//! Where all that can be watched hangs: the router puts its routes up, the server reads.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use jiff::Timestamp;

use super::cluster::ClusterSnapshot;
use super::process;
use super::snapshot::{Phase, RouteSnapshot, Snapshot};

/// A running part that can tell how it is, from memory and at once.
pub trait Watched: Send + Sync {
    /// How it is.
    fn snapshot(&self) -> RouteSnapshot;
}

/// The routes of a process and what it is about.
pub struct Registry {
    started: Timestamp,
    state: Mutex<(Phase, Vec<Arc<dyn Watched>>)>,
    cluster: OnceLock<LookAtCluster>,
}

/// Tells from memory how the cluster is.
pub(crate) type LookAtCluster = Box<dyn Fn() -> ClusterSnapshot + Send + Sync>;

impl Registry {
    /// A process that has just started.
    pub fn new() -> Registry {
        Registry {
            started: Timestamp::now(),
            state: Mutex::new((Phase::Starting, Vec::new())),
            cluster: OnceLock::new(),
        }
    }

    /// The routes run.
    pub fn run(&self, routes: Vec<Arc<dyn Watched>>) {
        *self.lock() = (Phase::Running, routes);
    }

    /// Routes are shared with others, as this tells.
    pub(crate) fn share(&self, look: LookAtCluster) {
        // There is one cluster.
        let _ = self.cluster.set(look);
    }

    /// The process was told to end.
    pub(crate) fn stop(&self) {
        self.lock().0 = Phase::Stopping;
    }

    /// Everything as it is now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (phase, routes) = {
            let state = self.lock();
            (state.0, state.1.clone())
        };
        Snapshot {
            now: Timestamp::now(),
            phase,
            process: process::look(self.started),
            routes: routes.iter().map(|route| route.snapshot()).collect(),
            cluster: self.cluster.get().map(|look| look()),
        }
    }

    /// The events of a route that are on their way.
    pub(crate) fn outstanding(&self, route: &str) -> usize {
        let routes = self.lock().1.clone();
        let found = routes.iter().map(|watched| watched.snapshot()).find(|found| found.about.route == route);
        found.map_or(0, |found| found.outstanding)
    }

    fn lock(&self) -> MutexGuard<'_, (Phase, Vec<Arc<dyn Watched>>)> {
        crate::sync::lock(&self.state)
    }
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}
