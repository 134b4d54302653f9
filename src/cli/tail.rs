//! `router tail`: live events on standard output. It is a run of its own, with nothing of the
//! configuration but the sources.

use std::sync::Arc;

use crate::cli::run::{self, run_with};
use crate::cli::{CommandFailure, Exit, printing};
use crate::config::{Format, Order, RetryConfig, RouteConfig};
use crate::error::{Context, Error, Result};
use crate::kinds::{self, Config, SourceConfig};
use crate::limits;
use crate::observe::logger::Logger;
use crate::pattern::Pattern;
use crate::pipeline::RouteParts;
use crate::router::{Router, parts};
use crate::stop::stop_signal;
use crate::template::{Syntax, Template};
use crate::temporary::TemporaryFolder;

/// The name of the processor that prints.
const SCREEN: &str = "screen";

/// Prints what happens from now on at one source or all, until a signal comes or nobody reads
/// standard output any more. The checkpoints of the routes are left alone.
///
/// # Errors
/// When pattern or template is none, or standard output cannot be written.
pub(super) fn tail(
    mut config: Config,
    source: Option<&str>,
    pattern: Option<&str>,
    template: Option<&str>,
) -> std::result::Result<(), CommandFailure> {
    let refused = |error| CommandFailure { exit: Exit::Refused, error };
    let pattern =
        pattern.map(Pattern::compile).transpose().context(|| "--pattern").map_err(refused)?.map(Arc::new);
    let template = template.map(|text| self::template(&config, text)).transpose().map_err(refused)?;
    if let Some(name) = source {
        let wanted = super::source_of(&config, Some(name)).map_err(refused)?.clone();
        config.sources = vec![wanted];
    }
    let watched =
        |source: &SourceConfig| super::with_history(source, "nothing can be watched beside its routes");
    match source {
        Some(_) => config.sources.iter().try_for_each(watched).map_err(refused)?,
        None => config.sources.retain(|source| source.has_history),
    }
    if let Some(pattern) = &pattern {
        for source in &config.sources {
            for mistake in pattern.paths().filter_map(|path| source.settings.missing_path(path)) {
                log::warn!(target: &Logger::source(&source.name), "--pattern: {mistake}");
            }
        }
    }
    let folder = TemporaryFolder::new("tail")?;
    config.routes = config.sources.iter().map(|source| route(source, pattern.as_ref())).collect();
    config.processors = vec![kinds::screen(SCREEN, template)];
    config.state_dir = folder.path().to_path_buf();
    config.metrics = None;
    // What cannot be printed is kept until it is known why.
    config.sources.iter_mut().for_each(|source| source.checkpoint = true);
    let (end, stop) = stop_signal();
    run::watch_signals(end.clone())?;
    let parts = config.routes.iter().map(|route| {
        let parts = parts(&config, route)?;
        // It begins at the present each time.
        Ok(RouteParts { positions: None, ..parts })
    });
    let parts = parts.collect::<Result<Vec<_>>>().map_err(refused)?;
    let router = Router::of(parts, config.shutdown_grace).map_err(refused)?;
    let views = router.views();
    run_with(router, &stop, &end, || printing::watch(&views, &stop, || false))
}

/// The template of a processor by its name, or one that is given: JSON, if it begins so.
fn template(config: &Config, text: &str) -> Result<Arc<Template>> {
    if let Some(processor) = config.processors.iter().find(|processor| processor.name == text) {
        let template = processor.settings.template();
        return template
            .ok_or_else(|| Error::new(format!("--template: processor {text} has no `transform`")));
    }
    let syntax = if text.starts_with(['{', '[', '"']) { Syntax::JsonLines } else { Syntax::Text };
    Ok(Arc::new(Template::compile(text, &[], syntax).context(|| "--template")?))
}

fn route(source: &SourceConfig, pattern: Option<&Arc<Pattern>>) -> RouteConfig {
    RouteConfig {
        name: source.name.clone(),
        from: source.name.clone(),
        to: SCREEN.into(),
        types: Vec::new(),
        pattern: pattern.cloned(),
        order: Order::Strict,
        workers: Some(1),
        format: Format::Router,
        retry: RetryConfig::default(),
        dead_letter_bytes_max: limits::DEAD_LETTER_BYTES_DEFAULT,
    }
}
