//! `router check`: everything that is wrong with a configuration, and with what it names.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::Exit;
use crate::aws::credentials::environment::Environment;
use crate::config::file::Overrides;
use crate::config::load;
use crate::config::nearest::nearest;
use crate::config::secret::SecretUse;
use crate::config::{
    Config, EventbridgeConfig, KnativeConfig, OpenfaasConfig, ProcessorConfig, ProcessorKind, RouteConfig,
    SourceConfig, SourceKind,
};
use crate::error::{Error, io_text};
use crate::http::client::{Request, SendErrorKind, url_text};
use crate::observe::registry::Registry;
use crate::observe::server::ObserveServer;
use crate::pipeline::filter::fits;
use crate::processor::eventbridge::failure::Class;
use crate::processor::eventbridge::{self, rules};
use crate::processor::knative::target::Finder;
use crate::processor::openfaas::gateway::Gateway;
use crate::processor::openfaas::topics::TopicMap;
use crate::source::vcenter::event_types::event_types;
use crate::source::vcenter::probe::{Outcome, probe};

/// Checks the file and, unless `offline`, what it names; one line each on `out`.
pub(super) fn check(path: &Path, overrides: &Overrides, offline: bool, out: &mut dyn Write) -> Exit {
    let mut report = Report { out, failed: false, broken: None };
    let secrets = if offline { SecretUse::Checked } else { SecretUse::Needed };
    let config = match load::load(path, &Overrides { secrets, ..*overrides }) {
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
        config.sources.iter().for_each(|source| check_source(source, &mut report));
        config.routes.iter().for_each(|route| check_names(route, &config, &mut report));
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
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    format!(
        "{}: {}, {}, {}",
        config.file.display(),
        count(config.sources.len(), "source"),
        count(config.processors.len(), "processor"),
        count(config.routes.len(), "route")
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

/// Whether positions can be saved, without leaving anything behind.
fn state_dir(config: &Config, report: &mut Report<'_>) {
    if !config.sources.iter().any(|source| source.checkpoint) {
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
        Err(error) => report.fail(
            "state",
            &format!(
                "write in {}: {}: give the user of the router write access, or set `state_dir`",
                here.display(),
                io_text(&error)
            ),
        ),
    }
}

fn check_source(source: &SourceConfig, report: &mut Report<'_>) {
    let subject = format!("source {}", source.name);
    match &source.kind {
        SourceKind::Vcenter(config) => {
            probe(config, &mut |step| match step.outcome {
                Outcome::Good(text) => report.ok(&subject, &format!("{}: {text}", step.what)),
                Outcome::Doubtful(text) => report.warn(&subject, &format!("{}: {text}", step.what)),
                Outcome::Failed(error) => report.fail(&subject, &format!("{}: {error}", step.what)),
            });
        }
    }
}

/// Which names of a route's `types` are no event of its vCenter: mistyped, most likely, and then nothing
/// would ever arrive and all would look well.
fn check_names(route: &RouteConfig, config: &Config, report: &mut Report<'_>) {
    if route.types.is_empty() {
        return;
    }
    let source = config.sources.iter().find(|source| source.name == route.from);
    // Where it does not tell them, the check of the source has the reason.
    let Some(known) = source.and_then(event_names_of) else { return };
    let subject = format!("route {}", route.name);
    let unknown = route.types.iter().filter(|name| !known.iter().any(|known| fits(name, known)));
    let mut all_known = true;
    for name in unknown {
        all_known = false;
        let near = nearest(name, known.iter().map(String::as_str));
        let hint = near.map_or_else(String::new, |near| format!(", did you mean {near}?"));
        report.warn(&subject, &format!("types: vCenter has no events of the name {name}{hint}"));
    }
    if all_known {
        report.ok(&subject, "types: vCenter has events of each name");
    }
}

/// The names of all events of a source; none when it does not tell them.
fn event_names_of(source: &SourceConfig) -> Option<BTreeSet<String>> {
    let SourceKind::Vcenter(vcenter) = &source.kind;
    let types = event_types(vcenter).ok().filter(|types| !types.is_empty())?;
    Some(types.into_iter().map(|known| known.id).collect())
}

fn check_processor(processor: &ProcessorConfig, config: &Config, report: &mut Report<'_>) {
    let subject = format!("processor {}", processor.name);
    match &processor.kind {
        ProcessorKind::Stdout => report.ok(&subject, "prints on standard output"),
        ProcessorKind::Knative(config) => check_knative(&processor.name, &subject, config, report),
        ProcessorKind::Openfaas(openfaas) => {
            if let Some(topics) = check_openfaas(&subject, openfaas, report) {
                check_topics(&subject, &topics, &event_types_for(&processor.name, config), report);
            }
        }
        ProcessorKind::Eventbridge(config) => check_eventbridge(&processor.name, &subject, config, report),
    }
}

/// The names of all events that can reach a processor; none when a vCenter does not tell its own,
/// for which the check of the source has the reason.
fn event_types_for(processor: &str, config: &Config) -> Option<BTreeSet<String>> {
    let routes = config.routes.iter().filter(|route| route.to == processor);
    let mut names = BTreeSet::new();
    for route in routes {
        let source = config.sources.iter().find(|source| source.name == route.from)?;
        names.extend(event_names_of(source)?);
    }
    Some(names)
}

/// Who wants what, and which topics are no event of any vCenter: mistyped, most likely.
fn check_topics(subject: &str, map: &TopicMap, known: &Option<BTreeSet<String>>, report: &mut Report<'_>) {
    for topic in map.topics() {
        let line = format!("topic {topic}: {}", map.targets(topic).join(", "));
        match known {
            Some(known) if !known.contains(topic) => {
                let near = nearest(topic, known.iter().map(String::as_str));
                let hint = near.map_or_else(String::new, |near| format!(", did you mean {near}?"));
                report.warn(subject, &format!("{line}; vCenter has no events of this name{hint}"));
            }
            _ => report.ok(subject, &line),
        }
    }
}

/// Looks up the address as a run would, resolves, connects, shakes hands and asks for the methods of
/// the address: no event is sent. Many sinks know no OPTIONS, so that most refusals are as good an
/// answer as any.
fn check_knative(name: &str, subject: &str, config: &KnativeConfig, report: &mut Report<'_>) {
    let target = Finder::new(name, config)
        .and_then(|finder| finder.find(None).map_err(|failure| Error::new(failure.text)));
    let target = match target {
        Ok(target) => target,
        Err(error) => return report.fail(subject, &error.to_string()),
    };
    if config.cluster.is_some() {
        report.ok(subject, &format!("events go to {}", target.text()));
    }
    let authorization = match target.token() {
        Ok(token) => token.map(|token| format!("Bearer {token}")),
        Err(error) => return report.fail(subject, &error.to_string()),
    };
    let headers: Vec<_> =
        authorization.as_deref().map(|value| ("authorization", value)).into_iter().collect();
    let answer = target.client.send(&Request {
        method: "OPTIONS",
        url: &target.url,
        headers: &headers,
        body: b"",
        timeout: config.timeout,
        body_bytes_max: 0,
        repeat_if_stale: true,
        head_suffices: false,
    });
    let url = url_text(&target.url);
    match answer.map(|response| response.status) {
        Ok(404) => report.warn(subject, &format!("{url} answers 404: is its path right?")),
        Ok(status @ (401 | 403 | 407)) => {
            report.warn(subject, &format!("{url} answers {status}: it may refuse events likewise"));
        }
        Ok(status) if status >= 500 && status != 501 => {
            report.warn(subject, &format!("{url} answers {status}: while it does, events wait"));
        }
        Ok(_) if config.connection.tls.insecure && url.starts_with("https:") => {
            report.warn(subject, &format!("{url} answers; insecure = true: anybody could be answering"));
        }
        Ok(status) => report.ok(subject, &format!("{url} answers ({status} to OPTIONS)")),
        Err(error) => report.fail(subject, &format!("{error}{}", cure(error.kind))),
    }
}

/// Lists the functions as a run would. No function is invoked.
fn check_openfaas(subject: &str, config: &OpenfaasConfig, report: &mut Report<'_>) -> Option<TopicMap> {
    let listed = Gateway::new(config, true)
        .and_then(|gateway| gateway.list(&|| false).map_err(|failure| failure.error));
    let map = match listed {
        Ok(map) => map,
        Err(error) => {
            report.fail(subject, &error.to_string());
            return None;
        }
    };
    let address = url_text(&config.address);
    match map.functions() {
        0 => report
            .warn(subject, &format!("{address}: no function has an annotation topic: no event has a taker")),
        count => report.ok(subject, &format!("{address}: functions that subscribe: {count}")),
    }
    map.anomalies().iter().for_each(|anomaly| report.warn(subject, &format!("{anomaly}; left out")));
    Some(map)
}

/// Looks for credentials and the rule as a run would, and puts an empty list of events on the bus:
/// AWS refuses it, but only after it has looked at the signature.
fn check_eventbridge(name: &str, subject: &str, config: &EventbridgeConfig, report: &mut Report<'_>) {
    let api = match eventbridge::api(name, config, &Environment::of_process(), true) {
        Ok(api) => api,
        Err(error) => return report.fail(subject, &error.to_string()),
    };
    match api.credentials.current() {
        Ok(credentials) => report.ok(subject, &format!("credentials from {}", credentials.origin)),
        Err(error) => return report.fail(subject, &error.to_string()),
    }
    let deadline = Instant::now() + api.timeout;
    match api.call("PutEvents", br#"{"Entries":[]}"#, deadline) {
        Err(error) if error.class != Class::Never => return report.fail(subject, &error.text),
        _ => report.ok(subject, &format!("{} takes the signature", url_text(&api.url))),
    }
    let Some(arn) = &config.rule else { return };
    let bus = config.event_bus.as_deref().unwrap_or(&arn.bus);
    match rules::read(&api, arn, bus) {
        Err(error) => report.fail(subject, &error.text),
        Ok(rule) => match rule.pattern() {
            Err(error) => report.fail(subject, &format!("rule {}: {error}", arn.text)),
            Ok(pattern) if rule.is_enabled() => {
                report.ok(subject, &format!("rule {} forwards what matches {}", arn.text, pattern.text()));
            }
            Ok(_) => report.warn(subject, &format!("rule {} is disabled: its targets get nothing", arn.text)),
        },
    }
}

/// What to do where the error itself does not know.
fn cure(kind: SendErrorKind) -> &'static str {
    match kind {
        SendErrorKind::Resolve => "; is the name right, and does this machine ask the right DNS server?",
        SendErrorKind::Connect => "; is the sink running, is the port right, does a firewall refuse it?",
        SendErrorKind::Timeout => "; is it reachable from here, or is `timeout` too short?",
        SendErrorKind::Broken => "; is there an HTTP server at this port?",
        SendErrorKind::Proxy | SendErrorKind::Tls | SendErrorKind::Request => "",
    }
}
