//! Calls to one vCenter: address, `SOAPAction`, cookie and deadlines, and what a failed call means.

use std::fmt::Display;
use std::sync::Mutex;
use std::time::Duration;

use super::soap::{self, AnswerError, Fault};
use crate::error::{Error, Result};
use crate::http::client::{Client, Request, Response, SendError, SendErrorKind};
use crate::limits::{
    CUT_EVENT_BYTES_MAX, VCENTER_BODY_BYTES_MAX, VCENTER_CALL_WAIT_MAX, VCENTER_CLOSE_CALL_WAIT_MAX,
    VCENTER_QUICK_CALL_WAIT_MAX, VCENTER_SMALL_BODY_BYTES_MAX,
};
use crate::source::{SourceError, SourceFailure};
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

/// Why a call gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The server refused it.
    Fault(Fault),
    /// An HTTP status other than that of an answer or a fault, and what came with it.
    Status(u16, String),
    /// A redirection to another address.
    Redirect(String),
    /// The peer speaks, but not SOAP.
    NotSoap(String),
    /// The answer breaks off or lacks what it must have.
    Garbled(Error),
    /// The answer is larger than so many bytes; how it begins, if it is one.
    TooLarge(usize, Vec<u8>),
    /// Connection, TLS, deadline.
    Transport(Error),
    /// The address cannot be used.
    Unusable(Error),
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

/// What an HTTP status other than 200 means. A fault comes as 500 with a SOAP body.
fn refusal(status: u16, location: Option<&str>, body: &[u8]) -> CallError {
    if (300..400).contains(&status) {
        return CallError::Redirect(soap::shorten(location.unwrap_or("nowhere")));
    }
    match soap::answer(body) {
        Err(AnswerError::Fault(fault)) => CallError::Fault(fault),
        Err(AnswerError::NotSoap(said)) => CallError::Status(status, said),
        _ => CallError::Status(status, "no SOAP fault".into()),
    }
}

impl From<SendError> for CallError {
    fn from(error: SendError) -> CallError {
        match error.kind {
            SendErrorKind::Request => CallError::Unusable(error.error),
            _ => CallError::Transport(error.error),
        }
    }
}

impl From<AnswerError> for CallError {
    fn from(error: AnswerError) -> CallError {
        match error {
            AnswerError::Fault(fault) => CallError::Fault(fault),
            AnswerError::NotSoap(said) => CallError::NotSoap(said),
            AnswerError::Garbled(error) => CallError::Garbled(error),
        }
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> CallError {
        CallError::Garbled(error)
    }
}

impl CallError {
    /// Whether the fault is of this type.
    pub(crate) fn is_fault(&self, ty: &str) -> bool {
        matches!(self, CallError::Fault(fault) if fault.ty == ty)
    }

    /// The server does not do this for us, and will not next time.
    pub(crate) fn is_refusal(&self) -> bool {
        self.failure() == SourceFailure::Misconfigured
    }

    /// The session is certainly gone, or nothing can be said to the server: giving back more is
    /// pointless.
    pub(crate) fn ends_session(&self) -> bool {
        self.is_fault("NotAuthenticated") || !matches!(self, CallError::Fault(_))
    }

    /// How to go on after this.
    pub(crate) fn failure(&self) -> SourceFailure {
        match self {
            CallError::Fault(fault) => fault_failure(&fault.ty),
            CallError::Redirect(_) | CallError::NotSoap(_) | CallError::Unusable(_) => {
                SourceFailure::Misconfigured
            }
            CallError::Status(..)
            | CallError::Garbled(_)
            | CallError::TooLarge(..)
            | CallError::Transport(_) => SourceFailure::Lost,
        }
    }
}

/// The types that stand here are decided by contract; what is unknown is taken as passing.
fn fault_failure(ty: &str) -> SourceFailure {
    match ty {
        "InvalidLogin" => SourceFailure::LoginRefused,
        "NoPermission" | "InvalidRequest" | "MethodNotFound" | "NotSupported" | "NotImplemented"
        | "InvalidArgument" | "InvalidLocale" | "NotEnoughLicenses" | "RestrictedVersion" => {
            SourceFailure::Misconfigured
        }
        _ => SourceFailure::Lost,
    }
}

impl Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CallError::Fault(fault) => {
                write!(f, "{fault}")?;
                fault_cure(&fault.ty).map_or(Ok(()), |cure| write!(f, "; {cure}"))
            }
            CallError::Status(status @ (401 | 403), said) => {
                write!(f, "HTTP {status} with {said}; something in front of vCenter refuses the request")
            }
            CallError::Status(status @ 500.., said) => {
                write!(f, "HTTP {status} with {said}; vCenter or its proxy is not ready")
            }
            CallError::Status(status, said) => {
                write!(f, "HTTP {status} with {said}; this is no vCenter, or it is still starting")
            }
            CallError::Redirect(to) => {
                write!(
                    f,
                    "the server redirects to {to}; set the source's address to where vCenter itself answers"
                )
            }
            CallError::NotSoap(said) => {
                write!(
                    f,
                    "not a vCenter: it answered with {said}; the address must be that of a vCenter, https://HOST/sdk"
                )
            }
            CallError::Garbled(error) => write!(f, "the answer cannot be read: {error}"),
            CallError::TooLarge(bytes, _) => write!(f, "the answer is larger than {} MiB", bytes >> 20),
            CallError::Transport(error) | CallError::Unusable(error) => write!(f, "{error}"),
        }
    }
}

/// What to do about a fault, where that is not "wait".
fn fault_cure(ty: &str) -> Option<&'static str> {
    Some(match ty {
        "InvalidLogin" => {
            "check username and password of the source, and whether the account is locked or its password expired"
        }
        "NoPermission" => {
            "give the account a role with System.View and System.Read on the root folder, propagated to its children"
        }
        "NotAuthenticated" => "the session is gone",
        "ManagedObjectNotFound" => "the collector is gone, and probably the session with it",
        "InvalidRequest" | "MethodNotFound" | "NotSupported" | "NotImplemented" => {
            "the server lacks what every vCenter since 6.0 has; is the address that of a vCenter and not of a host?"
        }
        _ => return None,
    })
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

    #[test]
    fn faults_and_statuses_say_how_to_go_on() {
        let fault = |ty: &str| {
            let body = format!(
                r#"<s:Envelope xmlns:s="x" xmlns:i="y"><s:Body><s:Fault><faultcode>ServerFaultCode</faultcode>
                <faultstring>Gesperrt.</faultstring><detail><XFault i:type="vim25:{ty}"/></detail></s:Fault></s:Body></s:Envelope>"#
            );
            refusal(500, None, body.as_bytes())
        };
        use SourceFailure::{LoginRefused, Lost, Misconfigured};
        for (error, failure) in [
            (fault("NotAuthenticated"), Lost),
            (fault("ManagedObjectNotFound"), Lost),
            (fault("InvalidState"), Lost),
            (fault("RequestCanceled"), Lost),
            (fault("SystemError"), Lost),
            (fault("FaultOfTheFuture"), Lost),
            (fault("InvalidLogin"), LoginRefused),
            (fault("NoPermission"), Misconfigured),
            (fault("InvalidRequest"), Misconfigured),
            (fault("MethodNotFound"), Misconfigured),
            (refusal(401, None, b""), Lost),
            (refusal(403, None, b"<html>no</html>"), Lost),
            (refusal(503, None, b"Failed to connect to endpoint"), Lost),
            (refusal(404, None, b"<html><title>404</title></html>"), Lost),
            (refusal(500, None, b"<soap"), Lost),
            (refusal(301, Some("https://vc/ui"), b""), Misconfigured),
            (CallError::NotSoap("an HTML page".into()), Misconfigured),
        ] {
            assert_eq!(error.failure(), failure, "{error}");
        }
        assert_eq!(
            fault("InvalidState").to_string(),
            "InvalidState \"Gesperrt.\"",
            "the type decides, the localised text is shown"
        );
        assert!(
            refusal(503, None, b"Failed to connect")
                .to_string()
                .starts_with("HTTP 503 with the text \"Failed")
        );
    }
}
