//! The webhook: events that others post, each answered when it is settled.
//!
//! ```text
//!  connection threads                          poller          workers
//!  request -> events -> who has it already? -> page -> ... -> settled
//!     ^                  (window)                                |
//!     +--- 200, or 503 when the time is over <-- waiter <-- receipt
//! ```
//!
//! There is no history to read again: what is not answered with 2xx its sender sends again.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::select;
use jiff::Timestamp;

use crate::event::{Event, Lane, Position};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX};
use crate::observe::logger::Logger;
use crate::source::{Item, Opened, Page, Source, SourceError};
use crate::stop::Stop;

mod access;
mod desk;
mod hub;
pub(crate) mod kind;
mod plain;
pub(crate) mod settings;
mod window;

use hub::{Arrival, Hub, Inbox};
use settings::WebhookConfig;

/// What one route reads of a webhook.
struct Webhook {
    logger: Logger,
    config: WebhookConfig,
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
    // What ended the last wait.
    first: Option<Arrival>,
    is_open: bool,
    // Of the last event.
    key: i64,
}

impl Webhook {
    fn new(name: &str, config: &WebhookConfig) -> Webhook {
        Webhook {
            logger: Logger::source(name),
            config: config.clone(),
            hub: config.hub.clone(),
            inbox: config.hub.join(),
            first: None,
            is_open: false,
            key: 0,
        }
    }

    fn event(&mut self, arrival: Arrival) -> Item {
        self.key += 1;
        let Arrival { ce, receipt } = arrival;
        Item::Event(Event {
            position: Position { key: self.key, time: Timestamp::now() },
            lane: Lane::of_object(ce.subject.as_deref().unwrap_or(&ce.source)),
            ce,
            anomalies: Vec::new(),
            receipt: Some(receipt),
        })
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.close();
        self.hub.leave(&self.inbox);
    }
}

impl Source for Webhook {
    fn open(&mut self, _: Option<Timestamp>) -> Result<Opened, SourceError> {
        if !self.is_open {
            let bound =
                self.hub.open(|| desk::listen(self.hub.clone(), &self.config)).map_err(SourceError::lost)?;
            self.is_open = true;
            let WebhookConfig { bind, path, .. } = &self.config;
            let (address, scheme) = (bind.as_str(), self.config.scheme());
            log::info!(target: &self.logger, address; "starting webhook listener on {scheme}://{bound}{path}");
        }
        let (begin, now) = (Timestamp::now(), Timestamp::now());
        let description = format!("what is posted to {}{}", self.config.bind, self.config.path);
        Ok(Opened { identity: self.config.bind.clone(), begin, now, description, is_purged: false })
    }

    fn read(&mut self) -> Result<Page, SourceError> {
        let mut page = Page::default();
        let mut bytes = 0;
        while page.items.len() < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX {
            let Some(arrival) = self.first.take().or_else(|| self.inbox.arrivals.try_recv().ok()) else {
                break;
            };
            bytes += arrival.ce.data.len();
            let item = self.event(arrival);
            page.items.push(item);
        }
        Ok(page)
    }

    fn wait(&mut self, stop: &Stop, longest: Duration) -> Result<(), SourceError> {
        select! {
            recv(self.inbox.arrivals) -> arrival => self.first = arrival.ok(),
            recv(stop.channel()) -> _ => {}
            default(longest) => {}
        }
        Ok(())
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.hub.close();
        }
    }
}
