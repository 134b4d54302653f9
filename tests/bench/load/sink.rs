//! The sink of a measurement, in a process of its own: a minimal HTTP or HTTPS server that answers
//! each request after a set time and notes what came.
//!
//! Its first line on standard output is its address; after each line on standard input it prints
//! what it noted so far (`Noted`).

use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::load::Load;

const ANSWER: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
/// Keys that can be told apart.
const KEYS_MAX: usize = 1 << 21;

/// What a sink saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    /// Events; as many as requests, unless these are batches.
    pub(crate) requests: u64,
    /// Those that had come before.
    pub(crate) repeated: u64,
    /// Events that came after a later one about the same machine.
    pub(crate) disordered: u64,
    /// Bytes of requests and answers, without TLS.
    pub(crate) bytes: u64,
    /// Unix time of the first and the last request, in microseconds.
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    /// From creation to arrival of the first thousands of events, in microseconds.
    pub(crate) latencies_us: Vec<u64>,
}

impl Noted {
    pub(crate) fn write(&self) -> String {
        let Noted { requests, repeated, disordered, bytes, first_us, last_us, latencies_us } = self;
        let latencies: Vec<String> = latencies_us.iter().map(u64::to_string).collect();
        format!("{requests} {repeated} {disordered} {bytes} {first_us} {last_us} {}", latencies.join(","))
    }

    pub(crate) fn read(line: &str) -> Noted {
        let mut words = line.trim_end_matches('\n').split(' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a line of the sink");
        let (requests, repeated, disordered, bytes) = (number(), number(), number(), number());
        let (first_us, last_us) = (number(), number());
        let latencies = words.next().unwrap_or_default().split(',');
        let latencies_us = latencies.filter_map(|word| word.parse().ok()).collect();
        Noted { requests, repeated, disordered, bytes, first_us, last_us, latencies_us }
    }
}

struct Sink {
    delay: Duration,
    bytes: AtomicU64,
    requests: AtomicU64,
    last_us: AtomicU64,
    seen: Vec<AtomicU64>,
    noted: Mutex<Noted>,
    newest: Mutex<HashMap<String, u64>>,
}

/// How a CloudEvent of a batch begins.
const BEGIN: &[u8] = b"{\"specversion\":";
/// A batch holds 1 MiB.
const REQUEST_BYTES_MAX: usize = (1 << 20) + 64 * 1024;

/// Latencies that are kept; later ones are those of a backlog.
const LATENCIES_MAX: u64 = 5000;

/// Serves until standard input ends. With TLS the certificate of its authority is written to `load.tls`.
pub(crate) fn serve(load: &Load) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
    let tls = load.tls.as_deref().map(tls_config);
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("{scheme}://{}/", listener.local_addr().expect("an address"));
    let sink = Arc::new(Sink {
        delay: load.delay,
        bytes: AtomicU64::new(0),
        requests: AtomicU64::new(0),
        last_us: AtomicU64::new(0),
        seen: (0..KEYS_MAX / 64).map(|_| AtomicU64::new(0)).collect(),
        noted: Mutex::new(Noted::default()),
        newest: Mutex::new(HashMap::new()),
    });
    let accepting = sink.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (sink, tls) = (accepting.clone(), tls.clone());
            let _ = stream.set_nodelay(true);
            // A connection that breaks ends its thread: the router tries again.
            std::thread::spawn(move || match tls {
                None => sink.answer(stream),
                Some(config) => {
                    let connection = ServerConnection::new(config).expect("a TLS connection");
                    sink.answer(StreamOwned::new(connection, stream));
                }
            });
        }
    });
    for _ in std::io::stdin().lock().lines() {
        println!("{}", sink.noted().write());
    }
}

/// A certificate for 127.0.0.1 whose authority is written to `ca_file`.
fn tls_config(ca_file: &Path) -> Arc<ServerConfig> {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = ca.self_signed(&ca_key).expect("a certificate");
    std::fs::write(ca_file, certificate.pem()).expect("write the certificate");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let leaf = params.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a certificate with its key");
    Arc::new(config)
}

impl Sink {
    fn answer(&self, mut stream: impl Read + Write) {
        let mut buffer = vec![0; REQUEST_BYTES_MAX];
        let mut filled = 0;
        loop {
            let Some(end) = end_of_request(&buffer[..filled]) else {
                match stream.read(&mut buffer[filled..]) {
                    Ok(0) | Err(_) => return,
                    Ok(bytes) => filled += bytes,
                }
                continue;
            };
            self.bytes.fetch_add((end + ANSWER.len()) as u64, Relaxed);
            let mut rest = &buffer[..end];
            // Each event of a batch begins so; one alone has no such member.
            match find(rest, BEGIN) {
                None => self.note(rest),
                Some(first) => {
                    rest = &rest[first..];
                    while let Some(next) = find(rest, BEGIN) {
                        self.note(&rest[..next]);
                        rest = &rest[next..];
                    }
                    self.note(rest);
                }
            }
            if !self.delay.is_zero() {
                std::thread::sleep(self.delay);
            }
            if stream.write_all(ANSWER).and_then(|()| stream.flush()).is_err() {
                return;
            }
            buffer.copy_within(end..filled, 0);
            filled -= end;
        }
    }

    fn note(&self, request: &[u8]) {
        let now_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64);
        self.last_us.fetch_max(now_us, Relaxed);
        let number = self.requests.fetch_add(1, Relaxed);
        let key = number_after(request, b"\"Key\":").unwrap_or(0);
        let bit = 1 << (key % 64);
        let repeated = self.seen[key as usize / 64 % self.seen.len()].fetch_or(bit, Relaxed) & bit != 0;
        let late = self.is_late(request, key);
        if number < LATENCIES_MAX || repeated || late {
            let mut noted = self.noted.lock().expect("the lock");
            noted.repeated += u64::from(repeated);
            noted.disordered += u64::from(late);
            if number == 0 {
                noted.first_us = now_us;
            }
            if number < LATENCIES_MAX {
                let created_us = created_us(request).unwrap_or(now_us);
                noted.latencies_us.push(now_us.saturating_sub(created_us));
            }
        }
    }

    /// Whether a later event about the same machine came before.
    fn is_late(&self, request: &[u8], key: u64) -> bool {
        let Some(at) = find(request, b"\"VirtualMachine\",\"Value\":\"") else { return false };
        let value = &request[at..];
        let value = &value[..value.iter().position(|byte| *byte == b'"').unwrap_or(0)];
        let machine = String::from_utf8_lossy(value);
        let mut newest = self.newest.lock().expect("the lock");
        let last = match newest.get_mut(&*machine) {
            Some(last) => std::mem::replace(last, key.max(*last)),
            None => {
                newest.insert(machine.into_owned(), key);
                0
            }
        };
        key < last
    }

    fn noted(&self) -> Noted {
        let noted = self.noted.lock().expect("the lock").clone();
        Noted {
            requests: self.requests.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            last_us: self.last_us.load(Relaxed),
            ..noted
        }
    }
}

/// Where the first request ends, if it is all there.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")?;
    let length = number_after(&bytes[..head], b"ontent-length: ")
        .or_else(|| number_after(&bytes[..head], b"ontent-Length: "))?;
    let end = head + length as usize;
    (end <= bytes.len()).then_some(end)
}

/// The time that the header `ce-time` tells.
fn created_us(request: &[u8]) -> Option<u64> {
    let value = &request[find(request, b"ce-time: ")?..];
    let value = &value[..value.iter().position(|byte| *byte == b'\r')?];
    let time: Timestamp = std::str::from_utf8(value).ok()?.parse().ok()?;
    u64::try_from(time.as_microsecond()).ok()
}

fn number_after(bytes: &[u8], name: &[u8]) -> Option<u64> {
    let rest = &bytes[find(bytes, name)?..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// The place behind the first `part`.
fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    let first = *part.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(part) {
            return Some(from + at + part.len());
        }
        from += at + 1;
    }
    None
}
