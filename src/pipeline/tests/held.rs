//! What waits for its retry, and whom it holds.

use super::super::testing::Running;
use super::*;
use crate::observe::logger::Logger;
use crate::position::{SaveError, Standing};

/// Starts a route whose sink refuses these keys until the gate is opened.
fn start_held(bench: &Bench, is_held: impl Fn(i64) -> bool + Send + Sync + 'static) -> (Running, Gate) {
    let gate = Gate(Arc::new(AtomicBool::new(false)));
    let open = gate.0.clone();
    let running = bench.start(move |delivery| {
        let held = is_held(delivery.event.position.key) && !open.load(Ordering::SeqCst);
        if held { later() } else { Verdict::delivered() }
    });
    (running, gate)
}

struct Gate(Arc<AtomicBool>);

impl Gate {
    fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_failing_object_is_tried_again_and_holds_only_itself() {
    let bench = Bench::new(1000);
    let (running, gate) = start_held(&bench, |key| key % 10 == 3);
    running.wait_acknowledged(900);
    running.wait("checkpoint", |_| bench.checkpoint().progress.settled.contains(nth(999).position));
    assert!(bench.checkpoint().progress.resume() <= nth(3).position.time, "3 is not settled");
    gate.open();
    running.wait_acknowledged(1000);
    assert!(0 < running.route.view().stats().retried.sum());
    let keys = running.stop();
    let held: Vec<i64> = keys.into_iter().filter(|key| key % 10 == 3).collect();
    assert!(held.is_sorted());
}

#[test]
fn what_one_object_holds_takes_no_room_from_the_others() {
    let mut bench = Bench::new(3000);
    bench.history.padding = 2000;
    let (running, gate) = start_held(&bench, |key| key % 2 == 1);
    // Half of the objects hold 3.8 MB of events.
    running.wait_acknowledged(1500);
    assert_eq!(running.route.view().snapshot().outstanding, 1500);
    gate.open();
    running.wait_acknowledged(3000);
    assert_eq!(sorted(running.stop()), (0..3000).collect::<Vec<_>>());
}

#[test]
fn a_large_event_that_waits_stops_nobody_and_a_full_room_is_said() {
    let mut bench = Bench::new(200);
    bench.history.padding = 1_300_000;
    let (running, gate) = start_held(&bench, |key| key % 10 < 2);
    // Until the sixth or seventh of 1.3 MB fills the room of what is held.
    running.wait_acknowledged(24);
    running.wait("the incident", |running| {
        let incidents = running.route.view().snapshot().incidents;
        incidents.iter().any(|incident| incident.consequence.contains("the route holds, as "))
    });
    gate.open();
    running.wait_acknowledged(200);
    assert_eq!(sorted(running.stop()), (0..200).collect::<Vec<_>>());
}

#[test]
fn the_first_success_after_an_outage_ends_the_waits_of_the_others() {
    let mut bench = Bench::new(300);
    let hour = Duration::from_secs(3600);
    bench.config.retry = RetryConfig { first: hour, max: hour, give_up_after: None };
    bench.config.order = Order::None;
    let tried = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = tried.clone();
    // Down for the first 299 events: each would wait for an hour.
    let running = bench.start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0..299 => later(),
        _ => Verdict::delivered(),
    });
    running.wait_acknowledged(300);
    assert_eq!(sorted(running.stop()), (0..300).collect::<Vec<_>>());
    assert_eq!(tried.load(Ordering::SeqCst), 599);
}

#[test]
fn a_slow_sink_holds_the_poller_and_memory() {
    let mut bench = Bench::new(100_000);
    bench.config.order = Order::None;
    bench.history.page = 1000;
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let running = bench.start(move |_| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !gate.load(Ordering::SeqCst) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        Verdict::delivered()
    });
    running.wait("full", |running| 500 < running.route.view().snapshot().outstanding);
    let mut last = 0;
    running.wait("steady", |running| {
        std::thread::sleep(Duration::from_millis(50));
        let now = running.route.view().snapshot().outstanding;
        std::mem::replace(&mut last, now) == now
    });
    assert!(last <= crate::limits::OUTSTANDING_EVENTS_MAX, "{last}");
    open.store(true, Ordering::SeqCst);
    running.wait_acknowledged(100_000);
    assert_eq!(sorted(running.stop()), (0..100_000).collect::<Vec<_>>());
}

#[test]
fn excluded_events_pass_one_that_the_sink_holds() {
    let mut bench = Bench::new(3 * crate::limits::LEDGER_PLACES_MAX as i64);
    bench.history.page = 1000;
    bench.config.pattern = Some(Arc::new(Pattern::compile(r#"{"data":{"Key":[0]}}"#).unwrap()));
    let (running, gate) = start_held(&bench, |_| true);
    let all = bench.history.events - 1;
    running.wait("all but one", |running| running.route.view().stats().filtered.get() == all as u64);
    running.wait("the record", |_| bench.checkpoint().progress.settled.contains(nth(all).position));
    assert_eq!(running.route.view().snapshot().outstanding, 1);
    assert!(bench.checkpoint().progress.resume() <= nth(0).position.time);
    gate.open();
    running.wait_acknowledged(1);
    assert_eq!(running.stop(), [0]);
    assert_eq!(bench.checkpoint().progress.time, nth(all).position.time);
}

/// A disk with room, or none.
struct Disk {
    positions: Box<dyn Positions>,
    is_full: Arc<AtomicBool>,
}

impl Positions for Disk {
    fn load(&mut self, logger: &Logger) -> Result<Option<Standing>> {
        self.positions.load(logger)
    }

    fn save(&mut self, standing: Standing) -> std::result::Result<(), SaveError> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(SaveError::Later(Error::new("write record: no space left"))),
            false => self.positions.save(standing),
        }
    }

    fn interval(&self) -> Duration {
        self.positions.interval()
    }

    fn place(&self) -> String {
        self.positions.place()
    }
}

#[test]
fn a_route_without_room_for_its_record_holds_and_goes_on_by_itself() {
    let mut bench = Bench::new(20_000);
    bench.history.page = 10;
    let is_full = Arc::new(AtomicBool::new(false));
    let disk = || {
        let positions = bench.positions();
        Some(Box::new(Disk { positions, is_full: is_full.clone() }) as Box<dyn Positions>)
    };
    let fill = is_full.clone();
    let running = bench.start_with(disk(), move |delivery| {
        if delivery.event.position.key == 100 {
            fill.store(true, Ordering::SeqCst);
        }
        Verdict::delivered()
    });
    let incident = |running: &Running| {
        running
            .route
            .view()
            .snapshot()
            .incidents
            .into_iter()
            .find(|found| found.part == RoutePart::Checkpoint)
    };
    running.wait("the incident", |running| incident(running).is_some());
    let told = incident(&running).expect("it lasts");
    assert_eq!((told.detail.as_str(), told.reason.as_str()), ("write record: no space left", "no room"));
    let count = |running: &Running| running.sink.acknowledged.lock().unwrap().len();
    // What was in flight is finished; nothing else is begun, while it is tried again.
    let mut before = 0;
    running.wait("the hold", |running| {
        std::thread::sleep(Duration::from_millis(20));
        std::mem::replace(&mut before, count(running)) == count(running)
    });
    running.wait("another attempt", |running| incident(running).is_some_and(|incident| 2 < incident.times));
    assert!(count(&running) == before && before < 20_000, "{before} and {} were delivered", count(&running));
    is_full.store(false, Ordering::SeqCst);
    running.wait_acknowledged(20_000);
    running.wait("the end of the incident", |running| incident(running).is_none());
    assert_eq!(sorted(running.stop()), (0..20_000).collect::<Vec<_>>());
}
