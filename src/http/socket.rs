//! A TCP connection, with every wait bounded by a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A TCP stream that gives up when its deadline passes, however slowly bytes trickle.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) tcp: TcpStream,
    deadline: Instant,
    read_wait: Option<Duration>,
    write_wait: Option<Duration>,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream, deadline: Instant) -> Socket {
        Socket { tcp, deadline, read_wait: None, write_wait: None }
    }

    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// The wait to set on the socket, or none if the one in force serves.
    ///
    /// A wait that ends early is only a loop more, so the one in force is kept while it is not
    /// longer than what is left: a busy connection then needs no call to set it.
    fn new_wait(&self, in_force: Option<Duration>) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match in_force {
            Some(wait) if wait <= left && left / 4 <= wait => Ok(None),
            _ => Ok(Some((left / 16 * 15).max(Duration::from_millis(1)))),
        }
    }
}

fn is_wait_over(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(wait) = self.new_wait(self.read_wait)? {
                self.tcp.set_read_timeout(Some(wait))?;
                self.read_wait = Some(wait);
            }
            match self.tcp.read(buf) {
                Err(error) if is_wait_over(&error) => {}
                done => return done,
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            if let Some(wait) = self.new_wait(self.write_wait)? {
                self.tcp.set_write_timeout(Some(wait))?;
                self.write_wait = Some(wait);
            }
            match self.tcp.write(buf) {
                Err(error) if is_wait_over(&error) => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
