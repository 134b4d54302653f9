//! `router dead-letters list|redeliver`: what was refused, and once more to the same processor.

use std::io::Write;

use crate::cli::{Exit, Failure};
use crate::cloudevents::CloudEvent;
use crate::config::RouteConfig;
use crate::error::{Context, Error, Result};
use crate::event::{Event, Lane, Position};
use crate::kinds::{self, Config, ProcessorConfig, SourceConfig};
use crate::pipeline::dead_letter::{DeadLetters, Letter, read};
use crate::processor::{Delivery, Processor, Verdict};

/// What to do with the letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Print them.
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
) -> std::result::Result<(), Failure> {
    let mut refused = 0;
    for route in super::routes(config, route)? {
        match action {
            Action::List => list(config, route, out)?,
            Action::Redeliver => refused += redeliver(config, route, out)?,
        }
    }
    if 0 < refused {
        let error = Error::new(format!("{refused} dead letters could not be delivered and stay"));
        return Err(Failure { exit: Exit::Failed, error });
    }
    Ok(())
}

fn list(config: &Config, route: &RouteConfig, out: &mut impl Write) -> Result<()> {
    let letters = DeadLetters::new(&config.state_dir, &route.name, route.dead_letter_bytes_max);
    let (found, unreadable) = read(letters.path())?;
    let (source, _) = kinds::ends(config, route)?;
    for letter in &found {
        say(
            out,
            &format!(
                "{} {} {} attempts: {}",
                letter.time,
                name(route, source, letter),
                letter.attempts,
                letter.detail
            ),
        )?;
    }
    if 0 < unreadable {
        say(out, &format!("route {}: {unreadable} lines cannot be read (cut by a crash)", route.name))?;
    }
    Ok(())
}

fn redeliver(config: &Config, route: &RouteConfig, out: &mut impl Write) -> Result<usize> {
    let letters = DeadLetters::new(&config.state_dir, &route.name, route.dead_letter_bytes_max);
    let (source, processor) = kinds::ends(config, route)?;
    let sender = processor.settings.make(&processor.name, true)?;
    let (mut refused, mut broken_pipe) = (0, Ok(()));
    letters.redeliver(|letter| {
        let outcome = deliver(sender.as_ref(), processor, source, letter);
        let line = match &outcome {
            Ok(()) => format!("delivered {}", name(route, source, letter)),
            Err(reason) => format!("FAILED    {}: {reason}", name(route, source, letter)),
        };
        broken_pipe = say(out, &line);
        refused += usize::from(outcome.is_err());
        outcome.is_ok()
    })?;
    broken_pipe.map(|()| refused)
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
    let pending = if letter.target.is_empty() { Vec::new() } else { vec![letter.target.clone()] };
    // No attempts yet: the named target is meant, whatever the sink lists by now.
    let event = Event { position, lane: Lane::COMMON, ce, anomalies: Vec::new() };
    let delivery = Delivery { pending, ..Delivery::new(event) };
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
