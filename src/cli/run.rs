//! `router run`: until SIGTERM or SIGINT.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::time::Instant;

use crate::cli::{Exit, Failure};
use crate::config::Config;
use crate::error::{Context, Error, Result};
use crate::limits::SIGNAL_ECHO_MAX;
use crate::router::Router;
use crate::stop::{Stop, StopSource, stop_signal};

/// Runs all routes until a signal comes. A second signal ends the process at once.
///
/// # Errors
/// When the start is impossible, or a thread failed.
pub fn run(config: &Config) -> std::result::Result<(), Failure> {
    let refused = |error| Failure { exit: Exit::Refused, error };
    let (source, stop) = stop_signal();
    watch_signals(source).map_err(refused)?;
    let router = Router::start(config).map_err(refused)?;
    log::info!(
        "event-router {} started: {} {} from {}",
        env!("CARGO_PKG_VERSION"),
        router.routes().len(),
        if router.routes().len() == 1 { "route" } else { "routes" },
        config.file.display()
    );
    router.run(&stop)?;
    log::info!("stopped");
    Ok(())
}

/// Runs a router with a thread beside it that ends it when it is done, or that the end of the router
/// ends.
///
/// # Errors
/// When a thread of the router failed, or what ran beside it.
pub(super) fn beside(
    router: Router,
    stop: &Stop,
    end: &StopSource,
    body: impl FnOnce() -> Result<()> + Send,
) -> std::result::Result<(), Failure> {
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
        let ran = router.run(stop);
        // However the router ended.
        end.stop();
        let done = beside.join().unwrap_or_else(|_| Err(Error::new("what ran beside the router failed")));
        ran.and(done).map_err(Failure::from)
    })
}

/// Turns SIGTERM and SIGINT into the stop signal; the second one ends the process at once.
///
/// # Errors
/// When the signals cannot be taken over.
pub fn watch_signals(source: StopSource) -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context(|| "take over SIGTERM and SIGINT")?;
    let watch = move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            match first {
                None => first = Some(Instant::now()),
                // `timeout` signals the process and its group, a shell passes Ctrl-C on: one wish
                Some(first) if first.elapsed() < SIGNAL_ECHO_MAX => continue,
                Some(_) => {
                    log::warn!("second signal: ending at once, events in flight may be repeated");
                    std::process::exit(1);
                }
            }
            let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
            log::info!("{name}: stopping; a second signal ends at once");
            source.stop();
        }
    };
    std::thread::Builder::new().name("signals".to_string()).spawn(watch).context(|| "start a thread")?;
    Ok(())
}
