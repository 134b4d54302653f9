//! What changed about the routes between two looks, each told once. Pure: looks and times are values.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::limits::{OWN_COUNT_INTERVAL, OWN_SETTLED_AGE};
use crate::observe::snapshot::{Part, RouteSnapshot};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// Its name, which is the subject of its event.
    pub(super) subject: &'static str,
    /// The route that it is about; empty for the process.
    pub(super) route: String,
    /// What is said about it, in order.
    pub(super) members: Vec<(&'static str, Value)>,
}

impl Change {
    /// One about the whole process.
    pub(super) fn of_process(
        subject: &'static str,
        message: String,
        members: Vec<(&'static str, Value)>,
    ) -> Change {
        let message = ("Message", Value::from(message));
        Change { subject, route: String::new(), members: [vec![message], members].concat() }
    }
}

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Watch(HashMap<String, Route>);

#[derive(Debug, Default)]
struct Route {
    // Since when, by the place of the trouble in `TROUBLES`.
    troubles: [Option<Timestamp>; TROUBLES.len()],
    counts: [Count; COUNTS.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    told: u64,
    at: Option<Timestamp>,
}

/// Parts of a route, how their trouble is called, its end, and what it means in words.
const TROUBLES: [(&[Part], &str, &str, &str); 3] = [
    (&[Part::Source], "SourceLost", "SourceRecovered", "the source cannot be read"),
    (&[Part::Stall], "SourceStalled", "SourceRecovered", "the source hides events"),
    (&[Part::Delivery, Part::DeadLetters], "RouteFailing", "RouteRecovered", "events cannot be delivered"),
];

type CountOf = fn(&RouteSnapshot) -> u64;
const COUNTS: [(CountOf, &str, &str); 3] = [
    (|route| route.counts.dead_lettered, "DeadLettered", "events were kept as dead letters"),
    (|route| route.counts.lost, "EventsLost", "events were given up and are lost"),
    (|route| route.counts.gaps, "Gap", "the source no longer had all events: the log says from when to when"),
];

impl Watch {
    /// What is new. Trouble that passes quickly is not told, and counts are told once a minute.
    pub(super) fn changes(&mut self, routes: &[RouteSnapshot], now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        for route in routes {
            let told = self.0.entry(route.about.route.clone()).or_default();
            for (place, trouble) in TROUBLES.iter().enumerate() {
                changes.extend(troubled(route, trouble, &mut told.troubles[place], now));
            }
            for (place, count) in COUNTS.iter().enumerate() {
                changes.extend(counted(route, count, &mut told.counts[place], now));
            }
        }
        changes
    }
}

fn troubled(
    route: &RouteSnapshot,
    (parts, begun, ended, words): &(&[Part], &'static str, &'static str, &str),
    told: &mut Option<Timestamp>,
    now: Timestamp,
) -> Option<Change> {
    let incident = route.incidents.iter().find(|incident| parts.contains(&incident.part));
    match (incident, *told) {
        (Some(incident), None) if age(incident.since, now) >= OWN_SETTLED_AGE => {
            *told = Some(incident.since);
            let message = format!("{words} since {}: {}", incident.since, incident.detail);
            let more = vec![
                ("Since", json!(incident.since.to_string())),
                ("Reason", json!(incident.detail)),
                ("Cure", json!(incident.cure)),
                ("Count", json!(incident.times)),
            ];
            Some(about(route, begun, &message, more))
        }
        (None, Some(since)) => {
            *told = None;
            let seconds = age(since, now).as_secs();
            let message = format!("it works again after {seconds} s");
            let more = vec![("Begin", json!(since.to_string())), ("End", json!(now.to_string()))];
            Some(about(route, ended, &message, more))
        }
        _ => None,
    }
}

fn counted(
    route: &RouteSnapshot,
    (count, subject, words): &(CountOf, &'static str, &str),
    told: &mut Count,
    now: Timestamp,
) -> Option<Change> {
    let new = count(route).saturating_sub(told.told);
    let is_due = told.at.is_none_or(|at| age(at, now) >= OWN_COUNT_INTERVAL);
    if new == 0 || !is_due {
        return None;
    }
    *told = Count { told: count(route), at: Some(now) };
    Some(about(route, subject, &format!("{words} ({new})"), vec![("Count", json!(new))]))
}

fn about(
    route: &RouteSnapshot,
    subject: &'static str,
    message: &str,
    more: Vec<(&'static str, Value)>,
) -> Change {
    let about = &route.about;
    let mut members = vec![
        ("Message", json!(format!("route {}: {message}", about.route))),
        ("Route", json!(about.route)),
        ("Source", json!(about.source)),
        ("Processor", json!(about.processor)),
    ];
    members.extend(more.into_iter().filter(|(_, value)| *value != json!("")));
    Change { subject, route: about.route.clone(), members }
}

fn age(since: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::{NOW, incident, route};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn subjects(changes: &[Change]) -> Vec<&'static str> {
        changes.iter().map(|change| change.subject).collect()
    }

    #[test]
    fn trouble_is_told_once_when_it_lasts_and_once_when_it_is_over() {
        let (mut watch, mut power) = (Watch::default(), route("power"));
        watch.changes(std::slice::from_ref(&power), at(NOW));
        let mut look =
            |power: &RouteSnapshot, second| watch.changes(std::slice::from_ref(power), at(NOW + second));
        power.incidents = vec![incident(Part::Source, NOW)];
        assert_eq!(look(&power, 1), [], "it may pass");
        let told = look(&power, 10);
        assert_eq!(subjects(&told), ["SourceLost"]);
        assert!(
            told[0].members[0]
                .1
                .as_str()
                .unwrap()
                .starts_with("route power: the source cannot be read since")
        );
        assert_eq!(look(&power, 20), []);
        power.incidents = vec![incident(Part::Delivery, NOW + 15)];
        assert_eq!(subjects(&look(&power, 30)), ["SourceRecovered", "RouteFailing"]);
        power.incidents = Vec::new();
        assert_eq!(subjects(&look(&power, 31)), ["RouteRecovered"]);
        power.incidents = vec![incident(Part::Source, NOW + 40)];
        assert_eq!(look(&power, 41), []);
        power.incidents = Vec::new();
        assert_eq!(look(&power, 42), [], "what was not told does not end");
    }

    #[test]
    fn counts_are_told_at_most_once_a_minute() {
        let (mut watch, mut power) = (Watch::default(), route("power"));
        power.counts.dead_lettered = 0;
        power.counts.lost = 0;
        power.counts.gaps = 0;
        let mut look =
            |power: &RouteSnapshot, second| watch.changes(std::slice::from_ref(power), at(NOW + second));
        assert_eq!(look(&power, 0), []);
        power.counts.dead_lettered = 1;
        assert_eq!(subjects(&look(&power, 1)), ["DeadLettered"]);
        for second in 2..60 {
            power.counts.dead_lettered += 10;
            assert_eq!(look(&power, second), []);
        }
        let told = look(&power, 70);
        assert_eq!(told[0].members.last().unwrap(), &("Count", json!(580)));
    }
}
