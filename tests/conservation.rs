//! The conservation oracle: every event that the simulated vCenter recorded is an obligation, and
//! the sink must have acknowledged it, however often the router is killed and whatever the sink
//! does, and whatever time is to vCenter; where the sink is three functions of which one fails, each of
//! them. `EVENT_ROUTER_ORACLE=EVENTS,KILLS` sets the length; the default
//! is short.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use event_router::demo::faults::{self, Step};
use event_router::demo::record::Draft;
use event_router::demo::script::{Effect, Rule};
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, InRequest, Reply, Server, ServerSettings};
use jiff::SignedDuration;

use crate::support::process::Process;
use crate::support::random::Random;
use crate::support::{Test, wait_for};

const MACHINES: usize = 40;
/// Of so many pages one is lost.
const LOST_EVERY: u64 = 40;
const EMPTY_PAGE: &[u8] = b"<Envelope><Body><ReadNextEventsResponse xmlns=\"urn:vim25\"/></Body></Envelope>";
/// The functions of the gateway, the last of which fails most of the time.
const FUNCTIONS: [&str; 3] = ["mail", "tags", "worst"];
const TOPIC: &str = "VmPoweredOnEvent";
/// Events that wait while the router is being killed.
const BACKLOG: usize = 2000;

/// What the sink has seen of one event.
#[derive(Clone, Debug)]
struct Seen {
    id: String,
    machine: String,
    acknowledged: u64,
}

#[derive(Default)]
struct Record {
    events: HashMap<i64, Seen>,
    // The first acknowledgements, in their order.
    order: Vec<i64>,
    requests: u64,
    changed_ids: Vec<i64>,
}

/// A sink that answers badly while `faulty` and keeps a record of what it acknowledged: an endpoint, whose
/// name is empty, or functions.
struct Sink {
    records: Mutex<HashMap<&'static str, Record>>,
    random: Mutex<Random>,
    faulty: AtomicBool,
}

impl Sink {
    fn new(names: &[&'static str], random: Random) -> Sink {
        let records = names.iter().map(|name| (*name, Record::default())).collect();
        Sink { records: Mutex::new(records), random: Mutex::new(random), faulty: AtomicBool::new(true) }
    }

    fn handle(&self, request: &InRequest) -> Reply {
        match request.path() {
            "/system/namespaces" => Reply::Answer(Answer::new(200, "application/json", "[]")),
            "/system/functions" => {
                let list =
                    FUNCTIONS.map(|name| serde_json::json!({"name": name, "annotations": {"topic": TOPIC}}));
                let list = serde_json::Value::from(list.to_vec()).to_string();
                Reply::Answer(Answer::new(200, "application/json", list))
            }
            path => {
                let called = path.strip_prefix("/function/").unwrap_or_default();
                let name = FUNCTIONS.into_iter().find(|name| *name == called).unwrap_or_default();
                self.call(name, request)
            }
        }
    }

    fn call(&self, name: &'static str, request: &InRequest) -> Reply {
        let is_faulty = self.faulty.load(Ordering::SeqCst);
        let (jitter, badness) = match is_faulty {
            true => {
                let mut random = self.random.lock().unwrap();
                (random.below(100), random.below(10))
            }
            false => (99, 9),
        };
        self.records.lock().unwrap().get_mut(name).expect("a name").requests += 1;
        if name == FUNCTIONS[2] && badness < 7 {
            return Reply::Answer(Answer::text(500, "the worst"));
        }
        match jitter {
            0..4 => Reply::Answer(Answer::text(503, "busy")),
            4..7 => Reply::Answer(Answer::text(429, "slow down").header("Retry-After", "0")),
            7..9 => faults::reply(vec![Step::Reset]),
            9 => faults::reply(vec![Step::Pause(None)]),
            // Acknowledged, but the answer is lost: the router must send it again.
            10..12 => {
                self.acknowledge(name, request);
                faults::reply(vec![Step::Reset])
            }
            12..16 => {
                request.stop.wait(Duration::from_millis(30));
                self.acknowledge(name, request);
                Reply::Answer(Answer::text(202, "late"))
            }
            _ => {
                self.acknowledge(name, request);
                Reply::Answer(Answer::text(202, "ok"))
            }
        }
    }

    fn acknowledge(&self, name: &'static str, request: &InRequest) {
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("the body is JSON");
        // Functions get the whole event, the endpoint its data beside headers.
        let (data, id) = match request.header("ce-id") {
            Some(id) => (&body, id.to_string()),
            None => (&body["data"], body["id"].as_str().expect("the event has an id").to_string()),
        };
        let key = data["Key"].as_i64().expect("the data has a key");
        let machine = data["Vm"]["Vm"]["Value"].as_str().unwrap_or_default().to_string();
        let mut records = self.records.lock().unwrap();
        let record = records.get_mut(name).expect("a name");
        match record.events.get_mut(&key) {
            Some(seen) => {
                seen.acknowledged += 1;
                if seen.id != id {
                    record.changed_ids.push(key);
                }
            }
            None => {
                record.events.insert(key, Seen { id, machine, acknowledged: 1 });
                record.order.push(key);
            }
        }
    }

    // Events that all have acknowledged.
    fn acknowledged(&self) -> usize {
        self.records.lock().unwrap().values().map(|record| record.order.len()).min().unwrap_or_default()
    }
}

fn length(short: &str) -> (usize, usize) {
    let text = std::env::var("EVENT_ROUTER_ORACLE").unwrap_or_else(|_| short.to_string());
    let (events, kills) = text.split_once(',').expect("EVENT_ROUTER_ORACLE=EVENTS,KILLS");
    (events.parse().unwrap(), kills.parse().unwrap())
}

#[test]
fn every_event_is_acknowledged_whatever_happens() {
    whatever_happens("conservation", Kind::Endpoint);
}

#[test]
fn every_function_acknowledges_every_event_though_one_of_three_fails() {
    whatever_happens("functions", Kind::Functions);
}

fn whatever_happens(name: &str, kind: Kind) {
    let (events, kills) = length("6000,8");
    let mut random = Random::from_test(name);
    let Line { test, simulator, sink, _server } = Line::new(name, kind, &mut random);
    drop(Line::begin(&test));
    // Now and then an answer is lost although nothing fails: an empty page comes in its place.
    let lost = Effect::Instead(EMPTY_PAGE.to_vec(), None);
    simulator.set_fault(Rule::always("ReadNextEvents", lost).every(LOST_EVERY).after(LOST_EVERY));

    let mut pushed = 0;
    for kill in 0..kills {
        let router = test.start(&["run"]);
        // Somewhere in the middle of the work, with a backlog before it.
        let begun = sink.acknowledged();
        let enough = begun + random.below(2 * events.saturating_sub(begun) / (kills - kill) + 1);
        let until = Instant::now() + Duration::from_secs(5);
        while sink.acknowledged() < enough.min(events) && Instant::now() < until {
            let backlog = pushed - sink.acknowledged().min(pushed);
            let room = BACKLOG.saturating_sub(backlog).min(events - pushed).min(200);
            pushed += push(&simulator, &mut random, room);
            std::thread::sleep(Duration::from_millis(1));
        }
        router.signal("KILL");
        drop(router);
    }
    let survived = sink.acknowledged();
    pushed += push(&simulator, &mut random, events - pushed);
    assert_eq!(pushed, events);
    sink.faulty.store(false, Ordering::SeqCst);
    let mut router = test.start(&["run"]);
    router.log_line(&["started"]);
    let longest = Duration::from_secs(60 + events as u64 / 200);
    wait_for("all events", longest, || (events <= sink.acknowledged()).then_some(()));
    assert_eq!(router.end_by("TERM").code, Some(0));
    wait_for("logout", Duration::from_secs(10), || (simulator.counts().logouts > 0).then_some(()));
    println!("conservation: {survived} events were acknowledged between the kills");
    for (name, record) in sink.records.lock().unwrap().iter() {
        judge(name, record, events, kills);
    }
}

/// What the sink is.
#[derive(Clone, Copy)]
enum Kind {
    Endpoint,
    Functions,
}

/// vCenter, a sink, and a folder for the router between them.
struct Line {
    test: Test,
    simulator: Simulator,
    sink: Arc<Sink>,
    _server: Server,
}

impl Line {
    fn new(name: &str, kind: Kind, random: &mut Random) -> Line {
        let test = Test::new(name);
        let simulator = Simulator::start(Settings::default()).unwrap();
        let names: &[&'static str] = match kind {
            Kind::Endpoint => &[""],
            Kind::Functions => &FUNCTIONS,
        };
        let sink = Arc::new(Sink::new(names, random.split()));
        let handler = sink.clone();
        let settings = ServerSettings { connections_max: 512, ..ServerSettings::default() };
        let server = Server::start("127.0.0.1:0", settings, move |request| handler.handle(request)).unwrap();
        test.write("router.toml", &configuration(&simulator, kind, &format!("http://{}/", server.address())));
        Line { test, simulator, sink, _server: server }
    }

    /// The first start, whose position is durable before the first event: whatever comes later must arrive.
    fn begin(test: &Test) -> Process {
        let first = test.start(&["run"]);
        wait_for("the start position", Duration::from_secs(30), || {
            test.path("state/vc-sink.checkpoint.json").exists().then_some(())
        });
        first
    }
}

/// Events are late by less than the overlap: a step of a few seconds is not seen through slow answers.
const LATE_SECONDS: usize = 570;
const DAY_SECONDS: usize = 24 * 3600;
/// From a step that nobody tells until the route has found it and read what came.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(90);

/// vCenter's clock is set by up to a day, forth and back, and events are recorded late and dated ahead,
/// while sessions are lost and the router is killed.
#[test]
fn every_event_is_acknowledged_in_dirty_time() {
    let (events, rounds) = length("3000,16");
    let mut random = Random::from_test("dirty time");
    let Line { test, simulator, sink, _server } = Line::new("dirty-time", Kind::Endpoint, &mut random);
    let mut router = Line::begin(&test);
    let mut dirty = Dirty { offset: SignedDuration::ZERO, pushed: Vec::new() };
    // What is dated before the first start of the route is not wanted, and the route may not have seen this
    // clock before the first step back.
    dirty.offset += SignedDuration::from_secs((LATE_SECONDS + DAY_SECONDS) as i64 + 10);
    simulator.set_clock_offset(dirty.offset);
    dirty.push(&simulator, &mut random, 10, false);
    dirty.wait(&sink, "the first events");
    let (mut steps, mut killed) = (0, 0);
    for round in 0..rounds {
        let share = (events - dirty.pushed.len().min(events)) / (rounds - round);
        if random.below(3) < 2 {
            dirty.step(&simulator, &mut random);
            steps += 1;
        }
        dirty.push(&simulator, &mut random, share / 2, true);
        std::thread::sleep(Duration::from_millis(random.below(300) as u64));
        match random.below(if round % 8 == 7 { 4 } else { 3 }) {
            0 => simulator.end_sessions(),
            // The route must find out by itself.
            3 => {}
            _ => {
                router.signal("KILL");
                drop(router);
                killed += 1;
                dirty.push(&simulator, &mut random, share / 4, true);
                router = test.start(&["run"]);
            }
        }
        dirty.push(&simulator, &mut random, (share / 4).max(1), true);
        // Of two steps between two looks nobody can know.
        dirty.wait(&sink, &format!("round {round}"));
    }
    sink.faulty.store(false, Ordering::SeqCst);
    let left = events - dirty.pushed.len().min(events);
    dirty.push(&simulator, &mut random, left, true);
    dirty.wait(&sink, "all events");
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let records = sink.records.lock().unwrap();
    let record = &records[""];
    assert!(record.changed_ids.is_empty(), "a repeat has another id: {:?}", record.changed_ids);
    assert_eq!(record.events.len(), dirty.pushed.len(), "events that were never recorded arrived");
    let repeats: u64 = record.events.values().map(|seen| seen.acknowledged - 1).sum();
    println!(
        "dirty time: {} events, {steps} steps of the clock, {killed} kills, missing 0, repeats {repeats}",
        dirty.pushed.len()
    );
}

/// vCenter's time, and what was recorded in it.
struct Dirty {
    offset: SignedDuration,
    pushed: Vec<i64>,
}

impl Dirty {
    fn step(&mut self, simulator: &Simulator, random: &mut Random) {
        let most = [90, 3600, DAY_SECONDS][random.below(3)];
        let step = SignedDuration::from_secs(1 + random.below(most) as i64);
        self.offset = if random.below(2) == 0 { self.offset - step } else { self.offset + step };
        simulator.set_clock_offset(self.offset);
    }

    /// Events of the present, late ones among them, and few that are dated ahead.
    fn push(&mut self, simulator: &Simulator, random: &mut Random, count: usize, dirty: bool) {
        let now = simulator.now();
        let drafts: Vec<Draft> = (0..count)
            .map(|_| {
                let machine = random.below(MACHINES);
                let draft = Draft::vm(TOPIC, &format!("web-{machine}"), &format!("vm-{machine}"));
                let seconds =
                    |most: usize, random: &mut Random| SignedDuration::from_secs(random.below(most) as i64);
                match random.below(50) {
                    0..5 if dirty => draft.at(now - seconds(LATE_SECONDS, random)),
                    5 if dirty => {
                        let most = [75, 3600, DAY_SECONDS][random.below(3)];
                        draft.at(now + seconds(most, random))
                    }
                    _ => draft,
                }
            })
            .collect();
        self.pushed.extend(simulator.push_many(drafts).into_iter().map(i64::from));
    }

    /// Waits until all have been acknowledged.
    #[track_caller]
    fn wait(&self, sink: &Sink, what: &str) {
        let missing = || {
            let records = sink.records.lock().unwrap();
            let record = &records[""];
            self.pushed.iter().filter(|key| !record.events.contains_key(key)).copied().collect::<Vec<i64>>()
        };
        // What a step back made unknown is delivered once more: all of it, where the step was a day.
        let until = Instant::now() + CAUGHT_UP_MAX + Duration::from_secs(self.pushed.len() as u64 / 50);
        while !missing().is_empty() {
            let left = missing();
            assert!(Instant::now() < until, "{what}: {} events are missing: {left:?}", left.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn configuration(simulator: &Simulator, kind: Kind, sink: &str) -> String {
    let processor = match kind {
        Kind::Endpoint => format!("type = \"knative\"\nuri = \"{sink}\""),
        Kind::Functions => format!("type = \"openfaas\"\naddress = \"{sink}\""),
    };
    format!(
        r#"
        [source.vc]
        type = "vcenter"
        address = "{}"
        username = "{}"
        password = "{}"
        [processor.sink]
        {processor}
        timeout = "300ms"
        [route.vc-sink]
        from = "vc"
        to = "sink"
        retry = {{ first = "5ms", max = "50ms" }}
        "#,
        simulator.url(),
        simulator.username(),
        simulator.password()
    )
}

fn push(simulator: &Simulator, random: &mut Random, count: usize) -> usize {
    let drafts = (0..count).map(|_| {
        let machine = random.below(MACHINES);
        Draft::vm(TOPIC, &format!("web-{machine}"), &format!("vm-{machine}"))
    });
    simulator.push_many(drafts.collect::<Vec<_>>()).len()
}

fn judge(name: &str, record: &Record, events: usize, kills: usize) {
    let missing: Vec<i64> = (1..=events as i64).filter(|key| !record.events.contains_key(key)).collect();
    let repeats: u64 = record.events.values().map(|seen| seen.acknowledged - 1).sum();
    println!(
        "conservation {name}: {events} events, {kills} kills, {} requests, missing {}, repeats {repeats} ({:.1} per kill)",
        record.requests,
        missing.len(),
        repeats as f64 / kills.max(1) as f64
    );
    assert!(missing.is_empty(), "missing at {name}: {missing:?}");
    assert_eq!(record.events.len(), events, "events that were never recorded arrived");
    assert!(record.changed_ids.is_empty(), "a repeat has another id: {:?}", record.changed_ids);
    let mut newest: HashMap<&str, i64> = HashMap::new();
    for key in &record.order {
        let machine = record.events[key].machine.as_str();
        let before = newest.insert(machine, *key).unwrap_or(0);
        assert!(before < *key, "{name}, {machine}: {key} was acknowledged after {before}");
    }
    // What is in flight, what was settled in the last 100 ms, and answers that were lost.
    let lost_answers = record.requests / 20;
    assert!(repeats <= 2000 * kills as u64 + lost_answers, "{name}: {repeats} repeats");
}
