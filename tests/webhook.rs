//! The webhook: who may send what, and that an answer tells what became of it.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use serde_json::{Value, json};

use crate::support::process::Process;
use crate::support::sender::{Sender, Told};
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, wait_for};

const ORIGIN: (&str, &str) = ("webhook-request-origin", "eventemitter.example.com");

/// A sink that keeps what it accepts and answers with what it is told.
pub struct Sink {
    /// Where it listens.
    pub server: Server,
    status: Arc<AtomicU16>,
    accepted: Arc<Mutex<Vec<String>>>,
}

impl Sink {
    /// One that accepts.
    pub fn start() -> Sink {
        let status = Arc::new(AtomicU16::new(202));
        let accepted = Arc::<Mutex<Vec<String>>>::default();
        let (answers, keeps) = (status.clone(), accepted.clone());
        let settings = ServerSettings { connections_max: 64, ..ServerSettings::default() };
        let server = Server::start("127.0.0.1:0", settings, move |request| {
            let status = answers.load(Ordering::SeqCst);
            if status < 300 {
                keeps.lock().unwrap().push(request.header("ce-id").unwrap_or_default().to_string());
            }
            Reply::Answer(Answer::text(status, "sink"))
        });
        Sink { server: server.unwrap(), status, accepted }
    }

    /// From now on it answers so.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The ids of what it accepted, in order.
    pub fn ids(&self) -> Vec<String> {
        self.accepted.lock().unwrap().clone()
    }

    /// `[processor.NAME]` of router.toml.
    pub fn processor(&self, name: &str) -> String {
        format!("[processor.{name}]\ntype = \"knative\"\nuri = \"http://{}/\"\n", self.server.address())
    }
}

const HOOK: &str = "[source.hook]\ntype = \"webhook\"\nbind = \"127.0.0.1:0\"\n";

fn start(test: &Test, keys: &str, sink: &Sink) -> (Process, Sender) {
    test.write("router.toml", &format!("{HOOK}{keys}\n{}", sink.processor("sink")));
    let mut router = test.start(&["run", "--log-level", "trace"]);
    let sender = Sender::of(&mut router);
    (router, sender)
}

const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json; charset=utf-8");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");

fn structured(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/sender", "type": "com.example.happened", "data": {"a": 1}})
}

#[test]
fn an_answer_tells_what_became_of_the_events() {
    let (test, sink) = (Test::new("webhook"), Sink::start());
    let (router, sender) = start(&test, "timeout = \"500ms\"", &sink);
    let ok = |told: Told| assert_eq!((told.status, told.text.as_str()), (200, ""), "{told:?}");
    ok(sender.post("binary", "{\"a\":1}"));
    ok(sender.send("POST", &[STRUCTURED], structured("structured").to_string().as_bytes()));
    let batch = json!([structured("first"), structured("second")]).to_string();
    ok(sender.send("POST", &[BATCH], batch.as_bytes()));
    ok(sender.send("POST", &[BATCH], b"[]"));
    assert_eq!(sink.ids(), ["binary", "structured", "first", "second"]);

    // Again: acknowledged without a second delivery, alone and beside a new one.
    ok(sender.post("binary", "{\"a\":1}"));
    let batch = json!([structured("first"), structured("third")]).to_string();
    ok(sender.send("POST", &[BATCH], batch.as_bytes()));
    assert_eq!(sink.ids()[4..], ["third"]);

    // The sink fails: the sender is told to come again, and is answered when it was delivered.
    sink.answer(503);
    for _ in 0..2 {
        let told = sender.post("late", "{}");
        assert_eq!((told.status, told.retry_after), (503, Some(Duration::from_secs(1))), "{told:?}");
    }
    sink.answer(202);
    wait_for("an acknowledgement", SOON, || (sender.post("late", "{}").status == 200).then_some(()));
    assert_eq!(sink.ids()[5..], ["late"], "once");

    // What is refused for good is a dead letter, and so is done with.
    sink.answer(400);
    ok(sender.post("refused", "{}"));
    sink.answer(202);
    let listed = test.router(&["dead-letters", "list"]);
    assert!(listed.stdout.contains("refused"), "{}", listed.stdout);
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert!(!test.path("state/hook-sink.checkpoint.json").exists(), "there is no position to keep");
}

#[test]
fn what_is_no_event_is_refused_with_the_reason() {
    let (test, sink) = (Test::new("webhook-refusals"), Sink::start());
    let (router, sender) = start(&test, "body_max = \"64KiB\"", &sink);
    let large = vec![b'x'; 65 * 1024];
    let many = format!("[{}]", vec!["1"; 1001].join(","));
    let of = |path: &str, method, headers: &[(&str, &str)], body: &[u8]| {
        sender.at(path).send(method, headers, body)
    };
    for (told, status, words) in [
        (of("/webhoo", "POST", &[STRUCTURED], b"{}"), 404, "nothing takes events here"),
        (of("/webhook", "GET", &[], b""), 405, "posted"),
        (of("/webhook", "PUT", &[STRUCTURED], b"{}"), 405, "posted"),
        (of("/webhook", "POST", &[("content-type", "text/plain")], b"a"), 415, "no CloudEvent"),
        (of("/webhook", "POST", &[STRUCTURED, ("content-encoding", "gzip")], b"a"), 415, "gzip"),
        (of("/webhook", "POST", &[("content-type", "application/cloudevents+xml")], b"a"), 415, "+xml"),
        (of("/webhook", "POST", &[STRUCTURED], b"{}"), 400, "`specversion` is missing"),
        (of("/webhook", "POST", &[("ce-specversion", "1.0")], b"{}"), 400, "`id` is missing"),
        (of("/webhook", "POST", &[BATCH], b"{}"), 400, "not a JSON array"),
        (of("/webhook", "POST", &[BATCH], many.as_bytes()), 413, "1001 events"),
        (of("/webhook", "POST", &[STRUCTURED], &large), 413, "too large"),
    ] {
        assert_eq!(told.status, status, "{told:?}");
        assert!(told.text.contains(words), "{told:?}");
    }
    let told = sender.send("OPTIONS", &[ORIGIN, ("webhook-request-callback", "http://127.0.0.1:1/")], b"");
    assert_eq!(told.status, 200);
    assert_eq!(sender.post("good", "{}").status, 200);
    assert_eq!(sink.ids(), ["good"]);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn only_who_is_known_may_send() {
    let basic = "Basic dXNlcjpwYTpzcw==";
    let hmac = "sha256=47bc16b3b7bbf11c1f43b0cb40ac6ef2b1b6e9f1dd9a1c8a4a4c4e4b9a4d2f3e";
    for (keys, good, bad) in [
        (
            "username = \"user\"\npassword = \"pa:ss\"",
            ("authorization", basic),
            ("authorization", "Basic dXNlcg=="),
        ),
        ("token = \"t0ken\"", ("authorization", "Bearer t0ken"), ("authorization", "Bearer t0ke")),
        (
            "signature = { header = \"X-Signature\", key = \"canary-sign\" }",
            ("x-signature", ""),
            ("x-signature", hmac),
        ),
    ] {
        let (test, sink) = (Test::new("webhook-access"), Sink::start());
        let keys = format!("{keys}\n[metrics]\nbind = \"127.0.0.1:0\"");
        let (mut router, sender) = start(&test, &keys, &sink);
        let watcher = Watcher::of(&mut router);
        let body = structured("1").to_string();
        let signed = signature("canary-sign", body.as_bytes());
        let good = (good.0, if good.1.is_empty() { signed.as_str() } else { good.1 });
        for headers in [&[STRUCTURED][..], &[STRUCTURED, bad]] {
            assert_eq!(sender.send("POST", headers, body.as_bytes()).status, 401, "{keys}");
        }
        let is_signed = keys.starts_with("signature");
        assert_eq!(sender.send("OPTIONS", &[ORIGIN], b"").status, if is_signed { 200 } else { 401 });
        assert_eq!(sink.ids(), [""; 0]);
        assert_eq!(sender.send("POST", &[STRUCTURED, good], body.as_bytes()).status, 200, "{keys}");
        assert_eq!(sink.ids(), ["1"]);
        // And nobody is told how.
        let mut told =
            ["/", "/status", "/metrics", "/stats", "/readyz"].map(|path| watcher.get(path).1).concat();
        told += &std::fs::read_to_string(format!("/proc/{}/cmdline", router.id())).unwrap();
        let check = test.router(&["check"]);
        let exit = router.end_by("TERM");
        told += &(check.stdout + &check.stderr + &exit.stdout + &exit.stderr);
        for secret in ["pa:ss", "dXNlcjpwYTpzcw", "t0ken", "canary-sign", &signed] {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
    }
}

fn signature(key: &str, body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes());
    let tag = ring::hmac::sign(&key, body);
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_route_settles_an_event_before_it_is_answered() {
    let (test, good, other) = (Test::new("webhook-routes"), Sink::start(), Sink::start());
    let file = format!("{HOOK}timeout = \"300ms\"\n{}{}", good.processor("good"), other.processor("other"));
    test.write("router.toml", &file);
    let mut router = test.start(&["run"]);
    let sender = Sender::of(&mut router);
    assert_eq!(sender.post("1", "{}").status, 200);
    other.answer(500);
    assert_eq!(sender.post("2", "{}").status, 503);
    assert_eq!(sender.post("2", "{}").status, 503);
    other.answer(200);
    wait_for("the other route", SOON, || (sender.post("2", "{}").status == 200).then_some(()));
    assert_eq!((good.ids(), other.ids()), (vec!["1".into(), "2".into()], vec!["1".into(), "2".into()]));
    for command in [
        &["replay", "--route", "hook-good", "--from", "2026-01-01T00:00:00Z"][..],
        &["tail", "--source", "hook"],
    ] {
        let exit = test.router(command);
        assert_eq!(exit.code, Some(2), "{}", exit.stderr);
        assert!(exit.stderr.contains("keeps no history"), "{}", exit.stderr);
    }
    let check = test.router(&["check"]);
    assert!(check.stdout.contains("can listen on http://127.0.0.1:"), "{}{}", check.stdout, check.stderr);
    assert_eq!(router.end_by("TERM").code, Some(0));
}
