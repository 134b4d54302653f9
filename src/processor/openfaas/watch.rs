//! How the topic map of a gateway is kept current: the functions are listed again and again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gateway::{Gateway, ListingError};
use super::topics::TopicMap;
use crate::error::Result;
use crate::observe::logger::Logger;
use crate::observe::words::count;
use crate::processor::refreshed::{Refresh, RefreshError, Refreshed};

/// Starts the thread, which asks at once and then every `refresh`; `name` is the processor's.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn start(name: &str, gateway: Arc<Gateway>, refresh: Duration) -> Result<Refreshed<TopicMap>> {
    let logger = Logger::processor(name);
    Refreshed::start(
        format!("of-topics:{name}"),
        &logger,
        Listing { logger: logger.clone(), gateway, refresh },
    )
}

struct Listing {
    logger: Logger,
    gateway: Arc<Gateway>,
    refresh: Duration,
}

impl Refresh for Listing {
    type Value = TopicMap;
    const STALE_TEXT: &'static str = "the functions known so far stay in use";
    const EMPTY_TEXT: &'static str = "events wait for the list of functions";

    fn refresh(
        &self,
        last: Option<&TopicMap>,
        is_ended: &dyn Fn() -> bool,
    ) -> Result<(TopicMap, Duration), RefreshError> {
        let failure =
            |ListingError { reason, error }| RefreshError { reason, text: error.to_string(), gone: false };
        let asked = Instant::now();
        let map = self.gateway.list(is_ended).map_err(failure)?;
        let map = match last {
            // Less than the interval, which begins a moment earlier.
            Some(last) => map.after(last, asked, self.refresh.mul_f64(0.9)),
            None => map,
        };
        self.say_change(last, &map);
        Ok((map, self.refresh))
    }

    fn credential_changes(&self) -> u64 {
        self.gateway.credential_changes()
    }

    fn retry_wait_max(&self) -> Duration {
        self.refresh
    }
}

impl Listing {
    fn say_change(&self, before: Option<&TopicMap>, now: &TopicMap) {
        if before == Some(now) {
            return;
        }
        let (functions, topics) = (now.functions(), now.topics());
        let (logger, of) = (&self.logger, self.gateway.text());
        let counted =
            format!("{}, {}", count(functions as u64, "function"), count(topics.len() as u64, "topic"));
        match before {
            Some(_) => {
                log::info!(target: logger, "subscriptions at {of} changed: {counted}")
            }
            None => {
                log::info!(target: logger, "connected to OpenFaaS gateway {of}, subscriptions: {counted}")
            }
        }
        if before.map_or(0, TopicMap::unconfirmed) < now.unconfirmed() {
            log::warn!(target: logger, "{of} does not show {} any more that it showed before: kept until another list in {:.0} s confirms it", count(now.unconfirmed() as u64, "subscription"), self.refresh.as_secs_f64());
        }
        for anomaly in now.anomalies() {
            if before.is_none_or(|before| !before.anomalies().contains(anomaly)) {
                log::warn!(target: logger, "{anomaly}; left out");
            }
        }
        if log::log_enabled!(log::Level::Debug) {
            for topic in topics {
                log::debug!(target: logger, "topic {topic}: {}", now.targets(topic).join(", "));
            }
        }
    }
}
