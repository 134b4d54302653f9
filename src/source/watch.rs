//! What a source that runs in its thread lets others see.

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;

/// Shows what a source suffers from. Clones show the same.
#[derive(Clone, Debug, Default)]
pub struct SourceWatch(Arc<Mutex<StallReport>>);

/// Whether a source is stalled: events are known that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StallReport {
    /// Since when, by our clock; none when all is well.
    pub(crate) stalled_since: Option<Timestamp>,
    /// A bounded word for what was tried last since events were missed first; also set before a
    /// stall is declared, and empty when nothing was.
    pub(crate) tried: &'static str,
    /// For the operator: what is known to be missing, and what to do. Empty when all is well.
    pub(crate) detail: String,
}

impl SourceWatch {
    /// The report as it is now.
    pub(crate) fn stall(&self) -> StallReport {
        self.lock().clone()
    }

    /// Changes the report.
    pub(super) fn change_stall(&self, change: impl FnOnce(&mut StallReport)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, StallReport> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
