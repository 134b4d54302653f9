//! Plain JSON posted to the webhook: tools that know nothing of CloudEvents are sources too.

use std::path::Path;
use std::sync::{Arc, Mutex};

use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use serde_json::{Value, json};

use crate::support::Test;
use crate::support::process::Process;
use crate::support::sender::{Sender, Told};

/// What arrives at a sink: the fields of an event, and its data.
type Arrived = Arc<Mutex<Vec<(Vec<(String, String)>, Vec<u8>)>>>;

fn sink(arrived: &Arrived) -> Server {
    let keeps = arrived.clone();
    Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
        let mut fields = request.headers.clone();
        fields.retain(|(name, _)| name.starts_with("ce-") || name == "content-type");
        keeps.lock().unwrap().push((fields, request.body.clone()));
        Reply::Answer(Answer::text(202, "ok"))
    })
    .unwrap()
}

fn processor(sink: &Server) -> String {
    format!("[processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n", sink.address())
}

fn start(test: &Test, file: &str) -> (Process, Sender) {
    test.write("router.toml", file);
    let mut router = test.start(&["run"]);
    let sender = Sender::of(&mut router);
    (router, sender)
}

/// The sample that ships, for a sink and a certificate of the test, without its TLS.
fn harbor(sink: &Server) -> String {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/config/samples/harbor.toml");
    let sample = std::fs::read_to_string(sample).unwrap();
    let sample: String =
        sample.lines().filter(|line| !line.starts_with("tls")).map(|line| format!("{line}\n")).collect();
    sample[..sample.find("[processor").unwrap()]
        .replace("/var/lib/event-router", "state")
        .replace("0.0.0.0:8443", "127.0.0.1:0")
        .replace("$CREDENTIALS_DIRECTORY/", "")
        + &processor(sink)
}

/// What Harbor posts when an image is pushed, by its documentation of webhook payloads.
fn pushed(tag: &str) -> Value {
    json!({
        "type": "PUSH_ARTIFACT",
        "occur_at": 1_586_922_308,
        "operator": "admin",
        "event_data": {
            "resources": [{"digest": "sha256:8a9e9863", "tag": tag, "resource_url": "harbor/web/debian:latest"}],
            "repository": {
                "date_created": 1_586_922_308,
                "name": "debian",
                "namespace": "web",
                "repo_full_name": "web/debian",
                "repo_type": "private"
            }
        }
    })
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
}

#[test]
fn harbor_is_a_source_by_the_sample() {
    let (test, arrived) = (Test::new("webhook-harbor"), Arrived::default());
    let sink = sink(&arrived);
    test.write("harbor.token", "t0ken\n");
    let (router, sender) = start(&test, &harbor(&sink));
    let post = |body: &str| {
        let fields = [("Content-Type", "application/json"), ("Authorization", "Bearer t0ken")];
        sender.send("POST", &fields, body.as_bytes())
    };
    let body = serde_json::to_string_pretty(&pushed("latest")).unwrap();
    // Harbor repeats what it got no answer for.
    for _ in 0..2 {
        assert_eq!(post(&body).status, 200);
    }
    assert_eq!(post(&pushed("13").to_string()).status, 200);
    assert_eq!(sender.send("POST", &[("content-type", "application/json")], body.as_bytes()).status, 401);
    let arrived = arrived.lock().unwrap();
    assert_eq!(arrived.len(), 2, "each once");
    for ((fields, data), tag) in arrived.iter().zip(["latest", "13"]) {
        assert_eq!(serde_json::from_slice::<Value>(data).unwrap(), pushed(tag));
        for (name, value) in [
            ("ce-type", "io.goharbor.event"),
            ("ce-source", "https://harbor.corp.local"),
            ("ce-subject", "PUSH_ARTIFACT"),
            ("ce-time", "2020-04-15T03:45:08Z"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(field(fields, name), value);
        }
    }
    assert_ne!(field(&arrived[0].0, "ce-id"), field(&arrived[1].0, "ce-id"));
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn what_cannot_become_an_event_is_refused_with_the_reason() {
    let (test, arrived) = (Test::new("webhook-plain"), Arrived::default());
    let sink = sink(&arrived);
    let hook = "[source.hook]\ntype = \"webhook\"\nbind = \"127.0.0.1:0\"\n\
                event = { type = \"$.kind\", subject = \"$.rule\", id = \"$.id\", time = \"$.at\" }\n";
    let (router, sender) = start(&test, &format!("{hook}{}", processor(&sink)));
    let json = ("content-type", "application/json; charset=utf-8");
    let structured = ("content-type", "application/cloudevents+json");
    let post = |fields: &[(&str, &str)], body: &str| sender.send("POST", fields, body.as_bytes());
    for (told, status, words) in [
        (post(&[json], "{\"rule\":\"r\"}"), 400, "no text or number stands at $.kind of the body"),
        (post(&[json], "{\"kind\":[1]}"), 400, "no text or number stands at $.kind of the body"),
        (post(&[json], "{\"kind\":\"k\",\"at\":\"noon\"}"), 400, "\"noon\" is neither RFC 3339"),
        (post(&[json], "[{\"kind\":\"k\"}]"), 400, "not a JSON object"),
        (post(&[json], "{\"kind\":\"k\""), 400, "not JSON"),
        (post(&[], ""), 400, "not JSON"),
        (
            post(&[("content-type", "application/x-www-form-urlencoded")], "a=b"),
            415,
            "neither a CloudEvent nor JSON",
        ),
        (post(&[json, ("content-encoding", "gzip")], "{\"kind\":\"k\"}"), 415, "gzip"),
        (post(&[structured], "{\"kind\":\"k\"}"), 400, "`specversion` is missing"),
    ] {
        assert_eq!(told.status, status, "{told:?}");
        assert!(told.text.contains(words), "{told:?}");
    }
    let ok = |told: Told| assert_eq!((told.status, told.text.as_str()), (200, ""), "{told:?}");
    ok(post(&[json], "{\"kind\":\"k\",\"id\":7,\"rule\":null}"));
    ok(post(&[], "{\"kind\":\"k\",\"id\":7,\"other\":1}"));
    ok(post(
        &[("content-type", "application/vnd.tool+json")],
        "{\"kind\":\"l\",\"id\":\"8\",\"rule\":\"cpu\"}",
    ));
    ok(sender.post("9", "{}"));
    let ids: Vec<_> =
        arrived.lock().unwrap().iter().map(|(fields, _)| field(fields, "ce-id").to_string()).collect();
    assert_eq!(ids, ["7", "8", "9"], "the same id is the same event, and CloudEvents are still taken");
    let first = &arrived.lock().unwrap()[0];
    assert_eq!((field(&first.0, "ce-source"), field(&first.0, "ce-subject")), ("/webhook", ""));
    assert_eq!(first.1, b"{\"kind\":\"k\",\"id\":7,\"rule\":null}");
    assert_eq!(router.end_by("TERM").code, Some(0));
}
