//! The processor `http`: requests of any HTTP API, one for each event, or for what waits.
//!
//! ```text
//!   events --> parts (`message`) --> too large, or no JSON -----------------------> dead letter
//!                  \--> requests of at most `max_events` and `max_size`
//!                          |--> 2xx or what `success` names ----------------------> delivered
//!                          |--> refused: in halves, until the culprit stands alone: dead letter
//!                          |--> an error inside of the receiver: in halves once, so that the same ones do
//!                          |    not hold each other for ever
//!                          \--> the sender is refused, or it may pass ------------> again
//! ```
//!
//! Secrets are read by `access`, which also keeps them out of what is told.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use self::access::Access;
use self::judge::{Class, Reading};
use self::message::Message;
use self::settings::HttpConfig;
use crate::error::{Error, Result};
use crate::fingerprint::{Refused, fingerprint};
use crate::http::answer;
use crate::http::client::{Client, ClientSettings, Request, Response, SendError};
use crate::limits::{BULK_BODY_BYTES_MAX, SINK_BODY_BYTES_MAX, TOKEN_FILE_AGE_MAX, WORKERS_MAX};
use crate::processor::{Delivery, Failure, Processor, Retry, Verdict, batches, retry_of};

mod access;
mod judge;
pub(crate) mod kind;
mod message;
pub(crate) mod settings;
mod sign;

/// Sends requests to one address.
pub(crate) struct Http {
    config: HttpConfig,
    client: Client,
    route: String,
    at_least_once: bool,
    access: Mutex<Option<(Instant, Arc<Access>)>>,
    refused: Refused,
}

/// What an answer says about the events of a request.
enum Judged {
    /// The same of all, and whether a part of them may fare better.
    All(Verdict, Parting),
    /// Of each by itself.
    Each(Vec<Verdict>),
}

/// Whether a request is worth to be sent in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    /// All of it will fare alike.
    Never,
    /// Something in it is refused.
    Culprit,
    /// Something in it may be what the receiver stumbles over.
    Suspect,
}

impl Http {
    /// A sender of a route that has not connected yet. `at_least_once` allows to send a second time when
    /// a kept connection turns out to be closed.
    ///
    /// # Errors
    /// A proxy or TLS setting that cannot be used.
    pub(crate) fn new(config: &HttpConfig, route: &str, at_least_once: bool) -> Result<Http> {
        let client =
            Client::new(&ClientSettings { connection: &config.connection, connections_max: WORKERS_MAX })?;
        let route = route.to_string();
        Ok(Http {
            config: config.clone(),
            client,
            route,
            at_least_once,
            access: Mutex::default(),
            refused: Refused::default(),
        })
    }

    /// Address and headers; files of secrets are read again after a while.
    fn access(&self) -> Result<Arc<Access>> {
        let held = crate::sync::lock(&self.access);
        if let Some((read, access)) = &*held
            && read.elapsed() < TOKEN_FILE_AGE_MAX
        {
            return Ok(access.clone());
        }
        drop(held);
        self.access_now()
    }

    /// The same as its secrets are at this moment.
    fn access_now(&self) -> Result<Arc<Access>> {
        let access = Arc::new(Access::read(&self.config)?);
        *crate::sync::lock(&self.access) = Some((Instant::now(), access.clone()));
        Ok(access)
    }

    /// Whether the secrets are others now than those that were refused.
    fn is_renewed(&self, refused: &Access) -> bool {
        self.access_now().is_ok_and(|access| *access != *refused)
    }

    /// The part of one event, or the verdict where nothing can be sent.
    fn part<'a>(&self, access: &Access, delivery: &'a Delivery) -> std::result::Result<Message<'a>, Verdict> {
        let refused = |reason, text: String| {
            failed(Retry::Never, reason, format!("{} {}: {text}", self.config.method, access.shown))
        };
        let part = message::part(&self.config, &self.route, &delivery.event.ce)
            .map_err(|error| refused("template", error.to_string()))?;
        match &self.config.batch {
            Some(batch) if batch.bytes_max < part.body.len() + batch.frame_bytes() => {
                let (bytes, most) = (part.body.len(), batch.bytes_max);
                Err(refused("oversize", format!("the event makes {bytes} bytes, and max_size is {most}")))
            }
            _ => Ok(part),
        }
    }

    /// Sends some parts in one request, in halves if that may help some of them. One verdict for each.
    fn put(
        &self,
        access: &Access,
        parts: &[Message<'_>],
        deadline: Instant,
        whole: bool,
        verdicts: &mut Vec<Verdict>,
    ) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let text = format!("{}: no time was left for the rest of the batch", access.shown);
            let late = failed(Retry::Later { after: None, unsent: true }, "timeout", text);
            return verdicts.extend(parts.iter().map(|_| late.clone()));
        }
        let (verdict, parting) = match self.judge(access, self.send(access, parts, left), parts.len()) {
            Judged::Each(each) => return verdicts.extend(each),
            Judged::All(verdict, parting) => (verdict, parting),
        };
        // What failed inside of the receiver may have been seen there.
        let in_halves = match parting {
            Parting::Never => false,
            Parting::Culprit => true,
            Parting::Suspect => whole && self.at_least_once,
        };
        if in_halves && 1 < parts.len() {
            let (first, second) = parts.split_at(parts.len() / 2);
            let whole = whole && parting == Parting::Culprit;
            self.put(access, first, deadline, whole, verdicts);
            self.put(access, second, deadline, whole, verdicts);
            return;
        }
        verdicts.extend(parts.iter().map(|_| verdict.clone()));
    }

    fn send(&self, access: &Access, parts: &[Message<'_>], timeout: Duration) -> Answer {
        let body = message::body(&self.config, parts);
        let signature = access.signature(&self.config, &body);
        let own = parts.iter().take(1).flat_map(|part| &part.headers);
        let own = own.map(|(name, value)| (&**name, &**value));
        let every = access.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let signature = signature.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<_> = own.chain(every).chain(signature).collect();
        let reads = self.config.rules.reading != Reading::Status;
        self.client.send(&Request {
            method: self.config.method,
            url: &access.url,
            headers: &headers,
            body: &body,
            timeout,
            body_bytes_max: if reads { BULK_BODY_BYTES_MAX } else { SINK_BODY_BYTES_MAX },
            repeat_if_stale: self.at_least_once,
            head_suffices: !reads,
        })
    }

    fn judge(&self, access: &Access, answer: Answer, count: usize) -> Judged {
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let text = access.without_secrets(&error.to_string());
                let verdict = failed(retry_of(&error), error.kind.reason(), text);
                return Judged::All(verdict, Parting::Never);
            }
        };
        let status = answer::status_of(&response);
        let class = self.config.rules.class(status);
        if class == Class::Delivered {
            return self.read(access, &response, count);
        }
        let clean = |text: &str| access.without_secrets(text);
        let detail = answer::refusal_with(self.config.method, &access.shown, &response, &clean);
        let parting = match (class, status) {
            (Class::Never, _) => Parting::Culprit,
            (Class::Later, 408 | 425 | 429 | 502 | 503 | 504) => Parting::Never,
            (Class::Later, _) => Parting::Suspect,
            _ => Parting::Never,
        };
        Judged::All(self.verdict(access, class, status, detail, answer::retry_after_of(&response)), parting)
    }

    /// What a success says beside its status.
    fn read(&self, access: &Access, response: &Response, count: usize) -> Judged {
        let said = |text: &str| {
            let text = access.without_secrets(text);
            format!("{} {}: status {}: {text}", self.config.method, access.shown, response.status)
        };
        match self.config.rules.reading {
            Reading::Status => Judged::All(Verdict::delivered(), Parting::Never),
            // Which ones it does not say, and the protocol forbids to send any again.
            Reading::Otlp => match judge::otlp_rejection(&response.body) {
                None => Judged::All(Verdict::delivered(), Parting::Never),
                Some(text) => Judged::All(failed(Retry::Never, "rejected", said(&text)), Parting::Never),
            },
            Reading::Bulk => match judge::bulk_items(&response.body, count) {
                Err(text) => {
                    let retry = Retry::Later { after: None, unsent: false };
                    Judged::All(failed(retry, "malformed", said(&text)), Parting::Never)
                }
                Ok(items) => Judged::Each(
                    items
                        .into_iter()
                        .map(|item| match self.config.rules.item_class(item.status) {
                            Class::Delivered => Verdict::delivered(),
                            class => {
                                let text = said(&format!("item status {}: {}", item.status, item.reason));
                                self.verdict(access, class, item.status, text, None)
                            }
                        })
                        .collect(),
                ),
            },
        }
    }

    fn verdict(
        &self,
        access: &Access,
        class: Class,
        status: u16,
        detail: String,
        after: Option<Duration>,
    ) -> Verdict {
        let reason = answer::status_reason(status);
        match class {
            Class::Delivered => Verdict::delivered(),
            Class::Later => failed(Retry::Later { after, unsent: false }, reason, detail),
            Class::Never => failed(Retry::Never, reason, detail),
            // A token that has just been replaced.
            Class::Sender if status == 401 && self.is_renewed(access) => {
                failed(Retry::Later { after: None, unsent: false }, reason, detail)
            }
            Class::Sender => {
                self.refused.note(fingerprint(Ok::<_, Error>(access)));
                let cure = self.config.rules.cure(status);
                failed(Retry::Sender { after }, reason, format!("{detail}: {cure}"))
            }
        }
    }
}

type Answer = std::result::Result<Response, SendError>;

fn failed(retry: Retry, reason: &'static str, detail: String) -> Verdict {
    Verdict::failed(Failure { target: String::new(), retry, reason, detail })
}

impl Processor for Http {
    fn credential_changes(&self) -> u64 {
        self.refused.changes(|| fingerprint(self.access_now()))
    }

    fn batch_events_max(&self) -> usize {
        self.config.batch.as_ref().map_or(1, |batch| batch.events_max)
    }

    fn deliver_wait_max(&self) -> Duration {
        self.config.timeout
    }

    fn deliver(&self, batch: &[Delivery], verdicts: &mut Vec<Verdict>) {
        let deadline = Instant::now() + self.config.timeout;
        let access = match self.access() {
            Ok(access) => access,
            Err(error) => {
                let text = format!("{}: {error}", access::shown(&self.config.address));
                self.refused.note(fingerprint::<Arc<Access>>(Err(&error)));
                let verdict = failed(Retry::Credentials { after: None, unsent: true }, "secret", text);
                return verdicts.extend(batch.iter().map(|_| verdict.clone()));
            }
        };
        let mut parts = Vec::with_capacity(batch.len());
        // Where the verdict of each part belongs.
        let mut places = Vec::with_capacity(batch.len());
        for (place, delivery) in batch.iter().enumerate() {
            match self.part(&access, delivery) {
                Ok(part) => {
                    parts.push(part);
                    places.push(place);
                    verdicts.push(Verdict::delivered());
                }
                Err(verdict) => verdicts.push(verdict),
            }
        }
        let (events_max, bytes_max, between) = match &self.config.batch {
            Some(own) => (own.events_max, own.bytes_max - own.frame_bytes(), own.separator.len()),
            None => (1, usize::MAX, 0),
        };
        let sizes: Vec<usize> = parts.iter().map(|part| part.body.len() + between).collect();
        let mut found = Vec::with_capacity(parts.len());
        for Range { start, end } in batches::requests(&sizes, events_max, bytes_max) {
            self.put(&access, &parts[start..end], deadline, true, &mut found);
        }
        for (place, verdict) in places.into_iter().zip(found) {
            verdicts[place] = verdict;
        }
    }

    fn deliver_aloud(&self, delivery: Delivery, lines: &mut Vec<String>) -> Option<Verdict> {
        if let Ok(part) = message::part(&self.config, &self.route, &delivery.event.ce) {
            lines.push(format!("{} {}", self.config.method, access::shown(&self.config.address)));
            lines.extend(part.headers.iter().map(|(name, value)| format!("{name}: {value}")));
            let body = message::body(&self.config, std::slice::from_ref(&part)).into_owned();
            lines.push(String::from_utf8_lossy(&body).into_owned());
        }
        let mut verdicts = Vec::new();
        self.deliver(&[delivery], &mut verdicts);
        verdicts.pop()
    }
}

#[cfg(test)]
mod tests;
