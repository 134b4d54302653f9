//! `/metrics`: a snapshot in the text format of Prometheus, version 0.0.4.
//!
//! A family has its help and type first, then all of its samples. Labels hold names of the
//! configuration and bounded words; nothing that a source or sink sends without a limit.

use std::fmt::{Display, Write};

use jiff::Timestamp;

use super::cluster::ClusterSnapshot;
use super::outcomes::Outcome;
use super::snapshot::{Counts, Process, RoutePart, RouteSnapshot, Snapshot};
use super::stats::Histogram;
use crate::version;

/// The type of the text for HTTP.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of the process.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let mut text = Text { out: String::with_capacity(4096 * (1 + snapshot.routes.len())) };
    let routes = &snapshot.routes;
    counters(&mut text, routes);
    labelled_counters(&mut text, routes);
    delivery(&mut text, routes);
    gauges(&mut text, routes);
    if let Some(cluster) = &snapshot.cluster {
        shared(&mut text, cluster);
    }
    process(&mut text, snapshot);
    text.out
}

/// Name, help and value of the counters of every route.
type CounterRow = (&'static str, &'static str, fn(&Counts) -> u64);

const COUNTERS: &[CounterRow] = &[
    ("router_events_read_total", "Events read from the source, each counted once.", |c| c.read),
    ("router_events_delivered_total", "Events that the processor acknowledged.", |c| c.delivered),
    ("router_events_filtered_total", "Events that the route's types and pattern excluded.", |c| c.filtered),
    ("router_events_unmatched_total", "Events that no function subscribes to.", |c| c.unmatched),
    ("router_events_dead_lettered_total", "Letters written to the dead-letter file.", |c| c.dead_lettered),
    ("router_events_lost_total", "Events given up without a dead letter, at-most-once only.", |c| c.lost),
    ("router_gaps_total", "Spans of events that the source no longer had.", |c| c.gaps),
    ("router_pages_read_total", "Pages read from the source, empty ones included.", |c| c.pages),
    ("router_source_reconnects_total", "Times the source was opened again.", |c| c.reconnects),
];

fn counters(text: &mut Text, routes: &[RouteSnapshot]) {
    for (name, help, value) in COUNTERS {
        text.family(name, "counter", help);
        for route in routes {
            text.sample(name, &labels(route), value(&route.counts));
        }
    }
}

/// Name, help, label and values of the counters that have a bounded word.
type WordRow = (&'static str, &'static str, &'static str, fn(&Counts) -> &[(&'static str, u64)]);

const WORD_COUNTERS: &[WordRow] = &[
    ("router_delivery_retries_total", "Deliveries that were repeated.", "reason", |c| &c.retried),
    ("router_source_failures_total", "Times the source could not be opened or read.", "reason", |c| {
        &c.source_failures
    }),
    (
        "router_event_oddities_total",
        "Parts of events that the schema does not explain; they are delivered all the same.",
        "kind",
        |c| &c.anomalies,
    ),
];

fn labelled_counters(text: &mut Text, routes: &[RouteSnapshot]) {
    for (name, help, label, values) in WORD_COUNTERS {
        text.family(name, "counter", help);
        for route in routes {
            for (word, count) in values(&route.counts) {
                text.sample(name, &with(&labels(route), label, word), count);
            }
        }
    }
    outcomes(text, routes, "router_delivery_attempts_total", "type", |c| &c.names);
    outcomes(text, routes, "router_function_calls_total", "function", |c| &c.targets);
}

/// Attempts by name and result. There are at most as many names as the counters allow.
fn outcomes(
    text: &mut Text,
    routes: &[RouteSnapshot],
    name: &'static str,
    label: &str,
    values: fn(&Counts) -> &[(String, Outcome)],
) {
    let help = match label {
        "type" => "Attempts to deliver, by the event's name; names beyond a limit together.",
        _ => "Calls of functions; functions beyond a limit together.",
    };
    text.family(name, "counter", help);
    for route in routes {
        for (word, outcome) in values(&route.counts) {
            let labels = with(&labels(route), label, word);
            text.sample(name, &with(&labels, "result", "delivered"), outcome.delivered);
            text.sample(name, &with(&labels, "result", "failed"), outcome.failed);
        }
    }
}

fn delivery(text: &mut Text, routes: &[RouteSnapshot]) {
    const NAME: &str = "router_delivery_seconds";
    text.family(NAME, "histogram", "Time that the processor took for one call.");
    for route in routes {
        let (labels, buckets) = (labels(route), &route.counts.delivery_buckets);
        let bounds = Histogram::BOUNDS_MS.iter().map(|ms| (*ms as f64 / 1000.0).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_string()]).zip(buckets) {
            text.sample(&format!("{NAME}_bucket"), &with(&labels, "le", &bound), count);
        }
        text.sample(&format!("{NAME}_sum"), &labels, route.counts.delivery_seconds);
        text.sample(&format!("{NAME}_count"), &labels, buckets.last().copied().unwrap_or_default());
    }
}

/// Name, help and value of the gauges of every route; none is left out.
type GaugeRow = (&'static str, &'static str, fn(&RouteSnapshot) -> Option<f64>);

const GAUGES: &[GaugeRow] = &[
    (
        "router_event_lag_seconds",
        "From the newest settled event to the source's present; 0 when nothing is behind it, absent while the source \
         cannot be seen.",
        |route| route.lag_seconds,
    ),
    ("router_catching_up", "1 while the route is behind its source and comes nearer.", |route| {
        Some(f64::from(u8::from(route.catching_up.is_some())))
    }),
    ("router_queue_events", "Events read and not settled.", |route| Some(route.outstanding as f64)),
    ("router_queue_waiting_events", "Events that wait for a worker.", |route| Some(route.waiting as f64)),
    ("router_source_connected", "1 while the source is open.", |route| {
        Some(f64::from(u8::from(route.link.connected)))
    }),
    ("router_source_stalled", "1 while events are known that the source does not hand over.", |route| {
        Some(in_incident(route, RoutePart::Stall))
    }),
    ("router_delivery_failing", "1 while something cannot be delivered.", |route| {
        Some(in_incident(route, RoutePart::Delivery))
    }),
    ("router_dead_letters_failing", "1 while the dead-letter file is full or cannot be written.", |route| {
        Some(in_incident(route, RoutePart::DeadLetters))
    }),
    (
        "router_checkpoint_timestamp_seconds",
        "Position of the checkpoint on disk, in the source's clock.",
        |route| route.checkpoint.map(seconds),
    ),
    (
        "router_last_event_timestamp_seconds",
        "When the event that was read last was recorded, in the source's clock.",
        |route| route.last_read.map(|position| seconds(position.time)),
    ),
    ("router_busy_seconds", "How long a thread of the route has been at one piece of work.", |route| {
        Some(route.busy.time.as_secs_f64())
    }),
];

fn gauges(text: &mut Text, routes: &[RouteSnapshot]) {
    for (name, help, value) in GAUGES {
        text.family(name, "gauge", help);
        for route in routes {
            if let Some(value) = value(route) {
                text.sample(name, &labels(route), value);
            }
        }
    }
}

fn shared(text: &mut Text, cluster: &ClusterSnapshot) {
    let name = "router_route_owner";
    text.family(name, "gauge", "1 where this router has the route, which it shares with others.");
    for route in &cluster.routes {
        text.sample(name, &with("", "route", &route.route), u8::from(route.renewed.is_some()));
    }
    let name = "router_cluster_renewal_age_seconds";
    text.family(name, "gauge", "How long ago the lease of a route of this router was renewed.");
    for (route, age) in cluster.routes.iter().filter_map(|route| Some((route, route.renewed?))) {
        text.sample(name, &with("", "route", &route.route), age.as_secs_f64());
    }
    text.family("router_cluster_members", "gauge", "Routers that share routes and live.");
    text.sample("router_cluster_members", "", cluster.members.len());
    let name = "router_cluster_changes_total";
    text.family(name, "counter", "Routes that this router has acquired, handed over or lost.");
    for (change, count) in &cluster.changes {
        text.sample(name, &with("", "change", change), count);
    }
    let name = "router_cluster_calls_total";
    text.family(name, "counter", "Calls to what keeps leases and positions.");
    for (call, result, count) in &cluster.calls {
        text.sample(name, &with(&with("", "call", call), "result", result), count);
    }
}

fn process(text: &mut Text, snapshot: &Snapshot) {
    let build = with("", "version", version::VERSION);
    let build = with(&build, "commit", version::COMMIT.unwrap_or("unknown"));
    let build = with(&build, "target", &version::target());
    text.family("router_build_info", "gauge", "Which build this is; always 1.");
    text.sample("router_build_info", &build, 1);
    let Process { started, resident_bytes, virtual_bytes, cpu_seconds, open_files, .. } = &snapshot.process;
    let rows = [
        ("process_start_time_seconds", "gauge", "When the process started.", Some(seconds(*started))),
        ("process_cpu_seconds_total", "counter", "User and system time.", *cpu_seconds),
        ("process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes.map(|n| n as f64)),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory.", virtual_bytes.map(|n| n as f64)),
        ("process_open_fds", "gauge", "Open files and sockets.", open_files.map(|n| n as f64)),
    ];
    for (name, kind, help, value) in rows {
        if let Some(value) = value {
            text.family(name, kind, help);
            text.sample(name, "", value);
        }
    }
}

/// The text as far as it is written.
struct Text {
    out: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.out, "{name} {value}"),
            _ => writeln!(self.out, "{name}{{{labels}}} {value}"),
        };
    }
}

fn labels(route: &RouteSnapshot) -> String {
    let labels = with("", "route", &route.about.route);
    let labels = with(&labels, "source", &route.about.source);
    with(&labels, "processor", &route.about.processor)
}

/// One label more.
fn with(labels: &str, name: &str, value: &str) -> String {
    let comma = if labels.is_empty() { "" } else { "," };
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{labels}{comma}{name}=\"{value}\"")
}

fn in_incident(route: &RouteSnapshot, part: RoutePart) -> f64 {
    f64::from(u8::from(route.incidents.iter().any(|incident| incident.part == part)))
}

fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use super::*;
    use crate::observe::snapshot::About;
    use crate::observe::testing::{route, snapshot};

    /// Checks the form of the text; the samples by name and labels.
    fn parsed(text: &str) -> BTreeMap<String, f64> {
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let (mut samples, mut families, mut current) =
            (BTreeMap::new(), BTreeSet::new(), (String::new(), ""));
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a help text");
                assert!(is_name(name) && help.ends_with('.'), "{line}");
                assert!(families.insert(name.to_string()), "{name} comes twice");
                let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).expect(name);
                let kind = ["counter", "gauge", "histogram"].into_iter().find(|k| *k == kind).expect(kind);
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                current = (name.to_string(), kind);
                continue;
            }
            let (key, value) = line.rsplit_once(' ').expect(line);
            let name = key.split('{').next().unwrap();
            let family = match current.1 {
                "histogram" => {
                    name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count")
                }
                _ => name,
            };
            assert_eq!(family, current.0, "{line} stands outside of its family");
            for (name, value) in labels_of(key) {
                assert!(is_name(&name), "{line}");
                assert!(!value.contains('\n'), "{line}");
            }
            let value: f64 = value.parse().expect(line);
            assert!(samples.insert(key.to_string(), value).is_none(), "{key} comes twice");
        }
        samples
    }

    /// The labels between the braces, unescaped.
    #[test]
    fn owners_of_shared_routes_are_told() {
        let mut snapshot = snapshot(Vec::new());
        snapshot.cluster = Some(crate::observe::testing::cluster());
        let told = text(&snapshot);
        for line in [
            "router_route_owner{route=\"a\"} 1",
            "router_route_owner{route=\"b\"} 0",
            "router_cluster_members 2",
            "router_cluster_renewal_age_seconds{route=\"a\"} 2",
            "router_cluster_changes_total{change=\"acquired\"} 3",
            "router_cluster_calls_total{call=\"read\",result=\"ok\"} 7",
        ] {
            assert!(told.lines().any(|found| found == line), "{line}: {told}");
        }
    }

    fn labels_of(key: &str) -> Vec<(String, String)> {
        let Some((_, rest)) = key.split_once('{') else { return Vec::new() };
        let mut rest = rest.strip_suffix('}').expect(key);
        let mut labels = Vec::new();
        while !rest.is_empty() {
            let (name, quoted) = rest.split_once("=\"").expect(key);
            let mut value = String::new();
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next().expect(key) {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().expect(key).1 {
                        'n' => value.push(' '),
                        c @ ('\\' | '"') => value.push(c),
                        c => panic!("\\{c} is no escape: {key}"),
                    },
                    (_, c) => value.push(c),
                }
            };
            labels.push((name.to_string(), value));
            rest = &quoted[end + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        labels
    }

    const LABELS: &str = r#"route="power",source="vc01",processor="broker""#;

    #[test]
    fn every_value_stands_under_its_name() {
        let samples = parsed(&text(&snapshot(vec![route("power")])));
        for (name, value) in [
            ("router_events_read_total", 1000.0),
            ("router_events_delivered_total", 900.0),
            ("router_events_filtered_total", 50.0),
            ("router_events_unmatched_total", 40.0),
            ("router_events_dead_lettered_total", 3.0),
            ("router_events_lost_total", 2.0),
            ("router_gaps_total", 1.0),
            ("router_source_reconnects_total", 4.0),
            ("router_event_lag_seconds", 1.5),
            ("router_queue_events", 7.0),
            ("router_source_connected", 1.0),
            ("router_source_stalled", 0.0),
            ("router_checkpoint_timestamp_seconds", 1_700_000_000.25),
            ("router_delivery_seconds_count", 5.0),
            ("router_delivery_seconds_sum", 0.75),
        ] {
            assert_eq!(samples.get(&format!("{name}{{{LABELS}}}")), Some(&value), "{name}");
        }
        let one = |key: String| samples.get(&key).copied();
        assert_eq!(one(format!("router_delivery_retries_total{{{LABELS},reason=\"503\"}}")), Some(6.0));
        assert_eq!(one(format!("router_delivery_seconds_bucket{{{LABELS},le=\"0.005\"}}")), Some(4.0));
        assert_eq!(one(format!("router_delivery_seconds_bucket{{{LABELS},le=\"+Inf\"}}")), Some(5.0));
        assert_eq!(one("process_start_time_seconds".into()), Some(1_700_000_000.0));
        let build = samples.keys().find(|key| key.starts_with("router_build_info{version=\"")).unwrap();
        assert_eq!(samples[build], 1.0);
    }

    #[test]
    fn the_readme_explains_every_metric() {
        let readme = include_str!("../../README.md");
        let text = text(&snapshot(vec![route("power")]));
        let families = text.lines().filter_map(|line| line.strip_prefix("# HELP router_"));
        for name in families.filter_map(|line| line.split(' ').next()) {
            assert!(readme.contains(&format!("`router_{name}")), "router_{name}");
        }
    }

    #[test]
    fn strange_names_and_many_routes_keep_the_form() {
        let mut strange = route("a");
        let anomalies = "q\"uote\\back\nline";
        strange.about = Arc::new(About { source: anomalies.into(), ..(*strange.about).clone() });
        strange.counts.names = vec![(anomalies.into(), Outcome { delivered: 1, failed: 2 })];
        strange.counts.targets = vec![("f.fn".into(), Outcome { delivered: 3, failed: 4 })];
        strange.checkpoint = None;
        strange.last_read = None;
        let samples = parsed(&text(&snapshot(vec![route("power"), strange])));
        let escaped = r#"route="a",source="q\"uote\\back\nline",processor="broker""#;
        assert_eq!(samples[&format!("router_events_read_total{{{escaped}}}")], 1000.0);
        let key = format!(
            r#"router_delivery_attempts_total{{{escaped},type="q\"uote\\back\nline",result="failed"}}"#
        );
        assert_eq!(samples[&key], 2.0);
        let key = format!(r#"router_function_calls_total{{{escaped},function="f.fn",result="delivered"}}"#);
        assert_eq!(samples[&key], 3.0);
        assert!(!samples.contains_key(&format!("router_checkpoint_timestamp_seconds{{{escaped}}}")));
        parsed(&text(&snapshot(Vec::new())));
    }
}
