//! The HTTP proxy of an endpoint: a tunnel by CONNECT, for `http` targets as well as for `https`.
//!
//! One way for both keeps the proxy out of what is exchanged. Proxies that allow CONNECT to port
//! 443 only must be told of other ports.

use std::io::{self, ErrorKind, Read, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use ureq::http::Uri;

use super::endpoint::{ConnectError, Endpoint, Stage};
use super::socket::Socket;
use crate::error::{Error, Result};
use crate::limits::PROXY_HEAD_BYTES_MAX;

/// A proxy that answers CONNECT.
pub(super) struct Proxy {
    endpoint: Endpoint,
    /// The value of `Proxy-Authorization`: a secret.
    authorization: Option<String>,
}

impl Proxy {
    /// Reads `http://[user:password@]host[:port]`; user and password may be percent-encoded.
    ///
    /// # Errors
    ///
    /// Anything else, without repeating what may hold a password.
    pub(super) fn parse(url: &str) -> Result<Proxy> {
        let form = "expected http://[user:password@]host:port";
        let uri: Uri =
            url.parse().map_err(|cause| Error::new(format!("proxy: not a URL: {cause}: {form}")))?;
        if uri.scheme_str() != Some("http") {
            let scheme = uri.scheme_str().unwrap_or("none");
            return Err(Error::new(format!("proxy: scheme {scheme} is not supported: {form}")));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(Error::new(format!("proxy: a path has no meaning here: {form}")));
        }
        let endpoint = Endpoint::of_uri(&uri)
            .filter(|endpoint| !endpoint.host.is_empty())
            .ok_or_else(|| Error::new(format!("proxy: no host: {form}")))?;
        let user_info = uri.authority().and_then(|a| a.as_str().rsplit_once('@')).map(|(info, _)| info);
        let authorization = user_info.map(|info| {
            let (user, password) = info.split_once(':').unwrap_or((info, ""));
            let mut plain: Vec<u8> = percent_decode_str(user).collect();
            plain.push(b':');
            plain.extend(percent_decode_str(password));
            format!("Basic {}", BASE64_STANDARD.encode(plain))
        });
        Ok(Proxy { endpoint, authorization })
    }

    /// Where the proxy listens.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Makes the connection to the proxy one to the target.
    pub(super) fn tunnel(&self, socket: &mut Socket, target: &Endpoint) -> Result<(), ConnectError> {
        let intent = || format!("CONNECT {target} by proxy {}", self.endpoint);
        let of_io = |error: io::Error| ConnectError::of_io(Stage::Proxy, intent(), &error);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        request.push_str(concat!("User-Agent: event-router/", env!("CARGO_PKG_VERSION"), "\r\n"));
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        socket.write_all(request.as_bytes()).map_err(of_io)?;
        let (status, reason) = read_answer(socket).map_err(of_io)?;
        let cause = match status {
            200..=299 => return Ok(()),
            407 if self.authorization.is_none() => {
                "the proxy wants a user and a password: write them into the proxy's URL".to_owned()
            }
            407 => "the proxy refuses the user and password of its URL".to_owned(),
            _ => format!("the proxy answers {status} {reason}").trim_end().to_owned(),
        };
        Err(ConnectError::new(Stage::Proxy, Error::new(format!("{}: {cause}", intent()))))
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({})", self.endpoint)
    }
}

/// The status of the answer to CONNECT. The target does not speak before we do, so what follows the
/// head belongs to nobody.
fn read_answer(socket: &mut Socket) -> io::Result<(u16, String)> {
    let invalid = |text: &'static str| io::Error::new(ErrorKind::InvalidData, text);
    let mut head = vec![0; PROXY_HEAD_BYTES_MAX];
    let mut filled = 0;
    while filled < head.len() {
        match socket.read(&mut head[filled..])? {
            0 => return Err(invalid("the proxy closed the connection")),
            amount => filled += amount,
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        let mut parser = httparse::ParserConfig::default();
        parser.allow_obsolete_multiline_headers_in_responses(true);
        match parser.parse_response(&mut answer, &head[..filled]) {
            Ok(httparse::Status::Partial) => {}
            Ok(httparse::Status::Complete(length)) => {
                let status = answer.code.unwrap_or(0);
                if length != filled && (200..300).contains(&status) {
                    return Err(invalid("the proxy sent data before the target could"));
                }
                return Ok((status, answer.reason.unwrap_or("").chars().take(80).collect()));
            }
            Err(_) => return Err(invalid("the proxy does not answer in HTTP")),
        }
    }
    Err(invalid("the answer of the proxy is too long"))
}
