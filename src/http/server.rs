//! Inbound HTTP/1.1 with a limit on everything a peer can send or hold.
//!
//! One thread per connection, at most `connections_max` of them. When all are taken, the connection
//! that has kept us waiting longest, for its bytes or to take ours, is closed in favour of a new one:
//! idle or slow peers can hold places, but they cannot lock anyone out.
//!
//! The framing rules are those of RFC 9112; whatever is ambiguous there (two lengths, a length beside
//! a transfer coding, bare garbage) is refused and the connection closed.

use crossbeam_channel::bounded;
use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result, io_text};
use crate::limits;
use crate::stop::{Stop, StopSource, stop_signal};

mod connection;
pub(crate) mod guard;
mod message;
pub(crate) mod tls;
mod transport;

pub use message::{Answer, InRequest, Reply};
pub use tls::ServerTls;

use connection::Connection;

/// What a peer may send and hold.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Open connections, and thereby threads.
    pub connections_max: usize,
    /// Bytes of a request's head.
    pub header_bytes_max: usize,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// From the first byte of a request to the end of its head.
    pub head_wait_max: Duration,
    /// From the end of the head to the end of the body.
    pub body_wait_max: Duration,
    /// From the end of an answer to the first byte of the next request.
    pub idle_wait_max: Duration,
    /// For the peer to take an answer.
    pub write_wait_max: Duration,
    /// Bytes of all requests that are received or worked on: when they are more, the largest one that is
    /// not complete is given up.
    pub held_bytes_max: usize,
    /// The certificate, if the server speaks TLS.
    pub tls: Option<Arc<ServerTls>>,
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        ServerSettings {
            connections_max: limits::SERVER_CONNECTIONS_MAX,
            header_bytes_max: limits::SERVER_HEADER_BYTES_MAX,
            body_bytes_max: limits::SERVER_BODY_BYTES_MAX,
            head_wait_max: limits::SERVER_HEAD_WAIT_MAX,
            body_wait_max: limits::SERVER_BODY_WAIT_MAX,
            idle_wait_max: limits::SERVER_IDLE_WAIT_MAX,
            write_wait_max: limits::SERVER_WRITE_WAIT_MAX,
            held_bytes_max: usize::MAX,
            tls: None,
        }
    }
}

/// A running server. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop_source: StopSource,
    /// The listening socket once more, to wake the acceptor.
    listener: TcpStream,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `address` (`host:port`, port 0 for any free one) and calls `handler` for every
    /// request, on the thread of its connection. A handler that waits must see
    /// [`InRequest::stop`].
    ///
    /// # Errors
    /// When the address cannot be resolved or bound, or no thread can be started.
    pub fn start(
        address: &str,
        settings: ServerSettings,
        handler: impl Fn(&InRequest) -> Reply + Send + Sync + 'static,
    ) -> Result<Server> {
        let listener = TcpListener::bind(address)
            .map_err(|error| io_text(&error))
            .context(|| format!("listen on {address}"))?;
        let bound = listener.local_addr().context(|| format!("listen on {address}"))?;
        let wake = listener.try_clone().context(|| format!("listen on {address}"))?;
        let (stop_source, stop) = stop_signal();
        let shared = Arc::new(Shared {
            settings,
            handler: Box::new(handler),
            stop,
            connections: Mutex::new(Connections { next_id: 0, open: HashMap::new() }),
            changed: Condvar::new(),
        });
        let acceptor = std::thread::Builder::new()
            .name("http:accept".into())
            .stack_size(limits::SERVER_STACK_BYTES)
            .spawn({
                let shared = shared.clone();
                move || accept_all(&listener, &shared)
            })
            .context(|| format!("start a thread to listen on {address}"))?;
        // A socket is a socket: `TcpStream` is the type that has `shutdown`, and shutting down a
        // listening socket ends `accept` on Linux.
        let listener = TcpStream::from(OwnedFd::from(wake));
        Ok(Server { address: bound, shared, stop_source, listener, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[cfg(test)]
    fn connections(&self) -> usize {
        self.shared.lock().open.len()
    }

    /// Accepts nothing more, closes what waits, lets running requests finish for a short time, and
    /// joins the threads.
    fn stop(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        self.stop_source.stop();
        let _ = self.listener.shutdown(Shutdown::Both);
        let _ = acceptor.join();
        let mut connections = self.shared.lock();
        let asks_nothing = |entry: &&Entry| !matches!(entry.state, State::Busy | State::Answering(_));
        for entry in connections.open.values().filter(asks_nothing) {
            let _ = entry.stream.shutdown(Shutdown::Both);
        }
        let deadline = Instant::now() + limits::SERVER_STOP_WAIT_MAX;
        while !connections.open.is_empty() && Instant::now() < deadline {
            connections = self.shared.wait(connections, deadline);
        }
        let rest: Vec<Entry> = connections.open.drain().map(|(_, entry)| entry).collect();
        drop(connections);
        for entry in &rest {
            let _ = entry.stream.shutdown(Shutdown::Both);
        }
        for thread in rest.into_iter().filter_map(|entry| entry.thread) {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the threads of a server share.
struct Shared {
    settings: ServerSettings,
    handler: Box<dyn Fn(&InRequest) -> Reply + Send + Sync>,
    stop: Stop,
    connections: Mutex<Connections>,
    /// A connection was closed.
    changed: Condvar,
}

struct Connections {
    next_id: u64,
    open: HashMap<u64, Entry>,
}

struct Entry {
    stream: Arc<TcpStream>,
    state: State,
    /// Bytes of its request.
    held: usize,
    /// None until its thread is started.
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Since then the peer owes us bytes.
    Waiting(Instant),
    /// A request is worked on.
    Busy,
    /// Since then the peer is sent an answer, which it may not take.
    Answering(Instant),
    /// The socket is shut down, the thread about to end.
    Closing,
}

impl State {
    /// Since when the peer keeps us waiting.
    fn since(self) -> Option<Instant> {
        match self {
            State::Waiting(since) | State::Answering(since) => Some(since),
            State::Busy | State::Closing => None,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        crate::sync::lock(&self.connections)
    }

    fn wait<'g>(&self, guard: MutexGuard<'g, Connections>, until: Instant) -> MutexGuard<'g, Connections> {
        let time = until.saturating_duration_since(Instant::now());
        crate::sync::unpoisoned(self.changed.wait_timeout(guard, time)).0
    }

    /// Notes what a connection is about; one that is to be closed stays so.
    fn note(&self, id: u64, state: State) {
        let mut connections = self.lock();
        if let Some(entry) = connections.open.get_mut(&id).filter(|entry| entry.state != State::Closing) {
            entry.state = state;
        }
    }

    /// Notes how many bytes a connection holds. False when it has to give them up; another one may have to
    /// in its place.
    fn hold(&self, id: u64, bytes: usize) -> bool {
        if self.settings.held_bytes_max == usize::MAX {
            return true;
        }
        let mut connections = self.lock();
        if let Some(entry) = connections.open.get_mut(&id) {
            entry.held = bytes;
        }
        let is_over = |open: &HashMap<u64, Entry>| {
            let held = open.values().filter(|entry| entry.state != State::Closing).map(|entry| entry.held);
            self.settings.held_bytes_max < held.sum()
        };
        while is_over(&connections.open) {
            let incomplete =
                connections.open.iter_mut().filter(|(_, entry)| matches!(entry.state, State::Waiting(_)));
            match incomplete.max_by_key(|(_, entry)| entry.held) {
                Some((largest, entry)) if *largest != id => {
                    entry.state = State::Closing;
                    let _ = entry.stream.shutdown(Shutdown::Both);
                }
                _ => return false,
            }
        }
        true
    }

    fn remove(&self, id: u64) {
        self.lock().open.remove(&id);
        self.changed.notify_all();
    }

    /// A place for a new connection, if need be that of the one that keeps us waiting longest.
    fn admit(&self, stream: &Arc<TcpStream>) -> Option<u64> {
        let mut connections = self.lock();
        let begin = Instant::now();
        while self.settings.connections_max <= connections.open.len() {
            let is_closing = connections.open.values().any(|entry| entry.state == State::Closing);
            let slow = connections.open.values_mut().filter_map(|entry| Some((entry.state.since()?, entry)));
            let slowest = slow.min_by_key(|(since, _)| *since);
            let room_wait_max = match slowest {
                _ if is_closing => limits::SERVER_CLOSING_WAIT_MAX,
                Some((_, entry)) => {
                    entry.state = State::Closing;
                    let _ = entry.stream.shutdown(Shutdown::Both);
                    limits::SERVER_CLOSING_WAIT_MAX
                }
                None => limits::SERVER_ROOM_WAIT_MAX,
            };
            let deadline = begin + room_wait_max;
            if deadline <= Instant::now() || self.stop.is_stopped() {
                return None;
            }
            connections = self.wait(connections, deadline);
        }
        let id = connections.next_id;
        connections.next_id += 1;
        let entry =
            Entry { stream: stream.clone(), state: State::Waiting(Instant::now()), held: 0, thread: None };
        connections.open.insert(id, entry);
        Some(id)
    }
}

fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stop.is_stopped() {
        match listener.accept() {
            Ok((stream, peer)) => {
                if let Err(error) = begin(stream, peer, shared) {
                    log::debug!(target: "server", "connection of {peer} refused: {error}");
                }
            }
            Err(error) => {
                // Peers that are gone already, or no descriptors left: both pass.
                if !shared.stop.is_stopped() {
                    log::debug!(target: "server", "accept: {error}");
                    shared.stop.wait(limits::SERVER_ACCEPT_RETRY_WAIT);
                }
            }
        }
    }
}

/// Starts the thread of one connection.
fn begin(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) -> Result<()> {
    stream.set_nodelay(true).context(|| "set TCP_NODELAY")?;
    let stream = Arc::new(stream);
    let Some(id) = shared.admit(&stream) else {
        connection::refuse_busy(&stream);
        return Err(Error::new("all connections are busy"));
    };
    // The thread is handed its start only when its handle is in the list, so that `stop` joins it.
    let (go, start) = bounded::<()>(1);
    let spawned =
        std::thread::Builder::new().name("http:conn".into()).stack_size(limits::SERVER_STACK_BYTES).spawn({
            let shared = shared.clone();
            move || {
                let _ = start.recv();
                let place = Place { id, shared: &shared };
                if let Some(connection) = Connection::new(stream, peer, &place) {
                    connection.serve();
                }
            }
        });
    match spawned {
        Ok(thread) => {
            if let Some(entry) = shared.lock().open.get_mut(&id) {
                entry.thread = Some(thread);
            }
            let _ = go.send(());
            Ok(())
        }
        Err(error) => {
            shared.remove(id);
            Err(Error::new(format!("start a thread: {error}")))
        }
    }
}

/// A connection's place in the list; dropping it gives the place back, also in a panic.
struct Place<'s> {
    id: u64,
    shared: &'s Shared,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.remove(self.id);
    }
}

#[cfg(test)]
mod tests;
