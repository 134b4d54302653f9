//! Routes that come and go while others run.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::*;
use crate::config::Order;
use crate::pipeline::testing::{Bench, Sink, nth, sorted};
use crate::pipeline::{ExitCause, Role};
use crate::position::tenure::Tenure;
use crate::processor::{Delivery, Verdict};
use crate::stop::{StopSource, stop_signal};

struct Fake(AtomicBool);

impl Tenure for Fake {
    fn is_valid(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn tenure() -> Arc<Fake> {
    Arc::new(Fake(AtomicBool::new(true)))
}

/// A bench of this name, whose events come one after the other.
fn bench(name: &str, events: i64) -> Bench {
    let mut bench = Bench::new(events);
    bench.config.name = name.to_string();
    (bench.config.order, bench.config.workers) = (Order::Strict, Some(1));
    bench
}

/// A router in a thread of its own.
struct Running {
    registry: Arc<Registry>,
    commands: Sender<Command>,
    end: StopSource,
    router: JoinHandle<Result<()>>,
}

impl Running {
    fn start(parts: Vec<RouteParts>, grace: Duration) -> Running {
        let mut router = Router::of(parts, grace).unwrap();
        let (commands, commanded) = bounded(1);
        router.commands = commanded;
        let registry = router.registry.clone();
        let (end, stop) = stop_signal();
        let router = std::thread::spawn(move || router.run(&stop, ServiceManager::none()));
        Running { registry, commands, end, router }
    }

    fn names(&self) -> Vec<String> {
        self.registry.snapshot().routes.iter().map(|route| route.about.route.clone()).collect()
    }

    fn stop(self) -> Result<()> {
        self.end.stop();
        self.router.join().unwrap()
    }
}

fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait_acknowledged(sink: &Sink, count: usize) {
    wait("acknowledged", || count <= sink.acknowledged.lock().unwrap().len());
}

fn delivered(_: &Delivery) -> Verdict {
    Verdict::delivered()
}

#[test]
fn a_lost_tenure_ends_its_route_alone_and_the_next_one_goes_on_from_its_record() {
    let (mut a, b) = (bench("a", 500), bench("b", 200));
    let first = tenure();
    a.tenure = first.clone();
    // Lost while the hundredth event is delivered: it is settled, and that must not be saved.
    let (parts, sink) = a.parts(move |delivery| {
        if delivery.event.position == nth(100).position {
            first.0.store(false, Ordering::SeqCst);
        }
        Verdict::delivered()
    });
    let (release, held) = bounded::<()>(0);
    let held = Mutex::new(held);
    let (other, other_sink) = b.parts(move |_| {
        let _ = held.lock().unwrap().recv();
        Verdict::delivered()
    });
    let running = Running::start(vec![parts, other], Duration::from_secs(30));
    wait("the end of a", || running.names() == ["b"]);
    assert_eq!(*sink.acknowledged.lock().unwrap(), (0..=100).collect::<Vec<_>>());
    assert!(!a.checkpoint().progress.settled.contains(nth(100).position));
    // Nothing of it touches the other.
    drop(release);
    wait_acknowledged(&other_sink, 200);

    a.tenure = tenure();
    let (parts, next_sink) = a.parts(delivered);
    running.commands.send(Command::Start(0, Box::new(parts))).unwrap();
    wait("the next a", || running.names() == ["a", "b"]);
    wait("the last event", || next_sink.acknowledged.lock().unwrap().last() == Some(&499));
    running.stop().unwrap();
    let again = next_sink.acknowledged.lock().unwrap().clone();
    assert!(again[0] <= 100 && again == (again[0]..500).collect::<Vec<_>>(), "{again:?}");
    assert_eq!(a.checkpoint().progress.time, nth(499).position.time);
    assert_eq!(sink.acknowledged.lock().unwrap().len(), 101, "the first one delivers no more");
}

#[test]
fn without_the_right_to_it_a_route_reads_and_delivers_nothing() {
    let mut a = bench("a", 10);
    let never = tenure();
    never.0.store(false, Ordering::SeqCst);
    a.tenure = never;
    let (parts, sink) = a.parts(delivered);
    let running = Running::start(vec![parts], Duration::from_secs(30));
    wait("its end", || running.names().is_empty());
    running.stop().unwrap();
    assert!(sink.acknowledged.lock().unwrap().is_empty() && a.opened.lock().unwrap().is_empty());
}

#[test]
fn a_route_is_drained_and_started_again_while_another_goes_on() {
    let (a, b) = (bench("a", 100), bench("b", 300));
    let (parts, sink) = a.parts(delivered);
    let (other, other_sink) = b.parts(delivered);
    let running = Running::start(vec![parts, other], Duration::from_secs(30));
    wait_acknowledged(&sink, 100);
    running.commands.send(Command::Drain(0)).unwrap();
    wait("the end of a", || running.names() == ["b"]);
    assert_eq!(a.checkpoint().progress.time, nth(99).position.time, "the last record");
    let a = Bench { history: bench("a", 150).history, ..a };
    let (parts, next_sink) = a.parts(delivered);
    running.commands.send(Command::Start(0, Box::new(parts))).unwrap();
    wait_acknowledged(&next_sink, 50);
    // One that runs is drained first.
    let a = Bench { history: bench("a", 170).history, ..a };
    let (parts, last_sink) = a.parts(delivered);
    running.commands.send(Command::Start(0, Box::new(parts))).unwrap();
    wait_acknowledged(&last_sink, 20);
    wait_acknowledged(&other_sink, 300);
    running.stop().unwrap();
    assert_eq!(*next_sink.acknowledged.lock().unwrap(), (100..150).collect::<Vec<_>>());
    assert_eq!(*last_sink.acknowledged.lock().unwrap(), (150..170).collect::<Vec<_>>());
    assert_eq!(sorted(other_sink.acknowledged.lock().unwrap().clone()), (0..300).collect::<Vec<_>>());
}

#[test]
fn a_thread_of_an_older_generation_is_not_taken_for_one_of_the_new() {
    let a = bench("a", 20);
    let (release, held) = bounded::<()>(0);
    let held = Mutex::new(held);
    let (parts, sink) = a.parts(move |_| {
        let _ = held.lock().unwrap().recv();
        Verdict::delivered()
    });
    // The grace is over at once, and leaves the worker behind in its delivery.
    let running = Running::start(vec![parts], Duration::ZERO);
    wait("busy", || running.registry.snapshot().routes.iter().any(|route| route.busy.role == "worker"));
    running.commands.send(Command::Drain(0)).unwrap();
    wait("its end", || running.names().is_empty());
    let (parts, next_sink) = a.parts(delivered);
    running.commands.send(Command::Start(0, Box::new(parts))).unwrap();
    wait_acknowledged(&next_sink, 20);
    drop(release);
    wait_acknowledged(&sink, 1);
    // Its end is heard before what follows.
    running.commands.send(Command::Drain(0)).unwrap();
    wait("the end of the next", || running.names().is_empty());
    running.stop().unwrap();
    assert_eq!(*next_sink.acknowledged.lock().unwrap(), (0..20).collect::<Vec<_>>());
    assert_eq!(*sink.acknowledged.lock().unwrap(), [0]);
}

#[test]
fn only_the_end_of_a_thread_of_the_running_generation_is_unexpected() {
    let bench = bench("a", 0);
    let (parts, _) = bench.parts(delivered);
    let mut router = Router::of(vec![parts], Duration::from_secs(30)).unwrap();
    let ended = |generation| Exit { slot: 0, generation, role: Role::Worker, cause: ExitCause::Told };
    router.exited(ended(0)).unwrap();
    let error = router.exited(ended(1)).unwrap_err().to_string();
    assert_eq!(error, "route a: worker: it ended without being told to");
    router.shut_down().unwrap();
}

#[test]
fn a_worker_that_is_heard_before_its_reader_lost_the_right_too() {
    let mut a = bench("a", 0);
    let lost = tenure();
    a.tenure = lost.clone();
    let (parts, _) = a.parts(delivered);
    let mut router = Router::of(vec![parts], Duration::from_secs(30)).unwrap();
    lost.0.store(false, Ordering::SeqCst);
    router.exited(Exit { slot: 0, generation: 1, role: Role::Worker, cause: ExitCause::Told }).unwrap();
    router.shut_down().unwrap();
}
