//! HTTP APIs as a kind of processors: what the table of kinds needs of it, and how it is checked.

use std::sync::Arc;

use super::Http;
use super::access::{Access, shown};
use super::judge::Class;
use super::settings::HttpConfig;
use crate::error::{Context, Result};
use crate::finding::{Finding, Tell};
use crate::http::answer;
use crate::http::client::{Request, url_text};
use crate::limits::SINK_BODY_BYTES_MAX;
use crate::processor::{KnownEvents, Processor, ProcessorSettings};
use crate::template::Template;

impl ProcessorSettings for HttpConfig {
    fn address(&self) -> String {
        shown(&self.address)
    }

    fn product(&self) -> Option<&'static str> {
        Some("HTTP")
    }

    fn make(&self, _: &str, route: &str, at_least_once: bool) -> Result<Arc<dyn Processor>> {
        Ok(Arc::new(Http::new(self, route, at_least_once)?))
    }

    fn template(&self) -> Option<Arc<Template>> {
        self.template.clone()
    }

    fn probe(&self, name: &str, _: &dyn Fn() -> Option<KnownEvents>, tell: Tell<'_>) {
        probe(name, self, tell);
    }
}

/// Asks the address for health. Credentials go to the receiver's own host only.
fn ask(config: &HttpConfig, http: &Http, access: &Access, health: &str) -> Finding {
    let (url, own) = access.health_url(health);
    let headers = access.headers.iter().filter(|_| own).map(|(name, value)| (name.as_str(), value.as_str()));
    let headers: Vec<_> = headers.collect();
    let answer = http.client.send(&Request {
        method: "GET",
        url: &url,
        headers: &headers,
        body: b"",
        timeout: config.timeout,
        body_bytes_max: SINK_BODY_BYTES_MAX,
        repeat_if_stale: true,
        head_suffices: true,
    });
    let clean = |text: &str| access.without_secrets(text);
    match answer {
        Ok(response) if response.status < 300 => {
            Finding::Good(format!("{} is well ({})", clean(&url_text(&url)), response.status))
        }
        Ok(response) => {
            let text = answer::refusal_with("GET", &clean(&url_text(&url)), &response, &clean);
            match config.rules.class(response.status) {
                Class::Sender => Finding::Failed(format!("{text}: {}", config.rules.cure(response.status))),
                _ => Finding::Doubtful(format!("{text}: while it is not well, events may wait")),
            }
        }
        Err(error) => Finding::Failed(format!("{}{}", clean(&error.to_string()), error.kind.cure())),
    }
}

/// Reads the secrets, resolves, connects and shakes hands as a run would. No request is sent: what one
/// does there is not known.
fn probe(name: &str, config: &HttpConfig, tell: Tell<'_>) {
    let made = Http::new(config, "", true).and_then(|http| Ok((http, Access::read(config)?)));
    let (http, access) = match made.context(|| format!("processor {name}")) {
        Ok(made) => made,
        Err(error) => return tell(Finding::Failed(error.to_string())),
    };
    if let Some(health) = &config.health {
        return tell(ask(config, &http, &access, health));
    }
    match http.client.reach(&access.url, config.timeout) {
        Err(error) => {
            let text = access.without_secrets(&error.to_string());
            tell(Finding::Failed(format!("{text}{}", error.kind.cure())));
        }
        Ok(()) if config.connection.tls.insecure && access.url.starts_with("https:") => {
            let text = format!("{} answers; insecure = true: anybody could be answering", access.shown);
            tell(Finding::Doubtful(text));
        }
        Ok(()) => tell(Finding::Good(format!("{} takes connections; no request was sent", access.shown))),
    }
}
