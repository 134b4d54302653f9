//! What can go wrong between the router and vCenter, one fault at a time, in mid-stream: nothing is
//! lost, nothing is repeated, and nothing is left behind at the server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_router::demo::record::Draft;
use event_router::demo::script::{Effect, Fault, Rule};
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use jiff::{SignedDuration, Timestamp};

use crate::support::process::Process;
use crate::support::{SOON, Test, wait_for};

/// A vCenter, a sink that accepts everything, and the router between them.
struct Bench {
    test: Test,
    simulator: Simulator,
    _sink: Server,
    received: Arc<Mutex<BTreeMap<i64, u32>>>,
}

impl Bench {
    fn new(name: &str, settings: Settings) -> Bench {
        let test = Test::new(name);
        let simulator = Simulator::start(settings).unwrap();
        let received: Arc<Mutex<BTreeMap<i64, u32>>> = Arc::default();
        let seen = received.clone();
        let sink = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
            let data: serde_json::Value = serde_json::from_slice(&request.body).expect("the data is JSON");
            *seen.lock().unwrap().entry(data["Key"].as_i64().expect("a key")).or_default() += 1;
            Reply::Answer(Answer::text(202, "ok"))
        })
        .unwrap();
        let text = format!(
            "[source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n\
             page_size = 50\n[processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n",
            simulator.url(),
            simulator.username(),
            simulator.password(),
            sink.address()
        );
        test.write("router.toml", &text);
        Bench { test, simulator, _sink: sink, received }
    }

    /// The router, reading.
    fn start(&self) -> Process {
        let mut router = self.test.start(&["run"]);
        router.log_line(&["reading"]);
        router
    }

    fn push(&self, count: usize) -> Vec<i64> {
        let drafts = (0..count)
            .map(|n| Draft::vm("VmPoweredOnEvent", &format!("web-{}", n % 9), &format!("vm-{}", n % 9)));
        self.simulator.push_many(drafts).into_iter().map(i64::from).collect()
    }

    /// Waits until all `keys` have come; none may have come twice.
    fn expect(&self, what: &str, keys: &[i64]) {
        wait_for(what, SOON, || {
            let received = self.received.lock().unwrap();
            keys.iter().all(|key| received.contains_key(key)).then_some(())
        });
        let received = self.received.lock().unwrap();
        let repeated: Vec<_> = received.iter().filter(|(_, times)| 1 < **times).collect();
        assert!(repeated.is_empty(), "{what}: repeated: {repeated:?}");
    }

    /// Stops the router; the server must hold nothing of it.
    fn stop(&self, what: &str, router: Process) -> String {
        let exit = router.end_by("TERM");
        assert_eq!(exit.code, Some(0), "{what}: {}", exit.stderr);
        assert!(self.simulator.wait_until(SOON, |vc| vc.open_sessions() == 0), "{what}: a session is left");
        exit.stderr
    }
}

/// One fault in the middle of 300 events.
fn survives(name: &str, rule: Rule, words: &str) {
    let bench = Bench::new(name, Settings::default());
    let router = bench.start();
    let mut keys = bench.push(100);
    bench.expect("before the fault", &keys);
    let logins = bench.simulator.counts().logins;
    bench.simulator.set_fault(rule);
    keys.extend(bench.push(100));
    bench.expect("during the fault", &keys);
    bench.simulator.clear_faults();
    keys.extend(bench.push(100));
    bench.expect("after the fault", &keys);
    assert!(bench.simulator.open_sessions() <= 1, "sessions pile up");
    assert!(bench.simulator.open_collectors() <= 1, "collectors pile up");
    assert!(bench.simulator.counts().logins <= logins + 3, "a storm of logins");
    let log = bench.stop(name, router);
    assert!(log.contains(words), "{name}: no `{words}` in: {log}");
}

fn reading(effect: Effect) -> Rule {
    Rule::once("ReadNextEvents", effect)
}

#[test]
fn session_lost() {
    survives("not-authenticated", reading(Effect::Fault(Fault::NotAuthenticated)), "NotAuthenticated");
    survives("session-ended", reading(Effect::EndSession), "NotAuthenticated");
}

#[test]
fn collector_lost() {
    survives("collector-ended", reading(Effect::EndCollectors), "ManagedObjectNotFound");
    survives("invalid-state", reading(Effect::Fault(Fault::InvalidState)), "InvalidState");
}

#[test]
fn proxy_in_front_answers() {
    for status in [401, 403, 503] {
        survives(&format!("status-{status}"), reading(Effect::Status(status)), &format!("HTTP {status}"));
    }
}

#[test]
fn answer_lost_on_the_way() {
    survives("reset", reading(Effect::Reset), "read a page");
    survives("truncated", reading(Effect::Truncate(200)), "in the middle of its answer");
    survives("garbage", reading(Effect::Garbage(b"<soapenv:Envelope><<<".to_vec())), "cannot be read");
}

#[test]
fn sessions_are_killed_again_and_again() {
    let bench = Bench::new("killed-sessions", Settings::default());
    let router = bench.start();
    let mut keys = Vec::new();
    for _ in 0..6 {
        keys.extend(bench.push(50));
        bench.simulator.end_sessions();
        let logins = bench.simulator.counts().logins;
        assert!(bench.simulator.wait_until(SOON, |vc| logins < vc.counts().logins), "no login");
    }
    bench.expect("all events", &keys);
    bench.stop("killed sessions", router);
}

#[test]
fn vcenter_goes_away_and_comes_back() {
    let mut bench = Bench::new("away", Settings::default());
    let mut router = bench.start();
    let mut keys = bench.push(60);
    bench.expect("before", &keys);
    bench.simulator.take_down();
    router.log_line(&["trying again in"]);
    keys.extend(bench.push(60));
    bench.simulator.bring_up().unwrap();
    bench.expect("after", &keys);
    router.log_line(&["works again"]);
    bench.stop("away", router);
}

#[test]
fn keys_run_over_into_negative() {
    let settings = Settings { first_key: Some(i32::MAX - 20), ..Settings::default() };
    let bench = Bench::new("overflow", settings);
    let mut router = bench.start();
    let keys = bench.push(100);
    assert!(keys.iter().any(|key| *key < 0), "{keys:?}");
    bench.expect("all events", &keys);
    router.log_line(&["event counter is about to overflow"]);
    let log = bench.stop("overflow", router);
    assert_eq!(log.matches("about to overflow").count(), 1, "{log}");
}

#[test]
fn key_space_and_identity_start_again() {
    let bench = Bench::new("rebuilt", Settings::default());
    let mut router = bench.start();
    let first = bench.push(40);
    bench.expect("before", &first);
    bench.received.lock().unwrap().clear();
    bench.simulator.set_instance_uuid("00000000-1111-2222-3333-444444444444");
    bench.simulator.set_next_key(1);
    bench.simulator.forget_all();
    bench.simulator.end_sessions();
    router.log_line(&["the source's identity changed"]);
    let second = bench.push(40);
    assert_eq!(second[0], 1, "the keys start again");
    bench.expect("after", &second);
    bench.stop("rebuilt", router);
}

#[test]
fn the_clock_of_vcenter_counts_not_ours() {
    for hours in [-3, 3] {
        let settings = Settings { clock_offset: SignedDuration::from_hours(hours), ..Settings::default() };
        let bench = Bench::new("clock", settings);
        let router = bench.start();
        let mut keys = bench.push(50);
        bench.expect("before the restart", &keys);
        bench.stop("clock", router);
        keys.extend(bench.push(50));
        let router = bench.start();
        bench.expect("after the restart", &keys);
        bench.stop("clock", router);
    }
}

#[test]
fn five_hundred_events_of_one_time_and_a_restart_in_the_middle() {
    let bench = Bench::new("one-time", Settings::default());
    let router = bench.start();
    let now = bench.simulator.now() + Duration::from_millis(1);
    bench.simulator.script(|script| script.frozen_clock = Some(now));
    let mut keys = bench.push(250);
    wait_for("some", SOON, || (20 < bench.received.lock().unwrap().len()).then_some(()));
    bench.stop("one time", router);
    keys.extend(bench.push(250));
    let router = bench.start();
    bench.expect("all, each once", &keys);
    bench.stop("one time", router);
}

#[test]
fn more_invisible_events_than_a_page_holds() {
    let bench = Bench::new("invisible", Settings::default());
    let router = bench.start();
    let mut keys = bench.push(10);
    bench.expect("before", &keys);
    let hidden = (0..1001).map(|_| Draft::vm("VmPoweredOnEvent", "secret", "vm-666").invisible());
    bench.simulator.push_many(hidden);
    keys.extend(bench.push(10));
    bench.expect("behind the invisible ones", &keys);
    bench.stop("invisible", router);
}

#[test]
fn purged_events_are_told_as_a_gap() {
    // Whole seconds, because vCenter's times have fewer digits than ours.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let bench = Bench::new("gap", Settings::default());
    let router = bench.start();
    bench.stop("gap", router);
    let hours_ago = |hours: i64| now - SignedDuration::from_hours(hours);
    let moved = bench.test.router(&["checkpoint", "set", &hours_ago(5).to_string()]);
    assert_eq!(moved.code, Some(0), "{moved:?}");
    bench.simulator.push(Draft::vm("VmPoweredOnEvent", "web-1", "vm-1").at(hours_ago(4)));
    bench.simulator.push(Draft::vm("VmPoweredOnEvent", "web-1", "vm-1").at(hours_ago(2)));
    bench.simulator.forget_before(hours_ago(3));
    let mut router = bench.start();
    let told = router.log_line(&["gap: the source no longer has its events"]);
    assert!(told.contains(&hours_ago(2).to_string()), "{told}");
    bench.expect("what is left", &[2]);
    let log = bench.stop("gap", router);
    assert_eq!(log.matches("gap:").count(), 1, "{log}");
}

#[test]
fn an_unknown_class_is_delivered_and_said_once() {
    let bench = Bench::new("unknown-class", Settings::default());
    let mut router = bench.start();
    let foo = || Draft::vm("FooEvent", "web-1", "vm-1");
    let keys: Vec<i64> =
        bench.simulator.push_many([foo(), foo(), foo()]).into_iter().map(i64::from).collect();
    bench.expect("unknown events", &keys);
    router.log_line(&["unknown class FooEvent"]);
    let log = bench.stop("unknown class", router);
    assert_eq!(log.matches("unknown class FooEvent").count(), 1, "{log}");
}
