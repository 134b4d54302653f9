//! `/stats`: a snapshot in the shape of the Go router, so that what reads it goes on reading.
//!
//! The Go router printed its variables with Go's package expvar: an object with one variable a line,
//! sorted by name. Its routers had one source and one processor and named them by type; of several
//! ones of a type, this one prints the sum.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::snapshot::{Process, RouteSnapshot, Snapshot};
use crate::order;

/// The type of the text for HTTP.
pub const CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// Members of Go's `runtime.MemStats` that are plain numbers (package runtime, since Go 1.4), in
/// their order. Those that mean something without Go's garbage collector have a value.
const MEMORY_NUMBERS: [&str; 22] = [
    "Alloc",
    "TotalAlloc",
    "Sys",
    "Lookups",
    "Mallocs",
    "Frees",
    "HeapAlloc",
    "HeapSys",
    "HeapIdle",
    "HeapInuse",
    "HeapReleased",
    "HeapObjects",
    "StackInuse",
    "StackSys",
    "MSpanInuse",
    "MSpanSys",
    "MCacheInuse",
    "MCacheSys",
    "BuckHashSys",
    "GCSys",
    "OtherSys",
    "NextGC",
];
/// Pauses and size classes that `MemStats` tells.
const MEMORY_PAUSES: usize = 256;
const MEMORY_SIZES: usize = 61;

/// All variables.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let Process { arguments, started, load, .. } = &snapshot.process;
    let seconds = snapshot.now.duration_since(*started).max(SignedDuration::ZERO).as_secs();
    let variables = [
        ("cmdline", json!(arguments).to_string()),
        ("memstats", memory(&snapshot.process).to_string()),
        ("system.allLoad", json!({ "Load1": load[0], "Load5": load[1], "Load15": load[2] }).to_string()),
        ("system.lastLoad", load[0].to_string()),
        ("system.numberOfSeconds", seconds.to_string()),
        ("system.programName", json!(arguments.first().map_or("", String::as_str)).to_string()),
        ("vmware.event.router.stats", stats(snapshot)),
    ];
    let lines: Vec<String> = variables.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn memory(process: &Process) -> Value {
    let resident = process.resident_bytes.unwrap_or_default();
    let mut members = Map::new();
    for name in MEMORY_NUMBERS {
        let value = match name {
            "Alloc" | "HeapAlloc" | "HeapInuse" => resident,
            "Sys" | "HeapSys" => process.virtual_bytes.unwrap_or_default(),
            _ => 0,
        };
        members.insert(name.to_string(), value.into());
    }
    for (name, value) in [
        ("LastGC", json!(0)),
        ("PauseTotalNs", json!(0)),
        ("PauseNs", json!([0; MEMORY_PAUSES].as_slice())),
        ("PauseEnd", json!([0; MEMORY_PAUSES].as_slice())),
        ("NumGC", json!(0)),
        ("NumForcedGC", json!(0)),
        ("GCCPUFraction", json!(0)),
        ("EnableGC", json!(false)),
        ("DebugGC", json!(false)),
        ("BySize", vec![json!({ "Size": 0, "Mallocs": 0, "Frees": 0 }); MEMORY_SIZES].into()),
    ] {
        members.insert(name.to_string(), value);
    }
    Value::Object(members)
}

/// A source or a processor; which members there are depends on which of them it is.
#[derive(Serialize)]
struct Entry {
    #[serde(rename = "type")]
    ty: &'static str,
    address: String,
    started: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_err: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_per_sec: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    invocations: BTreeMap<String, Invocations>,
}

#[derive(Default, Serialize)]
struct Invocations {
    #[serde(rename = "SuccessCount")]
    successes: u64,
    #[serde(rename = "FailureCount")]
    failures: u64,
}

fn stats(snapshot: &Snapshot) -> String {
    let mut entries: BTreeMap<&str, String> = BTreeMap::new();
    let mut put = |name: &'static str, entry: &Entry| {
        // Numbers and strings always have a JSON form.
        entries.insert(name, serde_json::to_string(entry).unwrap_or_default());
    };
    let types = |of: fn(&RouteSnapshot) -> &'static str| distinct(snapshot.routes.iter().map(of));
    for ty in types(|route| route.about.source_type) {
        put(ty, &source(snapshot, ty));
    }
    for ty in types(|route| route.about.processor_type) {
        put(go_name(ty), &processor(snapshot, ty));
    }
    let pairs: Vec<String> = entries.iter().map(|(name, entry)| format!("\"{name}\": {entry}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// The Go router's word for a type.
fn go_name(ty: &'static str) -> &'static str {
    if ty == "eventbridge" { "aws_event_bridge" } else { ty }
}

fn source(snapshot: &Snapshot, ty: &str) -> Entry {
    let routes = || snapshot.routes.iter().filter(|route| route.about.source_type == ty);
    // Every route reads the events of its source for itself: they are not counted twice.
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for route in routes() {
        let total = totals.entry(&route.about.source).or_default();
        *total = route.counts.read.max(*total);
    }
    let total = totals.values().sum::<u64>();
    let started = routes().map(|route| route.started).min().unwrap_or(snapshot.now);
    let seconds = snapshot.now.duration_since(started).as_secs_f64();
    let rate = if 0.0 < seconds { total as f64 / seconds } else { 0.0 };
    Entry {
        ty: "EventProvider",
        address: addresses(routes().map(|route| route.about.source_address.as_str())),
        started: started.to_string(),
        events_total: Some(total),
        events_err: Some(routes().map(|route| route.counts.dead_lettered + route.counts.lost).sum()),
        events_per_sec: Some((rate * 100.0).round() / 100.0),
        invocations: BTreeMap::new(),
    }
}

fn processor(snapshot: &Snapshot, ty: &str) -> Entry {
    let routes = || snapshot.routes.iter().filter(|route| route.about.processor_type == ty);
    let mut invocations: BTreeMap<String, Invocations> = BTreeMap::new();
    for (name, outcome) in routes().flat_map(|route| &route.counts.names) {
        let sum = invocations.entry(name.clone()).or_default();
        sum.successes += outcome.delivered;
        sum.failures += outcome.failed;
    }
    let started: Option<Timestamp> = routes().map(|route| route.started).min();
    Entry {
        ty: "EventProcessor",
        address: addresses(routes().map(|route| route.about.processor_address.as_str())),
        started: started.unwrap_or(snapshot.now).to_string(),
        events_total: None,
        events_err: None,
        events_per_sec: None,
        invocations,
    }
}

fn addresses<'a>(all: impl Iterator<Item = &'a str>) -> String {
    distinct(all).join(", ")
}

// Each once, in order.
fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all: Vec<&str> = all.collect();
    order::sort(&mut all);
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::outcomes::Outcome;
    use crate::observe::snapshot::About;
    use crate::observe::testing::{route, snapshot};

    #[test]
    fn one_variable_a_line_in_the_order_of_their_names() {
        let text = text(&snapshot(vec![route("power")]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], *lines.last().unwrap(), lines.len()), ("{", "}", 9));
        let names: Vec<&str> = lines[1..8].iter().map(|line| line.split('"').nth(1).unwrap()).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert!(lines[1..7].iter().all(|line| line.ends_with(',')));
        let stats = "\"vmware.event.router.stats\": {\
            \"knative\": {\"type\":\"EventProcessor\",\"address\":\"http://broker/default\",\
            \"started\":\"2023-11-14T22:13:20Z\",\
            \"invocations\":{\"VmPoweredOnEvent\":{\"SuccessCount\":900,\"FailureCount\":2}}}, \
            \"vcenter\": {\"type\":\"EventProvider\",\"address\":\"https://vc01/sdk\",\
            \"started\":\"2023-11-14T22:13:20Z\",\
            \"events_total\":1000,\"events_err\":5,\"events_per_sec\":1.0}}";
        assert_eq!(lines[7], stats);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["cmdline"][1], "-c");
        assert_eq!(value["system.allLoad"]["Load15"], 1.0);
        assert_eq!(value["system.lastLoad"], 0.5);
        assert_eq!(value["system.numberOfSeconds"], 1000);
        assert_eq!(value["system.programName"], "/usr/bin/router");
        assert_eq!(value["memstats"]["Alloc"], 4 << 20);
        assert_eq!(value["memstats"]["PauseNs"].as_array().unwrap().len(), 256);
    }

    #[test]
    fn several_of_a_type_are_summed_and_no_event_is_counted_twice() {
        let mut other = route("b");
        other.about = Arc::new(About {
            processor: "bus".into(),
            processor_type: "eventbridge",
            processor_address: "arn:aws:events:eu-central-1:1:rule/r".into(),
            ..(*other.about).clone()
        });
        other.counts.read = 1010;
        other.counts.names = Vec::new();
        let mut third = route("c");
        third.about = Arc::new(About {
            source: "vc02".into(),
            source_address: "https://vc02/sdk".into(),
            ..(*third.about).clone()
        });
        third.counts.names = vec![("VmPoweredOnEvent".into(), Outcome { delivered: 1, failed: 0 })];
        let value: Value = serde_json::from_str(&text(&snapshot(vec![route("a"), other, third]))).unwrap();
        let stats = &value["vmware.event.router.stats"];
        assert_eq!(stats["vcenter"]["events_total"], 2010);
        assert_eq!(stats["vcenter"]["address"], "https://vc01/sdk, https://vc02/sdk");
        assert_eq!(stats["knative"]["invocations"]["VmPoweredOnEvent"]["SuccessCount"], 901);
        assert!(stats["aws_event_bridge"].get("invocations").is_none(), "absent while empty");
        assert!(stats["knative"].get("events_total").is_none());
        let none: Value = serde_json::from_str(&text(&snapshot(Vec::new()))).unwrap();
        assert_eq!(none["vmware.event.router.stats"], json!({}));
    }
}
