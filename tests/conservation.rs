//! The conservation oracle: every event that the simulated vCenter recorded is an obligation, and
//! the sink must have acknowledged it, however often the router is killed and whatever the sink
//! does, and whatever time is to vCenter. `EVENT_ROUTER_ORACLE=EVENTS,KILLS` sets the length; the default
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

/// A sink that answers badly while `faulty` and keeps a record of what it acknowledged.
struct Sink {
    record: Mutex<Record>,
    random: Mutex<Random>,
    faulty: AtomicBool,
}

impl Sink {
    fn handle(&self, request: &InRequest) -> Reply {
        let jitter =
            if self.faulty.load(Ordering::SeqCst) { self.random.lock().unwrap().below(100) } else { 99 };
        self.record.lock().unwrap().requests += 1;
        match jitter {
            0..4 => Reply::Answer(Answer::text(503, "busy")),
            4..7 => Reply::Answer(Answer::text(429, "slow down").header("Retry-After", "0")),
            7..9 => faults::reply(vec![Step::Reset]),
            9 => faults::reply(vec![Step::Pause(None)]),
            // Acknowledged, but the answer is lost: the router must send it again.
            10..12 => {
                self.acknowledge(request);
                faults::reply(vec![Step::Reset])
            }
            12..16 => {
                request.stop.wait(Duration::from_millis(30));
                self.acknowledge(request);
                Reply::Answer(Answer::text(202, "late"))
            }
            _ => {
                self.acknowledge(request);
                Reply::Answer(Answer::text(202, "ok"))
            }
        }
    }

    fn acknowledge(&self, request: &InRequest) {
        let data: serde_json::Value = serde_json::from_slice(&request.body).expect("the data is JSON");
        let key = data["Key"].as_i64().expect("the data has a key");
        let id = request.header("ce-id").expect("the event has an id").to_string();
        let machine = data["Vm"]["Vm"]["Value"].as_str().unwrap_or_default().to_string();
        let mut record = self.record.lock().unwrap();
        let record = &mut *record;
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

    fn acknowledged(&self) -> usize {
        self.record.lock().unwrap().order.len()
    }
}

fn length(short: &str) -> (usize, usize) {
    let text = std::env::var("EVENT_ROUTER_ORACLE").unwrap_or_else(|_| short.to_string());
    let (events, kills) = text.split_once(',').expect("EVENT_ROUTER_ORACLE=EVENTS,KILLS");
    (events.parse().unwrap(), kills.parse().unwrap())
}

#[test]
fn every_event_is_acknowledged_whatever_happens() {
    let (events, kills) = length("6000,8");
    let mut random = Random::from_test("conservation");
    let Line { test, simulator, sink, _server } = Line::new("conservation", &mut random);
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
    judge(&sink.record.lock().unwrap(), events, kills);
}

/// vCenter, a sink, and a folder for the router between them.
struct Line {
    test: Test,
    simulator: Simulator,
    sink: Arc<Sink>,
    _server: Server,
}

impl Line {
    fn new(name: &str, random: &mut Random) -> Line {
        let test = Test::new(name);
        let simulator = Simulator::start(Settings::default()).unwrap();
        let sink = Arc::new(Sink {
            record: Mutex::default(),
            random: Mutex::new(random.split()),
            faulty: AtomicBool::new(true),
        });
        let handler = sink.clone();
        let settings = ServerSettings { connections_max: 512, ..ServerSettings::default() };
        let server = Server::start("127.0.0.1:0", settings, move |request| handler.handle(request)).unwrap();
        test.write("router.toml", &configuration(&simulator, &format!("http://{}/", server.address())));
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
    let Line { test, simulator, sink, _server } = Line::new("dirty-time", &mut random);
    let mut router = Line::begin(&test);
    let mut dirty = Dirty { offset: SignedDuration::ZERO, pushed: Vec::new() };
    // What is dated before the first start of the route is not wanted.
    dirty.offset += SignedDuration::from_secs(LATE_SECONDS as i64 + 10);
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
    let record = sink.record.lock().unwrap();
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
                let draft =
                    Draft::vm("VmPoweredOnEvent", &format!("web-{machine}"), &format!("vm-{machine}"));
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
            let record = sink.record.lock().unwrap();
            self.pushed.iter().filter(|key| !record.events.contains_key(key)).copied().collect::<Vec<i64>>()
        };
        let until = Instant::now() + CAUGHT_UP_MAX + Duration::from_secs(self.pushed.len() as u64 / 500);
        while !missing().is_empty() {
            let left = missing();
            assert!(Instant::now() < until, "{what}: {} events are missing: {left:?}", left.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn configuration(simulator: &Simulator, sink: &str) -> String {
    format!(
        r#"
        [source.vc]
        type = "vcenter"
        address = "{}"
        username = "{}"
        password = "{}"
        [processor.sink]
        type = "knative"
        uri = "{sink}"
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
        Draft::vm("VmPoweredOnEvent", &format!("web-{machine}"), &format!("vm-{machine}"))
    });
    simulator.push_many(drafts.collect::<Vec<_>>()).len()
}

fn judge(record: &Record, events: usize, kills: usize) {
    let missing: Vec<i64> = (1..=events as i64).filter(|key| !record.events.contains_key(key)).collect();
    let repeats: u64 = record.events.values().map(|seen| seen.acknowledged - 1).sum();
    println!(
        "conservation: {events} events, {kills} kills, {} requests, missing {}, repeats {repeats} ({:.1} per kill)",
        record.requests,
        missing.len(),
        repeats as f64 / kills.max(1) as f64
    );
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_eq!(record.events.len(), events, "events that were never recorded arrived");
    assert!(record.changed_ids.is_empty(), "a repeat has another id: {:?}", record.changed_ids);
    let mut newest: HashMap<&str, i64> = HashMap::new();
    for key in &record.order {
        let machine = record.events[key].machine.as_str();
        let before = newest.insert(machine, *key).unwrap_or(0);
        assert!(before < *key, "{machine}: {key} was acknowledged after {before}");
    }
    // What is in flight, what was settled in the last 100 ms, and answers that were lost.
    let lost_answers = record.requests / 20;
    assert!(repeats <= 2000 * kills as u64 + lost_answers, "{repeats} repeats");
}
