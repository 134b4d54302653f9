//! Whatever strangers send to the address where the router is watched: its memory stays bounded,
//! `/livez` is answered, and routes go on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, Reply, Server, ServerSettings};

use crate::support::process::Process;
use crate::support::{SOON, Test, wait_for};

/// Connections that come one after the other.
const SEQUENCE: usize = 10_000;
/// Connections that say nothing.
const IDLE: usize = 500;
/// Peers of each unfriendly kind at the same time.
const UNFRIENDLY: usize = 4;
/// Events that are delivered meanwhile.
const EVENTS: usize = 2_000;
/// What all of them together may cost: buffers, stacks, and what the allocator keeps of them.
const GROWTH_KIB_MAX: u64 = 4 * 1024;

/// A router that delivers from a simulated vCenter to a sink that counts.
struct Watched {
    router: Process,
    address: SocketAddr,
    simulator: Simulator,
    delivered: Arc<AtomicUsize>,
    // Whoever holds it for writing holds back the sink's answers.
    answers: Arc<RwLock<()>>,
    _sink: Server,
    _test: Test,
}

impl Watched {
    fn start() -> Watched {
        let test = Test::new("strangers");
        let simulator = Simulator::start(Settings::default()).unwrap();
        let delivered = Arc::new(AtomicUsize::new(0));
        let answers = Arc::new(RwLock::new(()));
        let (counter, may_answer) = (delivered.clone(), answers.clone());
        let sink = Server::start("127.0.0.1:0", ServerSettings::default(), move |_| {
            drop(may_answer.read().unwrap());
            counter.fetch_add(1, Ordering::Relaxed);
            Reply::Answer(Answer::text(202, "ok"))
        })
        .unwrap();
        test.write(
            "router.toml",
            &format!(
                "[metrics]\nbind = \"127.0.0.1:0\"\n[source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\n\
                 username = \"{}\"\npassword = \"{}\"\n[processor.sink]\ntype = \"knative\"\n\
                 uri = \"http://{}/\"\n",
                simulator.url(),
                simulator.username(),
                simulator.password(),
                sink.address()
            ),
        );
        let mut router = test.start(&["run"]);
        let line = router.log_line(&["starting metrics server"]);
        let address = line.split("http://").last().unwrap().trim_end_matches('/').parse().unwrap();
        router.log_line(&["reading"]);
        let mut watched =
            Watched { router, address, simulator, delivered, answers, _sink: sink, _test: test };
        // Everything that a delivery and an answer need is there before memory is compared: full pages and
        // a full queue too, which a machine with much to do brings about by itself.
        watched.deliver_late(2 * EVENTS);
        watched.deliver(EVENTS);
        ["/", "/status", "/metrics", "/stats", "/livez"].iter().for_each(|path| watched.ask(path));
        watched
    }

    /// Has events happen and waits until the sink has them all.
    fn deliver(&mut self, events: usize) {
        let wanted = self.push(events);
        self.wait_for_delivered(wanted);
    }

    /// The same, with a sink that answers only when all events have happened: the queue is full, and so are
    /// the pages behind it.
    fn deliver_late(&mut self, events: usize) {
        let answers = self.answers.clone();
        let held = answers.write().unwrap();
        let wanted = self.push(events);
        drop(held);
        self.wait_for_delivered(wanted);
    }

    /// Has events happen and gives how many the sink then has to have.
    fn push(&mut self, events: usize) -> usize {
        let wanted = self.delivered.load(Ordering::Relaxed) + events;
        for _ in 0..events {
            self.simulator.push(Draft::vm("VmPoweredOnEvent", "web-1", "vm-1"));
        }
        wanted
    }

    fn wait_for_delivered(&self, wanted: usize) {
        wait_for("all events", SOON, || (wanted <= self.delivered.load(Ordering::Relaxed)).then_some(()));
    }

    /// One request on a connection of its own; it must be answered with 200.
    fn ask(&self, path: &str) {
        let said =
            self.say(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {said:?}");
    }

    fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Sends the bytes and gives everything that comes back until the router closes.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// A number of `/proc/PID/status`.
    fn proc_number(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.router.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    fn resident_kib(&self) -> u64 {
        self.proc_number("VmRSS:")
    }

    /// Peak since the start, so that nothing between two looks is missed.
    fn peak_kib(&self) -> u64 {
        self.proc_number("VmHWM:")
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

#[test]
fn ten_thousand_connections_leave_nothing_behind() {
    let mut watched = Watched::start();
    let (before, threads) = (watched.peak_kib(), watched.proc_number("Threads:"));
    for _ in 0..SEQUENCE {
        watched.ask("/livez");
    }
    wait_for("the end of their threads", SOON, || (watched.proc_number("Threads:") <= threads).then_some(()));
    let grown = watched.peak_kib() - before;
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more than {before}");
    watched.deliver(EVENTS);
}

#[test]
fn what_cannot_be_a_request_is_refused_and_forgotten() {
    let watched = Watched::start();
    let before = watched.peak_kib();
    let good = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    for (what, bytes, statuses) in [
        ("1 MiB in one field", format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(1 << 20)), vec![431]),
        (
            "1 MiB of fields",
            format!("GET / HTTP/1.1\r\nHost: x\r\n{}", "name: some value\r\n".repeat(1 << 16)),
            vec![431],
        ),
        (
            "1 GiB announced",
            format!("POST /stats HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\nbody", 1 << 30),
            vec![413],
        ),
        (
            "1 GiB in a chunk",
            "POST /stats HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\nbody".into(),
            vec![413],
        ),
        ("garbage behind good requests", format!("{good}{good}\u{1}\u{2}garbage"), vec![200, 200, 400]),
        ("more garbage than a buffer", format!("{good}{}", "\u{7}".repeat(1 << 20)), vec![200, 400]),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{7c}\u{3}\u{3}".into(), vec![400]),
    ] {
        for _ in 0..UNFRIENDLY {
            let mut stream = watched.connect();
            // The router may have closed before everything is sent, which is not an error here.
            let _ = stream.write_all(bytes.as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            let said = String::from_utf8_lossy(&said);
            let heads = said.split("HTTP/1.1 ").skip(1).map(|head| head[..3].parse::<u16>().unwrap());
            assert_eq!(heads.collect::<Vec<_>>(), statuses, "{what}: {said:?}");
            watched.ask("/livez");
        }
    }
    let grown = watched.peak_kib() - before;
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more than {before}");
}

#[test]
fn idle_slow_and_greedy_peers_disturb_nobody() {
    let mut watched = Watched::start();
    let (before, address) = (watched.peak_kib(), watched.address);
    let idle: Vec<TcpStream> = (0..IDLE).map(|_| watched.connect()).collect();
    watched.ask("/livez");
    let over = Arc::new(AtomicBool::new(false));
    let met = Arc::new(Mutex::new([0; 3]));
    let unfriendly: Vec<_> = (0..3 * UNFRIENDLY)
        .map(|n| {
            let (over, met) = (over.clone(), met.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let mut stream = connect(address);
                    match n % 3 {
                        0 => trickle(&mut stream, "GET /livez HTTP/1.1\r\nHost: x\r\nX: ", &over),
                        1 => trickle(
                            &mut stream,
                            "POST /stats HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n",
                            &over,
                        ),
                        _ => ask_and_never_read(&mut stream, &over),
                    }
                    met.lock().unwrap()[n % 3] += 1;
                }
            })
        })
        .collect();
    watched.deliver(EVENTS);
    // Every kind was there, and gave its place away or ran into a deadline.
    wait_for("all kinds of peers", SOON, || {
        watched.ask("/livez");
        met.lock().unwrap().iter().all(|count| UNFRIENDLY <= *count).then_some(())
    });
    watched.deliver(EVENTS);
    assert_eq!(watched.router.has_ended(), None);
    over.store(true, Ordering::Relaxed);
    for thread in unfriendly {
        thread.join().unwrap();
    }
    drop(idle);
    let grown = watched.peak_kib() - before;
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more than {before}, now {}", watched.resident_kib());
}

/// Sends a byte now and then until the router has enough of it.
pub fn trickle(stream: &mut TcpStream, begin: &str, over: &AtomicBool) {
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut sent = stream.write_all(begin.as_bytes());
    while sent.is_ok() && !over.load(Ordering::Relaxed) {
        sent = stream.write_all(b"x");
        if matches!(stream.read(&mut [0; 512]), Ok(0)) {
            return;
        }
    }
}

/// Asks for more than fits on the way and reads nothing.
fn ask_and_never_read(stream: &mut TcpStream, over: &AtomicBool) {
    stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let requests = "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    while !over.load(Ordering::Relaxed) {
        match stream.write_all(requests.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
}
