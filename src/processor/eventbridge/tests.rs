//! A scripted endpoint: what it takes, and what it says about every entry.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::aws::arn::RuleArn;
use crate::http::testing::{RawRequest, TestServer, read_request, serve};
use crate::limits::{DENIED_WAIT, THROTTLED_WAIT_MIN};
use crate::testing::event;

mod network;

/// An answer: status with reason, further header rows, body.
type Answer = (&'static str, &'static str, String);

/// An endpoint that records requests and answers them by operation.
struct Aws {
    server: TestServer,
    requests: Arc<Mutex<Vec<RawRequest>>>,
}

impl Aws {
    fn start(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Aws {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let server = serve(move |_, mut stream| {
            while let Some(request) = read_request(&mut stream) {
                let operation = request.header("x-amz-target").unwrap_or_default().to_string();
                let body = serde_json::from_slice(&request.body).unwrap_or_default();
                seen.lock().unwrap().push(request);
                let operation = operation.strip_prefix("AWSEvents.").unwrap_or("");
                let (status, headers, body) = answer(operation, &body);
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
                if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                    return;
                }
            }
        });
        Aws { server, requests }
    }

    fn config(&self) -> EventbridgeConfig {
        EventbridgeConfig { event_bus: Some("vm".to_string()), ..EventbridgeConfig::to(self.server.url("")) }
    }

    fn sender(&self) -> Eventbridge {
        Eventbridge::new("bus", &self.config(), true).unwrap()
    }

    fn with_rule(&self, refresh: Duration) -> Eventbridge {
        let arn = RuleArn::parse("arn:aws:events:eu-central-1:123456789012:rule/vm/forward").unwrap();
        let config = EventbridgeConfig { rule: Some(arn), event_bus: None, refresh, ..self.config() };
        Eventbridge::new("bus", &config, true).unwrap()
    }

    /// The keys of the events of every PutEvents so far.
    fn put(&self) -> Vec<Vec<i64>> {
        let requests = self.requests.lock().unwrap();
        let puts = requests.iter().filter(|request| request.head.contains("AWSEvents.PutEvents"));
        puts.map(|put| keys(&serde_json::from_slice(&put.body).unwrap())).collect()
    }
}

/// The `Key` of the data of every entry.
fn keys(body: &Value) -> Vec<i64> {
    let entries = body["Entries"].as_array().unwrap().iter();
    let details =
        entries.map(|entry| serde_json::from_str::<Value>(entry["Detail"].as_str().unwrap()).unwrap());
    details.map(|detail| detail["data"]["Key"].as_i64().unwrap()).collect()
}

/// A 200 in which `code` says for each key what is wrong with it.
fn outcomes(body: &Value, code: impl Fn(i64) -> Option<&'static str>) -> Answer {
    let entries: Vec<Value> = keys(body)
        .into_iter()
        .map(|key| match code(key) {
            Some(code) => json!({"ErrorCode": code, "ErrorMessage": "because"}),
            None => json!({"EventId": format!("id-{key}")}),
        })
        .collect();
    let failed = entries.iter().filter(|entry| entry.get("ErrorCode").is_some()).count();
    ("200 OK", "", json!({"FailedEntryCount": failed, "Entries": entries}).to_string())
}

fn refusal(code: &str, message: &str) -> Answer {
    ("400 Bad Request", "", json!({"__type": code, "message": message}).to_string())
}

fn batch(keys: std::ops::Range<i64>) -> Vec<Delivery> {
    keys.map(|key| Delivery::new(event(key, "vm-1"))).collect()
}

fn deliver(sender: &Eventbridge, batch: &[Delivery]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    sender.deliver(batch, &mut verdicts);
    assert_eq!(verdicts.len(), batch.len());
    verdicts
}

/// What failed, as (place, reason, can be sent again).
fn failed(verdicts: &[Verdict]) -> Vec<(usize, &'static str, bool)> {
    let failures = verdicts.iter().enumerate().flat_map(|(place, verdict)| {
        verdict.failures.iter().map(move |failure| (place, failure.reason, failure.retry != Retry::Never))
    });
    failures.collect()
}

#[test]
fn requests_are_signed_and_entries_settled_one_by_one() {
    let aws = Aws::start(|_, body| {
        outcomes(body, |key| match key {
            3 => Some("ThrottlingException"),
            7 => Some("NotAuthorizedForSourceException"),
            _ => None,
        })
    });
    let sender = aws.sender();
    assert_eq!(sender.batch_events_max(), 10);
    let verdicts = deliver(&sender, &batch(0..10));
    assert_eq!(failed(&verdicts), [(3, "throttled", true), (7, "denied", false)]);
    let Retry::Later { after, .. } = verdicts[3].failures[0].retry else { panic!("3 is tried again") };
    assert!(THROTTLED_WAIT_MIN / 2 <= after.unwrap());
    let detail = &verdicts[7].failures[0].detail;
    assert!(detail.ends_with(": NotAuthorizedForSourceException: because"), "{detail}");
    assert_eq!(aws.put(), [(0..10).collect::<Vec<_>>()]);
    let request = aws.requests.lock().unwrap()[0].clone();
    assert!(request.head.starts_with("POST / HTTP/1.1"), "{}", request.head);
    assert_eq!(request.header("content-type"), Some("application/x-amz-json-1.1"));
    assert_eq!(request.header("x-amz-security-token"), None);
    let authorization = request.header("authorization").unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{authorization}");
    assert!(authorization.contains(
        "/eu-central-1/events/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
    ));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["Entries"][0]["EventBusName"], "vm");
}

#[test]
fn failures_of_whole_requests_lose_nothing() {
    for (answer, reason) in [
        (refusal("ThrottlingException", "Rate exceeded"), "throttled"),
        (("500 Oops", "", String::new()), "internal"),
        (("503 Busy", "Retry-After: 7\r\n", "busy".to_string()), "internal"),
        (("200 OK", "", "{\"Entries\":".to_string()), "malformed"),
        (("200 OK", "", "{\"Entries\":[{\"EventId\":\"1\"}]}".to_string()), "malformed"),
        (
            refusal("AccessDeniedException", "User: x is not authorized to perform: events:PutEvents"),
            "denied",
        ),
        (refusal("UnrecognizedClientException", "The security token is invalid"), "credentials"),
        (refusal("ExpiredTokenException", "The security token is expired"), "credentials"),
        (refusal("InvalidSignatureException", "The request signature we calculated"), "signature"),
        (refusal("ResourceNotFoundException", "Event bus vm does not exist."), "missing"),
        (("404 Not Found", "", "<html>".to_string()), "endpoint"),
    ] {
        let said = answer.clone();
        let aws = Aws::start(move |_, _| said.clone());
        let verdicts = deliver(&aws.sender(), &batch(0..3));
        assert_eq!(
            failed(&verdicts),
            [(0, reason, true), (1, reason, true), (2, reason, true)],
            "{answer:?}"
        );
        let failure = &verdicts[0].failures[0];
        assert!(failure.detail.starts_with("PutEvents at http://127.0.0.1:"), "{}", failure.detail);
        assert!(!failure.detail.contains("s3cret"), "{}", failure.detail);
        let after = match (failure.retry, reason) {
            (Retry::Sender { after }, "denied" | "missing" | "endpoint") => after,
            (Retry::Credentials { after, .. }, "credentials" | "signature") => after,
            (Retry::Later { after, .. }, _) => after,
            other => panic!("{other:?}"),
        };
        match reason {
            "denied" | "credentials" | "signature" => assert_eq!(after, Some(DENIED_WAIT)),
            "internal" if answer.1.is_empty() => assert_eq!(after, None),
            "internal" => assert_eq!(after, Some(Duration::from_secs(7))),
            _ => {}
        }
        assert_eq!(aws.put().len(), 1);
    }
}

#[test]
fn no_answer_loses_nothing() {
    let closing = serve(|_, mut stream| {
        read_request(&mut stream);
    });
    let aws = Aws { server: closing, requests: Arc::default() };
    assert_eq!(failed(&deliver(&aws.sender(), &batch(0..2))), [(0, "broken", true), (1, "broken", true)]);
    let hanging = serve(|_, mut stream| {
        read_request(&mut stream);
        read_request(&mut stream);
    });
    let aws = Aws { server: hanging, requests: Arc::default() };
    let config = EventbridgeConfig { timeout: Duration::from_millis(100), ..aws.config() };
    let sender = Eventbridge::new("bus", &config, true).unwrap();
    let begun = Instant::now();
    assert_eq!(failed(&deliver(&sender, &batch(0..1))), [(0, "timeout", true)]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    drop(sender);
}

#[test]
fn one_bad_event_does_not_take_others_with_it() {
    let aws = Aws::start(|_, body| match keys(body).contains(&4) {
        true => refusal("ValidationException", "1 validation error detected"),
        false => outcomes(body, |_| None),
    });
    assert_eq!(failed(&deliver(&aws.sender(), &batch(0..10))), [(4, "refused", false)]);
    let delivered: Vec<i64> = aws.put().into_iter().filter(|keys| !keys.contains(&4)).flatten().collect();
    assert_eq!(delivered, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
}

#[test]
fn requests_stay_below_the_limit_and_oversize_is_never_sent() {
    let aws = Aws::start(|_, body| outcomes(body, |_| None));
    let mut deliveries = batch(0..6);
    for (place, bytes) in [(1, 4000), (2, 4000), (3, 4000), (4, 20_000)] {
        let mut event = event(place as i64, "vm-1");
        event.ce.data = format!("{{\"Key\":{place},\"x\":\"{}\"}}", "y".repeat(bytes)).into_bytes();
        deliveries[place] = Delivery::new(event);
    }
    let verdicts = deliver(&aws.sender(), &deliveries);
    assert_eq!(failed(&verdicts), [(4, "oversize", false)]);
    assert_eq!(aws.put(), [vec![0, 1, 2], vec![3, 5]]);
    let detail = &verdicts[4].failures[0].detail;
    assert!(detail.contains("over the limit of 10000"), "{detail}");
}

#[test]
fn the_clock_is_corrected_once() {
    let count = Arc::new(AtomicUsize::new(0));
    let calls = count.clone();
    let aws = Aws::start(move |_, body| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => {
            let (status, _, text) =
                refusal("InvalidSignatureException", "Signature expired: x is now earlier");
            (status, "Date: Wed, 04 May 2050 10:11:12 GMT\r\n", text)
        }
        _ => outcomes(body, |_| None),
    });
    let sender = aws.sender();
    assert_eq!(failed(&deliver(&sender, &batch(0..1))), []);
    assert_eq!(failed(&deliver(&sender, &batch(1..2))), []);
    let requests = aws.requests.lock().unwrap();
    let dates: Vec<&str> = requests.iter().map(|request| request.header("x-amz-date").unwrap()).collect();
    assert_eq!(dates.len(), 3);
    assert!(
        !dates[0].starts_with("2050") && dates[1..].iter().all(|date| date.starts_with("20500504T10")),
        "{dates:?}"
    );
}

#[test]
fn all_threads_that_were_refused_for_the_clock_go_on_at_once() {
    let (both, calls) = (std::sync::Barrier::new(2), AtomicUsize::new(0));
    let aws = Aws::start(move |_, body| {
        if calls.fetch_add(1, Ordering::SeqCst) < 2 {
            both.wait();
            let (status, _, text) = refusal("InvalidSignatureException", "Signature expired: x");
            return (status, "Date: Wed, 04 May 2050 10:11:12 GMT\r\n", text);
        }
        outcomes(body, |_| None)
    });
    let sender = aws.sender();
    std::thread::scope(|scope| {
        let threads = [0, 1].map(|key| {
            scope.spawn({
                let sender = &sender;
                move || failed(&deliver(sender, &batch(key..key + 1)))
            })
        });
        for thread in threads {
            assert_eq!(thread.join().unwrap(), []);
        }
    });
    assert_eq!(aws.put().len(), 4);
}

#[test]
fn a_clock_complaint_without_another_time_is_no_circle() {
    let aws = Aws::start(|_, _| refusal("RequestTimeTooSkewed", "no date follows"));
    assert_eq!(failed(&deliver(&aws.sender(), &batch(0..1))), [(0, "clock", true)]);
    assert_eq!(aws.put().len(), 1);
}

fn rule(pattern: &str, state: &str) -> Answer {
    let arn = "arn:aws:events:eu-central-1:123456789012:rule/vm/forward";
    (
        "200 OK",
        "",
        json!({"Name": "forward", "Arn": arn, "EventPattern": pattern, "State": state}).to_string(),
    )
}

#[test]
fn a_rule_is_judged_on_the_envelope() {
    for (pattern, matching) in [
        (r#"{"source":["https://vc01.corp.local/sdk"],"detail-type":["VmPoweredOnEvent"]}"#, true),
        (r#"{"detail":{"subject":["VmPoweredOnEvent","VmRemovedEvent"]}}"#, true),
        (r#"{"account":["123456789012"],"region":["eu-central-1"],"detail":{"data":{"Key":[7]}}}"#, true),
        (
            r#"{"time":[{"wildcard":"????"},{"prefix":"1970-01-01T00:00:07Z"}],"resources":[{"exists":false}]}"#,
            true,
        ),
        (r#"{"detail":{"subject":["VmRemovedEvent"]}}"#, false),
        (r#"{"source":["aws.ec2"]}"#, false),
    ] {
        let text = pattern.to_string();
        let aws = Aws::start(move |operation, body| match operation {
            "DescribeRule" => rule(&text, "ENABLED"),
            _ => outcomes(body, |_| None),
        });
        let verdicts = deliver(&aws.with_rule(Duration::from_secs(300)), &batch(7..8));
        let expected = if matching { Verdict::delivered() } else { Verdict::unmatched() };
        assert_eq!(verdicts, [expected], "{pattern}");
        assert_eq!(aws.put().len(), usize::from(matching));
        let requests = aws.requests.lock().unwrap();
        let asked: Value = serde_json::from_slice(&requests[0].body).unwrap();
        assert_eq!(asked, json!({"Name": "forward", "EventBusName": "vm"}));
    }
}

#[test]
fn rules_are_listed_where_they_cannot_be_described() {
    let aws = Aws::start(|operation, body| match (operation, body["NextToken"].as_str()) {
        ("DescribeRule", _) => refusal("AccessDeniedException", "not events:DescribeRule"),
        ("ListRules", None) => {
            let other = json!({"Arn": "other", "EventPattern": "{}"});
            ("200 OK", "", json!({"Rules": [other], "NextToken": "more"}).to_string())
        }
        ("ListRules", Some("more")) => {
            let (_, _, text) = rule(r#"{"detail":{"data":{"Key":[1]}}}"#, "ENABLED");
            let found: Value = serde_json::from_str(&text).unwrap();
            ("200 OK", "", json!({"Rules": [found]}).to_string())
        }
        _ => outcomes(body, |_| None),
    });
    let verdicts = deliver(&aws.with_rule(Duration::from_secs(300)), &batch(0..2));
    assert_eq!(verdicts, [Verdict::unmatched(), Verdict::delivered()]);
}

#[test]
fn without_a_rule_nothing_is_judged_and_a_changed_rule_is_taken_over() {
    let step = Arc::new(AtomicUsize::new(0));
    let steps = step.clone();
    let aws = Aws::start(move |operation, body| match (operation, steps.load(Ordering::SeqCst)) {
        ("DescribeRule", 0) => refusal("ResourceNotFoundException", "Rule forward does not exist."),
        ("DescribeRule", 1) => rule(r#"{"detail":{"data":{"Key":[1]}}}"#, "ENABLED"),
        ("DescribeRule", 2) => rule(r#"{"detail":{"data":{"Key":[2]}}}"#, "DISABLED"),
        ("DescribeRule", _) => ("500 Oops", "", String::new()),
        _ => outcomes(body, |_| None),
    });
    let sender = aws.with_rule(Duration::from_millis(20));
    let verdicts = deliver(&sender, &batch(0..3));
    assert!(verdicts.iter().all(|verdict| verdict.failures[0].retry == Retry::NotReady), "{verdicts:?}");
    let detail = &verdicts[0].failures[0].detail;
    assert!(detail.contains("Rule forward does not exist."), "{detail}");
    for (now, delivered) in [(1, 1), (2, 2), (3, 2)] {
        step.store(now, Ordering::SeqCst);
        let before = aws.requests.lock().unwrap().len();
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let verdicts = deliver(&sender, &batch(0..3));
            let asked = aws.requests.lock().unwrap()[before..]
                .iter()
                .filter(|request| request.head.contains("DescribeRule"))
                .count();
            let found: Vec<usize> = (0..3).filter(|place| verdicts[*place] == Verdict::delivered()).collect();
            if found == [delivered] && 2 < asked {
                break;
            }
            assert!(Instant::now() < end, "step {now}: {found:?}");
        }
    }
}

#[test]
fn settings_of_the_endpoint() {
    let aws = Aws::start(|_, body| outcomes(body, |_| None));
    let none = Environment::new(|_| None);
    let url = |config: &EventbridgeConfig, environment: &Environment| {
        api("bus", config, environment, true).unwrap().url
    };
    assert_eq!(url(&aws.config(), &none), aws.server.url("/"));
    let plain = EventbridgeConfig { endpoint: None, ..aws.config() };
    assert_eq!(url(&plain, &none), "https://events.eu-central-1.amazonaws.com/");
    let fips = EventbridgeConfig { fips: true, ..plain.clone() };
    assert_eq!(url(&fips, &none), "https://events-fips.eu-central-1.amazonaws.com/");
    let general = Environment::new(|name| (name == "AWS_ENDPOINT_URL").then(|| "http://all:1".to_string()));
    assert_eq!(url(&plain, &general), "http://all:1/");
    let own = Environment::new(|name| name.starts_with("AWS_ENDPOINT_URL").then(|| format!("http://{name}")));
    assert_eq!(url(&plain, &own), "http://AWS_ENDPOINT_URL_EVENTBRIDGE/");
}

#[test]
fn one_event_that_a_policy_refuses_is_told_from_the_others_when_it_is_tried_again() {
    let aws = Aws::start(|_, body| match keys(body).contains(&4) {
        true => refusal("AccessDeniedException", "not authorized to perform: events:PutEvents"),
        false => outcomes(body, |_| None),
    });
    let sender = aws.sender();
    let mut deliveries = batch(0..10);
    // At first it is not known whether it is everything.
    let verdicts = deliver(&sender, &deliveries);
    assert_eq!(verdicts.iter().filter(|verdict| !verdict.failures.is_empty()).count(), 10);
    assert!(matches!(verdicts[0].failures[0].retry, Retry::Sender { after: Some(_) }));
    assert_eq!(aws.put().len(), 1);
    for delivery in &mut deliveries {
        delivery.ticket.refused_since = Some(Instant::now());
    }
    assert_eq!(failed(&deliver(&sender, &deliveries)), [(4, "denied", true)]);
}
