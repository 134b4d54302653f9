//! vCenter's clock is set, or an event is dated ahead of it: a position is a time of vCenter, and must
//! not skip what is recorded until that time comes.

use std::time::Duration;

use event_router::demo::script::{Effect, Rule};
use event_router::demo::simulator::Settings;
use jiff::SignedDuration;

use crate::support::stream::Stream;
use crate::support::{SOON, Test, wait_for};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The route comes back after a lost session, or after a restart; what is recorded then must arrive.
fn survives(name: &str, disturb: impl Fn(&Stream) -> Vec<i64>, is_exact: bool) {
    for restart in [false, true] {
        let stream = Stream::new(&format!("{name}-{restart}"), Settings::default());
        let mut router = stream.start();
        let mut keys = stream.push(20);
        stream.expect("before", &keys);
        keys.extend(disturb(&stream));
        if !restart {
            stream.expect_all("the disturbance", &keys);
            stream.simulator.end_sessions();
        } else {
            router.signal("KILL");
            drop(router);
            keys.extend(stream.push(20));
            router = stream.start();
        }
        keys.extend(stream.push(20));
        stream.expect_all("after it", &keys);
        if is_exact {
            stream.expect("nothing twice", &keys);
        }
        // A router that was killed leaves its session.
        let exit = router.end_by("TERM");
        assert_eq!(exit.code, Some(0), "{name}: {}", exit.stderr);
    }
}

/// Waits until a restart knows the event.
fn wait_recorded(stream: &Stream, key: i64) {
    let record = stream.test.path("state/vc-sink.checkpoint.json");
    let is_last = |keys: &str| keys.rsplit(['.', ' ']).next().and_then(|last| last.parse().ok()) == Some(key);
    wait_for("the record of the event", SOON, || {
        let text = std::fs::read_to_string(&record).ok()?;
        let record: serde_json::Value = serde_json::from_str(&text).ok()?;
        let spans = record["settled"].as_array()?;
        spans.iter().any(|span| span["keys"].as_str().is_some_and(is_last)).then_some(())
    });
}

#[test]
fn an_event_that_is_dated_ahead_hides_nothing() {
    for (name, ahead) in [
        ("ahead-75s", SignedDuration::from_secs(75)),
        ("ahead-1h", HOUR),
        ("ahead-1d", SignedDuration::from_hours(24)),
    ] {
        let disturb = |stream: &Stream| {
            let keys = stream.push_dated(ahead);
            stream.expect_all("the event that is dated ahead", &keys);
            wait_recorded(stream, keys[0]);
            keys
        };
        survives(name, disturb, true);
    }
}

#[test]
fn a_clock_that_is_set_back_hides_nothing() {
    for (name, back) in [
        ("back-75s", SignedDuration::from_secs(75)),
        ("back-1h", HOUR),
        ("back-1d", SignedDuration::from_hours(24)),
    ] {
        let disturb = |stream: &Stream| {
            stream.simulator.set_clock_offset(-back);
            stream.push(20)
        };
        survives(name, disturb, false);
    }
}

#[test]
fn a_first_start_while_the_clock_is_ahead_hides_nothing() {
    let settings = Settings { clock_offset: HOUR, ..Settings::default() };
    let stream = Stream::new("first-start-ahead", settings);
    let router = stream.start();
    stream.simulator.set_clock_offset(SignedDuration::ZERO);
    stream.simulator.end_sessions();
    let keys = stream.push(20);
    stream.expect_all("after the clock was corrected", &keys);
    let log = stream.stop("first start", router);
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("was set back")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    for words in ["this machine's clock", "NTP", "reading from"] {
        assert!(warnings[0].contains(words), "{warnings:?}");
    }
}

/// The answer about the clock comes late, or comes early once and late then: none of that is a step.
#[test]
fn a_slow_answer_about_the_clock_is_no_step_of_it() {
    let stream = Stream::new("slow-clock", Settings::default());
    let router = stream.start();
    let mut keys = stream.push(20);
    stream.expect("before", &keys);
    for delay in [Some(5), None, Some(4)] {
        stream.simulator.clear_faults();
        if let Some(seconds) = delay {
            let slow = Effect::Delay(Duration::from_secs(seconds));
            stream.simulator.set_fault(Rule::always("CurrentTime", slow.clone()));
            stream.simulator.set_fault(Rule::once("CreateCollectorForEvents", slow));
        }
        stream.simulator.end_sessions();
        keys.extend(stream.push(20));
        stream.expect_within("after a slow opening", 2 * SOON, &keys);
    }
    stream.simulator.clear_faults();
    let log = stream.stop("slow clock", router);
    assert!(!log.contains("set back") && !log.contains("dated"), "{log}");
}

#[test]
fn events_that_vcenter_records_late_are_delivered_within_the_overlap() {
    let stream = Stream::new("late", Settings::default());
    let router = stream.start();
    // An hour later: what is dated before the first start of the route is not wanted.
    stream.simulator.set_clock_offset(HOUR);
    let mut keys = stream.push(20);
    stream.expect("before", &keys);
    wait_recorded(&stream, keys[19]);
    router.signal("KILL");
    drop(router);
    for late in [1, 5, 60, 590] {
        keys.extend(stream.push_dated(SignedDuration::from_secs(-late)));
    }
    let router = stream.start();
    keys.extend(stream.push(1));
    stream.expect("what came late, and nothing twice", &keys);
    stream.simulator.end_sessions();
    keys.extend(stream.push(5));
    stream.expect("after a lost session", &keys);
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(!exit.stderr.contains("gap:"), "{}", exit.stderr);
}

#[test]
fn the_future_is_refused_without_force() {
    let test = Test::new("future");
    let stream = Stream::new("future-stream", Settings::default());
    test.write("router.toml", &std::fs::read_to_string(stream.test.path("router.toml")).unwrap());
    let future = "2999-01-01T00:00:00Z";
    for command in [vec!["checkpoint", "set", future], vec!["replay", "--route", "vc-sink", "--from", future]]
    {
        let exit = test.router(&command);
        assert_ne!(exit.code, Some(0), "{}", exit.stderr);
        assert!(
            exit.stderr.contains("lies in the future") && exit.stderr.contains("--force"),
            "{}",
            exit.stderr
        );
    }
    assert_eq!(test.router(&["checkpoint", "set", "--force", future]).code, Some(0));
}
