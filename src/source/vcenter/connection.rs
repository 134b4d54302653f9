//! Calls to one vCenter: address, `SOAPAction`, cookie and deadlines.

use std::fmt::Display;
use std::sync::Mutex;
use std::time::Duration;

use super::fault::{CallError, refusal};
use super::soap;
use crate::error::Error;
use crate::http::client::{Client, Request, Response};
use crate::limits::{
    CUT_EVENT_BYTES_MAX, VCENTER_BODY_BYTES_MAX, VCENTER_CALL_WAIT_MAX, VCENTER_CLOSE_CALL_WAIT_MAX,
    VCENTER_QUICK_CALL_WAIT_MAX, VCENTER_SMALL_BODY_BYTES_MAX,
};
use crate::source::SourceError;
use crate::vim::tree::Node;

/// The cookie that carries a session of the SOAP API.
const SESSION_COOKIE: &str = "vmware_soap_session";

/// One session's way to a vCenter. Threads may share it: each call takes a connection of its own.
pub(crate) struct Connection {
    client: Client,
    url: String,
    action: String,
    // The latest value: the server may set it at the first call and change it at login.
    cookie: Mutex<Option<String>>,
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
    pub(crate) fn new(client: &Client, url: &str, version: &str) -> Connection {
        Connection {
            client: client.clone(),
            url: url.to_string(),
            action: format!("urn:vim25/{version}"),
            cookie: Mutex::new(None),
        }
    }

    /// Sends an envelope and returns the body of an HTTP 200, unread.
    pub(crate) fn send(&self, envelope: &[u8], options: CallOptions) -> Result<Vec<u8>, CallError> {
        let cookie = self.cookie();
        let mut headers =
            vec![("Content-Type", "text/xml; charset=\"utf-8\""), ("SOAPAction", self.action.as_str())];
        if let Some(cookie) = &cookie {
            headers.push(("Cookie", cookie));
        }
        let request = Request {
            method: "POST",
            url: &self.url,
            headers: &headers,
            body: envelope,
            timeout: options.timeout,
            body_bytes_max: options.body_bytes_max,
            repeat_if_stale: options.repeat,
            head_suffices: false,
        };
        let response = self.client.send(&request)?;
        self.keep_cookie(&response);
        if response.truncated {
            let kept = if response.status == 200 { CUT_EVENT_BYTES_MAX } else { 0 };
            let begin = response.body[..kept.min(response.body.len())].to_vec();
            return Err(CallError::TooLarge(options.body_bytes_max, begin));
        }
        if response.status == 200 {
            return Ok(response.body);
        }
        Err(refusal(response.status, response.header("location"), &response.body))
    }

    /// Sends an envelope and returns the body element of the answer.
    pub(crate) fn ask(&self, envelope: &[u8], options: CallOptions) -> Result<Node, CallError> {
        soap::answer(&self.send(envelope, options)?).map_err(CallError::from)
    }

    /// Sends an envelope and takes the value out of the answer.
    pub(crate) fn get<T, E: Into<CallError>>(
        &self,
        envelope: &[u8],
        options: CallOptions,
        value: impl FnOnce(&Node) -> Result<T, E>,
    ) -> Result<T, CallError> {
        value(&self.ask(envelope, options)?).map_err(Into::into)
    }

    /// The API version that the server names in `vimServiceVersions.xml`; none if it does not.
    pub(crate) fn service_version(&self) -> Result<Option<String>, CallError> {
        let url = format!("{}/vimServiceVersions.xml", self.url.trim_end_matches('/'));
        let request = Request {
            method: "GET",
            url: &url,
            headers: &[],
            body: &[],
            timeout: VCENTER_QUICK_CALL_WAIT_MAX,
            body_bytes_max: VCENTER_SMALL_BODY_BYTES_MAX,
            repeat_if_stale: true,
            head_suffices: false,
        };
        let response = self.client.send(&request)?;
        Ok(if response.status == 200 { soap::service_version(&response.body) } else { None })
    }

    /// What a failed call means for the source. A failed transport names the address itself.
    pub(crate) fn source_error(&self, intent: impl Display, error: &CallError) -> SourceError {
        let text = match error {
            CallError::Transport(_) | CallError::Unusable(_) => format!("{intent}: {error}"),
            _ => format!("{intent} at {}: {error}", self.url),
        };
        SourceError { failure: error.failure(), error: Error::new(text) }
    }

    fn cookie(&self) -> Option<String> {
        self.cookie.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn keep_cookie(&self, response: &Response) {
        for value in response.header_all("set-cookie") {
            if let Some(cookie) = session_cookie(value) {
                *self.cookie.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(cookie);
            }
        }
    }
}

/// `name=value` to send back, if a `Set-Cookie` is that of the session. Attributes are ignored:
/// `Secure` must not keep the cookie from an `http://` server that set it.
fn session_cookie(set_cookie: &str) -> Option<String> {
    let (name, value) = set_cookie.split(';').next()?.split_once('=')?;
    let value = value.trim().trim_matches('"');
    let usable = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    (name.trim() == SESSION_COOKIE && usable).then(|| format!("{SESSION_COOKIE}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_cookie_is_found_in_every_spelling() {
        for (header, cookie) in [
            ("vmware_soap_session=abc; Path=/; HttpOnly", Some("vmware_soap_session=abc")),
            ("vmware_soap_session=\"52-ab\";Path=/;HttpOnly;Secure", Some("vmware_soap_session=52-ab")),
            (" vmware_soap_session = abc ", Some("vmware_soap_session=abc")),
            ("vmware_soap_session=; Path=/", None),
            ("other=abc", None),
            ("vmware_soap_session", None),
            ("vmware_soap_session=a b", None),
        ] {
            assert_eq!(session_cookie(header).as_deref(), cookie, "{header}");
        }
    }
}
