//! The conservation oracle: every event that the simulated vCenter recorded is an obligation, and
//! the sink must have acknowledged it, however often the router is killed and whatever the sink
//! does. `EVENT_ROUTER_ORACLE=EVENTS,KILLS` sets the length; the default is short.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use event_router::demo::faults::{self, Step};
use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, InRequest, Reply, Server, ServerSettings};

use crate::support::random::Random;
use crate::support::{Test, wait_for};

const MACHINES: usize = 40;
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

fn length() -> (usize, usize) {
    let text = std::env::var("EVENT_ROUTER_ORACLE").unwrap_or_else(|_| "6000,8".to_string());
    let (events, kills) = text.split_once(',').expect("EVENT_ROUTER_ORACLE=EVENTS,KILLS");
    (events.parse().unwrap(), kills.parse().unwrap())
}

#[test]
fn every_event_is_acknowledged_whatever_happens() {
    let (events, kills) = length();
    let mut random = Random::from_test("conservation");
    let test = Test::new("conservation");
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

    // The start position is durable before the first event: whatever comes later must arrive.
    let first = test.start(&["run"]);
    wait_for("the start position", Duration::from_secs(30), || {
        test.path("state/vc-sink.checkpoint.json").exists().then_some(())
    });
    drop(first);

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
