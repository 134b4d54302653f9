use std::io::Write;
use std::sync::mpsc;

use super::settings::{Address, BatchConfig, Body, HeaderText, Signature};
use super::sign::{Algorithm, SignatureFormat};
use super::*;
use crate::config::secret::Secret;
use crate::config::sections::SinkAuth;
use crate::http::testing::{RawRequest, read_request, serve, serve_answer};
use crate::template::{Syntax, Template};

fn config(url: String) -> HttpConfig {
    HttpConfig { timeout: Duration::from_secs(20), ..HttpConfig::to(url) }
}

fn delivery(key: i64) -> Delivery {
    Delivery::new(crate::testing::event(key, "vm-1"))
}

fn deliver(config: &HttpConfig) -> Verdict {
    let mut verdicts = Vec::new();
    Http::new(config, "r-1", true).unwrap().deliver(&[delivery(7)], &mut verdicts);
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

/// What one delivery puts on the wire.
fn request(change: impl Fn(&mut HttpConfig)) -> RawRequest {
    let (sender, requests) = mpsc::channel();
    let server = serve(move |_, mut stream| {
        sender.send(read_request(&mut stream).unwrap()).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    let mut config = config(server.url("/hook?a=b"));
    change(&mut config);
    assert_eq!(deliver(&config), Verdict::delivered());
    requests.recv().unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::Literal(text.to_string())
}

#[test]
fn bodies_on_the_wire() {
    let event = crate::testing::event(7, "vm-1");
    let structured = request(|_| {});
    assert!(structured.head.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{}", structured.head);
    assert_eq!(structured.header("content-type"), Some("application/cloudevents+json; charset=utf-8"));
    let mut expected = Vec::new();
    crate::cloudevents::write_json(&event.ce, &mut expected);
    assert_eq!(structured.body, expected);

    let binary = request(|config| (config.body, config.method) = (Body::Binary, "PUT"));
    assert!(binary.head.starts_with("PUT "), "{}", binary.head);
    assert_eq!((binary.header("ce-id"), &binary.body), (Some("id-7"), &event.ce.data));

    let data = request(|config| config.body = Body::Data);
    assert_eq!((data.header("content-type"), data.header("ce-id")), (Some("application/json"), None));
    assert_eq!(data.body, event.ce.data);
    let typed = request(|config| {
        (config.body, config.content_type) = (Body::Data, Some("text/plain".to_string()));
    });
    assert_eq!(typed.header("content-type"), Some("text/plain"));
}

#[test]
fn a_template_on_the_wire() {
    let compile = |text: &str, syntax| Some(Arc::new(Template::compile(text, &[], syntax).unwrap()));
    let request = request(|config| {
        config.body = Body::Template;
        config.template = compile(r#"{"text":"<$.data.Key> on <route>"}"#, Syntax::Json);
        let header = compile("<id>", Syntax::Header).unwrap();
        config.headers = vec![("idempotency-key".to_string(), HeaderText::Template(header))];
    });
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("idempotency-key"), Some("id-7"));
    assert_eq!(request.body, br#"{"text":"7 on r-1"}"#);
}

#[test]
fn an_event_that_is_no_json_cannot_be_sent() {
    let mut config = config("http://127.0.0.1:9/".to_string());
    config.body = Body::Template;
    config.template = Some(Arc::new(Template::compile("<$.data.Key>", &[], Syntax::Json).unwrap()));
    let mut event = crate::testing::event(7, "vm-1");
    event.ce.data = b"{".to_vec();
    let delivery = Delivery::new(event);
    let mut verdicts = Vec::new();
    Http::new(&config, "", true).unwrap().deliver(&[delivery], &mut verdicts);
    let failure = verdicts.remove(0).failures.remove(0);
    assert_eq!((failure.retry, failure.reason), (Retry::Never, "template"));
    assert!(failure.detail.contains("not JSON at byte 1"), "{}", failure.detail);
}

#[test]
fn headers_on_the_wire() {
    let request = request(|config| {
        config.auth = SinkAuth::Bearer(secret("t0ken"));
        config.scheme = "Splunk".to_string();
        config.headers = vec![
            ("x-scope-orgid".to_string(), HeaderText::Fixed("tenant".to_string())),
            ("x-key".to_string(), HeaderText::Secret(secret("k3y"))),
        ];
    });
    assert_eq!(request.header("authorization"), Some("Splunk t0ken"));
    assert_eq!((request.header("x-scope-orgid"), request.header("x-key")), (Some("tenant"), Some("k3y")));
    let basic = self::request(|config| {
        config.auth = SinkAuth::Basic { username: secret("u"), password: secret("p") };
    });
    assert_eq!(basic.header("authorization"), Some("Basic dTpw"));
}

#[test]
fn no_secret_is_in_what_is_told() {
    const ECHO: &str = "no /services/T1/canary1234 with canary-token, canary-key, dXNlcjpjYW5hcnktcGFzcw==";
    let heads = ["404 X", "500 X", "307 X\r\nLocation: http://h/services/T1/canary1234", "400 X"];
    for (head, basic) in heads.into_iter().flat_map(|head| [(head, false), (head, true)]) {
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{ECHO}", ECHO.len());
        let server = serve_answer(answer);
        let mut config = config(String::new());
        config.address = Address::Secret(secret(&server.url("/services/T1/canary1234?sig=canary")));
        config.headers = vec![("x-key".to_string(), HeaderText::Secret(secret("canary-key")))];
        config.auth = SinkAuth::Bearer(secret("canary-token"));
        if basic {
            config.auth = SinkAuth::Basic { username: secret("user"), password: secret("canary-pass") };
            config.headers.push(("x-token".to_string(), HeaderText::Secret(secret("canary-token"))));
        }
        let failure = deliver(&config).failures.remove(0);
        let text = failure.detail;
        assert!(text.starts_with(&format!("POST {}: status ", server.url("/***"))), "{text}");
        let is_clean = |text: &str| !text.contains("canary") && !text.contains("dXNlcjpj");
        assert!(is_clean(&text) || (!basic && !text.contains("canary")), "{text}");
        assert!(is_clean(&format!("{config:?}")), "{config:?}");
        drop(server);
        let text = deliver(&config).failures.remove(0).detail;
        assert!(is_clean(&text), "{text}");
    }
}

#[test]
fn a_secret_that_cannot_be_read_holds_the_event() {
    let mut config = config("http://127.0.0.1:9/".to_string());
    config.auth = SinkAuth::Bearer(Secret::File("/none/token".into()));
    let failure = deliver(&config).failures.remove(0);
    assert_eq!((failure.retry, failure.reason), (Retry::Credentials { after: None, unsent: true }, "secret"));
    assert!(failure.detail.contains("/none/token"), "{}", failure.detail);
}

#[test]
fn a_token_that_was_replaced_is_tried_at_once_and_one_that_was_not_holds_the_route() {
    let server = serve_answer("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
    let folder = crate::testing::folder("http-token");
    let file = folder.path().join("token");
    std::fs::write(&file, "old").unwrap();
    let mut config = config(server.url("/"));
    config.auth = SinkAuth::Bearer(Secret::File(file.clone()));
    let http = Http::new(&config, "r-1", true).unwrap();
    let mut retries = Vec::new();
    for text in ["old", "new", "new"] {
        http.access().unwrap();
        std::fs::write(&file, text).unwrap();
        let mut verdicts = Vec::new();
        http.deliver(&[delivery(1)], &mut verdicts);
        retries.push(verdicts.remove(0).failures.remove(0).retry);
    }
    let sender = Retry::Sender { after: None };
    assert_eq!(retries, [sender, Retry::Later { after: None, unsent: false }, sender]);
}

#[test]
fn the_exact_bytes_of_the_body_are_signed() {
    let request = request(|config| {
        config.body = Body::Data;
        config.signature = Some(Signature {
            header: "x-hub-signature-256".to_string(),
            secret: secret("k3y"),
            algorithm: Algorithm::Sha256,
            format: SignatureFormat::Hex,
            prefix: "sha256=".to_string(),
        });
    });
    let expected = sign::signature(Algorithm::Sha256, SignatureFormat::Hex, "sha256=", "k3y", &request.body);
    assert_eq!(request.header("x-hub-signature-256"), Some(expected.as_str()));
}

/// Sends the events with these keys as a batch to a receiver that answers by their bodies; gives the
/// verdicts and how many requests there were.
fn deliver_batch(
    keys: &[i64],
    change: impl Fn(&mut HttpConfig),
    answer: impl Fn(&str) -> String + Send + Sync + 'static,
) -> (Vec<Verdict>, Vec<String>) {
    let (sender, bodies) = mpsc::channel();
    let server = serve(move |_, mut stream| {
        while let Some(request) = read_request(&mut stream) {
            let body = String::from_utf8(request.body).unwrap();
            let answer = answer(&body);
            sender.send(body).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let mut config = config(server.url("/"));
    config.body = Body::Data;
    config.batch = Some(BatchConfig {
        events_max: 100,
        bytes_max: 1 << 20,
        separator: ",".to_string(),
        prefix: "[".to_string(),
        suffix: "]".to_string(),
    });
    change(&mut config);
    let http = Http::new(&config, "", true).unwrap();
    let batch: Vec<_> = keys.iter().map(|key| delivery(*key)).collect();
    let mut verdicts = Vec::new();
    http.deliver(&batch, &mut verdicts);
    assert_eq!(verdicts.len(), keys.len());
    drop(http);
    drop(server);
    (verdicts, bodies.iter().collect())
}

fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n")
}

/// The places of what was not delivered, each with its reason.
fn failures(verdicts: &[Verdict]) -> Vec<(usize, &'static str, Retry)> {
    let failed = verdicts.iter().enumerate();
    failed.flat_map(|(at, verdict)| verdict.failures.iter().map(move |f| (at, f.reason, f.retry))).collect()
}

#[test]
fn one_bad_event_of_a_hundred_is_found_by_halves() {
    for (bad, line) in [(0, "400 X"), (57, "413 X"), (99, "422 X")] {
        let keys: Vec<i64> = (1000..1100).collect();
        let needle = format!("\"Key\":{}}}", 1000 + bad);
        let answer = move |body: &str| status(if body.contains(&needle) { line } else { "200 OK" });
        let (verdicts, bodies) = deliver_batch(&keys, |_| {}, answer);
        assert_eq!(failures(&verdicts), [(bad as usize, &line[..3], Retry::Never)]);
        assert!(bodies.len() <= 2 * 7 + 1, "{}", bodies.len());
        assert!(bodies[0].starts_with("[{\"Key\":1000},{\"Key\":1001}") && bodies[0].ends_with("]"));
    }
}

#[test]
fn what_a_receiver_stumbles_over_holds_its_half_alone() {
    let answer = |body: &str| status(if body.contains("\"Key\":3}") { "500 X" } else { "200 OK" });
    let (verdicts, bodies) = deliver_batch(&[1, 2, 3, 4], |_| {}, answer);
    let later = Retry::Later { after: None, unsent: false };
    assert_eq!(failures(&verdicts), [(2, "500", later), (3, "500", later)]);
    assert_eq!(
        bodies,
        [
            "[{\"Key\":1},{\"Key\":2},{\"Key\":3},{\"Key\":4}]",
            "[{\"Key\":1},{\"Key\":2}]",
            "[{\"Key\":3},{\"Key\":4}]"
        ]
    );
    // A receiver that is away is not asked more often for it.
    let (verdicts, bodies) = deliver_batch(&[1, 2, 3, 4], |_| {}, |_| status("503 X"));
    assert_eq!((failures(&verdicts).len(), bodies.len()), (4, 1));
}

#[test]
fn requests_keep_to_their_size_and_a_larger_event_is_a_dead_letter() {
    let small = |config: &mut HttpConfig| {
        config.batch = Some(BatchConfig { bytes_max: 24, ..config.batch.clone().unwrap() });
    };
    let (verdicts, bodies) = deliver_batch(&[1, 2, 1_000_000_000_000_000, 3], small, |body| {
        assert!(body.len() <= 24, "{body}");
        status("200 OK")
    });
    assert_eq!(failures(&verdicts), [(2, "oversize", Retry::Never)]);
    assert_eq!(bodies, ["[{\"Key\":1},{\"Key\":2}]", "[{\"Key\":3}]"]);
}

#[test]
fn cloud_events_go_as_an_array() {
    let change = |config: &mut HttpConfig| config.body = Body::Batch;
    let (verdicts, bodies) = deliver_batch(&[1, 2], change, |_| status("202 X"));
    assert_eq!(failures(&verdicts), []);
    let events: Vec<serde_json::Value> = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!((events[0]["id"].as_str(), events[1]["specversion"].as_str()), (Some("id-1"), Some("1.0")));
}

#[test]
fn items_of_a_bulk_answer_have_their_own_verdicts() {
    let change = |config: &mut HttpConfig| config.rules.reading = Reading::Bulk;
    let items = r#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":409}},{"create":{"status":429}},{"create":{"status":400,"error":{"type":"t","reason":"r"}}}]}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{items}", items.len());
    let (verdicts, bodies) = deliver_batch(&[1, 2, 3, 4], change, move |_| answer.clone());
    let later = Retry::Later { after: None, unsent: false };
    assert_eq!(failures(&verdicts), [(2, "429", later), (3, "400", Retry::Never)]);
    assert!(verdicts[3].failures[0].detail.ends_with("item status 400: t: r"));
    assert_eq!(bodies.len(), 1);
    let (verdicts, _) = deliver_batch(&[1, 2], change, |_| status("200 OK"));
    assert_eq!(failures(&verdicts), [(0, "malformed", later), (1, "malformed", later)]);
}

#[test]
fn what_otlp_rejects_is_not_sent_again() {
    let change = |config: &mut HttpConfig| config.rules.reading = Reading::Otlp;
    let body = r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"old"}}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (verdicts, bodies) = deliver_batch(&[1], change, move |_| answer.clone());
    assert_eq!(failures(&verdicts), [(0, "rejected", Retry::Never)]);
    assert_eq!(bodies.len(), 1);
    let (verdicts, _) = deliver_batch(&[1], change, |_| status("200 OK"));
    assert_eq!(failures(&verdicts), []);
}

#[test]
fn a_check_asks_for_health_with_the_credentials_and_no_one_else() {
    for (head, good) in [("200 OK", true), ("503 X", false), ("403 X", false)] {
        let (sender, requests) = mpsc::channel();
        let server = serve(move |_, mut stream| {
            sender.send(read_request(&mut stream).unwrap()).unwrap();
            stream.write_all(status(head).as_bytes()).unwrap();
        });
        let other = serve_answer(status("200 OK"));
        for (health, own) in [("/health".to_string(), true), (other.url("/"), false)] {
            let mut config = config(server.url("/events"));
            config.auth = SinkAuth::Bearer(secret("canary"));
            config.health = Some(health);
            let mut findings = Vec::new();
            crate::processor::ProcessorSettings::probe(&config, "p", &|| None, &mut |finding| {
                findings.push(finding)
            });
            assert_eq!(findings.len(), 1);
            let is_good = matches!(findings[0], crate::finding::Finding::Good(_));
            assert_eq!(is_good, good || !own, "{findings:?}");
            if own {
                let request = requests.recv().unwrap();
                assert!(request.head.starts_with("GET /health HTTP/1.1"), "{}", request.head);
                assert_eq!(request.header("authorization"), Some("Bearer canary"));
            }
        }
    }
}
