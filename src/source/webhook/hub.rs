//! The address of a webhook, and the routes that take what is sent to it: every event goes to each of
//! them, and its sender is answered when all have settled it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::access::Access;
use super::settings::WebhookConfig;
use super::window::{Key, Waiter, Window};
use crate::cloudevents::CloudEvent;
use crate::cloudevents::incoming::Refusal;
use crate::error::{Error, Result};
use crate::event::Receipt;
use crate::http::server::tls::ServerTls;
use crate::http::server::{Answer, InRequest, Reply, Server, ServerSettings};
use crate::limits::{
    WEBHOOK_BATCH_EVENTS_MAX, WEBHOOK_CONNECTIONS_MAX, WEBHOOK_HELD_BYTES_MAX, WEBHOOK_RETRY_AFTER,
    WEBHOOK_SETTLED_AGE_MAX, WEBHOOK_SETTLED_MAX,
};
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
    /// What is sent.
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

    /// A route reads: the address is listened on. Gives where that is.
    ///
    /// # Errors
    /// When it cannot be listened on, or a secret cannot be read.
    pub(super) fn open(self: &Arc<Hub>, config: &WebhookConfig) -> Result<SocketAddr> {
        let mut state = self.lock();
        if let Some(listening) = &mut state.listening {
            listening.routes += 1;
            return Ok(listening.server.address());
        }
        let server = listen(self.clone(), config)?;
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
    fn settle(&self, events: &[CloudEvent], until: Instant, stop: &Stop) -> bool {
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

/// Listens as a webhook does; `check` does so for a moment.
pub(super) fn listen(hub: Arc<Hub>, config: &WebhookConfig) -> Result<Server> {
    let access = Access::new(config.access.clone())?;
    let settings = ServerSettings {
        connections_max: WEBHOOK_CONNECTIONS_MAX,
        body_bytes_max: config.body_bytes_max,
        held_bytes_max: WEBHOOK_HELD_BYTES_MAX,
        tls: config.tls.as_ref().map(ServerTls::new).transpose()?.map(Arc::new),
        ..ServerSettings::default()
    };
    let desk = Desk { hub, access, config: config.clone() };
    Server::start(&config.bind, settings, move |request| Reply::Answer(desk.answer(request)))
        .map_err(|error| Error::new(format!("{error}: set another `bind`, or stop what uses this one")))
}

/// Answers requests.
struct Desk {
    hub: Arc<Hub>,
    access: Access,
    config: WebhookConfig,
}

impl Desk {
    fn answer(&self, request: &InRequest) -> Answer {
        if request.path() != self.config.path {
            return Answer::text(404, "nothing takes events here");
        }
        if let Some(refusal) = self.access.refuses(request) {
            return refusal;
        }
        match request.method.as_str() {
            "POST" => self.take(request),
            "OPTIONS" => granted(request.header("webhook-request-origin")),
            _ => Answer::text(405, "events are posted").header("Allow", "POST, OPTIONS"),
        }
    }

    fn take(&self, request: &InRequest) -> Answer {
        let until = Instant::now() + self.config.timeout;
        let events =
            crate::cloudevents::incoming::read(&request.headers, &request.body, WEBHOOK_BATCH_EVENTS_MAX);
        let events = match (events, &self.config.event) {
            (Err(Refusal::NoEvent(_)), Some(event)) => event.event(request).map(|ce| vec![ce]),
            (events, _) => events,
        };
        let events = match events {
            Ok(events) => events,
            Err(Refusal::NoEvent(why) | Refusal::Unknown(why)) => return Answer::text(415, &why),
            Err(Refusal::Broken(error)) => return Answer::text(400, &error.to_string()),
            Err(Refusal::TooMany(why)) => return Answer::text(413, &why),
        };
        if self.hub.settle(&events, until, &request.stop) {
            return Answer::new(200, "text/plain; charset=utf-8", "");
        }
        let seconds = WEBHOOK_RETRY_AFTER.as_secs().to_string();
        Answer::text(503, "not delivered yet: send it again, it will not be delivered twice")
            .header("Retry-After", seconds)
    }
}

/// The handshake of CloudEvents' web hooks: whoever asks may send as much as it likes. Where it wants
/// to be called back it is not: that would send requests to any address that a stranger names.
fn granted(origin: Option<&str>) -> Answer {
    Answer::new(200, "text/plain; charset=utf-8", "")
        .header("Allow", "POST, OPTIONS")
        .header("WebHook-Allowed-Origin", origin.unwrap_or("*"))
        .header("WebHook-Allowed-Rate", "*")
}
