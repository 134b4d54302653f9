//! Everything a run consists of, put together in dependency order, watched, and taken down again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use jiff::Timestamp;

use crate::cluster::replica::Replica;
use crate::config::RouteConfig;
use crate::error::{Error, Result};
use crate::kinds::{self, Config};
use crate::limits::{
    CHECKPOINTER_END_MAX, LOCK_CHECK_INTERVAL, PACE_INTERVAL, SHUTDOWN_PROGRESS_INTERVAL, SUMMARY_INTERVAL,
};
use crate::observe::log::ROUTER;
use crate::observe::logger::Logger;
use crate::observe::registry::{Registry, Watched};
use crate::observe::server::PageServer;
use crate::observe::snapshot::About;
use crate::observe::status;
use crate::observe::systemd::ServiceManager;
use crate::pipeline::view::View;
use crate::pipeline::{Exit, Route, RouteParts, Staff};
use crate::position::Positions;
use crate::position::file::{CheckpointFile, FilePositions};
use crate::position::lock::StateLock;
use crate::position::tenure::Unshared;
use crate::stop::Stop;

mod sharing;
mod slot;

pub(crate) use sharing::is_shared;
use slot::Slot;

/// All routes of a configuration, each in a slot of its own.
pub(crate) struct Router {
    slots: Vec<Slot>,
    // A thread tells its end here, once.
    exit: Sender<Exit>,
    exits: Receiver<Exit>,
    commands: Receiver<Command>,
    // The workers of all routes that name no number.
    staff: Arc<Staff>,
    grace: Duration,
    registry: Arc<Registry>,
    // The last to stop: dropping it stops it.
    page: Option<PageServer>,
    // Held as long as the router runs.
    lock: Option<StateLock>,
    // With whom its routes are shared, if with anybody.
    replica: Option<Replica>,
}

/// What a slot is told while the others go on.
pub(crate) enum Command {
    /// Start this route in it, after the one that runs there.
    Start(usize, Box<RouteParts>),
    /// Let its route come to an end.
    Drain(usize),
}

impl Router {
    /// Starts to listen where the router can be watched, prepares the state folder and starts every
    /// route. Sources and sinks may be away.
    ///
    /// # Errors
    /// What the configuration, the state folder or the address to listen on makes impossible.
    pub(crate) fn start(config: &Arc<Config>) -> Result<Router, StartError> {
        let needs_state = config.cluster.is_some() || config.sources.iter().any(|source| source.checkpoint);
        let state_dir = needs_state.then_some(&config.state_dir);
        // First of all: a router that is just ending has its address too.
        // A folder that is not mounted yet, a lock that the file system refuses for a moment: these pass.
        let may_pass = |error| StartError { error, may_pass: true };
        let lock = state_dir.map(|folder| StateLock::take(folder)).transpose().map_err(may_pass)?;
        let is_shared = |route: &&RouteConfig| sharing::is_shared(config, &route.name);
        for route in config.routes.iter().filter(|route| state_dir.is_some() && !is_shared(route)) {
            CheckpointFile::new(&config.state_dir, &route.name).check_access().map_err(may_pass)?;
        }
        let registry = Arc::new(Registry::new());
        let page = config.metrics.clone().map(|metrics| PageServer::start(metrics, registry.clone()));
        config.sources.iter().for_each(|source| source.settings.attach(&registry, &config.state_dir));
        let mut router = Router::of_routes(&config.routes, config.shutdown_grace, registry.clone());
        // Those that are shared are made to see that they can be, and run where they are owned.
        let parts = |(index, route)| Ok((index, parts(config, route)?));
        let mut parts: Vec<_> = config.routes.iter().enumerate().map(parts).collect::<Result<_>>()?;
        parts.retain(|(_, parts)| !sharing::is_shared(config, &parts.config.name));
        router.start_all(parts)?;
        if let Some((replica, commands)) = sharing::join(config, lock.as_ref(), &registry)? {
            (router.replica, router.commands) = (Some(replica), commands);
        }
        (router.page, router.lock) = (page, lock);
        Ok(router)
    }

    /// Starts the routes of these parts, watched by nobody but who started them; nobody else may use
    /// their state folders.
    ///
    /// # Errors
    /// When a checkpoint cannot be used, or no thread can be started.
    pub(crate) fn of(parts: Vec<RouteParts>, grace: Duration) -> Result<Router> {
        let routes: Vec<RouteConfig> = parts.iter().map(|parts| parts.config.clone()).collect();
        let mut router = Router::of_routes(&routes, grace, Arc::new(Registry::new()));
        router.start_all(parts.into_iter().enumerate().collect())?;
        Ok(router)
    }

    // With a slot for each of these routes, of which none runs.
    fn of_routes(routes: &[RouteConfig], grace: Duration, registry: Arc<Registry>) -> Router {
        let threads = routes.iter().map(Route::threads_max).sum();
        let slots = routes.iter().enumerate().map(|(index, route)| Slot::new(index, &route.name)).collect();
        let (exit, exits) = bounded(threads);
        let (commands, page, lock, replica) = (never(), None, None, None);
        let staff = Arc::default();
        Router { slots, exit, exits, commands, staff, grace, registry, page, lock, replica }
    }

    fn start_all(&mut self, parts: Vec<(usize, RouteParts)>) -> Result<()> {
        for (index, parts) in parts {
            if let Err(error) = self.obey(Command::Start(index, Box::new(parts))) {
                let _ = self.shut_down();
                return Err(error);
            }
        }
        self.show();
        Ok(())
    }

    /// Watches the routes until `stop`, then takes them down; `manager` hears of it.
    ///
    /// # Errors
    /// When a thread ended that must not (the process should end and be started again), or a last
    /// checkpoint could not be written.
    pub(crate) fn run(mut self, stop: &Stop, mut manager: ServiceManager) -> Result<()> {
        let watched = self.watch(stop, &mut manager);
        if let Err(error) = &watched {
            log::error!(target: ROUTER, "{error}; stopping");
        }
        manager.stopping(self.grace + CHECKPOINTER_END_MAX);
        first(watched, self.shut_down())
    }

    fn watch(&mut self, stop: &Stop, manager: &mut ServiceManager) -> Result<()> {
        let mut summary_due = Instant::now() + SUMMARY_INTERVAL;
        let mut lock_due = Instant::now() + LOCK_CHECK_INTERVAL;
        loop {
            self.slots.iter().filter_map(Slot::view).for_each(|view| view.note_pace());
            let due = if self.lock.is_some() { summary_due.min(lock_due) } else { summary_due };
            let tick = due.saturating_duration_since(Instant::now());
            let tick = tick.min(manager.interval()).min(PACE_INTERVAL);
            let tick = self.page.as_ref().and_then(PageServer::wait).map_or(tick, |wait| tick.min(wait));
            let tick = self.until_due().map_or(tick, |wait| tick.min(wait));
            select! {
                recv(stop.channel()) -> _ => return Ok(()),
                recv(self.exits) -> exit => if let Ok(exit) = exit {
                    self.exited(exit)?;
                },
                recv(self.commands) -> command => match command {
                    Ok(command) => {
                        self.obey(command)?;
                        self.show();
                    }
                    // Nobody commands any more.
                    Err(_) => self.commands = never(),
                },
                default(tick) => manager.tell(|| self.registry.snapshot()),
            }
            if self.step()? {
                self.show();
            }
            if let Some(page) = &mut self.page {
                page.retry();
            }
            if lock_due <= Instant::now() {
                lock_due = Instant::now() + LOCK_CHECK_INTERVAL;
                self.renew_lock()?;
            }
            if summary_due <= Instant::now() {
                self.summarize();
                summary_due += SUMMARY_INTERVAL;
            }
        }
    }

    /// The routes that run, for whoever watches.
    pub(crate) fn views(&self) -> Vec<View> {
        self.slots.iter().filter_map(Slot::view).collect()
    }

    fn obey(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Start(index, mut parts) => {
                parts.staff = self.staff.clone();
                self.slots[index].start(parts, self.grace, &self.exit)
            }
            Command::Drain(index) => {
                self.slots[index].drain(Instant::now(), self.grace);
                Ok(())
            }
        }
    }

    fn renew_lock(&mut self) -> Result<()> {
        let Some(lock) = &mut self.lock else { return Ok(()) };
        if lock.renew()? {
            log::warn!(
                target: ROUTER,
                "the lock of the state folder was removed under the running router and is made again: while it is \
                 gone a second router can start there and deliver everything twice"
            );
        }
        Ok(())
    }

    fn exited(&mut self, exit: Exit) -> Result<()> {
        self.slots[exit.slot].exited(exit, Instant::now(), self.grace)
    }

    // What threads have told of their ends: a last record that failed is told before its writer counts as gone.
    fn hear(&mut self) -> Result<()> {
        let mut result = Ok(());
        while let Ok(exit) = self.exits.try_recv() {
            result = first(result, self.exited(exit));
        }
        result
    }

    // Goes on where a route is on its way down, and starts what waits for its end. True when there are
    // other routes than before.
    fn step(&mut self) -> Result<bool> {
        let mut has_changed = false;
        for index in 0..self.slots.len() {
            let stepped = self.slots[index].step(Instant::now());
            if let Ok(true) = stepped {
                self.hear()?;
            }
            match stepped {
                Ok(has_ended) => has_changed |= has_ended,
                // Whoever has the route next goes on from the record before.
                Err(error) if self.replica.is_some() => {
                    log::warn!(target: ROUTER, "{error}");
                    has_changed = true;
                }
                Err(error) => return Err(error),
            }
            if let Some(parts) = self.slots[index].take_next() {
                self.slots[index].start(parts, self.grace, &self.exit)?;
                has_changed = true;
            }
        }
        Ok(has_changed)
    }

    fn until_due(&self) -> Option<Duration> {
        let due = self.slots.iter().filter_map(Slot::due).min();
        due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Stops reading, lets deliveries in flight finish for the time of grace, writes the last
    /// checkpoints. The error is the first that came meanwhile.
    fn shut_down(&mut self) -> Result<()> {
        self.registry.stop();
        if let Some(replica) = &self.replica {
            replica.leave();
        }
        let mut result = Ok(());
        for index in 0..self.slots.len() {
            result = first(result, self.obey(Command::Drain(index)));
        }
        loop {
            for slot in &mut self.slots {
                result = first(result, slot.step(Instant::now()).map(|_| ()));
            }
            if self.slots.iter().all(Slot::has_ended) {
                result = first(result, self.hear());
                if let Some(replica) = &self.replica {
                    replica.finish();
                }
                return result;
            }
            let tick = self.until_due().unwrap_or_default().min(SHUTDOWN_PROGRESS_INTERVAL);
            match self.exits.recv_timeout(tick) {
                Ok(exit) => result = first(result, self.exited(exit)),
                Err(_) => self.slots.iter().for_each(Slot::say_awaited),
            }
        }
    }

    fn show(&self) {
        let views = self.views().into_iter().map(|view| Arc::new(view) as Arc<dyn Watched>);
        self.registry.run(views.collect());
    }

    fn summarize(&self) {
        for view in self.views() {
            view.remind();
            let route = view.snapshot();
            let line = status::summary(&route, Timestamp::now());
            log::info!(target: &Logger::route(&route.about.route), "{line}");
        }
    }
}

// The first error counts, the second is only logged.
fn first(before: Result<()>, then: Result<()>) -> Result<()> {
    match (before, then) {
        (Ok(()), then) => then,
        (before, Ok(())) => before,
        (before, Err(error)) => {
            log::error!(target: ROUTER, "{error}");
            before
        }
    }
}

/// What a route of the configuration is made of.
///
/// # Errors
/// When its settings cannot be used.
pub(crate) fn parts(config: &Config, route: &RouteConfig) -> Result<RouteParts> {
    let (source, processor) = kinds::ends(config, route)?;
    let state_dir = source.checkpoint.then_some(config.state_dir.as_path());
    let positions = state_dir
        .filter(|_| source.has_history)
        .map(|folder| FilePositions::new(folder, &route.name, source.settings.address()));
    let about = About {
        route: route.name.clone(),
        source: source.name.clone(),
        source_type: source.type_name,
        source_product: source.settings.product(),
        source_address: source.settings.address().to_string(),
        processor: processor.name.clone(),
        processor_type: processor.type_name,
        processor_product: processor.settings.product(),
        processor_address: processor.settings.address(),
        at_least_once: source.checkpoint,
    };
    Ok(RouteParts {
        config: route.clone(),
        source: source.make(route)?,
        about,
        replay_max: source.replay_max,
        overlap: source.overlap,
        processor: processor.make(&route.name, source.checkpoint)?,
        positions: positions.map(|positions| Box::new(positions) as Box<dyn Positions>),
        tenure: Arc::new(Unshared),
        staff: Arc::default(),
        letters_dir: state_dir.map(Path::to_path_buf),
    })
}

/// Why a router does not start.
#[derive(Debug)]
pub(crate) struct StartError {
    /// What was tried, and what to do.
    pub(crate) error: Error,
    /// It may pass by itself: another process has what this one needs.
    pub(crate) may_pass: bool,
}

impl From<Error> for StartError {
    fn from(error: Error) -> StartError {
        StartError { error, may_pass: false }
    }
}

#[cfg(test)]
mod tests;
