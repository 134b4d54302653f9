//! The calls to a gateway: the listing of its functions, and an invocation.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::settings::OpenfaasConfig;
use super::topics::{Builder, TopicMap, parse_namespaces};
use crate::config::sections::SinkAuth;
use crate::error::{Context, Error, Result};
use crate::fingerprint::{Refused, fingerprint};
use crate::http::answer::{self, StatusClass};
use crate::http::client::{Client, ClientSettings, Request, Response, SendError, url_text};
use crate::limits::{LISTING_BODY_BYTES_MAX, LISTING_CALL_WAIT_MAX, SINK_BODY_BYTES_MAX, WORKERS_MAX};
use crate::processor::{Failure, Retry, retry_of};

/// What functions see as the origin of an event.
const CONNECTOR: &str = "event-router";

/// One gateway, as the configuration describes it.
#[derive(Debug)]
pub(crate) struct Gateway {
    client: Client,
    address: String,
    auth: SinkAuth,
    asynchronous: bool,
    timeout: Duration,
    content_type: Option<String>,
    callback_url: Option<String>,
    at_least_once: bool,
    refused: Refused,
}

/// Why a listing failed.
#[derive(Debug)]
pub(crate) struct ListingError {
    /// A short word that stays the same while the cause does.
    pub(crate) reason: &'static str,
    /// For the operator.
    pub(crate) error: Error,
}

/// What a function answered, or why it did not.
#[derive(Debug)]
pub(crate) struct Answer {
    result: std::result::Result<Response, SendError>,
    /// How long it took.
    duration: Duration,
}

impl Answer {
    /// `status 200 in 0.012 s, call 7b5e...: done`, or the failure.
    pub(crate) fn text(&self) -> String {
        let seconds = self.duration.as_secs_f64();
        let response = match &self.result {
            Ok(response) => response,
            Err(error) => return format!("{error} in {seconds:.3} s"),
        };
        let call = response
            .header("x-call-id")
            .map_or_else(String::new, |call| format!(", call {}", answer::excerpt(call.as_bytes())));
        let excerpt = answer::excerpt(&response.body);
        let separator = if excerpt.is_empty() { "" } else { ": " };
        format!("status {} in {seconds:.3} s{call}{separator}{excerpt}", response.status)
    }
}

impl Gateway {
    /// A gateway that was not called yet. `at_least_once` allows to send a second time when a kept
    /// connection turns out to be closed.
    ///
    /// # Errors
    /// A proxy or TLS setting that cannot be used.
    pub(crate) fn new(config: &OpenfaasConfig, at_least_once: bool) -> Result<Gateway> {
        let settings = ClientSettings { connection: &config.connection, connections_max: WORKERS_MAX };
        Ok(Gateway {
            client: Client::new(&settings)?,
            address: config.address.trim_end_matches('/').to_string(),
            auth: config.auth.clone(),
            asynchronous: config.asynchronous,
            timeout: config.timeout,
            content_type: config.content_type.clone(),
            callback_url: config.callback_url.clone(),
            at_least_once,
            refused: Refused::default(),
        })
    }

    /// The address for messages.
    pub(crate) fn text(&self) -> String {
        url_text(&self.address)
    }

    /// Deadline of one invocation.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks for all functions of all namespaces. `stopped` is asked between the calls.
    ///
    /// # Errors
    /// When any part of the answer is missing: half a map would hide subscribers.
    pub(crate) fn list(&self, stopped: &dyn Fn() -> bool) -> std::result::Result<TopicMap, ListingError> {
        let auth = self.authorization();
        let used = fingerprint(auth.as_ref());
        let auth = auth.map_err(|error| ListingError { reason: "credentials", error });
        let listed = auth.and_then(|auth| self.list_with(auth.as_deref(), stopped));
        if listed.as_ref().is_err_and(|error| matches!(error.reason, "credentials" | "401" | "403")) {
            self.refused.note(used);
        }
        listed
    }

    /// Counts how often others than refused credentials were to be had.
    pub(crate) fn credential_changes(&self) -> u64 {
        self.refused.changes(|| fingerprint(self.authorization()))
    }

    fn list_with(
        &self,
        auth: Option<&str>,
        stopped: &dyn Fn() -> bool,
    ) -> std::result::Result<TopicMap, ListingError> {
        let mut builder = Builder::default();
        let namespaces = self.namespaces(auth)?;
        if namespaces.is_empty() {
            let url = format!("{}/system/functions", self.address);
            let response = self.get(&url, auth)?;
            self.take(&mut builder, None, &url, &response)?;
            return Ok(builder.finish());
        }
        let mut served = 0;
        for namespace in &namespaces {
            if stopped() {
                return Err(ListingError { reason: "stopped", error: Error::new("stopped") });
            }
            let url = format!("{}/system/functions?namespace={namespace}", self.address);
            let response = self.get(&url, auth)?;
            // The Community Edition serves one namespace and refuses others with 400. A namespace
            // that was removed since it was named is missing.
            if matches!(response.status, 400 | 404) {
                builder.anomalies(format!(
                    "namespace {namespace} is not served: {}",
                    answer::summary(&response)
                ));
                continue;
            }
            served += 1;
            self.take(&mut builder, Some(namespace), &url, &response)?;
        }
        if served == 0 {
            let error = Error::new(format!(
                "GET {}/system/functions: none of the gateway's own namespaces is served: {}",
                self.text(),
                builder.finish().anomalies().join("; ")
            ));
            return Err(ListingError { reason: "namespaces", error });
        }
        Ok(builder.finish())
    }

    /// Invokes one function with the JSON of an event.
    pub(crate) fn invoke(&self, target: &str, topic: &str, body: &[u8]) -> Answer {
        let url = self.function_url(target);
        let mut headers = vec![("x-connector", CONNECTOR)];
        // The body names the topic too: a header is no reason to refuse a strange one.
        if topic.bytes().all(|byte| byte.is_ascii_graphic()) {
            headers.push(("x-topic", topic));
        }
        // Without a content type the templates hand the body to a function as it is; with one they
        // parse it. Functions of the Go router know only the former.
        headers.extend(self.content_type.as_deref().map(|value| ("content-type", value)));
        headers.extend(self.callback_url.as_deref().map(|value| ("x-callback-url", value)));
        let started = Instant::now();
        let result = self.client.send(&Request {
            method: "POST",
            url: &url,
            headers: &headers,
            body,
            timeout: self.timeout,
            body_bytes_max: SINK_BODY_BYTES_MAX,
            repeat_if_stale: self.at_least_once,
            head_suffices: true,
        });
        Answer { result, duration: started.elapsed() }
    }

    /// What an answer means: nothing if the function took the event.
    pub(crate) fn judge(&self, target: &str, answer: &Answer) -> Option<Failure> {
        let failed =
            |retry, reason, detail| Some(Failure { target: target.to_string(), retry, reason, detail });
        let response = match &answer.result {
            Ok(response) => response,
            Err(error) => return failed(retry_of(error), error.kind.reason(), error.to_string()),
        };
        let status = answer::status_of(response);
        let mut retry = retry_of_status(status)?;
        let mut detail = answer::refusal("POST", &self.function_url(target), response);
        match &mut retry {
            Retry::Later { after, .. } => *after = answer::retry_after_of(response),
            Retry::Sender { after } => {
                *after = answer::retry_after_of(response);
                detail = format!("{detail}: {}", answer::sender_cure(status));
            }
            _ => {}
        }
        if self.asynchronous && response.status == 404 {
            detail.push_str(" (async = true needs a gateway with a queue)");
        }
        if let Some(call) = response.header("x-call-id") {
            detail.push_str(&format!(" (call {})", answer::excerpt(call.as_bytes())));
        }
        failed(retry, answer::status_reason(response.status), detail)
    }

    fn function_url(&self, target: &str) -> String {
        let route = if self.asynchronous { "async-function" } else { "function" };
        format!("{}/{route}/{target}", self.address)
    }

    /// Older providers have no namespaces: 404, or nothing in the answer.
    fn namespaces(&self, auth: Option<&str>) -> std::result::Result<Vec<String>, ListingError> {
        let url = format!("{}/system/namespaces", self.address);
        let response = self.get(&url, auth)?;
        if response.status == 404 {
            return Ok(Vec::new());
        }
        accept(&url, &response)?;
        parse_namespaces(&response.body).map_err(|error| not_understood(&url, error))
    }

    fn take(
        &self,
        builder: &mut Builder,
        namespace: Option<&str>,
        url: &str,
        response: &Response,
    ) -> std::result::Result<(), ListingError> {
        accept(url, response)?;
        builder.add_functions(namespace, &response.body).map_err(|error| not_understood(url, error))
    }

    fn get(&self, url: &str, auth: Option<&str>) -> std::result::Result<Response, ListingError> {
        let headers: Vec<(&str, &str)> = auth.map(|value| ("authorization", value)).into_iter().collect();
        let request = Request {
            method: "GET",
            url,
            headers: &headers,
            body: b"",
            timeout: LISTING_CALL_WAIT_MAX,
            body_bytes_max: LISTING_BODY_BYTES_MAX,
            repeat_if_stale: true,
            head_suffices: false,
        };
        self.client
            .send(&request)
            .map_err(|error| ListingError { reason: error.kind.reason(), error: error.error })
    }

    /// The value of `Authorization`, with the secrets as they are now.
    fn authorization(&self) -> Result<Option<String>> {
        Ok(match &self.auth {
            SinkAuth::None => None,
            SinkAuth::Basic { username, password } => {
                let username = username.read().context(|| "username of the gateway")?;
                let password = password.read().context(|| "password of the gateway")?;
                Some(format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
            }
            SinkAuth::Bearer(token) => {
                let token = token.read().context(|| "token of the gateway")?;
                Some(format!("Bearer {}", token.trim()))
            }
        })
    }
}

/// Whether to send again, by the common table: nothing for a success. 501 is final as it was for the Go
/// router, for what is not implemented will not be in a minute.
pub(crate) fn retry_of_status(status: u16) -> Option<Retry> {
    match (answer::class_of(status), status) {
        (StatusClass::Accepted, _) => None,
        (StatusClass::Event, _) => Some(Retry::Never),
        (StatusClass::Sender, _) => Some(Retry::Sender { after: None }),
        (_, 408 | 425 | 429) => Some(Retry::Later { after: None, unsent: false }),
        (_, 100..=499 | 501) => Some(Retry::Never),
        _ => Some(Retry::Later { after: None, unsent: false }),
    }
}

/// Nothing but a whole 200 is a listing.
fn accept(url: &str, response: &Response) -> std::result::Result<(), ListingError> {
    let refused = |hint: &str| {
        let text = format!("{}{hint}", answer::refusal("GET", url, response));
        Err(ListingError { reason: answer::status_reason(response.status), error: Error::new(text) })
    };
    match response.status {
        200..=299 if !response.truncated => Ok(()),
        200..=299 => {
            let text =
                format!("GET {}: the answer is longer than {LISTING_BODY_BYTES_MAX} bytes", url_text(url));
            Err(ListingError { reason: "size", error: Error::new(text) })
        }
        401 | 403 => refused("; the gateway rejected the credentials: check username and password, or token"),
        300..=399 | 404 => refused("; check that address is the one of an OpenFaaS gateway"),
        status if answer::class_of(status) == StatusClass::Sender => {
            refused(&format!("; {}", answer::sender_cure(status)))
        }
        _ => refused(""),
    }
}

fn not_understood(url: &str, error: Error) -> ListingError {
    let error = error.context(format!("GET {}", url_text(url)));
    let error = Error::new(format!("{error}; check that address is the one of an OpenFaaS gateway"));
    ListingError { reason: "answer", error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status() {
        for status in 0..=u16::MAX {
            let expected = match status {
                200..300 => None,
                408 | 425 | 429 | 300..400 | 401..=403 | 405..=407 | 421 | 426 => Some(true),
                100..=499 | 501 => Some(false),
                _ => Some(true),
            };
            let again = retry_of_status(status).map(|retry| retry != Retry::Never);
            assert_eq!(again, expected, "{status}");
        }
    }
}
