//! What a source that runs in its thread lets others see.

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;

/// Shows what a source suffers from. Clones show the same.
#[derive(Clone, Debug, Default)]
pub struct SourceWatch {
    stall: Arc<Mutex<StallReport>>,
    stall_cure: &'static str,
}

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
    /// A watch of a source for which this is what a person can do about a stall.
    pub(super) fn with_stall_cure(stall_cure: &'static str) -> SourceWatch {
        SourceWatch { stall_cure, ..SourceWatch::default() }
    }

    /// What a person can do about a stall; empty if the source does not know.
    pub(crate) fn stall_cure(&self) -> &'static str {
        self.stall_cure
    }

    /// The report as it is now.
    pub(crate) fn stall(&self) -> StallReport {
        self.lock().clone()
    }

    /// Changes the report.
    pub(super) fn change_stall(&self, change: impl FnOnce(&mut StallReport)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, StallReport> {
        crate::sync::lock(&self.stall)
    }
}
