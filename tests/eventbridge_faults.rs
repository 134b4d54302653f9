//! The processor eventbridge against an endpoint that fails as it is told: nothing is lost, nothing
//! is out of order, and no request is too large.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use event_router::demo::faults::{self, Step};
use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::event::Position;
use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use event_router::position::file::CheckpointFile;
use serde_json::{Value, json};

use crate::support::process::Process;
use crate::support::random::Random;
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, wait_for};

/// What EventBridge counts of an entry that has a time, beside its texts.
const TIME_BYTES: usize = 14;

/// One entry of a request.
#[derive(Clone, Debug)]
struct Entry {
    key: i64,
    machine: String,
    bytes: usize,
}

/// An endpoint that records what it is sent and what it took.
struct Bus {
    server: Server,
    /// The entries of every request.
    requests: Arc<Mutex<Vec<Vec<Entry>>>>,
    /// The entries that were answered with an id, in that order.
    taken: Arc<Mutex<Vec<Entry>>>,
}

/// What the endpoint does with a request.
enum Plan {
    /// For each entry the error code, if it has one.
    Outcomes(Vec<Option<&'static str>>),
    /// Something else than a whole answer.
    Fault(Reply),
}

/// Every entry is taken.
fn all(entries: &[Entry]) -> Plan {
    Plan::Outcomes(vec![None; entries.len()])
}

impl Bus {
    /// `plan` gets the number of the request, from 0, and its entries.
    fn start(plan: impl Fn(usize, &[Entry]) -> Plan + Send + Sync + 'static) -> Bus {
        let (requests, taken) =
            (Arc::<Mutex<Vec<Vec<Entry>>>>::default(), Arc::<Mutex<Vec<Entry>>>::default());
        let (seen, kept) = (requests.clone(), taken.clone());
        let server = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
            assert_eq!(request.header("x-amz-target"), Some("AWSEvents.PutEvents"));
            let entries = entries(&request.body);
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(entries.clone());
                seen.len() - 1
            };
            let codes = match plan(number, &entries) {
                Plan::Fault(reply) => return reply,
                Plan::Outcomes(codes) => codes,
            };
            let outcome = |(entry, code): (&Entry, &Option<&str>)| match code {
                Some(code) => json!({"ErrorCode": code, "ErrorMessage": "as told"}),
                None => {
                    kept.lock().unwrap().push(entry.clone());
                    json!({"EventId": entry.key.to_string()})
                }
            };
            let failed = codes.iter().flatten().count();
            let outcomes: Vec<Value> = entries.iter().zip(&codes).map(outcome).collect();
            let body = json!({"FailedEntryCount": failed, "Entries": outcomes}).to_string();
            Reply::Answer(Answer::new(200, "application/x-amz-json-1.1", body))
        })
        .unwrap();
        Bus { server, requests, taken }
    }

    fn taken(&self) -> Vec<i64> {
        self.taken.lock().unwrap().iter().map(|entry| entry.key).collect()
    }

    /// Waits until all `keys` were taken.
    #[track_caller]
    fn expect(&self, what: &str, keys: &[i64]) {
        wait_for(what, SOON, || {
            let taken = self.taken();
            keys.iter().all(|key| taken.contains(key)).then_some(())
        });
    }
}

fn entries(body: &[u8]) -> Vec<Entry> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let entry = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap();
        let detail: Value = serde_json::from_str(text("Detail")).unwrap();
        let bytes = ["Source", "DetailType", "Detail"].iter().map(|name| text(name).len()).sum::<usize>();
        Entry {
            key: detail["data"]["Key"].as_i64().unwrap(),
            machine: detail["data"]["Vm"]["Name"].as_str().unwrap().to_string(),
            bytes: bytes + TIME_BYTES,
        }
    };
    body["Entries"].as_array().unwrap().iter().map(entry).collect()
}

/// A route from a simulated vCenter to the bus.
fn route(test: &Test, simulator: &Simulator, bus: &Bus, workers: usize, more: &str) -> Process {
    let text = format!(
        "[source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n\
         [processor.bus]\ntype = \"eventbridge\"\nregion = \"eu-central-1\"\nendpoint = \"http://{}\"\n\
         access_key_id = \"AKID\"\nsecret_access_key = \"s3cret\"\n{more}\n\
         [route.power]\nfrom = \"vc\"\nto = \"bus\"\ntypes = [\"VmPoweredOnEvent\"]\nworkers = {workers}\n\
         retry = {{ first = \"10ms\", max = \"50ms\" }}\n",
        simulator.url(),
        simulator.username(),
        simulator.password(),
        bus.server.address()
    );
    test.write("router.toml", &text);
    let mut router = test.start(&["run", "--log-level", "debug"]);
    router.log_line(&["reading VMware"]);
    router
}

fn machine(number: usize) -> Draft {
    Draft::vm("VmPoweredOnEvent", &format!("web-{number}"), &format!("vm-{number}"))
}

/// Records events of these machines at once.
fn push(simulator: &Simulator, machines: impl IntoIterator<Item = usize>) -> Vec<i64> {
    simulator.push_many(machines.into_iter().map(machine)).into_iter().map(i64::from).collect()
}

/// The first request is held until the flag is set.
fn hold_first(number: usize, go: &AtomicBool) {
    if number == 0 {
        wait_for("the first request is let go", SOON, || go.load(Ordering::SeqCst).then_some(()));
    }
}

/// Entries of each machine must have been taken once, in their order.
fn assert_in_order(bus: &Bus, keys: &[i64]) {
    let mut by_machine: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for entry in bus.taken.lock().unwrap().iter() {
        by_machine.entry(entry.machine.clone()).or_default().push(entry.key);
    }
    let total: usize = by_machine.values().map(Vec::len).sum();
    assert_eq!(total, keys.len(), "each event is taken once");
    for (machine, keys) in by_machine {
        assert!(keys.is_sorted(), "{machine}: {keys:?}");
    }
}

#[test]
fn a_failed_entry_is_sent_again_before_the_checkpoint_passes_it() {
    let test = Test::new("entries");
    let simulator = Simulator::start(Settings::default()).unwrap();
    let (go, slow) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let (gone, slowed) = (go.clone(), slow.clone());
    let bus = Bus::start(move |number, entries| {
        hold_first(number, &gone);
        let code = |entry: &Entry| match entry.machine.as_str() {
            "web-3" if slowed.load(Ordering::SeqCst) => Some("ThrottlingException"),
            "web-7" => Some("AccessDeniedException"),
            _ => None,
        };
        Plan::Outcomes(entries.iter().map(code).collect())
    });
    let mut router = route(&test, &simulator, &bus, 1, "");
    let first = push(&simulator, [100]);
    wait_for("the first request", SOON, || (!bus.requests.lock().unwrap().is_empty()).then_some(()));
    let keys = push(&simulator, 0..10);
    router.log_line(&["page of 10 events"]);
    go.store(true, Ordering::SeqCst);
    let told = router.log_line(&["is a dead letter"]);
    assert!(told.contains("AccessDeniedException: as told"), "{told}");
    wait_for("the throttled entry alone, again", SOON, || {
        (2 < bus.requests.lock().unwrap().len()).then_some(())
    });
    let requests = bus.requests.lock().unwrap().clone();
    assert_eq!(requests[1].iter().map(|entry| entry.key).collect::<Vec<_>>(), keys, "ten in one request");
    for request in &requests[2..] {
        assert_eq!(request.iter().map(|entry| entry.key).collect::<Vec<_>>(), [keys[3]]);
    }

    // The others are settled and recorded, the throttled one is not, and a crash does not lose it.
    let time = simulator.records().last().unwrap().time;
    let settled = |key: i64| {
        let file = CheckpointFile::new(&test.path("state"), "power");
        let progress = file.read().unwrap().unwrap().checkpoint.progress;
        progress.settled.contains(Position { key, time })
    };
    wait_for("the checkpoint", SOON, || {
        keys.iter().filter(|key| **key != keys[3]).all(|key| settled(*key)).then_some(())
    });
    assert!(!settled(keys[3]));
    router.end_by("KILL");
    slow.store(false, Ordering::SeqCst);
    let mut router = test.start(&["run"]);
    router.log_line(&["reading VMware"]);
    bus.expect("the throttled event after the crash", &keys[3..4]);
    let list = test.router(&["dead-letters", "list"]);
    assert_eq!(list.stdout.lines().count(), 1, "{list:?}");
    assert_eq!(router.end_by("TERM").code, Some(0));
    let mut expected: Vec<i64> =
        first.into_iter().chain(keys.clone()).filter(|key| *key != keys[7]).collect();
    let mut taken = bus.taken();
    expected.sort();
    taken.sort();
    assert_eq!(taken, expected, "each once");
}

#[test]
fn faults_of_whole_requests_lose_nothing_and_keep_order() {
    let test = Test::new("requests");
    let simulator = Simulator::start(Settings::default()).unwrap();
    let bus = Bus::start(|number, entries| {
        let answer = |status, body: &str| {
            Plan::Fault(Reply::Answer(Answer::new(status, "application/x-amz-json-1.1", body)))
        };
        match number {
            0 => answer(400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#),
            1 => answer(500, ""),
            2 => answer(503, "<html>busy</html>"),
            3 => Plan::Fault(faults::reply(vec![Step::Reset])),
            4 => Plan::Fault(faults::reply(vec![Step::Pause(None)])),
            5 => answer(200, r#"{"FailedEntryCount":0,"Entries":[{"EventId":"1""#),
            6 => Plan::Fault(faults::reply(vec![Step::Send(
                b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"FailedEntryCount\":0".to_vec(),
            )])),
            7 => answer(200, r#"{"FailedEntryCount":0,"Entries":[]}"#),
            // Alone it would be a dead letter.
            _ if number == 8 && 1 < entries.len() => answer(413, ""),
            _ => all(entries),
        }
    });
    let router = route(&test, &simulator, &bus, 1, "timeout = \"1s\"");
    let keys = push(&simulator, (0..40).map(|n| n % 4));
    bus.expect("all events", &keys);
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0));
    assert_in_order(&bus, &keys);
    for reason in
        ["ThrottlingException: Rate exceeded", "status 500", "status 503: <html>busy", "timeout", "malformed"]
    {
        let told = exit.stderr.lines().filter(|line| line.contains("WARN") && line.contains(reason)).count();
        assert!(told <= 1, "{reason} is told {told} times:\n{}", exit.stderr);
    }
    assert_eq!(test.router(&["dead-letters", "list"]).stdout, "");
}

#[test]
fn credentials_that_ended_hold_the_route_until_there_are_others() {
    let test = Test::new("ended");
    let simulator = Simulator::start(Settings::default()).unwrap();
    let taken = Arc::<Mutex<Vec<i64>>>::default();
    let kept = taken.clone();
    let server = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
        if request.header("x-amz-security-token") != Some("fresh") {
            let body = r#"{"__type":"ExpiredTokenException","message":"The security token is expired"}"#;
            return Reply::Answer(Answer::new(400, "application/x-amz-json-1.1", body));
        }
        let entries = entries(&request.body);
        kept.lock().unwrap().extend(entries.iter().map(|entry| entry.key));
        let outcomes: Vec<Value> = entries.iter().map(|_| json!({"EventId": "1"})).collect();
        Reply::Answer(Answer::new(
            200,
            "application/x-amz-json-1.1",
            json!({"Entries": outcomes}).to_string(),
        ))
    })
    .unwrap();
    test.write("token", "stale\n");
    let bus = Bus { server, requests: Arc::default(), taken: Arc::default() };
    let mut router = route(
        &test,
        &simulator,
        &bus,
        2,
        "session_token = { file = \"token\" }\n[metrics]\nbind = \"127.0.0.1:0\"",
    );
    let keys = push(&simulator, 0..30);
    let told = router.log_line(&["ERROR", "ExpiredTokenException"]);
    let words = ["route power: PutEvents at http://", "provide a new one", "trying again, next in"];
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    let watcher = Watcher::of(&mut router);
    wait_for("the reason in the metrics", SOON, || {
        let (_, text) = watcher.get("/metrics");
        text.lines()
            .find(|line| line.starts_with("router_") && line.contains("reason=\"credentials\""))
            .map(drop)
    });
    let status = watcher.status();
    assert_eq!(status["routes"][0]["troubles"][0]["reason"], "credentials", "{status}");

    test.write("token", "fresh\n");
    wait_for("all events", SOON, || (taken.lock().unwrap().len() == keys.len()).then_some(()));
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0));
    let lines = exit.stderr.lines().filter(|line| line.contains("ERROR") && line.contains("ExpiredToken"));
    assert_eq!(lines.count(), 1, "{}", exit.stderr);
    assert!(!exit.stderr.contains("s3cret") && !exit.stderr.contains("stale"));
    assert_eq!(test.router(&["dead-letters", "list"]).stdout, "");
}

#[test]
fn a_rule_changes_under_load_and_what_is_wrong_with_it_is_said() {
    const ARN: &str = "arn:aws:events:eu-central-1:123456789012:rule/vm/forward";
    let test = Test::new("states");
    let simulator = Simulator::start(Settings::default()).unwrap();
    let rule = |pattern: &str, state: &str| {
        (200, json!({"Name": "forward", "Arn": ARN, "EventPattern": pattern, "State": state}).to_string())
    };
    let missing = (
        400,
        r#"{"__type":"ResourceNotFoundException","message":"Rule forward does not exist."}"#.to_string(),
    );
    let (taken, answer) = (Arc::<Mutex<Vec<i64>>>::default(), Arc::new(Mutex::new(missing.clone())));
    let (kept, said) = (taken.clone(), answer.clone());
    let server = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
        let json =
            |status, body: String| Reply::Answer(Answer::new(status, "application/x-amz-json-1.1", body));
        if request.header("x-amz-target") == Some("AWSEvents.DescribeRule") {
            let (status, body) = said.lock().unwrap().clone();
            return json(status, body);
        }
        let entries = entries(&request.body);
        kept.lock().unwrap().extend(entries.iter().map(|entry| entry.key));
        let outcomes: Vec<Value> = entries.iter().map(|_| json!({"EventId": "1"})).collect();
        json(200, json!({"FailedEntryCount": 0, "Entries": outcomes}).to_string())
    })
    .unwrap();
    let bus = Bus { server, requests: Arc::default(), taken: Arc::default() };
    let set = |new: (u16, String)| *answer.lock().unwrap() = new;
    let mut expected = Vec::new();
    let mut router = route(&test, &simulator, &bus, 2, &format!("rule_arn = \"{ARN}\"\nrefresh = \"1s\""));

    router.log_line(&["Rule forward does not exist", "events wait for the rule"]);
    expected.extend(push(&simulator, 0..5));
    router.log_line(&["waiting for the first reading of the rule"]);
    assert_eq!(taken.lock().unwrap().len(), 0, "no event is judged before the rule is known");

    set(rule(r#"{"detail-type":["VmPoweredOnEvent"]}"#, "DISABLED"));
    router.log_line(&["is disabled: its targets get nothing"]);
    let all_taken = |what: &str, expected: &[i64]| {
        wait_for(what, SOON, || (expected.len() <= taken.lock().unwrap().len()).then_some(()));
    };
    all_taken("events that waited", &expected);
    set(rule(r#"{"detail-type":["VmPoweredOnEvent"]}"#, "ENABLED"));
    router.log_line(&["is enabled again"]);

    // Both patterns want all of these, so that none may be lost wherever the change falls.
    set(rule(r#"{"detail-type":[{"prefix":"VmPowered"}]}"#, "ENABLED"));
    wait_for("the new pattern, under load", SOON, || {
        expected.extend(push(&simulator, 0..7));
        router
            .stderr()
            .iter()
            .any(|line| line.contains(r#"forwards what matches {"detail-type":[{"prefix""#))
            .then_some(())
    });
    all_taken("events during the change", &expected);

    // From here on the rule wants others, and what is wrong with it later changes nothing.
    set(rule(r#"{"detail":{"data":{"Vm":{"Name":["web-1"]}}}}"#, "ENABLED"));
    router.log_line(&["forwards what matches", "web-1"]);
    set((
        200,
        json!({"Name": "forward", "Arn": ARN, "ScheduleExpression": "rate(1 day)", "State": "ENABLED"})
            .to_string(),
    ));
    router.log_line(&["the rule has no event pattern", "the pattern read last stays in use"]);
    set(missing);
    router.log_line(&["Rule forward does not exist", "the pattern read last stays in use"]);
    expected.extend(push(&simulator, 0..7).get(1));
    expected.extend(push(&simulator, [1]));
    all_taken("what the last pattern wants", &expected);
    assert_eq!(router.end_by("TERM").code, Some(0));
    let mut taken = taken.lock().unwrap().clone();
    taken.sort();
    assert_eq!(taken, expected, "each once, and no other");
    assert_eq!(test.router(&["dead-letters", "list"]).stdout, "");
}

#[test]
fn failing_entries_keep_the_order_of_their_object() {
    let test = Test::new("order");
    let simulator = Simulator::start(Settings::default()).unwrap();
    let random = Mutex::new(Random::from_test("failing_entries_keep_the_order_of_their_object"));
    let bus = Bus::start(move |_, entries| {
        let mut random = random.lock().unwrap();
        Plan::Outcomes(entries.iter().map(|_| (random.below(4) == 0).then_some("InternalFailure")).collect())
    });
    let router = route(&test, &simulator, &bus, 4, "");
    let keys = push(&simulator, (0..300).map(|n| n % 7));
    bus.expect("all events", &keys);
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_in_order(&bus, &keys);
}

#[test]
fn requests_are_full_under_a_backlog_and_never_too_large() {
    let test = Test::new("batches");
    let simulator = Simulator::start(Settings::default()).unwrap();
    let mut random = Random::from_test("requests_are_full_under_a_backlog_and_never_too_large");
    let go = Arc::new(AtomicBool::new(false));
    let gone = go.clone();
    let bus = Bus::start(move |number, entries| {
        hold_first(number, &gone);
        all(entries)
    });
    const BYTES_MAX: usize = 64 * 1024;
    let mut router = route(&test, &simulator, &bus, 2, "max_size = \"64KiB\"");

    // Idle: one event is sent by itself; nothing else ever comes that could fill a request.
    let first = push(&simulator, [999]);
    wait_for("the only event", SOON, || (!bus.requests.lock().unwrap().is_empty()).then_some(()));

    // A backlog of small events, of more machines than a request takes.
    let small = push(&simulator, (0..1000).map(|n| n % 250));
    router.log_line(&["page of 1000 events"]);
    go.store(true, Ordering::SeqCst);
    bus.expect("the backlog", &small);
    let requests = bus.requests.lock().unwrap().clone();
    assert_eq!(requests[0].len(), 1);
    let mean = small.len() as f64 / (requests.len() - 1) as f64;
    println!("mean batch {mean:.2}");
    assert!(9.0 < mean, "{mean}");

    // Any sizes.
    let before = requests.len();
    let drafts: Vec<Draft> =
        (0..300).map(|n| Draft { message: "x".repeat(random.below(20_000)), ..machine(n) }).collect();
    let any: Vec<i64> = simulator.push_many(drafts).into_iter().map(i64::from).collect();
    bus.expect("events of any size", &any);
    assert_eq!(router.end_by("TERM").code, Some(0));
    let requests = bus.requests.lock().unwrap();
    let mut sizes: HashMap<usize, usize> = HashMap::new();
    for request in requests.iter() {
        let bytes: usize = request.iter().map(|entry| entry.bytes).sum();
        assert!(request.len() <= 10 && bytes <= BYTES_MAX, "{} entries, {bytes} bytes", request.len());
        *sizes.entry(request.len()).or_default() += 1;
    }
    println!("requests by entries: {sizes:?}");
    assert!(requests[before..].iter().any(|request| request.len() < 10), "bytes were the limit too");
    assert_in_order(&bus, &[first, small, any].concat());
}
