//! vCenter and vcsim: one session and one event collector, read page by page.
//!
//! Session and collector are one unit: whatever fails, both are given back and made anew from the
//! position that the pipeline names.

use crossbeam_channel::select;
use jiff::Timestamp;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use crate::config::Format;
use crate::error::{Error, Result};
use crate::event::Position;
use crate::http::client::{Client, ClientSettings};
use crate::limits::{
    EVENT_BYTES_EXPECTED, PAGE_BYTES_AIM, POLL_WAIT_MAX, POLL_WAIT_MIN, PURGE_CHECK_AGE, RESUME_OVERLAP,
    VCENTER_CALL_WAIT_MAX, VCENTER_CONNECTIONS_MAX,
};
use crate::source::watch::SourceWatch;
use crate::source::{Broken, Item, Opened, Page, Source, SourceError};
use crate::stop::Stop;
use crate::vim;
use crate::vim::json::{BrokenEvent, PageEntry, convert_page};

mod collector;
mod connection;
mod convert;
mod event_types;
mod keys;
pub(crate) mod kind;
mod ladder;
mod link;
mod long_poll;
mod probe;
mod sample;
mod session;
pub mod settings;
mod soap;
pub mod stall;
mod walk;

use connection::CallError;
use convert::ServerIdentity;
use keys::KeyWatch;
use link::Link;
use long_poll::{Ended, LongPoll};
use session::Session;
use settings::VcenterConfig;
use soap::Latest;
use stall::{Seen, Stall, StallTiming};
use walk::Walk;

/// How often a source whose certificate is not verified says so.
const INSECURE_WARN_INTERVAL: Duration = Duration::from_secs(3600);

/// Full pages that have to fit before larger ones are tried again.
const PAGES_BEFORE_GROWTH: u32 = 20;

/// The event history of one vCenter.
pub struct Vcenter {
    name: String,
    // The name of its logger.
    who: String,
    config: VcenterConfig,
    format: Format,
    client: Client,
    link: Option<Link>,
    // A long poll that hung when its session was given up. While it lives no other is started, so
    // that threads cannot pile up.
    abandoned: Option<Ended>,
    page_events_max: usize,
    // Pages that were read since the last one that was too large.
    pages_fit: u32,
    // Of an event in the last page, if that was full or large; otherwise 0: no backlog is known.
    event_bytes: usize,
    poll_wait: Duration,
    insecure_warned: Option<Instant>,
    keys: KeyWatch,
    stall: Stall,
    seen: Seen,
    // Where a new collector has to begin to miss nothing, and the key of the event there.
    resume: Timestamp,
    resume_key: Option<i64>,
    walk: Option<Walk>,
    // The collector is not the one that the source was opened with: it may repeat events.
    replaced: bool,
    // Fingerprint of the credentials of the last login.
    tried: Option<u64>,
    // Names of the events that are wanted; empty means all.
    types: Vec<String>,
    // Where the server filters: an event that should have been read, if no other has come since.
    witness: Option<Latest>,
    // There too: the newest event of all, and since when; and an event up to which nothing is wanted.
    mark: Option<(Position, Instant)>,
    passed: Option<Position>,
}

impl Vcenter {
    /// A source that is not connected yet.
    ///
    /// # Errors
    /// When the connection settings cannot be used, such as a proxy that is no URL.
    pub fn new(name: &str, config: &VcenterConfig, format: Format) -> Result<Vcenter> {
        let settings =
            ClientSettings { connection: &config.connection, connections_max: VCENTER_CONNECTIONS_MAX };
        Ok(Vcenter {
            name: name.to_string(),
            who: format!("source {name}"),
            config: config.clone(),
            format,
            client: Client::new(&settings)?,
            link: None,
            abandoned: None,
            page_events_max: config.page_size,
            pages_fit: 0,
            event_bytes: EVENT_BYTES_EXPECTED,
            poll_wait: POLL_WAIT_MIN,
            insecure_warned: None,
            tried: None,
            types: Vec::new(),
            witness: None,
            mark: None,
            passed: None,
            keys: KeyWatch::default(),
            stall: Stall::new(StallTiming::default(), Instant::now()),
            seen: Seen::from(Timestamp::UNIX_EPOCH),
            resume: Timestamp::UNIX_EPOCH,
            resume_key: None,
            walk: None,
            replaced: false,
        })
    }

    /// The same source, of which only events of these names are wanted: vCenter itself leaves out the
    /// others, as far as it can.
    pub(crate) fn with_types(mut self, types: &[String]) -> Vcenter {
        self.types = types.to_vec();
        self
    }

    /// The same source with another patience: tests cannot wait for minutes.
    pub fn with_stall_timing(mut self, timing: StallTiming) -> Vcenter {
        self.stall.set_timing(timing, Instant::now());
        self
    }

    /// The part of opening that leaves something behind when it fails.
    fn begin_reading(&mut self, begin: Option<Timestamp>) -> Result<Opened, SourceError> {
        let Some(link) = &mut self.link else { return Err(not_open()) };
        let now = link.session.server_time()?;
        let begin = begin.unwrap_or(now);
        let is_purged = self.is_purged(begin, now)?;
        let Some(link) = &mut self.link else { return Err(not_open()) };
        // Where a gap ends, only an event of any type tells.
        link.types = if is_purged { Vec::new() } else { self.types.clone() };
        link.collect(begin, None)?;
        self.event_bytes = EVENT_BYTES_EXPECTED;
        if let Some(refused) = link.refused() {
            log::warn!(target: self.who.as_str(), "vCenter does not take the route's types as a filter: {refused}; is each of them \
                 an event of this vCenter? Filtering here");
        }
        let content = &link.session.content;
        let description = format!("{}, API {}", content.full_name, link.session.version);
        let identity = content.instance_uuid.clone();
        let opened = Opened { identity, begin, now, description, is_purged };
        self.start_long_poll();
        self.poll_wait = POLL_WAIT_MIN;
        self.seen = Seen::from(begin);
        self.resume = begin;
        self.resume_key = None;
        self.walk = None;
        self.replaced = false;
        self.witness = None;
        self.mark = None;
        self.stall.reopened(Instant::now());
        Ok(opened)
    }

    /// Whether the server's retention has passed an old position: nothing is left of what was there
    /// when the position was taken, our own login at the least.
    fn is_purged(&mut self, begin: Timestamp, now: Timestamp) -> Result<bool, SourceError> {
        let age = Duration::try_from(now.duration_since(begin)).unwrap_or_default();
        if age < PURGE_CHECK_AGE {
            return Ok(false);
        }
        let Some(link) = &mut self.link else { return Err(not_open()) };
        let position = begin.checked_add(RESUME_OVERLAP).unwrap_or(begin);
        link.collect(Timestamp::UNIX_EPOCH, Some(position))?;
        Ok(self.read_page()?.is_empty())
    }

    /// Starts the long poll, unless an earlier one still hangs: then `wait` tries again.
    fn start_long_poll(&mut self) {
        if self.abandoned.as_ref().is_some_and(|thread| !thread.is_over()) {
            log::debug!(target: self.who.as_str(), "an earlier long poll still hangs; polling meanwhile");
            return;
        }
        self.abandoned = None;
        if let Some(link) = &mut self.link {
            link.start_long_poll(&self.name);
        }
    }

    /// Reads and converts the next page of the collector.
    fn read_page(&mut self) -> Result<Vec<Item>, SourceError> {
        loop {
            let Some(link) = &self.link else { return Err(not_open()) };
            let asked = self.page_events();
            let Some(page) = link.read(asked) else { return Err(not_open()) };
            if let (Err(CallError::TooLarge(bytes_max, begin)), 1) = (&page, asked)
                && let Some(cut) = cut_event(begin, *bytes_max)
            {
                // The server has moved its cursor behind it, so that reading simply goes on.
                return Ok(vec![cut]);
            }
            let converted = page.and_then(|body| {
                let items = items(&body, &link.identity, self.format);
                items.map(|items| (body.len(), items)).map_err(|error| page_error(&body, error))
            });
            let (bytes, items) = converted.map_err(|error| self.read_error(&error))?;
            let is_full = asked <= items.len();
            // After a large page that was not full, many events may have come by the time that its own
            // are handed over.
            let is_large = PAGE_BYTES_AIM / 4 <= bytes && !items.is_empty();
            self.event_bytes = if is_full || is_large { bytes / items.len() } else { 0 };
            self.grow_page(is_full);
            // The server takes that many events and drops those that the account may not see: only an
            // empty page of the full size is worth judging.
            if !items.is_empty() || asked == self.page_events_max {
                return Ok(items);
            }
        }
    }

    /// The events of a page that stands outside the row of pages.
    fn convert(&self, body: &[u8]) -> Result<Vec<Item>, SourceError> {
        let Some(link) = &self.link else { return Err(not_open()) };
        items(body, &link.identity, self.format)
            .map_err(|error| link.session.connection.source_error("read a page", &page_error(body, error)))
    }

    /// Events to ask for: while there is a backlog, as many as make a page of a good size. Larger
    /// pages cost memory and are no faster.
    fn page_events(&self) -> usize {
        match self.event_bytes {
            0 => self.page_events_max,
            bytes => (PAGE_BYTES_AIM / bytes).clamp(1, self.page_events_max),
        }
    }

    /// After a page that was too large, pages grow again when full ones have fit for a while.
    fn grow_page(&mut self, is_full: bool) {
        if self.config.page_size <= self.page_events_max || !is_full {
            return;
        }
        self.pages_fit += 1;
        if PAGES_BEFORE_GROWTH <= self.pages_fit {
            self.pages_fit = 0;
            self.page_events_max = (self.page_events_max * 2).min(self.config.page_size);
        }
    }

    /// What a failed read means. A page that is too large, or whose events cannot be told apart, is asked
    /// for in smaller pieces next time.
    fn read_error(&mut self, error: &CallError) -> SourceError {
        let asked = self.page_events();
        let intent = format!("read a page of {asked} events");
        let Some(link) = &self.link else { return not_open() };
        let smaller = matches!(error, CallError::TooLarge(..) | CallError::Garbled(_)) && 1 < asked;
        let failed = link.session.connection.source_error(intent, error);
        if !smaller {
            return failed;
        }
        self.page_events_max = asked.div_ceil(2);
        self.pages_fit = 0;
        let text = format!("{failed}; trying pages of {} from here", self.page_events_max);
        SourceError { error: Error::new(text), ..failed }
    }

    /// A fingerprint of the credentials as they are now; none while they cannot be read.
    fn credentials(&self) -> Option<u64> {
        let (username, password) = (self.config.username.read().ok()?, self.config.password.read().ok()?);
        let mut hasher = std::hash::DefaultHasher::new();
        (username, password).hash(&mut hasher);
        Some(hasher.finish())
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
            target: self.who.as_str(),
            "insecure = true: whoever answers at {} is believed and is sent the password; use ca_file or \
             pin_sha256 instead",
            self.config.address
        );
    }
}

impl Source for Vcenter {
    fn open(&mut self, begin: Option<Timestamp>) -> Result<Opened, SourceError> {
        self.warn_if_insecure();
        if let Some(link) = &mut self.link {
            link.fail();
        }
        // First find out whether the server can be reached at all: if not, what was open before is
        // kept, to be given back as soon as it can be.
        let mut session = Session::greet(&self.client, &self.config.address)?;
        self.close();
        self.tried = self.credentials();
        session.login(&self.config.username, &self.config.password)?;
        let identity = ServerIdentity::new(&self.config.address, &session.content);
        self.link = Some(Link::new(session, identity));
        let opened = self.begin_reading(begin);
        if opened.is_err() {
            self.close();
        }
        opened
    }

    fn read(&mut self) -> Result<Page, SourceError> {
        let mut result = if self.walk.is_some() { self.walk_on() } else { self.read_on() };
        match (&mut result, &mut self.link) {
            (Ok(page), _) => page.notices.extend(self.keys.notice(&page.items)),
            (Err(_), Some(link)) => link.fail(),
            (Err(_), None) => {}
        }
        result
    }

    fn passed(&mut self) -> Option<Position> {
        self.passed.take()
    }

    fn wait(&mut self, stop: &Stop, longest: Duration) -> Result<(), SourceError> {
        self.warn_if_insecure();
        if self.walk.is_some() {
            return Ok(());
        }
        if self.abandoned.as_ref().is_some_and(Ended::is_over) {
            self.start_long_poll();
        }
        let wake = self.link.as_ref().and_then(|link| link.wake.as_ref());
        let wait = if wake.is_some_and(LongPoll::is_waiting) { longest } else { self.poll_wait.min(longest) };
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

    fn present(&mut self) -> Result<Option<Timestamp>, SourceError> {
        self.link.as_ref().map(|link| link.session.server_time()).transpose()
    }

    fn has_new_credentials(&self) -> bool {
        let now = self.credentials();
        now.is_some() && now != self.tried
    }

    fn watch(&self) -> SourceWatch {
        self.stall.watch()
    }

    fn call_wait_max(&self) -> Duration {
        VCENTER_CALL_WAIT_MAX
    }

    fn close(&mut self) {
        if let Some(link) = self.link.take() {
            self.abandoned = link.give_back().or(self.abandoned.take());
        }
    }
}

fn not_open() -> SourceError {
    SourceError::lost(Error::new("read events: the source is not open"))
}

/// The one event of a page that is larger than any page may be, of which only the begin is there;
/// none if it cannot be told which it is.
fn cut_event(begin: &[u8], bytes_max: usize) -> Option<Item> {
    let reason = format!("the event is larger than {} MiB; only its begin is kept", bytes_max >> 20);
    vim::json::cut_event(begin, reason).map(broken_item)
}

fn broken_item(broken: BrokenEvent) -> Item {
    let position = convert::position(broken.key, broken.created);
    Item::Broken(Broken { position, raw: broken.raw, reason: broken.reason })
}

fn items(body: &[u8], identity: &ServerIdentity, format: Format) -> Result<Vec<Item>> {
    let item = |entry| match entry {
        PageEntry::Event(vim) => Item::Event(convert::to_event(vim, identity, format)),
        PageEntry::Broken(broken) => broken_item(broken),
    };
    Ok(convert_page(body)?.into_iter().map(item).collect())
}

/// A page that cannot be read may still be a fault that came with HTTP 200, or no SOAP at all.
fn page_error(body: &[u8], error: Error) -> CallError {
    match soap::answer(body) {
        Err(error) => error.into(),
        Ok(_) => CallError::Garbled(error),
    }
}

#[cfg(test)]
mod tests;
