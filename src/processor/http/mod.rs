//! The processor `http`: one request of any HTTP API for each event, or for what waits.
//!
//! ```text
//!   secrets (`access`) --> request --> answer --> 2xx or what `success` names: delivered
//!                                           \--> refused: dead letter
//!                                            \-> the sender or the address is refused, or it may pass: again
//! ```

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use self::access::Access;
use self::judge::Class;
use self::settings::{Body, HeaderText, HttpConfig};
use crate::cloudevents::{self, CloudEvent};
use crate::error::{Error, Result};
use crate::fingerprint::{Refused, fingerprint};
use crate::http::answer;
use crate::http::client::{Client, ClientSettings, Request, Response, SendError};
use crate::limits::{SINK_BODY_BYTES_MAX, TOKEN_FILE_AGE_MAX, WORKERS_MAX};
use crate::processor::{Delivery, Failure, Processor, Retry, Verdict, retry_of};
use crate::template::Input;

mod access;
pub(super) mod judge;
pub(crate) mod kind;
pub(crate) mod settings;

/// Sends requests to one address.
pub(crate) struct Http {
    config: HttpConfig,
    client: Client,
    route: String,
    at_least_once: bool,
    access: Mutex<Option<(Instant, Arc<Access>)>>,
    refused: Refused,
}

/// A request in the making.
struct Message<'a> {
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    body: Cow<'a, [u8]>,
}

impl Http {
    /// A sender of a route that has not connected yet. `at_least_once` allows to send a second time when a kept
    /// connection turns out to be closed.
    ///
    /// # Errors
    /// A proxy or TLS setting that cannot be used.
    pub(crate) fn new(config: &HttpConfig, route: &str, at_least_once: bool) -> Result<Http> {
        let client =
            Client::new(&ClientSettings { connection: &config.connection, connections_max: WORKERS_MAX })?;
        Ok(Http {
            config: config.clone(),
            client,
            route: route.to_string(),
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

    fn deliver_one(&self, ce: &CloudEvent) -> Verdict {
        let access = match self.access() {
            Ok(access) => access,
            Err(error) => {
                let retry = Retry::Credentials { after: None, unsent: true };
                self.refused.note(fingerprint::<Arc<Access>>(Err(&error)));
                return failed(retry, "secret", format!("{}: {error}", access::shown(&self.config.address)));
            }
        };
        match self.message(ce) {
            Ok(message) => self.judge(&access, self.send(&access, &message)),
            Err(error) => {
                let text = format!("{} {}: {error}", self.config.method, access.shown);
                failed(Retry::Never, "template", text)
            }
        }
    }

    fn message<'a>(&'a self, ce: &'a CloudEvent) -> Result<Message<'a>> {
        let extensions = self.config.extensions.of(ce);
        let input = Input { ce, extensions: &extensions, route: &self.route };
        let mut headers = Vec::new();
        let (kind, body): (Option<&str>, Cow<'_, [u8]>) = match self.config.body {
            Body::Binary => {
                let own = cloudevents::binary_headers(ce, &extensions).into_iter();
                // The attributes live no longer than this call.
                headers =
                    own.map(|(name, value)| (name.into_owned().into(), value.into_owned().into())).collect();
                (None, (&ce.data[..]).into())
            }
            Body::Data => (ce.datacontenttype.as_deref(), (&ce.data[..]).into()),
            Body::Structured => {
                let mut body = Vec::with_capacity(ce.data.len() + 512);
                cloudevents::write_json_with(ce, &extensions, &mut body);
                (Some("application/cloudevents+json; charset=utf-8"), body.into())
            }
            Body::Template => {
                let mut body = Vec::new();
                self.config.template.iter().try_for_each(|template| template.fill(&input, &mut body))?;
                (Some("application/json"), body.into())
            }
        };
        headers.extend(
            self.config.content_type.as_deref().or(kind).map(|kind| ("content-type".into(), kind.into())),
        );
        for (name, text) in &self.config.headers {
            if let HeaderText::Template(template) = text {
                let mut value = Vec::new();
                template.fill(&input, &mut value)?;
                let value = String::from_utf8_lossy(&value).into_owned();
                headers.push((name.as_str().into(), value.into()));
            }
        }
        Ok(Message { headers, body })
    }

    fn send(&self, access: &Access, message: &Message<'_>) -> Answer {
        let own = message.headers.iter().map(|(name, value)| (&**name, &**value));
        let every = access.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<_> = own.chain(every).collect();
        self.client.send(&Request {
            method: self.config.method,
            url: &access.url,
            headers: &headers,
            body: &message.body,
            timeout: self.config.timeout,
            body_bytes_max: SINK_BODY_BYTES_MAX,
            repeat_if_stale: self.at_least_once,
            head_suffices: true,
        })
    }

    fn judge(&self, access: &Access, answer: Answer) -> Verdict {
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let text = access.without_secrets(&error.to_string());
                return failed(retry_of(&error), error.kind.reason(), text);
            }
        };
        let (rules, status) = (&self.config.rules, response.status);
        let after = answer::retry_after_of(&response);
        let retry = match rules.class(status) {
            Class::Delivered => return Verdict::delivered(),
            Class::Later => Retry::Later { after, unsent: false },
            // A token that has just been replaced.
            Class::Sender if status == 401 && self.is_renewed(access) => {
                Retry::Later { after: None, unsent: false }
            }
            Class::Sender => {
                self.refused.note(fingerprint(Ok::<_, Error>(access)));
                Retry::Sender { after }
            }
            Class::Never => Retry::Never,
        };
        let clean = |text: &str| access.without_secrets(text);
        let mut detail = answer::refusal_with(self.config.method, &access.shown, &response, &clean);
        if matches!(retry, Retry::Sender { .. }) {
            detail = format!("{detail}: {}", rules.cure(status));
        }
        failed(retry, answer::status_reason(status), detail)
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

    fn deliver_wait_max(&self) -> Duration {
        self.config.timeout
    }

    fn deliver(&self, batch: &[Delivery], verdicts: &mut Vec<Verdict>) {
        verdicts.extend(batch.iter().map(|delivery| self.deliver_one(&delivery.event.ce)));
    }

    fn deliver_aloud(&self, delivery: Delivery, lines: &mut Vec<String>) -> Option<Verdict> {
        let address = access::shown(&self.config.address);
        if let Ok(message) = self.message(&delivery.event.ce) {
            let headers = message.headers.iter().map(|(name, value)| format!("{name}: {value}"));
            lines.push(format!("{} {address}", self.config.method));
            lines.extend(headers);
            lines.push(String::from_utf8_lossy(&message.body).into_owned());
        }
        Some(self.deliver_one(&delivery.event.ce))
    }
}

#[cfg(test)]
mod tests;
