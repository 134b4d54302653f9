//! Which functions want which events, as the answers of a gateway tell. Pure: JSON in, map out.
//!
//! A function subscribes by its annotation `topic`: names of events, divided by commas. A name
//! matches exactly, case included. A target is a function as the gateway's routes name it:
//! `NAME.NAMESPACE`, or `NAME` where there are no namespaces. Members of the answers are those of faas-provider's
//! `types/function_status.go`; of them only `name` is always there.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Context, Error, Result};
use crate::limits::{LISTING_ANOMALIES_MAX, NAMESPACES_MAX};
use crate::order;
use crate::processor::Target;

/// The annotation that makes a function a subscriber.
const ANNOTATION: &str = "topic";

/// The functions of each topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicMap {
    targets: HashMap<Box<str>, Vec<Target>>,
    // Subscriptions that the last listing did not show any more, and since when.
    missing: HashMap<(Box<str>, Target), Instant>,
    functions: usize,
    anomalies: Vec<String>,
}

impl TopicMap {
    /// The functions that subscribe to a topic, each once, in the order of their names.
    pub(crate) fn targets(&self, topic: &str) -> &[Target] {
        self.targets.get(topic).map_or(&[], Vec::as_slice)
    }

    /// Whether the last listing itself showed the subscription.
    pub(crate) fn is_listed(&self, topic: &str, target: &str) -> bool {
        self.targets(topic).iter().any(|listed| **listed == *target)
            && !self.missing.contains_key(&(topic.into(), target.into()))
    }

    /// Subscriptions that are kept until another listing confirms that they are gone.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.missing.len()
    }

    /// This listing after `last`, asked for at `at`. A gateway that is just starting shows nothing for a
    /// moment: so what vanishes stays subscribed until a listing at least `confirm` later does not show
    /// it either.
    pub(crate) fn after(mut self, last: &TopicMap, at: Instant, confirm: Duration) -> TopicMap {
        for (topic, targets) in &last.targets {
            for target in targets {
                if self.targets(topic).contains(target) {
                    continue;
                }
                let place = (topic.clone(), target.clone());
                let since = last.missing.get(&place).copied().unwrap_or(at);
                if at.saturating_duration_since(since) < confirm || since == at {
                    self.missing.insert(place, since);
                }
            }
        }
        for (topic, target) in self.missing.keys() {
            self.targets.entry(topic.clone()).or_default().push(target.clone());
        }
        self.targets.values_mut().for_each(order::sort);
        self
    }

    /// The topics that have subscribers, in their order.
    pub(crate) fn topics(&self) -> Vec<&str> {
        let mut topics: Vec<&str> = self.targets.keys().map(|topic| &**topic).collect();
        order::sort(&mut topics);
        topics
    }

    /// How many functions subscribe to something.
    pub(crate) fn functions(&self) -> usize {
        self.functions
    }

    /// What in the gateway's answers could not be used.
    pub(crate) fn anomalies(&self) -> &[String] {
        &self.anomalies
    }
}

/// Collects the answers of one pass over a gateway.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    map: TopicMap,
}

impl Builder {
    /// Takes the answer to `/system/functions`. Without a namespace, the functions are called by
    /// their bare names.
    ///
    /// # Errors
    /// When the answer is not a list of functions. Nothing of it was taken then.
    pub(crate) fn add_functions(&mut self, namespace: Option<&str>, body: &[u8]) -> Result<()> {
        // A Go list that was never filled is `null`.
        let functions: Option<Vec<Function>> =
            serde_json::from_slice(body).context(|| "not a list of functions")?;
        for function in functions.unwrap_or_default() {
            self.add(namespace, function);
        }
        Ok(())
    }

    /// Notes what could not be used, up to a number of times.
    pub(crate) fn anomalies(&mut self, anomaly: String) {
        if self.map.anomalies.len() < LISTING_ANOMALIES_MAX {
            self.map.anomalies.push(anomaly);
        }
    }

    /// The map of everything that was taken.
    pub(crate) fn finish(mut self) -> TopicMap {
        for targets in self.map.targets.values_mut() {
            order::sort(targets);
            targets.dedup();
        }
        self.map
    }

    fn add(&mut self, namespace: Option<&str>, function: Function) {
        let Some(topics) = function.annotations.as_ref().and_then(|all| all.get(ANNOTATION)) else { return };
        let Some(topics) = topics.as_str() else {
            return self
                .anomalies(format!("annotation {ANNOTATION} of function {:?} is not text", function.name));
        };
        if !is_routable(&function.name) {
            return self.anomalies(format!("function name {:?} cannot be part of a route", function.name));
        }
        let target: Target = match namespace {
            Some(namespace) => format!("{}.{namespace}", function.name).into(),
            None => function.name.into(),
        };
        let mut topics = topics.split(',').map(str::trim).filter(|topic| !topic.is_empty()).peekable();
        self.map.functions += usize::from(topics.peek().is_some());
        for topic in topics {
            self.map.targets.entry(topic.into()).or_default().push(target.clone());
        }
    }
}

/// The namespaces that the answer to `/system/namespaces` names. None at all, an empty answer
/// included, means that the gateway has no namespaces.
///
/// # Errors
/// When the answer is not a list of names that can be part of a route, or too long a list.
pub(crate) fn parse_namespaces(body: &[u8]) -> Result<Vec<String>> {
    if body.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let names: Option<Vec<String>> = serde_json::from_slice(body).context(|| "not a list of namespaces")?;
    let mut names = names.unwrap_or_default();
    // An empty name is the Go client's way to say "no namespace".
    names.retain(|name| !name.is_empty());
    order::sort(&mut names);
    names.dedup();
    if NAMESPACES_MAX < names.len() {
        return Err(Error::new(format!("more than {NAMESPACES_MAX} namespaces")));
    }
    match names.iter().find(|name| !is_routable(name)) {
        Some(name) => Err(Error::new(format!("{name:?} is not the name of a namespace"))),
        None => Ok(names),
    }
}

/// What a listing tells of a function, as far as we care.
#[derive(Deserialize)]
struct Function {
    name: String,
    annotations: Option<HashMap<String, Value>>,
}

/// Whether a name consists of what the gateway's routes take (`gateway/main.go`, `NameExpression`).
fn is_routable(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(listings: &[(Option<&str>, &str)]) -> TopicMap {
        let mut builder = Builder::default();
        for (namespace, body) in listings {
            builder.add_functions(*namespace, body.as_bytes()).unwrap();
        }
        builder.finish()
    }

    #[test]
    fn what_vanishes_from_a_listing_stays_until_another_one_confirms_it() {
        let (begin, refresh) = (Instant::now(), Duration::from_secs(30));
        let full = || map(&[(None, &format!("[{},{}]", function("a", "x,y"), function("b", "x")))]);
        let empty = || map(&[(None, "[]")]);
        let first = full().after(&TopicMap::default(), begin, refresh);
        let second = empty().after(&first, begin + refresh, refresh);
        assert_eq!(
            (names(&second, "x"), names(&second, "y"), second.unconfirmed()),
            (vec!["a", "b"], vec!["a"], 3)
        );
        assert!(first.is_listed("x", "a") && !second.is_listed("x", "a"));
        // One that is asked for early does not confirm it, and one that shows it again ends the doubt.
        let early = empty().after(&second, begin + refresh + refresh / 2, refresh);
        assert_eq!(names(&early, "x"), ["a", "b"]);
        let back = full().after(&early, begin + 2 * refresh, refresh);
        assert_eq!((back.unconfirmed(), back.is_listed("y", "a")), (0, true));
        let gone = empty().after(&early, begin + 2 * refresh, refresh);
        assert_eq!((names(&gone, "x").len(), gone.unconfirmed()), (0, 0));
        // Only one of the subscriptions goes.
        let less = map(&[(None, &format!("[{}]", function("a", "x")))]);
        let partly = less.after(&back, begin + 3 * refresh, refresh);
        assert_eq!(
            (names(&partly, "x"), names(&partly, "y"), partly.unconfirmed()),
            (vec!["a", "b"], vec!["a"], 2)
        );
    }

    fn names<'a>(map: &'a TopicMap, topic: &str) -> Vec<&'a str> {
        map.targets(topic).iter().map(|target| &**target).collect()
    }

    fn function(name: &str, topic: &str) -> String {
        serde_json::json!({"name": name, "image": "i", "annotations": {"topic": topic}, "replicas": 1})
            .to_string()
    }

    #[test]
    fn topics_are_split_trimmed_and_matched_exactly() {
        let body = format!(
            "[{},{}]",
            function("echo", " VmPoweredOnEvent,\tVmPoweredOffEvent ,, VmPoweredOnEvent,"),
            function("audit", "VmPoweredOnEvent")
        );
        let map = map(&[(Some("openfaas-fn"), &body)]);
        assert_eq!(names(&map, "VmPoweredOnEvent"), ["audit.openfaas-fn", "echo.openfaas-fn"]);
        assert_eq!(names(&map, "VmPoweredOffEvent"), ["echo.openfaas-fn"]);
        for other in ["vmpoweredonevent", "VmPowered", "VmPoweredOnEvent ", "", "*"] {
            assert_eq!(names(&map, other), [""; 0], "{other:?}");
        }
        assert_eq!(map.topics(), ["VmPoweredOffEvent", "VmPoweredOnEvent"]);
        assert_eq!(map.functions(), 2);
    }

    #[test]
    fn namespaces_divide_functions_of_one_name() {
        let body = format!("[{}]", function("echo", "A"));
        let both = map(&[(Some("a"), &body), (Some("b"), &body), (Some("a"), &body)]);
        assert_eq!(names(&both, "A"), ["echo.a", "echo.b"]);
        assert_eq!(names(&map(&[(None, &body)]), "A"), ["echo"]);
    }

    #[test]
    fn functions_without_topic_take_no_part() {
        for body in [
            "null",
            " [] ",
            r#"[{"name":"a","image":"i"}]"#,
            r#"[{"name":"a","annotations":null,"labels":{"topic":"A"}}]"#,
            r#"[{"name":"a","annotations":{},"unknown":{"deep":[1]}}]"#,
            r#"[{"name":"a","annotations":{"topic":" , "}}]"#,
        ] {
            assert_eq!(map(&[(None, body)]), TopicMap::default(), "{body}");
        }
    }

    #[test]
    fn one_odd_function_is_noted_and_left_out() {
        let body = format!(
            "[{},{},{},{}]",
            function("../system/functions", "A"),
            function("a b", "A"),
            r#"{"name":"c","annotations":{"topic":7}}"#,
            function("fine", "A")
        );
        let map = map(&[(None, &body)]);
        assert_eq!(names(&map, "A"), ["fine"]);
        assert_eq!(map.functions(), 1);
        assert_eq!(map.anomalies().len(), 3, "{:?}", map.anomalies());
        assert_eq!(map.anomalies()[0], "function name \"../system/functions\" cannot be part of a route");
    }

    #[test]
    fn what_is_no_list_is_an_error_and_not_an_empty_one() {
        for body in ["", "{}", "<html>", "[{\"name\":\"a\"", "[1]", "[{}]", "invalid credentials"] {
            let error = Builder::default().add_functions(None, body.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("not a list of functions: "), "{error}");
        }
    }

    #[test]
    fn namespaces() {
        let parsed = |body: &str| parse_namespaces(body.as_bytes());
        assert_eq!(parsed(r#"["openfaas-fn","dev","dev"]"#).unwrap(), ["dev", "openfaas-fn"]);
        for none in ["", " \n", "[]", "null", r#"[""]"#] {
            assert_eq!(parsed(none).unwrap(), [""; 0], "{none:?}");
        }
        for wrong in ["{}", "[1]", r#"["a"#, "<html>", r#"["a/b"]"#, r#"["a b"]"#] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        let many: Vec<String> = (0..=NAMESPACES_MAX).map(|n| n.to_string()).collect();
        assert!(parsed(&serde_json::to_string(&many).unwrap()).is_err());
    }

    #[test]
    fn large_gateway() {
        let topics = |n: usize| (0..n % 20 + 1).map(|t| format!("Event{}", (n + t) % 50)).collect::<Vec<_>>();
        let bodies: Vec<String> =
            (0..200).map(|n| function(&format!("f{n}"), &topics(n).join(", "))).collect();
        let map = map(&[(Some("fn"), &format!("[{}]", bodies.join(",")))]);
        assert_eq!(map.functions(), 200);
        assert_eq!(map.topics().len(), 50);
        for topic in map.topics() {
            let expected = (0..200).filter(|n| topics(*n).iter().any(|t| t == topic)).count();
            assert_eq!(map.targets(topic).len(), expected, "{topic}");
        }
    }
}
