//! Outbound HTTP: the only place that builds an agent of ureq, with every option set here, because
//! its defaults wait for ever, follow redirects, take proxies from the environment and hide the body
//! of a refusal.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::config::AutoHeaderValue;
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::connect::Dialer;
use super::endpoint::{ConnectError, Stage};
use super::proxy::Proxy;
use super::tls::Tls;
use super::wire::WireError;
use crate::config::ConnectionConfig;
use crate::error::{Error, Result, io_text};
use crate::limits::{
    CONNECT_WAIT_MAX, CONNECTION_IDLE_MAX, HTTP_HEAD_BYTES_MAX, HTTP_OUTPUT_BYTES, VERDICT_BODY_WAIT_MAX,
};

/// What `User-Agent` says where a request does not.
const USER_AGENT: &str = concat!("event-router/", env!("CARGO_PKG_VERSION"));

/// Sends requests to one endpoint over kept connections. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    dialer: Dialer,
}

/// What a client is made of.
#[derive(Debug)]
pub struct ClientSettings<'a> {
    /// Proxy and TLS.
    pub connection: &'a ConnectionConfig,
    /// Idle connections that are kept for one host.
    pub connections_max: usize,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST` and so on.
    pub method: &'static str,
    /// Absolute `http` or `https` URL without user information.
    pub url: &'a str,
    /// Headers beside `Host`, `Content-Length` and `User-Agent`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; may be empty.
    pub body: &'a [u8],
    /// For the whole exchange: connect, send, and the answer to its last byte.
    pub timeout: Duration,
    /// Bytes of the answer's body that are read at most.
    pub body_bytes_max: usize,
    /// Whether to send once more, on a fresh connection, when a kept one turns out to be closed
    /// before any byte of an answer came. The peer may then see the request twice: right for reads
    /// and for at-least-once delivery only.
    pub repeat_if_stale: bool,
    /// Whether the head of an answer says all: then its body is only read to say more to a person and
    /// to keep the connection, for a short time, and is empty when it does not come.
    pub head_suffices: bool,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, at most as long as asked for.
    pub body: Vec<u8>,
    /// There was more body than asked for.
    pub(crate) truncated: bool,
    headers: HeaderMap,
}

impl Response {
    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All values of a header that are text, such as those of `Set-Cookie`.
    pub(crate) fn header_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub struct SendError {
    pub(crate) kind: SendErrorKind,
    /// Certainly no byte of the request was processed.
    pub(crate) unsent: bool,
    /// For the operator: request, cause, and what to do. Holds no user information and no query.
    pub(crate) error: Error,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for SendError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendErrorKind {
    /// The host's name has no address.
    Resolve,
    /// No address accepts a connection.
    Connect,
    /// The proxy does not open a tunnel.
    Proxy,
    /// The TLS handshake failed, or the certificate was refused.
    Tls,
    /// A deadline passed, while connecting (then `unsent`) or later.
    Timeout,
    /// The connection was reset or closed, or the answer is not HTTP.
    Broken,
    /// The request itself: address or header is not valid.
    Request,
}

impl SendErrorKind {
    /// A bounded word for metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            SendErrorKind::Resolve => "resolve",
            SendErrorKind::Connect => "connect",
            SendErrorKind::Proxy => "proxy",
            SendErrorKind::Tls => "tls",
            SendErrorKind::Timeout => "timeout",
            SendErrorKind::Broken => "broken",
            SendErrorKind::Request => "request",
        }
    }

    /// What to do where the error itself does not know, for the end of a message.
    pub(crate) fn cure(self) -> &'static str {
        match self {
            SendErrorKind::Resolve => "; is the name right, and does this machine ask the right DNS server?",
            SendErrorKind::Connect => "; is the sink running, is the port right, does a firewall refuse it?",
            SendErrorKind::Timeout => "; is it reachable from here, or is `timeout` too short?",
            SendErrorKind::Broken => "; is there an HTTP server at this port?",
            SendErrorKind::Proxy | SendErrorKind::Tls | SendErrorKind::Request => "",
        }
    }
}

/// An address fit for messages: without user information and without what a query may hold.
pub(crate) fn url_text(url: &str) -> String {
    let (url, query) = url.split_once(['?', '#']).map_or((url, ""), |(url, _)| (url, "?..."));
    let Some((scheme, rest)) = url.split_once("://") else {
        return format!("{}{query}", url.rsplit('@').next().unwrap_or(url));
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}{path}{query}")
}

impl Client {
    /// A client that has not connected yet.
    ///
    /// # Errors
    ///
    /// A proxy that is not one, a `server_name` that is none, a CA file that cannot be read or holds
    /// no certificate.
    pub fn new(settings: &ClientSettings<'_>) -> Result<Client> {
        let proxy = settings.connection.proxy.as_deref().map(Proxy::parse).transpose()?;
        let tls = Tls::new(&settings.connection.tls)?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .https_only(false)
            .ip_family(ureq::config::IpFamily::Any)
            .proxy(None) // the dialer's, never the environment's
            .no_delay(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::Never)
            .save_redirect_history(false)
            .user_agent(USER_AGENT)
            .accept(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None)
            .max_response_header_size(HTTP_HEAD_BYTES_MAX)
            .output_buffer_size(HTTP_OUTPUT_BYTES)
            .max_idle_connections(settings.connections_max)
            .max_idle_connections_per_host(settings.connections_max)
            .max_idle_age(CONNECTION_IDLE_MAX)
            .allow_non_standard_methods(false)
            // One deadline for the whole exchange, set for each request, bounds every phase.
            .timeout_global(None)
            .timeout_per_call(None)
            .timeout_per_read(None)
            .timeout_per_write(None)
            .timeout_resolve(None)
            .timeout_connect(Some(CONNECT_WAIT_MAX))
            .timeout_send_request(None)
            .timeout_await_100(Some(Duration::ZERO)) // we never ask for it
            .timeout_send_body(None)
            .timeout_recv_response(None)
            .timeout_recv_body(None)
            .build();
        let dialer = Dialer { proxy: proxy.map(Arc::new), tls: Arc::new(tls) };
        Ok(Client { agent: ureq::Agent::with_parts(config, dialer.clone(), DialerResolves), dialer })
    }

    /// Resolves, connects and shakes hands as for a request, and sends none.
    ///
    /// # Errors
    ///
    /// As [`Client::send`].
    pub(crate) fn reach(&self, url: &str, timeout: Duration) -> std::result::Result<(), SendError> {
        let failed = |failure: Failure| SendError {
            kind: failure.kind,
            unsent: true,
            error: Error::new(failure.text).context(format!("connect to {}", url_text(url))),
        };
        let uri: Uri =
            url.parse().map_err(|_| failed(Failure::of_request("not a valid address".to_owned())))?;
        let dialed = self.dialer.dial(&uri, Instant::now() + timeout.min(CONNECT_WAIT_MAX));
        dialed.map(drop).map_err(|error| failed(Failure::of_connect(&error)))
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    ///
    /// No complete answer came in time. Any status is an answer.
    pub fn send(&self, request: &Request<'_>) -> std::result::Result<Response, SendError> {
        let started = Instant::now();
        let failure = match self.exchange(request, request.timeout, CONNECTION_IDLE_MAX) {
            Err(failure) if failure.stale && request.repeat_if_stale => {
                // The other kept connections are as old: none of them is used again.
                let left = request.timeout.saturating_sub(started.elapsed());
                match self.exchange(request, left, Duration::ZERO) {
                    Err(failure) => failure,
                    Ok(response) => return Ok(response),
                }
            }
            Err(failure) => failure,
            Ok(response) => return Ok(response),
        };
        let intent = format!("{} {}", request.method, url_text(request.url));
        Err(SendError {
            kind: failure.kind,
            unsent: failure.unsent,
            error: Error::new(failure.text).context(intent),
        })
    }

    fn exchange(
        &self,
        request: &Request<'_>,
        timeout: Duration,
        idle_max: Duration,
    ) -> std::result::Result<Response, Failure> {
        let head = head_of(request).map_err(Failure::of_request)?;
        let body_wait = request.head_suffices.then_some(VERDICT_BODY_WAIT_MAX);
        let failed = |error, phase| Failure::of(error, request.timeout, phase);
        let answer = if request.body.is_empty() && !matches!(request.method, "POST" | "PUT" | "PATCH") {
            let configured = self.agent.configure_request(head.map(|()| ureq::SendBody::none()));
            let configured = configured.timeout_recv_body(body_wait);
            self.agent.run(configured.timeout_global(Some(timeout)).max_idle_age(idle_max).build())
        } else {
            let configured = self.agent.configure_request(head.map(|()| request.body));
            let configured = configured.timeout_recv_body(body_wait);
            self.agent.run(configured.timeout_global(Some(timeout)).max_idle_age(idle_max).build())
        }
        .map_err(|error| failed(error, "sending the request or waiting for the answer"))?;
        let (parts, body) = answer.into_parts();
        let (body, truncated) = match read_body(body, request.body_bytes_max) {
            Err(_) if request.head_suffices => (Vec::new(), false),
            read => read.map_err(|error| failed(error.into(), "reading the answer"))?,
        };
        Ok(Response { status: parts.status.as_u16(), body, truncated, headers: parts.headers })
    }
}

/// The dialer resolves names itself, and only when it makes a connection: ureq would ask before each
/// request, and start a thread for it.
#[derive(Debug)]
struct DialerResolves;

impl Resolver for DialerResolves {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

fn head_of(request: &Request<'_>) -> Result<http::Request<()>, String> {
    let uri: Uri = request.url.parse().map_err(|cause| format!("not a valid address: {cause}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("the address must begin with http:// or https://".to_owned());
    }
    if HTTP_OUTPUT_BYTES < request.url.len() + 32 {
        return Err(format!(
            "the address has {} bytes, and {HTTP_OUTPUT_BYTES} is the most of a row",
            request.url.len()
        ));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("user information in an address is not supported".to_owned());
    }
    let mut head = http::Request::new(());
    *head.method_mut() = request.method.parse().map_err(|_| "not a valid method".to_owned())?;
    *head.uri_mut() = uri;
    let headers = head.headers_mut();
    headers.reserve(request.headers.len());
    for (name, value) in request.headers {
        // A row that does not fit into the output buffer would never leave; name, colon, blank and line
        // end belong to it.
        if HTTP_OUTPUT_BYTES < name.len() + value.len() + 4 {
            let bytes = value.len();
            return Err(format!(
                "the value of header {name} has {bytes} bytes, and {HTTP_OUTPUT_BYTES} is the most of a row"
            ));
        }
        let parsed: HeaderName = name.parse().map_err(|_| format!("header name {name:?} is not valid"))?;
        // The value may be a secret.
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("the value of header {name} has a character that HTTP does not allow"))?;
        headers.append(parsed, value);
    }
    Ok(head)
}

/// Reads at most `bytes_max`, and whether there was more.
fn read_body(body: ureq::Body, bytes_max: usize) -> std::io::Result<(Vec<u8>, bool)> {
    // A lie about the length must not cost memory. Large enough for a page of events, which would be
    // copied when it grows.
    const BYTES_FIRST_MAX: usize = 4 * 1024 * 1024;
    let length = body.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(length.min(bytes_max).min(BYTES_FIRST_MAX));
    let mut reader = body.into_reader();
    reader.by_ref().take(bytes_max as u64).read_to_end(&mut bytes)?;
    // Also when nothing is left this read is needed: it gives the connection back.
    let truncated = bytes.len() == bytes_max && 0 < reader.read(&mut [0])?;
    Ok((bytes, truncated))
}

/// What ended an exchange.
struct Failure {
    kind: SendErrorKind,
    unsent: bool,
    stale: bool,
    text: String,
}

impl Failure {
    fn new(kind: SendErrorKind, text: impl Into<String>) -> Failure {
        Failure { kind, unsent: false, stale: false, text: text.into() }
    }

    fn of_request(text: String) -> Failure {
        Failure { unsent: true, ..Failure::new(SendErrorKind::Request, text) }
    }

    /// `phase` is where ureq may have found the time to be over before it asked the wire.
    fn of(error: ureq::Error, timeout: Duration, phase: &str) -> Failure {
        let timed_out = |phase: &str| {
            Failure::new(SendErrorKind::Timeout, format!("timeout of {timeout:?} while {phase}"))
        };
        match error {
            ureq::Error::Other(cause) => match cause.downcast::<ConnectError>() {
                Ok(connect) => Failure::of_connect(&connect),
                Err(cause) => match cause.downcast_ref::<WireError>() {
                    Some(WireError::TimedOut(phase)) => timed_out(phase),
                    Some(WireError::Refused(text)) => {
                        Failure { unsent: true, ..Failure::new(SendErrorKind::Tls, text) }
                    }
                    Some(WireError::Stale(text)) => {
                        Failure { stale: true, ..Failure::new(SendErrorKind::Broken, text) }
                    }
                    _ => Failure::new(SendErrorKind::Broken, cause.to_string()),
                },
            },
            ureq::Error::Timeout(_) => timed_out(phase),
            ureq::Error::Io(cause) if cause.kind() == ErrorKind::UnexpectedEof => Failure::new(
                SendErrorKind::Broken,
                "the peer closed the connection in the middle of its answer",
            ),
            ureq::Error::Io(cause) => Failure::new(SendErrorKind::Broken, io_text(&cause)),
            ureq::Error::BadUri(cause) => Failure::of_request(cause),
            ureq::Error::Http(cause) => Failure::of_request(cause.to_string()),
            ureq::Error::Protocol(cause) => {
                Failure::new(SendErrorKind::Broken, format!("the answer is not valid HTTP: {cause}"))
            }
            other => Failure::new(SendErrorKind::Broken, other.to_string()),
        }
    }

    fn of_connect(connect: &ConnectError) -> Failure {
        let kind = match connect.stage {
            _ if connect.timed_out => SendErrorKind::Timeout,
            Stage::Resolve => SendErrorKind::Resolve,
            Stage::Connect => SendErrorKind::Connect,
            Stage::Proxy => SendErrorKind::Proxy,
            Stage::Tls => SendErrorKind::Tls,
        };
        Failure { unsent: true, ..Failure::new(kind, connect.error.to_string()) }
    }
}

#[cfg(test)]
mod tests;
