//! What changed about the routes between two looks, each told once. Pure: looks and times are values.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::limits::{OWN_COUNT_INTERVAL, OWN_SETTLED_AGE};
use crate::observe::snapshot::{RoutePart, RouteSnapshot};

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
    // By the place of the trouble in `TROUBLES`.
    troubles: [Option<Told>; TROUBLES.len()],
    counts: [Count; COUNTS.len()],
}

/// Trouble that was told.
#[derive(Clone, Copy, Debug)]
struct Told {
    since: Timestamp,
    // In an earlier run: whether it lasts is known when the route shows that it works.
    is_older: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    told: u64,
    at: Option<Timestamp>,
}

/// Parts of a route, how their trouble is called, its end, and what it means in words.
const TROUBLES: [(&[RoutePart], &str, &str, &str); 3] = [
    (&[RoutePart::Source], "SourceLost", "SourceRecovered", "the source cannot be read"),
    (&[RoutePart::Stall], "SourceStalled", "SourceRecovered", "the source hides events"),
    (
        &[RoutePart::Delivery, RoutePart::DeadLetters],
        "RouteFailing",
        "RouteRecovered",
        "events cannot be delivered",
    ),
];

type CountOf = fn(&RouteSnapshot) -> u64;
const COUNTS: [(CountOf, &str, &str); 3] = [
    (|route| route.counts.dead_lettered, "DeadLettered", "events were kept as dead letters"),
    (|route| route.counts.lost, "EventsLost", "events were given up and are lost"),
    (|route| route.counts.gaps, GAP, "the source no longer had all events"),
];
/// The name of a span of events that the source no longer had.
pub(super) const GAP: &str = "Gap";

impl Watch {
    /// With what an earlier run told: subjects, their routes, and since when.
    pub(super) fn resumed<'a>(told: impl Iterator<Item = (&'a str, &'a str, Option<Timestamp>)>) -> Watch {
        let mut watch = Watch::default();
        for (subject, route, since) in told {
            let route = watch.0.entry(route.to_string()).or_default();
            for ((_, begun, ended, _), trouble) in TROUBLES.iter().zip(&mut route.troubles) {
                match since {
                    Some(since) if subject == *begun => *trouble = Some(Told { since, is_older: true }),
                    _ if subject == *ended => *trouble = None,
                    _ => {}
                }
            }
        }
        watch
    }

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
    (parts, begun, ended, words): &(&[RoutePart], &'static str, &'static str, &str),
    told: &mut Option<Told>,
    now: Timestamp,
) -> Option<Change> {
    let incident = route.incidents.iter().find(|incident| parts.contains(&incident.part));
    match (incident, &mut *told) {
        (Some(incident), None) if age(incident.since, now) >= OWN_SETTLED_AGE => {
            *told = Some(Told { since: incident.since, is_older: false });
            let message = format!("{words} since {}: {}", incident.since, incident.detail);
            let more = vec![
                ("Since", json!(incident.since.to_string())),
                ("Reason", json!(incident.detail)),
                ("Cure", json!(incident.cure)),
                ("Count", json!(incident.times)),
            ];
            Some(about(route, begun, &message, more))
        }
        (Some(_), Some(told)) => {
            told.is_older = false;
            None
        }
        (None, Some(Told { since, is_older })) if !*is_older || works(route, parts) => {
            let since = *since;
            *told = None;
            let seconds = age(since, now).as_secs();
            let message = format!("it works again after {seconds} s");
            let more = vec![("Begin", json!(since.to_string())), ("End", json!(now.to_string()))];
            Some(about(route, ended, &message, more))
        }
        _ => None,
    }
}

/// Whether a route has shown since its start that these parts work.
fn works(route: &RouteSnapshot, parts: &[RoutePart]) -> bool {
    match parts {
        [RoutePart::Source | RoutePart::Stall] => route.link.connected && route.last_read.is_some(),
        _ => 0 < route.counts.delivered,
    }
}

fn counted(
    route: &RouteSnapshot,
    (count, subject, words): &(CountOf, &'static str, &str),
    told: &mut Count,
    now: Timestamp,
) -> Option<Change> {
    let new = count(route).saturating_sub(told.told);
    let gap = route.gap.filter(|_| *subject == GAP);
    let is_due = gap.is_some() || told.at.is_none_or(|at| age(at, now) >= OWN_COUNT_INTERVAL);
    if new == 0 || !is_due {
        return None;
    }
    *told = Count { told: count(route), at: Some(now) };
    let count = ("Count", json!(new));
    let Some((begin, end)) = gap else {
        return Some(about(route, subject, &format!("{words} ({new})"), vec![count]));
    };
    let span = [("Begin", json!(begin.to_string())), ("End", json!(end.to_string()))];
    let message = format!("{words}: those from {begin} to {end} are lost");
    Some(about(route, subject, &message, [vec![count], span.to_vec()].concat()))
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
        power.incidents = vec![incident(RoutePart::Source, NOW)];
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
        power.incidents = vec![incident(RoutePart::Delivery, NOW + 15)];
        assert_eq!(subjects(&look(&power, 30)), ["SourceRecovered", "RouteFailing"]);
        power.incidents = Vec::new();
        assert_eq!(subjects(&look(&power, 31)), ["RouteRecovered"]);
        power.incidents = vec![incident(RoutePart::Source, NOW + 40)];
        assert_eq!(look(&power, 41), []);
        power.incidents = Vec::new();
        assert_eq!(look(&power, 42), [], "what was not told does not end");
    }

    #[test]
    fn what_an_earlier_run_told_is_told_again_only_when_it_is_over() {
        let told = [
            ("SourceLost", "power", Some(at(NOW - 50))),
            ("RouteFailing", "power", Some(at(NOW - 40))),
            ("RouteRecovered", "power", None),
        ];
        let mut watch = Watch::resumed(told.into_iter());
        let mut power = route("power");
        (power.link.connected, power.last_read) = (false, None);
        (power.counts.dead_lettered, power.counts.lost, power.counts.gaps) = (0, 0, 0);
        let mut look =
            |power: &RouteSnapshot, second| watch.changes(std::slice::from_ref(power), at(NOW + second));
        assert_eq!(look(&power, 1), [], "nothing is known yet");
        power.incidents = vec![incident(RoutePart::Source, NOW)];
        assert_eq!(look(&power, 10), [], "it was told");
        power.incidents = Vec::new();
        let over = look(&power, 11);
        assert_eq!(subjects(&over), ["SourceRecovered"]);
        assert!(over[0].members.contains(&("Begin", json!(at(NOW - 50).to_string()))), "{over:?}");
        let mut watch = Watch::resumed(told[..1].iter().copied());
        assert_eq!(
            subjects(&watch.changes(&[route("power")], at(NOW))),
            ["SourceRecovered", "DeadLettered", "EventsLost", "Gap"]
        );
    }

    #[test]
    fn a_gap_is_told_at_once_with_its_begin_and_end() {
        let (mut watch, mut power) = (Watch::default(), route("power"));
        (power.counts.dead_lettered, power.counts.lost, power.counts.gaps) = (0, 0, 0);
        for (count, begin) in [(1, 100), (2, 200)] {
            (power.counts.gaps, power.gap) = (count, Some((at(begin), at(begin + 50))));
            let told = watch.changes(std::slice::from_ref(&power), at(NOW));
            assert_eq!(subjects(&told), ["Gap"]);
            let value = |name| told[0].members.iter().find(|(own, _)| *own == name).unwrap().1.clone();
            assert_eq!((value("Begin"), value("Count")), (json!(at(begin).to_string()), json!(1)));
            assert_eq!(value("End"), json!(at(begin + 50).to_string()));
            assert_eq!(watch.changes(std::slice::from_ref(&power), at(NOW)), []);
        }
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
