//! Routes that are shared with other routers: they are started in their slots when this process owns them.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Command, parts};
use crate::cluster::replica::Replica;
use crate::cluster::shared::{Owned, Runner, SharedRoute};
use crate::error::Result;
use crate::kinds::{self, Config};
use crate::observe::registry::Registry;
use crate::position::lock::StateLock;

/// Whether a route is shared with others. What comes to this process alone is not.
pub(crate) fn is_shared(config: &Config, route: &str) -> bool {
    let source = config.routes.iter().find(|candidate| candidate.name == route);
    let source = source.and_then(|route| kinds::ends(config, route).ok());
    config.cluster.is_some() && source.is_some_and(|(source, _)| !source.settings.is_local())
}

/// Joins the cluster of the configuration, if it has one; gives what tells which routes are to run. The
/// place of a route in the file is its slot.
///
/// # Errors
/// When the settings cannot be used, or no thread can be started.
pub(super) fn join(
    config: &Arc<Config>,
    lock: Option<&StateLock>,
    registry: &Arc<Registry>,
) -> Result<Option<(Replica, Receiver<Command>)>> {
    let (Some(section), Some(lock)) = (&config.cluster, lock) else { return Ok(None) };
    let shared = |(slot, route): (usize, &crate::config::RouteConfig)| {
        let (source, _) = kinds::ends(config, route).ok()?;
        is_shared(config, &route.name).then(|| SharedRoute {
            slot,
            name: route.name.clone(),
            address: source.settings.address().to_string(),
            keeps_position: source.checkpoint && source.has_history,
        })
    };
    let routes = config.routes.iter().enumerate().filter_map(shared).collect();
    // A route is started once and drained twice at most, until that is seen here.
    let (commands, commanded) = bounded(3 * config.routes.len());
    let runner = SlotRunner { config: config.clone(), registry: registry.clone(), commands };
    let replica = Replica::start(section, &lock.node_key()?, routes, Box::new(runner))?;
    registry.share(replica.watch());
    Ok(Some((replica, commanded)))
}

struct SlotRunner {
    config: Arc<Config>,
    registry: Arc<Registry>,
    commands: Sender<Command>,
}

impl Runner for SlotRunner {
    fn start(&self, slot: usize, owned: Owned) -> Result<()> {
        let mut parts = parts(&self.config, &self.config.routes[slot])?;
        (parts.positions, parts.tenure) = (owned.positions, owned.tenure);
        // Nobody hears it when the process ends.
        let _ = self.commands.send(Command::Start(slot, Box::new(parts)));
        Ok(())
    }

    fn drain(&self, slot: usize) {
        let _ = self.commands.send(Command::Drain(slot));
    }

    fn outstanding(&self, slot: usize) -> usize {
        self.registry.outstanding(&self.config.routes[slot].name)
    }
}
