//! `router check`: everything that is wrong with a configuration, and with what it names.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::Exit;
use crate::config::RouteConfig;
use crate::config::file::Overrides;
use crate::config::names;
use crate::config::secret::SecretUse;
use crate::error::io_text;
use crate::finding::Finding;
use crate::kinds::{self, Config, ProcessorConfig, SourceConfig};
use crate::observe::registry::Registry;
use crate::observe::server::ObserveServer;
use crate::observe::words::count;
use crate::owned;
use crate::pipeline::clock::is_ahead;
use crate::position::file::CheckpointFile;
use crate::processor::KnownEvents;
use crate::router::is_shared;

/// Checks the file and, unless `offline`, what it names; one line each on `out`.
pub(super) fn check(path: &Path, overrides: &Overrides, offline: bool, out: &mut dyn Write) -> Exit {
    let mut report = Report { out, failed: false, broken: None };
    let secrets = if offline { SecretUse::Checked } else { SecretUse::Needed };
    let config = match kinds::load(path, &Overrides { secrets, ..*overrides }) {
        Ok(config) => config,
        Err(problems) => {
            problems.iter().for_each(|problem| report.fail("config", &problem.to_string()));
            return report.end(Exit::Refused);
        }
    };
    for warning in &config.warnings {
        report.warn("config", &warning.to_string());
    }
    report.ok("config", &summary(&config));
    if !offline {
        state_dir(&config, &mut report);
        page(&config, &mut report);
        cluster(&config, &mut report);
        config.sources.iter().for_each(|source| check_source(source, &mut report));
        config.routes.iter().for_each(|route| check_names(route, &config, &mut report));
        config.routes.iter().for_each(|route| check_position(route, &config, &mut report));
        config.processors.iter().for_each(|processor| check_processor(processor, &config, &mut report));
    }
    report.end(Exit::Failed)
}

/// The lines of a check, written as they become known.
struct Report<'a> {
    out: &'a mut dyn Write,
    failed: bool,
    broken: Option<io::Error>,
}

impl Report<'_> {
    fn ok(&mut self, subject: &str, text: &str) {
        self.line("ok  ", subject, text);
    }

    fn warn(&mut self, subject: &str, text: &str) {
        self.line("warn", subject, text);
    }

    fn fail(&mut self, subject: &str, text: &str) {
        self.failed = true;
        self.line("FAIL", subject, text);
    }

    fn add(&mut self, subject: &str, finding: &Finding) {
        match finding {
            Finding::Good(text) => self.ok(subject, text),
            Finding::Doubtful(text) => self.warn(subject, text),
            Finding::Failed(text) => self.fail(subject, text),
        }
    }

    fn line(&mut self, verdict: &str, subject: &str, text: &str) {
        let written = writeln!(self.out, "{verdict} {subject}: {text}").and_then(|()| self.out.flush());
        if let Err(error) = written {
            self.broken.get_or_insert(error);
        }
    }

    /// `failure` if a line says so. A report that nobody can read is a failure of its own, unless the
    /// reader has seen enough.
    fn end(self, failure: Exit) -> Exit {
        match self.broken {
            _ if self.failed => failure,
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                super::complain(&format!("write to standard output: {}", io_text(&error)));
                Exit::Failed
            }
            _ => Exit::Clean,
        }
    }
}

fn summary(config: &Config) -> String {
    format!(
        "{}: {}, {}, {}",
        config.file.display(),
        count(config.sources.len() as u64, "source"),
        count(config.processors.len() as u64, "processor"),
        count(config.routes.len() as u64, "route")
    )
}

/// Whether the page's address can be listened on.
fn page(config: &Config, report: &mut Report<'_>) {
    let Some(metrics) = &config.metrics else { return };
    match ObserveServer::start(metrics, Arc::new(Registry::new())) {
        Ok(_) => report.ok("metrics", &format!("{} can be listened on", metrics.bind)),
        Err(error) => report.warn("metrics", &format!("{error}; if the router is running, it is that")),
    }
}

/// Whether the routes can be shared.
fn cluster(config: &Config, report: &mut Report<'_>) {
    let Some(section) = &config.cluster else { return };
    match crate::cluster::engines::probe(section) {
        Ok(finding) => report.add("cluster", &finding),
        Err(error) => report.fail("cluster", &error.to_string()),
    }
}

/// Whether positions can be saved, without leaving anything behind.
fn state_dir(config: &Config, report: &mut Report<'_>) {
    if config.cluster.is_none() && !config.sources.iter().any(|source| source.checkpoint) {
        return report.ok("state", "not needed, no source has a checkpoint");
    }
    let folder = &config.state_dir;
    // `run` creates the folder, so what counts is the nearest one above that is there.
    let standing = |path: &&Path| path.exists() || path.as_os_str().is_empty();
    let above = folder.ancestors().find(standing).unwrap_or(folder);
    let here = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    let trial = here.join(format!(".event-router-check-{}", std::process::id()));
    let tried = if above == folder {
        std::fs::write(&trial, b"").and_then(|()| std::fs::remove_file(&trial))
    } else {
        std::fs::create_dir(&trial).and_then(|()| std::fs::remove_dir(&trial))
    };
    match tried {
        Ok(()) if above == folder => report.ok("state", &format!("{} is writable", folder.display())),
        Ok(()) => report.ok("state", &format!("{} can be created", folder.display())),
        Err(error) => report
            .fail("state", &format!("write in {}: {}", here.display(), owned::folder_text(&error, here))),
    }
}

fn check_source(source: &SourceConfig, report: &mut Report<'_>) {
    let subject = format!("source {}", source.name);
    source.settings.probe(&mut |finding| report.add(&subject, &finding));
}

/// Which names of a route's `types` are no event of its source: mistyped, most likely, and then nothing
/// would ever arrive and all would look well.
fn check_names(route: &RouteConfig, config: &Config, report: &mut Report<'_>) {
    if route.types.is_empty() {
        return;
    }
    let source = config.sources.iter().find(|source| source.name == route.from);
    // Where it does not tell them, the check of the source has the reason.
    let Some(KnownEvents { product, names: known }) = source.and_then(known_events) else { return };
    let subject = format!("route {}", route.name);
    let unknown = names::unknown(&route.types, &known);
    for name in &unknown {
        report.warn(&subject, &format!("types: {product} has no events of the name {name}"));
    }
    if unknown.is_empty() {
        report.ok(&subject, &format!("types: {product} has events of each name"));
    }
}

/// Whether a route's position lies ahead of its source's clock: an event was dated ahead, or the clock was
/// set back.
fn check_position(route: &RouteConfig, config: &Config, report: &mut Report<'_>) {
    let source = config.sources.iter().find(|source| source.name == route.from && source.checkpoint);
    let Some(source) = source.filter(|_| !is_shared(config, &route.name)) else { return };
    // A file that cannot be read stops the start, and `run` says so with what to do.
    let Ok(Some(found)) = CheckpointFile::new(&config.state_dir, &route.name).read() else { return };
    // Where it cannot be asked, the check of the source has the reason.
    let Ok(Some(present)) = source.settings.present() else { return };
    let position = found.checkpoint.progress.time;
    let subject = format!("route {}", route.name);
    let product = source.settings.product();
    if is_ahead(position, present) {
        report.warn(
            &subject,
            &format!(
                "position: {position} lies ahead of the clock of {product}, which shows {present}: that was set back, or \
                 an event was dated ahead; the route goes on from the present, nothing is skipped; correct the time \
                 service (NTP) of {product} and its hosts"
            ),
        );
    } else {
        report.ok(&subject, &format!("position: {position}, the clock of {product} shows {present}"));
    }
}

/// The names of all events of a source; none when it does not tell them.
fn known_events(source: &SourceConfig) -> Option<KnownEvents> {
    let types = source.settings.event_types().ok().filter(|types| !types.is_empty())?;
    let names = types.into_iter().map(|known| known.id).collect();
    Some(KnownEvents { product: source.settings.product(), names })
}

fn check_processor(processor: &ProcessorConfig, config: &Config, report: &mut Report<'_>) {
    let subject = format!("processor {}", processor.name);
    let known = || known_events_for(&processor.name, config);
    processor.settings.probe(&processor.name, &known, &mut |finding| report.add(&subject, &finding));
}

/// The names of all events that can reach a processor; none when a source does not tell its own,
/// for which the check of the source has the reason.
fn known_events_for(processor: &str, config: &Config) -> Option<KnownEvents> {
    let mut all: Option<KnownEvents> = None;
    for route in config.routes.iter().filter(|route| route.to == processor) {
        let known = known_events(kinds::ends(config, route).ok()?.0)?;
        match &mut all {
            Some(all) => all.names.extend(known.names),
            None => all = Some(known),
        }
    }
    all
}
