use std::io::Write;
use std::sync::mpsc;

use super::*;
use crate::config::secret::Secret;
use crate::event::{Event, Lane, Position};
use crate::finding::Finding;
use crate::http::testing::{TestServer, read_request, serve, serve_answer};
use crate::processor::ProcessorSettings;

fn knative(uri: String, encoding: Encoding, at_least_once: bool) -> Knative {
    let timeout = Duration::from_secs(20);
    let config = KnativeConfig { encoding, timeout, ..KnativeConfig::to(uri) };
    Knative::new("sink", &config, at_least_once).unwrap()
}

fn delivery() -> Delivery {
    let ce = CloudEvent {
        id: "1".into(),
        source: "https://vc/sdk".into(),
        ty: "com.vmware.event.router/event".into(),
        name_in_type: None,
        subject: Some("Vm \u{e4}\"%".into()),
        time: Some("2026-01-02T03:04:05Z".into()),
        datacontenttype: Some("application/json".into()),
        data: br#"{"Key":1}"#.to_vec(),
        extensions: [("vsphereapiversion".into(), "8.0.3.0".into())].into(),
    };
    let position = Position { key: 1, time: "2026-01-02T03:04:05Z".parse().unwrap() };
    Delivery::new(Event { position, lane: Lane::COMMON, ce, anomalies: Vec::new(), receipt: None })
}

fn deliver(knative: &Knative) -> Verdict {
    let mut verdicts = Vec::new();
    knative.deliver(&[delivery()], &mut verdicts);
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

fn failure(knative: &Knative) -> Failure {
    let mut failures = deliver(knative).failures;
    assert_eq!(failures.len(), 1);
    failures.remove(0)
}

#[test]
fn every_status_by_the_contract() {
    for status in 0..=u16::MAX {
        let expected = match status {
            200..300 => Class::Delivered,
            404 | 408 | 409 | 425 | 429 | 500..600 => Class::Later,
            300..400 | 401..=403 | 405..=407 | 421 | 426 => Class::Sender,
            100..200 | 400..500 => Class::Never,
            _ => Class::Later,
        };
        assert_eq!(classify_status(status), expected, "{status}");
    }
}

#[test]
fn binary_request_on_the_wire() {
    let (sender, requests) = mpsc::channel();
    let server = serve(move |_, mut stream| {
        sender.send(read_request(&mut stream).unwrap()).unwrap();
        stream.write_all(b"HTTP/1.1 202 Accepted\r\n\r\n").unwrap();
    });
    let knative = knative(server.url("/ns/broker"), Encoding::Binary, true);
    assert_eq!(deliver(&knative), Verdict::delivered());
    let request = requests.recv().unwrap();
    assert!(request.head.starts_with("POST /ns/broker HTTP/1.1\r\n"), "{}", request.head);
    for (name, value) in [
        ("ce-specversion", Some("1.0")),
        ("ce-id", Some("1")),
        ("ce-source", Some("https://vc/sdk")),
        ("ce-type", Some("com.vmware.event.router/event")),
        ("ce-subject", Some("Vm%20%C3%A4%22%25")),
        ("ce-time", Some("2026-01-02T03:04:05Z")),
        ("ce-vsphereapiversion", Some("8.0.3.0")),
        ("content-type", Some("application/json")),
        ("ce-datacontenttype", None),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    assert_eq!(request.body, br#"{"Key":1}"#);
}

#[test]
fn structured_request_on_the_wire() {
    let (sender, requests) = mpsc::channel();
    let server = serve(move |_, mut stream| {
        sender.send(read_request(&mut stream).unwrap()).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nreply").unwrap();
    });
    let knative = knative(server.url("/"), Encoding::Structured, true);
    assert_eq!(deliver(&knative), Verdict::delivered());
    let request = requests.recv().unwrap();
    assert_eq!(request.header("content-type"), Some("application/cloudevents+json; charset=utf-8"));
    assert_eq!(request.header("ce-id"), None);
    let mut expected = Vec::new();
    cloudevents::write_json(&delivery().event.ce, &mut expected);
    assert_eq!(request.body, expected);
}

#[test]
fn refusals_carry_what_the_sink_said() {
    let later = |seconds| Retry::Later { after: Some(Duration::from_secs(seconds)), unsent: false };
    for (head, retry, reason, text) in [
        ("429 Slow\r\nRetry-After: 7", later(7), "429", "status 429: no such broker"),
        (
            "503 X\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT",
            later(0),
            "503",
            "status 503: no such broker",
        ),
        ("500 X", Retry::Later { after: None, unsent: false }, "500", "status 500: no such broker"),
        ("400 X", Retry::Never, "400", "status 400: no such broker"),
        (
            "307 X\r\nLocation: https://u:secret@login/x?token=secret",
            Retry::Sender { after: None },
            "3xx",
            "status 307: no such broker (redirects to https://login/x?...; redirects are not followed): set the address \
             that it redirects to",
        ),
    ] {
        let server = serve_answer(format!("HTTP/1.1 {head}\r\nContent-Length: 15\r\n\r\nno such\r\nbroker"));
        let failure = failure(&knative(server.url("/b?token=secret"), Encoding::Binary, true));
        assert_eq!((failure.retry, failure.reason), (retry, reason));
        assert_eq!(failure.detail, format!("POST {}: {text}", server.url("/b?...")));
    }
}

#[test]
fn without_an_answer_the_event_waits() {
    let closed = serve(|_, mut stream| {
        read_request(&mut stream);
    });
    let first = failure(&knative(closed.url("/"), Encoding::Binary, true));
    assert_eq!((first.retry, first.reason), (Retry::Later { after: None, unsent: false }, "broken"));
    let url = closed.url("/");
    drop(closed);
    let second = failure(&knative(url, Encoding::Binary, true));
    assert_eq!((second.retry, second.reason), (Retry::Later { after: None, unsent: true }, "connect"));
}

/// Connection 0 closes after reading its second request.
fn stale_server() -> TestServer {
    serve(|number, mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        while read_request(&mut stream).is_some() && 0 < number {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    })
}

#[test]
fn stale_connection_is_no_failure_at_least_once_and_is_one_at_most_once() {
    for at_least_once in [true, false] {
        let server = stale_server();
        let knative = knative(server.url("/"), Encoding::Binary, at_least_once);
        assert_eq!(deliver(&knative), Verdict::delivered());
        assert_eq!(deliver(&knative).failures.is_empty(), at_least_once);
        assert_eq!(deliver(&knative), Verdict::delivered());
        assert_eq!(server.connections(), 2);
    }
}

#[test]
fn another_token_is_noticed_while_the_sink_refuses_the_old_one() {
    let server = serve(|_, mut stream| {
        while let Some(request) = read_request(&mut stream) {
            let answer: &[u8] = match request.header("authorization") {
                Some("Bearer right") => b"HTTP/1.1 202 A\r\nContent-Length: 0\r\n\r\n",
                _ => b"HTTP/1.1 403 F\r\nContent-Length: 0\r\n\r\n",
            };
            stream.write_all(answer).unwrap();
        }
    });
    let folder = crate::testing::folder("token");
    let file = folder.path().join("token");
    std::fs::write(&file, "wrong").unwrap();
    let config =
        KnativeConfig { token: Some(Secret::File(file.clone())), ..KnativeConfig::to(server.url("/")) };
    let knative = Knative::new("sink", &config, true).unwrap();
    assert_eq!(failure(&knative).retry, Retry::Sender { after: None });
    assert_eq!(knative.credential_changes(), 0);
    // While somebody writes it, it is empty, or has two lines.
    for (unusable, changes) in [("", 1), ("wrong\nright\n", 2)] {
        std::fs::write(&file, unusable).unwrap();
        assert_eq!(knative.credential_changes(), changes);
        let Targets::Fixed(target) = &knative.targets else { panic!("the address is fixed") };
        assert!(target.token_now().is_err());
        let refused = failure(&knative);
        // What was read a moment ago may still be used.
        assert!(matches!(refused.retry, Retry::Credentials { .. } | Retry::Sender { .. }), "{refused:?}");
        knative.refused.note(fingerprint::<Option<String>>(Err(target.token_now().unwrap_err())));
    }
    std::fs::write(&file, "right\n").unwrap();
    assert_eq!(knative.credential_changes(), 3);
    assert_eq!(deliver(&knative), Verdict::delivered());
}

#[test]
fn a_check_says_what_a_refusal_means() {
    let probed = |head: &str| {
        let server = serve_answer(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n"));
        let config = KnativeConfig::to(server.url("/sink"));
        let mut findings = Vec::new();
        config.probe("sink", &|| None, &mut |finding| findings.push(finding));
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.remove(0)
    };
    for head in ["200 OK", "204 No", "400 Bad", "415 Type", "501 No", "405 No\r\nAllow: GET, POST"] {
        assert!(matches!(probed(head), Finding::Good(_)), "{head}");
    }
    for code in (300..600).filter(|code| !matches!(code, 304 | 404 | 405 | 501)) {
        let finding = probed(&format!("{code} X"));
        let Finding::Doubtful(text) = finding else {
            assert!(answer::class_of(code) != StatusClass::Sender && code < 500, "{code}");
            continue;
        };
        let is_told = match answer::class_of(code) {
            StatusClass::Sender => {
                text.contains("the route holds: ") && text.ends_with(answer::sender_cure(code))
            }
            _ => text.ends_with("while it does, events wait"),
        };
        assert!(is_told, "{code}: {text}");
    }
    for (head, words) in [
        ("302 X\r\nLocation: https://login.corp.local/", "redirects to https://login.corp.local/"),
        ("401 X", "correct the credentials"),
        ("403 X", "give the account the right to send there"),
        ("404 X", "is its path right?"),
        ("405 X", "nothing there takes a POST"),
        ("421 X", "correct the host name in the address, or tls.server_name"),
    ] {
        let Finding::Doubtful(text) = probed(head) else { panic!("{head}") };
        assert!(text.contains(words), "{text}");
    }
}
