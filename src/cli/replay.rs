//! `router replay`: a span of a source's history once more, along a route. It is a run of its own in
//! a folder of its own: the route's checkpoint stays where it is, also beside a running router.

use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cli::checkpoint::refuse_future;
use crate::cli::run::{self, run_with};
use crate::cli::{CommandFailure, Exit, dead_letters, printing};
use crate::config::{Order, RouteConfig};
use crate::error::Error;
use crate::kinds::{self, Config};
use crate::observe::registry::Watched;
use crate::observe::snapshot::RouteSnapshot;
use crate::observe::words::count;
use crate::processor::stdout::Stdout;
use crate::router::{Router, parts};
use crate::source::span::Span;
use crate::stop::stop_signal;
use crate::temporary::TemporaryFolder;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Along which route.
    pub(super) route: String,
    /// The first moment, by the source's clock.
    pub(super) from: Timestamp,
    /// The last one; none means its present.
    pub(super) to: Option<Timestamp>,
    /// Also if `from` lies in the future.
    pub(super) force: bool,
    /// Print the events instead of delivering them.
    pub(super) dry_run: bool,
}

/// Reads, filters and delivers as the route does, with the same ids. What is refused for good is
/// printed.
///
/// # Errors
/// When the route is not known, the start is impossible, a thread failed, events were refused, or a
/// signal came before the end.
pub(super) fn replay(
    mut config: Config,
    options: &Options,
    out: &mut impl Write,
) -> std::result::Result<(), CommandFailure> {
    let refused = |error| CommandFailure { exit: Exit::Refused, error };
    refuse_future(options.from, options.force).map_err(refused)?;
    let mut route: RouteConfig = match super::routes(&config, Some(&options.route)).map_err(refused)?[..] {
        [route] => route.clone(),
        _ => return Err(refused(Error::new(format!("route {} is not unique", options.route)))),
    };
    if options.dry_run {
        route.order = Order::Strict;
    }
    let folder = TemporaryFolder::new("replay")?;
    config.state_dir = folder.path().to_path_buf();
    // A replay delivers everything, whatever its source promises: it can be repeated.
    config.sources.iter_mut().for_each(|source| source.checkpoint = true);
    let (end_span, span_ended) = stop_signal();
    let (source, _) = kinds::ends(&config, &route).map_err(refused)?;
    super::with_history(source, "nothing of it can be replayed").map_err(refused)?;
    let mut parts = parts(&config, &route).map_err(refused)?;
    parts.source = Box::new(Span::new(parts.source, options.from, options.to, end_span));
    parts.replay_max = None;
    // Where it stands is told at the end, and kept nowhere.
    parts.positions = None;
    if options.dry_run {
        parts.processor = Arc::new(Stdout::new());
    }
    let (end, stop) = stop_signal();
    run::watch_signals(end.clone())?;
    let router = Router::of(vec![parts], config.shutdown_grace).map_err(refused)?;
    let view = router.views().remove(0);
    let is_done = || span_ended.is_stopped() && view.snapshot().outstanding == 0;
    let views = if options.dry_run { vec![view.clone()] } else { Vec::new() };
    run_with(router, &stop, &end, || printing::watch(&views, &stop, is_done))?;
    let done = view.snapshot();
    log::info!(target: "replay", "{}", summary(&done));
    dead_letters::dead_letters(&config, Some(&route.name), dead_letters::Action::List, out)?;
    match (done.counts.dead_lettered, is_done()) {
        (0, true) => Ok(()),
        (0, false) if options.dry_run => Ok(()),
        (0, false) => {
            let position = done.settled_to.map_or_else(|| options.from.to_string(), |time| time.to_string());
            Err(Error::new(format!("stopped before the end; go on with --from {position}")).into())
        }
        (refused, _) => {
            let text =
                format!("{}, refused for good: mend the cause and replay again", count(refused, "event"));
            Err(Error::new(text).into())
        }
    }
}

fn summary(route: &RouteSnapshot) -> String {
    let counts = &route.counts;
    format!(
        "read {}, delivered {}, filtered {}, unmatched {}, refused {}",
        counts.read, counts.delivered, counts.filtered, counts.unmatched, counts.dead_lettered
    )
}
