//! The webhook as a kind of sources: what the table of kinds needs of it.

use std::sync::Arc;

use super::settings::WebhookConfig;
use super::{Webhook, desk};
use crate::config::RouteConfig;
use crate::error::Result;
use crate::finding::{Finding, Tell};
use crate::source::{Source, SourceSettings};

impl SourceSettings for WebhookConfig {
    fn address(&self) -> &str {
        &self.bind
    }

    fn product(&self) -> &'static str {
        "webhook"
    }

    fn is_local(&self) -> bool {
        true
    }

    fn make(&self, name: &str, _: &RouteConfig) -> Result<Box<dyn Source>> {
        Ok(Box::new(Webhook::new(name, self)))
    }

    fn probe(&self, tell: Tell<'_>) {
        // Nobody reads: whoever sends at this moment is told to send again.
        let unread = WebhookConfig { timeout: std::time::Duration::ZERO, ..self.clone() };
        tell(match desk::listen(Arc::default(), &unread) {
            Ok(server) => {
                Finding::Good(format!("can listen on {}://{}{}", self.scheme(), server.address(), self.path))
            }
            Err(error) => Finding::Doubtful(format!("{error}; if the router runs, it is its own")),
        });
    }
}
