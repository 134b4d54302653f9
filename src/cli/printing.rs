//! Commands that print events: when they are done.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::pipeline::view::View;
use crate::processor::READER_GONE;
use crate::stop::Stop;

/// How often it is looked.
const TICK: Duration = Duration::from_millis(10);

/// Waits until stop, until `is_done`, or until standard output takes no more.
///
/// # Errors
/// When standard output cannot be written. A reader that has seen enough (`| head`) is none.
pub(super) fn watch(views: &[View], stop: &Stop, mut is_done: impl FnMut() -> bool) -> Result<()> {
    loop {
        for view in views {
            if let Some(ended) = ended(view) {
                return ended;
            }
        }
        if is_done() || stop.wait(TICK) {
            return Ok(());
        }
    }
}

/// Whether a route to standard output has come to its end there.
pub(super) fn ended(view: &View) -> Option<Result<()>> {
    let retried = view.stats().retried.get();
    let (reason, _) = retried.first()?;
    let closed = *reason == READER_GONE;
    Some(if closed { Ok(()) } else { Err(Error::new("standard output cannot be written")) })
}
