//! The poller thread of a route: opens the source where the route stands, reads pages, filters, and
//! sends events to the workers. A full channel blocks it: that is the back-pressure.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::event::{Event, Position};
use crate::limits::{
    CREDENTIALS_TICK, DEAD_LETTER_HOLD, IDLE_WAIT_MAX, LOGIN_REFUSED_WAIT, RECONNECT_WAIT_MAX,
    RECONNECT_WAIT_MIN, REPEATED_PAGE_WAIT, REPEATED_PAGES_MAX,
};
use crate::observe::stats::Pulse;
use crate::observe::words::count;
use crate::pipeline::batch::{Entry, Feed};
use crate::pipeline::clock::{ClockReading, SourceClock};
use crate::pipeline::ledger::Ledger;
use crate::pipeline::recent::Recent;
use crate::pipeline::{ExitCause, Shared};
use crate::position::Standing;
use crate::position::progress::Progress;
use crate::position::window::Window;
use crate::source::{Item, Opened, Source, SourceError, SourceFailure};
use crate::vim::json::BrokenEvent;

mod dates;
mod tell;

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

impl Start {
    /// Where an earlier run stood, if there was one, reading from so far before it.
    pub(crate) fn at(standing: Option<Standing>, overlap: Duration) -> Start {
        let Some(Standing { identity, mut progress }) = standing else { return Start::Now };
        progress.settled.set_overlap(overlap);
        Start::Checkpoint { identity, progress }
    }
}

/// Reads until stop, or until the right to the route is lost.
pub(crate) fn run(
    shared: &Shared,
    source: &mut dyn Source,
    start: Start,
    feed: Feed,
    pulse: &Pulse,
) -> ExitCause {
    let mut poller = Poller {
        shared,
        feed,
        pulse,
        issued: None,
        clock: None,
        identity: None,
        failures: 0,
        is_back: false,
        start,
        ahead: None,
        caught_up_at: None,
        repeated_pages: 0,
        last_key: None,
        has_changed: false,
        purged_after: None,
        anomalies_told: HashSet::new(),
    };
    let cause = loop {
        if shared.stop.is_stopped() {
            break ExitCause::Told;
        }
        if !shared.tenure.is_valid() {
            break ExitCause::TenureLost;
        }
        match poller.open_and_read(source) {
            Ok(Ending::Stopped) => break ExitCause::Told,
            Ok(Ending::TenureLost) => break ExitCause::TenureLost,
            Ok(Ending::ClockSetBack) => {}
            Err(error) => poller.wait_after(&error, source),
        }
    };
    source.close();
    shared.stats.disconnected();
    cause
}

// Why reading ended, if not by a failure.
enum Ending {
    // The route is to stop.
    Stopped,
    // Where reading stands means nothing any more: the source is to be opened again.
    ClockSetBack,
    // What was read is another's to deliver.
    TenureLost,
}

struct Poller<'a> {
    shared: &'a Shared,
    feed: Feed,
    pulse: &'a Pulse,
    // What was handed on (or settled by an earlier run) around the newest event; none
    // until the source was opened once.
    issued: Option<Issued>,
    clock: Option<SourceClock>,
    identity: Option<String>,
    failures: u32,
    // It was lost and is open again, and nothing wanted came since.
    is_back: bool,
    start: Start,
    // The latest time of an event, while it may lie ahead of the source's present.
    ahead: Option<Timestamp>,
    // Where the position was before the source's clock was set back, until that has come there again.
    caught_up_at: Option<Timestamp>,
    // Pages in a row that brought nothing but repeats.
    repeated_pages: u32,
    // Of the event that was new last.
    last_key: Option<i64>,
    // It is another source than the one where the position was taken.
    has_changed: bool,
    // The source has purged what came after this time.
    purged_after: Option<Timestamp>,
    // Names of anomalies that were logged.
    anomalies_told: HashSet<String>,
}

// What became of an entry of a page.
enum Handed {
    New,
    // It was known when the source was opened.
    Known,
    // It was read before since the source was opened.
    Repeated,
    Stopped,
}

struct Issued {
    start: Timestamp,
    window: Window,
    // What was known when the source was opened: reading begins before it.
    known: Window,
    // What was read since.
    recent: Recent,
}

impl Issued {
    fn resume(&self) -> Timestamp {
        self.window.resume().map_or(self.start, |at| at.max(self.start))
    }

    fn pull_back(&mut self, to: Timestamp) {
        self.start = self.start.min(self.window.start_before(to));
        self.window.pull_back(to);
    }
}

impl Poller<'_> {
    fn open_and_read(&mut self, source: &mut dyn Source) -> Result<Ending, SourceError> {
        let begin = self.begin();
        self.pulse.busy();
        let asked = Instant::now();
        let opened = source.open(begin)?;
        self.pulse.resting();
        let look = ClockReading { shown: opened.now, asked, answered: Instant::now() };
        let Some(opened) = self.take_position(source, opened)? else { return Ok(Ending::Stopped) };
        let opened = self.take_clock(source, opened, look)?;
        if let Some(issued) = &mut self.issued {
            issued.known = issued.window.clone();
            issued.recent.clear();
        }
        self.purged_after = opened.is_purged.then_some(opened.begin);
        if 0 < self.failures {
            self.shared.stats.reconnects.add(1);
            self.is_back = true;
        }
        self.shared.stats.connected(&opened.description);
        let disabled = if self.shared.keeps_checkpoint { "" } else { "checkpointing disabled, " };
        log::info!(
            target: &self.shared.logger,
            beginTimestamp:% = opened.begin;
            "{disabled}setting begin of event stream, reading {}", opened.description
        );
        self.read_pages(source)
    }

    fn read_pages(&mut self, source: &mut dyn Source) -> Result<Ending, SourceError> {
        let stop = &self.shared.stop;
        while !stop.is_stopped() {
            self.pulse.busy();
            let page = source.read()?;
            self.pulse.resting();
            if !self.shared.tenure.is_valid() {
                return Ok(Ending::TenureLost);
            }
            // Only a page shows that all is well: a session can be refused after its login.
            self.failures = 0;
            self.shared.source_incident.over();
            self.shared.stats.page(page.items.is_empty() || !page.more);
            for notice in &page.notices {
                log::warn!(target: &self.shared.logger, "{notice}");
            }
            let empty = page.items.is_empty();
            log::debug!(target: &self.shared.logger, "page of {} events", page.items.len());
            let (events, mut repeats) = (page.items.len(), 0);
            for item in page.items {
                match self.hand_over(item) {
                    Handed::New | Handed::Known => {}
                    Handed::Repeated => repeats += 1,
                    Handed::Stopped => return Ok(Ending::Stopped),
                }
            }
            if let Some(position) = source.passed()
                && !self.pass(position)
            {
                return Ok(Ending::Stopped);
            }
            if empty {
                self.catch_up();
            }
            if !self.feed.flush(stop) {
                return Ok(Ending::Stopped);
            }
            self.brake(events, repeats);
            if self.is_clock_set_back(source)? {
                return Ok(Ending::ClockSetBack);
            }
            if empty || !page.more {
                source.wait(stop, IDLE_WAIT_MAX)?;
            }
        }
        Ok(Ending::Stopped)
    }

    // A source that shows page after page what it showed in this very reading is not asked again at
    // once. Some show their last event once more, which is nothing.
    fn brake(&mut self, events: usize, repeats: usize) {
        if 0 < repeats && repeats == events {
            self.repeated_pages = self.repeated_pages.saturating_add(1);
        } else if repeats < events {
            self.repeated_pages = 0;
            self.shared.repeat_incident.over();
        }
        if repeats == 0 || self.repeated_pages < REPEATED_PAGES_MAX {
            return;
        }
        let detail =
            format!("the source shows {} again that it showed just now", count(repeats as u64, "event"));
        let consequence = "they are not delivered again, and it is asked more slowly";
        self.shared.repeat_incident.happened("repeated page", &detail, consequence);
        self.shared.stop.wait(REPEATED_PAGE_WAIT);
    }

    // From where to read: what this run has handed over, else the checkpoint, else now.
    fn begin(&self) -> Option<Timestamp> {
        match (&self.issued, &self.start) {
            (Some(issued), _) => Some(issued.resume()),
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
            log::warn!(target: &self.shared.logger, "the source's identity changed to {}: it was rebuilt or replaced; going on by time, some \
                 events may be repeated", opened.identity);
        }
        self.identity = Some(opened.identity.clone());
        self.has_changed = changed;
        if let Some(issued) = &mut self.issued {
            if changed {
                issued.window.forget_keys();
                self.last_key = None;
                self.say(Entry::SourceChanged(opened.identity.clone()));
            }
            return Ok(Some(opened));
        }
        let (start, mut window, last) = match &self.start {
            Start::Checkpoint { progress, .. } => {
                (progress.start, progress.settled.clone(), progress.last.clone())
            }
            Start::Now => (opened.begin, Window::default().with_overlap(self.shared.overlap), None),
        };
        if changed {
            window.forget_keys();
        }
        let start = self.bound_replay(start, &mut window, opened.now);
        self.shared.queue.begin(&opened.identity, Ledger::new(start, window.clone(), last));
        self.last_key = window.newest_key();
        let bounded = window.newest().is_none_or(|newest| window.overlap_before(newest) < start);
        let (known, recent) = (Window::default(), Recent::default());
        self.issued = Some(Issued { start, window, known, recent });
        if !self.wait_durable() {
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
        let oldest = now.checked_sub(SignedDuration::try_from(max).unwrap_or_default()).unwrap_or(start);
        let position = window.newest().unwrap_or(start);
        if oldest <= position {
            return start;
        }
        log::error!(target: &self.shared.logger, "events from {position} to {oldest} are skipped: they are older than replay_max");
        *window = Window::default().with_overlap(self.shared.overlap);
        oldest
    }

    // The source left an event out, and all before it was handed over: the route stands there. False
    // when it is to stop.
    fn pass(&mut self, position: Position) -> bool {
        if self.issued.as_ref().is_some_and(|issued| issued.window.contains(position)) {
            return true;
        }
        self.mark_reuse(position);
        let sent = self.say(Entry::Settled(Some(position), None));
        if sent {
            self.remember(position);
        }
        sent
    }

    fn hand_over(&mut self, item: Item) -> Handed {
        let (position, content) = match &item {
            Item::Event(event) => (Some(event.position), &event.ce.data[..]),
            Item::Broken(broken) => (broken.position(), &broken.raw[..]),
        };
        if let (Some(position), Some(issued)) = (position, &mut self.issued) {
            if issued.known.contains(position) {
                return Handed::Known;
            }
            if !issued.recent.insert(position, content) {
                return Handed::Repeated;
            }
            self.ahead = self.ahead.max(Some(position.time));
        }
        let handed = match item {
            Item::Event(event) => self.hand_over_event(event),
            Item::Broken(broken) => self.keep_broken(broken),
        };
        if handed { Handed::New } else { Handed::Stopped }
    }

    // False when the route is to stop.
    fn hand_over_event(&mut self, event: Event) -> bool {
        let position = event.position;
        let stats = &self.shared.stats;
        stats.read.add(1);
        stats.read_event(position);
        self.tell_gap(position);
        self.tell_anomalies(&event);
        self.warn_about_key(position);
        log::trace!(target: &self.shared.logger, "read event {} {:?}", position.key, event.ce.subject);
        let sent = if self.shared.wants(&event) {
            if std::mem::take(&mut self.is_back) {
                self.shared.awaited.reconnect();
            }
            self.say(Entry::Event(event))
        } else {
            stats.filtered.add(1);
            event.tell_settled();
            self.say(Entry::Settled(Some(position), Some(event.ce.into())))
        };
        if sent {
            self.remember(position);
        }
        sent
    }

    fn keep_broken(&mut self, broken: BrokenEvent) -> bool {
        self.shared.stats.read.add(1);
        while let Some(letters) = &self.shared.dead_letters {
            let Err(error) = letters.append_broken(&broken) else { break };
            let incident = &self.shared.dead_letter_incident;
            incident.demands("dead letters", &error.to_string(), "holding an unreadable event");
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
        let line = format!("an event cannot be converted: {}; {kept}", broken.reason);
        self.shared.given_up.came("unreadable", line);
        let position = broken.position();
        if let Some(position) = position {
            self.mark_reuse(position);
        }
        let sent = self.say(Entry::Settled(position, None));
        if let Some(position) = position.filter(|_| sent) {
            self.remember(position);
        }
        sent
    }

    // Whether another event near this one has its key: the source has begun its keys again. Then what
    // comes is told apart from what was, here and in the ledger.
    fn mark_reuse(&mut self, position: Position) -> bool {
        let Some(issued) = self.issued.as_mut().filter(|issued| issued.window.has_key(position)) else {
            return false;
        };
        issued.window.begin_again(position.time);
        self.say(Entry::KeysBeginAgain(position.time));
        true
    }

    // Waits while the channel is full. False when the route is to stop.
    fn say(&mut self, entry: Entry) -> bool {
        self.feed.push(entry, &self.shared.stop)
    }

    // Waits until everything that was said is on disk, where there is a checkpoint. False when the route
    // is to stop.
    fn wait_durable(&mut self) -> bool {
        let is_sent = self.feed.flush(&self.shared.stop);
        is_sent && (!self.shared.keeps_checkpoint || self.shared.queue.wait_durable(self.feed.sent()))
    }

    fn remember(&mut self, position: Position) {
        if let Some(issued) = &mut self.issued {
            let present = self.clock.map_or(Timestamp::MAX, |clock| clock.present(Instant::now()));
            issued.window.insert(position, present);
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
        match error.failure {
            SourceFailure::Lost => shared.source_incident.happened(reason, &error.to_string(), &consequence),
            _ => shared.source_incident.demands(reason, &error.to_string(), &consequence),
        }
        let until = Instant::now() + wait;
        while Instant::now() < until && !shared.stop.wait((until - Instant::now()).min(CREDENTIALS_TICK)) {
            if source.has_new_credentials() {
                log::info!(target: &shared.logger, "the credentials have changed: logging in again");
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
    super::retry::wait(&config, failures, None, crate::sync::jitter())
}
