//! The router itself: what happens to its routes, as events of a source.
//!
//! All routes from it share one watch and one journal. None of them is told about itself: a sink that
//! fails would be sent the news of its own failure.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::cloudevents::CloudEvent;
use crate::config::RouteConfig;
use crate::config::reader::Table;
use crate::error::Result;
use crate::event::{Event, Lane, Position};
use crate::finding::{Finding, Tell};
use crate::limits::{OWN_ALIVE_INTERVAL, OWN_LOOK_INTERVAL};
use crate::observe::registry::Registry;
use crate::observe::snapshot::Phase;
use crate::source::{Item, Opened, Page, Source, SourceError, SourceSettings};
use crate::stop::Stop;

mod changes;
mod journal;

use changes::{Change, Watch};
use journal::{Journal, Told};

const TYPE: &str = "com.vmware.event.router/router";

/// Nothing can be set.
#[derive(Debug, Default)]
pub(crate) struct OwnSettings {
    hub: Arc<Hub>,
}

/// Its section has no keys of its own.
pub(crate) fn read(_: &Table<'_>) -> Option<OwnSettings> {
    Some(OwnSettings::default())
}

impl SourceSettings for OwnSettings {
    fn address(&self) -> &str {
        "self:"
    }

    fn product(&self) -> &'static str {
        "the router itself"
    }

    fn attach(&self, registry: &Arc<Registry>, state_dir: &Path) {
        self.hub.lock().home = Some((registry.clone(), state_dir.to_path_buf()));
    }

    fn is_local(&self) -> bool {
        true
    }

    fn make(&self, _: &str, route: &RouteConfig) -> Result<Box<dyn Source>> {
        let hub = self.hub.clone();
        Ok(Box::new(Own { hub, route: route.name.clone(), begin: Timestamp::MIN, number: 0, is_open: false }))
    }

    fn probe(&self, tell: Tell<'_>) {
        tell(Finding::Good("tells what happens to the routes".to_string()));
    }
}

/// What the routes from the router itself share.
#[derive(Default)]
struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    // Where the routes can be watched, and the folder of the journal.
    home: Option<(Arc<Registry>, PathBuf)>,
    live: Option<Live>,
}

struct Live {
    journal: Journal,
    watch: Watch,
    started: Timestamp,
    looked: Instant,
    noted: Option<Instant>,
    is_stopping: bool,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        crate::sync::lock(&self.0)
    }
}

impl State {
    /// Looks at the routes, where it is time, and keeps what is new.
    fn look(&mut self) {
        let Some((registry, folder)) = &self.home else { return };
        let now = Timestamp::now();
        let live = self.live.get_or_insert_with(|| begun(folder, now));
        if live.looked.elapsed() < OWN_LOOK_INTERVAL {
            return;
        }
        live.looked = Instant::now();
        let snapshot = registry.snapshot();
        match snapshot.phase {
            Phase::Starting => {}
            Phase::Running => {
                let changes = live.watch.changes(&snapshot.routes, now);
                live.keep(&changes, now);
            }
            Phase::Stopping => live.stop(now),
        }
        if live.noted.is_none_or(|noted| OWN_ALIVE_INTERVAL <= noted.elapsed()) {
            live.journal.live(now);
            live.noted = Some(Instant::now());
        }
    }
}

impl Live {
    fn keep(&mut self, changes: &[Change], now: Timestamp) {
        if let Err(error) = self.journal.append(changes, now) {
            log::warn!(target: "self", "{error}: what happens now is told only while the router runs");
        }
    }

    fn stop(&mut self, now: Timestamp) {
        if !std::mem::replace(&mut self.is_stopping, true) {
            let change =
                Change::of_process("Stopping", "the router was told to stop".to_string(), Vec::new());
            self.keep(&[change], now);
            self.journal.live(now);
        }
    }
}

/// The first thing that is told, with how long the router was down if that is known.
fn begun(folder: &Path, now: Timestamp) -> Live {
    let journal = Journal::open(folder);
    let version = ("Version", json!(env!("CARGO_PKG_VERSION")));
    let was_told = journal.events().last().is_some_and(|last| last.subject == "Stopping");
    let (message, members) = match journal.last_alive() {
        None => ("the router started".to_string(), vec![version]),
        Some(last) => {
            let how = if was_told { "it had been told to stop" } else { "it was killed or crashed" };
            let message = format!("the router started; it was down from {last} to {now}: {how}");
            let span = [("Begin", json!(last.to_string())), ("End", json!(now.to_string()))];
            (message, [vec![version], span.to_vec(), vec![("Reason", json!(how))]].concat())
        }
    };
    let looked = Instant::now().checked_sub(OWN_LOOK_INTERVAL).unwrap_or_else(Instant::now);
    let told = journal.events().map(|told| (told.subject.as_str(), told.route.as_str(), told.since()));
    let (watch, noted) = (Watch::resumed(told), None);
    let mut live = Live { journal, watch, started: now, looked, noted, is_stopping: false };
    live.keep(&[Change::of_process("Started", message, members)], now);
    live
}

/// What one route reads of it.
struct Own {
    hub: Arc<Hub>,
    route: String,
    begin: Timestamp,
    // Of the event that was read last.
    number: i64,
    is_open: bool,
}

impl Own {
    fn event(told: &Told, history: Uuid) -> Item {
        Item::Event(Event {
            position: Position { key: told.number, time: told.time },
            lane: Lane::of_object(&told.route),
            ce: CloudEvent {
                id: Uuid::new_v5(&history, told.number.to_string().as_bytes()).to_string(),
                source: format!("urn:event-router:{history}").into(),
                ty: TYPE.into(),
                name_in_type: None,
                subject: Some(told.subject.clone()),
                time: Some(told.time.to_string()),
                datacontenttype: Some("application/json".into()),
                data: told.data.get().as_bytes().to_vec(),
                extensions: [].into(),
            },
            anomalies: Vec::new(),
            receipt: None,
        })
    }
}

impl Source for Own {
    fn open(&mut self, begin: Option<Timestamp>) -> Result<Opened, SourceError> {
        let mut state = self.hub.lock();
        state.look();
        let now = Timestamp::now();
        let (history, started) =
            state.live.as_ref().map_or((Uuid::nil(), now), |live| (live.journal.history(), live.started));
        drop(state);
        (self.begin, self.number, self.is_open) = (begin.unwrap_or(started), 0, true);
        let description = "the router's own events".to_string();
        Ok(Opened { identity: history.to_string(), begin: self.begin, now, description, is_purged: false })
    }

    fn read(&mut self) -> Result<Page, SourceError> {
        let mut state = self.hub.lock();
        state.look();
        let Some(live) = &state.live else { return Ok(Page::default()) };
        let history = live.journal.history();
        let mut page = Page::default();
        for told in live.journal.events().filter(|told| self.number < told.number && self.begin <= told.time)
        {
            if told.route != self.route {
                page.items.push(Own::event(told, history));
            }
        }
        self.number = live.journal.events().last().map_or(self.number, |last| last.number);
        Ok(page)
    }

    fn wait(&mut self, stop: &Stop, longest: Duration) -> Result<(), SourceError> {
        stop.wait(OWN_LOOK_INTERVAL.min(longest));
        Ok(())
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            let mut state = self.hub.lock();
            let is_stopping =
                state.home.as_ref().is_some_and(|(registry, _)| registry.snapshot().phase == Phase::Stopping);
            if let Some(live) = state.live.as_mut().filter(|_| is_stopping) {
                live.stop(Timestamp::now());
            }
        }
    }
}
