//! One connection as ureq's transport: plain TCP or TLS, with every wait bounded by the deadline of
//! the running request.
//!
//! Head and body of a request leave in one write. The input buffer grows with need, and there is one for
//! output only while a request is sent, so that hundreds of connections stay small.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use socket2::SockRef;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::fold::Unfolding;
use super::socket::Socket;
use super::tls::{TlsStream, words};
use crate::error::io_text;
use crate::limits::{HTTP_INPUT_BYTES_MAX, HTTP_OUTPUT_BYTES};

/// Why an exchange on an open connection ended, carried through ureq's error.
#[derive(Debug)]
pub(super) enum WireError {
    /// The peer closed a kept connection before any byte of its answer: it was stale.
    Stale(String),
    /// The server ended a new connection for what it thinks of the router: no request was processed.
    Refused(String),
    /// The deadline passed; the phase in words.
    TimedOut(&'static str),
    /// Reset, closed, or TLS broken.
    Broken(String),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Stale(cause) | WireError::Refused(cause) | WireError::Broken(cause) => {
                f.write_str(cause)
            }
            WireError::TimedOut(phase) => write!(f, "timeout while {phase}"),
        }
    }
}

impl std::error::Error for WireError {}

impl From<WireError> for ureq::Error {
    fn from(error: WireError) -> ureq::Error {
        ureq::Error::Other(Box::new(error))
    }
}

enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream>),
}

impl Stream {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &mut tls.stream.sock,
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buf),
            Stream::Tls(tls) => read_decrypted(&mut tls.stream, buf),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(tls) => tls.stream.write_all(bytes).and_then(|()| tls.stream.flush()),
        }
    }

    /// Whether an idle connection is still good: nothing was sent to us unasked, not even an end.
    fn is_quiet(&mut self) -> bool {
        let tls = match self {
            Stream::Plain(socket) => return is_silent(&socket.tcp),
            Stream::Tls(tls) => &mut tls.stream,
        };
        loop {
            // Session tickets may arrive at any time; they are no answer.
            match tls.conn.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                _ => return false,
            }
            if is_silent(&tls.sock.tcp) {
                return true;
            }
            // Does not block, because something is there.
            if !matches!(tls.conn.read_tls(&mut tls.sock.tcp), Ok(1..)) {
                return false;
            }
        }
    }
}

/// Whether reading would have to wait: one system call, asked before each request.
fn is_silent(tcp: &TcpStream) -> bool {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    match SockRef::from(tcp).recv_with_flags(&mut [MaybeUninit::uninit()], flags) {
        Err(error) => error.kind() == ErrorKind::WouldBlock,
        Ok(_) => false,
    }
}

/// Reads even when the peer no longer takes what we write: rustls's own `Stream` would insist on
/// writing first, and lose the answer.
fn read_decrypted(tls: &mut StreamOwned<ClientConnection, Socket>, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.conn.reader().read(buf) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // Many servers leave without TLS's farewell. What matters is whether the answer is
            // complete, and HTTP says that.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
            done => return done,
        }
        tls.conn.read_tls(&mut tls.sock)?;
        tls.conn.process_new_packets().map_err(io::Error::other)?;
    }
}

/// A connection that ureq drives.
pub(super) struct Wire {
    stream: Stream,
    buffers: WireBuffers,
    /// Bytes came since the last request began.
    answered: bool,
    /// An earlier request on this connection was answered: it is a kept one.
    kept: bool,
    /// An answer was read since `is_open` was asked last.
    busy: bool,
    /// The peer stopped reading; perhaps it has answered nevertheless.
    write_failure: Option<io::Error>,
}

impl Wire {
    pub(super) fn plain(socket: Socket) -> Wire {
        Wire::new(Stream::Plain(socket))
    }

    pub(super) fn tls(stream: TlsStream) -> Wire {
        Wire::new(Stream::Tls(Box::new(stream)))
    }

    fn new(stream: Stream) -> Wire {
        let buffers = WireBuffers::default();
        Wire { stream, buffers, answered: false, kept: false, busy: false, write_failure: None }
    }

    fn set_deadline(&mut self, timeout: NextTimeout) {
        let now = Instant::now();
        let deadline = now.checked_add(*timeout.after).unwrap_or(now + Duration::from_secs(3600));
        self.stream.socket().set_deadline(deadline);
    }

    fn send_pending(&mut self) -> Result<(), ureq::Error> {
        let pending = std::mem::take(&mut self.buffers.pending);
        if pending == 0 || self.write_failure.is_some() {
            return Ok(());
        }
        match self.stream.write_all(&self.buffers.output[..pending]) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                Err(WireError::TimedOut("sending the request").into())
            }
            // A server that refuses a large request answers and closes while we still send. Its
            // answer says more than our broken pipe.
            Err(error) => {
                self.write_failure = Some(error);
                Ok(())
            }
        }
    }

    fn failure(&mut self, error: &io::Error) -> ureq::Error {
        if error.kind() == ErrorKind::TimedOut {
            let phase = if self.answered { "reading the answer" } else { "waiting for the answer" };
            return WireError::TimedOut(phase).into();
        }
        if !self.kept
            && !self.answered
            && let Stream::Tls(tls) = &self.stream
            && let Some(refusal) = tls.refusal(error)
        {
            return WireError::Refused(refusal).into();
        }
        let cause = cause_text(self.write_failure.as_ref().unwrap_or(error));
        if self.kept && !self.answered {
            return WireError::Stale(cause).into();
        }
        WireError::Broken(cause).into()
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.answered {
            self.kept = true;
            self.answered = false;
            self.buffers.unfolding = Unfolding::default();
        }
        self.set_deadline(timeout);
        self.buffers.pending += amount;
        if self.buffers.is_output_full() { self.send_pending() } else { Ok(()) }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.set_deadline(timeout);
        self.send_pending()?;
        self.buffers.output = Vec::new();
        let space = self.buffers.input_append_buf();
        if space.is_empty() {
            return Err(WireError::Broken("the head of the answer is too long".into()).into());
        }
        match self.stream.read(space) {
            Ok(0) if self.answered => Ok(false),
            Ok(0) => {
                let is_plain = matches!(self.stream, Stream::Plain(_)) && !self.kept;
                let hint = if is_plain { ": is this port one for https://?" } else { "" };
                let text = format!("the peer closed the connection without an answer{hint}");
                Err(self.failure(&io::Error::other(text)))
            }
            Ok(amount) if !self.answered && speaks_tls(&space[..amount]) => Err(self
                .failure(&io::Error::other("the peer speaks TLS on this port: write https:// in the URL"))),
            Ok(amount) => {
                self.answered = true;
                self.busy = true;
                self.buffers.input_appended(amount);
                Ok(true)
            }
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn is_open(&mut self) -> bool {
        // The pool asks when a connection comes back and again when it is taken. The second answer
        // is the one that counts, and each costs a system call.
        if std::mem::take(&mut self.busy) {
            return self.write_failure.is_none();
        }
        self.write_failure.is_none() && self.stream.is_quiet()
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

/// The error in words, also where it is one of TLS.
fn cause_text(error: &io::Error) -> String {
    let of_tls = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    of_tls.map_or_else(|| io_text(error), words)
}

/// Whether an answer is one of TLS to plain text: its alert, or the page of a server that noticed.
fn speaks_tls(answer: &[u8]) -> bool {
    const PAGES: &[&str] = &[
        "HTTP request to an HTTPS server",
        "plain HTTP request was sent to HTTPS port",
        "speaking plain HTTP to an SSL-enabled server port",
    ];
    let is_refusal = answer.starts_with(b"HTTP/1.") && answer.get(8..13) == Some(b" 400 ");
    answer.starts_with(&[0x15, 0x03])
        || (is_refusal && PAGES.iter().any(|page| memchr::memmem::find(answer, page.as_bytes()).is_some()))
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("tls", &self.is_tls()).field("kept", &self.kept).finish()
    }
}

/// Input that grows up to its limit when it is full, and output that collects what is sent together.
#[derive(Default)]
struct WireBuffers {
    input: Vec<u8>,
    start: usize,
    end: usize,
    progress: bool,
    /// Of the head of the answer that comes in.
    unfolding: Unfolding,
    output: Vec<u8>,
    /// Bytes of `output` that were handed over but not yet written to the stream.
    pending: usize,
}

const INPUT_BYTES_FIRST: usize = 4 * 1024;

impl WireBuffers {
    fn is_output_full(&self) -> bool {
        HTTP_OUTPUT_BYTES <= self.pending
    }
}

impl Buffers for WireBuffers {
    fn output(&mut self) -> &mut [u8] {
        // A row of the head must fit in what is free, or ureq gives up.
        let enough = self.pending + HTTP_OUTPUT_BYTES;
        if self.output.len() < enough {
            self.output.resize(enough, 0);
        }
        &mut self.output[self.pending..]
    }

    fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end == self.input.len() {
            if 0 < self.start {
                self.input.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                let size = (self.input.len() * 2).clamp(INPUT_BYTES_FIRST, HTTP_INPUT_BYTES_MAX);
                self.input.resize(size, 0);
            }
        }
        &mut self.input[self.end..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.end += amount;
        debug_assert!(self.end <= self.input.len());
        self.unfolding.look(&mut self.input[self.start..self.end]);
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = 0 < amount;
        self.start += amount;
        self.unfolding.consumed(amount);
        debug_assert!(self.start <= self.end);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        // The scratch space serves chunked requests only; ours have a known length.
        if self.output.len() <= self.pending {
            self.output();
        }
        (&mut [], &mut self.output[self.pending..])
    }

    fn can_use_input(&self) -> bool {
        self.start < self.end && self.progress
    }
}
