//! vCenter and vcsim: one session and one event collector, read page by page.
//!
//! Session and collector are one unit: whatever fails, both are given back and made anew from the
//! position that the pipeline names.

use crossbeam_channel::select;
use jiff::Timestamp;
use std::time::{Duration, Instant};

use crate::config::{Format, VcenterConfig};
use crate::error::{Error, Result};
use crate::http::client::{Client, ClientSettings};
use crate::limits::{POLL_WAIT_MAX, POLL_WAIT_MIN, VCENTER_CONNECTIONS_MAX};
use crate::source::{Broken, Item, Opened, Page, Source, SourceError};
use crate::stop::Stop;
use crate::vim::json::{PageEntry, convert_page};

mod collector;
mod connection;
mod convert;
pub mod probe;
mod session;
mod soap;
mod wake;

use collector::Collector;
use connection::CallError;
use convert::ServerIdentity;
use session::Session;
use soap::EventFilter;
use wake::{Ended, Wake};

/// How often a source whose certificate is not verified says so.
const INSECURE_WARN_INTERVAL: Duration = Duration::from_secs(3600);

/// The event history of one vCenter.
pub struct Vcenter {
    name: String,
    config: VcenterConfig,
    format: Format,
    client: Client,
    open: Option<Open>,
    // A long poll that hung when its session was given up. While it lives no other is started, so
    // that threads cannot pile up.
    abandoned: Option<Ended>,
    page_events_max: usize,
    poll_wait: Duration,
    insecure_warned: Option<Instant>,
}

/// All that the server holds for us.
struct Open {
    session: Session,
    collector: Option<Collector>,
    wake: Option<Wake>,
    identity: ServerIdentity,
    /// A call failed: nothing may be read from here any more.
    failed: bool,
}

impl Vcenter {
    /// A source that is not connected yet.
    ///
    /// # Errors
    /// When the connection settings cannot be used, such as a proxy that is no URL.
    pub fn new(name: &str, config: &VcenterConfig, format: Format) -> Result<Vcenter> {
        let settings =
            ClientSettings { connection: &config.connection, connections_max: VCENTER_CONNECTIONS_MAX };
        let client = Client::new(&settings)?;
        Ok(Vcenter {
            name: name.to_string(),
            config: config.clone(),
            format,
            client,
            open: None,
            abandoned: None,
            page_events_max: config.page_size,
            poll_wait: POLL_WAIT_MIN,
            insecure_warned: None,
        })
    }

    /// Gives back what `open` holds at the server, as far as the server can be reached.
    fn give_back(&mut self, mut open: Open) {
        let mut reachable = true;
        if let Some(wake) = open.wake.take() {
            let (hung, reached) = wake.finish(&open.session.connection);
            reachable = reached;
            self.abandoned = hung.or(self.abandoned.take());
        }
        if let Some(collector) = &mut open.collector
            && reachable
        {
            reachable = collector.destroy(&open.session);
        }
        if reachable {
            open.session.logout();
        }
    }

    fn start_long_poll(&mut self, session: &Session, collector: &Collector) -> Option<Wake> {
        if self.abandoned.as_ref().is_some_and(|thread| !thread.is_over()) {
            log::info!("{}: an earlier long poll still hangs; polling every second meanwhile", self.name);
            return None;
        }
        self.abandoned = None;
        Wake::start(
            &self.name,
            session.connection.clone(),
            session.content.property_collector.clone(),
            collector.reference.clone(),
        )
    }

    fn warn_if_insecure(&mut self) {
        if !self.config.connection.tls.insecure || !self.config.address.starts_with("https:") {
            return;
        }
        if self.insecure_warned.is_some_and(|last| last.elapsed() < INSECURE_WARN_INTERVAL) {
            return;
        }
        self.insecure_warned = Some(Instant::now());
        log::warn!(
            "{}: insecure = true: whoever answers at {} is believed and is sent the password; \
             use ca_file or pin_sha256 instead",
            self.name,
            self.config.address
        );
    }

    fn items(&self, body: &[u8], identity: &ServerIdentity) -> Result<Vec<Item>> {
        let entries = convert_page(body)?;
        Ok(entries
            .into_iter()
            .map(|entry| match entry {
                PageEntry::Event(vim) => Item::Event(convert::to_event(vim, identity, self.format)),
                PageEntry::Broken(broken) => Item::Broken(Broken {
                    position: convert::position(broken.key, broken.created),
                    raw: broken.raw,
                    reason: broken.reason,
                }),
            })
            .collect())
    }

    /// What a failed read means. A page that is too large is asked for in smaller pieces next time.
    fn read_error(&mut self, error: CallError) -> SourceError {
        let intent = format!("read a page of {} events from {}", self.page_events_max, self.config.address);
        if matches!(error, CallError::TooLarge(_)) && 1 < self.page_events_max {
            self.page_events_max = self.page_events_max.div_ceil(2);
            let text = format!("{intent}: {error}; trying pages of {} from here", self.page_events_max);
            return SourceError::lost(Error::new(text));
        }
        error.source_error(intent)
    }
}

impl Source for Vcenter {
    fn open(&mut self, begin: Option<Timestamp>) -> Result<Opened, SourceError> {
        self.warn_if_insecure();
        if let Some(open) = &mut self.open {
            open.failed = true;
            open.wake.iter().for_each(Wake::halt);
        }
        let address = self.config.address.clone();
        // First find out whether the server can be reached at all: if not, what was open before is
        // kept, to be given back as soon as it can be.
        let mut session = Session::greet(&self.client, &address)?;
        self.close();
        session.login(&self.config.username, &self.config.password)?;
        let identity = ServerIdentity::new(&address, &session.content);
        self.open = Some(Open { session, collector: None, wake: None, identity, failed: true });
        let opened = self.open_collector(begin);
        if opened.is_err() {
            self.close();
        }
        opened
    }

    fn read(&mut self) -> Result<Page, SourceError> {
        let not_open = || SourceError::lost(Error::new("read events: the source is not open"));
        let open = self.open.as_ref().filter(|open| !open.failed).ok_or_else(not_open)?;
        let collector = open.collector.as_ref().ok_or_else(not_open)?;
        let page = collector
            .read(&open.session, self.page_events_max)
            .and_then(|body| self.items(&body, &open.identity).map_err(|error| page_error(&body, error)));
        match page {
            Ok(items) => {
                // A short page proves nothing: the server takes the events first and then drops
                // those that the account may not see.
                let more = !items.is_empty();
                if more {
                    self.poll_wait = POLL_WAIT_MIN;
                }
                Ok(Page { items, more })
            }
            Err(error) => {
                let error = self.read_error(error);
                if let Some(open) = &mut self.open {
                    open.failed = true;
                }
                Err(error)
            }
        }
    }

    fn wait(&mut self, stop: &Stop, longest: Duration) -> Result<(), SourceError> {
        self.warn_if_insecure();
        let wake = self.open.as_ref().and_then(|open| open.wake.as_ref());
        let wait = if wake.is_some_and(Wake::is_waiting) { longest } else { self.poll_wait.min(longest) };
        let never = crossbeam_channel::never();
        let signal = wake.map_or(&never, |wake| &wake.signal);
        select! {
            recv(signal) -> token => {
                if token.is_err() {
                    // The long poll's thread is gone, and its channel would be ready for ever.
                    stop.wait(wait);
                }
            }
            recv(stop.channel()) -> _ => {}
            default(wait) => {}
        }
        self.poll_wait = (self.poll_wait * 2).min(POLL_WAIT_MAX);
        Ok(())
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.give_back(open);
        }
    }
}

impl Vcenter {
    /// The part of opening that leaves something behind when it fails.
    fn open_collector(&mut self, begin: Option<Timestamp>) -> Result<Opened, SourceError> {
        let Some(mut open) = self.open.take() else {
            return Err(SourceError::lost(Error::new("open a collector: there is no session")));
        };
        let result = self.fill(&mut open, begin);
        self.open = Some(open);
        result
    }

    fn fill(&mut self, open: &mut Open, begin: Option<Timestamp>) -> Result<Opened, SourceError> {
        let now = open.session.server_time()?;
        let begin = begin.unwrap_or(now);
        let filter = EventFilter { entity: &open.session.content.root_folder, begin, end: None, types: &[] };
        let collector = Collector::create(&open.session, &filter)?;
        open.wake = self.start_long_poll(&open.session, &collector);
        open.collector = Some(collector);
        open.failed = false;
        self.poll_wait = POLL_WAIT_MIN;
        let content = &open.session.content;
        let description = format!("{}, API {}", content.full_name, open.session.version);
        Ok(Opened { identity: content.instance_uuid.clone(), begin, now, description })
    }
}

/// A page that cannot be read may still be a fault that came with HTTP 200, or no SOAP at all.
fn page_error(body: &[u8], error: Error) -> CallError {
    match soap::answer(body) {
        Err(error) => error.into(),
        Ok(_) => CallError::Garbled(error),
    }
}
