//! Everything a run consists of, put together in dependency order, watched, and taken down again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, select};
use jiff::Timestamp;

use crate::config::RouteConfig;
use crate::error::{Error, Result};
use crate::kinds::{self, Config};
use crate::limits::{CHECKPOINTER_END_MAX, SHUTDOWN_PROGRESS_INTERVAL, SUMMARY_INTERVAL};
use crate::observe::registry::{Registry, Watched};
use crate::observe::server::PageServer;
use crate::observe::snapshot::About;
use crate::observe::status;
use crate::observe::systemd::ServiceManager;
use crate::pipeline::{Exit, Role, Route, RouteParts};
use crate::position::Positions;
use crate::position::file::{CheckpointFile, FilePositions};
use crate::position::lock::StateLock;
use crate::stop::Stop;

/// All routes of a configuration, running.
pub(crate) struct Router {
    routes: Vec<Route>,
    exits: Receiver<Exit>,
    // The threads of each route that have not ended.
    running: Vec<Vec<Role>>,
    grace: Duration,
    registry: Arc<Registry>,
    // The last to stop: dropping it stops it.
    page: Option<PageServer>,
    // Held as long as the router runs.
    _lock: Option<StateLock>,
}

impl Router {
    /// Starts to listen where the router can be watched, prepares the state folder and starts every
    /// route. Sources and sinks may be away.
    ///
    /// # Errors
    /// What the configuration, the state folder or the address to listen on makes impossible.
    pub(crate) fn start(config: &Config) -> Result<Router, StartError> {
        let state_dir = config.sources.iter().any(|source| source.checkpoint).then_some(&config.state_dir);
        // First of all: a router that is just ending has its address too.
        // A folder that is not mounted yet, a lock that the file system refuses for a moment: these pass.
        let may_pass = |error| StartError { error, may_pass: true };
        let lock = state_dir.map(|folder| StateLock::take(folder)).transpose().map_err(may_pass)?;
        for route in config.routes.iter().filter(|_| state_dir.is_some()) {
            CheckpointFile::new(&config.state_dir, &route.name).check_access().map_err(may_pass)?;
        }
        let registry = Arc::new(Registry::new());
        let page = config.metrics.clone().map(|metrics| PageServer::start(metrics, registry.clone()));
        let parts: Vec<RouteParts> =
            config.routes.iter().map(|route| parts(config, route)).collect::<Result<_>>()?;
        let mut router = Router::of_parts(parts, config.shutdown_grace, registry)?;
        (router.page, router._lock) = (page, lock);
        Ok(router)
    }

    /// Starts the routes of these parts, watched by nobody but who started them; nobody else may use
    /// their state folders.
    ///
    /// # Errors
    /// When a checkpoint cannot be used, or no thread can be started.
    pub(crate) fn of(parts: Vec<RouteParts>, grace: Duration) -> Result<Router> {
        Router::of_parts(parts, grace, Arc::new(Registry::new()))
    }

    fn of_parts(parts: Vec<RouteParts>, grace: Duration, registry: Arc<Registry>) -> Result<Router> {
        let threads = parts.iter().map(|parts| Route::threads_max(&parts.config)).sum();
        let (sender, exits) = bounded(threads);
        let (routes, running) = (Vec::new(), Vec::new());
        let mut router = Router { routes, exits, running, grace, registry, page: None, _lock: None };
        for (index, parts) in parts.into_iter().enumerate() {
            announce(&parts.about);
            match Route::start(index, parts, &sender) {
                Ok(route) => {
                    router.running.push(route.roles());
                    router.routes.push(route);
                }
                Err(error) => {
                    let _ = router.shut_down();
                    return Err(error);
                }
            }
        }
        let views = router.routes.iter().map(|route| Arc::new(route.view()) as Arc<dyn Watched>);
        router.registry.run(views.collect());
        Ok(router)
    }

    /// Watches the routes until `stop`, then takes them down; `manager` hears of it.
    ///
    /// # Errors
    /// When a thread ended that must not (the process should end and be started again), or a last
    /// checkpoint could not be written.
    pub(crate) fn run(mut self, stop: &Stop, mut manager: ServiceManager) -> Result<()> {
        let mut summary_due = Instant::now() + SUMMARY_INTERVAL;
        let failure = loop {
            let tick = summary_due.saturating_duration_since(Instant::now()).min(manager.interval());
            let tick = self.page.as_ref().and_then(PageServer::wait).map_or(tick, |wait| tick.min(wait));
            select! {
                recv(stop.channel()) -> _ => break None,
                recv(self.exits) -> exit => break Some(self.unexpected(exit.ok())),
                default(tick) => manager.tell(|| self.registry.snapshot()),
            }
            if let Some(page) = &mut self.page {
                page.retry();
            }
            if summary_due <= Instant::now() {
                self.summarize();
                summary_due += SUMMARY_INTERVAL;
            }
        };
        if let Some(error) = &failure {
            log::error!("{error}; stopping");
        }
        manager.stopping(self.grace + CHECKPOINTER_END_MAX);
        match (failure, self.shut_down()) {
            (Some(error), ending) => {
                let _ = ending.inspect_err(|error| log::error!("{error}"));
                Err(error)
            }
            (None, ending) => ending,
        }
    }

    /// The routes, for whoever watches.
    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    fn unexpected(&mut self, exit: Option<Exit>) -> Error {
        let Some(mut exit) = exit else { return Error::new("all threads are gone") };
        forget(&mut self.running, &exit);
        exit.failure.get_or_insert_with(|| Error::new("it ended without being told to"));
        self.failure(exit).unwrap_or_else(|| Error::new("a thread ended"))
    }

    fn failure(&self, exit: Exit) -> Option<Error> {
        let name = self.routes[exit.route].name();
        let role = format!("{:?}", exit.role).to_lowercase();
        exit.failure.map(|error| error.context(format!("route {name}: {role}")))
    }

    /// Stops reading, lets deliveries in flight finish for the time of grace, writes the last
    /// checkpoints. The error is the first that came meanwhile.
    fn shut_down(mut self) -> Result<()> {
        let mut result = Ok(());
        self.registry.stop();
        for route in &self.routes {
            route.stop();
        }
        let mut running = std::mem::take(&mut self.running);
        let deadline = Instant::now() + self.grace;
        let is_busy = |roles: &[Vec<Role>]| roles.iter().flatten().any(|role| *role != Role::Checkpointer);
        while is_busy(&running) && Instant::now() < deadline {
            let tick = (deadline - Instant::now()).min(SHUTDOWN_PROGRESS_INTERVAL);
            match self.exits.recv_timeout(tick) {
                Ok(exit) => {
                    forget(&mut running, &exit);
                    result = self.conclude(exit, result);
                }
                Err(_) => self.say_awaited(&running),
            }
        }
        if is_busy(&running) {
            log::warn!("the time of grace is over: what is still in flight is given up");
        }
        for route in &self.routes {
            route.close();
            route.end_checkpointer();
        }
        let deadline = Instant::now() + CHECKPOINTER_END_MAX;
        while running.iter().flatten().any(|role| *role == Role::Checkpointer) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(exit) = self.exits.recv_timeout(left) else {
                return Err(Error::new(
                    "the last checkpoint could not be written in time: events may be repeated",
                ));
            };
            forget(&mut running, &exit);
            result = self.conclude(exit, result);
        }
        result
    }

    // A thread has ended while all are to end.
    fn conclude(&self, exit: Exit, before: Result<()>) -> Result<()> {
        match (self.failure(exit), before) {
            (Some(error), Ok(())) => Err(error),
            (Some(error), before) => {
                log::error!("{error}");
                before
            }
            (None, before) => before,
        }
    }

    fn say_awaited(&self, running: &[Vec<Role>]) {
        for (route, roles) in self.routes.iter().zip(running) {
            let count = |wanted| roles.iter().filter(|role| **role == wanted).count();
            let (workers, pollers) = (count(Role::Worker), count(Role::Poller));
            if 0 < workers + pollers {
                log::info!(
                    "route {}: stopping; waiting for {workers} deliveries and {pollers} calls to the source",
                    route.name()
                );
            }
        }
    }

    fn summarize(&self) {
        for route in &self.routes {
            let line = status::summary(&route.view().snapshot(), Timestamp::now());
            log::info!(target: &format!("route {}", route.name()), "{line}");
        }
    }
}

/// Says where a route comes from and goes to, in the words of the Go router.
fn announce(about: &About) {
    let who = format!("route {}", about.route);
    let (address, sink) = (about.source_address.as_str(), about.processor_address.as_str());
    log::info!(target: who.as_str(), address; "connecting to {}", about.source_product);
    if let Some(product) = about.processor_product {
        log::info!(target: who.as_str(), sink; "created {product} processor");
    }
}

fn forget(running: &mut [Vec<Role>], exit: &Exit) {
    if let Some(place) = running[exit.route].iter().position(|role| *role == exit.role) {
        running[exit.route].swap_remove(place);
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
