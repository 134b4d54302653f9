//! OpenFaaS as a kind of processors: what the table of kinds needs of it, and how it is checked.

use std::sync::Arc;

use super::Openfaas;
use super::gateway::Gateway;
use super::settings::OpenfaasConfig;
use super::topics::TopicMap;
use crate::config::nearest::nearest;
use crate::error::Result;
use crate::finding::{Finding, Tell};
use crate::http::client::url_text;
use crate::processor::{KnownEvents, Processor, ProcessorSettings};

impl ProcessorSettings for OpenfaasConfig {
    fn address(&self) -> String {
        url_text(&self.address)
    }

    fn product(&self) -> Option<&'static str> {
        Some("OpenFaaS")
    }

    fn make(&self, name: &str, _: &str, at_least_once: bool) -> Result<Arc<dyn Processor>> {
        Ok(Arc::new(Openfaas::new(name, self, at_least_once)?))
    }

    fn probe(&self, _: &str, known: &dyn Fn() -> Option<KnownEvents>, tell: Tell<'_>) {
        if let Some(topics) = probe(self, tell) {
            tell_topics(&topics, known().as_ref(), tell);
        }
    }
}

/// Lists the functions as a run would. No function is invoked.
fn probe(config: &OpenfaasConfig, tell: Tell<'_>) -> Option<TopicMap> {
    let listed = Gateway::new(config, true)
        .and_then(|gateway| gateway.list(&|| false).map_err(|failure| failure.error));
    let map = match listed {
        Ok(map) => map,
        Err(error) => {
            tell(Finding::Failed(error.to_string()));
            return None;
        }
    };
    let address = url_text(&config.address);
    match map.functions() {
        0 => tell(Finding::Doubtful(format!(
            "{address}: no function has an annotation topic: no event has a taker"
        ))),
        count => tell(Finding::Good(format!("{address}: functions that subscribe: {count}"))),
    }
    map.anomalies().iter().for_each(|anomaly| tell(Finding::Doubtful(format!("{anomaly}; left out"))));
    Some(map)
}

/// Who wants what, and which topics are no event of any source: mistyped, most likely.
fn tell_topics(map: &TopicMap, known: Option<&KnownEvents>, tell: Tell<'_>) {
    for topic in map.topics() {
        let line = format!("topic {topic}: {}", map.targets(topic).join(", "));
        match known {
            Some(KnownEvents { product, names }) if !names.iter().any(|name| name == topic) => {
                let near = nearest(topic, names.iter().map(String::as_str));
                let hint = near.map_or_else(String::new, |near| format!(", did you mean {near}?"));
                tell(Finding::Doubtful(format!("{line}; {product} has no events of this name{hint}")));
            }
            _ => tell(Finding::Good(line)),
        }
    }
}
