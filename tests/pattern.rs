//! Event patterns against AWS's own engine, event-ruler: the same answers and the same refusals.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use event_router::pattern::Pattern;
use serde_json::json;

use crate::support::peers::ruler;
use crate::support::random::Random;

mod examples;
mod generate;

/// Pairs of pattern and event in one run; `EVENT_ROUTER_PAIRS` sets another number.
const PAIRS: usize = 120_000;

/// What an engine says about a pattern and an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Match,
    NoMatch,
    Invalid,
}

fn ours(pattern: &str, event: &str) -> Answer {
    match Pattern::of_rule(pattern) {
        Err(_) => Answer::Invalid,
        Ok(pattern) if pattern.matches(event.as_bytes()).unwrap() => Answer::Match,
        Ok(_) => Answer::NoMatch,
    }
}

/// event-ruler's answers to all of `pairs`, with its words.
fn theirs(pairs: &[(String, String)]) -> Vec<(Answer, String)> {
    let mut command: Command = ruler();
    let mut child: Child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let answers: Vec<(Answer, String)> = std::thread::scope(|scope| {
        scope.spawn(move || {
            for (pattern, event) in pairs {
                writeln!(stdin, "{}", json!({"pattern": pattern, "event": event})).unwrap();
            }
        });
        let lines = BufReader::new(stdout).lines().map(Result::unwrap);
        let answers = lines.zip(pairs).map(|(line, pair)| {
            let answer = match line.split(' ').next() {
                Some("match") => Answer::Match,
                Some("nomatch") => Answer::NoMatch,
                Some("invalid") => Answer::Invalid,
                _ => panic!("{line} for {pair:?}"),
            };
            (answer, line)
        });
        answers.collect()
    });
    assert!(child.wait().unwrap().success());
    assert_eq!(answers.len(), pairs.len());
    answers
}

#[test]
#[ignore = "needs event-ruler: run tests/run"]
fn random_pairs_are_judged_as_by_aws() {
    // The same pairs each time: where AWS's engine errs is its own affair, and rare.
    let mut random = Random::from_test_or("random_pairs_are_judged_as_by_aws", 4711);
    let count = std::env::var("EVENT_ROUTER_PAIRS").map_or(PAIRS, |count| count.parse().unwrap());
    let pairs: Vec<(String, String)> = (0..count).map(|_| generate::pair(&mut random)).collect();
    let mut seen: BTreeMap<(&str, Answer), usize> = BTreeMap::new();
    let (mut differences, mut known) = (Vec::new(), 0);
    for ((pattern, event), (answer, words)) in pairs.iter().zip(theirs(&pairs)) {
        for operator in generate::OPERATORS.iter().filter(|operator| pattern.contains(*operator)) {
            *seen.entry((operator, answer)).or_default() += 1;
        }
        let own = ours(pattern, event);
        if own == answer {
            continue;
        }
        if is_known(pattern, answer, own) {
            known += 1;
        } else {
            let refusal = Pattern::of_rule(pattern).err();
            differences.push(format!("{pattern}\n  {event}\n  AWS: {words}\n  here: {own:?} {refusal:?}"));
        }
    }
    differences.sort_by_key(String::len);
    let shown = differences[..differences.len().min(12)].join("\n");
    assert!(differences.is_empty(), "{} of {count} pairs differ:\n{shown}", differences.len());
    assert!(known < count / 1000, "{known} known differences hide too much");
    eprintln!("{count} pairs agree but {known} of the table; by operator and answer: {seen:?}");
    for operator in generate::OPERATORS {
        for answer in [Answer::Match, Answer::NoMatch, Answer::Invalid] {
            let times = seen.get(&(operator, answer)).copied().unwrap_or(0);
            assert!(count / 1000 < times, "{operator}: {answer:?} only {times} times");
        }
    }
}

/// Whether a difference is one of the table in `src/pattern/mod.rs` that random patterns can meet.
fn is_known(pattern: &str, aws: Answer, here: Answer) -> bool {
    // Inside of anything-but a value too many is one too few.
    let shared_bytes = ["\"wildcard\"", "\"equals-ignore-case\""].iter().all(|name| pattern.contains(name))
        && (aws == Answer::Match || pattern.contains("anything-but"))
        && ![aws, here].contains(&Answer::Invalid);
    let forgotten_branch = pattern.contains("\"$or\"") && (aws, here) == (Answer::NoMatch, Answer::Match);
    shared_bytes || forgotten_branch
}

#[test]
#[ignore = "needs event-ruler: run tests/run"]
fn examples_are_judged_as_by_aws() {
    let examples = examples::EXAMPLES.iter().chain(examples::ODDITIES);
    let pairs: Vec<(String, String)> =
        examples.clone().map(|(pattern, event, _)| (pattern.to_string(), event.to_string())).collect();
    for ((pattern, event, expected), (answer, words)) in examples.zip(theirs(&pairs)) {
        assert_eq!(answer, *expected, "{pattern}\n{event}\n{words}");
    }
}

#[test]
fn examples_are_judged_as_documented() {
    for (pattern, event, expected) in examples::EXAMPLES.iter().chain(examples::ODDITIES) {
        assert_eq!(ours(pattern, event), *expected, "{pattern}\n{event}");
    }
}

#[test]
#[ignore = "needs event-ruler: run tests/run"]
fn differences_are_those_of_the_table() {
    let pairs: Vec<(String, String)> = examples::DIFFERENCES
        .iter()
        .map(|(pattern, event, _, _)| (pattern.to_string(), event.to_string()))
        .collect();
    for ((pattern, event, aws, here), (answer, words)) in examples::DIFFERENCES.iter().zip(theirs(&pairs)) {
        assert_eq!((answer, ours(pattern, event)), (*aws, *here), "{pattern}\n{event}\n{words}");
    }
}
