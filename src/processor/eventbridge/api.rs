//! Signed calls of EventBridge: `POST /`, AWS JSON 1.1. A call that AWS refuses for its credentials or
//! its clock is made once more with fresh ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::failure::{Class, classify_request};
use crate::aws::clock::{AwsClock, time_of_signing};
use crate::aws::credentials::Store;
use crate::aws::keys::Credentials;
use crate::aws::refusal::code_and_message;
use crate::aws::sign::{Scope, signed_headers};
use crate::error::Result;
use crate::http::answer::{self, StatusClass, class_of, sender_cure};
use crate::http::client::{Client, Request, Response, SendErrorKind, url_text};
use crate::limits::LISTING_BODY_BYTES_MAX;
use crate::observe::logger::Logger;

/// Calls EventBridge in one region.
pub(crate) struct Api {
    /// Who speaks in the log.
    pub(crate) logger: Logger,
    /// Reaches the endpoint.
    pub(crate) client: Client,
    pub(crate) url: String,
    /// The region that requests are signed for.
    pub(crate) region: String,
    /// Signs them.
    pub(crate) credentials: Store,
    /// Deadline of one call, repetitions included.
    pub(crate) timeout: Duration,
    /// Whether a request may be sent again when a kept connection turns out to be closed.
    pub(crate) repeat_if_stale: bool,
    /// Signs with the time of AWS.
    pub(crate) clock: Arc<AwsClock>,
}

/// Why a call has no result.
#[derive(Clone, Debug)]
pub(crate) struct AwsError {
    /// What to do about it.
    pub(crate) class: Class,
    /// A bounded word for metrics.
    pub(crate) reason: &'static str,
    /// What was tried, on what, and what came back.
    pub(crate) text: String,
    /// Certainly nothing was processed.
    pub(crate) unsent: bool,
    /// What `Retry-After` asks for.
    pub(crate) after: Option<Duration>,
}

impl AwsError {
    fn new(class: Class, reason: &'static str, text: String) -> AwsError {
        AwsError { class, reason, text, unsent: false, after: None }
    }
}

impl Api {
    /// Calls an operation, such as `PutEvents`, and gives the body of its 200 by `deadline`.
    ///
    /// # Errors
    /// No answer, or any other status.
    pub(crate) fn call(
        &self,
        operation: &'static str,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, AwsError> {
        let mut credentials = self.keys(self.credentials.current())?;
        let (mut renewed, mut corrected) = (false, false);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let skew = self.clock.skew();
            let answer = self.send(operation, &credentials, body, skew, left)?;
            if answer.status == 200 {
                return Ok(answer.body);
            }
            let error = self.refusal(operation, &answer);
            if matches!(error.class, Class::Credentials | Class::Denied) {
                self.credentials.refused(&credentials);
            }
            match error.class {
                Class::Credentials if !renewed => {
                    renewed = true;
                    let fresh = self.keys(self.credentials.renew(&credentials))?;
                    if fresh == credentials {
                        return Err(error);
                    }
                    credentials = fresh;
                }
                Class::Skew if !corrected && self.clock.correct(&answer, skew) => corrected = true,
                _ => return Err(error),
            }
        }
    }

    fn keys<T>(&self, keys: Result<T>) -> Result<T, AwsError> {
        keys.map_err(|error| AwsError {
            unsent: true,
            ..AwsError::new(Class::Credentials, "credentials", error.to_string())
        })
    }

    fn send(
        &self,
        operation: &'static str,
        credentials: &Credentials,
        body: &[u8],
        skew: i64,
        timeout: Duration,
    ) -> Result<Response, AwsError> {
        let target = format!("AWSEvents.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let scope = Scope { service: "events", region: &self.region, time: time_of_signing(skew) };
        let intent = || format!("{operation} at {}", url_text(&self.url));
        let signed = signed_headers(credentials, scope, &self.url, &headers, body).map_err(|error| {
            AwsError::new(Class::Denied, "credentials", error.context(intent()).to_string())
        })?;
        let signed: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (&**name, &**value)).collect();
        let request = Request {
            method: "POST",
            url: &self.url,
            headers: &[&headers[..], &signed].concat(),
            body,
            timeout,
            body_bytes_max: LISTING_BODY_BYTES_MAX,
            repeat_if_stale: self.repeat_if_stale,
            head_suffices: false,
        };
        self.client.send(&request).map_err(|error| {
            let class = if error.kind == SendErrorKind::Request { Class::Denied } else { Class::Later };
            let text = format!("{operation}: {error}");
            AwsError { unsent: error.unsent, ..AwsError::new(class, error.kind.reason(), text) }
        })
    }

    fn refusal(&self, operation: &str, answer: &Response) -> AwsError {
        let (code, message) = code_and_message(answer.header("x-amzn-errortype"), &answer.body);
        let (class, reason) = classify_request(answer.status, &code, &message);
        let said = match code.as_str() {
            "" => answer::summary(answer),
            code => format!("{code}: {} (status {})", answer::excerpt(message.as_bytes()), answer.status),
        };
        let cure = cure(class, &code, answer.status);
        let separator = if cure.is_empty() { "" } else { "; " };
        let text = format!("{operation} at {}: {said}{separator}{cure}", url_text(&self.url));
        AwsError { after: answer::retry_after_of(answer), ..AwsError::new(class, reason, text) }
    }
}

/// What to do about what AWS refuses.
fn cure(class: Class, code: &str, status: u16) -> &'static str {
    match (class, code) {
        (Class::Credentials, "ExpiredToken" | "ExpiredTokenException") => {
            "the session token has ended: provide a new one"
        }
        (Class::Credentials, _) => "does the access key exist, in this partition of AWS?",
        (Class::Denied, "InvalidSignatureException" | "SignatureDoesNotMatch") => {
            "is secret_access_key right, and the region?"
        }
        (Class::Denied, "AccessDenied" | "AccessDeniedException") => "allow it in IAM",
        (Class::Denied, "ResourceNotFoundException") => "is the name of the bus right, and the region?",
        (Class::Denied, "") if class_of(status) == StatusClass::Sender => sender_cure(status),
        (Class::Denied, "") => "is this an endpoint of EventBridge?",
        (Class::Denied, _) if class_of(status) == StatusClass::Sender => sender_cure(status),
        (Class::Skew, _) => "is this machine's clock right?",
        _ => "",
    }
}
