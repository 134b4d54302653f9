//! The router's session and collector at vcsim: what others do to them, and what it leaves behind.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::support::forwarder::Forwarder;
use crate::support::peers::{Received, Receiver, Recorded, Vcsim};
use crate::support::process::Process;
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, closed_port, wait_for};

/// Times that sessions are ended while events come.
const ENDS: usize = 4;
/// Machines per pool; the many have 1,000 events in all the times that they are switched.
const FEW: usize = 4;
const MANY: usize = 34;
/// Routes that reconnect side by side: fewer than the 32 collectors that vcsim allows in all, those
/// of ended sessions included.
const ROUTES: usize = 10;
/// Reconnects of all of them together.
const RECONNECTS: usize = 200;

/// vcsim, a receiver and the router between them.
struct Line {
    test: Test,
    port: u16,
    vcsim: Vcsim,
    receiver: Receiver,
}

impl Line {
    /// With so many machines per pool (there are two pools).
    fn new(name: &str, machines: usize) -> Line {
        let test = Test::new(name);
        let port = closed_port();
        let vcsim = Vcsim::start_at(port, machines, false);
        let receiver = Receiver::start(&test, "events", &[]);
        test.write("router.toml", &(vcsim.source("vc01") + &receiver.processor("sink", "binary")));
        Line { test, port, vcsim, receiver }
    }

    fn start(&self) -> Process {
        let mut router = self.test.start(&["run"]);
        router.log_line(&["reading VMware"]);
        router
    }

    /// Switches all machines off or on: three events each.
    fn switch(&self, on: bool) {
        let machines = self.vcsim.machines();
        let machines: Vec<&str> = machines.iter().map(String::as_str).collect();
        self.vcsim.power(on, &machines);
    }
}

/// Ends the sessions of routers; gives how many there were.
fn end_sessions(vcsim: &Vcsim) -> usize {
    let listed: serde_json::Value = serde_json::from_str(&vcsim.govc(&["session.ls", "-json"])).unwrap();
    let sessions = listed["sessionList"].as_array().unwrap();
    let keys: Vec<&str> = sessions
        .iter()
        .filter(|session| session["userAgent"].as_str().unwrap_or_default().starts_with("event-router"))
        .map(|session| session["key"].as_str().unwrap())
        .collect();
    if !keys.is_empty() {
        vcsim.govc(&[&["session.rm"], keys.as_slice()].concat());
    }
    keys.len()
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn session_ended_by_another_client_in_mid_stream_loses_none() {
    let line = Line::new("terminated", MANY);
    let mut router = line.start();
    let mut ended = 0;
    for round in 0..2 * ENDS {
        line.switch(round % 2 == 1);
        if round % 2 == 0 {
            ended +=
                wait_for("a session to end", SOON, || Some(end_sessions(&line.vcsim)).filter(|n| 0 < *n));
        }
    }
    let (recorded, accepted) = line.receiver.wait_for_all(&line.vcsim);
    println!("{} events recorded, {} accepted, {ended} sessions ended", recorded.len(), accepted.len());
    assert!(1000 <= accepted.len(), "{} events", accepted.len());
    let keys: HashSet<i64> = accepted.iter().map(Received::key).collect();
    assert_eq!(keys.len(), accepted.len(), "none twice");
    assert!(ENDS <= ended, "{ended} sessions were ended");
    router.log_line(&["the session is gone", "trying again in"]);
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_eq!(line.vcsim.session_agents(), [""; 0]);
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn new_vcsim_at_the_same_address_is_read() {
    let mut line = Line::new("new-instance", FEW);
    let mut router = line.start();
    line.switch(false);
    let (_, before) = line.receiver.wait_for_all(&line.vcsim);
    // It must have ended before the next one can listen.
    let Line { test, port, vcsim, receiver } = line;
    drop(vcsim);
    router.log_line(&["trying again in"]);
    line = Line { vcsim: Vcsim::start_at(port, 4, false), test, port, receiver };
    line.switch(false);
    let recorded = line.vcsim.events();
    // Its keys are those of the first one again: only what came later counts.
    let end = Instant::now() + SOON;
    loop {
        let accepted = line.receiver.accepted();
        let later = &accepted[before.len()..];
        let is_missing = |event: &&Recorded| !later.iter().any(|received| received.key() == event.key);
        let missing: Vec<_> = recorded.iter().filter(is_missing).collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < end, "not within {SOON:?}: {missing:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_eq!(line.vcsim.session_agents(), [""; 0]);
}

/// Routes to one vcsim, each with a session and a collector of its own, over a network that can be
/// taken away.
struct Routes {
    test: Test,
    vcsim: Vcsim,
    network: Forwarder,
}

impl Routes {
    fn new(name: &str) -> Routes {
        let (test, vcsim) = (Test::new(name), Vcsim::start(1, false));
        let target = vcsim.url.trim_start_matches("http://").trim_end_matches("/sdk").to_string();
        let network = Forwarder::start(&target);
        let mut text = vcsim.source("vc01").replace(&target, &network.address);
        text += "[processor.screen]\ntype = \"stdout\"\n[metrics]\nbind = \"127.0.0.1:0\"\n";
        for route in 0..ROUTES {
            text += &format!(
                "[route.r{route}]\nfrom = \"vc01\"\nto = \"screen\"\ntypes = [\"r{route}*\"]\nworkers = 1\n"
            );
        }
        test.write("router.toml", &text);
        Routes { test, vcsim, network }
    }

    fn start(&self) -> (Process, Watcher) {
        let mut router = self.test.start(&["run"]);
        let watcher = Watcher::of(&mut router);
        wait_for("all routes to read", SOON, || (connected(&watcher) == ROUTES).then_some(()));
        assert!(self.vcsim.session_agents().len() <= ROUTES, "sessions pile up");
        (router, watcher)
    }

    #[track_caller]
    fn end(&self, router: Process) -> String {
        let exit = router.end_by("TERM");
        assert_eq!((exit.code, self.vcsim.session_agents().len()), (Some(0), 0), "{}", exit.stderr);
        exit.stderr
    }
}

fn connected(watcher: &Watcher) -> usize {
    sum(watcher, "router_source_connected")
}

fn sum(watcher: &Watcher, metric: &str) -> usize {
    let text = watcher.get("/metrics").1;
    let values =
        text.lines().filter(|line| line.starts_with(metric)).filter_map(|line| line.split(' ').nth(1));
    values.map(|value| value.parse::<usize>().unwrap()).sum()
}

#[test]
#[ignore = "needs vcsim: run tests/run"]
fn two_hundred_reconnects_leave_neither_session_nor_collector_behind() {
    let routes = Routes::new("reconnects");
    let (router, watcher) = routes.start();
    let metric = "router_source_reconnects_total";
    while sum(&watcher, metric) < RECONNECTS {
        // The sessions and collectors at vcsim live on.
        routes.network.take_down();
        wait_for("all routes to notice", SOON, || (connected(&watcher) == 0).then_some(()));
        routes.network.bring_up();
        wait_for("all routes to read again", SOON, || (connected(&watcher) == ROUTES).then_some(()));
    }
    let sessions = wait_for("logouts", SOON, || {
        Some(routes.vcsim.session_agents().len()).filter(|sessions| *sessions <= ROUTES)
    });
    println!("reconnects: {} with {sessions} sessions for {ROUTES} routes", sum(&watcher, metric));
    let log = routes.end(router);
    assert!(!log.contains("collector limit"), "{log}");
    // Orderly ends, more than vcsim allows collectors.
    for _ in 0..=32 / ROUTES {
        let (router, _) = routes.start();
        let log = routes.end(router);
        // vcsim does not know the events that this test posts.
        let is_other =
            |line: &str| line.contains("WARN") && !line.contains("vCenter has no events of the name");
        assert!(!log.lines().any(is_other), "{log}");
    }
    assert_eq!(routes.vcsim.occupy_collectors(), 32, "collectors were left behind");
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn limit_of_collectors_is_named() {
    let line = Line::new("limit", FEW);
    assert_eq!(line.vcsim.occupy_collectors(), 32);
    let mut router = line.test.start(&["run"]);
    let told = router.log_line(&["create an event collector"]);
    assert!(told.contains("collector limit reached") && told.contains("event.maxCollectors"), "{told}");
    assert!(line.vcsim.session_agents().len() <= 1, "sessions pile up");
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_eq!(line.vcsim.session_agents(), [""; 0]);
}
