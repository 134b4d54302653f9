//! When an outage is over: the first success after a quiet time ends the waits of the others. Pure data;
//! time comes in as a value.

use std::time::Instant;

use crate::limits::{RECOVERY_QUIET_MIN, RECOVERY_SPREAD};

/// What a sink, or one target of it, went through last.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    succeeded_at: Option<Instant>,
    failed_since: bool,
    recovered_at: Option<Instant>,
}

impl Outage {
    /// It took something. True when that ends an outage: while something succeeds all the time, what
    /// fails does so for a reason of its own.
    pub(crate) fn succeeded(&mut self, now: Instant) -> bool {
        let was_quiet =
            self.succeeded_at.is_none_or(|at| RECOVERY_QUIET_MIN <= now.saturating_duration_since(at));
        let is_over = self.failed_since && was_quiet;
        if is_over {
            self.recovered_at = Some(now);
        }
        (self.succeeded_at, self.failed_since) = (Some(now), false);
        is_over
    }

    /// It failed, and is tried again at `due`, or sooner: what was on its way when an outage ended comes
    /// with the others.
    pub(crate) fn failed(&mut self, due: Instant, now: Instant) -> Instant {
        self.failed_since = true;
        let is_recovering =
            self.recovered_at.is_some_and(|at| now.saturating_duration_since(at) < RECOVERY_SPREAD);
        if is_recovering { due.min(now + RECOVERY_SPREAD) } else { due }
    }
}
