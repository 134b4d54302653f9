//! vCenter and vcsim: one session and one event collector, read page by page.
//!
//! Session and collector are one unit: whatever fails, both are given back and made anew from the
//! position that the pipeline names.

use crossbeam_channel::select;
use jiff::Timestamp;
use std::time::{Duration, Instant};

use crate::config::{Format, names};
use crate::error::{Error, Result};
use crate::event::Position;
use crate::fingerprint::fingerprint;
use crate::http::client::{Client, ClientSettings};
use crate::limits::{
    POLL_WAIT_MAX, POLL_WAIT_MIN, PURGE_CHECK_AGE, RESUME_OVERLAP, VCENTER_CALL_WAIT_MAX,
    VCENTER_CONNECTIONS_MAX,
};
use crate::observe::logger::Logger;
use crate::source::watch::SourceWatch;
use crate::source::{Opened, Page, Source, SourceError};
use crate::stop::Stop;

mod connection;
mod convert;
mod cookies;
mod event_types;
mod fault;
mod keys;
pub(crate) mod kind;
mod long_poll;
mod options;
mod pace;
mod paths;
mod probe;
mod reader;
mod recovery;
mod sample;
mod session;
pub mod settings;
mod soap;

use connection::Acquaintance;
use convert::ServerIdentity;
use keys::KeyWatch;
use long_poll::{Ended, LongPoll};
use reader::Reader;
use recovery::Recovery;
pub use recovery::stall::StallTiming;
use session::{Open, Session};
use settings::VcenterConfig;

/// How often a source whose certificate is not verified says so.
const INSECURE_WARN_INTERVAL: Duration = Duration::from_secs(3600);

/// The event history of one vCenter.
pub struct Vcenter {
    name: String,
    logger: Logger,
    config: VcenterConfig,
    client: Client,
    // Names of the events that are wanted; empty means all.
    types: Vec<String>,
    // Names of the configuration that were not compared yet with those of the vCenter.
    names: Vec<String>,
    // What the operator is to be told with the next page.
    notices: Vec<String>,
    open: Option<Open>,
    // A call failed there: nothing is read from it again, but the server still holds it.
    stale: Option<Open>,
    // A long poll that hung when its session was given up.
    abandoned: Option<Ended>,
    reader: Reader,
    recovery: Recovery,
    keys: KeyWatch,
    // Whether a vCenter was ever met at the address.
    known: Acquaintance,
    // A server that is no vCenter was named.
    stranger_named: bool,
    poll_wait: Duration,
    insecure_warned: Option<Instant>,
    // Fingerprint of the credentials of the last attempt.
    tried: Option<u64>,
}

impl Vcenter {
    /// A source that is not connected yet.
    ///
    /// # Errors
    /// When the connection settings cannot be used, such as a proxy that is no URL.
    pub fn new(name: &str, config: &VcenterConfig, format: Format) -> Result<Vcenter> {
        let settings =
            ClientSettings { connection: &config.connection, connections_max: VCENTER_CONNECTIONS_MAX };
        let logger = Logger::source(name);
        Ok(Vcenter {
            name: name.to_string(),
            recovery: Recovery::new(name),
            logger,
            config: config.clone(),
            client: Client::new(&settings)?,
            types: Vec::new(),
            names: Vec::new(),
            notices: Vec::new(),
            open: None,
            stale: None,
            abandoned: None,
            reader: Reader::new(format, config.page_size),
            keys: KeyWatch::default(),
            known: Acquaintance::default(),
            stranger_named: false,
            poll_wait: POLL_WAIT_MIN,
            insecure_warned: None,
            tried: None,
        })
    }

    /// The same source, of which only events of these names are wanted: vCenter itself leaves out the
    /// others, as far as it can.
    fn with_types(mut self, types: &[String]) -> Vcenter {
        self.types = types.to_vec();
        self
    }

    /// The same source, whose first opening compares these names of events with those that vCenter knows.
    fn with_names(mut self, names: &[String]) -> Vcenter {
        self.names = names.to_vec();
        self
    }

    /// The same source with another patience: tests cannot wait for minutes.
    pub fn with_stall_timing(mut self, timing: StallTiming) -> Vcenter {
        self.recovery.set_timing(timing);
        self
    }

    /// Makes the collector that is read from `begin` on, or from the server's present.
    fn begin_reading(
        &mut self,
        mut session: Session,
        begin: Option<Timestamp>,
    ) -> Result<Opened, SourceError> {
        let now = session.server_time().inspect_err(|_| session.logout())?;
        let begin = begin.unwrap_or(now);
        let identity = ServerIdentity::new(&self.config.address, &session.content);
        let age = Duration::try_from(now.duration_since(begin)).unwrap_or_default();
        self.reader.begin();
        let (open, is_purged) = if age < PURGE_CHECK_AGE {
            let types = self.types.clone();
            (Open::new(session, identity, types, (begin, None), &mut self.abandoned)?, false)
        } else {
            self.open_past(session, identity, begin)?
        };
        if let Some(refused) = open.refused() {
            log::warn!(target: &self.logger, "vCenter does not take the route's types as a filter: {refused}; is each of them \
                 an event of this vCenter? Filtering here");
        }
        if let Some(stranger) = open.session.stranger().filter(|_| !self.stranger_named) {
            self.stranger_named = true;
            log::warn!(target: &self.logger, "{}: {stranger}", self.config.address);
        }
        let content = &open.session.content;
        let description = format!("{}, API {}", content.full_name, open.session.version);
        let identity = content.instance_uuid.clone();
        self.open.insert(open).start_long_poll(&self.name);
        self.poll_wait = POLL_WAIT_MIN;
        self.recovery.begin(begin, now);
        self.compare_names();
        Ok(Opened { identity, begin, now, description, is_purged })
    }

    /// Names that no event of this vCenter has are mistyped, most likely, and then nothing would ever arrive
    /// and all would look well.
    fn compare_names(&mut self) {
        let Some(open) = self.open.as_ref().filter(|_| !self.names.is_empty()) else { return };
        match event_types::read(&open.session) {
            Ok(known) => {
                let known: Vec<String> = known.into_iter().map(|known| known.id).collect();
                let names = std::mem::take(&mut self.names);
                // A server that describes nothing cannot be compared with.
                let unknown = if known.is_empty() { Vec::new() } else { names::unknown(&names, &known) };
                let notices =
                    unknown.iter().map(|name| format!("types: vCenter has no events of the name {name}"));
                self.notices.extend(notices);
            }
            // If the session is lost, the next opening compares.
            Err(error) => log::debug!(target: &self.logger, "compare types: {error}"),
        }
    }

    /// Opens at an old position, and tells whether the server's retention has passed it: nothing is left
    /// of what was there when the position was taken, our own login at the least.
    fn open_past(
        &mut self,
        session: Session,
        identity: ServerIdentity,
        begin: Timestamp,
    ) -> Result<(Open, bool), SourceError> {
        let position = begin.checked_add(RESUME_OVERLAP).unwrap_or(begin);
        let past = (Timestamp::UNIX_EPOCH, Some(position));
        let mut open = Open::new(session, identity, Vec::new(), past, &mut self.abandoned)?;
        let mut look = || {
            let is_purged = self.reader.read_page(&open)?.is_empty();
            // Where a gap ends, only an event of any type tells.
            open.set_types(if is_purged { Vec::new() } else { self.types.clone() });
            open.replace_collector(begin, None)?;
            self.reader.begin();
            Ok(is_purged)
        };
        match look() {
            Ok(is_purged) => Ok((open, is_purged)),
            Err(error) => {
                self.abandoned = open.give_back();
                Err(error)
            }
        }
    }

    /// Nothing is read from what is open. The server still holds it.
    fn retire(&mut self) {
        if let Some(open) = self.open.take() {
            open.halt();
            self.stale = Some(open);
        }
    }

    /// A fingerprint of the credentials as they are now; none while they cannot be read.
    fn credentials(&self) -> Option<u64> {
        let (username, password) = (self.config.username.read().ok()?, self.config.password.read().ok()?);
        Some(fingerprint::<_>(Ok::<_, Error>((username, password))))
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
            target: &self.logger,
            "insecure = true: whoever answers at {} is believed and is sent the password; use ca_file or \
             pin_sha256 instead",
            self.config.address
        );
    }
}

impl Source for Vcenter {
    fn open(&mut self, begin: Option<Timestamp>) -> Result<Opened, SourceError> {
        self.warn_if_insecure();
        self.retire();
        self.tried = self.credentials();
        // First find out whether the server can be reached at all: if not, what was open before is
        // kept, to be given back as soon as it can be.
        let mut session = Session::greet(&self.client, &self.config.address, &self.known)?;
        self.close();
        session.login(&self.config.username, &self.config.password)?;
        self.begin_reading(session, begin)
    }

    fn read(&mut self) -> Result<Page, SourceError> {
        let Some(open) = &mut self.open else {
            return Err(SourceError::lost(Error::new("read events: the source is not open")));
        };
        let mut result = self.recovery.read(open, &mut self.reader);
        match &mut result {
            Ok(page) => {
                page.notices.append(&mut self.notices);
                page.notices.extend(self.keys.notice(&page.items));
                if page.more {
                    self.poll_wait = POLL_WAIT_MIN;
                }
            }
            Err(_) => self.retire(),
        }
        result
    }

    fn passed(&mut self) -> Option<Position> {
        self.recovery.passed()
    }

    fn wait(&mut self, stop: &Stop, longest: Duration) -> Result<(), SourceError> {
        self.warn_if_insecure();
        if self.recovery.is_slicing() {
            return Ok(());
        }
        if let Some(open) = &mut self.open
            && open.can_poll_again()
        {
            open.start_long_poll(&self.name);
        }
        let long_poll = self.open.as_ref().and_then(|open| open.long_poll.as_ref());
        let is_waiting = long_poll.is_some_and(LongPoll::is_waiting);
        let wait = if is_waiting { longest } else { self.poll_wait.min(longest) };
        let never = crossbeam_channel::never();
        let signal = long_poll.map_or(&never, |long_poll| &long_poll.signal);
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
        self.open.as_ref().map(|open| open.session.server_time()).transpose()
    }

    fn has_new_credentials(&self) -> bool {
        let now = self.credentials();
        now.is_some() && now != self.tried
    }

    fn watch(&self) -> SourceWatch {
        self.recovery.watch()
    }

    fn call_wait_max(&self) -> Duration {
        VCENTER_CALL_WAIT_MAX
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take().or(self.stale.take()) {
            self.abandoned = open.give_back().or(self.abandoned.take());
        }
    }
}

/// One that is dropped without being closed must not leave a thread that calls without end.
impl Drop for Vcenter {
    fn drop(&mut self) {
        self.open.iter().chain(&self.stale).for_each(Open::halt);
    }
}

#[cfg(test)]
mod tests;
