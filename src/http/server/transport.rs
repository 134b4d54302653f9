//! The bytes of one inbound connection, plain or through TLS, every wait with its deadline.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustls::{ServerConfig, ServerConnection};

/// One side of a connection.
pub(super) struct Transport {
    tcp: Arc<TcpStream>,
    tls: Option<Box<ServerConnection>>,
}

impl Transport {
    /// Over an accepted connection; with TLS the handshake comes with the first read.
    pub(super) fn new(tcp: Arc<TcpStream>, tls: Option<Arc<ServerConfig>>) -> io::Result<Transport> {
        let tls = tls.map(ServerConnection::new).transpose().map_err(io::Error::other)?.map(Box::new);
        Ok(Transport { tcp, tls })
    }

    /// Some bytes; zero when the peer has ended. `TimedOut` when the deadline passes first.
    pub(super) fn read(&mut self, chunk: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let Transport { tcp, tls } = self;
        loop {
            let Some(tls) = tls else {
                tcp.set_read_timeout(Some(left(deadline)?))?;
                match (&**tcp).read(chunk) {
                    Err(error) if is_pause(&error) => continue,
                    done => return done,
                }
            };
            match tls.reader().read(chunk) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Many peers leave without TLS's farewell; HTTP says whether the request is whole.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            flush(tcp, tls, deadline)?;
            tcp.set_read_timeout(Some(left(deadline)?))?;
            match tls.read_tls(&mut &**tcp) {
                Ok(0) => return Ok(0),
                Ok(_) => {}
                Err(error) if is_pause(&error) => continue,
                Err(error) => return Err(error),
            }
            if let Err(error) = tls.process_new_packets() {
                // The peer is told why.
                let _ = flush(tcp, tls, deadline);
                return Err(io::Error::other(error));
            }
        }
    }

    /// Sends all of `head` and `body`.
    pub(super) fn write(&mut self, head: &[u8], body: &[u8], deadline: Instant) -> io::Result<()> {
        let Transport { tcp, tls } = self;
        let Some(tls) = tls else { return write_plain(tcp, head, body, deadline) };
        for mut rest in [head, body] {
            // rustls takes as much as it keeps; what it took is sent before the rest.
            while !rest.is_empty() {
                let taken = tls.writer().write(rest)?;
                flush(tcp, tls, deadline)?;
                rest = &rest[taken..];
            }
        }
        Ok(())
    }

    /// Nothing more is sent.
    pub(super) fn end_writing(&mut self, deadline: Instant) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            flush(&self.tcp, tls, deadline)?;
        }
        self.tcp.shutdown(Shutdown::Write)
    }
}

fn write_plain(tcp: &TcpStream, head: &[u8], body: &[u8], deadline: Instant) -> io::Result<()> {
    let mut sent = 0;
    while sent < head.len() + body.len() {
        tcp.set_write_timeout(Some(left(deadline)?))?;
        let rest = [
            IoSlice::new(head.get(sent..).unwrap_or_default()),
            IoSlice::new(&body[sent.saturating_sub(head.len())..]),
        ];
        match (&*tcp).write_vectored(&rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(bytes) => sent += bytes,
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends what rustls has to send.
fn flush(tcp: &TcpStream, tls: &mut ServerConnection, deadline: Instant) -> io::Result<()> {
    while tls.wants_write() {
        tcp.set_write_timeout(Some(left(deadline)?))?;
        match tls.write_tls(&mut &*tcp) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn left(deadline: Instant) -> io::Result<std::time::Duration> {
    let time = deadline.saturating_duration_since(Instant::now());
    if time.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(time) }
}

/// Errors of a read or write that only mean "look at the deadline and try again".
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
