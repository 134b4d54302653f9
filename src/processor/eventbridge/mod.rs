//! The processor `eventbridge`: puts events on a bus of AWS EventBridge, ten at a time, each with its
//! own outcome.
//!
//! ```text
//!   batch --> rule says no ----------------------------> settled, nobody wants it
//!        \--> too large, or never acceptable ----------> dead letter
//!         \-> requests of at most 10 entries and `max_size` bytes
//!               |--> 200: every entry delivered, again, or dead letter
//!               |--> refused for what it holds: in halves, until the culprit stands alone
//!               \--> refused for credentials, rights, rate; no answer: again
//! ```
//!
//! With a rule, only events that match its pattern are sent. They are judged on the envelope that
//! EventBridge will make of them, as far as it is known before.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) mod api;
pub(crate) mod failure;
pub(crate) mod kind;
pub(crate) mod request;
pub(crate) mod rules;
pub(crate) mod settings;

use api::{Api, AwsError};
use failure::{Class, wait_of};
use request::Entry;
use rules::Followed;
use settings::EventbridgeConfig;

use crate::aws::clock::AwsClock;
use crate::aws::credentials::Store;
use crate::aws::credentials::chain::Chain;
use crate::aws::credentials::environment::Environment;
use crate::aws::endpoint::{self, Variant};
use crate::config::{ConnectionConfig, TlsConfig};
use crate::error::Result;
use crate::event::Event;
use crate::http::client::{Client, ClientSettings};
use crate::limits::{RULE_FIRST_WAIT, WORKERS_MAX};
use crate::observe::logger::Logger;
use crate::pattern::{Part, Pattern, cloud_event};
use crate::processor::refreshed::Refreshed;
use crate::processor::{Delivery, Failure, Processor, Retry, Verdict, batches};

/// Puts events on one bus.
pub(crate) struct Eventbridge {
    api: Arc<Api>,
    bus: Option<String>,
    account: String,
    region: String,
    bytes_max: usize,
    timeout: Duration,
    rule: Option<Refreshed<Followed>>,
}

impl Eventbridge {
    /// A sender that has begun to look for credentials and, if there is one, for its rule. `name` is
    /// that of the configuration.
    ///
    /// # Errors
    /// A proxy or TLS setting that cannot be used, or no thread.
    pub(crate) fn new(name: &str, config: &EventbridgeConfig, at_least_once: bool) -> Result<Eventbridge> {
        let api = Arc::new(api(name, config, &Environment::of_process(), at_least_once)?);
        let rule = match &config.rule {
            Some(arn) => {
                let bus = config.event_bus.clone().unwrap_or_else(|| arn.bus.clone());
                Some(rules::follow(name, api.clone(), arn.clone(), bus, config.refresh)?)
            }
            None => None,
        };
        let bus = config.event_bus.as_deref().or(config.rule.as_ref().map(|arn| arn.bus.as_str()));
        Ok(Eventbridge {
            api,
            bus: bus.filter(|bus| *bus != "default").map(str::to_string),
            account: config.rule.as_ref().map(|arn| arn.account.clone()).unwrap_or_default(),
            region: config.region.clone(),
            bytes_max: usize::try_from(config.bytes_max).unwrap_or(usize::MAX),
            timeout: config.timeout,
            rule,
        })
    }

    /// Puts a part of the batch on the bus, in halves if the whole is refused for what it holds.
    /// `again`: one of them was refused for a lack of rights before, which may be its own.
    fn put(
        &self,
        entries: &[Entry<'_>],
        again: bool,
        deadline: Instant,
        outcomes: &mut Vec<Option<AwsError>>,
    ) {
        if entries.is_empty() {
            return;
        }
        let error = match self.put_once(entries, deadline) {
            Ok(found) => return outcomes.extend(found),
            Err(error) => error,
        };
        // Policies can allow some sources and types of events, and then refuse the request as a whole.
        let is_for_its_content = error.class == Class::Never || (again && error.reason == "denied");
        if is_for_its_content && 1 < entries.len() {
            let (first, second) = entries.split_at(entries.len() / 2);
            self.put(first, again, deadline, outcomes);
            self.put(second, again, deadline, outcomes);
            return;
        }
        outcomes.extend(entries.iter().map(|_| Some(error.clone())));
    }

    fn put_once(&self, entries: &[Entry<'_>], deadline: Instant) -> Result<Vec<Option<AwsError>>, AwsError> {
        let failed =
            |class, reason, text: String| AwsError { class, reason, text, unsent: false, after: None };
        if deadline <= Instant::now() {
            let text = format!("PutEvents at {}: no time was left for the rest of the batch", self.api.url);
            return Err(AwsError { unsent: true, ..failed(Class::Later, "timeout", text) });
        }
        let body = request::body(entries).map_err(|text| failed(Class::Never, "refused", text))?;
        let answer = self.api.call("PutEvents", &body, deadline)?;
        let in_words = |text: String| format!("PutEvents at {}: {text}", self.api.url);
        let outcomes = request::outcomes(&answer, entries.len())
            .map_err(|text| failed(Class::Later, "malformed", in_words(text)))?;
        let outcomes = outcomes.into_iter().map(|outcome| {
            outcome.map(|refused| failed(refused.class, refused.reason, in_words(refused.text)))
        });
        Ok(outcomes.collect())
    }

    /// Whether the rule wants an event.
    fn wants(&self, pattern: &Pattern, event: &Event) -> Result<bool> {
        let ce = &event.ce;
        let detail = cloud_event(ce);
        // EventBridge writes the time of an event without fractions.
        let time =
            jiff::Timestamp::from_second(event.position.time.as_second()).unwrap_or_default().to_string();
        pattern.matches_members(&[
            ("version", Part::Text("0")),
            ("id", Part::Text(&ce.id)),
            ("source", Part::Text(&ce.source)),
            ("detail-type", Part::Text(ce.name())),
            ("account", Part::Text(&self.account)),
            ("region", Part::Text(&self.region)),
            ("time", Part::Text(&time)),
            ("resources", Part::Json(b"[]")),
            ("detail", Part::Members(&detail)),
        ])
    }

    /// What can be said about an event before anything is sent: the entry to send, or the verdict.
    fn prepare<'e>(&'e self, pattern: Option<&Pattern>, event: &'e Event) -> Result<Entry<'e>, Verdict> {
        if let Some(pattern) = pattern {
            match self.wants(pattern, event) {
                Ok(false) => return Err(Verdict::unmatched()),
                Ok(true) => {}
                // EventBridge judges once more: an event that cannot be judged here is sent.
                Err(error) => {
                    log::warn!(target: &self.api.logger, "event {}: {error}; it is sent", event.ce.id);
                }
            }
        }
        let entry = Entry::new(event, self.bus.as_deref());
        match entry.flaw(self.bytes_max) {
            None => Ok(entry),
            Some((reason, text)) => {
                let detail = format!("PutEvents at {}: {text}", self.api.url);
                Err(Verdict::failed(Failure { target: String::new(), retry: Retry::Never, reason, detail }))
            }
        }
    }
}

impl Processor for Eventbridge {
    fn batch_events_max(&self) -> usize {
        request::ENTRIES_MAX
    }

    fn deliver_wait_max(&self) -> Duration {
        RULE_FIRST_WAIT + self.timeout
    }

    fn credential_changes(&self) -> u64 {
        self.api.credentials.changes()
    }

    fn deliver(&self, batch: &[Delivery], verdicts: &mut Vec<Verdict>) {
        // Rule or keys would grow old unnoticed. A panic is a fault of the program, so let it end.
        let dead = self.api.credentials.is_dead() || self.rule.as_ref().is_some_and(Refreshed::is_dead);
        assert!(!dead, "{}: a thread that keeps the rule or the keys current has ended", self.api.logger);
        let deadline = Instant::now() + self.timeout;
        let rule = match self.rule.as_ref().map(|rule| rule.current(RULE_FIRST_WAIT)) {
            None => None,
            Some(Ok(rule)) => Some(rule),
            Some(Err(why)) => return verdicts.extend(batch.iter().map(|_| Verdict::failed(not_ready(&why)))),
        };
        let mut entries = Vec::with_capacity(batch.len());
        // Where the outcome of each entry belongs.
        let mut places = Vec::with_capacity(batch.len());
        for (place, delivery) in batch.iter().enumerate() {
            match self.prepare(rule.as_ref().map(|rule| &rule.pattern), &delivery.event) {
                Ok(entry) => {
                    entries.push(entry);
                    places.push(place);
                    verdicts.push(Verdict::failed(not_ready("not sent")));
                }
                Err(verdict) => verdicts.push(verdict),
            }
        }
        let sizes: Vec<usize> = entries.iter().map(Entry::bytes).collect();
        let mut outcomes = Vec::with_capacity(entries.len());
        let again = batch.iter().any(|delivery| delivery.ticket.refused_since.is_some());
        for Range { start, end } in batches::requests(&sizes, request::ENTRIES_MAX, self.bytes_max) {
            self.put(&entries[start..end], again, deadline, &mut outcomes);
        }
        for (place, outcome) in places.into_iter().zip(outcomes) {
            verdicts[place] = match outcome {
                None => Verdict::delivered(),
                Some(error) => Verdict::failed(failure(error, &batch[place])),
            };
        }
    }
}

fn not_ready(why: &str) -> Failure {
    Failure {
        target: String::new(),
        retry: Retry::NotReady,
        reason: "rule",
        detail: format!("waiting for the first reading of the rule: {why}"),
    }
}

fn failure(error: AwsError, delivery: &Delivery) -> Failure {
    let retry = match error.class {
        Class::Never => Retry::Never,
        class => {
            let after = wait_of(class, delivery.attempts, crate::sync::jitter()).max(error.after);
            match class {
                Class::Denied if !matches!(error.reason, "signature" | "credentials") => {
                    Retry::Sender { after }
                }
                Class::Denied | Class::Credentials | Class::Skew => {
                    Retry::Credentials { after, unsent: error.unsent }
                }
                _ => Retry::Later { after, unsent: error.unsent },
            }
        }
    };
    Failure { target: String::new(), retry, reason: error.reason, detail: error.text }
}

/// What calls the EventBridge of a configuration, and has begun to look for credentials.
///
/// # Errors
/// A proxy or TLS setting that cannot be used, or no thread.
fn api(
    name: &str,
    config: &EventbridgeConfig,
    environment: &Environment,
    repeat_if_stale: bool,
) -> Result<Api> {
    let variant = Variant { fips: config.fips, dual_stack: config.dual_stack };
    let client = |connection: &ConnectionConfig, connections_max| {
        Client::new(&ClientSettings { connection, connections_max })
    };
    // A pin or a name is for the endpoint itself; proxy and authority are for the network.
    let tls = TlsConfig { ca_files: config.connection.tls.ca_files.clone(), ..TlsConfig::default() };
    let network = ConnectionConfig { proxy: config.connection.proxy.clone(), tls };
    let from_environment = |name: &str| environment.get(name).or_else(|| environment.get("AWS_ENDPOINT_URL"));
    let logger = Logger::processor(name);
    let clock = Arc::new(AwsClock::new(&logger));
    let chain = Chain {
        clock: clock.clone(),
        keys: config.keys.clone(),
        profile: config.profile.clone(),
        environment: environment.clone(),
        region: config.region.clone(),
        sts_url: from_environment("AWS_ENDPOINT_URL_STS")
            .map_or_else(|| endpoint::sts_url(&config.region, variant), with_slash),
        sts: client(&network, 1)?,
        local: client(&ConnectionConfig::default(), 1)?,
    };
    let configured = config.endpoint.clone().or_else(|| from_environment("AWS_ENDPOINT_URL_EVENTBRIDGE"));
    Ok(Api {
        logger,
        client: client(&config.connection, WORKERS_MAX)?,
        url: configured.map_or_else(|| endpoint::events_url(&config.region, variant), with_slash),
        region: config.region.clone(),
        credentials: Store::start(name, chain)?,
        timeout: config.timeout,
        repeat_if_stale,
        clock,
    })
}

fn with_slash(url: String) -> String {
    format!("{}/", url.trim_end_matches('/'))
}

#[cfg(test)]
mod tests;
