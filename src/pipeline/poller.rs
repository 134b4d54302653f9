//! The poller thread of a route: opens the source where the route stands, reads pages, filters, and
//! hands events to the lanes. A full queue blocks it: that is the back-pressure.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::event::{Event, Position};
use crate::limits::{
    CREDENTIALS_TICK, DEAD_LETTER_HOLD, IDLE_WAIT_MAX, KEY_DISORDER_MAX, KEY_SUSPICIOUS, LOGIN_REFUSED_WAIT,
    ODDITY_NAMES_MAX, RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN,
};
use crate::observe::stats::Pulse;
use crate::pipeline::Shared;
use crate::pipeline::ledger::{Ledger, Progress};
use crate::pipeline::window::{Window, overlap_before};
use crate::source::{Broken, Item, Opened, Source, SourceError, SourceFailure};

/// Where the route stood when the process started.
pub(crate) enum Start {
    /// It never ran, or keeps no position: from the source's present on.
    Now,
    /// Where its checkpoint says.
    Checkpoint {
        /// The identity of the source then.
        identity: String,
        /// How far it had come.
        progress: Progress,
    },
}

/// Reads until stop.
pub(crate) fn run(shared: &Shared, source: &mut dyn Source, start: Start, pulse: &Pulse) {
    let mut poller = Poller {
        shared,
        pulse,
        issued: None,
        identity: None,
        failures: 0,
        start,
        key_warned: false,
        last_key: None,
        purged_after: None,
        oddities_told: HashSet::new(),
    };
    while !shared.stop.is_stopped() {
        match poller.open_and_read(source) {
            Ok(()) => break,
            Err(error) => poller.wait_after(&error, source),
        }
    }
    source.close();
    shared.stats.disconnected();
}

struct Poller<'a> {
    shared: &'a Shared,
    pulse: &'a Pulse,
    // What was handed to the lanes (or settled by an earlier run) around the newest event; none
    // until the source was opened once.
    issued: Option<Issued>,
    identity: Option<String>,
    failures: u32,
    start: Start,
    key_warned: bool,
    // Of the event that was new last.
    last_key: Option<i64>,
    // The source has purged what came after this time.
    purged_after: Option<Timestamp>,
    // Names of anomalies that were logged.
    oddities_told: HashSet<String>,
}

struct Issued {
    start: Timestamp,
    window: Window,
}

impl Poller<'_> {
    // Ends with Ok only when the route is to stop.
    fn open_and_read(&mut self, source: &mut dyn Source) -> Result<(), SourceError> {
        let begin = self.begin();
        self.pulse.busy();
        let opened = source.open(begin)?;
        self.pulse.resting();
        self.shared.stats.source_clock(opened.now);
        let Some(opened) = self.take_position(source, opened)? else { return Ok(()) };
        self.purged_after = opened.is_purged.then_some(opened.begin);
        if 0 < self.failures {
            self.shared.stats.reconnects.add(1);
        }
        self.shared.stats.connected(&opened.description);
        let disabled = if self.shared.keeps_checkpoint { "" } else { "checkpointing disabled, " };
        log::info!(
            target: self.shared.who.as_str(),
            beginTimestamp:% = opened.begin;
            "{disabled}setting begin of event stream, reading {}", opened.description
        );
        self.read_pages(source)
    }

    fn read_pages(&mut self, source: &mut dyn Source) -> Result<(), SourceError> {
        let stop = &self.shared.stop;
        while !stop.is_stopped() {
            self.pulse.busy();
            let page = source.read()?;
            self.pulse.resting();
            // Only a page shows that all is well: a session can be refused after its login.
            self.failures = 0;
            self.shared.source_incident.over();
            self.shared.stats.pages.add(1);
            let empty = page.items.is_empty();
            log::debug!(target: self.shared.who.as_str(), "page of {} events", page.items.len());
            for item in page.items {
                if !self.hand_over(item) {
                    return Ok(());
                }
            }
            if let Some(position) = source.passed()
                && !self.pass(position)
            {
                return Ok(());
            }
            if empty || !page.more {
                source.wait(stop, IDLE_WAIT_MAX)?;
            }
        }
        Ok(())
    }

    // From where to read: what this run has handed over, else the checkpoint, else now.
    fn begin(&self) -> Option<Timestamp> {
        match (&self.issued, &self.start) {
            (Some(issued), _) => Some(issued.window.resume().map_or(issued.start, |at| at.max(issued.start))),
            (None, Start::Checkpoint { progress, .. }) => Some(progress.resume()),
            (None, Start::Now) => None,
        }
    }

    // After the first opening the start is recorded before anything is read. Gives what the source
    // was opened with in the end; none when the route is to stop.
    fn take_position(
        &mut self,
        source: &mut dyn Source,
        opened: Opened,
    ) -> Result<Option<Opened>, SourceError> {
        let known = match &self.start {
            Start::Checkpoint { identity, .. } => self.identity.as_deref().or(Some(identity.as_str())),
            Start::Now => self.identity.as_deref(),
        };
        // An empty identity was not known when the position was set by hand.
        let changed = known.is_some_and(|known| !known.is_empty() && known != opened.identity);
        if changed {
            log::warn!(target: self.shared.who.as_str(), "the source's identity changed to {}: it was rebuilt or replaced; going on by time, some \
                 events may be repeated", opened.identity);
        }
        self.identity = Some(opened.identity.clone());
        if let Some(issued) = &mut self.issued {
            if changed {
                issued.window = Window::restore(issued.window.newest(), []);
                self.last_key = None;
                self.shared.queue.change_source(&opened.identity);
            }
            return Ok(Some(opened));
        }
        let (start, mut window, last) = match &self.start {
            Start::Checkpoint { progress, .. } => {
                (progress.start, progress.settled.clone(), progress.last.clone())
            }
            Start::Now => (opened.begin, Window::default(), None),
        };
        if changed {
            window = Window::restore(window.newest(), []);
        }
        let start = self.bound_replay(start, &mut window, opened.now);
        self.shared.queue.begin(&opened.identity, Ledger::new(start, window.clone(), last));
        self.last_key = window.newest_key();
        let bounded = window.newest().is_none_or(|newest| overlap_before(newest) < start);
        self.issued = Some(Issued { start, window });
        if self.shared.keeps_checkpoint && !self.shared.queue.wait_durable() {
            return Ok(None);
        }
        // The source may have been opened before a bound moved the start. What lies before it was
        // skipped by choice, and is no gap.
        if bounded && opened.begin < start {
            return source.open(Some(start)).map(Some);
        }
        Ok(Some(opened))
    }

    // `replay_max`: an operator's choice to skip what is older, said with begin and end.
    fn bound_replay(&self, start: Timestamp, window: &mut Window, now: Timestamp) -> Timestamp {
        let Some(max) = self.shared.replay_max else { return start };
        let oldest =
            now.checked_sub(jiff::SignedDuration::try_from(max).unwrap_or_default()).unwrap_or(start);
        let position = window.newest().unwrap_or(start);
        if oldest <= position {
            return start;
        }
        log::error!(target: self.shared.who.as_str(), "events from {position} to {oldest} are skipped: they are older than replay_max");
        *window = Window::default();
        oldest
    }

    // The source left an event out, and all before it was handed over: the route stands there. False
    // when it is to stop.
    fn pass(&mut self, position: Position) -> bool {
        if !self.is_new(position) {
            return true;
        }
        self.mark_reuse(position);
        let pushed = self.shared.queue.push_settled(Some(position), None);
        if pushed {
            self.remember(position);
        }
        pushed
    }

    // False when the route is to stop.
    fn hand_over(&mut self, item: Item) -> bool {
        match item {
            Item::Event(event) => self.hand_over_event(event),
            Item::Broken(broken) => self.keep_broken(broken),
        }
    }

    fn hand_over_event(&mut self, event: Event) -> bool {
        let position = event.position;
        if !self.is_new(position) {
            return true;
        }
        let stats = &self.shared.stats;
        stats.read.add(1);
        stats.read_event(position);
        self.tell_gap(position);
        self.tell_oddities(&event);
        self.warn_about_key(position);
        log::trace!(target: self.shared.who.as_str(), "read event {} {:?}", position.key, event.ce.subject);
        let pushed = if self.shared.wants(&event) {
            self.shared.queue.push(event)
        } else {
            stats.filtered.add(1);
            self.shared.queue.push_settled(Some(position), Some(event.ce.into()))
        };
        if pushed {
            self.remember(position);
        }
        pushed
    }

    fn keep_broken(&mut self, broken: Broken) -> bool {
        if broken.position.is_some_and(|position| !self.is_new(position)) {
            return true;
        }
        self.shared.stats.read.add(1);
        while let Some(letters) = &self.shared.dead_letters {
            let Err(error) = letters.append_broken(&broken) else { break };
            let incident = &self.shared.dead_letter_incident;
            incident.happened("dead letters", &error.to_string(), "holding an unreadable event");
            if self.shared.stop.wait(DEAD_LETTER_HOLD) {
                return false;
            }
        }
        let kept = match &self.shared.dead_letters {
            Some(letters) => {
                self.shared.dead_letter_incident.over();
                self.shared.stats.dead_lettered.add(1);
                format!("kept as it came in {}", letters.path().display())
            }
            None => {
                self.shared.stats.lost.add(1);
                "lost, as checkpoint = false allows".to_string()
            }
        };
        log::error!(target: self.shared.who.as_str(), "an event cannot be converted: {}; {kept}", broken.reason);
        if let Some(position) = broken.position {
            self.mark_reuse(position);
        }
        let pushed = self.shared.queue.push_settled(broken.position, None);
        if let Some(position) = broken.position.filter(|_| pushed) {
            self.remember(position);
        }
        pushed
    }

    // Once per name; beyond the limit of names they are only counted.
    fn tell_oddities(&mut self, event: &Event) {
        for anomalies in &event.anomalies {
            self.shared.stats.anomalies.add(anomalies.kind);
            if ODDITY_NAMES_MAX <= self.oddities_told.len() || self.oddities_told.contains(&anomalies.name) {
                continue;
            }
            self.oddities_told.insert(anomalies.name.clone());
            log::info!(
                target: self.shared.who.as_str(),
                "unknown {} {} in {}: delivered as it came, by its structure", anomalies.kind, anomalies.name, event.ce.name()
            );
        }
    }

    fn tell_gap(&mut self, first: Position) {
        let Some(begin) = self.purged_after.take() else { return };
        self.shared.stats.gaps.add(1);
        let end = first.time;
        log::error!(target: self.shared.who.as_str(), "gap: the source no longer has its events from {begin} to {end}: its retention is \
             shorter than the time that this route was away; they are lost");
    }

    fn is_new(&self, position: Position) -> bool {
        self.issued.as_ref().is_none_or(|issued| !issued.window.contains(position))
    }

    // Whether the source has begun its keys again within a second; then what comes is told apart
    // from what was, here and in the ledger.
    fn mark_reuse(&mut self, position: Position) -> bool {
        let Some(issued) = self.issued.as_mut().filter(|issued| issued.window.is_reuse(position)) else {
            return false;
        };
        issued.window.begin_again(position.time);
        self.shared.queue.keys_begin_again(position.time);
        true
    }

    fn remember(&mut self, position: Position) {
        if let Some(issued) = &mut self.issued {
            issued.window.insert(position);
        }
    }

    // Both are only said: keys tell events apart, and nothing is concluded from their order.
    fn warn_about_key(&mut self, position: Position) {
        let key = position.key;
        let reuse = self.mark_reuse(position);
        let went_back = |last: i64| 0 <= key && key.saturating_add(KEY_DISORDER_MAX) < last;
        if let Some(last) = self.last_key.replace(key).filter(|last| reuse || went_back(*last)) {
            log::warn!(target: self.shared.who.as_str(), "the source's event keys went back from {last} to {key}: its database was restored \
                 or began anew; going on by time, some events may be repeated");
        }
        if !self.key_warned && !(0..=KEY_SUSPICIOUS).contains(&key) {
            self.key_warned = true;
            log::warn!(target: self.shared.who.as_str(), "event key {key}: vCenter's event counter is about to overflow or has; a known vCenter \
                 fault then hides new events from collectors: open a support request with VMware");
        }
    }

    fn wait_after(&mut self, error: &SourceError, source: &dyn Source) {
        let shared = self.shared;
        self.pulse.resting();
        shared.stats.disconnected();
        self.failures = self.failures.saturating_add(1);
        let reason = error.failure.reason();
        let wait = match error.failure {
            SourceFailure::Lost => reconnect_wait(self.failures),
            SourceFailure::Misconfigured => RECONNECT_WAIT_MAX,
            SourceFailure::LoginRefused => LOGIN_REFUSED_WAIT,
        };
        let refused = error.failure == SourceFailure::LoginRefused;
        let sooner = if refused { ", or when the credentials change" } else { "" };
        let consequence = format!("trying again in {:.0} s{sooner}", wait.as_secs_f64().ceil());
        shared.stats.source_failures.add(reason);
        shared.source_incident.happened(reason, &error.to_string(), &consequence);
        let until = Instant::now() + wait;
        while Instant::now() < until && !shared.stop.wait((until - Instant::now()).min(CREDENTIALS_TICK)) {
            if refused && source.has_new_credentials() {
                log::info!(target: shared.who.as_str(), "the credentials have changed: logging in again");
                return;
            }
        }
    }
}

fn reconnect_wait(failures: u32) -> Duration {
    let config = crate::config::RetryConfig {
        first: RECONNECT_WAIT_MIN,
        max: RECONNECT_WAIT_MAX,
        give_up_after: None,
    };
    super::retry::wait(&config, failures, None, super::worker::jitter())
}
