use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use super::*;
use crate::config::ConnectionConfig;
use crate::config::secret::Secret;
use crate::config::sections::SinkAuth;
use crate::http::testing::{RawRequest, TestServer, read_request, serve, until_closed};

const SOON: Duration = Duration::from_secs(20);
const LATER: Retry = Retry::Later { after: None, unsent: false };

/// What a gateway was asked and what it says.
#[derive(Default)]
struct Script {
    requests: Mutex<Vec<RawRequest>>,
    /// Answers by path and query; those of the listing stay, those of functions are used up, and
    /// the last one stays.
    answers: Mutex<HashMap<String, Vec<String>>>,
}

impl Script {
    fn set(&self, path: &str, answers: &[&str]) {
        let answers = answers.iter().rev().map(|answer| answer.to_string()).collect();
        self.answers.lock().unwrap().insert(path.to_string(), answers);
    }

    /// The functions of the only namespace, with their topics.
    fn functions(&self, functions: &[(&str, &str)]) {
        let list: Vec<_> = functions
            .iter()
            .map(|(name, topic)| serde_json::json!({"name": name, "annotations": {"topic": topic}}))
            .collect();
        self.set("/system/namespaces", &[&ok(r#"["fn"]"#)]);
        self.set("/system/functions?namespace=fn", &[&ok(&serde_json::to_string(&list).unwrap())]);
    }

    fn answer(&self, path: &str) -> String {
        let mut answers = self.answers.lock().unwrap();
        let Some(left) = answers.get_mut(path) else { return status("404 Not Found", "no such path") };
        if 1 < left.len() { left.pop().unwrap() } else { left[0].clone() }
    }

    fn paths(&self, prefix: &str) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let paths = requests.iter().map(|request| request.head.split(' ').nth(1).unwrap().to_string());
        let mut paths: Vec<String> = paths.filter(|path| path.starts_with(prefix)).collect();
        paths.sort();
        paths
    }

    fn calls(&self) -> Vec<String> {
        self.paths("/function/")
    }

    fn listings(&self) -> usize {
        self.paths("/system/functions").len()
    }
}

fn status(line: &str, body: &str) -> String {
    format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn ok(body: &str) -> String {
    status("200 OK", body)
}

fn start(script: &Arc<Script>) -> TestServer {
    let script = script.clone();
    serve(move |_, mut stream| converse(&script, &mut stream))
}

fn converse(script: &Script, stream: &mut TcpStream) {
    while let Some(request) = read_request(stream) {
        let path = request.head.split(' ').nth(1).unwrap().to_string();
        script.requests.lock().unwrap().push(request);
        match script.answer(&path).as_str() {
            "hang" => return until_closed(stream),
            "endless" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while stream.write_all(&[b'x'; 64 * 1024]).is_ok() {}
                return;
            }
            answer => stream.write_all(answer.as_bytes()).unwrap(),
        }
    }
}

fn config(address: String) -> OpenfaasConfig {
    OpenfaasConfig {
        address,
        asynchronous: false,
        auth: SinkAuth::None,
        timeout: SOON,
        refresh: Duration::from_millis(10),
        content_type: None,
        callback_url: None,
        connection: ConnectionConfig::default(),
    }
}

fn openfaas(server: &TestServer) -> Openfaas {
    Openfaas::new("functions", &config(server.url("/")), true).unwrap()
}

fn delivery() -> Delivery {
    Delivery::new(crate::testing::event(7, "vm-1"))
}

/// What a function still owes.
fn owing(target: &str) -> Delivery {
    Delivery { attempts: 1, aim: Aim::Owing(target.into()), ..delivery() }
}

/// The verdict, but for who acknowledged.
fn deliver(openfaas: &Openfaas, delivery: &Delivery) -> Verdict {
    Verdict { accepted: Vec::new(), ..deliver_and_name(openfaas, delivery) }
}

fn deliver_and_name(openfaas: &Openfaas, delivery: &Delivery) -> Verdict {
    let mut verdicts = Vec::new();
    openfaas.deliver(std::slice::from_ref(delivery), &mut verdicts);
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

/// Delivers until nothing fails any more, as the pipeline would.
fn deliver_until_done(openfaas: &Openfaas) {
    let mut left = vec![delivery()];
    for _ in 0..10 {
        let failures = left.iter().flat_map(|delivery| deliver(openfaas, delivery).failures);
        let targets: Vec<String> = failures.map(|failure| failure.target).collect();
        left = targets.iter().map(|target| owing(target)).collect();
        if left.is_empty() {
            return;
        }
    }
    panic!("it still fails");
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn only_subscribers_are_invoked_with_what_functions_know() {
    let script = Arc::new(Script::default());
    script.functions(&[("echo", "VmPoweredOnEvent, Other"), ("deaf", "Other"), ("plain", "")]);
    script.set("/function/echo.fn", &[&ok("")]);
    let server = start(&script);
    let auth = SinkAuth::Basic {
        username: Secret::Literal("admin".into()),
        password: Secret::Literal("s3:cret".into()),
    };
    let config = OpenfaasConfig { auth, ..config(server.url("///")) };
    let openfaas = Openfaas::new("functions", &config, true).unwrap();
    assert_eq!(deliver(&openfaas, &delivery()), Verdict::delivered());
    assert_eq!(script.calls(), ["/function/echo.fn"]);
    let requests = script.requests.lock().unwrap();
    let call = requests.iter().find(|request| request.head.starts_with("POST")).unwrap();
    let mut expected = Vec::new();
    cloudevents::write_json(&crate::testing::event(7, "vm-1").ce, &mut expected);
    assert_eq!(call.body, expected);
    for (name, value) in [
        ("content-type", None),
        ("authorization", None),
        ("x-callback-url", None),
        ("x-topic", Some("VmPoweredOnEvent")),
        ("x-connector", Some("event-router")),
        ("content-length", Some(expected.len().to_string().as_str())),
    ] {
        assert_eq!(call.header(name), value, "{name}");
    }
    let mut names: Vec<String> =
        call.head.lines().skip(1).map(|row| row.split(':').next().unwrap().to_lowercase()).collect();
    names.sort();
    assert_eq!(names, ["content-length", "host", "user-agent", "x-connector", "x-topic"]);
    for listing in requests.iter().filter(|request| request.head.starts_with("GET")) {
        assert_eq!(listing.header("authorization"), Some("Basic YWRtaW46czM6Y3JldA=="));
    }
}

#[test]
fn options_change_route_and_headers() {
    let script = Arc::new(Script::default());
    script.functions(&[("echo", "VmPoweredOnEvent")]);
    script.set("/gw/system/namespaces", &[&ok("")]);
    script.set(
        "/gw/system/functions",
        &[&ok(r#"[{"name":"echo","annotations":{"topic":"VmPoweredOnEvent"}}]"#)],
    );
    script.set("/gw/async-function/echo", &[&status("202 Accepted", "")]);
    let server = start(&script);
    let config = OpenfaasConfig {
        asynchronous: true,
        auth: SinkAuth::Bearer(Secret::Literal("t0ken\n".into())),
        content_type: Some("application/json".into()),
        callback_url: Some("http://gateway/function/done".into()),
        ..config(server.url("/gw/"))
    };
    let openfaas = Openfaas::new("functions", &config, true).unwrap();
    assert_eq!(deliver(&openfaas, &delivery()), Verdict::delivered());
    let requests = script.requests.lock().unwrap();
    let call = requests.iter().find(|request| request.head.starts_with("POST")).unwrap();
    assert!(call.head.starts_with("POST /gw/async-function/echo HTTP/1.1\r\n"), "{}", call.head);
    assert_eq!(call.header("content-type"), Some("application/json"));
    assert_eq!(call.header("x-callback-url"), Some("http://gateway/function/done"));
    assert_eq!(call.header("authorization"), None);
    assert_eq!(requests[0].header("authorization"), Some("Bearer t0ken"));
}

#[test]
fn event_without_subscriber_is_unmatched() {
    let script = Arc::new(Script::default());
    script.functions(&[("echo", "vmpoweredonevent")]);
    let server = start(&script);
    assert_eq!(deliver(&openfaas(&server), &delivery()), Verdict::unmatched());
    assert_eq!(script.calls(), [""; 0]);
}

#[test]
fn only_the_function_that_failed_is_tried_again() {
    let script = Arc::new(Script::default());
    script.functions(&[("a", "VmPoweredOnEvent"), ("b", "VmPoweredOnEvent")]);
    script.set("/function/a.fn", &[&ok("")]);
    let busy = status("429 Too Many\r\nRetry-After: 3", "busy");
    script.set("/function/b.fn", &[&status("500 Oops", "out\nof memory"), &busy, &ok("")]);
    let server = start(&script);
    let openfaas = openfaas(&server);
    let first = deliver(&openfaas, &delivery());
    assert_eq!(first.failures.len(), 1);
    let failure = &first.failures[0];
    assert_eq!((&*failure.target, failure.retry, failure.reason), ("b.fn", LATER, "500"));
    assert_eq!(failure.detail, format!("POST {}: status 500: out of memory", server.url("/function/b.fn")));
    let second = deliver(&openfaas, &owing("b.fn"));
    let asked = Retry::Later { after: Some(Duration::from_secs(3)), unsent: false };
    assert_eq!(second.failures[0].retry, asked);
    assert_eq!(deliver(&openfaas, &owing("b.fn")), Verdict::delivered());
    assert_eq!(script.calls(), ["/function/a.fn", "/function/b.fn", "/function/b.fn", "/function/b.fn"]);
    let count = |target: &str, delivered, failed| (target.to_string(), Outcome { delivered, failed });
    assert_eq!(openfaas.target_counts(), [count("a.fn", 1, 0), count("b.fn", 1, 2)]);
}

#[test]
fn who_is_withheld_is_named_and_not_called() {
    let script = Arc::new(Script::default());
    script.functions(&[("a", "VmPoweredOnEvent"), ("b", "VmPoweredOnEvent"), ("c", "Other")]);
    script.set("/function/a.fn", &[&ok("")]);
    script.set("/function/b.fn", &[&ok("")]);
    let server = start(&script);
    let openfaas = openfaas(&server);
    let targets = |names: &[&str]| names.iter().map(|name| Target::from(*name)).collect::<Vec<_>>();
    let without = |names: &[&str]| {
        let aim = Aim::Subscribers(targets(names));
        deliver_and_name(&openfaas, &Delivery { aim, ..delivery() })
    };
    let verdict = |accepted: &[&str], withheld: &[&str]| Verdict {
        accepted: targets(accepted),
        withheld: targets(withheld),
        ..Verdict::default()
    };
    assert_eq!(without(&["b.fn", "c.fn"]), verdict(&["a.fn"], &["b.fn"]));
    assert_eq!(without(&["c.fn", "a.fn", "b.fn"]), verdict(&[], &["a.fn", "b.fn"]));
    assert_eq!(script.calls(), ["/function/a.fn"]);
    assert_eq!(deliver_and_name(&openfaas, &owing("b.fn")), verdict(&["b.fn"], &[]));
    assert_eq!(deliver_and_name(&openfaas, &owing("c.fn")), Verdict::unmatched());
}

#[test]
fn person_hears_what_each_function_answered() {
    let script = Arc::new(Script::default());
    script.functions(&[("a", "VmPoweredOnEvent"), ("b", "VmPoweredOnEvent")]);
    script.set("/function/a.fn", &[&status("200 OK\r\nX-Call-Id: c-1", "done\n")]);
    script.set("/function/b.fn", &[&status("400 Bad", "no\nsuch machine")]);
    let server = start(&script);
    let openfaas = openfaas(&server);
    let mut lines = Vec::new();
    let verdict = openfaas.deliver_aloud(delivery(), &mut lines).unwrap();
    assert_eq!(verdict.failures.len(), 1);
    lines.sort();
    let [a, b] = &lines[..] else { panic!("{lines:?}") };
    assert!(a.starts_with("a.fn: status 200 in 0.") && a.ends_with(" s, call c-1: done"), "{a}");
    assert!(b.starts_with("b.fn: status 400 in 0.") && b.ends_with(" s: no such machine"), "{b}");
    let mut lines = Vec::new();
    let mut event = crate::testing::event(7, "vm-1");
    event.ce.subject = Some("Other".into());
    let other = Delivery::new(event);
    assert_eq!(openfaas.deliver_aloud(other, &mut lines), Some(Verdict::unmatched()));
    assert_eq!(lines, [format!("no function of {} subscribes to Other", server.url(""))]);
}

#[test]
fn nothing_is_judged_before_the_first_listing() {
    let script = Arc::new(Script::default());
    let server = start(&script);
    let openfaas = openfaas(&server);
    let failure = deliver(&openfaas, &delivery()).failures.remove(0);
    assert_eq!((failure.retry, failure.reason), (Retry::NotReady, "listing"));
    assert!(failure.detail.contains("/system/functions: status 404: no such path"), "{}", failure.detail);
    script.set("/function/a.fn", &[&ok("")]);
    script.functions(&[("a", "VmPoweredOnEvent")]);
    // What the pipeline makes of it: the empty target.
    wait_until("delivery", || deliver(&openfaas, &delivery()) == Verdict::delivered());
    assert_eq!(script.calls(), ["/function/a.fn"]);
}

#[test]
fn last_good_map_stays_in_use() {
    let script = Arc::new(Script::default());
    script.functions(&[("a", "VmPoweredOnEvent")]);
    script.set("/function/a.fn", &[&ok("")]);
    let server = start(&script);
    let openfaas = openfaas(&server);
    assert_eq!(deliver(&openfaas, &delivery()), Verdict::delivered());
    for broken in [status("502 Bad Gateway", "<html>"), ok("[{\"name\":"), ok("")] {
        script.set("/system/functions?namespace=fn", &[&broken]);
        let before = script.listings();
        wait_until("two more listings", || before + 2 < script.listings());
        assert_eq!(deliver(&openfaas, &delivery()), Verdict::delivered());
    }
}

#[test]
fn functions_come_and_go() {
    let script = Arc::new(Script::default());
    script.functions(&[("a", "VmPoweredOnEvent")]);
    for name in ["/function/a.fn", "/function/b.fn"] {
        script.set(name, &[&ok("")]);
    }
    let server = start(&script);
    let openfaas = openfaas(&server);
    deliver_until_done(&openfaas);
    script.functions(&[("a", "VmPoweredOnEvent"), ("b", "VmPoweredOnEvent")]);
    let subscribed = |count| {
        let map = openfaas.functions.current(SOON).unwrap();
        map.targets("VmPoweredOnEvent").len() == count
    };
    wait_until("b subscribes", || subscribed(2));
    deliver_until_done(&openfaas);
    script.functions(&[("b", "VmPoweredOnEvent")]);
    wait_until("a is gone", || subscribed(1));
    deliver_until_done(&openfaas);
    assert_eq!(script.calls(), ["/function/a.fn", "/function/a.fn", "/function/b.fn", "/function/b.fn"]);
    // A retry for a function that is gone has nothing left to do; a person may name any function.
    assert_eq!(deliver(&openfaas, &owing("a.fn")), Verdict::unmatched());
    assert_eq!(script.calls().len(), 4);
    assert_eq!(
        deliver(&openfaas, &Delivery { aim: Aim::Named("a.fn".into()), ..delivery() }),
        Verdict::delivered()
    );
    assert_eq!(script.calls().len(), 5);
}

#[test]
fn refusal_of_a_removed_function_is_no_dead_letter() {
    let script = Arc::new(Script::default());
    script.functions(&[("a", "VmPoweredOnEvent")]);
    script.set("/function/a.fn", &[&status("404 Not Found", "no such function")]);
    let server = start(&script);
    let openfaas =
        Openfaas::new("functions", &OpenfaasConfig { refresh: 3600 * SOON, ..config(server.url("")) }, true)
            .unwrap();
    let failure = deliver(&openfaas, &delivery()).failures.remove(0);
    assert_eq!((failure.retry, failure.reason), (Retry::Never, "404"));
    let before = script.listings();
    // The removal is seen although the next regular listing is hours away.
    let listed = Instant::now();
    script.functions(&[]);
    wait_until("a listing that is a second old", || REFRESH_INTERVAL_MIN < listed.elapsed());
    assert_eq!(deliver(&openfaas, &delivery()), Verdict::delivered());
    assert_eq!(script.listings(), before + 1);
}

#[test]
fn subscribers_are_invoked_side_by_side() {
    const FUNCTIONS: usize = 12;
    let script = Arc::new(Script::default());
    let names: Vec<String> = (0..FUNCTIONS).map(|n| format!("f{n:02}")).collect();
    let functions: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "VmPoweredOnEvent")).collect();
    script.functions(&functions);
    // No call is answered before all have come.
    let (barrier, seen) = (Barrier::new(FUNCTIONS), script.clone());
    let server = serve(move |_, mut stream| {
        while let Some(request) = read_request(&mut stream) {
            let path = request.head.split(' ').nth(1).unwrap().to_string();
            let is_call = path.starts_with("/function/");
            seen.requests.lock().unwrap().push(request);
            if is_call {
                barrier.wait();
            }
            let answer = if is_call { ok("") } else { seen.answer(&path) };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let openfaas = openfaas(&server);
    assert_eq!(deliver(&openfaas, &delivery()), Verdict::delivered());
    assert_eq!(script.calls().len(), FUNCTIONS);
    assert_eq!(openfaas.helpers.load(Ordering::Relaxed), 0);
}

#[test]
fn more_subscribers_than_threads_all_get_the_event() {
    let script = Arc::new(Script::default());
    let names: Vec<String> = (0..3 * FANOUT_CALLS_MAX).map(|n| format!("f{n:03}")).collect();
    let functions: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "VmPoweredOnEvent")).collect();
    script.functions(&functions);
    for name in &names {
        script.set(&format!("/function/{name}.fn"), &[&ok("")]);
    }
    let server = start(&script);
    assert_eq!(deliver(&openfaas(&server), &delivery()), Verdict::delivered());
    let expected: Vec<String> = names.iter().map(|name| format!("/function/{name}.fn")).collect();
    assert_eq!(script.calls(), expected);
}

#[test]
fn every_fault_of_a_function_is_one_line() {
    for (answer, retry, reason, text) in [
        (status("502 Bad", "<html>\n<h1>bad</h1>"), LATER, "502", "status 502: <html> <h1>bad</h1>"),
        (status("400 Bad\r\nX-Call-Id: c-1", "no"), Retry::Never, "400", "status 400: no (call c-1)"),
        (status("501 No", ""), Retry::Never, "501", "status 501"),
        (
            status("301 Moved\r\nLocation: /function/a.fn/", ""),
            Retry::Sender { after: None },
            "3xx",
            "status 301 (redirects to /function/a.fn/; redirects are not followed): set the address that it redirects to",
        ),
        ("hang".into(), LATER, "timeout", "timeout of 300ms while "),
        ("nonsense\r\n\r\n".into(), LATER, "broken", ""),
    ] {
        let script = Arc::new(Script::default());
        script.functions(&[("a", "VmPoweredOnEvent")]);
        script.set("/function/a.fn", &[&answer]);
        let server = start(&script);
        let timeout = Duration::from_millis(300);
        let config = OpenfaasConfig { timeout, ..config(server.url("")) };
        let openfaas = Openfaas::new("functions", &config, true).unwrap();
        let failure = deliver(&openfaas, &delivery()).failures.remove(0);
        assert_eq!((failure.retry, failure.reason), (retry, reason), "{}", failure.detail);
        let begin = format!("POST {}: {text}", server.url("/function/a.fn"));
        assert!(failure.detail.starts_with(&begin), "{}", failure.detail);
        assert!(!failure.detail.contains('\n'));
    }
}

#[test]
fn endless_answer_of_a_function_is_cut_off() {
    let script = Arc::new(Script::default());
    script.functions(&[("a", "VmPoweredOnEvent")]);
    script.set("/function/a.fn", &["endless"]);
    let server = start(&script);
    assert_eq!(deliver(&openfaas(&server), &delivery()), Verdict::delivered());
}

#[test]
fn every_fault_of_a_listing_is_one_line() {
    let rejected = "status 401: invalid credentials; the gateway rejected the credentials: check username and \
                    password, or token";
    for (answer, reason, text) in [
        (status("401 Unauthorized", "invalid credentials"), "401", rejected),
        (status("502 Bad Gateway", "<html>\n</html>"), "502", "status 502: <html> </html>"),
        (
            status("301 Moved\r\nLocation: https://gw/x", ""),
            "3xx",
            "status 301 (redirects to https://gw/x; redirects are not followed); check that address is the one of \
             an OpenFaaS gateway",
        ),
        (
            ok("[{\"name\":\"a\""),
            "answer",
            "not a list of functions: EOF while parsing an object at line 1 column 12; check that address is the \
             one of an OpenFaaS gateway",
        ),
        ("endless".into(), "size", "the answer is longer than 16777216 bytes"),
    ] {
        let script = Arc::new(Script::default());
        script.set("/system/functions", &[&answer]);
        let server = start(&script);
        let gateway = Gateway::new(&config(server.url("")), true).unwrap();
        let failure = gateway.list(&|| false).unwrap_err();
        assert_eq!(failure.reason, reason);
        assert_eq!(failure.error.to_string(), format!("GET {}: {text}", server.url("/system/functions")));
    }
}

#[test]
fn namespaces_that_are_not_served_are_left_out() {
    let script = Arc::new(Script::default());
    let only = status("400 Bad Request", "invalid namespace");
    script.functions(&[("a", "A")]);
    script.set("/system/namespaces", &[&ok(r#"["other","fn"]"#)]);
    script.set("/system/functions?namespace=other", &[&only]);
    let server = start(&script);
    let gateway = Gateway::new(&config(server.url("")), true).unwrap();
    let map = gateway.list(&|| false).unwrap();
    assert_eq!(map.topics(), ["A"]);
    assert_eq!(map.anomalies(), ["namespace other is not served: status 400: invalid namespace"]);
    script.set("/system/functions?namespace=fn", &[&only]);
    assert_eq!(gateway.list(&|| false).unwrap_err().reason, "namespaces");
}

#[test]
fn missing_secret_is_said_and_asked_again() {
    let script = Arc::new(Script::default());
    script.functions(&[("a", "VmPoweredOnEvent")]);
    script.set("/function/a.fn", &[&ok("")]);
    let server = start(&script);
    let folder = crate::testing::folder("openfaas");
    let file = folder.path().join("token");
    let auth = SinkAuth::Bearer(Secret::File(file.clone()));
    let openfaas =
        Openfaas::new("functions", &OpenfaasConfig { auth, ..config(server.url("")) }, true).unwrap();
    let failure = deliver(&openfaas, &delivery()).failures.remove(0);
    assert_eq!(failure.retry, Retry::NotReady);
    assert!(failure.detail.contains("token of the gateway: read secret file "), "{}", failure.detail);
    let gateway = &openfaas.gateway;
    let before = gateway.credential_changes();
    std::fs::write(&file, "t0ken\n").unwrap();
    assert!(before < gateway.credential_changes());
    wait_until("delivery", || deliver(&openfaas, &delivery()) == Verdict::delivered());
}

#[test]
fn dropping_does_not_wait_for_a_gateway_that_hangs() {
    let script = Arc::new(Script::default());
    script.set("/system/namespaces", &["hang"]);
    let server = start(&script);
    let openfaas = openfaas(&server);
    wait_until("the listing", || !script.paths("/system/namespaces").is_empty());
    let began = Instant::now();
    drop(openfaas);
    assert!(began.elapsed() < Duration::from_secs(5));
    // The thread is still in its call; this would be waited for below.
    std::mem::forget(server);
}
