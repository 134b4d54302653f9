//! Names that mean nothing: of events, of places in an event, of what is no vCenter. Without a word all
//! would look well, and nothing would ever arrive.

use event_router::demo::simulator::Settings;
use jiff::SignedDuration;

use crate::support::stream::Stream;
use crate::support::wait_for;

fn route(filter: &str) -> String {
    format!("[route.vc-sink]\nfrom = \"vc\"\nto = \"sink\"\n{filter}\n")
}

#[test]
fn names_of_events_are_compared_at_the_start_and_by_check() {
    let types =
        "types = [\"VmPowerdOnEvent\", \"VmPoweredOffEvent\", \"com.vmware.sso.*\", \"com.nobody.*\"]";
    let stream = Stream::with("types-typo", Settings::default(), &route(types), "");
    let said = "types: vCenter has no events of the name";
    let mistakes = ["VmPowerdOnEvent, did you mean VmPoweredOnEvent?", "com.nobody.*"];
    let mut router = stream.start();
    for mistake in mistakes {
        router.log_line(&["WARN", "route vc-sink", &format!("{said} {mistake}")]);
    }
    // Once in the life of the route.
    stream.simulator.end_sessions();
    router.log_line(&["works again"]);
    let log = stream.stop("types", router);
    assert_eq!(log.matches(said).count(), mistakes.len(), "{log}");
    let exit = stream.test.router(&["check"]);
    for mistake in mistakes {
        assert!(exit.stdout.contains(&format!("warn route vc-sink: {said} {mistake}")), "{}", exit.stdout);
    }
    assert_eq!(exit.stdout.matches(said).count(), mistakes.len(), "{}", exit.stdout);
}

#[test]
fn names_that_vcenter_knows_are_not_worth_a_word() {
    let types = "types = [\"VmPoweredOnEvent\", \"com.vmware.sso.LoginFailure\", \"Vm*\"]\n\
                 pattern = { data = { Vm = { Name = [{ prefix = \"web-\" }] }, ChangeTag = [{ exists = true }] }, type = [\"x\"] }";
    let stream = Stream::with("types-right", Settings::default(), &route(types), "");
    let log = stream.stop("types", stream.start());
    assert!(!log.contains("WARN"), "{log}");
}

#[test]
fn paths_of_a_pattern_that_no_event_has_are_told_by_every_command() {
    let pattern = "pattern = { data = { Vm = { Nmae = [\"web-1\"] } } }";
    let stream = Stream::with("pattern-typo", Settings::default(), &route(pattern), "");
    let said = "route.vc-sink.pattern: `data.Vm.Nmae`: no event of vCenter has `data.Vm.Nmae`, did you mean `data.Vm.Name`?";
    let exit = stream.test.router(&["check"]);
    assert!(exit.stdout.contains("warn config: ") && exit.stdout.contains(said), "{}", exit.stdout);
    let exit = stream.test.router(&["send", "--type", "VmPoweredOnEvent"]);
    assert!(exit.stderr.contains(said), "{}", exit.stderr);
    let log = stream.stop("pattern", stream.start());
    assert!(log.contains(said), "{log}");
    let mut tail = stream.test.start(&[
        "tail",
        "--pattern",
        r#"{"data": {"vm": {"name": ["a"]}}, "detail": {"x": [1]}}"#,
    ]);
    tail.log_line(&[
        "WARN",
        "source vc",
        "--pattern: `data.vm.name`: no event of vCenter has `data.vm`, did you mean `data.Vm`?",
    ]);
    tail.log_line(&["WARN", "--pattern: `detail.x`: no event has the attribute detail"]);
    // Signals are watched before the routes start, and after the pattern was judged.
    tail.log_line(&["connecting to vCenter"]);
    assert_eq!(tail.end_by("TERM").code, Some(0));
}

#[test]
fn a_position_ahead_of_the_clock_is_told_by_check() {
    let stream = Stream::new("position-ahead", Settings::default());
    let router = stream.start();
    let keys = stream.push(5);
    stream.expect("events", &keys);
    stream.stop("position", router);
    let exit = stream.test.router(&["check"]);
    assert!(exit.stdout.contains("ok   route vc-sink: position: "), "{}", exit.stdout);
    stream.simulator.set_clock_offset(SignedDuration::from_hours(-3));
    let exit = stream.test.router(&["check"]);
    let line = exit.stdout.lines().find(|line| line.contains("position: ")).expect("a line");
    for words in
        ["warn route vc-sink", "lies ahead of the clock of vCenter", "correct the time service (NTP)"]
    {
        assert!(line.contains(words), "{line}");
    }
    wait_for("the session's end", crate::support::SOON, || {
        (stream.simulator.open_sessions() == 0).then_some(())
    });
}
