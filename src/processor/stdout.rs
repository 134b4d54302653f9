//! The processor `stdout`: one JSON line per event.

use std::io::{ErrorKind, Write};

use crate::cloudevents;
use crate::processor::{Delivery, Failure, Processor, Retry, Verdict};

/// The reason of a failure when nobody reads standard output any more.
pub(crate) const CLOSED: &str = "closed";

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
