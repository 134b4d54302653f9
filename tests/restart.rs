//! Stopped or killed in mid-stream and started again: nothing is missing.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::Test;
use crate::support::peers::{Received, Receiver, Vcsim};
use crate::support::process::Process;

/// Deliveries in flight at the same time.
const WORKERS: usize = 4;
/// How often the router is ended.
const ENDS: usize = 3;

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn stopped_in_mid_stream_none_is_missing() {
    let repeats = repeats_after("TERM");
    assert!(repeats <= ENDS * WORKERS, "{repeats} repeats, more than were in flight");
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn killed_in_mid_stream_none_is_missing() {
    // The checkpoint may be 100 ms old: with 20 ms a delivery, 5 per worker and the one in flight.
    let repeats = repeats_after("KILL");
    assert!(repeats <= ENDS * WORKERS * 6, "{repeats} repeats, more than the checkpoint may lag");
}

/// Ends the router by `signal` three times while operations go on, checks that nothing is missing,
/// and gives how many deliveries were repetitions.
fn repeats_after(signal: &str) -> usize {
    let test = Test::new("restart");
    let vcsim = Vcsim::start(4, false);
    let receiver = Receiver::start(&test, "events", &["--delay", "0.02"]);
    let route = format!("[route.all]\nfrom = \"vc01\"\nto = \"sink\"\nworkers = {WORKERS}\n");
    test.write("router.toml", &(vcsim.source("vc01") + &receiver.processor("sink", "binary") + &route));

    let idle = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Raise(&idle);
        let mut router = start(&test);
        scope.spawn(|| keep_busy(&vcsim, &idle));
        for _ in 0..ENDS {
            let before = keys(&receiver.accepted());
            receiver.wait("the middle of the stream", |events| before + 20 <= keys(events));
            let exit = router.end_by(signal);
            assert_eq!(exit.code, if signal == "TERM" { Some(0) } else { None }, "{exit:?}");
            router = start(&test);
        }
        idle.store(true, Ordering::Relaxed);
        let (recorded, accepted) = receiver.wait_for_all(&vcsim);
        assert_eq!(router.end_by("TERM").code, Some(0));
        if signal == "TERM" {
            assert_eq!(vcsim.session_agents(), [""; 0], "the router has logged out");
        }
        assert!(60 < recorded.len());
        repeats(&accepted)
    })
}

/// How many events were received, repetitions not counted.
fn keys(accepted: &[Received]) -> usize {
    accepted.iter().map(Received::key).collect::<HashSet<_>>().len()
}

/// Deliveries beyond the first of an event; each carries the same id.
fn repeats(accepted: &[Received]) -> usize {
    let mut ids: HashMap<i64, &str> = HashMap::new();
    for event in accepted {
        assert_eq!(*ids.entry(event.key()).or_insert(&event.id), event.id, "one event, one id");
    }
    accepted.len() - ids.len()
}

fn start(test: &Test) -> Process {
    let mut router = test.start(&["run", "-c", "router.toml"]);
    router.log_line(&["reading"]);
    router
}

/// Power operations without a pause. vcsim keeps its last 1000 events and its collectors stall
/// when their place falls off the end, so that it ends by itself before that.
fn keep_busy(vcsim: &Vcsim, idle: &AtomicBool) {
    let machines = vcsim.machines();
    let machines: Vec<&str> = machines.iter().map(String::as_str).collect();
    for round in 0..32 {
        vcsim.power(round % 2 == 1, &machines);
        if idle.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Sets a flag when dropped, so that a failing test does not wait for its threads.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
