//! AWS credentials: kept in memory, renewed by a thread ahead of their end.
//!
//! ```text
//!              fetched                    5 min before the end
//!   none ------------------> valid -------------------------------> renewing
//!    ^                         ^  ^                                  |     |
//!    |                         |  +------------- renewed ------------+     | failed: the old ones
//!    +---- ended, not renewed -+-------------------------------------------+ stay until their end
//! ```

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::keys::Credentials;
use crate::error::{Context, Error, Result};
use crate::fingerprint::{Refused, fingerprint};
use crate::limits::{
    CREDENTIALS_AHEAD, CREDENTIALS_FILE_AGE_MAX, CREDENTIALS_RETRY_WAIT_MAX, CREDENTIALS_RETRY_WAIT_MIN,
    THREAD_STACK_BYTES,
};
use crate::observe::incident::Incident;
use crate::observe::logger::Logger;

pub(crate) mod chain;
pub(crate) mod environment;
mod metadata;
pub(crate) mod profile;
mod sts;

use chain::Chain;

/// The credentials of a processor. Dropped, its thread ends; nobody waits for that.
pub(crate) struct Store {
    shared: Arc<Shared>,
    /// None where the configuration holds the keys.
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    logger: Logger,
    chain: Chain,
    state: Mutex<State>,
    changed: Condvar,
    /// Held while credentials are fetched, so that only one thread does.
    fetching: Mutex<()>,
    incident: Incident,
    refused: Refused,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Credentials>>,
    /// When and why they could not be fetched the last time.
    failure: Option<(Instant, Error)>,
    /// What the files said when they were fetched.
    files: u64,
    /// They shall be fetched now.
    wanted: bool,
    stopped: bool,
}

impl Store {
    /// Starts to fetch and to renew. `name` is the processor's.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(name: &str, chain: Chain) -> Result<Store> {
        let logger = Logger::processor(name);
        let shared = Arc::new(Shared {
            incident: Incident::new(&logger),
            logger,
            chain,
            refused: Refused::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            fetching: Mutex::new(()),
        });
        let mut thread = None;
        if !shared.chain.is_configured() {
            let shared = shared.clone();
            let renewing = std::thread::Builder::new()
                .name(format!("aws-keys:{name}"))
                .stack_size(THREAD_STACK_BYTES)
                .spawn(move || shared.renew_ahead())
                .context(|| "start a thread")?;
            thread = Some(renewing);
        }
        Ok(Store { shared, thread })
    }

    /// Whether the thread is gone, which it must not be: a panic.
    pub(crate) fn is_dead(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Credentials that are valid now.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) fn current(&self) -> Result<Arc<Credentials>> {
        if self.shared.chain.is_configured() {
            let keys = self.shared.chain.resolve();
            return keys.map(Arc::new).inspect_err(|error| self.note(Err(error)));
        }
        match self.shared.valid() {
            Some(credentials) => Ok(credentials),
            None => self.shared.fetch(None).inspect_err(|error| self.note(Err(error))),
        }
    }

    /// AWS refused these.
    pub(crate) fn refused(&self, used: &Credentials) {
        self.note(Ok(used));
    }

    /// Counts how often others were to be had after some were refused or could not be read.
    pub(crate) fn changes(&self) -> u64 {
        let shared = &self.shared;
        let is_configured = shared.chain.is_configured();
        shared.refused.changes(|| match is_configured {
            true => fingerprint(shared.chain.resolve().as_ref()),
            false => shared.files_now(),
        })
    }

    fn note(&self, used: Result<&Credentials, &Error>) {
        let is_configured = self.shared.chain.is_configured();
        self.shared.refused.note(if is_configured { fingerprint(used) } else { self.shared.lock().files });
    }

    /// Other credentials than `refused`, which AWS does not take although they seem valid.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) fn renew(&self, refused: &Credentials) -> Result<Arc<Credentials>> {
        if self.shared.chain.is_configured() {
            return self.current();
        }
        self.shared.fetch(Some(refused))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        crate::sync::lock(&self.state)
    }

    fn valid(&self) -> Option<Arc<Credentials>> {
        let current = self.lock().current.clone()?;
        current.expires.is_none_or(|end| self.chain.clock.now() < end).then_some(current)
    }

    /// Fetches, unless another thread did meanwhile or failed a moment ago.
    fn fetch(&self, refused: Option<&Credentials>) -> Result<Arc<Credentials>> {
        let _one = crate::sync::lock(&self.fetching);
        if let Some(valid) = self.valid().filter(|valid| refused != Some(&**valid)) {
            return Ok(valid);
        }
        if let Some((when, error)) = &self.lock().failure
            && when.elapsed() < CREDENTIALS_RETRY_WAIT_MIN
        {
            return Err(error.clone());
        }
        self.fetch_now()
    }

    /// What the files say now. Where it is something else, what is in use counts no more.
    fn files_now(&self) -> u64 {
        let files = self.chain.files();
        let mut state = self.lock();
        if state.files != files {
            (state.current, state.failure, state.wanted) = (None, None, true);
            drop(state);
            self.changed.notify_all();
        }
        files
    }

    fn fetch_now(&self) -> Result<Arc<Credentials>> {
        let files = self.chain.files();
        let fetched = self.chain.resolve();
        let mut state = self.lock();
        state.files = files;
        match fetched {
            Ok(credentials) => {
                let credentials = Arc::new(credentials);
                if state.current.as_ref().is_none_or(|before| before.origin != credentials.origin) {
                    log::info!(target: &self.logger, "AWS credentials come from {}", credentials.origin);
                }
                state.current = Some(credentials.clone());
                state.failure = None;
                drop(state);
                self.changed.notify_all();
                Ok(credentials)
            }
            Err(error) => {
                state.failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn renew_ahead(&self) {
        let mut after_failure = CREDENTIALS_RETRY_WAIT_MIN;
        // A delivery may have been faster with the first ones.
        let mut renewed = self.fetch(None);
        loop {
            let wait = match renewed {
                Ok(credentials) => {
                    self.incident.over();
                    after_failure = CREDENTIALS_RETRY_WAIT_MIN;
                    renewal_wait(&credentials, self.chain.is_file(&credentials), self.chain.clock.now())
                }
                Err(error) => {
                    let text = error.to_string();
                    match self.valid().and_then(|valid| valid.expires) {
                        Some(end) => {
                            let in_use = format!("the ones in use are valid until {end:.0}, trying again");
                            self.incident.happened("credentials", &text, &in_use);
                        }
                        None => self.incident.demands("credentials", &text, "events wait, trying again"),
                    }
                    let wait = after_failure;
                    after_failure = (wait * 2).min(CREDENTIALS_RETRY_WAIT_MAX);
                    Some(wait)
                }
            };
            if self.pause(wait) {
                return;
            }
            let _one = crate::sync::lock(&self.fetching);
            renewed = self.fetch_now();
        }
    }

    /// Waits, for ever if `wait` is none, or until they are wanted; true when the thread must end.
    fn pause(&self, wait: Option<Duration>) -> bool {
        let state = self.lock();
        let is_quiet = |state: &mut State| !state.stopped && !state.wanted;
        let mut state = match wait {
            Some(wait) => crate::sync::unpoisoned(self.changed.wait_timeout_while(state, wait, is_quiet)).0,
            None => crate::sync::unpoisoned(self.changed.wait_while(state, is_quiet)),
        };
        state.wanted = false;
        state.stopped
    }
}

/// How long credentials are used before they are renewed: until five minutes before their end, or
/// half of what is left of short ones. Those of a file are read again after a while; others that
/// have no end are kept.
fn renewal_wait(credentials: &Credentials, is_file: bool, now: Timestamp) -> Option<Duration> {
    match credentials.expires {
        Some(end) => {
            let left = Duration::try_from(end.duration_since(now)).unwrap_or_default();
            Some(left.saturating_sub(CREDENTIALS_AHEAD).max(left / 2).max(CREDENTIALS_RETRY_WAIT_MIN))
        }
        None => is_file.then_some(CREDENTIALS_FILE_AGE_MAX),
    }
}

#[cfg(test)]
mod tests;
