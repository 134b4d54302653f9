//! What a snapshot means: is the process alive, is it ready, how is each route; as text, and in `json`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::cluster::ClusterSnapshot;
use super::incident::{DATED_AHEAD, LOGIN_REFUSED};
use super::snapshot::{CatchingUp, IncidentSnapshot, Phase, RoutePart, RouteSnapshot, Snapshot};
use super::words::count;
use crate::limits::READY_INCIDENT_MAX;

mod json;

pub(crate) use json::json;

/// How a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The source was not reached yet, and nothing is known against it.
    Connecting,
    /// The source cannot be opened or read.
    Disconnected,
    /// Events are known that the source does not hand over.
    Stalled,
    /// Something cannot be written to the dead letters, or there is no room for what waits: the route
    /// waits.
    Held,
    /// Nothing can be delivered.
    Failing,
    /// Events flow, and the newest of them are still to come.
    CatchingUp,
    /// All is well.
    Running,
}

impl State {
    /// A word for people and programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Connecting => "connecting",
            State::Disconnected => "disconnected",
            State::Stalled => "stalled",
            State::Held => "held",
            State::Failing => "failing",
            State::CatchingUp => "catching up",
            State::Running => "running",
        }
    }
}

/// The worst that is true of a route, and since when.
pub(crate) fn state(route: &RouteSnapshot) -> (State, Timestamp) {
    let of = |part: RoutePart| match part {
        RoutePart::Source => Some(State::Disconnected),
        RoutePart::Stall => Some(State::Stalled),
        RoutePart::Checkpoint | RoutePart::DeadLetters | RoutePart::Room => Some(State::Held),
        RoutePart::Delivery => Some(State::Failing),
        RoutePart::Clock | RoutePart::Repeats | RoutePart::Filter => None,
    };
    let worst = route.incidents.iter().find_map(|incident| Some((of(incident.part)?, incident.since)));
    let since = route.link.since.unwrap_or(route.started);
    match worst {
        Some(worst) => worst,
        None if !route.link.connected => (State::Connecting, since),
        None => {
            let state = if route.catching_up.is_some() { State::CatchingUp } else { State::Running };
            (state, route.incident_ended.map_or(since, |ended| ended.max(since)))
        }
    }
}

/// How a route comes back to the present: what waits, how fast that becomes less, and when it is done.
pub(crate) fn catching_up(route: &RouteSnapshot) -> Option<String> {
    let CatchingUp { backlog, is_reading, events_per_second, end } = route.catching_up?;
    let more = if is_reading { " and more in the source" } else { "" };
    let end =
        end.map_or_else(|| "no end in sight".to_string(), |end| format!("done in about {}", seconds(end)));
    Some(format!("{} behind{more}, {events_per_second:.1}/s, {end}", count(backlog as u64, "event")))
}

/// Routes that catch up, a line each: the process is ready all the same.
pub(crate) fn behind(snapshot: &Snapshot) -> Vec<String> {
    let line = |route: &RouteSnapshot| {
        let text = catching_up(route).filter(|_| state(route).0 == State::CatchingUp)?;
        Some(format!("route {}: catching up: {text}", route.about.route))
    };
    snapshot.routes.iter().filter_map(line).collect()
}

/// Why a process should be started again: a thread hangs. Empty when it is alive.
pub(crate) fn hangs(snapshot: &Snapshot) -> Vec<String> {
    let hanging = snapshot.routes.iter().filter(|route| route.busy.time_max < route.busy.time);
    let line = |route: &RouteSnapshot| {
        format!(
            "route {}: a {} has been at one piece of work for {}, which should end within {}: start the \
             router again",
            route.about.route,
            route.busy.role,
            seconds(route.busy.time),
            seconds(route.busy.time_max)
        )
    };
    hanging.map(line).collect()
}

/// How much of what is wrong is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// All that is known, addresses and answers of sinks among it.
    Full,
    /// What strangers may know: which route, and a word for what kind of thing is wrong.
    Class,
}

/// Why events do not flow as they should, a line each. Empty when the process is ready.
pub(crate) fn obstacles(snapshot: &Snapshot) -> Vec<String> {
    obstacles_in(snapshot, Detail::Full)
}

/// The same in the detail that who asks may have.
pub(crate) fn obstacles_in(snapshot: &Snapshot, detail: Detail) -> Vec<String> {
    match snapshot.phase {
        Phase::Starting => return vec!["starting".to_string()],
        Phase::Stopping => return vec!["stopping".to_string()],
        Phase::Running => {}
    }
    let mut lines = Vec::from_iter(snapshot.cluster.as_ref().and_then(ClusterSnapshot::obstacle));
    for route in &snapshot.routes {
        let about = &route.about;
        if state(route).0 == State::Connecting {
            let (source, address) = (&about.source, &about.source_address);
            let told = match detail {
                Detail::Full => format!("source {source} is not connected yet to {address}"),
                Detail::Class => "source is not connected yet".to_string(),
            };
            lines.push(format!("route {}: {told}", about.route));
        }
        for incident in &route.incidents {
            let time = age(snapshot.now, incident.since);
            // What passes within seconds is retried before anybody could act.
            let is_short = incident.part == RoutePart::Delivery && time < READY_INCIDENT_MAX;
            // Events flow all the same.
            let is_harmless = matches!(incident.part, RoutePart::Filter | RoutePart::Repeats)
                || incident.reason == DATED_AHEAD;
            if !is_short && !is_harmless {
                let told = match detail {
                    Detail::Full => describe(incident, time),
                    Detail::Class => format!("{}: {}", incident.part.name(), incident.reason),
                };
                lines.push(format!("route {}: {told}", about.route));
            }
        }
    }
    lines
}

/// One line about a route, for the log.
pub(crate) fn summary(route: &RouteSnapshot, now: Timestamp) -> String {
    let (state, since) = state(route);
    let counts = &route.counts;
    let incident = route.incidents.first().map(|incident| incident.detail.clone());
    let incident =
        incident.or_else(|| catching_up(route)).map(|text| format!(" ({text})")).unwrap_or_default();
    let lag = route.lag_seconds.map_or_else(|| "unknown".to_string(), |lag| format!("{lag:.1} s"));
    format!(
        "{} for {}{incident}; read {}, delivered {}, filtered {}, unmatched {}, retried {}, dead letters {}, anomalies {}, \
         waiting {}, lag {lag}, settled to {}, last event {}",
        state.name(),
        seconds(age(now, since)),
        counts.read,
        counts.delivered,
        counts.filtered,
        counts.unmatched,
        counts.retried.iter().map(|(_, count)| count).sum::<u64>(),
        counts.dead_lettered,
        counts.anomalies.iter().map(|(_, count)| count).sum::<u64>(),
        route.outstanding,
        route.settled_to.map_or_else(|| "nothing yet".to_string(), |time| time.to_string()),
        route.last_read.map_or_else(
            || "none".to_string(),
            |position| format!("{} (key {})", position.time, position.key)
        ),
    )
}

/// What is wrong, since when, and what is done about it.
fn describe(incident: &IncidentSnapshot, time: Duration) -> String {
    let times =
        if 1 < incident.times { format!(", {}", count(incident.times, "failure")) } else { String::new() };
    let IncidentSnapshot { detail, consequence, .. } = incident;
    let consequence = if consequence.is_empty() { String::new() } else { format!("; {consequence}") };
    format!("{}: {detail}{consequence} (for {}{times})", incident.part.name(), seconds(time))
}

/// What a person can do about it, beside what the message itself says.
pub(crate) fn cure(route: &str, incident: &IncidentSnapshot) -> String {
    match (incident.part, incident.reason.as_str()) {
        _ if !incident.cure.is_empty() => incident.cure.to_string(),
        (RoutePart::Source, LOGIN_REFUSED) => {
            "correct the account or its password file; a changed file is tried at once (a credential of systemd \
             is copied when the service starts: `systemctl restart event-router`)"
                .to_string()
        }
        (RoutePart::Source | RoutePart::Stall, _) => {
            "if it does not pass by itself, `router check` tries every step to the source and \
             names the one that fails"
                .to_string()
        }
        (RoutePart::Checkpoint, _) => {
            "make room on the file system of `state_dir`; the route goes on by itself within a second".to_string()
        }
        (RoutePart::DeadLetters, _) => format!(
            "see why with `router dead-letters list --route {route}`, then redeliver them, make room on the disk \
             or raise `dead_letters.max_size`"
        ),
        (RoutePart::Room, _) => {
            "mend what fails, or set `retry.give_up_after` of the route: what waits longer is a dead letter then"
                .to_string()
        }
        (RoutePart::Delivery, _) => format!(
            "look at the log of the sink, and try it with `router send --route {route}`; delivery goes on by \
             itself as soon as it answers well"
        ),
        (RoutePart::Clock, _) => {
            "check the time service (NTP) of the source, its hosts and this machine".to_string()
        }
        (RoutePart::Repeats, _) => {
            "look at what stands between this machine and the source, such as a proxy that caches".to_string()
        }
        (RoutePart::Filter, _) => {
            "mend the `pattern` of the route; until then its events are delivered unfiltered".to_string()
        }
    }
}

/// From `since` to `now`; zero where clocks were set back.
pub(crate) fn age(now: Timestamp, since: Timestamp) -> Duration {
    now.duration_since(since).max(SignedDuration::ZERO).unsigned_abs()
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::observe::snapshot::Busy;
    use crate::observe::testing::{NOW, incident, route, snapshot};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_worst_counts_and_when_it_began() {
        let mut one = route("power");
        assert_eq!(state(&one), (State::Running, at(NOW - 500)));
        one.incident_ended = Some(at(NOW - 9));
        assert_eq!(state(&one), (State::Running, at(NOW - 9)));
        one.incidents = vec![incident(RoutePart::Filter, NOW - 100)];
        assert_eq!(state(&one).0, State::Running, "a filter that fails delivers everything");
        for (part, word) in [
            (RoutePart::Delivery, "failing"),
            (RoutePart::DeadLetters, "held"),
            (RoutePart::Stall, "stalled"),
            (RoutePart::Source, "disconnected"),
        ] {
            one.incidents.insert(0, incident(part, NOW - 50));
            assert_eq!((state(&one).0.name(), state(&one).1), (word, at(NOW - 50)));
        }
        one.incidents.clear();
        one.link.connected = false;
        assert_eq!(state(&one), (State::Connecting, at(NOW - 500)));
    }

    #[test]
    fn the_source_knows_the_cure_of_its_stall_best() {
        let mut stall = incident(RoutePart::Stall, NOW - 100);
        assert!(cure("a", &stall).contains("`router check`"));
        stall.cure = "turn it off and on";
        assert_eq!(cure("a", &stall), "turn it off and on");
    }

    #[test]
    fn ready_means_that_every_route_flows() {
        let mut all = snapshot(vec![route("a"), route("b")]);
        assert_eq!(obstacles(&all), [""; 0]);
        all.routes[0].link.connected = false;
        all.routes[1].incidents = vec![
            incident(RoutePart::Stall, NOW - 100),
            incident(RoutePart::Delivery, NOW - 9),
            incident(RoutePart::Filter, 0),
        ];
        assert_eq!(
            obstacles(&all),
            [
                "route a: source vc01 is not connected yet to https://vc01/sdk",
                "route b: stall: it failed: do this; trying again (for 100 s, 3 failures)",
            ]
        );
        all.routes.remove(0);
        all.routes[0].incidents = vec![incident(RoutePart::Delivery, NOW - 10)];
        assert_eq!(
            obstacles(&all),
            ["route b: delivery: it failed: do this; trying again (for 10 s, 3 failures)"]
        );
        assert_eq!(obstacles_in(&all, Detail::Class), ["route b: delivery: 503"]);
        all.routes[0].incidents.clear();
        all.routes[0].link.connected = false;
        assert_eq!(obstacles_in(&all, Detail::Class), ["route b: source is not connected yet"]);
        all.phase = Phase::Stopping;
        assert_eq!(obstacles(&all), ["stopping"]);
        all.phase = Phase::Starting;
        assert_eq!(obstacles(&all), ["starting"]);
    }

    #[test]
    fn a_thread_that_hangs_ends_the_life_and_an_incident_does_not() {
        let mut all = snapshot(vec![route("a")]);
        all.routes[0].incidents = vec![incident(RoutePart::Source, 0), incident(RoutePart::DeadLetters, 0)];
        assert_eq!(hangs(&all), [""; 0]);
        let busy = |seconds| Busy {
            role: "worker",
            time: Duration::from_secs(seconds),
            time_max: Duration::from_secs(270),
        };
        all.routes[0].busy = busy(270);
        assert_eq!(hangs(&all), [""; 0]);
        all.routes[0].busy = busy(271);
        let line = "route a: a worker has been at one piece of work for 271 s, which should end within 270 s: \
                    start the router again";
        assert_eq!(hangs(&all), [line]);
    }

    #[test]
    fn the_summary_says_everything_in_a_line() {
        let mut one = route("power");
        let counters = "read 1000, delivered 900, filtered 50, unmatched 40, retried 10, dead letters 3, anomalies 1, \
                        waiting 7, lag 1.5 s, settled to 2023-11-14T22:13:21Z, \
                        last event 2023-11-14T22:13:22Z (key 4711)";
        assert_eq!(summary(&one, at(NOW)), format!("running for 500 s; {counters}"));
        one.catching_up = Some(behind_by(138));
        let said = summary(&one, at(NOW));
        assert!(said.starts_with("catching up for 500 s (138 events behind and more in the source, 45.5/s, done in about 90 s); read"), "{said}");
        one.incidents = vec![incident(RoutePart::Delivery, NOW - 60)];
        one.lag_seconds = None;
        assert!(summary(&one, at(NOW)).contains(" lag unknown, "));
        one.last_read = None;
        one.settled_to = None;
        let said = summary(&one, at(NOW));
        assert!(said.starts_with("failing for 60 s (it failed: do this); read 1000, "), "{said}");
        assert!(said.ends_with("settled to nothing yet, last event none"), "{said}");
    }

    fn behind_by(backlog: usize) -> CatchingUp {
        let end = Some(Duration::from_secs(90));
        CatchingUp { backlog, is_reading: true, events_per_second: 45.5, end }
    }

    #[test]
    fn a_route_that_catches_up_is_ready_and_says_so() {
        let mut all = snapshot(vec![route("a"), route("b")]);
        all.routes[1].catching_up = Some(behind_by(1));
        assert_eq!(state(&all.routes[1]), (State::CatchingUp, at(NOW - 500)));
        assert_eq!(obstacles(&all), [""; 0]);
        let line = "route b: catching up: 1 event behind and more in the source, 45.5/s, done in about 90 s";
        assert_eq!(behind(&all), [line]);
        let status: Value = serde_json::from_str(&json(&all)).unwrap();
        assert_eq!(
            (&status["state"], &status["routes"][1]["state"]),
            (&"ready".into(), &"catching up".into())
        );
        let expected = serde_json::json!({"backlog": 1, "reading": true, "events_per_second": 45.5,
            "seconds_left": 90.0, "end": at(NOW + 90).to_string()});
        assert_eq!(status["routes"][1]["catching_up"], expected);
        assert_eq!(status["routes"][0].get("catching_up"), None);
        // What is wrong counts more, and what is not seen is not known.
        all.routes[1].incidents = vec![incident(RoutePart::Source, NOW - 50)];
        all.routes[1].lag_seconds = None;
        assert_eq!((state(&all.routes[1]).0, behind(&all).len()), (State::Disconnected, 0));
        let status: Value = serde_json::from_str(&json(&all)).unwrap();
        assert!(status["routes"][1]["lag_seconds"].is_null(), "{status}");
        all.routes[1].incidents.clear();
        all.routes[1].catching_up = Some(CatchingUp { end: None, is_reading: false, ..behind_by(7) });
        assert!(behind(&all)[0].ends_with("7 events behind, 45.5/s, no end in sight"), "{:?}", behind(&all));
    }
}
