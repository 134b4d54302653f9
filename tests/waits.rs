//! What follows from every answer of a sink, with the waits of a clock that only the test moves:
//! Knative's delivery contract, and our schedule.

use std::time::Duration;

use event_router::cloudevents::CloudEvent;
use event_router::config::RetryConfig;
use event_router::event::{Event, Lane, Position};
use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use event_router::pipeline::retry::{Promise, decide};
use event_router::processor::knative::Knative;
use event_router::processor::knative::settings::KnativeConfig;
use event_router::processor::{Delivery, Processor};
use jiff::Timestamp;

use crate::support::closed_port;
use crate::support::scripted::{self, Scripted};

const SCHEDULE: &str = "0.2 0.4 0.8 1.6 3.2 6.4 12.8 25.6 30 30";

/// Delivers one event as long as it should be tried again, ten times at most, and gives what came of
/// it: the waits in seconds, or the end.
fn outcome(uri: &str, timeout: Duration) -> String {
    let config = KnativeConfig { timeout, ..KnativeConfig::to(uri) };
    let knative = Knative::new("sink", &config, true).unwrap();
    let retry = RetryConfig::default();
    let mut waits = Vec::new();
    let mut clock = Duration::ZERO;
    for attempts in 1..=10 {
        let mut verdicts = Vec::new();
        knative.deliver(&[delivery()], &mut verdicts);
        let decision =
            decide(verdicts.remove(0), Promise::AtLeastOnce, &retry, attempts, clock, |_| false, 0.0);
        if let Some(failure) = decision.final_failures.first() {
            return format!("dead letter ({})", failure.reason);
        }
        if decision.again.is_empty() {
            return "delivered".to_string();
        }
        clock += decision.wait;
        waits.push(decision.wait.as_secs_f64().to_string());
    }
    waits.join(" ")
}

fn delivery() -> Delivery {
    let ce = CloudEvent {
        id: "1".into(),
        source: "https://vc/sdk".into(),
        ty: "t".into(),
        name_in_type: None,
        subject: None,
        time: None,
        datacontenttype: Some("application/json".into()),
        data: b"{}".to_vec(),
        extensions: [].into(),
    };
    let position = Position { key: 1, time: Timestamp::UNIX_EPOCH };
    Delivery::new(Event { position, lane: Lane::COMMON, ce, anomalies: Vec::new(), receipt: None })
}

/// `200-299` and the like for statuses with the same outcome.
fn table(outcomes: &[(u16, String)]) -> Vec<String> {
    let word = |text: &str| text.split(" (").next().unwrap_or_default().to_string();
    let runs = outcomes.chunk_by(|one, next| word(&one.1) == word(&next.1));
    runs.map(|run| {
        let (first, last) = (run[0].0, run[run.len() - 1].0);
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        format!("{range}: {}", word(&run[0].1))
    })
    .collect()
}

#[test]
fn every_status_has_its_outcome_and_its_waits() {
    let sink = Server::start("127.0.0.1:0", ServerSettings::default(), |request| {
        let status = request.path().trim_start_matches('/').parse().unwrap();
        Reply::Answer(Answer::text(status, "so"))
    })
    .unwrap();
    let long = Duration::from_secs(20);
    let url = |status: u16| format!("http://{}/{status}", sink.address());
    let outcomes: Vec<_> = (200..600).map(|status| (status, outcome(&url(status), long))).collect();
    let table = table(&outcomes);
    table.iter().for_each(|line| eprintln!("{line}"));
    let again = |range: &str| format!("{range}: {SCHEDULE}");
    assert_eq!(
        table,
        [
            "200-299: delivered".to_string(),
            again("300-399"),
            "400: dead letter".to_string(),
            again("401-409"),
            "410-420: dead letter".to_string(),
            again("421"),
            "422-424: dead letter".to_string(),
            again("425-426"),
            "427-428: dead letter".to_string(),
            again("429"),
            "430-499: dead letter".to_string(),
            again("500-599"),
        ]
    );
}

#[test]
fn what_the_sink_asks_for_is_kept_up_to_a_limit() {
    let page =
        |head: &'static str| Scripted::start(scripted::Answer::Page(head, "text/plain", String::new()));
    for (head, expected) in [
        ("503 X\r\nRetry-After: 0", SCHEDULE),
        ("503 X\r\nRetry-After: 7", "7 7 7 7 7 7 12.8 25.6 30 30"),
        ("429 X\r\nRetry-After: 120", "120 120 120 120 120 120 120 120 120 120"),
        ("429 X\r\nRetry-After: 86400", "300 300 300 300 300 300 300 300 300 300"),
        ("503 X\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT", SCHEDULE),
        ("503 X\r\nRetry-After: Sat, 21 Oct 2215 07:28:00 GMT", "300 300 300 300 300 300 300 300 300 300"),
        ("503 X\r\nRetry-After: soon", SCHEDULE),
        // A redirect is not followed, wherever it leads.
        ("307 X\r\nLocation: http://127.0.0.1:9/", SCHEDULE),
    ] {
        let sink = page(head);
        let found = outcome(&sink.url, Duration::from_secs(20));
        eprintln!("{head:?}: {found}");
        assert_eq!(found, expected, "{head}");
    }
}

#[test]
fn every_failure_of_the_transport_is_tried_again() {
    let nobody = format!("http://127.0.0.1:{}/", closed_port());
    let short = Scripted::start(scripted::Answer::Short("half an answer"));
    let garbage = Scripted::start(scripted::Answer::Page("no status", "text/plain", String::new()));
    let plain =
        Server::start("127.0.0.1:0", ServerSettings::default(), |_| Reply::Answer(Answer::text(202, "ok")));
    let plain = plain.unwrap();
    let secure = format!("https://{}/", plain.address());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}/", silent.local_addr().unwrap());
    let long = Duration::from_secs(20);
    for (what, uri, timeout) in [
        ("connection refused", &nobody, long),
        ("no such host", &"http://no-such-host.invalid/".to_string(), long),
        ("no HTTP", &garbage.url, long),
        ("no TLS", &secure, long),
        ("no answer in time", &silent, Duration::from_millis(50)),
    ] {
        let found = outcome(uri, timeout);
        eprintln!("{what}: {found}");
        assert_eq!(found, SCHEDULE, "{what}");
    }
    // Its head has said that the event is taken.
    assert_eq!(outcome(&short.url, long), "delivered");
}
