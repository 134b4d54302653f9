//! `router dead-letters list|redeliver`: what was refused, and once more to the same processor.

use std::collections::BTreeMap;
use std::io::Write;

use crate::cli::{CommandFailure, Exit, run};
use crate::cloudevents::CloudEvent;
use crate::config::RouteConfig;
use crate::error::{Context, Error, Result};
use crate::event::{Event, Lane, Position};
use crate::kinds::{self, Config, ProcessorConfig, SourceConfig};
use crate::observe::words::count;
use crate::order;
use crate::pipeline::dead_letter::{DeadLetters, Letter};
use crate::processor::{Aim, Delivery, Processor, Verdict};
use crate::stop::{Stop, stop_signal};

/// What to do with the letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    List,
    /// Deliver them again, with the same ids.
    Redeliver,
}

/// Prints one line per letter. A running router is not disturbed: it goes on adding letters.
///
/// # Errors
/// When the route is not known, a file cannot be read or written, or an event was refused again.
pub(super) fn dead_letters(
    config: &Config,
    route: Option<&str>,
    action: Action,
    out: &mut impl Write,
) -> std::result::Result<(), CommandFailure> {
    let routes = super::routes(config, route)?;
    if action == Action::List {
        return Ok(list(config, &routes, out)?);
    }
    let (end, stop) = stop_signal();
    run::watch_signals(end)?;
    let mut stayed = Stayed::default();
    for route in routes {
        redeliver(config, route, &stop, &mut stayed, out)?;
    }
    let Stayed { refused, untried } = stayed;
    let text = match (refused, untried) {
        (0, 0) => return Ok(()),
        (_, 0) => format!("{} could not be delivered, kept in the file", letters(refused)),
        (0, _) => format!("stopped by a signal: {} not tried, kept in the file", letters(untried)),
        _ => format!(
            "stopped by a signal: {} refused and {} not tried, kept in the file",
            letters(refused),
            letters(untried)
        ),
    };
    Err(CommandFailure { exit: Exit::Failed, error: Error::new(text) })
}

/// What a redelivery leaves behind.
#[derive(Default)]
struct Stayed {
    refused: usize,
    untried: usize,
}

// Standard output has the letters alone, one a line, for other programs; what is said about them goes
// to the log.
fn list(config: &Config, routes: &[&RouteConfig], out: &mut impl Write) -> Result<()> {
    let mut all = 0;
    for route in routes {
        let letters = DeadLetters::new(&config.state_dir, &route.name, route.dead_letter_bytes_max);
        let (found, unreadable) = letters.all()?;
        let (source, _) = kinds::ends(config, route)?;
        for letter in &found {
            let (time, name, attempts) =
                (&letter.time, name(route, source, letter), count(letter.attempts.into(), "attempt"));
            say(out, &format!("{time} {name} {attempts}: {}", letter.detail))?;
        }
        if 0 < unreadable {
            say(
                out,
                &format!(
                    "route {}: {} not readable (cut by a crash)",
                    route.name,
                    count(unreadable as u64, "line")
                ),
            )?;
        }
        if !found.is_empty() {
            log::info!(target: "dead-letters", "route {}: {}", route.name, counted(&found));
        }
        all += found.len() + unreadable;
    }
    if all == 0 {
        log::info!(target: "dead-letters", "no dead letters");
    }
    Ok(())
}

fn letters(number: usize) -> String {
    count(number as u64, "dead letter")
}

/// How many there are of each reason and function, most first.
fn counted(letters: &[Letter]) -> String {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for letter in letters {
        *counts.entry((&letter.reason, &letter.target)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    order::sort_by(&mut counts, |a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let kind = |((reason, target), number): &((&str, &str), usize)| match *target {
        "" => format!("{number} by {reason}"),
        target => format!("{number} by {reason} for {target}"),
    };
    let kinds: Vec<String> = counts.iter().map(kind).collect();
    format!("{}: {}", self::letters(letters.len()), kinds.join(", "))
}

fn redeliver(
    config: &Config,
    route: &RouteConfig,
    stop: &Stop,
    stayed: &mut Stayed,
    out: &mut impl Write,
) -> Result<()> {
    let letters = DeadLetters::new(&config.state_dir, &route.name, route.dead_letter_bytes_max);
    let (source, processor) = kinds::ends(config, route)?;
    let sender = processor.make(&route.name, true)?;
    let mut broken_pipe = Ok(());
    letters.redeliver(|letter| {
        // What is not tried is put back with what was refused.
        if stop.is_stopped() {
            stayed.untried += 1;
            return false;
        }
        let outcome = deliver(sender.as_ref(), processor, source, letter);
        let line = match &outcome {
            Ok(()) => format!("delivered {}", name(route, source, letter)),
            Err(reason) => format!("FAILED    {}: {reason}", name(route, source, letter)),
        };
        broken_pipe = say(out, &line);
        stayed.refused += usize::from(outcome.is_err());
        outcome.is_ok()
    })?;
    broken_pipe
}

fn deliver(
    sender: &dyn Processor,
    processor: &ProcessorConfig,
    source: &SourceConfig,
    letter: &Letter,
) -> std::result::Result<(), String> {
    let Some(ce) = event_of(source, letter) else {
        return Err("it could not be converted to an event, so there is nothing to send".to_string());
    };
    // Where it stood in the source matters no more.
    let position = Position { key: 0, time: jiff::Timestamp::UNIX_EPOCH };
    let mut delivery =
        Delivery::new(Event { position, lane: Lane::COMMON, ce, anomalies: Vec::new(), receipt: None });
    if !letter.target.is_empty() {
        delivery.aim = Aim::Named(letter.target.as_str().into());
    }
    let mut verdicts = Vec::new();
    sender.deliver(&[delivery], &mut verdicts);
    let verdict = verdicts.pop().unwrap_or_else(Verdict::delivered);
    match verdict.failures.first() {
        None => Ok(()),
        Some(failure) => Err(format!("processor {}: {}", processor.name, failure.detail)),
    }
}

/// The event with the name that its source gave it, which the letter does not hold.
fn event_of(source: &SourceConfig, letter: &Letter) -> Option<CloudEvent> {
    let ce = letter.event.clone()?;
    let name_in_type = source.settings.name_in_type(&ce.ty);
    Some(CloudEvent { name_in_type, ..ce })
}

fn name(route: &RouteConfig, source: &SourceConfig, letter: &Letter) -> String {
    let target = if letter.target.is_empty() { String::new() } else { format!(" for {}", letter.target) };
    match event_of(source, letter) {
        Some(ce) => {
            format!("route {}: {} {}{target}", route.name, ce.name(), ce.id)
        }
        None => format!("route {}: an event that cannot be converted", route.name),
    }
}

fn say(out: &mut impl Write, line: &str) -> Result<()> {
    writeln!(out, "{line}").context(|| "write standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted_by_reason_and_function_the_most_first() {
        let letter = |reason: &str, target: &str| Letter {
            time: String::new(),
            target: target.to_string(),
            reason: reason.to_string(),
            detail: String::new(),
            attempts: 1,
            event: None,
            raw: None,
        };
        let letters = [letter("400", "a"), letter("conversion", ""), letter("400", "b"), letter("400", "b")];
        let counts = "4 dead letters: 2 by 400 for b, 1 by 400 for a, 1 by conversion";
        assert_eq!(counted(&letters), counts);
    }
}
