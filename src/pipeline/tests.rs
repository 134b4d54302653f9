//! A whole route in one process: a scripted source and a scripted processor, real threads, real
//! files.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::testing::{Bench, Running, later, never, nth, refused, sorted};
use super::*;
use crate::config::{ConnectionConfig, MetricsConfig, Order, RetryConfig};
use crate::observe::registry::{Registry, Watched};
use crate::observe::server::ObserveServer;
use crate::observe::snapshot::RoutePart;
use crate::pattern::Pattern;
use crate::processor::{Retry, Verdict};

mod crash;
mod held;

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
fn other_credentials_end_the_wait_of_a_route_that_is_refused() {
    let bench = Bench::new(28);
    let is_open = Arc::new(AtomicBool::new(false));
    let open = is_open.clone();
    let running = bench.start(move |_| match open.load(Ordering::SeqCst) {
        true => Verdict::delivered(),
        false => {
            let mut verdict = later();
            let after = Some(Duration::from_secs(300));
            verdict.failures[0].retry = Retry::Credentials { after, unsent: true };
            verdict
        }
    });
    let retried = |running: &Running| {
        running.route.view().snapshot().counts.retried.iter().map(|(_, count)| count).sum::<u64>()
    };
    running.wait("refusals", |running| retried(running) == 10);
    // They change, and are refused too.
    running.sink.credential_changes.store(1, Ordering::SeqCst);
    running.wait("more refusals", |running| retried(running) == 20);
    is_open.store(true, Ordering::SeqCst);
    running.sink.credential_changes.store(2, Ordering::SeqCst);
    running.wait_acknowledged(28);
    assert_eq!(running.route.view().snapshot().counts.dead_lettered, 0);
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
        running.route.view().snapshot().incidents.iter().any(|incident| incident.part == RoutePart::Repeats)
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
    assert!(incident.part == RoutePart::DeadLetters && incident.detail.contains("are full"), "{incident:?}");
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
    running.wait("filtered and settled", |running| {
        running.route.view().stats().filtered.get() == 50 && running.route.view().snapshot().outstanding == 0
    });
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

#[test]
fn a_route_with_a_backlog_catches_up_and_then_runs() {
    let mut bench = Bench::new(300);
    (bench.config.order, bench.config.workers) = (Order::Strict, Some(1));
    // Which event waits until the next one may.
    let gate = Arc::new(AtomicI64::new(0));
    let open = gate.clone();
    let running = bench.start(move |delivery| {
        while delivery.event.position.key == open.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Verdict::delivered()
    });
    let snapshot = |running: &Running| running.route.view().snapshot();
    running.wait("the lag", |running| snapshot(running).lag_seconds.is_some());
    let pace = |running: &Running| snapshot(running).catching_up.map(|late| late.events_per_second);
    // The time may have come from the begin to the first event, which is no event settled.
    assert_eq!(pace(&running).unwrap_or(0.0), 0.0, "nothing was settled yet");
    gate.store(50, Ordering::SeqCst);
    running.wait("the pace", |running| pace(running).is_some_and(|pace| 0.0 < pace));
    let late = snapshot(&running).catching_up.expect("it has a backlog of years");
    assert!(0 < late.backlog, "{late:?}");
    gate.store(-1, Ordering::SeqCst);
    running.wait_acknowledged(300);
    running.wait("the present", |running| snapshot(running).lag_seconds == Some(0.0));
    assert_eq!(snapshot(&running).catching_up, None);
    assert_eq!(running.stop().len(), 300);
}
