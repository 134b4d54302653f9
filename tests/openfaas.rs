//! OpenFaaS against a gateway that is told what to answer: what each of its faults leads to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use event_router::demo::faults::{self, Step};
use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, InRequest, Reply, Server, ServerSettings};
use serde_json::Value;

use crate::support::process::Process;
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, closed_port, wait_for};

const POWERED_ON: &str = "VmPoweredOnEvent";

type MakeReply = fn() -> Reply;

/// What a function answers to its first, second, ... call; the last one stays.
type Answers = Vec<MakeReply>;

/// What the gateway answers, and what it was asked.
#[derive(Default)]
struct Script {
    functions: Mutex<BTreeMap<String, (&'static str, Answers)>>,
    /// In place of the list of functions.
    listing: Mutex<Option<MakeReply>>,
    /// Function and id of the event, one for each call.
    calls: Mutex<Vec<(String, String)>>,
    listings: AtomicUsize,
}

impl Script {
    fn deploy(&self, name: &str, topic: &'static str, answers: &[MakeReply]) {
        let answers = answers.iter().rev().copied().collect();
        self.functions.lock().unwrap().insert(name.to_string(), (topic, answers));
    }

    fn list_as(&self, listing: Option<MakeReply>) {
        *self.listing.lock().unwrap() = listing;
    }

    fn handle(&self, request: &InRequest) -> Reply {
        match request.path() {
            "/system/namespaces" => Reply::Answer(Answer::new(200, "application/json", r#"["fn"]"#)),
            "/system/functions" => {
                self.listings.fetch_add(1, Ordering::SeqCst);
                let listing = *self.listing.lock().unwrap();
                listing.map_or_else(|| self.list(), |answer| answer())
            }
            path => self.call(path, request),
        }
    }

    fn list(&self) -> Reply {
        let functions = self.functions.lock().unwrap();
        let list: Vec<Value> = functions
            .iter()
            .map(|(name, (topic, _))| serde_json::json!({"name": name, "annotations": {"topic": topic}}))
            .collect();
        Reply::Answer(Answer::new(200, "application/json", Value::from(list).to_string()))
    }

    fn call(&self, path: &str, request: &InRequest) -> Reply {
        let name = path.strip_prefix("/function/").and_then(|name| name.strip_suffix(".fn"));
        let name = name.unwrap_or_default();
        let mut functions = self.functions.lock().unwrap();
        let Some((_, answers)) = functions.get_mut(name) else {
            return Reply::Answer(Answer::text(404, "no such function"));
        };
        let event: Value = serde_json::from_slice(&request.body).expect("the body is a CloudEvent");
        let id = event["id"].as_str().expect("with an id").to_string();
        self.calls.lock().unwrap().push((name.to_string(), id));
        let answer = if 1 < answers.len() { answers.pop() } else { answers.last().copied() };
        answer.expect("a function has answers")()
    }

    /// How often a function was called.
    fn count(&self, name: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|(called, _)| called == name).count()
    }

    #[track_caller]
    fn wait_count(&self, name: &str, count: usize) {
        wait_for(&format!("{count} calls of {name}"), SOON, || (count <= self.count(name)).then_some(()));
    }

    #[track_caller]
    fn wait_listings(&self, more: usize) {
        let before = self.listings.load(Ordering::SeqCst);
        let enough = || (before + more <= self.listings.load(Ordering::SeqCst)).then_some(());
        wait_for("listings", SOON, enough);
    }
}

fn ok() -> Reply {
    Reply::Answer(Answer::text(200, "done"))
}

fn error() -> Reply {
    Reply::Answer(Answer::text(500, "out of memory"))
}

fn hang() -> Reply {
    faults::reply(vec![Step::Pause(None)])
}

fn start_gateway(address: &str, script: &Arc<Script>) -> Server {
    let script = script.clone();
    Server::start(address, ServerSettings::default(), move |request| script.handle(request)).unwrap()
}

/// A vCenter, a router with a folder of its own, and where its gateway is.
struct Bench {
    test: Test,
    vcenter: Simulator,
}

impl Bench {
    fn new(gateway: &str, source: &str, processor: &str, route: &str) -> Bench {
        let test = Test::new("openfaas");
        let vcenter = Simulator::start(Settings::default()).unwrap();
        let text = format!(
            "[source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n{source}\n\
             [processor.functions]\ntype = \"openfaas\"\naddress = \"http://{gateway}/\"\nrefresh = \"1s\"\n\
             {processor}\n[route.power]\nfrom = \"vc\"\nto = \"functions\"\n{route}\n",
            vcenter.url(),
            vcenter.username(),
            vcenter.password()
        );
        test.write("router.toml", &text);
        Bench { test, vcenter }
    }

    fn start(&self) -> Process {
        let mut router = self.test.start(&["run"]);
        router.log_line(&["reading"]);
        router
    }

    /// Virtual machines `from..to` are switched on.
    fn power_on(&self, from: usize, to: usize) {
        let event = |n: usize| Draft::vm(POWERED_ON, &format!("web-{n}"), &format!("vm-{n}"));
        self.vcenter.push_many((from..to).map(event));
    }
}

#[test]
fn events_wait_for_a_gateway_that_is_absent_at_the_start() {
    let port = closed_port();
    let script = Arc::new(Script::default());
    script.deploy("echo", POWERED_ON, &[ok]);
    let bench = Bench::new(&format!("127.0.0.1:{port}"), "", "", "retry = { give_up_after = \"1ms\" }");
    let mut router = bench.start();
    bench.power_on(0, 5);
    let line = router.log_line(&["WARN", "processor functions"]);
    let said = format!(
        "GET http://127.0.0.1:{port}/system/namespaces: connect 127.0.0.1:{port}: connection refused; \
         events wait for the list of functions, asking again"
    );
    assert!(line.ends_with(&said), "{line}");
    router.log_line(&["WARN", "route power", "waiting for the first list of functions: "]);
    let _gateway = start_gateway(&format!("127.0.0.1:{port}"), &script);
    script.wait_count("echo", 5);
    let exit = router.end_by("TERM");
    assert_eq!((exit.code, script.count("echo")), (Some(0), 5), "{exit:?}");
}

#[test]
fn only_the_function_that_failed_is_tried_again() {
    let script = Arc::new(Script::default());
    script.deploy("a", POWERED_ON, &[ok]);
    script.deploy("b", POWERED_ON, &[error, error, ok]);
    let gateway = start_gateway("127.0.0.1:0", &script);
    let route = "retry = { first = \"5ms\", max = \"10ms\" }\n[metrics]\nbind = \"127.0.0.1:0\"";
    let bench = Bench::new(&gateway.address().to_string(), "", "", route);
    let mut router = bench.start();
    bench.power_on(0, 1);
    script.wait_count("b", 3);
    bench.power_on(1, 2);
    script.wait_count("b", 4);
    let watcher = Watcher::of(&mut router);
    wait_for("the calls of each function in the metrics", SOON, || {
        let (_, text) = watcher.get("/metrics");
        let has = |function: &str, result: &str, count: u32| {
            let labels = format!("function=\"{function}.fn\",result=\"{result}\"}} {count}");
            text.lines()
                .any(|line| line.starts_with("router_function_calls_total") && line.ends_with(&labels))
        };
        (has("a", "delivered", 2) && has("b", "delivered", 2) && has("b", "failed", 2)).then_some(())
    });
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_eq!((script.count("a"), script.count("b")), (2, 4));
    let calls = script.calls.lock().unwrap();
    let mut ids: Vec<&String> = calls.iter().map(|(_, id)| id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2, "a repeat has the id of its event: {calls:?}");
}

#[test]
fn function_that_never_succeeds_is_one_dead_letter_and_redelivered_alone() {
    let script = Arc::new(Script::default());
    script.deploy("a", POWERED_ON, &[ok]);
    script.deploy("b", POWERED_ON, &[error]);
    script.deploy("c", "VmPoweredOffEvent", &[ok]);
    let gateway = start_gateway("127.0.0.1:0", &script);
    let route = "retry = { first = \"5ms\", max = \"10ms\", give_up_after = \"200ms\" }";
    let bench = Bench::new(&gateway.address().to_string(), "", "", route);
    let mut router = bench.start();
    bench.power_on(0, 1);
    let line = router.log_line(&["ERROR", "is a dead letter"]);
    assert!(line.contains("/function/b.fn: status 500: out of memory"), "{line}");
    // The same machine: its next event comes after this one.
    bench.vcenter.push(Draft::vm("VmPoweredOffEvent", "web-0", "vm-0"));
    script.wait_count("c", 1);
    assert_eq!(script.count("a"), 1);
    let called = script.count("b");
    assert!(2 < called, "{called}");

    let list = bench.test.router(&["dead-letters", "list"]);
    assert_eq!(list.stdout.lines().count(), 1, "{list:?}");
    assert!(list.stdout.contains(" for b.fn "), "{list:?}");
    script.deploy("b", "", &[ok]);
    let again = bench.test.router(&["dead-letters", "redeliver"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!((script.count("a"), script.count("b"), script.count("c")), (1, called + 1, 1));
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_eq!(bench.test.router(&["dead-letters", "list"]).stdout, "");
}

#[test]
fn permanent_refusals_are_dead_letters_at_once() {
    let script = Arc::new(Script::default());
    script.deploy("a", POWERED_ON, &[|| Reply::Answer(Answer::text(413, "too large"))]);
    let gateway = start_gateway("127.0.0.1:0", &script);
    let bench = Bench::new(&gateway.address().to_string(), "", "", "");
    let mut router = bench.start();
    bench.power_on(0, 1);
    router.log_line(&["ERROR", "is a dead letter after 1 attempt", "status 413: too large"]);
    assert_eq!(script.count("a"), 1);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn without_checkpoint_a_failed_invocation_is_not_repeated() {
    let script = Arc::new(Script::default());
    script.deploy("a", POWERED_ON, &[ok]);
    script.deploy("b", POWERED_ON, &[error]);
    let gateway = start_gateway("127.0.0.1:0", &script);
    let bench = Bench::new(&gateway.address().to_string(), "checkpoint = false", "", "");
    let mut router = bench.start();
    bench.power_on(0, 1);
    router.log_line(&["ERROR", "is lost after 1 attempt", "/function/b.fn: status 500: out of memory"]);
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_eq!((script.count("a"), script.count("b")), (1, 1));
}

/// Each fault of the listing is one clear line, and events go on by the last good list.
#[test]
fn faults_of_the_listing_neither_end_nor_stop_anything() {
    let html = || Reply::Answer(Answer::new(502, "text/html", "<html>\n<h1>Bad Gateway</h1>\n</html>"));
    let credentials = || Reply::Answer(Answer::text(401, "invalid credentials"));
    let cut = || Reply::Answer(Answer::new(200, "application/json", "[{\"name\":\"echo\",\"ann"));
    let moved = || Reply::Answer(Answer::text(301, "").header("Location", "/system/functions/"));
    let endless = || {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[".to_vec();
        faults::reply(vec![Step::Send(head), Step::Send(vec![b' '; 17 << 20]), Step::Pause(None)])
    };
    let reset = || faults::reply(vec![Step::Reset]);
    let faults: [(MakeReply, &str); 6] = [
        (
            credentials,
            "status 401: invalid credentials; the gateway rejected the credentials: check username and password, \
             or token",
        ),
        (html, "status 502: <html> <h1>Bad Gateway</h1> </html>"),
        (cut, "not a list of functions: EOF while parsing a string at line 1 column 20"),
        (moved, "status 301 (redirects to /system/functions/; redirects are not followed)"),
        (endless, "the answer is longer than 16777216 bytes"),
        (reset, ": connection reset by peer"),
    ];
    // Side by side: each one waits for listings, which are seconds apart.
    std::thread::scope(|scope| {
        for (fault, text) in faults {
            scope.spawn(move || fault_of_the_listing(fault, text));
        }
    });
}

fn fault_of_the_listing(fault: MakeReply, text: &str) {
    let script = Arc::new(Script::default());
    script.deploy("echo", POWERED_ON, &[ok]);
    let gateway = start_gateway("127.0.0.1:0", &script);
    let bench = Bench::new(&gateway.address().to_string(), "", "", "");
    let mut router = bench.start();
    router.log_line(&["connected to OpenFaaS gateway http://", "subscriptions: 1 function, 1 topic"]);
    script.list_as(Some(fault));
    script.wait_listings(3);
    bench.power_on(0, 3);
    script.wait_count("echo", 3);
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let said: Vec<&str> = exit.stderr.lines().filter(|line| line.contains("asking again")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(text), "{}\nhas not: {text}", said[0]);
    assert!(said[0].ends_with("; the functions known so far stay in use, asking again"), "{}", said[0]);
}

#[test]
fn listing_that_hangs_holds_up_neither_events_nor_the_end() {
    let script = Arc::new(Script::default());
    script.deploy("echo", POWERED_ON, &[ok]);
    let gateway = start_gateway("127.0.0.1:0", &script);
    let bench = Bench::new(&gateway.address().to_string(), "", "", "");
    let mut router = bench.start();
    router.log_line(&["subscriptions: 1 function, 1 topic"]);
    script.list_as(Some(hang));
    script.wait_listings(1);
    bench.power_on(0, 3);
    script.wait_count("echo", 3);
    let began = Instant::now();
    let exit = router.end_by("TERM");
    assert_eq!((exit.code, script.count("echo")), (Some(0), 3), "{exit:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn function_beyond_its_deadline_is_tried_again_and_holds_up_no_other_machine() {
    let script = Arc::new(Script::default());
    let late = || faults::reply(vec![Step::Pause(Some(Duration::from_secs(2)))]);
    let endless = || {
        let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        faults::reply(vec![Step::Send(head), Step::Send(vec![b'x'; 1 << 20]), Step::Pause(None)])
    };
    script.deploy("slow", POWERED_ON, &[late, hang, ok]);
    script.deploy("chatty", POWERED_ON, &[endless]);
    let gateway = start_gateway("127.0.0.1:0", &script);
    let bench = Bench::new(&gateway.address().to_string(), "", "timeout = \"300ms\"", "");
    let mut router = bench.start();
    bench.power_on(0, 1);
    let line = router.log_line(&["WARN", "/function/slow.fn: "]);
    assert!(line.contains(": timeout of 300ms while "), "{line}");
    bench.power_on(1, 2);
    script.wait_count("slow", 4);
    assert_eq!(script.count("chatty"), 2);
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert_eq!(script.count("slow"), 4);
}

#[test]
fn functions_come_and_go_while_running() {
    let script = Arc::new(Script::default());
    script.deploy("old", POWERED_ON, &[ok]);
    let gateway = start_gateway("127.0.0.1:0", &script);
    let bench = Bench::new(&gateway.address().to_string(), "", "", "");
    let mut router = bench.start();
    bench.power_on(0, 1);
    script.wait_count("old", 1);
    script.functions.lock().unwrap().clear();
    script.deploy("new", POWERED_ON, &[ok]);
    router.log_line(&["INFO", "subscriptions", "changed"]);
    bench.power_on(1, 2);
    script.wait_count("new", 1);
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_eq!((script.count("old"), script.count("new")), (1, 1));
}

#[test]
fn check_lists_the_topics_and_invokes_nothing() {
    let script = Arc::new(Script::default());
    script.deploy("a", "VmPoweredOnEvent, VmPoweredOffEvent", &[ok]);
    script.deploy("b", "VmPoweredOnEvent,VmPowerdOnEvent", &[ok]);
    let gateway = start_gateway("127.0.0.1:0", &script);
    let address = gateway.address();
    let bench = Bench::new(&address.to_string(), "", "", "");
    let check = bench.test.router(&["check"]);
    let lines: Vec<&str> =
        check.stdout.lines().filter(|line| line.contains(" processor functions: ")).collect();
    assert_eq!(
        lines,
        [
            format!("ok   processor functions: http://{address}: functions that subscribe: 2").as_str(),
            "warn processor functions: topic VmPowerdOnEvent: b.fn; vCenter has no events of this name, did you mean \
             VmPoweredOnEvent?",
            "ok   processor functions: topic VmPoweredOffEvent: a.fn",
            "ok   processor functions: topic VmPoweredOnEvent: a.fn, b.fn",
        ]
    );
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(script.calls.lock().unwrap().is_empty());
    drop(gateway);
    let check = bench.test.router(&["check"]);
    assert_eq!(check.code, Some(1));
    let refused =
        format!("FAIL processor functions: GET http://{address}/system/namespaces: connect {address}");
    assert!(check.stdout.contains(&refused), "{check:?}");
}
