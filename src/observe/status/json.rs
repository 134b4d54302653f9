//! `/status`: everything about the routes as JSON, for programs.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{cure, hangs, obstacles, state};
use crate::observe::cluster::ClusterSnapshot;
use crate::observe::outcomes::Outcome;
use crate::observe::snapshot::{CatchingUp, Counts, IncidentSnapshot, Phase, RouteSnapshot, Snapshot};
use crate::version;

/// `/status`: everything about the routes, for programs.
pub(crate) fn json(snapshot: &Snapshot) -> String {
    let obstacles = obstacles(snapshot);
    let status = Status {
        state: match (snapshot.phase, obstacles.is_empty()) {
            (Phase::Starting, _) => "starting",
            (Phase::Stopping, _) => "stopping",
            (Phase::Running, true) => "ready",
            (Phase::Running, false) => "not ready",
        },
        reasons: obstacles,
        live: hangs(snapshot).is_empty(),
        version: version::VERSION,
        commit: version::COMMIT,
        started: whole(snapshot.process.started),
        now: whole(snapshot.now),
        resident_bytes: snapshot.process.resident_bytes,
        routes: snapshot.routes.iter().map(|route| route_status(route, snapshot.now)).collect(),
        cluster: snapshot.cluster.as_ref().map(ClusterSnapshot::json),
    };
    // Strings and numbers always have a JSON form.
    let mut text = serde_json::to_string_pretty(&status).unwrap_or_default();
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Status<'a> {
    state: &'static str,
    reasons: Vec<String>,
    live: bool,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    started: String,
    now: String,
    resident_bytes: Option<u64>,
    routes: Vec<RouteStatus<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Value>,
}

#[derive(Serialize)]
struct RouteStatus<'a> {
    name: &'a str,
    state: &'static str,
    since: String,
    promise: &'static str,
    source: EndStatus<'a>,
    processor: EndStatus<'a>,
    lag_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catching_up: Option<CatchingUpStatus>,
    outstanding: usize,
    waiting: usize,
    settled_to: Option<String>,
    checkpoint: Option<String>,
    last_read: Option<ReadStatus>,
    busy_seconds: f64,
    #[serde(skip_serializing_if = "str::is_empty")]
    stall_tried: &'static str,
    #[serde(rename = "troubles")]
    incidents: Vec<IncidentStatus<'a>>,
    counters: CounterStatus,
    #[serde(skip_serializing_if = "Map::is_empty")]
    types: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    functions: Map<String, Value>,
}

#[derive(Serialize)]
struct CatchingUpStatus {
    backlog: usize,
    reading: bool,
    events_per_second: f64,
    seconds_left: Option<f64>,
    end: Option<String>,
}

/// A source or a processor.
#[derive(Serialize)]
struct EndStatus<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    ty: &'static str,
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected: Option<bool>,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
}

#[derive(Serialize)]
struct ReadStatus {
    key: i64,
    time: String,
}

#[derive(Serialize)]
struct IncidentStatus<'a> {
    part: &'static str,
    reason: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    doing: &'a str,
    cure: String,
    since: String,
    times: u64,
}

#[derive(Serialize)]
struct CounterStatus {
    read: u64,
    delivered: u64,
    filtered: u64,
    unmatched: u64,
    dead_lettered: u64,
    lost: u64,
    gaps: u64,
    pages: u64,
    reconnects: u64,
    retried: Map<String, Value>,
    source_failures: Map<String, Value>,
    anomalies: Map<String, Value>,
}

fn catching_up_status(route: CatchingUp, now: Timestamp) -> CatchingUpStatus {
    let end = route.end.and_then(|end| now.checked_add(SignedDuration::try_from(end).ok()?).ok());
    CatchingUpStatus {
        backlog: route.backlog,
        reading: route.is_reading,
        events_per_second: (route.events_per_second * 10.0).round() / 10.0,
        seconds_left: route.end.map(|end| end.as_secs_f64().round()),
        end: end.map(whole),
    }
}

fn route_status(route: &RouteSnapshot, now: Timestamp) -> RouteStatus<'_> {
    let (about, (state, since)) = (&route.about, state(route));
    RouteStatus {
        name: &about.route,
        state: state.name(),
        since: whole(since),
        promise: if about.at_least_once { "at least once" } else { "at most once" },
        source: EndStatus {
            name: &about.source,
            ty: about.source_type,
            address: &about.source_address,
            connected: Some(route.link.connected),
            description: &route.link.description,
        },
        processor: EndStatus {
            name: &about.processor,
            ty: about.processor_type,
            address: &about.processor_address,
            connected: None,
            description: "",
        },
        lag_seconds: route.lag_seconds,
        catching_up: route.catching_up.map(|route| catching_up_status(route, now)),
        outstanding: route.outstanding,
        waiting: route.waiting,
        settled_to: route.settled_to.map(|time| time.to_string()),
        checkpoint: route.checkpoint.map(|time| time.to_string()),
        last_read: route
            .last_read
            .map(|position| ReadStatus { key: position.key, time: position.time.to_string() }),
        busy_seconds: route.busy.time.as_secs_f64(),
        stall_tried: route.stall_tried,
        incidents: route.incidents.iter().map(|incident| incident_status(&about.route, incident)).collect(),
        counters: counter_status(&route.counts),
        types: outcomes(&route.counts.names),
        functions: outcomes(&route.counts.targets),
    }
}

fn incident_status<'a>(route: &str, incident: &'a IncidentSnapshot) -> IncidentStatus<'a> {
    IncidentStatus {
        part: incident.part.name(),
        reason: &incident.reason,
        detail: &incident.detail,
        doing: &incident.consequence,
        cure: cure(route, incident),
        since: whole(incident.since),
        times: incident.times,
    }
}

fn counter_status(counts: &Counts) -> CounterStatus {
    let words = |pairs: &[(&'static str, u64)]| {
        pairs.iter().map(|(word, count)| (word.to_string(), Value::from(*count))).collect()
    };
    CounterStatus {
        read: counts.read,
        delivered: counts.delivered,
        filtered: counts.filtered,
        unmatched: counts.unmatched,
        dead_lettered: counts.dead_lettered,
        lost: counts.lost,
        gaps: counts.gaps,
        pages: counts.pages,
        reconnects: counts.reconnects,
        retried: words(&counts.retried),
        source_failures: words(&counts.source_failures),
        anomalies: words(&counts.anomalies),
    }
}

fn outcomes(list: &[(String, Outcome)]) -> Map<String, Value> {
    let value =
        |outcome: &Outcome| serde_json::json!({ "delivered": outcome.delivered, "failed": outcome.failed });
    list.iter().map(|(name, outcome)| (name.clone(), value(outcome))).collect()
}

/// Our own times are not known better than to the second.
fn whole(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::snapshot::RoutePart;
    use crate::observe::testing::{NOW, incident, route, snapshot};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_status_is_json_with_all_that_is_known() {
        let mut all = snapshot(vec![route("power"), route("rest")]);
        all.routes[1].incidents = vec![incident(RoutePart::Delivery, NOW - 60)];
        let status: Value = serde_json::from_str(&json(&all)).unwrap();
        assert_eq!(status["state"], "not ready");
        assert_eq!(status["reasons"].as_array().unwrap().len(), 1);
        assert_eq!(status["live"], true);
        let [power, rest] = &status["routes"].as_array().unwrap()[..] else { panic!("two routes") };
        assert_eq!((&power["name"], &power["state"]), (&"power".into(), &"running".into()));
        assert_eq!(power["source"]["address"], "https://vc01/sdk");
        assert_eq!(power["source"]["connected"], true);
        assert_eq!(power["processor"]["type"], "knative");
        assert_eq!(power["last_read"]["key"], 4711);
        assert_eq!(power["checkpoint"], "2023-11-14T22:13:20.25Z");
        assert_eq!(power["counters"]["retried"]["503"], 6);
        assert_eq!(power["types"]["VmPoweredOnEvent"]["failed"], 2);
        assert_eq!(rest["state"], "failing");
        assert_eq!(rest["troubles"][0]["detail"], "it failed: do this");
        assert!(rest["troubles"][0]["cure"].as_str().unwrap().contains("`router send --route rest`"));
        assert_eq!(rest["troubles"][0]["since"], at(NOW - 60).to_string());
        assert_eq!(serde_json::from_str::<Value>(&json(&snapshot(vec![]))).unwrap()["state"], "ready");
    }
}
