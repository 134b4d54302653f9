//! From a name to addresses: our own, because the resolver of musl fails a name when one of its
//! families or one of the search domains fails, and no resolver of the system keeps a deadline.
//!
//! `message` and `names` are values only; here are the files and the sockets. `nsswitch.conf` is not
//! read.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};

use self::message::{Family, Reply};
use self::names::Settings;
use super::socket::Socket;
use crate::error::io_text;
use crate::limits::{
    CONNECT_ADDRESSES_MAX, DNS_FILE_BYTES_MAX, DNS_MESSAGE_BYTES_MAX, DNS_OTHER_FAMILY_WAIT,
};

mod message;
mod names;

/// Why a name has no address.
#[derive(Debug)]
pub(super) struct Unresolved {
    /// Nobody said no: there was only no answer.
    pub(super) timed_out: bool,
    /// Which server said what.
    pub(super) text: String,
}

/// The addresses of a host in the order to try them, IPv6 and IPv4 in turn.
pub(super) fn resolve(host: &str, deadline: Instant) -> Result<Vec<IpAddr>, Unresolved> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let mut addresses = names::hosts(&text_of("/etc/hosts"), host);
    if addresses.is_empty() {
        addresses = match names::is_local(host) {
            true => vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
            false => Search::new(Settings::parse(&text_of("/etc/resolv.conf")), deadline).find(host)?,
        };
    }
    let mut addresses = names::alternating(addresses);
    addresses.truncate(CONNECT_ADDRESSES_MAX);
    Ok(addresses)
}

/// What is in a file; a missing one says nothing, as for any resolver.
fn text_of(path: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(DNS_FILE_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One name that is looked for.
struct Search {
    settings: Settings,
    servers: Vec<SocketAddr>,
    deadline: Instant,
    notes: Vec<Note>,
}

/// What a server said of a name.
#[derive(PartialEq)]
struct Note {
    server: IpAddr,
    said: Said,
    name: String,
    families: Vec<Family>,
}

#[derive(Clone, PartialEq)]
enum Said {
    Nothing,
    NoAddress,
    Code(u8),
    Failure(String),
}

/// A question to one server, and what became of it.
struct Question {
    family: Family,
    message: Vec<u8>,
    said: Option<Said>,
    addresses: Vec<IpAddr>,
}

impl Search {
    fn new(settings: Settings, deadline: Instant) -> Search {
        let servers = settings.servers.iter().map(|(ip, link)| address_of(*ip, link.as_deref())).collect();
        Search { settings, servers, deadline, notes: Vec::new() }
    }

    /// The addresses of the first of the full names that has one. Whatever fails is passed over.
    fn find(mut self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let candidates = self.settings.candidates(host);
        for (index, name) in candidates.iter().enumerate() {
            let found = self.find_full(name, candidates.len() - index);
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Err(self.unresolved())
    }

    /// Asks the servers for both families until one has an address or all is answered.
    fn find_full(&mut self, name: &str, names_left: usize) -> Vec<IpAddr> {
        let mut open = vec![Family::V6, Family::V4];
        for _ in 0..self.settings.attempts {
            for index in 0..self.servers.len() {
                let server = self.servers[index];
                let mut questions: Vec<Question> =
                    open.iter().filter_map(|family| Question::new(name, *family)).collect();
                if questions.is_empty() {
                    return Vec::new();
                }
                // A dead server must not use up what a living one, or the next name, needs.
                let left = self.deadline.saturating_duration_since(Instant::now());
                let tries = u32::try_from(self.servers.len() * names_left + 1).unwrap_or(u32::MAX);
                let wait = self.settings.timeout.min(left / tries);
                if wait.is_zero() {
                    return Vec::new();
                }
                let failure = ask(server, &mut questions, Instant::now() + wait).err();
                self.note(server.ip(), name, &questions, failure);
                if questions.iter().any(|question| question.said.is_some()) {
                    // Who answers is asked first for what follows.
                    self.servers[..=index].rotate_right(1);
                }
                let found: Vec<IpAddr> = questions.iter().flat_map(|q| q.addresses.clone()).collect();
                if !found.is_empty() {
                    return found;
                }
                let is_final = |q: &&Question| matches!(q.said, Some(Said::NoAddress | Said::Code(3)));
                open.retain(|family| !questions.iter().filter(is_final).any(|q| q.family == *family));
            }
        }
        Vec::new()
    }

    fn note(&mut self, server: IpAddr, name: &str, questions: &[Question], failure: Option<io::Error>) {
        let failure = failure.map(|error| Said::Failure(io_text(&error)));
        for question in questions.iter().filter(|question| question.addresses.is_empty()) {
            let said = question.said.clone().or(failure.clone()).unwrap_or(Said::Nothing);
            let same = |n: &&mut Note| n.server == server && n.said == said && n.name == name;
            if let Some(note) = self.notes.iter_mut().find(same) {
                if !note.families.contains(&question.family) {
                    note.families.push(question.family);
                }
            } else {
                let families = vec![question.family];
                self.notes.push(Note { server, said, name: name.to_owned(), families });
            }
        }
    }

    fn unresolved(self) -> Unresolved {
        let timed_out = !self.notes.is_empty() && self.notes.iter().all(|note| note.said == Said::Nothing);
        let texts: Vec<String> = self.notes.iter().map(Note::text).collect();
        let text = if texts.is_empty() { "not a valid name".to_owned() } else { texts.join("; ") };
        Unresolved { timed_out, text }
    }
}

impl Note {
    fn text(&self) -> String {
        let said = match &self.said {
            Said::Nothing => "does not answer".to_owned(),
            Said::NoAddress => "has no address".to_owned(),
            Said::Code(code) => format!("answers {}", message::code_name(*code)),
            Said::Failure(cause) => format!("cannot be asked ({cause})"),
        };
        let families: Vec<String> = self.families.iter().map(Family::to_string).collect();
        format!("name server {} {said} for {} ({})", self.server, self.name, families.join(", "))
    }
}

impl Question {
    fn new(name: &str, family: Family) -> Option<Question> {
        let mut id = [0; 2];
        SystemRandom::new().fill(&mut id).ok()?;
        let message = message::question(u16::from_be_bytes(id), name, family)?;
        Some(Question { family, message, said: None, addresses: Vec::new() })
    }

    fn take(&mut self, reply: Reply) {
        self.said = Some(match reply {
            Reply::Addresses(addresses) => {
                self.addresses = addresses;
                Said::NoAddress
            }
            Reply::Code(code) => Said::Code(code),
            Reply::Truncated => Said::Failure("its long answer cannot be had by TCP".to_owned()),
        });
    }
}

/// Asks one server all questions at once. What has no answer when `until` is over has none; and when
/// there is an address already, the other family is not waited for long.
fn ask(server: SocketAddr, questions: &mut [Question], mut until: Instant) -> io::Result<()> {
    let any: IpAddr =
        if server.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    // A port of its own for each time, and only this server's answers.
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    for question in questions.iter() {
        socket.send(&question.message)?;
    }
    let mut buffer = vec![0; DNS_MESSAGE_BYTES_MAX];
    while questions.iter().any(|question| question.said.is_none()) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        for question in questions.iter_mut().filter(|question| question.said.is_none()) {
            let Some(reply) = message::reply(&buffer[..length], &question.message, question.family) else {
                continue;
            };
            let by_tcp = match reply {
                Reply::Truncated => ask_by_tcp(server, question, until).ok().flatten(),
                _ => None,
            };
            question.take(by_tcp.unwrap_or(reply));
        }
        if questions.iter().any(|question| !question.addresses.is_empty()) {
            until = until.min(Instant::now() + DNS_OTHER_FAMILY_WAIT);
        }
    }
    Ok(())
}

fn ask_by_tcp(server: SocketAddr, question: &Question, until: Instant) -> io::Result<Option<Reply>> {
    let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut socket = Socket::new(TcpStream::connect_timeout(&server, left)?, until);
    let length = u16::try_from(question.message.len()).map_err(io::Error::other)?;
    socket.write_all(&[&length.to_be_bytes()[..], &question.message].concat())?;
    let mut length = [0; 2];
    socket.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    socket.read_exact(&mut answer)?;
    Ok(message::reply(&answer, &question.message, question.family))
}

/// The socket address of a server; the number of a link is in a file of its name.
fn address_of(ip: IpAddr, link: Option<&str>) -> SocketAddr {
    const PORT: u16 = 53;
    match (ip, link.filter(|link| !link.contains('/'))) {
        (IpAddr::V6(ip), Some(link)) => {
            let number = link.parse().ok();
            let named = || text_of(&format!("/sys/class/net/{link}/ifindex")).trim().parse().ok();
            SocketAddrV6::new(ip, PORT, 0, number.or_else(named).unwrap_or(0)).into()
        }
        (ip, _) => SocketAddr::new(ip, PORT),
    }
}
