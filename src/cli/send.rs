//! `router send`: one sample event through the processor of a route, and what came back.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::cli::{CommandFailure, Exit};
use crate::config::RouteConfig;
use crate::error::{Context, Error, Result};
use crate::event::Event;
use crate::kinds::{self, Config, SourceConfig};
use crate::processor::{Delivery, Processor, Retry, Verdict};

/// How long a processor may take until it is ready to send.
const READY_WAIT_MAX: Duration = Duration::from_secs(15);

/// Sends it once and prints the event and a line for every answer.
///
/// # Errors
/// When the route is not known, the event was refused, or nobody wanted it.
pub(super) fn send(
    config: &Config,
    route: Option<&str>,
    name: &str,
    data: Option<&Path>,
    out: &mut impl Write,
) -> std::result::Result<(), CommandFailure> {
    let routes = super::routes(config, route)?;
    let [route] = routes.as_slice() else {
        let error = Error::new("say which route to send on, with --route NAME");
        return Err(CommandFailure { exit: Exit::Refused, error });
    };
    let (source, processor) = kinds::ends(config, route)?;
    let event = make_event(source, route, name, data)?;
    say(out, &format!("sending {} {} to processor {}", event.ce.name(), event.ce.id, processor.name))?;
    let sender = processor.make(&route.name, true)?;
    let begun = Instant::now();
    let (verdict, lines) = deliver(sender.as_ref(), &event);
    for line in &lines {
        say(out, line)?;
    }
    let took = begun.elapsed().as_millis();
    if let Some(failure) = verdict.failures.first() {
        let again = match failure.retry {
            Retry::Never => "a route would make a dead letter of it",
            Retry::Sender { .. } | Retry::Credentials { .. } => {
                "a route would hold and try again until that is corrected"
            }
            _ => "a route would try again",
        };
        return Err(Error::new(format!("not acknowledged: {}; {again}", failure.detail)).into());
    }
    if verdict.unmatched {
        return Err(Error::new(format!("nobody wants {}", event.ce.name())).into());
    }
    Ok(say(out, &format!("acknowledged after {took} ms"))?)
}

fn make_event(source: &SourceConfig, route: &RouteConfig, name: &str, data: Option<&Path>) -> Result<Event> {
    let now = Timestamp::now();
    // Each sample is an event of its own: its identity comes from the time.
    let key = (now.as_millisecond() % i64::from(i32::MAX)) as i32;
    let mut event = source.settings.sample(name, route.format, key, &now.to_string())?;
    if let Some(path) = data {
        let text = std::fs::read(path).context(|| format!("read {}", path.display()))?;
        serde_json::from_slice::<serde::de::IgnoredAny>(&text)
            .context(|| format!("{} is not JSON", path.display()))?;
        event.ce.data = text;
    }
    Ok(event)
}

// A processor that has to find out first where events go may say that it is not ready.
fn deliver(sender: &dyn Processor, event: &Event) -> (Verdict, Vec<String>) {
    let deadline = Instant::now() + READY_WAIT_MAX;
    loop {
        let mut lines = Vec::new();
        let delivery = Delivery::new(event.clone());
        let verdict = sender.deliver_aloud(delivery, &mut lines).unwrap_or_else(Verdict::delivered);
        let waits = verdict.failures.iter().any(|failure| failure.retry == Retry::NotReady);
        if !waits || deadline < Instant::now() {
            return (verdict, lines);
        }
    }
}

fn say(out: &mut impl Write, line: &str) -> Result<()> {
    writeln!(out, "{line}").context(|| "write standard output")
}
