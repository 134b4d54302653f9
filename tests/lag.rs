//! What the page, the numbers and the log say of a route that is behind, or of which nobody can know.

use std::time::Duration;

use event_router::demo::record::Draft;
use event_router::demo::script::{Effect, Rule};
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use serde_json::Value;

use crate::support::functions::{Functions, Mood};
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, wait_for};

const POWERED_ON: &str = "VmPoweredOnEvent";
/// A route has a line in the log every minute.
const SUMMARY: Duration = Duration::from_secs(60);

fn configuration(vcenter: &Simulator, processor: &str) -> String {
    format!(
        "[metrics]\nbind = \"127.0.0.1:0\"\n\
         [source.vc01]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n\
         {processor}\n[route.power]\nfrom = \"vc01\"\nto = \"sink\"\nretry = {{ first = \"20ms\", max = \"500ms\" }}\n",
        vcenter.url(),
        vcenter.username(),
        vcenter.password()
    )
}

/// A sink that refuses what is about one machine, and the processor for it.
fn refusing(machine: &'static str) -> (Server, String) {
    let server = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
        let data: Value = serde_json::from_slice(&request.body).expect("JSON");
        let status = if data["Vm"]["Vm"]["Value"] == machine { 500 } else { 202 };
        Reply::Answer(Answer::text(status, "as told"))
    });
    let server = server.unwrap();
    let processor = format!("[processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"", server.address());
    (server, processor)
}

fn of_machine(number: usize) -> Draft {
    Draft::vm(POWERED_ON, &format!("web-{number}"), &format!("vm-{number}"))
}

/// The page, `/status` and the metrics say that nobody knows.
pub fn assert_lag_unknown(watcher: &Watcher, when: &str) {
    let route = watcher.status()["routes"][0].clone();
    assert_eq!(route.get("lag_seconds"), Some(&Value::Null), "{when}: {route}");
    let (_, metrics) = watcher.get("/metrics");
    assert!(!metrics.contains("router_event_lag_seconds{"), "{when}: {metrics}");
    let (_, page) = watcher.get("/");
    assert!(page.contains("<dt>lag</dt><dd>unknown<small>"), "{when}: {page}");
}

#[test]
fn lag_is_unknown_while_nobody_can_know_it() {
    let (test, mut vcenter) = (Test::new("lag"), Simulator::start(Settings::default()).unwrap());
    let (_sink, processor) = refusing("none");
    test.write("router.toml", &configuration(&vcenter, &processor));
    vcenter.take_down();
    let mut router = test.start(&["run"]);
    let watcher = Watcher::of(&mut router);
    watcher.wait_ready(503, &["route power: source: "]);
    assert_lag_unknown(&watcher, "before the first login");
    vcenter.bring_up().unwrap();
    // The session is there, the first page is not.
    vcenter.set_fault(Rule::always("ReadNextEvents", Effect::Hang(Some(Duration::from_secs(2)))));
    let connected = || (watcher.status()["routes"][0]["source"]["connected"] == true).then_some(());
    wait_for("the session", SOON, connected);
    assert_lag_unknown(&watcher, "before the first page");
    vcenter.clear_faults();
    let known = || watcher.get("/metrics").1.contains("router_event_lag_seconds{").then_some(());
    wait_for("the lag", 4 * SOON, known);
    let lag = watcher.status()["routes"][0]["lag_seconds"].clone();
    assert!(lag.as_f64().is_some_and(|lag| lag < 60.0), "{lag}");
    vcenter.take_down();
    watcher.wait_ready(503, &["route power: source: "]);
    assert_lag_unknown(&watcher, "while it is away");
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
#[ignore = "takes a minute: run tests/run"]
fn the_line_of_every_minute_says_it_too() {
    let (test, mut vcenter) = (Test::new("lag-log"), Simulator::start(Settings::default()).unwrap());
    let (_sink, processor) = refusing("vm-3");
    test.write("router.toml", &configuration(&vcenter, &processor));
    let held = test.start(&["run"]);
    wait_for("the session", SOON, || (0 < vcenter.open_collectors()).then_some(()));
    vcenter.push_many((0..40).map(|n| of_machine(n % 10)));
    let of = |router: &crate::support::process::Process| {
        router.stderr().into_iter().find(|line| line.contains("settled to"))
    };
    let line = wait_for("a summary", SUMMARY + SOON, || of(&held));
    assert!(line.contains("route power: failing for "), "{line}");
    assert!(line.contains("the position is held by VmPoweredOnEvent (key 4) of vm-3 since "), "{line}");
    assert!(line.contains("waiting for it: 4 events"), "{line}");
    vcenter.take_down();
    let away = Test::new("lag-away");
    away.write("router.toml", &configuration(&vcenter, &processor));
    let away = away.start(&["run"]);
    let line = wait_for("a summary", SUMMARY + SOON, || of(&away));
    assert!(line.contains("disconnected for ") && line.contains("lag unknown"), "{line}");
}

#[test]
fn object_that_is_held_for_long_is_named() {
    let (test, vcenter) = (Test::new("held"), Simulator::start(Settings::default()).unwrap());
    let (_sink, processor) = refusing("vm-3");
    test.write("router.toml", &configuration(&vcenter, &processor));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading"]);
    let watcher = Watcher::of(&mut router);
    vcenter.push_many((0..40).map(|n| of_machine(n % 10)));
    let word = "the position is held by VmPoweredOnEvent (key 4) of vm-3 since ";
    let text = watcher.wait_ready(503, &["route power: delivery: ", word, "waiting for it: 4 events"]);
    // The others go on, and end no trouble.
    vcenter.push_many((0..20).map(|n| of_machine(n % 3)));
    let counted = || (watcher.status()["routes"][0]["counters"]["delivered"] == 56).then_some(());
    wait_for("the others", SOON, counted);
    let route = watcher.status()["routes"][0].clone();
    assert_eq!(route["state"], "failing", "{text}: {route}");
    assert!(route["troubles"][0]["detail"].as_str().unwrap().contains(word), "{route}");
    assert!(watcher.get("/").1.contains(word), "on the page too");
    assert!(watcher.get("/metrics").1.contains("router_delivery_failing{"), "and for alerts");
    let works_again = |line: &&String| line.contains("works again after");
    let said = router.stderr().iter().filter(works_again).count();
    assert!(said <= 1, "it does not work again with each event of the others");
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn function_that_takes_all_but_one_object_is_named() {
    let (test, vcenter) = (Test::new("held-function"), Simulator::start(Settings::default()).unwrap());
    let functions = Functions::start(POWERED_ON, &["good", "bad"]);
    functions.set("bad", Mood::Refuses("vm-3"));
    test.write("router.toml", &configuration(&vcenter, &functions.processor("sink", "")));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading"]);
    let watcher = Watcher::of(&mut router);
    vcenter.push_many((0..40).map(|n| of_machine(n % 10)));
    functions.wait_taken("good", 40, SOON);
    functions.wait_taken("bad", 36, SOON);
    watcher.wait_ready(503, &["the position is held by bad.fn since ", "waiting for it: 4 events"]);
    vcenter.push_many((0..20).map(|n| of_machine(n % 3)));
    functions.wait_taken("bad", 56, SOON);
    assert_eq!(watcher.status()["routes"][0]["state"], "failing");
    functions.set("bad", Mood::Takes);
    functions.wait_taken("bad", 60, SOON);
    watcher.wait_ready(200, &[]);
    assert_eq!(router.end_by("TERM").code, Some(0));
}
