//! One connection: requests in, answers out, every wait with its deadline.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use super::message::{Answer, InRequest, Reply};
use super::transport::Transport;
use super::{Place, Shared, State};
use crate::limits;

pub(super) struct Connection<'s> {
    #[cfg(feature = "faults")]
    stream: Arc<TcpStream>,
    transport: Transport,
    peer: SocketAddr,
    place: &'s Place<'s>,
    /// Bytes that were received and not used yet.
    buffer: Vec<u8>,
    /// Bytes that came since the last answer.
    received: usize,
}

/// Why no further request comes.
enum End {
    /// The peer left, or a deadline passed with nothing to say about it.
    Closed,
    /// The peer is told why, and the connection is closed.
    Refused(u16, &'static str),
}

/// What the head of a request says about what follows it.
struct Head {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    framing: Framing,
    expects_continue: bool,
    goes_on: GoesOn,
}

/// Whether the connection goes on after the answer, as the peer wishes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GoesOn {
    /// It ends.
    No,
    /// It goes on.
    Yes,
    /// It goes on, and a peer of HTTP/1.0 knows that only when it is told.
    Told,
}

enum Framing {
    Length(usize),
    Chunked,
}

/// Tells a peer for whom there is no place.
pub(super) fn refuse_busy(stream: &TcpStream) {
    let mut answer = Answer::text(503, "all connections are busy").header("Retry-After", "1");
    answer.close = true;
    // A fresh connection has an empty send buffer: this does not block.
    let _ = (&*stream).write(&answer.encode());
}

impl<'s> Connection<'s> {
    /// None when TLS cannot begin.
    pub(super) fn new(
        stream: Arc<TcpStream>,
        peer: SocketAddr,
        place: &'s Place<'s>,
    ) -> Option<Connection<'s>> {
        let tls = place.shared.settings.tls.as_ref().map(|tls| tls.current());
        let transport = Transport::new(stream.clone(), tls).ok()?;
        Some(Connection {
            #[cfg(feature = "faults")]
            stream,
            transport,
            peer,
            place,
            buffer: Vec::new(),
            received: 0,
        })
    }

    /// Answers requests until either side wants to end.
    pub(super) fn serve(mut self) {
        loop {
            self.received = self.buffer.len();
            self.shared().hold(self.place.id, self.received);
            self.note(State::Waiting(Instant::now()));
            // After the note: `stop` raises the signal first and closes what waits afterwards.
            if self.shared().stop.is_stopped() {
                return;
            }
            let (request, goes_on) = match self.read_request() {
                Ok(read) => read,
                Err(End::Closed) => return,
                Err(End::Refused(status, why)) => return self.refuse(status, why),
            };
            self.note(State::Busy);
            let goes_on = match (self.shared().handler)(&request) {
                Reply::Answer(answer) => self.answer(answer, request.method == "HEAD", goes_on),
                #[cfg(feature = "faults")]
                Reply::Custom(custom) => {
                    let connection = std::cell::RefCell::new(&mut self);
                    custom(&request, &|bytes| connection.borrow_mut().send(bytes, &[]).is_ok());
                    false
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    fn shared(&self) -> &'s Shared {
        self.place.shared
    }

    fn note(&self, state: State) {
        self.shared().note(self.place.id, state);
    }

    fn read_request(&mut self) -> Result<(InRequest, GoesOn), End> {
        let settings = &self.shared().settings;
        let head = self.read_head()?;
        let deadline = Instant::now() + settings.body_wait_max;
        if head.expects_continue && self.buffer.is_empty() {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n", &[]).map_err(|_| End::Closed)?;
        }
        let body = match head.framing {
            Framing::Length(bytes) => self.take(bytes, deadline)?,
            Framing::Chunked => self.read_chunks(deadline)?,
        };
        let request = InRequest {
            method: head.method,
            target: head.target,
            headers: head.headers,
            body,
            peer: self.peer,
            stop: self.shared().stop.clone(),
            #[cfg(feature = "faults")]
            stream: self.stream.clone(),
        };
        Ok((request, head.goes_on))
    }

    fn read_head(&mut self) -> Result<Head, End> {
        let settings = &self.shared().settings;
        let mut deadline = Instant::now() + settings.idle_wait_max;
        let mut begun = false;
        let mut searched: usize = 0;
        loop {
            if !begun {
                // Empty lines before a request are to be ignored (RFC 9112, 2.2).
                let empty = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                self.buffer.drain(..empty);
                if let Some(first) = self.buffer.first() {
                    // Answers a TLS handshake on a plain port at once instead of waiting for its
                    // end of line.
                    if !first.is_ascii_alphabetic() {
                        return Err(End::Refused(400, "this is not an HTTP request"));
                    }
                    begun = true;
                    deadline = Instant::now() + settings.head_wait_max;
                }
            }
            let end = end_of_head(&self.buffer, searched);
            if settings.header_bytes_max < end.unwrap_or(self.buffer.len()) {
                return Err(End::Refused(431, "the head of the request is too large"));
            }
            if let Some(end) = end {
                let head = parse_head(&self.buffer[..end], settings.body_bytes_max)?;
                self.buffer.drain(..end);
                return Ok(head);
            }
            searched = self.buffer.len().saturating_sub(3);
            match self.fill(deadline) {
                Err(End::Refused(..)) if !begun => return Err(End::Closed),
                filled => filled?,
            }
        }
    }

    /// The next `bytes` bytes of the connection.
    fn take(&mut self, bytes: usize, deadline: Instant) -> Result<Vec<u8>, End> {
        while self.buffer.len() < bytes {
            self.fill(deadline)?;
        }
        let rest = self.buffer.split_off(bytes);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// The next line without its end.
    fn take_line(&mut self, deadline: Instant) -> Result<Vec<u8>, End> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.take(searched + at + 1, deadline)?;
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            searched = self.buffer.len();
            if limits::SERVER_CHUNK_LINE_BYTES_MAX < searched {
                return Err(End::Refused(400, "a line of the chunked body is too long"));
            }
            self.fill(deadline)?;
        }
    }

    fn read_chunks(&mut self, deadline: Instant) -> Result<Vec<u8>, End> {
        let settings = &self.shared().settings;
        let mut body = Vec::new();
        loop {
            let mut line = self.take_line(deadline)?;
            line.extend_from_slice(b"\r\n");
            let Ok(httparse::Status::Complete((_, size))) = httparse::parse_chunk_size(&line) else {
                return Err(End::Refused(400, "the chunked body is malformed"));
            };
            if size == 0 {
                break;
            }
            let room = settings.body_bytes_max - body.len();
            if (room as u64) < size {
                return Err(End::Refused(413, "the body is too large"));
            }
            body.append(&mut self.take(size as usize, deadline)?);
            if !self.take_line(deadline)?.is_empty() {
                return Err(End::Refused(400, "the chunked body is malformed"));
            }
        }
        // Trailer fields are read and dropped.
        let mut trailer_bytes = 0;
        loop {
            let line = self.take_line(deadline)?;
            if line.is_empty() {
                return Ok(body);
            }
            trailer_bytes += line.len();
            if settings.header_bytes_max < trailer_bytes {
                return Err(End::Refused(431, "the trailer of the request is too large"));
            }
        }
    }

    /// Receives some bytes.
    fn fill(&mut self, deadline: Instant) -> Result<(), End> {
        let mut chunk = [0; 8 * 1024];
        match self.transport.read(&mut chunk, deadline) {
            Ok(0) => Err(End::Closed),
            Ok(bytes) => {
                self.buffer.extend_from_slice(&chunk[..bytes]);
                self.received += bytes;
                match self.shared().hold(self.place.id, self.received) {
                    true => Ok(()),
                    false => Err(End::Refused(503, "too much is on its way")),
                }
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                Err(End::Refused(408, "the request did not arrive in time"))
            }
            Err(_) => Err(End::Closed),
        }
    }

    /// Sends head and body within the write deadline.
    fn send(&mut self, head: &[u8], body: &[u8]) -> std::io::Result<()> {
        let deadline = Instant::now() + self.shared().settings.write_wait_max;
        self.transport.write(head, body, deadline)
    }

    /// True when the connection goes on.
    fn answer(&mut self, mut answer: Answer, head_only: bool, goes_on: GoesOn) -> bool {
        answer.close |= goes_on == GoesOn::No || self.shared().stop.is_stopped();
        if goes_on == GoesOn::Told && !answer.close {
            answer = answer.header("Connection", "keep-alive");
        }
        self.note(State::Answering(Instant::now()));
        let head = answer.encode_head();
        let body = if head_only { &[][..] } else { &answer.body };
        self.send(&head, body).is_ok() && !answer.close
    }

    /// Says why and closes in a way that lets the peer read it: closing while bytes of the peer
    /// lie unread would send a reset, and that discards the answer at the peer.
    fn refuse(&mut self, status: u16, why: &'static str) {
        let mut answer = Answer::text(status, why);
        if status == 503 {
            answer = answer.header("Retry-After", "1");
        }
        answer.close = true;
        let deadline = Instant::now() + limits::SERVER_LINGER_WAIT_MAX;
        if self.send(&answer.encode(), &[]).is_err() || self.transport.end_writing(deadline).is_err() {
            return;
        }
        let mut discarded = 0;
        while discarded < limits::SERVER_LINGER_BYTES_MAX {
            self.buffer.clear();
            if self.fill(deadline).is_err() {
                return;
            }
            discarded += self.buffer.len();
        }
    }
}

/// Where the empty line after the head ends, if it is there. Everything before `searched` is known
/// not to hold its beginning.
fn end_of_head(buffer: &[u8], searched: usize) -> Option<usize> {
    for (at, byte) in buffer.iter().enumerate().skip(searched) {
        if *byte != b'\n' {
            continue;
        }
        match buffer.get(at + 1..) {
            Some([b'\n', ..]) => return Some(at + 2),
            Some([b'\r', b'\n', ..]) => return Some(at + 3),
            _ => {}
        }
    }
    None
}

fn parse_head(bytes: &[u8], body_bytes_max: usize) -> Result<Head, End> {
    let mut fields = [httparse::EMPTY_HEADER; limits::SERVER_HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(End::Refused(431, "too many header fields")),
        Err(httparse::Error::Version) => return Err(End::Refused(505, "this is not HTTP/1.x")),
        _ => return Err(End::Refused(400, "the head of the request is malformed")),
    }
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|field| (field.name.to_string(), String::from_utf8_lossy(field.value).into_owned()))
        .collect();
    let modern = parsed.version == Some(1);
    let all = |name: &'static str| {
        headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if modern && all("host").count() != 1 {
        return Err(End::Refused(400, "an HTTP/1.1 request has exactly one Host"));
    }
    let framing = match (all("transfer-encoding").next(), all("content-length").next()) {
        (Some(_), Some(_)) => return Err(End::Refused(400, "both a length and a transfer coding")),
        (Some(coding), None) => {
            if !modern || !coding.eq_ignore_ascii_case("chunked") || all("transfer-encoding").count() != 1 {
                return Err(End::Refused(501, "the only transfer coding here is chunked"));
            }
            Framing::Chunked
        }
        (None, Some(length)) => {
            if all("content-length").any(|other| other != length) {
                return Err(End::Refused(400, "more than one length"));
            }
            Framing::Length(parse_length(length, body_bytes_max)?)
        }
        (None, None) => Framing::Length(0),
    };
    let expects_continue = match all("expect").next() {
        Some(expected) if expected.eq_ignore_ascii_case("100-continue") => modern,
        Some(_) => return Err(End::Refused(417, "the only expectation met here is 100-continue")),
        None => false,
    };
    let mut wishes = all("connection").flat_map(|value| value.split(',')).map(str::trim);
    let goes_on = if modern {
        if wishes.any(|wish| wish.eq_ignore_ascii_case("close")) { GoesOn::No } else { GoesOn::Yes }
    } else if wishes.any(|wish| wish.eq_ignore_ascii_case("keep-alive")) {
        GoesOn::Told
    } else {
        GoesOn::No
    };
    let method = parsed.method.unwrap_or_default().to_string();
    let target = parsed.path.unwrap_or_default().to_string();
    Ok(Head { method, target, headers, framing, expects_continue, goes_on })
}

fn parse_length(text: &str, body_bytes_max: usize) -> Result<usize, End> {
    // Only digits: `parse` would take a sign.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(End::Refused(400, "the length of the body is not a number"));
    }
    match text.parse::<usize>() {
        Ok(length) if length <= body_bytes_max => Ok(length),
        _ => Err(End::Refused(413, "the body is too large")),
    }
}
