//! From an address to an open connection: resolve, connect, proxy, TLS, all under one deadline.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::ServerName;
use ureq::http::Uri;
use ureq::unversioned::transport::{ConnectionDetails, Connector};

use super::dns;
use super::endpoint::{ConnectError, Endpoint, Stage};
use super::proxy::Proxy;
use super::socket::Socket;
use super::tls::{Tls, hello};
use super::wire::Wire;
use crate::error::Error;
use crate::limits::{CONNECT_WAIT_MAX, TLS_PROBE_BYTES_MAX, TLS_PROBE_WAIT_MAX};

/// Makes the connections of one client.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) tls: Arc<Tls>,
}

impl Connector for Dialer {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Wire>, ureq::Error> {
        let wait = (*details.timeout.after).min(CONNECT_WAIT_MAX);
        self.dial(details.uri, Instant::now() + wait).map(Some).map_err(|mut error| {
            if error.timed_out {
                // What is left of the request's timeout is a hair less than its setting.
                let millis = wait.as_secs_f64() * 1000.0;
                let set = Duration::from_millis((millis / 10.0).ceil() as u64 * 10);
                error.error = Error::new(format!("{} within {set:?}", error.error));
            }
            ureq::Error::Other(Box::new(error))
        })
    }
}

impl Dialer {
    /// # Errors
    /// Which stage failed, and why.
    pub(super) fn dial(&self, uri: &Uri, deadline: Instant) -> Result<Wire, ConnectError> {
        let Some(target) = Endpoint::of_uri(uri) else {
            return Err(ConnectError::new(Stage::Resolve, Error::new("the address has no host")));
        };
        let socket = self.reach(&target, deadline)?;
        if uri.scheme_str() != Some("https") {
            return Ok(Wire::plain(socket));
        }
        self.tls.handshake(socket, &target).map(Wire::tls).map_err(|mut error| {
            if error.no_common_tls
                && let Some(offer) = self.tls.offer(|name| self.probe(&target, name, deadline))
            {
                error.error = Error::new(format!("{}; the server offers {offer}", error.error));
            }
            error
        })
    }

    fn reach(&self, target: &Endpoint, deadline: Instant) -> Result<Socket, ConnectError> {
        let peer = self.proxy.as_ref().map_or(target, |proxy| proxy.endpoint());
        let mut socket = Socket::new(open(peer, deadline)?, deadline);
        if let Some(proxy) = &self.proxy {
            proxy.tunnel(&mut socket, target)?;
        }
        Ok(socket)
    }

    /// Greets the server with all that TLS had before 1.3, to learn what it would take.
    fn probe(&self, target: &Endpoint, name: Option<&str>, deadline: Instant) -> Option<String> {
        let deadline = deadline.min(Instant::now() + TLS_PROBE_WAIT_MAX);
        let mut socket = self.reach(target, deadline).ok()?;
        // An address is no name to ask for.
        let name = Some(name.unwrap_or(&target.host))
            .filter(|name| matches!(ServerName::try_from(*name), Ok(ServerName::DnsName(_))));
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).ok()?;
        socket.write_all(&hello::client_hello(&random, name)).ok()?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while !hello::is_complete(&answer) && answer.len() < TLS_PROBE_BYTES_MAX {
            match socket.read(&mut buffer) {
                Ok(count @ 1..) => answer.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
        hello::offer(&answer)
    }
}

/// Resolves the name and connects to the first address that answers. Each address gets an equal
/// share of the time, so that a dead one cannot use up what a living one needs.
fn open(peer: &Endpoint, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let addresses = resolve(peer, deadline)?;
    let mut failures = Vec::new();
    let mut timed_out = true;
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(1);
        // Zero would be an error of the call, not a time-out.
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(tcp) => {
                // A request is written whole: waiting for more to send only delays it.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(error) => {
                let failure = ConnectError::of_io(Stage::Connect, format!("connect {address}"), &error);
                timed_out &= failure.timed_out;
                failures.push(failure.error.to_string());
            }
        }
    }
    Err(ConnectError { timed_out, ..ConnectError::new(Stage::Connect, Error::new(failures.join("; "))) })
}

fn resolve(peer: &Endpoint, deadline: Instant) -> Result<Vec<SocketAddr>, ConnectError> {
    // Connecting needs time too.
    let left = deadline.saturating_duration_since(Instant::now());
    let addresses = dns::resolve(&peer.host, Instant::now() + left / 4 * 3).map_err(|unresolved| {
        let error = Error::new(format!("resolve {}: {}", peer.host, unresolved.text));
        ConnectError { timed_out: unresolved.timed_out, ..ConnectError::new(Stage::Resolve, error) }
    })?;
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, peer.port)).collect())
}
