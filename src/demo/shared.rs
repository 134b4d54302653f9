//! What every call of the simulated vCenter is given: the state behind its lock, and who calls.

use std::sync::{Condvar, Mutex, MutexGuard};

use super::fault::Fault;
use super::soap::Call;
use super::state::State;
use crate::http::server::InRequest;

/// The state and the news of its changes.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

/// Who calls, and what is to fail in the answer.
pub(super) struct Context<'r> {
    /// The cookie of the session, as far as there is one.
    pub(super) cookie: String,
    /// Properties come as missing, with this fault.
    pub(super) missing: Option<Fault>,
    /// The request that the call came in.
    pub(super) request: &'r InRequest,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        crate::sync::lock(&self.state)
    }

    /// Counts a call, whatever becomes of it.
    pub(super) fn count(&self, call: &Call) {
        *self.lock().counts.calls.entry(call.method.clone()).or_default() += 1;
        self.changed.notify_all();
    }
}
