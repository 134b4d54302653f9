//! The processor `knative`: posts CloudEvents to a Knative destination, or to any endpoint that
//! speaks the CloudEvents HTTP binding. The destination is a URL or an object of a cluster, whose
//! address a thread looks up again and again (`target`).
//!
//! Which answers are worth another attempt follows the data plane contract of Knative Eventing
//! (`specs/eventing/data-plane.md`). Answers in the body of a 2xx are replies; we ask for none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::settings::{Encoding, KnativeConfig};
use self::target::{Finder, ResolvedTarget};
use crate::cloudevents::{self, CloudEvent};
use crate::error::{Error, Result};
use crate::fingerprint::{Refused, fingerprint};
use crate::http::answer::{self, StatusClass};
use crate::http::client::{Request, Response, SendError, SendErrorKind};
use crate::limits::{RESOLVE_FIRST_WAIT, SINK_BODY_BYTES_MAX};
use crate::observe::incident::Report;
use crate::processor::extensions::Extensions;
use crate::processor::refreshed::Refreshed;
use crate::processor::{Delivery, Failure, Processor, Retry, Verdict, retry_of};

pub(crate) mod kind;
pub mod settings;
pub(crate) mod target;

/// Posts each event to one address.
pub struct Knative {
    targets: Targets,
    // The destination in words.
    text: String,
    extensions: Extensions,
    encoding: Encoding,
    timeout: Duration,
    at_least_once: bool,
    refused: Refused,
}

enum Targets {
    Fixed(Arc<ResolvedTarget>),
    Found(Refreshed<ResolvedTarget>),
}

/// What a status means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The event was accepted.
    Delivered,
    /// Not now.
    Later,
    /// Not from us, or not there.
    Sender,
    /// Never: the same event will be refused again.
    Never,
}

/// Judges a status by the common table, and what that leaves open by the delivery contract of Knative,
/// which wants redirects not followed and recommends to retry what it does not name.
pub(crate) fn classify_status(status: u16) -> Class {
    match (answer::class_of(status), status) {
        (StatusClass::Accepted, _) => Class::Delivered,
        (StatusClass::Event, _) => Class::Never,
        (StatusClass::Sender, _) => Class::Sender,
        // 425 is not in the contract; the name of the status asks for a repetition.
        (_, 404 | 408 | 409 | 425 | 429) => Class::Later,
        (_, 100..=499) => Class::Never,
        _ => Class::Later,
    }
}

impl Knative {
    /// A sender that has not connected yet; `name` is the processor's. `at_least_once` allows to send
    /// a second time when a kept connection turns out to be closed.
    ///
    /// # Errors
    /// A proxy, TLS or cluster setting that cannot be used, or no thread.
    pub fn new(name: &str, config: &KnativeConfig, at_least_once: bool) -> Result<Knative> {
        let finder = Finder::new(name, config)?;
        let targets = if finder.asks() {
            let logger = finder.logger().clone();
            Targets::Found(Refreshed::start(format!("kn-ref:{name}"), &logger, finder)?)
        } else {
            Targets::Fixed(Arc::new(finder.find(None).map_err(|failure| Error::new(failure.text))?))
        };
        Ok(Knative {
            targets,
            text: target::text_of(&config.destination),
            extensions: config.extensions.clone(),
            encoding: config.encoding,
            timeout: config.timeout,
            at_least_once,
            refused: Refused::default(),
        })
    }

    fn deliver_one(&self, ce: &CloudEvent) -> Verdict {
        let target = match &self.targets {
            Targets::Fixed(target) => target.clone(),
            Targets::Found(targets) => {
                assert!(!targets.is_dead(), "the thread that looks up {} has ended", self.text);
                match targets.current(RESOLVE_FIRST_WAIT) {
                    Ok(target) => target,
                    Err(cause) => return failed(Retry::NotReady, "address", cause),
                }
            }
        };
        let token = match target.token() {
            Ok(token) => token,
            Err(error) => {
                let retry = Retry::Credentials { after: None, unsent: true };
                self.refused.note(fingerprint::<String>(Err(&error)));
                return failed(retry, "token", format!("{}: {error}", self.text));
            }
        };
        let begun = Instant::now();
        let answer = self.send(&target, token.as_deref(), ce);
        if is_doubtful(&answer)
            && let Targets::Found(targets) = &self.targets
        {
            targets.invalidate(begun);
        }
        self.judge(&target, token.as_deref(), answer)
    }

    fn send(&self, target: &ResolvedTarget, token: Option<&str>, ce: &CloudEvent) -> Answer {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let authorization = authorization.as_deref().map(|value| ("authorization", value));
        match self.encoding {
            Encoding::Binary => {
                let extensions = self.extensions.of(ce);
                let headers = cloudevents::binary_headers(ce, &extensions);
                let headers = headers.iter().map(|(name, value)| (&**name, &**value));
                let headers: Vec<_> = headers.chain(authorization).collect();
                self.post(target, &headers, &ce.data)
            }
            Encoding::Structured => {
                let mut body = Vec::with_capacity(ce.data.len() + 512);
                cloudevents::write_json_with(ce, &self.extensions.of(ce), &mut body);
                let kind = ("content-type", "application/cloudevents+json; charset=utf-8");
                let headers: Vec<_> = [kind].into_iter().chain(authorization).collect();
                self.post(target, &headers, &body)
            }
        }
    }

    fn post(&self, target: &ResolvedTarget, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        target.client.send(&Request {
            method: "POST",
            url: &target.url,
            headers,
            body,
            timeout: self.timeout,
            body_bytes_max: SINK_BODY_BYTES_MAX,
            repeat_if_stale: self.at_least_once,
            head_suffices: true,
        })
    }

    fn judge(&self, target: &ResolvedTarget, token: Option<&str>, answer: Answer) -> Verdict {
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                return failed(retry_of(&error), error.kind.reason(), error.to_string());
            }
        };
        let status = answer::status_of(&response);
        let retry = match classify_status(status) {
            Class::Delivered => return Verdict::delivered(),
            Class::Later => Retry::Later { after: answer::retry_after_of(&response), unsent: false },
            // A token that has just been replaced.
            Class::Sender
                if response.status == 401 && token.is_some_and(|token| target.token_refused(token)) =>
            {
                if let Targets::Found(targets) = &self.targets {
                    targets.invalidate(Instant::now());
                }
                Retry::Later { after: None, unsent: false }
            }
            Class::Sender => {
                if token.is_some() {
                    self.refused.note(fingerprint(Ok::<_, Error>(token)));
                }
                Retry::Sender { after: answer::retry_after_of(&response) }
            }
            Class::Never => Retry::Never,
        };
        let mut detail = answer::refusal("POST", &target.url, &response);
        if matches!(retry, Retry::Sender { .. }) {
            detail = format!("{detail}: {}", answer::sender_cure(status));
        }
        failed(retry, answer::status_reason(response.status), detail)
    }
}

type Answer = std::result::Result<Response, SendError>;

/// Whether the address itself may be out of date.
fn is_doubtful(answer: &Answer) -> bool {
    match answer {
        Ok(response) => response.status == 404,
        Err(error) => error.unsent && error.kind != SendErrorKind::Request,
    }
}

fn failed(retry: Retry, reason: &'static str, detail: String) -> Verdict {
    Verdict::failed(Failure { target: String::new(), retry, reason, detail })
}

impl Processor for Knative {
    fn deliver_wait_max(&self) -> Duration {
        RESOLVE_FIRST_WAIT + self.timeout
    }

    fn deliver(&self, batch: &[Delivery], verdicts: &mut Vec<Verdict>) {
        verdicts.extend(batch.iter().map(|delivery| self.deliver_one(&delivery.event.ce)));
    }

    fn credential_changes(&self) -> u64 {
        self.refused.changes(|| {
            let target = match &self.targets {
                Targets::Fixed(target) => Ok(target.clone()),
                Targets::Found(targets) => targets.current(Duration::ZERO),
            };
            fingerprint(target.and_then(|target| target.token_now().map_err(|error| error.to_string())))
        })
    }

    fn incident(&self) -> Option<Report> {
        match &self.targets {
            Targets::Fixed(_) => None,
            Targets::Found(targets) => targets.incident(),
        }
    }
}

#[cfg(test)]
mod tests;
