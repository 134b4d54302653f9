//! Replies that no healthy server gives, for the tests' servers: not in the program that ships.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::http::server::{InRequest, Reply};
use crate::limits;

/// One step of a scripted reply. Every step ends early when the server stops or the peer leaves.
pub enum Step {
    /// Sends the bytes at once.
    Send(Vec<u8>),
    /// Sends one byte, pauses, sends the next.
    Trickle {
        /// Sent as they are, whatever HTTP would make of them.
        bytes: Vec<u8>,
        /// Between two bytes.
        pause: Duration,
    },
    /// Sends nothing for this time; none means until the server stops or the peer leaves.
    Pause(Option<Duration>),
    /// Closes the connection with a TCP reset.
    Reset,
}

/// Bytes and pauses as they stand, then the connection is closed.
pub fn reply(steps: Vec<Step>) -> Reply {
    Reply::Custom(Box::new(move |request, send| play(steps, request, send)))
}

fn play(steps: Vec<Step>, request: &InRequest, send: &dyn Fn(&[u8]) -> bool) {
    for step in steps {
        let played = match step {
            Step::Send(bytes) => send(&bytes),
            Step::Trickle { bytes, pause } => {
                bytes.iter().all(|byte| send(&[*byte]) && self::pause(Some(pause), request))
            }
            Step::Pause(time) => pause(time, request),
            Step::Reset => {
                let _ = socket2::SockRef::from(&*request.stream).set_linger(Some(Duration::ZERO));
                false
            }
        };
        if !played {
            return;
        }
    }
}

/// False when the server stops or the peer left.
fn pause(time: Option<Duration>, request: &InRequest) -> bool {
    let end = time.map(|time| Instant::now() + time);
    loop {
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return true;
        }
        if request.stop.wait(left.min(limits::SERVER_ABANDONED_CHECK_INTERVAL)) || is_abandoned(request) {
            return false;
        }
    }
}

/// Whether the peer has closed the connection, so that nobody waits for the answer.
pub(crate) fn is_abandoned(request: &InRequest) -> bool {
    if request.stream.set_nonblocking(true).is_err() {
        return true;
    }
    let peeked = request.stream.peek(&mut [0]);
    let restored = request.stream.set_nonblocking(false);
    match peeked {
        Ok(bytes) => bytes == 0 || restored.is_err(),
        Err(error) => error.kind() != ErrorKind::WouldBlock || restored.is_err(),
    }
}
