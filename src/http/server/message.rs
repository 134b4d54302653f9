//! Requests as handlers see them, and what a handler can answer.

use std::net::SocketAddr;

use crate::stop::Stop;

/// One request, complete with its body.
pub struct InRequest {
    /// The method as it came, such as `POST`.
    pub method: String,
    /// The request target as it came, such as `/sdk?x=1`.
    pub target: String,
    /// Header fields in their order; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The body, transfer coding removed.
    pub body: Vec<u8>,
    /// Who asks.
    pub(crate) peer: SocketAddr,
    /// Raised when the server stops: a handler that waits must see it.
    pub stop: Stop,
    #[cfg(feature = "faults")]
    pub(crate) stream: std::sync::Arc<std::net::TcpStream>,
}

impl InRequest {
    /// The path of the target, without query; for `http://host/path` too.
    pub fn path(&self) -> &str {
        let target = match self.target.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            None => &self.target,
        };
        target.split(['?', '#']).next().unwrap_or_default()
    }

    /// What stands behind the `?` of the target; empty if there is none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first header field of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What a handler wants to be sent.
pub enum Reply {
    /// A normal answer.
    Answer(Answer),
    /// Whatever this function does with the connection, which is closed afterwards: for faults that are
    /// simulated.
    #[cfg(feature = "faults")]
    Custom(Box<Custom>),
}

/// Answers a request in its own way, by a function that sends bytes and is false if that failed.
#[cfg(feature = "faults")]
pub(crate) type Custom = dyn FnOnce(&InRequest, &dyn Fn(&[u8]) -> bool) + Send + Sync;

/// A normal answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub(crate) status: u16,
    /// Header fields beside `Date`, `Content-Length` and `Connection`.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Close the connection afterwards.
    pub(crate) close: bool,
}

impl Answer {
    /// An answer with a body of that type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        Answer {
            status,
            headers: vec![("Content-Type", content_type.to_string())],
            body: body.into(),
            close: false,
        }
    }

    /// An answer of one line of text.
    pub fn text(status: u16, line: &str) -> Answer {
        Answer::new(status, "text/plain; charset=utf-8", format!("{line}\n"))
    }

    /// The same with one more header field.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// The whole answer as it goes over the wire, for replies that cut or slow it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.encode_head();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub(super) fn encode_head(&self) -> Vec<u8> {
        use std::io::Write;
        let mut head = Vec::with_capacity(256);
        // Writing to memory cannot fail.
        let _ = write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let date =
            jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&jiff::Timestamp::now());
        if let Ok(date) = date {
            let _ = write!(head, "Date: {date}\r\n");
        }
        for (name, value) in &self.headers {
            // A line break in a value would end the field and begin another one.
            let value = value.replace(|c: char| c.is_ascii_control(), " ");
            let _ = write!(head, "{name}: {value}\r\n");
        }
        // 204 and 304 have no body, and no length either.
        if self.status != 204 && self.status != 304 {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        if self.close {
            head.extend_from_slice(b"Connection: close\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// The usual words for a status; clients ignore them.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}
