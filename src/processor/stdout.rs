//! The processor `stdout`: one JSON line per event.

use std::io::{ErrorKind, Write};
use std::sync::Arc;

use crate::cloudevents;
use crate::config::reader::Table;
use crate::error::Result;
use crate::finding::{Finding, Tell};
use crate::processor::{Delivery, Failure, KnownEvents, Processor, ProcessorSettings, Retry, Verdict};

/// The reason of a failure when nobody reads standard output any more.
pub(crate) const CLOSED: &str = "closed";

/// Its word in the configuration.
pub(crate) const WORD: &str = "stdout";

/// Its section has no keys of its own.
pub(crate) fn read(_: &Table<'_>) -> Option<Arc<dyn ProcessorSettings>> {
    Some(Arc::new(StdoutSettings))
}

/// Nothing can be set.
#[derive(Debug)]
pub(crate) struct StdoutSettings;

impl ProcessorSettings for StdoutSettings {
    fn address(&self) -> String {
        "standard output".to_string()
    }

    fn product(&self) -> Option<&'static str> {
        None
    }

    fn make(&self, _: &str, _: bool) -> Result<Arc<dyn Processor>> {
        Ok(Arc::new(Stdout::new()))
    }

    fn probe(&self, _: &str, _: &dyn Fn() -> Option<KnownEvents>, tell: Tell<'_>) {
        tell(Finding::Good("prints on standard output".to_string()));
    }
}

/// Prints CloudEvents in the JSON format, one per line.
#[derive(Debug, Default)]
pub struct Stdout;

impl Stdout {
    /// Standard output of this process.
    pub fn new() -> Stdout {
        Stdout
    }
}

impl Processor for Stdout {
    fn deliver(&self, batch: &[Delivery], verdicts: &mut Vec<Verdict>) {
        let mut line = Vec::new();
        for delivery in batch {
            line.clear();
            cloudevents::write_json(&delivery.event.ce, &mut line);
            line.push(b'\n');
            verdicts.push(match print(&line) {
                Ok(()) => Verdict::delivered(),
                Err(error) => Verdict::failed(Failure {
                    target: String::new(),
                    retry: Retry::Later { after: None, unsent: false },
                    reason: if error.kind() == ErrorKind::BrokenPipe { CLOSED } else { "stdout" },
                    detail: format!("write standard output: {error}"),
                }),
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
