//! The desk of a webhook: answers its requests, once the hub has settled what they bring.

use std::sync::Arc;
use std::time::Instant;

use super::access::Access;
use super::hub::Hub;
use super::settings::WebhookConfig;
use crate::cloudevents::incoming::{self, Refusal};
use crate::error::{Error, Result};
use crate::http::server::tls::ServerTls;
use crate::http::server::{Answer, InRequest, Reply, Server, ServerSettings};
use crate::limits::{
    WEBHOOK_BATCH_EVENTS_MAX, WEBHOOK_CONNECTIONS_MAX, WEBHOOK_HELD_BYTES_MAX, WEBHOOK_RETRY_AFTER,
};

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
        let events = incoming::read(&request.headers, &request.body, WEBHOOK_BATCH_EVENTS_MAX);
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
