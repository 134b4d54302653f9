//! What every status means to every processor: the table of the manual, the code, and what comes of it on
//! a wire are the same.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU16, Ordering};

use super::*;
use crate::config::ConnectionConfig;
use crate::config::sections::SinkAuth;
use crate::http::testing::{RawRequest, TestServer, read_request, serve};
use crate::processor::eventbridge::Eventbridge;
use crate::processor::eventbridge::settings::EventbridgeConfig;
use crate::processor::http::Http;
use crate::processor::http::settings::HttpConfig;
use crate::processor::knative::Knative;
use crate::processor::knative::settings::KnativeConfig;
use crate::processor::openfaas::Openfaas;
use crate::processor::openfaas::settings::OpenfaasConfig;

const MANUAL: &str = include_str!("../../README.md");
const HEADER: &str = "| Status | knative | http | openfaas | eventbridge, where AWS gives no error code |";
const PROCESSORS: [&str; 4] = ["knative", "http", "openfaas", "eventbridge"];

/// The first word of the manual about a status: the most exact row counts.
fn manual(place: usize, status: u16) -> String {
    let rows = MANUAL.split_once(HEADER).expect("the table of codes").1.lines().skip(2);
    let rows = rows.take_while(|row| row.starts_with('|'));
    let mut classes = None;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let class = format!("{}xx", status / 100);
        let codes = || cells[0].split(", ").map(|code| code.trim_start_matches("other "));
        let word = || cells[place + 1].split([' ', ',', ';']).next().unwrap().to_string();
        if codes().any(|code| code == status.to_string()) {
            return word();
        }
        if codes().any(|code| code == class) {
            assert!(classes.replace(word()).is_none(), "two rows for {status}");
        }
    }
    classes.unwrap_or_else(|| panic!("no row for {status}"))
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict.failures.first().map(|failure| failure.retry) {
        None => "accepted",
        Some(Retry::Never) => "event",
        Some(Retry::Sender { .. } | Retry::Credentials { .. }) => "sender",
        Some(Retry::Later { .. } | Retry::NotReady) => "passing",
    }
}

/// Answers events with `status`, and what a gateway is asked besides.
fn sink(status: Arc<AtomicU16>) -> TestServer {
    serve(move |_, mut stream| {
        while let Some(request) = read_request(&mut stream) {
            let (status, body) = answer(&request, status.load(Ordering::SeqCst));
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).unwrap();
        }
    })
}

fn answer(request: &RawRequest, status: u16) -> (u16, String) {
    let path = request.head.split(' ').nth(1).unwrap_or_default();
    match path {
        "/system/namespaces" => (404, String::new()),
        "/system/functions" => {
            (200, r#"[{"name":"a","annotations":{"topic":"VmPoweredOnEvent"}}]"#.to_string())
        }
        "/" if status == 200 => (200, r#"{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#.to_string()),
        _ => (status, String::new()),
    }
}

fn openfaas(url: String, asynchronous: bool) -> Openfaas {
    let config = OpenfaasConfig {
        address: url,
        asynchronous,
        auth: SinkAuth::None,
        timeout: Duration::from_secs(20),
        refresh: Duration::from_millis(10),
        content_type: None,
        callback_url: None,
        connection: ConnectionConfig::default(),
    };
    Openfaas::new("functions", &config, true).unwrap()
}

fn http(url: String) -> Http {
    let config = HttpConfig { timeout: Duration::from_secs(20), ..HttpConfig::to(url) };
    Http::new(&config, "r", true).unwrap()
}

fn eventbridge(url: String) -> Eventbridge {
    Eventbridge::new("bus", &EventbridgeConfig::to(url), true).unwrap()
}

/// The verdict about an event, once the processor is ready for any.
fn verdict(processor: &dyn Processor) -> Verdict {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut verdicts = Vec::new();
        processor.deliver(&[Delivery::new(crate::testing::event(1, "vm-1"))], &mut verdicts);
        let verdict = verdicts.remove(0);
        if verdict.failures.first().is_none_or(|failure| failure.retry != Retry::NotReady) {
            return verdict;
        }
        assert!(Instant::now() < deadline, "never ready");
    }
}

#[test]
fn each_status_means_on_the_wire_what_the_manual_says() {
    let status = Arc::new(AtomicU16::new(200));
    let server = sink(status.clone());
    let processors: [(usize, Box<dyn Processor>); 5] = [
        (0, Box::new(Knative::new("sink", &KnativeConfig::to(server.url("/sink")), true).unwrap())),
        (1, Box::new(http(server.url("/hook")))),
        (2, Box::new(openfaas(server.url(""), false))),
        (2, Box::new(openfaas(server.url(""), true))),
        (3, Box::new(eventbridge(server.url("")))),
    ];
    for (place, processor) in &processors {
        // What begins with 1 is no answer yet.
        for code in 200..600 {
            status.store(code, Ordering::SeqCst);
            let verdict = verdict(&**processor);
            let expected = match manual(*place, code).as_str() {
                "its" => "accepted".to_string(),
                other => other.to_string(),
            };
            assert_eq!(word(&verdict), expected, "{} {code}: {verdict:?}", PROCESSORS[*place]);
            if let Some(failure) = verdict.failures.first() {
                assert!(failure.detail.contains(&format!("status {code}")), "{}", failure.detail);
            }
        }
    }
    drop(processors);
}

#[test]
fn the_manual_knows_what_is_no_whole_answer() {
    for code in 100..200 {
        assert_eq!(manual(0, code), "event");
        assert_eq!(knative::classify_status(code), knative::Class::Never);
        assert_eq!(manual(1, code), "event");
        assert_eq!(manual(2, code), "event");
        assert_eq!(openfaas::gateway::retry_of_status(code), Some(Retry::Never));
        assert_eq!(manual(3, code), "sender");
        let (class, _) = eventbridge::failure::classify_request(code, "", "");
        assert_eq!(class, eventbridge::failure::Class::Denied);
    }
}

/// What follows a good head, and never ends well.
type Body = fn(&mut std::net::TcpStream);

const BODIES: [(&str, Body); 6] = [
    ("Content-Length: 100\r\n", |stream| drop(stream.write_all(b"short"))),
    ("Transfer-Encoding: chunked\r\n", |stream| drop(stream.write_all(b"no chunk\r\n"))),
    ("Transfer-Encoding: chunked\r\n", |stream| drop(stream.write_all(b"5\r\nhal"))),
    ("Content-Length: 100\r\n", crate::http::testing::until_closed),
    ("", |stream| while stream.write_all(&[b'x'; 4096]).is_ok() {}),
    ("Content-Length: 100000\r\n", |stream| {
        // The wait for the client's end is the pace.
        let pace = Duration::from_millis(100);
        stream.set_read_timeout(Some(pace)).unwrap();
        while stream.write_all(b"x").is_ok() && !matches!(stream.read(&mut [0]), Ok(0)) {}
    }),
];

#[test]
fn a_good_head_acknowledges_whatever_becomes_of_its_body() {
    for (number, (header, body)) in BODIES.into_iter().enumerate() {
        let posted = Arc::new(AtomicU16::new(0));
        let counted = posted.clone();
        let server = serve(move |_, mut stream| {
            while let Some(request) = read_request(&mut stream) {
                if request.head.starts_with("GET ") {
                    let (status, body) = answer(&request, 404);
                    let length = body.len();
                    let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
                    stream.write_all(text.as_bytes()).unwrap();
                    continue;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                // It may have seen enough before everything is written.
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{header}\r\n").as_bytes());
                return body(&mut stream);
            }
        });
        let senders: [Box<dyn Processor>; 4] = [
            Box::new(Knative::new("sink", &KnativeConfig::to(server.url("/sink")), true).unwrap()),
            Box::new(http(server.url("/hook"))),
            Box::new(openfaas(server.url(""), false)),
            Box::new(openfaas(server.url(""), true)),
        ];
        for (place, sender) in senders.iter().enumerate() {
            // Who acknowledged is named where there are several.
            let verdict = Verdict { accepted: Vec::new(), ..verdict(&**sender) };
            assert_eq!(verdict, Verdict::delivered(), "body {number}, processor {place}");
            assert_eq!(posted.load(Ordering::SeqCst), place as u16 + 1, "body {number}: sent once");
        }
        drop(senders);
    }
}
