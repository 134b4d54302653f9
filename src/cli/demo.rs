//! `router demo`: a simulated vCenter inside the process, routed to standard output.
//!
//! Everything between them is what `router run` runs: the same configuration file, source, pipeline,
//! checkpoint and processor.

use jiff::SignedDuration;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::args::DemoOptions;
use crate::cli::checkpoint::{self, Action};
use crate::cli::run::{self, run_with};
use crate::cli::{CommandFailure, printing};
use crate::config::file::Overrides;
use crate::demo::history::History;
use crate::demo::simulator::{Settings, Simulator};
use crate::demo::stream::Stream;
use crate::error::{Error, Result};
use crate::kinds::{self, Config};
use crate::observe;
use crate::pipeline::view::View;
use crate::router::Router;
use crate::stop::{Stop, stop_signal};
use crate::temporary::TemporaryFolder;

/// Events per second, where nothing else is asked for.
const RATE: f64 = 2.0;
/// Events that are there when an endless demo starts.
const BACKLOG_EVENTS: usize = 5;
/// Events that may be made before they are printed.
const AHEAD_EVENTS_MAX: u64 = 2000;
/// How often events are made and counted.
const TICK: Duration = Duration::from_millis(10);
/// The name of the processor that prints.
const SCREEN: &str = "screen";
/// Any seed gives as good a stream.
const SEED: u64 = 1;

/// Prints the events of a simulated vCenter until enough were printed, a signal comes or nobody
/// reads standard output any more.
///
/// # Errors
/// When the start is impossible, a thread failed, or standard output cannot be written.
pub(super) fn demo(options: &DemoOptions, overrides: &Overrides) -> std::result::Result<(), CommandFailure> {
    let (source, stop) = stop_signal();
    let mut stream = Stream::new(SEED);
    let backlog = if options.events.is_some() { 0 } else { BACKLOG_EVENTS };
    let now = jiff::Timestamp::now();
    let records = stream.backlog(backlog, SignedDuration::from_secs(10), now);
    let begin = records.first().map_or(now, |record| record.time) - SignedDuration::from_secs(1);
    let simulator = Simulator::start(Settings { history: History::of(records), ..Settings::default() })?;
    let folder = TemporaryFolder::new("demo")?;
    let mut config = configure(&simulator, folder.path(), overrides)?;
    config.processors = vec![kinds::screen(SCREEN, None)];
    observe::log::init(&config.log);
    // As if it had run before: what is there already is delivered too.
    checkpoint::checkpoint(&config, None, &Action::Set { time: begin, force: true })?;
    run::watch_signals(source.clone())?;
    let router = Router::start(&Arc::new(config))?;
    let [view] = &router.views()[..] else { return Err(Error::new("the demo has one route").into()) };
    let mut producer = Producer {
        simulator: &simulator,
        stream,
        view: view.clone(),
        options: *options,
        made: backlog as u64,
    };
    run_with(router, &stop, &source, || producer.run(&stop))
}

/// What a user would write, with the address of the simulator.
fn configure(simulator: &Simulator, state_dir: &Path, overrides: &Overrides) -> Result<Config> {
    let path = state_dir.join("router.toml");
    let text = format!(
        "state_dir = \"state\"\n\
         [source.vcenter]\ntype = \"vcsim\"\ncheckpoint = true\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n\
         [processor.{SCREEN}]\ntype = \"stdout\"\n\
         [route.demo]\nfrom = \"vcenter\"\nto = \"{SCREEN}\"\norder = \"strict\"\n",
        simulator.url(),
        simulator.username(),
        simulator.password()
    );
    kinds::parse(&text, &path, overrides, &|_| None).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Error::new(problems.join("; "))
    })
}

/// Makes events as they become due, and ends the demo.
struct Producer<'s> {
    simulator: &'s Simulator,
    stream: Stream,
    view: View,
    options: DemoOptions,
    made: u64,
}

impl Producer<'_> {
    fn run(&mut self, stop: &Stop) -> Result<()> {
        let begin = Instant::now();
        let backlog = self.made;
        while !stop.is_stopped() {
            let printed = self.view.stats().delivered.get();
            if self.options.events.is_some_and(|events| events <= printed) {
                break;
            }
            if let Some(ended) = printing::ended(&self.view) {
                return ended;
            }
            let due = match (self.options.rate, self.options.events) {
                (None, Some(_)) => u64::MAX,
                (rate, _) => backlog + (begin.elapsed().as_secs_f64() * rate.unwrap_or(RATE)) as u64,
            };
            let due = due.min(printed + AHEAD_EVENTS_MAX).min(self.options.events.unwrap_or(u64::MAX));
            self.make(due.saturating_sub(self.made));
            stop.wait(TICK);
        }
        Ok(())
    }

    fn make(&mut self, events: u64) {
        if 0 < events {
            let now = self.simulator.now();
            self.simulator.push_many((0..events).map(|_| self.stream.next(now)));
            self.made += events;
        }
    }
}
