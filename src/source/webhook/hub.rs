//! The address of a webhook, and the routes that take what is sent to it: every event goes to each of
//! them, and its sender is answered when all have settled it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::window::{Key, Waiter, Window};
use crate::cloudevents::CloudEvent;
use crate::error::Result;
use crate::event::Receipt;
use crate::http::server::Server;
use crate::limits::{WEBHOOK_SETTLED_AGE_MAX, WEBHOOK_SETTLED_MAX};
use crate::stop::Stop;

/// What a route is handed.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The event as it was sent.
    pub(super) ce: CloudEvent,
    /// Who waits for it.
    pub(super) receipt: Arc<dyn Receipt>,
}

/// One for all routes from a webhook.
#[derive(Debug, Default)]
pub(super) struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    inboxes: Vec<Arc<Inbox>>,
    listening: Option<Listening>,
}

// Runs while one of the routes is open.
struct Listening {
    server: Server,
    routes: usize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("inboxes", &self.inboxes).finish_non_exhaustive()
    }
}

/// The way to one route.
#[derive(Debug)]
pub(super) struct Inbox {
    // Whoever sends waits here: nothing piles up.
    sender: Sender<Arrival>,
    pub(super) arrivals: Receiver<Arrival>,
    window: Arc<Window>,
}

impl Hub {
    /// One more route takes what is sent, as soon as it reads.
    pub(super) fn join(&self) -> Arc<Inbox> {
        let (sender, arrivals) = bounded(0);
        let window = Window::new(WEBHOOK_SETTLED_MAX, WEBHOOK_SETTLED_AGE_MAX);
        let inbox = Arc::new(Inbox { sender, arrivals, window });
        self.lock().inboxes.push(inbox.clone());
        inbox
    }

    /// The route is gone: nobody waits for it any more.
    pub(super) fn leave(&self, inbox: &Arc<Inbox>) {
        self.lock().inboxes.retain(|other| !Arc::ptr_eq(other, inbox));
    }

    /// A route reads: the first one has the address listened on. Gives where that is.
    ///
    /// # Errors
    /// When it cannot be listened on, or a secret cannot be read.
    pub(super) fn open(&self, listen: impl FnOnce() -> Result<Server>) -> Result<SocketAddr> {
        let mut state = self.lock();
        if let Some(listening) = &mut state.listening {
            listening.routes += 1;
            return Ok(listening.server.address());
        }
        let server = listen()?;
        let address = server.address();
        state.listening = Some(Listening { server, routes: 1 });
        Ok(address)
    }

    /// It reads no more; with the last route the address is given back.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        let Some(listening) = &mut state.listening else { return };
        listening.routes -= 1;
        if listening.routes == 0 {
            let ended = state.listening.take();
            // Its requests look at the routes.
            drop(state);
            drop(ended);
        }
    }

    /// Hands the events to every route and waits until they are settled. False when that has not come by
    /// `until`, or the server stops.
    pub(super) fn settle(&self, events: &[CloudEvent], until: Instant, stop: &Stop) -> bool {
        let inboxes = self.lock().inboxes.clone();
        if inboxes.is_empty() {
            return false;
        }
        let (waiter, done) = Waiter::new();
        for inbox in &inboxes {
            if !events.iter().all(|ce| inbox.take(ce, &waiter, until, stop)) {
                return false;
            }
        }
        waiter.count_down();
        select! {
            recv(done) -> settled => settled == Ok(true),
            recv(stop.channel()) -> _ => done.recv_timeout(STOPPING_WAIT_MAX) == Ok(true),
            default(until.saturating_duration_since(Instant::now())) => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        crate::sync::lock(&self.0)
    }
}

/// What is in flight when the router stops may still be acknowledged.
const STOPPING_WAIT_MAX: Duration = Duration::from_secs(1);

impl Inbox {
    fn take(&self, ce: &CloudEvent, waiter: &Arc<Waiter>, until: Instant, stop: &Stop) -> bool {
        let key = Key::of(&ce.source, &ce.id);
        if !self.window.enter(key, waiter) {
            return true;
        }
        let arrival = Arrival { ce: ce.clone(), receipt: self.window.receipt(key) };
        let sent = select! {
            send(self.sender, arrival) -> sent => sent.is_ok(),
            recv(stop.channel()) -> _ => false,
            default(until.saturating_duration_since(Instant::now())) => false,
        };
        if !sent {
            self.window.give_up(key);
        }
        sent
    }
}
