//! The threads of a route: started under a name, watched while they live, and none vanishes unseen.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::limits::THREAD_STACK_BYTES;
use crate::observe::stats::Pulse;
use crate::pipeline::{ExitCause, Exits, Role};
use crate::sync::lock;

/// Those that have not ended.
pub(crate) struct Threads {
    name: String,
    exits: Exits,
    alive: Mutex<Vec<(Role, Arc<Pulse>)>>,
}

impl Threads {
    /// None yet, of this route.
    pub(crate) fn new(name: &str, exits: &Exits) -> Arc<Threads> {
        Arc::new(Threads { name: name.to_string(), exits: exits.clone(), alive: Mutex::default() })
    }

    /// Starts one. Its end is told on the channel of ends, after it does not count any more; a failure before
    /// that, and its end behind it as that of one without work.
    ///
    /// # Errors
    /// What the system says against it.
    pub(crate) fn spawn(
        self: &Arc<Threads>,
        role: Role,
        body: impl FnOnce(&Pulse) -> ExitCause + Send + 'static,
    ) -> Result<()> {
        let prefix = match role {
            Role::Poller => "poll",
            Role::Worker => "work",
            Role::Checkpointer => "ckpt",
        };
        let pulse = Arc::new(Pulse::new());
        lock(&self.alive).push((role, pulse.clone()));
        // Linux shows the first 15 bytes of the name.
        let thread = std::thread::Builder::new().name(format!("{prefix}:{}", self.name));
        let (threads, own) = (self.clone(), pulse.clone());
        let started = thread.stack_size(THREAD_STACK_BYTES).spawn(move || {
            let mut notice = Notice { threads, role, pulse: own, cause: None };
            notice.cause = Some(body(&notice.pulse));
        });
        if started.is_err() {
            self.forget(&pulse);
        }
        started.map(drop).context(|| format!("route {}: start a thread", self.name))
    }

    /// Tells that the route cannot go on, as this thread could not be started.
    pub(crate) fn fail(&self, role: Role, error: Error) {
        self.exits.tell(role, ExitCause::Failed(error));
    }

    fn forget(&self, ended: &Arc<Pulse>) {
        lock(&self.alive).retain(|(_, pulse)| !Arc::ptr_eq(pulse, ended));
    }

    /// How many of this role live.
    pub(crate) fn count(&self, wanted: Role) -> usize {
        lock(&self.alive).iter().filter(|(role, _)| *role == wanted).count()
    }

    /// Who is longest at its present work, and for how long.
    pub(crate) fn busiest(&self) -> Option<(Duration, Role)> {
        lock(&self.alive).iter().map(|(role, pulse)| (pulse.busy_for(), *role)).max_by_key(|it| it.0)
    }
}

// Tells the end of a thread however it ends.
struct Notice {
    threads: Arc<Threads>,
    role: Role,
    pulse: Arc<Pulse>,
    cause: Option<ExitCause>,
}

impl Drop for Notice {
    fn drop(&mut self) {
        let panicked = || ExitCause::Failed(Error::new("a thread panicked; this is a fault of the router"));
        let mut cause = self.cause.take().unwrap_or_else(panicked);
        if matches!(cause, ExitCause::Failed(_)) {
            // Whoever sees that this thread is gone must be able to know why; whoever waits for its going is woken below.
            self.threads.exits.tell(self.role, std::mem::replace(&mut cause, ExitCause::Idle));
        }
        self.threads.forget(&self.pulse);
        self.threads.exits.tell(self.role, cause);
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn who_sees_that_a_thread_is_gone_can_know_that_it_failed() {
        for _ in 0..200 {
            let (sender, exits) = bounded(2);
            let threads = Threads::new("r", &Exits::of_slot(0, 1, sender));
            threads.spawn(Role::Checkpointer, |_| ExitCause::Failed(Error::new("no room"))).unwrap();
            while 0 < threads.count(Role::Checkpointer) {
                std::thread::yield_now();
            }
            let told = exits.try_recv().expect("told before it is gone");
            assert!(matches!(told.cause, ExitCause::Failed(_)), "{told:?}");
            assert!(matches!(exits.recv().unwrap().cause, ExitCause::Idle));
        }
    }
}
