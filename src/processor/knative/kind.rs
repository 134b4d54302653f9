//! Knative as a kind of processors: what the table of kinds needs of it, and how it is checked.

use std::sync::Arc;

use super::Knative;
use super::settings::KnativeConfig;
use super::target::{Finder, text_of};
use crate::error::{Error, Result};
use crate::finding::{Finding, Tell};
use crate::http::answer::{StatusClass, class_of, refusal, sender_cure};
use crate::http::client::{Request, Response, url_text};
use crate::processor::{KnownEvents, Processor, ProcessorSettings};

impl ProcessorSettings for KnativeConfig {
    fn address(&self) -> String {
        text_of(&self.destination)
    }

    fn product(&self) -> Option<&'static str> {
        Some("Knative")
    }

    fn make(&self, name: &str, _: &str, at_least_once: bool) -> Result<Arc<dyn Processor>> {
        Ok(Arc::new(Knative::new(name, self, at_least_once)?))
    }

    fn probe(&self, name: &str, _: &dyn Fn() -> Option<KnownEvents>, tell: Tell<'_>) {
        probe(name, self, tell);
    }
}

/// Looks up the address as a run would, resolves, connects, shakes hands and asks for the methods of
/// the address: no event is sent. Many sinks know no OPTIONS, so that most refusals are as good an
/// answer as any.
fn probe(name: &str, config: &KnativeConfig, tell: Tell<'_>) {
    let target = Finder::new(name, config)
        .and_then(|finder| finder.find(None).map_err(|failure| Error::new(failure.text)));
    let target = match target {
        Ok(target) => target,
        Err(error) => return tell(Finding::Failed(error.to_string())),
    };
    if config.cluster.is_some() {
        tell(Finding::Good(format!("events go to {}", target.text())));
    }
    let authorization = match target.token() {
        Ok(token) => token.map(|token| format!("Bearer {token}")),
        Err(error) => return tell(Finding::Failed(error.to_string())),
    };
    let headers: Vec<_> =
        authorization.as_deref().map(|value| ("authorization", value)).into_iter().collect();
    let answer = target.client.send(&Request {
        method: "OPTIONS",
        url: &target.url,
        headers: &headers,
        body: b"",
        timeout: config.timeout,
        body_bytes_max: 0,
        repeat_if_stale: true,
        head_suffices: false,
    });
    let url = url_text(&target.url);
    let response = match answer {
        Ok(response) => response,
        Err(error) => return tell(Finding::Failed(format!("{error}{}", error.kind.cure()))),
    };
    let status = response.status;
    if let Some(doubt) = doubt(&target.url, &response) {
        tell(Finding::Doubtful(doubt));
    } else if config.connection.tls.insecure && url.starts_with("https:") {
        tell(Finding::Doubtful(format!("{url} answers; insecure = true: anybody could be answering")));
    } else {
        tell(Finding::Good(format!("{url} answers ({status} to OPTIONS)")));
    }
}

/// What an answer to OPTIONS lets fear for events, if anything.
fn doubt(url: &str, response: &Response) -> Option<String> {
    let (text, status) = (url_text(url), response.status);
    let takes_post = || {
        let allowed = response.header("allow").unwrap_or_default();
        allowed.split(',').any(|method| method.trim().eq_ignore_ascii_case("POST"))
    };
    match (class_of(status), status) {
        (_, 404) => Some(format!("{text} answers 404: is its path right?")),
        (StatusClass::Sender, 405) if takes_post() => None,
        (StatusClass::Sender, 405) => Some(format!(
            "{text} answers 405 to OPTIONS, and does not say that it takes POST: if it refuses events likewise, the \
             route holds: {}",
            sender_cure(status)
        )),
        (StatusClass::Sender, _) => Some(format!(
            "{}; if it refuses events likewise, the route holds: {}",
            refusal("OPTIONS", url, response),
            sender_cure(status)
        )),
        (_, 501) => None,
        (_, 500..) => Some(format!("{text} answers {status}: while it does, events wait")),
        _ => None,
    }
}
