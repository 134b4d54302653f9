//! `router run`: until SIGTERM or SIGINT.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::time::Instant;

use crate::cli::{CommandFailure, Exit};
use crate::config::problem::Problem;
use crate::error::{Context, Error, Result};
use crate::kinds::Config;
use crate::limits::SIGNAL_ECHO_MAX;
use crate::observe::log::{ROUTER, announce_level, step_level};
use crate::observe::systemd::ServiceManager;
use crate::observe::words::count;
use crate::router::Router;
use crate::stop::{Stop, StopSource, stop_signal};

/// Runs all routes until a signal comes. A second signal ends the process at once. `read_again` gives
/// the configuration as its file is now.
///
/// # Errors
/// When the start is impossible, or a thread failed.
pub(super) fn run(
    config: Config,
    read_again: impl Fn() -> Result<Config, Vec<Problem>> + Send + 'static,
) -> std::result::Result<(), CommandFailure> {
    let refused = |error| CommandFailure { exit: Exit::Refused, error };
    let config = Arc::new(config);
    let (source, stop) = stop_signal();
    let running = config.clone();
    let hang_up = move || take_over(&running, read_again());
    watch_signals_and(source, Some(Box::new(hang_up))).map_err(refused)?;
    let router = Router::start(&config)?;
    log::info!(
        target: ROUTER,
        "event-router {} started: {} from {}",
        env!("CARGO_PKG_VERSION"),
        count(config.routes.len() as u64, "route"),
        config.file.display()
    );
    router.run(&stop, ServiceManager::from_environment())?;
    log::info!(target: ROUTER, "shutdown successful");
    Ok(())
}

/// SIGHUP: what may change while the router runs is taken over from the file. A file that is wrong
/// changes nothing.
fn take_over(running: &Config, newer: Result<Config, Vec<Problem>>) {
    let newer = match newer {
        Ok(newer) => newer,
        Err(problems) => {
            for problem in problems {
                log::error!(target: ROUTER, "SIGHUP: {problem}; the settings stay as they were");
            }
            return;
        }
    };
    let secrets = running.take_secrets(&newer);
    let changed = format!("{} changed", count(secrets as u64, "secret"));
    announce_level(newer.log.level, &format!("SIGHUP: {} was read again, {changed}", running.file.display()));
    if !running.runs_like(&newer) {
        log::warn!(
            target: ROUTER,
            "SIGHUP: other settings of {} have changed too: restart the router to use them",
            running.file.display()
        );
    }
}

/// Runs a router with a thread beside it that ends it when it is done, or that the end of the router
/// ends.
///
/// # Errors
/// When a thread of the router failed, or what ran beside it.
pub(super) fn run_with(
    router: Router,
    stop: &Stop,
    end: &StopSource,
    body: impl FnOnce() -> Result<()> + Send,
) -> std::result::Result<(), CommandFailure> {
    std::thread::scope(|scope| {
        let body = || {
            let done = body();
            end.stop();
            done
        };
        let beside = std::thread::Builder::new()
            .name("beside".into())
            .spawn_scoped(scope, body)
            .context(|| "start a thread")?;
        let ran = router.run(stop, ServiceManager::none());
        // However the router ended.
        end.stop();
        let done = beside.join().unwrap_or_else(|_| Err(Error::new("what ran beside the router failed")));
        ran.and(done).map_err(CommandFailure::from)
    })
}

/// Turns SIGTERM and SIGINT into the stop signal; the second one ends the process at once. SIGUSR1 and
/// SIGUSR2 make the log tell more and less.
///
/// # Errors
/// When the signals cannot be taken over.
pub(super) fn watch_signals(source: StopSource) -> Result<()> {
    watch_signals_and(source, None)
}

/// The same, and SIGHUP where something is to be done then; else it ends the process, as when a
/// terminal is closed.
fn watch_signals_and(source: StopSource, hang_up: Option<Box<dyn Fn() + Send>>) -> Result<()> {
    let mut taken = vec![SIGTERM, SIGINT, SIGUSR1, SIGUSR2];
    taken.extend(hang_up.is_some().then_some(SIGHUP));
    let mut signals = Signals::new(taken).context(|| "take over signals")?;
    let watch = move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            match (signal, &hang_up) {
                (SIGUSR1, _) => step_level(true, "SIGUSR1"),
                (SIGUSR2, _) => step_level(false, "SIGUSR2"),
                (SIGHUP, Some(hang_up)) => hang_up(),
                _ => end(signal, &source, &mut first),
            }
        }
    };
    std::thread::Builder::new().name("signals".to_string()).spawn(watch).context(|| "start a thread")?;
    Ok(())
}

fn end(signal: i32, source: &StopSource, first: &mut Option<Instant>) {
    match *first {
        None => *first = Some(Instant::now()),
        // `timeout` signals the process and its group, a shell passes Ctrl-C on: one wish
        Some(first) if first.elapsed() < SIGNAL_ECHO_MAX => return,
        Some(_) => {
            log::warn!(target: ROUTER, "second signal: ending at once, events in flight may be repeated");
            std::process::exit(1);
        }
    }
    let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
    log::info!(target: ROUTER, "{name}: initiating shutdown, stopping to read; a second signal ends at once");
    source.stop();
}
