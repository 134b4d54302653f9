//! AWS EventBridge as a kind of processors: what the table of kinds needs of it, and how it is checked.

use std::sync::Arc;
use std::time::Instant;

use super::failure::Class;
use super::settings::EventbridgeConfig;
use super::{Eventbridge, rules};
use crate::aws::credentials::environment::Environment;
use crate::error::Result;
use crate::finding::{Finding, Tell};
use crate::http::client::url_text;
use crate::processor::{KnownEvents, Processor, ProcessorSettings};

impl ProcessorSettings for EventbridgeConfig {
    /// As the Go router: its rule says what is sent where.
    fn address(&self) -> String {
        match (&self.rule, &self.event_bus) {
            (Some(rule), _) => rule.text.clone(),
            (None, bus) => format!("bus {} in {}", bus.as_deref().unwrap_or("default"), self.region),
        }
    }

    fn product(&self) -> Option<&'static str> {
        Some("AWS EventBridge")
    }

    fn make(&self, name: &str, _: &str, at_least_once: bool) -> Result<Arc<dyn Processor>> {
        Ok(Arc::new(Eventbridge::new(name, self, at_least_once)?))
    }

    fn probe(&self, name: &str, _: &dyn Fn() -> Option<KnownEvents>, tell: Tell<'_>) {
        probe(name, self, tell);
    }
}

/// Looks for credentials and the rule as a run would, and puts an empty list of events on the bus:
/// AWS refuses it, but only after it has looked at the signature.
fn probe(name: &str, config: &EventbridgeConfig, tell: Tell<'_>) {
    let api = match super::api(name, config, &Environment::of_process(), true) {
        Ok(api) => api,
        Err(error) => return tell(Finding::Failed(error.to_string())),
    };
    match api.credentials.current() {
        Ok(credentials) => tell(Finding::Good(format!("credentials from {}", credentials.origin))),
        Err(error) => return tell(Finding::Failed(error.to_string())),
    }
    let deadline = Instant::now() + api.timeout;
    match api.call("PutEvents", br#"{"Entries":[]}"#, deadline) {
        Err(error) if error.class != Class::Never => return tell(Finding::Failed(error.text)),
        _ => tell(Finding::Good(format!("{} takes the signature", url_text(&api.url)))),
    }
    let Some(arn) = &config.rule else { return };
    let bus = config.event_bus.as_deref().unwrap_or(&arn.bus);
    match rules::read(&api, arn, bus) {
        Err(error) => tell(Finding::Failed(error.text)),
        Ok(rule) => match rule.pattern() {
            Err(error) => tell(Finding::Failed(format!("rule {}: {error}", arn.text))),
            Ok(pattern) if rule.is_enabled() => {
                tell(Finding::Good(format!("rule {} forwards what matches {}", arn.text, pattern.text())));
            }
            Ok(_) => {
                tell(Finding::Doubtful(format!("rule {} is disabled: its targets get nothing", arn.text)))
            }
        },
    }
}
