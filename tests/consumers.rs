//! Several functions of one topic, one of which fails: it holds only itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};

use crate::support::functions::{Functions, Mood, Taken};
use crate::support::process::Process;
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, wait_for};

const POWERED_ON: &str = "VmPoweredOnEvent";
/// For thousands of events, on a loaded machine too.
const LONG: Duration = Duration::from_secs(120);
/// Bytes of a large event, and how many of them are more than the rooms hold.
const LARGE_BYTES: usize = 100 * 1024;
const LARGE_EVENTS: usize = 240;

/// A vCenter, a gateway, and a router with a folder of its own.
struct Bench {
    test: Test,
    vcenter: Simulator,
    functions: Functions,
}

impl Bench {
    fn new(names: &[&'static str], processor: &str, route: &str) -> Bench {
        let test = Test::new("consumers");
        let vcenter = Simulator::start(Settings::default()).unwrap();
        let functions = Functions::start(POWERED_ON, names);
        let text = format!(
            "[source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n{}\n\
             [route.power]\nfrom = \"vc\"\nto = \"functions\"\n{route}\n\
             [metrics]\nbind = \"127.0.0.1:0\"\n",
            vcenter.url(),
            vcenter.username(),
            vcenter.password(),
            functions.processor("functions", processor)
        );
        test.write("router.toml", &text);
        Bench { test, vcenter, functions }
    }

    fn start(&self) -> Process {
        let mut router = self.test.start(&["run"]);
        router.log_line(&["reading"]);
        router
    }

    /// Events of so many machines in turn.
    fn push(&self, events: usize, machines: usize) {
        let event = |n: usize| {
            let machine = n % machines;
            Draft::vm(POWERED_ON, &format!("web-{machine}"), &format!("vm-{machine}"))
        };
        self.vcenter.push_many((0..events).map(event));
    }

    fn push_large(&self, events: usize) {
        let event = |n: usize| Draft {
            message: "x".repeat(LARGE_BYTES),
            ..Draft::vm(POWERED_ON, &format!("web-{}", n % 20), &format!("vm-{}", n % 20))
        };
        (0..events).for_each(|n| {
            self.vcenter.push(event(n));
        });
    }
}

fn keys(taken: &[Taken]) -> Vec<i64> {
    taken.iter().map(|taken| taken.key).collect()
}

#[track_caller]
fn assert_in_order_of_each_machine(taken: &[Taken]) {
    let mut last = BTreeMap::new();
    for Taken { key, machine } in taken {
        let before = last.insert(machine, *key).unwrap_or_default();
        assert!(before < *key, "{machine}: {key} came after {before}");
    }
}

#[test]
fn function_that_always_fails_takes_nothing_from_the_other() {
    let bench = Bench::new(&["good", "bad"], "", "retry = { first = \"20ms\", max = \"1s\" }");
    bench.functions.set("bad", Mood::Fails);
    let mut router = bench.start();
    bench.push(2700, 60);
    bench.functions.wait_taken("good", 2700, LONG);
    let taken = bench.functions.taken("good");
    assert_in_order_of_each_machine(&taken);
    let refused = bench.functions.refused("bad");
    let tried: BTreeSet<(&String, i64)> = refused.iter().map(|taken| (&taken.machine, taken.key)).collect();
    let machines: BTreeSet<&String> = tried.iter().map(|(machine, _)| *machine).collect();
    assert_eq!(tried.len(), machines.len(), "it was called with an event before the one that it owes");
    // The position does not pass what it owes, and all comes in order when it is back.
    let watcher = Watcher::of(&mut router);
    let counts = watcher.status();
    assert_eq!(counts["routes"][0]["outstanding"], 2700, "{counts}");
    watcher.wait_ready(503, &["bad.fn", "events for bad.fn wait, the others go on"]);
    bench.functions.set("bad", Mood::Takes);
    bench.functions.wait_taken("bad", 2700, LONG);
    assert_in_order_of_each_machine(&bench.functions.taken("bad"));
    assert_eq!(bench.functions.taken("good").len(), 2700);
    watcher.wait_ready(200, &[]);
    wait_for("all to be counted", SOON, || {
        let route = &watcher.status()["routes"][0];
        (route["outstanding"] == 0 && route["counters"]["delivered"] == 2700).then_some(())
    });
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn in_strict_order_too() {
    for names in [["bad", "good"], ["good", "worse"]] {
        let failing = *names.iter().find(|name| **name != "good").unwrap();
        let route = "order = \"strict\"\nretry = { first = \"20ms\", max = \"1s\" }";
        let bench = Bench::new(&names, "", route);
        bench.functions.set(failing, Mood::Fails);
        let router = bench.start();
        bench.push(45, 9);
        bench.functions.wait_taken("good", 45, SOON);
        assert!(keys(&bench.functions.taken("good")).is_sorted());
        let tried: BTreeSet<i64> = keys(&bench.functions.refused(failing)).into_iter().collect();
        assert_eq!(tried.len(), 1, "{tried:?}");
        bench.functions.set(failing, Mood::Takes);
        bench.functions.wait_taken(failing, 45, SOON);
        assert!(keys(&bench.functions.taken(failing)).is_sorted());
        assert_eq!(bench.functions.taken("good").len(), 45);
        assert_eq!(router.end_by("TERM").code, Some(0));
    }
}

#[test]
fn function_that_never_answers_takes_nothing_from_the_other() {
    // Side by side: each of them waits for its deadlines.
    std::thread::scope(|scope| {
        for (route, events) in [
            ("order = \"entity\"", 600),
            ("order = \"entity\"\nworkers = 1", 60),
            ("order = \"none\"", 600),
            ("order = \"strict\"", 45),
        ] {
            scope.spawn(move || one_never_answers(route, events));
        }
    });
}

fn one_never_answers(route: &str, events: usize) {
    let bench = Bench::new(&["good", "slow"], "timeout = \"1s\"", route);
    bench.functions.set("slow", Mood::Hangs);
    let router = bench.start();
    bench.push(events, 60);
    bench.functions.wait_taken("good", events, LONG);
    // Far fewer than there are: it is tried, not fed.
    let tried: BTreeSet<i64> = keys(&bench.functions.refused("slow")).into_iter().collect();
    assert!(tried.len() < 20, "{route}: it was called with {tried:?}");
    bench.functions.set("slow", Mood::Takes);
    bench.functions.wait_taken("slow", events, LONG);
    if !route.contains("none") {
        assert_in_order_of_each_machine(&bench.functions.taken("good"));
        assert_in_order_of_each_machine(&bench.functions.taken("slow"));
    }
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn function_that_was_removed_is_owed_nothing_any_more() {
    let bench = Bench::new(&["good", "bad"], "", "retry = { first = \"20ms\", max = \"200ms\" }");
    bench.functions.set("bad", Mood::Fails);
    let mut router = bench.start();
    bench.push(200, 10);
    bench.functions.wait_taken("good", 200, SOON);
    bench.functions.set("bad", Mood::Gone);
    let watcher = Watcher::of(&mut router);
    wait_for("all to be settled", LONG, || (watcher.status()["routes"][0]["outstanding"] == 0).then_some(()));
    assert_eq!(watcher.status()["routes"][0]["counters"]["dead_lettered"], 0);
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_eq!(bench.test.router(&["dead-letters", "list"]).stdout, "");
}

#[test]
fn full_room_holds_the_route_and_names_the_function() {
    let bench = Bench::new(&["good", "bad"], "", "retry = { first = \"20ms\", max = \"1s\" }");
    bench.functions.set("bad", Mood::Fails);
    let mut router = bench.start();
    bench.push_large(LARGE_EVENTS);
    let line = router.log_line(&["ERROR", "no room for more: "]);
    assert!(line.contains(" MiB) wait for bad.fn; the route holds until it takes them"), "{line}");
    let watcher = Watcher::of(&mut router);
    watcher.wait_ready(503, &["waiting room: no room for more: ", "wait for bad.fn"]);
    assert_eq!(watcher.status()["routes"][0]["state"], "held");
    let held = bench.functions.taken("good").len();
    assert!((100..LARGE_EVENTS).contains(&held), "{held}");
    bench.functions.set("bad", Mood::Takes);
    for name in ["good", "bad"] {
        bench.functions.wait_taken(name, LARGE_EVENTS, LONG);
        assert_in_order_of_each_machine(&bench.functions.taken(name));
        assert_eq!(bench.functions.taken(name).len(), LARGE_EVENTS);
    }
    watcher.wait_ready(200, &[]);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn what_waits_too_long_for_a_function_is_its_dead_letter() {
    let route = "retry = { first = \"20ms\", max = \"200ms\", give_up_after = \"1s\" }";
    let bench = Bench::new(&["good", "bad"], "", route);
    bench.functions.set("bad", Mood::Fails);
    let mut router = bench.start();
    bench.push_large(LARGE_EVENTS);
    bench.functions.wait_taken("good", LARGE_EVENTS, LONG);
    let watcher = Watcher::of(&mut router);
    wait_for("dead letters", LONG, || {
        (watcher.status()["routes"][0]["counters"]["dead_lettered"] == LARGE_EVENTS).then_some(())
    });
    assert_eq!(bench.functions.taken("good").len(), LARGE_EVENTS);
    assert_eq!(router.end_by("TERM").code, Some(0));
    let list = bench.test.router(&["dead-letters", "list"]);
    assert_eq!(list.stdout.lines().filter(|line| line.contains(" for bad.fn ")).count(), LARGE_EVENTS);
}
