use std::io::Write;
use std::sync::mpsc;

use super::settings::{Address, HeaderText};
use super::*;
use crate::config::ConnectionConfig;
use crate::config::secret::Secret;
use crate::config::sections::SinkAuth;
use crate::http::testing::{RawRequest, read_request, serve, serve_answer};
use crate::processor::extensions::Extensions;
use crate::template::{Syntax, Template};

fn config(url: String) -> HttpConfig {
    HttpConfig {
        address: Address::Plain(url),
        method: "POST",
        headers: Vec::new(),
        auth: SinkAuth::None,
        scheme: "Bearer".to_string(),
        body: Body::Structured,
        template: None,
        extensions: Extensions::default(),
        content_type: None,
        rules: judge::Rules::default(),
        timeout: Duration::from_secs(20),
        connection: ConnectionConfig::default(),
    }
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
    cloudevents::write_json(&event.ce, &mut expected);
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
    let mut delivery = delivery(7);
    delivery.event.ce.data = b"{".to_vec();
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
