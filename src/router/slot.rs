//! A slot: the place of one route in the process. A route is started in it, drained and started again,
//! each time as a generation of its own; whoever asks for its end, it goes down the same ladder.
//!
//! ```text
//! standby --start--> running --drain--> draining --> closing --> standby
//!                                       until all is delivered   until the last
//!                                       or the grace is over     record is written
//! ```

use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::error::{Error, Result};
use crate::limits::CHECKPOINTER_END_MAX;
use crate::observe::logger::Logger;
use crate::observe::snapshot::About;
use crate::observe::words::count;
use crate::pipeline::view::View;
use crate::pipeline::{Exit, ExitCause, Exits, Role, Route, RouteParts};

/// The place of one route.
pub(super) struct Slot {
    index: usize,
    logger: Logger,
    // Of the route that runs, or ran last.
    generation: u64,
    stage: Stage,
    // What is started when this one has ended.
    next: Option<Box<RouteParts>>,
}

enum Stage {
    Standby,
    Running(Route),
    // It may go on delivering until then.
    Draining(Route, Instant),
    // Its checkpointer may go on until then.
    Closing(Route, Instant),
}

impl Slot {
    /// A place where nothing runs.
    pub(super) fn new(index: usize, name: &str) -> Slot {
        Slot { index, logger: Logger::route(name), generation: 0, stage: Stage::Standby, next: None }
    }

    /// Starts a route here, at once or as soon as the one that runs here has ended.
    ///
    /// # Errors
    /// When its position cannot be used, or no thread can be started.
    pub(super) fn start(
        &mut self,
        parts: Box<RouteParts>,
        grace: Duration,
        exits: &Sender<Exit>,
    ) -> Result<()> {
        if !self.has_ended() {
            self.drain(Instant::now(), grace);
            self.next = Some(parts);
            return Ok(());
        }
        announce(&parts.about);
        self.generation += 1;
        let exits = Exits::of_slot(self.index, self.generation, exits.clone());
        self.stage = Stage::Running(Route::start(*parts, &exits)?);
        Ok(())
    }

    /// Stops reading; deliveries in flight may be finished for the time of grace.
    pub(super) fn drain(&mut self, now: Instant, grace: Duration) {
        self.next = None;
        self.stage = match std::mem::replace(&mut self.stage, Stage::Standby) {
            Stage::Running(route) => {
                route.stop();
                Stage::Draining(route, now + grace)
            }
            stage => stage,
        };
    }

    /// A thread has ended.
    ///
    /// # Errors
    /// When the process must end.
    pub(super) fn exited(&mut self, exit: Exit, now: Instant, grace: Duration) -> Result<()> {
        // What the time of grace left behind of an older route here says nothing about this one.
        if exit.generation != self.generation {
            return Ok(());
        }
        let route = self.stage.route();
        // Of a route that has come to its end only the last record still counts.
        if route.is_none() && exit.role != Role::Checkpointer {
            return Ok(());
        }
        let is_running = matches!(self.stage, Stage::Running(_));
        let role = format!("{:?}", exit.role).to_lowercase();
        let cause = match exit.cause {
            // A reader that ends takes the workers' stream with it, and they may be heard first.
            ExitCause::Told if is_running && route.is_some_and(|route| !route.tenure().is_valid()) => {
                ExitCause::TenureLost
            }
            cause => cause,
        };
        match cause {
            ExitCause::Failed(error) => Err(error.context(format!("{}: {role}", self.logger))),
            ExitCause::Told if is_running => {
                Err(Error::new(format!("{}: {role}: it ended without being told to", self.logger)))
            }
            ExitCause::Told | ExitCause::Idle => Ok(()),
            ExitCause::TenureLost => {
                // What waits is another's to deliver.
                if let Some(route) = route {
                    route.close();
                }
                if is_running {
                    log::warn!(
                        target: &self.logger,
                        "the right to it is lost: it stops, and what it has not delivered is left to whoever holds \
                         the right now"
                    );
                    self.drain(now, grace);
                }
                Ok(())
            }
        }
    }

    /// Goes on down the ladder, where it is time. True when the route has come to its end.
    ///
    /// # Errors
    /// When the last record was not written in time.
    pub(super) fn step(&mut self, now: Instant) -> Result<bool> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Standby) {
            Stage::Draining(route, until) if is_busy(&route) && now < until => Stage::Draining(route, until),
            Stage::Draining(route, _) => {
                if is_busy(&route) {
                    log::warn!(
                        target: &self.logger,
                        "the time of grace is over: what is still in flight is given up"
                    );
                }
                route.close();
                route.end_checkpointer();
                Stage::Closing(route, now + CHECKPOINTER_END_MAX)
            }
            stage => stage,
        };
        let Stage::Closing(route, until) = &self.stage else { return Ok(false) };
        let is_writing = 0 < route.count(Role::Checkpointer);
        if is_writing && now < *until {
            return Ok(false);
        }
        route.tenure().ended();
        self.stage = Stage::Standby;
        if is_writing {
            let text = "the last checkpoint could not be written in time: events may be repeated";
            return Err(Error::new(format!("{}: {text}", self.logger)));
        }
        Ok(true)
    }

    /// What is to be started now that the route has ended.
    pub(super) fn take_next(&mut self) -> Option<Box<RouteParts>> {
        self.next.take_if(|_| matches!(self.stage, Stage::Standby))
    }

    /// When the ladder goes on, if nothing happens before.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Draining(_, until) | Stage::Closing(_, until) => Some(*until),
            Stage::Standby | Stage::Running(_) => None,
        }
    }

    /// Whether nothing runs here.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Standby)
    }

    /// The route that runs here, for whoever watches, until it has ended.
    pub(super) fn view(&self) -> Option<View> {
        self.stage.route().map(Route::view)
    }

    /// Says what it still waits for, while it drains.
    pub(super) fn say_awaited(&self) {
        let Stage::Draining(route, _) = &self.stage else { return };
        let (workers, pollers) = (route.count(Role::Worker), route.count(Role::Poller));
        log::info!(
            target: &self.logger,
            "stopping; waiting for {} and {} to the source",
            count(workers as u64, "delivery"),
            count(pollers as u64, "call")
        );
    }
}

impl Stage {
    fn route(&self) -> Option<&Route> {
        match self {
            Stage::Standby => None,
            Stage::Running(route) | Stage::Draining(route, _) | Stage::Closing(route, _) => Some(route),
        }
    }
}

// Whether something is still read or delivered.
fn is_busy(route: &Route) -> bool {
    0 < route.count(Role::Poller) + route.count(Role::Worker)
}

/// Says where a route comes from and goes to, in the words of the Go router.
fn announce(about: &About) {
    let logger = Logger::route(&about.route);
    let (address, sink) = (about.source_address.as_str(), about.processor_address.as_str());
    log::info!(target: &logger, address; "connecting to {}", about.source_product);
    if let Some(product) = about.processor_product {
        log::info!(target: &logger, sink; "created {product} processor");
    }
}
