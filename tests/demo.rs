//! `router demo`: the first command that anyone tries.

use serde_json::Value;
use std::collections::HashSet;

use crate::support::Test;
use crate::support::peers::validate;

/// The standard output of `router demo --events 50`, which leaves nothing behind.
fn fifty_events() -> String {
    let test = Test::new("demo");
    let exit = test.router(&["demo", "--events", "50"]);
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert_eq!(test.listing(), [""; 0], "nothing is left behind");
    exit.stdout
}

#[test]
fn demo_prints_as_many_events_as_asked() {
    let output = fifty_events();
    let events: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 50);
    let ids: HashSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 50, "ids are unique");
    let subjects: HashSet<&str> = events.iter().map(|event| event["subject"].as_str().unwrap()).collect();
    assert!(5 < subjects.len(), "the stream is a varied one: {subjects:?}");
    for event in &events {
        assert_eq!(event["specversion"], "1.0");
        assert!(event["data"]["Key"].is_i64(), "{event}");
        assert!(event["time"].is_string() && event["source"].is_string(), "{event}");
    }
}

#[test]
#[ignore = "needs the CloudEvents SDK: run tests/run"]
fn demo_prints_valid_cloud_events() {
    assert_eq!(validate(&fifty_events()), Ok(50));
}
