//! Where to connect, and why that failed.

use std::fmt;
use std::io::{self, ErrorKind};

use ureq::http::Uri;

use crate::error::{Error, io_text};

/// Where connecting failed. Nothing of a request was sent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Resolve,
    Connect,
    Proxy,
    Tls,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct ConnectError {
    pub(super) stage: Stage,
    /// The deadline passed.
    pub(super) timed_out: bool,
    /// The peer and the router found no way to speak TLS.
    pub(super) no_common_tls: bool,
    pub(super) error: Error,
}

impl ConnectError {
    pub(super) fn new(stage: Stage, error: Error) -> ConnectError {
        ConnectError { stage, timed_out: false, no_common_tls: false, error }
    }

    /// `what` says what was tried on what.
    pub(super) fn of_io(stage: Stage, what: impl fmt::Display, error: &io::Error) -> ConnectError {
        let timed_out = error.kind() == ErrorKind::TimedOut;
        let cause = if timed_out { "no answer".to_owned() } else { io_text(error) };
        let error = Error::new(format!("{what}: {cause}"));
        ConnectError { timed_out, ..ConnectError::new(stage, error) }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ConnectError {}

/// A host and a port to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// A name or an IP address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    /// The endpoint of an absolute `http` or `https` URI.
    pub(super) fn of_uri(uri: &Uri) -> Option<Endpoint> {
        let port = match uri.scheme_str() {
            Some("https") => 443,
            Some("http") => 80,
            _ => return None,
        };
        let host = uri.host()?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        Some(Endpoint { host: host.to_owned(), port: uri.port_u16().unwrap_or(port) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
