//! A whole route in one process: a scripted source and a scripted processor, real threads, real
//! files.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use jiff::Timestamp;

use super::*;
use crate::config::{ConnectionConfig, Format, MetricsConfig, Order, RetryConfig};
use crate::event::Position;
use crate::limits::OVERLAP_DEFAULT;
use crate::observe::registry::{Registry, Watched};
use crate::observe::server::ObserveServer;
use crate::observe::snapshot::Part;
use crate::pattern::Pattern;
use crate::position::file::{CheckpointFile, FilePositions};
use crate::position::record::Checkpoint;
use crate::processor::{Delivery, Failure, Retry, Verdict};
use crate::source::{Item, Opened, Page, SourceError};
use crate::testing::{Folder, event, folder};
use crate::vim::json::BrokenEvent;

mod crash;

const START: i64 = 1_700_000_000;

/// A history of events: one per second from `START` on, about ten objects in turn.
struct History {
    events: i64,
    page: usize,
    next: i64,
    opened: Arc<Mutex<Vec<Option<Timestamp>>>>,
    // Reading fails once before this key.
    lost_before: Option<i64>,
    broken: Option<i64>,
    // At its end it shows its last events again and again.
    repeats: bool,
    // Further bytes of each event.
    padding: usize,
    // Left out by the source, behind its last event.
    passed: Option<Position>,
}

fn nth(key: i64) -> Event {
    let mut event = event(key, &format!("vm-{}", key % 10));
    event.position.time = Timestamp::from_second(START + key).unwrap();
    event
}

impl Source for History {
    fn open(&mut self, begin: Option<Timestamp>) -> std::result::Result<Opened, SourceError> {
        self.opened.lock().unwrap().push(begin);
        let begin = begin.unwrap_or(Timestamp::from_second(START).unwrap());
        self.next = (begin.as_second() - START).max(0);
        let description = "a test history".to_string();
        Ok(Opened {
            identity: "one".to_string(),
            begin,
            now: Timestamp::now(),
            description,
            is_purged: false,
        })
    }

    fn read(&mut self) -> std::result::Result<Page, SourceError> {
        let mut page = Page::default();
        while page.items.len() < self.page && self.next < self.events {
            if self.lost_before == Some(self.next) {
                self.lost_before = None;
                return Err(SourceError::lost(Error::new("the session is gone")));
            }
            page.items.push(match self.broken == Some(self.next) {
                true => Item::Broken(BrokenEvent {
                    key: Some(nth(self.next).position.key),
                    created: Some(nth(self.next).position.time),
                    raw: b"<odd/>".to_vec(),
                    reason: "odd".to_string(),
                }),
                false => {
                    let mut event = nth(self.next);
                    event.ce.data.resize(event.ce.data.len() + self.padding, b' ');
                    Item::Event(event)
                }
            });
            self.next += 1;
        }
        if page.items.is_empty() && self.repeats {
            page.items.extend((self.events - 5..self.events).map(|key| Item::Event(nth(key))));
        }
        page.more = self.next < self.events || self.repeats;
        Ok(page)
    }

    fn passed(&mut self) -> Option<Position> {
        self.passed.take_if(|_| self.next == self.events)
    }

    fn wait(&mut self, stop: &Stop, longest: Duration) -> std::result::Result<(), SourceError> {
        stop.wait(longest);
        Ok(())
    }

    fn close(&mut self) {}
}

type Answer = dyn Fn(&Delivery) -> Verdict + Send + Sync;

/// Records what it acknowledges.
struct Sink {
    acknowledged: Mutex<Vec<i64>>,
    answer: Box<Answer>,
}

impl Processor for Sink {
    fn deliver(&self, batch: &[Delivery], verdicts: &mut Vec<Verdict>) {
        for delivery in batch {
            let verdict = (self.answer)(delivery);
            if verdict.failures.is_empty() {
                self.acknowledged.lock().unwrap().push(delivery.event.position.key);
            }
            verdicts.push(verdict);
        }
    }
}

struct Bench {
    folder: Folder,
    opened: Arc<Mutex<Vec<Option<Timestamp>>>>,
    history: History,
    config: RouteConfig,
    at_least_once: bool,
}

struct Running {
    route: Route,
    exits: Receiver<Exit>,
    sink: Arc<Sink>,
}

impl Bench {
    fn new(events: i64) -> Bench {
        let opened = Arc::new(Mutex::new(Vec::new()));
        let history = History {
            events,
            page: 100,
            next: 0,
            opened: opened.clone(),
            lost_before: None,
            broken: None,
            repeats: false,
            padding: 0,
            passed: None,
        };
        let config = RouteConfig {
            name: "power".to_string(),
            from: "a".to_string(),
            to: "b".to_string(),
            types: Vec::new(),
            pattern: None,
            order: Order::Entity,
            workers: 4,
            format: Format::Router,
            retry: RetryConfig {
                first: Duration::from_millis(1),
                max: Duration::from_millis(5),
                give_up_after: None,
            },
            dead_letter_bytes_max: 1 << 20,
        };
        Bench { folder: folder("route"), opened, history, config, at_least_once: true }
    }

    fn start(&self, answer: impl Fn(&Delivery) -> Verdict + Send + Sync + 'static) -> Running {
        let sink = Arc::new(Sink { acknowledged: Mutex::new(Vec::new()), answer: Box::new(answer) });
        let history = History { opened: self.opened.clone(), ..self.history };
        let parts = RouteParts {
            config: self.config.clone(),
            source: Box::new(history),
            about: About { source_address: "test".to_string(), ..About::default() },
            replay_max: None,
            overlap: OVERLAP_DEFAULT,
            processor: sink.clone(),
            positions: self.at_least_once.then(|| self.positions()),
            letters_dir: self.at_least_once.then(|| self.folder.path().to_path_buf()),
        };
        let (sender, exits) = bounded(Route::threads_max(&self.config));
        let route = Route::start(0, parts, &sender).unwrap();
        Running { route, exits, sink }
    }

    fn positions(&self) -> Box<dyn Positions> {
        Box::new(FilePositions::new(self.folder.path(), &self.config.name, "test"))
    }

    fn checkpoint(&self) -> Checkpoint {
        let file = CheckpointFile::new(self.folder.path(), "power");
        file.read().unwrap().expect("a checkpoint").checkpoint
    }
}

impl Running {
    fn wait(&self, what: &str, mut condition: impl FnMut(&Running) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.route.view().snapshot());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_acknowledged(&self, count: usize) {
        self.wait("acknowledged", |running| count <= running.sink.acknowledged.lock().unwrap().len());
    }

    fn stop(self) -> Vec<i64> {
        self.route.stop();
        let mut left = self.route.roles();
        while left.iter().any(|role| *role != Role::Checkpointer) {
            let exit = self.exits.recv_timeout(Duration::from_secs(30)).expect("a thread ends");
            left.swap_remove(left.iter().position(|role| *role == exit.role).unwrap());
        }
        self.route.end_checkpointer();
        for _ in left {
            let exit = self.exits.recv_timeout(Duration::from_secs(30)).expect("the checkpointer ends");
            assert_eq!(exit.failure, None);
        }
        self.sink.acknowledged.lock().unwrap().clone()
    }
}

fn later() -> Verdict {
    Verdict::failed(Failure {
        target: String::new(),
        retry: Retry::Later { after: None, unsent: false },
        reason: "503",
        detail: "POST test: status 503".to_string(),
    })
}

fn never() -> Verdict {
    let mut verdict = later();
    verdict.failures[0].retry = Retry::Never;
    verdict
}

fn refused() -> Verdict {
    let mut verdict = later();
    verdict.failures[0].retry = Retry::Sender { after: None };
    verdict
}

fn sorted(mut keys: Vec<i64>) -> Vec<i64> {
    keys.sort_unstable();
    keys
}

#[test]
fn a_sink_that_refuses_the_sender_for_a_while_makes_no_dead_letters() {
    let bench = Bench::new(28);
    let is_open = Arc::new(AtomicBool::new(false));
    let open = is_open.clone();
    let running = bench.start(move |_| match open.load(Ordering::SeqCst) {
        true => Verdict::delivered(),
        false => refused(),
    });
    running.wait("refusals", |running| {
        running.route.view().snapshot().counts.retried.iter().map(|(_, count)| count).sum::<u64>() > 100
    });
    is_open.store(true, Ordering::SeqCst);
    running.wait_acknowledged(28);
    let counts = running.route.view().snapshot().counts;
    assert_eq!((counts.dead_lettered, counts.delivered), (0, 28));
    assert_eq!(sorted(running.stop()), (0..28).collect::<Vec<_>>());
}

#[test]
fn an_event_that_alone_is_refused_as_if_by_its_sender_is_a_dead_letter() {
    let bench = Bench::new(40);
    let running = bench.start(|delivery| match delivery.event.position.key {
        3 => refused(),
        _ => Verdict::delivered(),
    });
    running.wait("the dead letter", |running| running.route.view().snapshot().counts.dead_lettered == 1);
    running.wait_acknowledged(39);
    assert!(!running.stop().contains(&3));
}

#[test]
fn a_source_that_repeats_its_last_page_is_braked_and_said() {
    let mut bench = Bench::new(250);
    bench.history.repeats = true;
    let running = bench.start(|_| Verdict::delivered());
    running.wait_acknowledged(250);
    running.wait("the incident", |running| {
        running.route.view().snapshot().incidents.iter().any(|incident| incident.part == Part::Repeats)
    });
    let counts = running.route.view().snapshot().counts;
    assert!(counts.pages < 20, "{} pages", counts.pages);
    assert_eq!(sorted(running.stop()), (0..250).collect::<Vec<_>>());
}

#[test]
fn every_event_arrives_once_and_in_order_per_object() {
    let mut bench = Bench::new(3000);
    bench.history.lost_before = Some(1234);
    let running = bench.start(|_| Verdict::delivered());
    running.wait_acknowledged(3000);
    let keys = running.stop();
    assert_eq!(sorted(keys.clone()), (0..3000).collect::<Vec<_>>());
    for object in 0..10 {
        let of_object: Vec<i64> = keys.iter().copied().filter(|key| key % 10 == object).collect();
        assert!(of_object.is_sorted(), "vm-{object}");
    }
    assert_eq!(bench.opened.lock().unwrap().len(), 2);
    let progress = bench.checkpoint().progress;
    assert_eq!(progress.time, nth(2999).position.time);
    assert_eq!(progress.last.unwrap().id, "id-2999");
}

#[test]
fn the_start_is_durable_before_the_first_event_is_read() {
    let bench = Bench::new(1);
    let path = bench.folder.path().join("power.checkpoint.json");
    let seen = Arc::new(AtomicBool::new(false));
    let found = seen.clone();
    let running = bench.start(move |_| {
        found.store(path.exists(), Ordering::SeqCst);
        Verdict::delivered()
    });
    running.wait_acknowledged(1);
    running.stop();
    assert!(seen.load(Ordering::SeqCst));
}

#[test]
fn a_failing_object_is_tried_again_and_holds_only_itself() {
    let bench = Bench::new(1000);
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let running = bench.start(move |delivery| {
        let held = delivery.event.position.key % 10 == 3 && !gate.load(Ordering::SeqCst);
        if held { later() } else { Verdict::delivered() }
    });
    running.wait_acknowledged(900);
    running.wait("checkpoint", |_| bench.checkpoint().progress.settled.contains(nth(999).position));
    assert!(bench.checkpoint().progress.resume() <= nth(3).position.time, "3 is not settled");
    open.store(true, Ordering::SeqCst);
    running.wait_acknowledged(1000);
    assert!(0 < running.route.view().stats().retried.sum());
    let keys = running.stop();
    let held: Vec<i64> = keys.into_iter().filter(|key| key % 10 == 3).collect();
    assert!(held.is_sorted());
}

#[test]
fn what_one_object_holds_takes_no_room_from_the_others() {
    let mut bench = Bench::new(3000);
    bench.history.padding = 2000;
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let running = bench.start(move |delivery| {
        let held = delivery.event.position.key % 2 == 1 && !gate.load(Ordering::SeqCst);
        if held { later() } else { Verdict::delivered() }
    });
    // Half of the objects hold 3.8 MB of events.
    running.wait_acknowledged(1500);
    assert_eq!(running.route.view().snapshot().outstanding, 1500);
    open.store(true, Ordering::SeqCst);
    running.wait_acknowledged(3000);
    assert_eq!(sorted(running.stop()), (0..3000).collect::<Vec<_>>());
}

#[test]
fn a_large_event_that_waits_stops_nobody_and_a_full_room_is_said() {
    let mut bench = Bench::new(200);
    bench.history.padding = 1_300_000;
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let running = bench.start(move |delivery| {
        let held = delivery.event.position.key % 10 < 2 && !gate.load(Ordering::SeqCst);
        if held { later() } else { Verdict::delivered() }
    });
    // Until the sixth or seventh of 1.3 MB fills the room of what is held.
    running.wait_acknowledged(24);
    running.wait("the incident", |running| {
        let incidents = running.route.view().snapshot().incidents;
        incidents.iter().any(|incident| incident.consequence.contains("the route holds, as "))
    });
    open.store(true, Ordering::SeqCst);
    running.wait_acknowledged(200);
    assert_eq!(sorted(running.stop()), (0..200).collect::<Vec<_>>());
}

#[test]
fn the_first_success_after_an_outage_ends_the_waits_of_the_others() {
    let mut bench = Bench::new(300);
    let hour = Duration::from_secs(3600);
    bench.config.retry = RetryConfig { first: hour, max: hour, give_up_after: None };
    bench.config.order = Order::None;
    let tried = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = tried.clone();
    // Down for the first 299 events: each would wait for an hour.
    let running = bench.start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0..299 => later(),
        _ => Verdict::delivered(),
    });
    running.wait_acknowledged(300);
    assert_eq!(sorted(running.stop()), (0..300).collect::<Vec<_>>());
    assert_eq!(tried.load(Ordering::SeqCst), 599);
}

#[test]
fn a_restart_repeats_nothing_that_was_settled_and_skips_nothing_that_was_not() {
    let bench = Bench::new(500);
    let running = bench.start(|delivery| match delivery.event.position.key % 10 {
        3 => later(),
        _ => Verdict::delivered(),
    });
    running.wait_acknowledged(450);
    let first = running.stop();
    let running = bench.start(|_| Verdict::delivered());
    running.wait_acknowledged(50);
    let second = running.stop();
    assert_eq!(second, (0..500).filter(|key| key % 10 == 3).collect::<Vec<_>>());
    assert_eq!(first.len() + second.len(), 500);
}

#[test]
fn permanent_failures_and_broken_events_become_dead_letters_and_the_rest_arrives() {
    let mut bench = Bench::new(1000);
    bench.history.broken = Some(500);
    let running = bench.start(|delivery| match delivery.event.position.key {
        700 => never(),
        _ => Verdict::delivered(),
    });
    running.wait_acknowledged(998);
    running.wait("settled", |running| running.route.view().snapshot().outstanding == 0);
    running.stop();
    assert_eq!(bench.checkpoint().progress.time, nth(999).position.time);
    let (letters, unreadable) =
        dead_letter::read(&bench.folder.path().join("power.dead-letters.jsonl")).unwrap();
    assert_eq!((letters.len(), unreadable), (2, 0));
    let mut reasons: Vec<&str> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["503", "conversion"]);
    let event = letters.iter().find_map(|letter| letter.event.as_ref()).unwrap();
    assert_eq!(event.id, "id-700");
}

#[test]
fn a_full_dead_letter_file_holds_the_event() {
    let mut bench = Bench::new(20);
    bench.config.dead_letter_bytes_max = 10;
    let running = bench.start(|delivery| match delivery.event.position.key {
        7 => never(),
        _ => Verdict::delivered(),
    });
    running.wait_acknowledged(18);
    running.wait("trouble", |running| !running.route.view().snapshot().incidents.is_empty());
    let incident = running.route.view().snapshot().incidents.remove(0);
    assert!(incident.part == Part::DeadLetters && incident.detail.contains("are full"), "{incident:?}");
    running.stop();
    assert!(bench.checkpoint().progress.resume() <= nth(7).position.time);
}

#[test]
fn give_up_after_turns_endless_retry_into_a_dead_letter() {
    let mut bench = Bench::new(20);
    bench.config.retry.give_up_after = Some(Duration::from_millis(20));
    let running = bench.start(|delivery| match delivery.event.position.key {
        7 => later(),
        _ => Verdict::delivered(),
    });
    running.wait("settled", |running| {
        running.route.view().stats().dead_lettered.get() == 1
            && running.route.view().snapshot().outstanding == 0
    });
    assert_eq!(running.stop().len(), 19);
}

#[test]
fn at_most_once_sends_once_and_keeps_nothing_on_disk() {
    let mut bench = Bench::new(100);
    bench.at_least_once = false;
    let tried = Arc::new(Mutex::new(HashMap::new()));
    let count = tried.clone();
    let running = bench.start(move |delivery| {
        *count.lock().unwrap().entry(delivery.event.position.key).or_insert(0) += 1;
        if delivery.event.position.key == 5 { later() } else { Verdict::delivered() }
    });
    running.wait("settled", |running| {
        running.route.view().snapshot().outstanding == 0 && 0 < running.route.view().stats().lost.get()
    });
    running.wait_acknowledged(99);
    running.stop();
    assert!(tried.lock().unwrap().values().all(|times| *times == 1));
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), 0);
}

#[test]
fn a_pattern_filters_by_content() {
    let mut bench = Bench::new(1000);
    bench.config.types = vec!["VmPoweredOnEvent".to_string()];
    let pattern = r#"{"data":{"Key":[{"numeric":["<",5]},997]},"subject":[{"prefix":"Vm"}]}"#;
    bench.config.pattern = Some(Arc::new(Pattern::compile(pattern).unwrap()));
    let running = bench.start(|_| Verdict::delivered());
    running.wait_acknowledged(6);
    running.wait("filtered", |running| running.route.view().stats().filtered.get() == 994);
    assert_eq!(sorted(running.stop()), [0, 1, 2, 3, 4, 997]);
}

#[test]
fn types_filter_by_name_and_excluded_events_are_settled() {
    let mut bench = Bench::new(50);
    bench.config.types = vec!["VmPoweredOff*".to_string()];
    let running = bench.start(|_| Verdict::delivered());
    running.wait("filtered", |running| running.route.view().stats().filtered.get() == 50);
    assert!(running.stop().is_empty());
    let progress = bench.checkpoint().progress;
    assert_eq!((progress.time, progress.last.unwrap().id.as_str()), (nth(49).position.time, "id-49"));
}

#[test]
fn what_the_source_leaves_out_moves_the_position() {
    let mut bench = Bench::new(50);
    let passed = nth(70).position;
    bench.history.passed = Some(passed);
    let running = bench.start(|_| Verdict::delivered());
    running.wait("the position", |running| running.route.view().snapshot().settled_to == Some(passed.time));
    assert_eq!(running.stop().len(), 50);
    let progress = bench.checkpoint().progress;
    assert!(progress.settled.contains(passed) && progress.time == passed.time);
}

#[test]
fn a_slow_sink_holds_the_poller_and_memory() {
    let mut bench = Bench::new(100_000);
    bench.config.order = Order::None;
    bench.history.page = 1000;
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let running = bench.start(move |_| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !gate.load(Ordering::SeqCst) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        Verdict::delivered()
    });
    running.wait("full", |running| 500 < running.route.view().snapshot().outstanding);
    let mut last = 0;
    running.wait("steady", |running| {
        std::thread::sleep(Duration::from_millis(50));
        let now = running.route.view().snapshot().outstanding;
        std::mem::replace(&mut last, now) == now
    });
    assert!(last <= crate::limits::OUTSTANDING_EVENTS_MAX, "{last}");
    open.store(true, Ordering::SeqCst);
    running.wait_acknowledged(100_000);
    assert_eq!(sorted(running.stop()), (0..100_000).collect::<Vec<_>>());
}

#[test]
fn excluded_events_pass_one_that_the_sink_holds() {
    let mut bench = Bench::new(3 * crate::limits::LEDGER_PLACES_MAX as i64);
    bench.history.page = 1000;
    bench.config.pattern = Some(Arc::new(Pattern::compile(r#"{"data":{"Key":[0]}}"#).unwrap()));
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let running =
        bench.start(move |_| if gate.load(Ordering::SeqCst) { Verdict::delivered() } else { later() });
    let all = bench.history.events - 1;
    running.wait("all but one", |running| running.route.view().stats().filtered.get() == all as u64);
    running.wait("the record", |_| bench.checkpoint().progress.settled.contains(nth(all).position));
    assert_eq!(running.route.view().snapshot().outstanding, 1);
    assert!(bench.checkpoint().progress.resume() <= nth(0).position.time);
    open.store(true, Ordering::SeqCst);
    running.wait_acknowledged(1);
    assert_eq!(running.stop(), [0]);
    assert_eq!(bench.checkpoint().progress.time, nth(all).position.time);
}

#[test]
fn at_most_once_delivers_what_waits_and_ends_without_using_up_the_grace() {
    let mut bench = Bench::new(4);
    bench.at_least_once = false;
    bench.config.order = Order::Strict;
    let (release, held) = bounded::<()>(0);
    let running = bench.start(move |_| {
        let _ = held.recv();
        Verdict::delivered()
    });
    running.wait("busy", |running| running.route.view().snapshot().waiting == 3);
    // The others see that something waits, and rest, before the one that is busy goes on.
    let releasing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(release);
    });
    // Fails when a worker does not end: nobody closes the route here.
    assert_eq!(running.stop(), [0, 1, 2, 3]);
    releasing.join().unwrap();
}

/// While a delivery hangs, everything is answered from memory.
#[test]
fn a_hanging_route_can_be_watched() {
    use crate::http::client::{Client, ClientSettings, Request};
    let bench = Bench::new(20);
    let (release, held) = bounded::<()>(0);
    let running = bench.start(move |_| {
        let _ = held.recv();
        Verdict::delivered()
    });
    running.wait("busy", |running| running.route.view().snapshot().busy.role == "worker");
    let registry = Arc::new(Registry::new());
    let metrics = MetricsConfig { bind: "127.0.0.1:0".into(), auth: None };
    let server = ObserveServer::start(&metrics, registry.clone()).unwrap();
    registry.run(vec![Arc::new(running.route.view())]);
    let connection = ConnectionConfig::default();
    let client = Client::new(&ClientSettings { connection: &connection, connections_max: 1 }).unwrap();
    for path in ["", "status", "metrics", "stats", "livez", "healthz", "readyz"] {
        let begun = Instant::now();
        let answer = client.send(&Request {
            method: "GET",
            url: &format!("http://{}/{path}", server.address()),
            headers: &[],
            body: b"",
            timeout: Duration::from_secs(20),
            body_bytes_max: 1 << 20,
            repeat_if_stale: false,
            head_suffices: false,
        });
        let answer = answer.unwrap();
        let text = String::from_utf8(answer.body).unwrap();
        // Far more than it takes, far less than anything that hangs.
        assert!(begun.elapsed() < Duration::from_secs(5), "{path} took {:?}", begun.elapsed());
        assert_eq!(answer.status, 200, "{path}: {text}");
        if path == "metrics" {
            assert!(text.contains("\nrouter_queue_events{"), "{text}");
        }
    }
    drop(release);
    running.wait_acknowledged(20);
    running.stop();
}
