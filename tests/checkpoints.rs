//! The checkpoint as an operator meets it: shown, moved, damaged, not writable, and in use.

use crate::support::stream::Stream;
use crate::support::{SOON, Test, wait_for};
use event_router::demo::simulator::Settings;

const FILE: &str = "state/vc-sink.checkpoint.json";

/// A router that has delivered some events and ended; and their keys.
fn ended(name: &str) -> (Stream, Vec<i64>) {
    let stream = Stream::new(name, Settings::default());
    let router = stream.start();
    // Two records and more, so that there is a previous one.
    let mut keys = stream.push(20);
    stream.expect("first events", &keys);
    keys.extend(stream.push(20));
    stream.expect("later events", &keys);
    stream.stop(name, router);
    (stream, keys)
}

fn shown(test: &Test) -> String {
    let exit = test.router(&["checkpoint", "show"]);
    assert_eq!(exit.code, Some(0), "{exit:?}");
    exit.stdout
}

#[test]
fn the_last_event_is_shown_by_type_and_id() {
    let (stream, _) = ended("show");
    let shown = shown(&stream.test);
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(stream.test.path(FILE)).unwrap()).unwrap();
    let id = record["last"]["id"].as_str().unwrap();
    assert_eq!(id.len(), 36, "a UUID");
    assert!(shown.contains(&format!("last event VmPoweredOnEvent {id}\n")), "{shown}");
    assert!(shown.contains(record["time"].as_str().unwrap()), "{shown}");
}

#[test]
fn a_damaged_record_is_said_and_the_previous_one_goes_on() {
    for cut in [0, 1, 100] {
        let (stream, mut keys) = ended("damaged");
        let text = std::fs::read(stream.test.path(FILE)).unwrap();
        std::fs::write(stream.test.path(FILE), &text[..cut]).unwrap();
        assert!(shown(&stream.test).contains("from the previous record, because"));
        keys.extend(stream.push(20));
        let mut router = stream.start();
        router.log_line(&["is damaged", "going on from the previous record, some events will be repeated"]);
        wait_for("all events", SOON, || (keys.len() <= stream.accepted()).then_some(()));
        stream.stop("damaged", router);
    }
}

#[test]
fn without_a_readable_record_nothing_is_guessed_and_the_repair_is_named() {
    let (stream, mut keys) = ended("unreadable");
    for suffix in ["", ".previous"] {
        std::fs::write(stream.test.path(&format!("{FILE}{suffix}")), b"{\"format\":1,").unwrap();
    }
    let exit = stream.test.router(&["run"]);
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(exit.stderr.contains("router checkpoint set -c FILE --route NAME TIME"), "{exit:?}");
    let begin = stream.simulator.now();
    let set = stream.test.router(&["checkpoint", "set", &begin.to_string()]);
    assert_eq!(set.code, Some(0), "{set:?}");
    keys.extend(stream.push(20));
    let router = stream.start();
    stream.expect("what came later", &keys);
    stream.stop("unreadable", router);
}

#[test]
fn a_second_router_and_a_change_offline_are_refused_while_one_runs() {
    let stream = Stream::new("in-use", Settings::default());
    let router = stream.start();
    for arguments in [&["run"][..], &["checkpoint", "set", "2026-01-01T00:00:00Z"]] {
        let exit = stream.test.router(arguments);
        assert_ne!(exit.code, Some(0), "{exit:?}");
        assert!(exit.stderr.contains("another router is running"), "{exit:?}");
    }
    let keys = stream.push(5);
    stream.expect("the first one goes on", &keys);
    stream.stop("in use", router);
}

#[test]
fn a_record_that_cannot_be_written_ends_the_router_and_nothing_is_missing() {
    let stream = Stream::new("unwritable", Settings::default());
    let mut router = stream.start();
    let mut keys = stream.push(20);
    stream.expect("before", &keys);
    // The record of these may still be on its way.
    let before = wait_for("the record", SOON, || {
        let text = std::fs::read_to_string(stream.test.path(FILE)).ok()?;
        text.contains(&format!("{}\"", keys[keys.len() - 1])).then_some(text)
    });
    // A folder in the place of the new file: that stops root too.
    let obstacle = stream.test.path(&format!("{FILE}.new"));
    std::fs::create_dir(&obstacle).unwrap();
    keys.extend(stream.push(20));
    let code = wait_for("the end", SOON, || router.has_ended());
    assert_eq!(code, Some(1), "{:?}", router.stderr());
    router.log_line(&["route vc-sink: checkpointer: write", "checkpoint.json.new", "stopping"]);
    assert_eq!(std::fs::read_to_string(stream.test.path(FILE)).unwrap(), before, "nothing was recorded");
    std::fs::remove_dir(&obstacle).unwrap();
    let router = stream.start();
    wait_for("all events", SOON, || (keys.len() <= stream.accepted()).then_some(()));
    stream.stop("unwritable", router);
}

#[test]
fn a_last_record_that_cannot_be_written_is_no_clean_end() {
    let stream = Stream::new("last-record", Settings::default());
    stream.sink_answers(503);
    let router = stream.start();
    stream.push(1);
    assert!(stream.simulator.wait_until(SOON, |vc| 1 <= vc.counts().events_read), "nothing was read");
    std::fs::create_dir(stream.test.path(&format!("{FILE}.new"))).unwrap();
    // Delivered at last, and stopped at once: whether the checkpointer fails before the signal or after.
    stream.sink_answers(202);
    wait_for("the delivery", SOON, || (0 < stream.accepted()).then_some(()));
    router.signal("TERM");
    let exit = router.wait_exit(SOON);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.contains("checkpoint.json.new"), "{exit:?}");
}
