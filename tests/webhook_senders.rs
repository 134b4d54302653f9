//! The webhook and its senders: CloudEvents SDKs, one that repeats what is not acknowledged while the
//! router is killed, strangers, and those of the Go router's appliance.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use serde_json::{Value, json};

use crate::strangers::{connect, trickle};
use crate::support::peers::{Receiver, Sdk, program};
use crate::support::random::Random;
use crate::support::sender::Sender;
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, closed_port, peers, wait_for};
use crate::webhook::Sink;

const HOOK: &str = "[source.hook]\ntype = \"webhook\"\nbind = \"127.0.0.1:0\"\n";

#[test]
#[ignore = "needs the CloudEvents SDKs: run tests/run"]
fn every_sdk_is_understood_in_every_mode_that_it_has() {
    let test = Test::new("webhook-sdks");
    let receiver = Receiver::start_on(Sdk::Go, &test, "events", &[]);
    test.write("router.toml", &format!("{HOOK}{}", receiver.processor("sink", "structured")));
    let mut router = test.start(&["run"]);
    let sender = Sender::of(&mut router);
    let mut expected = 0;
    for (sdk, mut command, modes) in [
        ("go", Command::new(program("gosender")), vec!["binary", "structured", "batch"]),
        ("python", peers::python_sender(), vec!["binary", "structured"]),
        ("javascript", peers::javascript_sender(), vec!["binary", "structured"]),
    ] {
        let output = command.arg(sender.url()).output().unwrap();
        assert!(output.status.success(), "{sdk}: {}", String::from_utf8_lossy(&output.stderr));
        let told: Vec<Value> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let good: Vec<Value> = modes.iter().map(|mode| json!({"mode": mode, "status": 200})).collect();
        assert_eq!(told, good, "{sdk}");
        expected += modes.iter().map(|mode| if *mode == "batch" { 2 } else { 1 }).sum::<usize>();
    }
    let received = receiver.accepted();
    assert_eq!(received.len(), expected, "an answer comes after the delivery");
    for event in received {
        let sdk = event.id.split('-').next().unwrap();
        assert_eq!(event.source, format!("https://sender.example.com/{sdk}"));
        assert_eq!((event.subject.as_str(), &event.data), ("thing-1", &json!({"text": "a <b> ü \n"})));
        assert_eq!((&event.attributes["site"], &event.attributes["number"]), (&json!("berlin"), &json!("7")));
        assert_eq!(event.created_seconds(), 1_767_323_045.6);
    }
    assert_eq!(router.end_by("TERM").code, Some(0));
}

/// Counts how often each id was accepted, and answers badly now and then.
fn moody_sink(accepted: Arc<Mutex<BTreeMap<String, usize>>>, random: Random) -> Server {
    let random = Mutex::new(random);
    let settings = ServerSettings { connections_max: 64, ..ServerSettings::default() };
    Server::start("127.0.0.1:0", settings, move |request| {
        let mood = random.lock().unwrap().below(100);
        if mood < 5 {
            return Reply::Answer(Answer::text(503, "busy"));
        }
        let id = request.header("ce-id").unwrap_or_default().to_string();
        *accepted.lock().unwrap().entry(id).or_default() += 1;
        Reply::Answer(Answer::text(202, "ok"))
    })
    .unwrap()
}

#[test]
fn a_sender_that_repeats_loses_nothing_over_kills() {
    let kills = if std::env::var_os("EVENT_ROUTER_LONG").is_some() { 30 } else { 3 };
    let events = 10_000;
    let mut random = Random::from_test("webhook");
    let (test, accepted) = (Test::new("webhook-kills"), Arc::<Mutex<BTreeMap<String, usize>>>::default());
    let sink = moody_sink(accepted.clone(), random.split());
    let port = closed_port();
    test.write(
        "router.toml",
        &format!(
            "[source.hook]\ntype = \"webhook\"\nbind = \"127.0.0.1:{port}\"\ntimeout = \"2s\"\n\
             [processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n\
             [route.hook-sink]\nfrom = \"hook\"\nto = \"sink\"\norder = \"none\"\nretry = {{ first = \"5ms\", max = \"50ms\" }}\n",
            sink.address()
        ),
    );
    let next = Arc::new(AtomicUsize::new(0));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let (next, acknowledged) = (next.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                let sender = Sender::new(&format!("http://127.0.0.1:{port}/webhook"));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if events <= number {
                        return;
                    }
                    // As Knative's sender does: what is not acknowledged comes again, with the same id.
                    let end = Instant::now() + 10 * SOON;
                    while sender.try_post(&number.to_string(), "{}").is_none_or(|told| told.status != 200) {
                        assert!(Instant::now() < end, "event {number} is never acknowledged");
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for kill in 1..=kills {
        let router = test.start(&["run"]);
        let enough = kill * events / (kills + 1);
        wait_for("acknowledgements", 10 * SOON, || {
            (enough <= acknowledged.load(Ordering::Relaxed)).then_some(())
        });
        router.signal("KILL");
        drop(router);
    }
    let router = test.start(&["run"]);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(router.end_by("TERM").code, Some(0));
    let accepted = accepted.lock().unwrap();
    let missing = (0..events).filter(|number| !accepted.contains_key(&number.to_string())).count();
    let repeats: usize = accepted.values().map(|times| times - 1).sum();
    println!("webhook: {events} events, {kills} kills, missing {missing}, repeats {repeats}");
    assert_eq!((missing, accepted.len()), (0, events));
    // Only what was on its way when the router was killed may come twice: one event of each sender.
    assert!(repeats <= 8 * kills, "{repeats} repeats over {kills} kills");
}

/// What all strangers together may cost: bodies, those of connections that are just being closed too,
/// buffers, the stacks of 128 connections, and what the allocator keeps of them. Without a bound their
/// bodies alone would be 128 MB.
const GROWTH_KIB_MAX: u64 = 32 * 1024;

#[test]
fn strangers_disturb_no_sender() {
    let (test, sink) = (Test::new("webhook-strangers"), Sink::start());
    test.write(
        "router.toml",
        &format!("[metrics]\nbind = \"127.0.0.1:0\"\n{HOOK}{}", sink.processor("sink")),
    );
    let mut router = test.start(&["run"]);
    let (watcher, sender) = (Watcher::of(&mut router), Sender::of(&mut router));
    let address: SocketAddr = sender.url().split('/').nth(2).unwrap().parse().unwrap();
    let peak = |router: &crate::support::process::Process| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", router.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let mut sent = 0;
    let mut deliver = |count: usize| {
        for _ in 0..count {
            sent += 1;
            let id = sent.to_string();
            let post = || sender.try_post(&id, "{}").filter(|told| told.status == 200);
            wait_for("an acknowledgement", SOON, post);
        }
    };
    deliver(500);
    let before = peak(&router);
    let idle: Vec<_> = (0..300).map(|_| connect(address)).collect();
    let over = Arc::new(AtomicBool::new(false));
    let head = "POST /webhook HTTP/1.1\r\nHost: x\r\nce-specversion: 1.0\r\n";
    let (slow_head, slow_body) = (format!("{head}X: "), format!("{head}Content-Length: 4000\r\n\r\n"));
    // Bodies that are almost complete, and together much more than may be held.
    let large = format!("{head}Content-Length: 1000000\r\n\r\n{}", "x".repeat(999_999));
    let met = Arc::new([const { AtomicUsize::new(0) }; 4]);
    let strangers: Vec<_> = (0..32)
        .map(|n| {
            let (over, met) = (over.clone(), met.clone());
            let begin = [slow_head.clone(), slow_body.clone(), large.clone(), "\u{1}\u{2}garbage".into()]
                [n % 4]
                .clone();
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    trickle(&mut connect(address), &begin, &over);
                    met[n % 4].fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    deliver(500);
    wait_for("all kinds of strangers", SOON, || {
        assert_eq!(watcher.get("/livez").0, 200);
        met.iter().all(|count| 4 <= count.load(Ordering::Relaxed)).then_some(())
    });
    deliver(100);
    over.store(true, Ordering::Relaxed);
    strangers.into_iter().for_each(|stranger| stranger.join().unwrap());
    drop(idle);
    let grown = peak(&router) - before;
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more than {before}");
    assert_eq!(sink.ids().into_iter().collect::<HashSet<_>>().len(), 1100);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

/// A certificate for 127.0.0.1 in two files of the test.
fn certificate(test: &Test) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    test.write("key.pem", &made.signing_key.serialize_pem());
    test.write("cert.pem", &made.cert.pem());
    made.cert.pem()
}

#[test]
fn senders_speak_tls_and_a_new_certificate_is_shown_without_a_restart() {
    let (test, sink) = (Test::new("webhook-tls"), Sink::start());
    let first = certificate(&test);
    let tls = "tls = { cert_file = \"cert.pem\", key_file = \"key.pem\" }\n";
    test.write("router.toml", &format!("{HOOK}{tls}{}", sink.processor("sink")));
    let mut router = test.start(&["run"]);
    let plain = Sender::of(&mut router);
    assert!(plain.url().starts_with("https://"), "{}", plain.url());
    let trusting = |certificate: &str| Sender::trusting(plain.url(), &test, certificate);
    let data = format!("{:?}", "x".repeat(300_000));
    assert_eq!(trusting(&first).post("1", &data).status, 200);
    assert!(plain.try_post("0", "{}").is_none(), "nobody vouches for it");
    // What cannot be used changes nothing.
    test.write("key.pem", "no key");
    wait_for("a word about the key", SOON, || {
        assert_eq!(trusting(&first).post("1", &data).status, 200);
        let is_said =
            |line: &String| line.contains("key_file") && line.contains("the last good certificate stays");
        router.stderr().iter().any(is_said).then_some(())
    });
    let second = certificate(&test);
    wait_for("the new certificate", SOON, || {
        trusting(&second).try_post("2", &data).map(|told| assert_eq!(told.status, 200))
    });
    assert!(trusting(&first).try_post("3", "{}").is_none());
    // A peer that speaks no TLS is told so by an alert, and forgotten.
    let mut stranger = connect(plain.url().split('/').nth(2).unwrap().parse().unwrap());
    stranger.write_all(b"POST /webhook HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = stranger.read_to_end(&mut said);
    assert_eq!(said.first(), Some(&0x15), "{said:?}");
    assert_eq!(sink.ids(), ["1", "2"]);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

/// The file that the last appliance of the Go router wrote, with free ports and an address in place of
/// its broker.
fn appliance(hook: u16, metrics: u16, sink: SocketAddr) -> String {
    format!(
        "apiVersion: event-router.vmware.com/v1alpha1\nkind: RouterConfig\nmetadata:\n  name: router-config-webhook\n\
         eventProcessor:\n  name: veba-knative\n  type: knative\n  knative:\n    encoding: binary\n    insecureSSL: false\n\
         \x20   destination:\n      uri:\n        scheme: http\n        host: {sink}\n\
         eventProvider:\n  name: veba-webhook-01\n  type: webhook\n  webhook:\n    bindAddress: 127.0.0.1:{hook}\n\
         \x20   path: /webhook\n    auth:\n      type: basic_auth\n      basicAuth:\n        username: user\n        password: pass\n\
         metricsProvider:\n  default:\n    bindAddress: 127.0.0.1:{metrics}\n  name: veba-metrics\n  type: default\n"
    )
}

#[test]
fn the_file_of_the_last_appliance_runs_as_it_is() {
    let (test, sink) = (Test::new("webhook-appliance"), Sink::start());
    let (hook, metrics) = (closed_port(), closed_port());
    test.write("config", &appliance(hook, metrics, sink.server.address()));
    let mut router = test.start(&["-config", "config"]);
    let (watcher, sender) = (Watcher::of(&mut router), Sender::of(&mut router));
    let authorized = sender.with(("authorization", "Basic dXNlcjpwYXNz"));
    assert_eq!(sender.post("1", "{}").status, 401);
    assert_eq!(authorized.post("1", "{}").status, 200);
    assert_eq!(sink.ids(), ["1"]);
    // What the sink refuses is given up, and its sender told; nothing is kept.
    sink.answer(500);
    assert_eq!(authorized.post("2", "{}").status, 503);
    sink.answer(202);
    assert_eq!(authorized.post("2", "{}").status, 200);
    assert_eq!(sink.ids(), ["1", "2"]);
    assert_eq!(test.listing(), ["config"], "nothing is written");
    let stats: Value = serde_json::from_str(&watcher.get("/stats").1).unwrap();
    let stats = &stats["vmware.event.router.stats"];
    let provider = &stats["webhook"];
    assert_eq!(
        (&provider["type"], &provider["address"]),
        (&json!("EventProvider"), &json!(format!("127.0.0.1:{hook}")))
    );
    assert_eq!((&provider["events_total"], &provider["events_err"]), (&json!(3), &json!(1)));
    let members: Vec<&str> = provider.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["type", "address", "started", "events_total", "events_err", "events_per_sec"];
    assert_eq!(members.into_iter().collect::<HashSet<_>>(), expected.into_iter().collect());
    assert_eq!(stats["knative"]["type"], "EventProcessor");
    assert_eq!(router.end_by("TERM").code, Some(0));
}
