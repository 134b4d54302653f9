//! Calls to one vCenter: address, `SOAPAction`, cookie and deadlines.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::cookies::Cookies;
use super::fault::{CallError, refusal};
use super::soap::{self, Envelope};
use crate::error::Error;
use crate::http::client::{Client, Request, Response};
use crate::limits::{
    CUT_EVENT_BYTES_MAX, VCENTER_BODY_BYTES_MAX, VCENTER_CALL_WAIT_MAX, VCENTER_CLOSE_CALL_WAIT_MAX,
    VCENTER_QUICK_CALL_WAIT_MAX, VCENTER_SMALL_BODY_BYTES_MAX,
};
use crate::source::{SourceError, SourceFailure};
use crate::sync;
use crate::vim::tree::Node;

/// Whether a server of the API has ever answered at an address: then an answer that is none is an accident
/// that passes, and not a wrong address. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acquaintance(Arc<AtomicBool>);

/// One session's way to a vCenter. Threads may share it: each call takes a connection of its own.
pub(crate) struct Connection {
    client: Client,
    url: String,
    action: String,
    known: Acquaintance,
    // What was set last: the server may set the session's at the first call and change it at login.
    cookies: Mutex<Cookies>,
}

/// How a call is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallOptions {
    timeout: Duration,
    body_bytes_max: usize,
    /// Doing it twice does no harm.
    repeat: bool,
}

impl CallOptions {
    /// Asks or gives back something: may be repeated when a kept connection turns out to be dead.
    pub(crate) const QUICK: CallOptions = CallOptions {
        timeout: VCENTER_QUICK_CALL_WAIT_MAX,
        body_bytes_max: VCENTER_SMALL_BODY_BYTES_MAX,
        repeat: true,
    };
    /// Makes something, which a repetition would leave behind twice. Over a large database this
    /// can take long.
    pub(crate) const CREATE: CallOptions = CallOptions {
        timeout: VCENTER_CALL_WAIT_MAX,
        body_bytes_max: VCENTER_SMALL_BODY_BYTES_MAX,
        repeat: false,
    };
    /// Moves the cursor of a collector: a repetition would skip a page.
    pub(crate) const PAGE: CallOptions =
        CallOptions { timeout: VCENTER_CALL_WAIT_MAX, body_bytes_max: VCENTER_BODY_BYTES_MAX, repeat: false };
    /// Gives something back while closing: worth a short wait only.
    pub(crate) const CLOSE: CallOptions = CallOptions {
        timeout: VCENTER_CLOSE_CALL_WAIT_MAX,
        body_bytes_max: VCENTER_SMALL_BODY_BYTES_MAX,
        repeat: true,
    };

    /// A call that the server may hold back for `seconds`.
    pub(crate) fn long_poll(seconds: u32) -> CallOptions {
        CallOptions {
            timeout: Duration::from_secs(seconds.into()) + crate::limits::LONG_POLL_MARGIN,
            ..CallOptions::QUICK
        }
    }
}

impl Connection {
    /// A way to `url` that asks for API version `version` and has no session yet.
    pub(crate) fn new(client: &Client, url: &str, version: &str, known: &Acquaintance) -> Connection {
        Connection {
            client: client.clone(),
            url: url.to_string(),
            action: action(version),
            known: known.clone(),
            cookies: Mutex::default(),
        }
    }

    /// The same way, on which another version is spoken.
    pub(crate) fn with_version(self, version: &str) -> Connection {
        Connection { action: action(version), ..self }
    }

    /// Sends an envelope and returns the body of an HTTP 200, unread.
    pub(crate) fn send(&self, envelope: &Envelope, options: CallOptions) -> Result<Vec<u8>, CallError> {
        let cookie = sync::lock(&self.cookies).header();
        let mut headers =
            vec![("Content-Type", "text/xml; charset=\"utf-8\""), ("SOAPAction", self.action.as_str())];
        if let Some(cookie) = &cookie {
            headers.push(("Cookie", cookie));
        }
        let request = Request {
            method: "POST",
            url: &self.url,
            headers: &headers,
            body: &envelope.text,
            timeout: options.timeout,
            body_bytes_max: options.body_bytes_max,
            repeat_if_stale: options.repeat,
            head_suffices: false,
        };
        let response = self.client.send(&request)?;
        self.keep_cookies(&response);
        if response.truncated {
            let kept = if response.status == 200 { CUT_EVENT_BYTES_MAX } else { 0 };
            let begin = response.body[..kept.min(response.body.len())].to_vec();
            return Err(CallError::TooLarge(options.body_bytes_max, begin));
        }
        let encoded = encoded(&response);
        match (response.status, encoded) {
            (200, None) => Ok(response.body),
            (200, Some(encoded)) => Err(CallError::NotSoap(encoded)),
            (status, Some(encoded)) if !(300..400).contains(&status) => {
                Err(CallError::Status(status, encoded))
            }
            (status, _) => Err(refusal(status, response.header("location"), &response.body)),
        }
    }

    /// Sends an envelope and returns the body element of the answer.
    pub(crate) fn ask(&self, envelope: &Envelope, options: CallOptions) -> Result<Node, CallError> {
        let answer = soap::answer(&self.send(envelope, options)?, envelope.method)?;
        self.known.0.store(true, Ordering::Relaxed);
        Ok(answer)
    }

    /// Sends an envelope and takes the value out of the answer.
    pub(crate) fn get<T, E: Into<CallError>>(
        &self,
        envelope: &Envelope,
        options: CallOptions,
        value: impl FnOnce(&Node) -> Result<T, E>,
    ) -> Result<T, CallError> {
        value(&self.ask(envelope, options)?).map_err(Into::into)
    }

    /// The API version that the server names in `vimServiceVersions.xml`; none if it does not.
    pub(crate) fn service_version(&self) -> Result<Option<String>, CallError> {
        let url = format!("{}/vimServiceVersions.xml", self.url.trim_end_matches('/'));
        let cookie = sync::lock(&self.cookies).header();
        let headers: Vec<(&str, &str)> = cookie.iter().map(|cookie| ("Cookie", cookie.as_str())).collect();
        let request = Request {
            method: "GET",
            url: &url,
            headers: &headers,
            body: &[],
            timeout: VCENTER_QUICK_CALL_WAIT_MAX,
            body_bytes_max: VCENTER_SMALL_BODY_BYTES_MAX,
            repeat_if_stale: true,
            head_suffices: false,
        };
        let response = self.client.send(&request)?;
        self.keep_cookies(&response);
        Ok(if response.status == 200 { soap::service_version(&response.body) } else { None })
    }

    /// What a failed call means for the source. A failed transport names the address itself.
    pub(crate) fn source_error(&self, intent: impl Display, error: &CallError) -> SourceError {
        let said = self.explain(error);
        let text = match error {
            CallError::Transport(_) | CallError::Unusable(_) => format!("{intent}: {said}"),
            _ => format!("{intent} at {}: {said}", self.url),
        };
        let failure = if self.is_accident(error) { SourceFailure::Lost } else { error.failure() };
        SourceError { failure, error: Error::new(text) }
    }

    /// What a failed call means, in words.
    pub(crate) fn explain(&self, error: &CallError) -> String {
        match error {
            CallError::NotSoap(said) if self.is_accident(error) => {
                format!("it answered with {said}; vCenter is starting, or something in front of it answered")
            }
            _ => error.to_string(),
        }
    }

    /// Whether this is an answer that is none of a server that has answered before.
    pub(crate) fn is_accident(&self, error: &CallError) -> bool {
        let odd = matches!(error, CallError::NotSoap(_) | CallError::Redirect(_));
        odd && self.known.0.load(Ordering::Relaxed)
    }

    fn keep_cookies(&self, response: &Response) {
        let mut cookies = sync::lock(&self.cookies);
        let now = Timestamp::now();
        response.header_all("set-cookie").for_each(|value| cookies.take(value, now));
    }
}

fn action(version: &str) -> String {
    format!("urn:vim25/{version}")
}

/// How the body of an answer is encoded, if that keeps it from being read: nothing but plain text was asked
/// for.
fn encoded(response: &Response) -> Option<String> {
    let encoding = response.header("content-encoding").map(str::trim).unwrap_or_default();
    if matches!(encoding.to_ascii_lowercase().as_str(), "" | "identity") {
        return None;
    }
    // Some servers say so and do not do it.
    soap::not_xml(&response.body)?;
    Some(format!("data compressed by {}, which was not asked for", soap::shorten(encoding)))
}
