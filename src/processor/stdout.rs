//! The processor `stdout`: one JSON line per event.

use std::io::{ErrorKind, Write};
use std::sync::Arc;

use crate::cloudevents::{self, CloudEvent};
use crate::config::reader::Table;
use crate::error::{Result, io_text};
use crate::finding::{Finding, Tell};
use crate::processor::{
    Delivery, Failure, KnownEvents, Processor, ProcessorSettings, READER_GONE, Retry, Verdict,
};
use crate::template::{Input, Template};

/// Its word in the configuration.
pub(crate) const WORD: &str = "stdout";

/// Its section has no keys of its own.
pub(crate) fn read(_: &Table<'_>) -> Option<StdoutSettings> {
    Some(StdoutSettings::default())
}

/// Nothing can be set in a file.
#[derive(Debug, Default)]
pub(crate) struct StdoutSettings {
    /// What makes the lines, in place of the CloudEvent as JSON.
    pub(crate) template: Option<Arc<Template>>,
    /// It is a command that prints: it ends when nobody reads any more.
    pub(crate) is_command: bool,
}

impl ProcessorSettings for StdoutSettings {
    fn address(&self) -> String {
        "standard output".to_string()
    }

    fn product(&self) -> Option<&'static str> {
        None
    }

    fn make(&self, _: &str, route: &str, _: bool) -> Result<Arc<dyn Processor>> {
        Ok(Arc::new(Stdout {
            template: self.template.clone(),
            route: route.to_string(),
            is_command: self.is_command,
        }))
    }

    fn probe(&self, _: &str, _: &dyn Fn() -> Option<KnownEvents>, tell: Tell<'_>) {
        tell(Finding::Good("prints on standard output".to_string()));
    }
}

/// Prints CloudEvents, one per line: in the JSON format, or what a template makes of them.
#[derive(Debug, Default)]
pub struct Stdout {
    template: Option<Arc<Template>>,
    route: String,
    is_command: bool,
}

impl Stdout {
    /// Standard output of a command that prints, in the JSON format.
    pub fn new() -> Stdout {
        Stdout { is_command: true, ..Stdout::default() }
    }

    fn write(&self, ce: &CloudEvent, line: &mut Vec<u8>) -> Result<()> {
        match &self.template {
            None => cloudevents::write_json(ce, line),
            Some(template) => template.fill(&Input { ce, extensions: &[], route: &self.route }, line)?,
        }
        line.push(b'\n');
        Ok(())
    }
}

impl Processor for Stdout {
    fn deliver(&self, batch: &[Delivery], verdicts: &mut Vec<Verdict>) {
        let failed =
            |retry, reason, detail| Verdict::failed(Failure { target: String::new(), retry, reason, detail });
        let mut line = Vec::new();
        for delivery in batch {
            line.clear();
            if let Err(error) = self.write(&delivery.event.ce, &mut line) {
                verdicts.push(failed(Retry::Never, "template", error.to_string()));
                continue;
            }
            verdicts.push(match print(&line) {
                Ok(()) => Verdict::delivered(),
                Err(error) => {
                    let is_closed = error.kind() == ErrorKind::BrokenPipe;
                    let reason = if is_closed && self.is_command { READER_GONE } else { "stdout" };
                    let text =
                        if is_closed { "nobody reads it any more".to_string() } else { io_text(&error) };
                    let again = Retry::Later { after: None, unsent: false };
                    failed(again, reason, format!("write standard output: {text}"))
                }
            });
        }
    }
}

// One write per line and a flush: a reader sees an event when it happens.
fn print(line: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line)?;
    stdout.flush()
}
