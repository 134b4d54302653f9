//! `router demo`: valid events, a clean end, nothing left behind.

use std::collections::HashSet;
use std::process::{Command, Stdio};

use serde_json::Value;

use event_router::demo::history::History;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::demo::stream::Stream;

use crate::support::peers::{self, validate};
use crate::support::{SOON, Test, wait_for};

/// The CloudEvents of the lines, checked for what every one of them has.
fn events(stdout: &str) -> Vec<Value> {
    let events: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for event in &events {
        for attribute in ["id", "source", "type", "subject", "time"] {
            assert!(event[attribute].as_str().is_some_and(|text| !text.is_empty()), "{attribute}: {event}");
        }
        assert_eq!(
            (event["specversion"].as_str(), event["data"].is_object()),
            (Some("1.0"), true),
            "{event}"
        );
        assert_eq!(event["time"], event["data"]["CreatedTime"], "{event}");
    }
    events
}

#[test]
fn so_many_events_and_no_trace() {
    let test = Test::new("demo");
    let exit = test.router(&["demo", "--events", "50"]);
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let events = events(&exit.stdout);
    assert_eq!(events.len(), 50);
    let ids: HashSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), 50, "no event is repeated");
    let keys: Vec<i64> = events.iter().filter_map(|event| event["data"]["Key"].as_i64()).collect();
    assert!(keys.is_sorted() && keys.len() == 50, "in vCenter's order: {keys:?}");
    assert_eq!(test.listing(), Vec::<String>::new());
}

#[test]
fn an_endless_demo_begins_with_a_backlog_and_ends_with_a_signal() {
    let test = Test::new("demo-endless");
    let mut process = test.start(&["demo", "--rate", "0.001"]);
    wait_for("the backlog", SOON, || (process.stdout().len() == 5).then_some(()));
    process.log_line(&["reading", "(simulated)"]);
    let exit = process.end_by("TERM");
    assert_eq!((exit.code, events(&exit.stdout).len()), (Some(0), 5), "{}", exit.stderr);
    assert_eq!(test.listing(), Vec::<String>::new());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is_one() {
    let test = Test::new("demo-output");
    let run = |output: &str| {
        let script = format!("\"$0\" demo --rate 1000 {output}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_router")]);
        command.env("TMPDIR", test.path("")).stdin(Stdio::null()).output().unwrap()
    };
    let ended = run("| head -n 3; echo closed");
    assert_eq!(String::from_utf8_lossy(&ended.stdout).lines().count(), 4);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!said.contains("WARN") && !said.contains("ERROR") && !said.contains("roken pipe"), "{said}");
    let ended = run("> /dev/full");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("no space left on device") && said.ends_with("standard output cannot be written\n")
    );
    assert_eq!(test.listing(), Vec::<String>::new());
}

#[test]
#[ignore = "needs the CloudEvents SDK: run tests/run"]
fn the_sdk_accepts_every_event() {
    let test = Test::new("demo-sdk");
    let exit = test.router(&["demo", "--events", "500"]);
    assert_eq!(validate(&exit.stdout), Ok(500), "{}", exit.stderr);
}

#[test]
#[ignore = "needs pyvmomi: run tests/run"]
fn pyvmomi_reads_the_simulated_vcenter_as_any_other() {
    let end = jiff::Timestamp::now();
    let records = Stream::new(7).backlog(2500, jiff::SignedDuration::from_millis(100), end);
    let expected: Vec<(i64, String)> =
        records.iter().map(|record| (i64::from(record.key), record.draft.topic().to_string())).collect();
    let simulator =
        Simulator::start(Settings { history: History::of(records), ..Settings::default() }).unwrap();
    let (username, password) = (simulator.username(), simulator.password());
    let read = peers::events(&simulator.url(), &username, &password);
    let read: Vec<(i64, String)> = read.into_iter().map(|event| (event.key, event.ty)).collect();
    assert_eq!(read, expected);
    assert_eq!(peers::session_agents(&simulator.url(), &username, &password), [""; 0], "pyvmomi logged out");
    assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (0, 0));
}
