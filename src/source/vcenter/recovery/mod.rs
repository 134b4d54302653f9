//! Reading with the stall watch: what an empty page leads to, and the steps of the recovery.

use jiff::Timestamp;
use std::time::Instant;

use super::long_poll::LongPoll;
use super::reader::Reader;
use super::session::Open;
use super::soap::{Latest, Newest};
use crate::error::Error;
use crate::event::Position;
use crate::limits::{DOUBT_PAGES_MAX, PAGE_EVENTS_MAX, STALL_COMPARE_INTERVAL};
use crate::observe::logger::Logger;
use crate::source::watch::SourceWatch;
use crate::source::{Item, Page, SourceError, SourceFailure};

mod doubt;
mod slices;
pub(super) mod stall;

use doubt::{Doubt, Reason};
use slices::{Look, TimeSlices};
use stall::{Advice, Seen, Stall, StallTiming, Step};

/// What an event shows that was found where it had been passed.
const NOT_IN_ITS_TURN: &str = "did not come in its turn: an answer of vCenter was lost on its way";

/// What was read, what is known to be missing, and what is done about it.
pub(super) struct Recovery {
    // Of the source.
    name: String,
    logger: Logger,
    stall: Stall,
    seen: Seen,
    // Where a new collector has to begin to miss nothing, and the key of the event there.
    resume: Timestamp,
    resume_key: Option<i64>,
    slices: Option<TimeSlices>,
    // The collector is not the one that the source was opened with: it may repeat events.
    replaced: bool,
    // Where the server filters: an event that should have been read, if no other has come since.
    witness: Option<Latest>,
    // There too: the newest event of all, and since when; and an event up to which nothing is wanted.
    mark: Option<(Position, Instant)>,
    passed: Option<Position>,
    // Whether a page may be missing.
    doubt: Doubt,
    // The server's present when reading began, and ours.
    began: (Timestamp, Instant),
    // What the server had at the begin is not known yet.
    is_first_silence: bool,
}

impl Recovery {
    /// Nothing was read yet from the source of this name.
    pub(super) fn new(name: &str) -> Recovery {
        Recovery {
            name: name.to_string(),
            logger: Logger::source(name),
            stall: Stall::new(StallTiming::default(), Instant::now()),
            seen: Seen::from(Timestamp::UNIX_EPOCH),
            resume: Timestamp::UNIX_EPOCH,
            resume_key: None,
            slices: None,
            replaced: false,
            witness: None,
            mark: None,
            passed: None,
            doubt: Doubt::default(),
            began: (Timestamp::UNIX_EPOCH, Instant::now()),
            is_first_silence: true,
        }
    }

    /// With another patience.
    pub(super) fn set_timing(&mut self, timing: StallTiming) {
        self.stall.set_timing(timing, Instant::now());
    }

    /// Another reading begins at `begin`, and the server's clock shows `now`. A declared stall stays so until
    /// events come.
    pub(super) fn begin(&mut self, begin: Timestamp, now: Timestamp) {
        self.doubt.begin();
        self.began = (now, Instant::now());
        self.is_first_silence = true;
        self.seen = Seen::from(begin);
        self.resume = begin;
        self.resume_key = None;
        self.slices = None;
        self.replaced = false;
        self.witness = None;
        self.mark = None;
        self.stall.reopened(Instant::now());
    }

    /// The next page.
    pub(super) fn read(&mut self, open: &mut Open, reader: &mut Reader) -> Result<Page, SourceError> {
        match self.slices {
            Some(_) => self.read_slice(open, reader),
            None => self.read_on(open, reader),
        }
    }

    /// Whether there is more to look at, events or not.
    pub(super) fn is_slicing(&self) -> bool {
        self.slices.is_some()
    }

    /// An event up to which nothing is wanted that was not read. Told once.
    pub(super) fn passed(&mut self) -> Option<Position> {
        self.passed.take()
    }

    /// Where others see the stall.
    pub(super) fn watch(&self) -> SourceWatch {
        self.stall.watch()
    }

    /// The next page, where nothing is wrong as far as is known.
    fn read_on(&mut self, open: &mut Open, reader: &mut Reader) -> Result<Page, SourceError> {
        let asked = self.present();
        let mut items = reader.read_page(open)?;
        // A short page proves nothing: the server takes the events first and then drops those that
        // the account may not see.
        let more = !items.is_empty();
        if more {
            if reader.met_silence() {
                // They were there a moment before.
                self.doubt.silent(asked, true);
            }
            self.drop_repeats(&mut items);
            while self.look_before(&mut items, open, reader)? {}
            self.note(&mut items, reader);
        } else {
            let missed = self.judge_silence(open, reader)?;
            self.doubt.silent(asked, missed);
        }
        Ok(Page { items, more, ..Page::default() })
    }

    /// The server's present, by what it was at the begin.
    fn present(&self) -> Timestamp {
        let (began, at) = self.began;
        began.checked_add(at.elapsed()).unwrap_or(began)
    }

    /// Where something may be missing before these events, a second collector looks. What it finds takes its
    /// place among them; true when it did, and there may be another hole.
    fn look_before(
        &mut self,
        items: &mut Vec<Item>,
        open: &Open,
        reader: &Reader,
    ) -> Result<bool, SourceError> {
        let page: Vec<Position> = items.iter().filter_map(Item::position).collect();
        let Some(suspicion) = self.doubt.judge(&page, !open.is_filtered()) else { return Ok(false) };
        let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(false) };
        // What is older than what is remembered cannot be told from what was read.
        let begin = self.resume.min(first.time).max(self.seen.whole_since());
        // Keys may be missing anywhere in the page.
        let end =
            self.resume.max(if suspicion.reason == Reason::Gap { last.time } else { first.time }).max(begin);
        let (seen, asked) = (&self.seen, reader.page_events_max());
        let mut skipped = Vec::new();
        open.look_through((begin, end), asked, DOUBT_PAGES_MAX, &mut |body| {
            let shown = reader.convert(open, &body)?;
            let is_full = asked <= shown.len();
            skipped.extend(shown.into_iter().filter(|item| {
                item.position().is_some_and(|position| {
                    suspicion.is_skipped(position.key)
                        && !seen.contains(position)
                        && !page.contains(&position)
                })
            }));
            Ok(is_full)
        })?;
        let positions: Vec<Position> = skipped.iter().filter_map(Item::position).collect();
        if let Some(missing) = self.doubt.looked(&suspicion, &positions) {
            // Nothing of this page was handed over: whoever opens the source again reads both.
            return Err(lost(missing));
        }
        let Some(Position { key, time }) = positions.first() else { return Ok(false) };
        log::warn!(target: &self.logger, "event {key} of {time} {NOT_IN_ITS_TURN}; it is read now, and what was lost with it");
        let place = suspicion.place(items.iter().map(|item| Some(item.position()?.key)));
        items.splice(place..place, skipped);
        Ok(true)
    }

    /// One step of the time slices past a stall. It may hand over nothing: the next call goes on.
    fn read_slice(&mut self, open: &mut Open, reader: &mut Reader) -> Result<Page, SourceError> {
        let Some(mut slices) = self.slices.take() else { return Ok(Page::default()) };
        let mut items = Vec::new();
        match slices.look() {
            Look::Read(begin, end) => {
                if slices.reading.is_none() {
                    self.replace_collector(open, begin, Some(end))?;
                }
                items = reader.read_page(open)?;
                let is_empty = items.is_empty();
                self.drop_repeats(&mut items);
                let first = items.iter().find_map(Item::position).filter(|_| slices.reading.is_none());
                if first.is_some_and(|first| slices.hides(first)) {
                    self.slices = Some(slices);
                    return Ok(Page { more: true, ..Page::default() });
                }
                // A slice may hold more than a page.
                if is_empty {
                    slices.done(slices.reading == Some(true));
                } else {
                    self.note(&mut items, reader);
                    items.iter().filter_map(Item::position).for_each(|position| slices.handed_over(position));
                    slices.reading = Some(slices.reading == Some(true) || !items.is_empty());
                }
                self.slices = Some(slices);
            }
            Look::Probe(begin, end) => {
                self.replace_collector(open, begin, Some(end))?;
                let mut page = reader.read_page(open)?;
                self.drop_repeats(&mut page);
                slices.done(!page.is_empty());
                self.slices = Some(slices);
            }
            Look::Resume(begin) => {
                self.replace_collector(open, begin, None)?;
                open.start_long_poll(&self.name);
                self.resume = begin;
                log::debug!(target: &self.logger, "the time slices are through, reading from {begin}");
            }
        }
        Ok(Page { more: true, items, ..Page::default() })
    }

    /// Remembers what was read, and says so if that ends a stall.
    fn note(&mut self, items: &mut [Item], reader: &mut Reader) {
        if items.is_empty() {
            return;
        }
        self.doubt.note(items.iter().rev().find_map(Item::position));
        (self.witness, self.mark) = (None, None);
        for item in items.iter() {
            self.seen.note(item.position());
        }
        if let Some(newest) = self.seen.newest()
            && self.resume <= newest.time
        {
            self.resume = newest.time;
            self.resume_key = Some(newest.key);
        }
        if let Some((step, since)) = self.stall.flowed(Instant::now()) {
            let seconds = since.as_secs_f64();
            log::info!(target: &self.logger, "events come again after {seconds:.0} s, by {}", step.name());
            reader.restore_pages();
        }
    }

    /// A collector that replaces another begins with the last event of that one: an event that was
    /// read already must not count as a sign that events come again.
    fn drop_repeats(&self, items: &mut Vec<Item>) {
        if self.replaced {
            items.retain(|item| item.position().is_none_or(|position| !self.seen.contains(position)));
        }
    }

    /// A page was empty: is there really nothing? True when an event is known that was not read.
    fn judge_silence(&mut self, open: &mut Open, reader: &mut Reader) -> Result<bool, SourceError> {
        let mut missed = self.shown_missing(open);
        if self.is_first_silence {
            let newest = self.latest_event(open)?;
            self.is_first_silence = false;
            self.seen.began_after(newest.as_ref().map(|newest| newest.event));
            if let Some(Newest { event, name }) = newest {
                missed = Some(event).filter(|event| open.wants(&name) && self.seen.misses(*event)).or(missed);
            }
        }
        if !self.stall.is_compare_due(missed.is_some(), Instant::now()) {
            return Ok(missed.is_some());
        }
        match self.latest_event(open)? {
            Some(Newest { event, name }) if open.wants(&name) => {
                missed = Some(event).filter(|event| self.seen.misses(*event)).or(missed);
            }
            Some(Newest { event, .. }) if missed.is_none() => missed = self.pass(event, open, reader)?,
            _ => {}
        }
        // By the next comparison an event that is left out may be the newest.
        self.witness = missed.filter(|_| open.is_filtered());
        let larger_page = reader.page_events_max() < PAGE_EVENTS_MAX;
        match self.stall.compared(missed.is_some(), larger_page, Instant::now(), Timestamp::now()) {
            Advice::Nothing => {}
            Advice::Settled => {
                log::info!(target: &self.logger, "nothing is missing any more");
                reader.restore_pages();
            }
            Advice::Try(step, declare) => {
                self.explain(step, declare, missed);
                self.take_step(step, missed, open, reader)?;
            }
        }
        Ok(missed.is_some())
    }

    /// An event that was shown and not read.
    fn shown_missing(&self, open: &Open) -> Option<Latest> {
        let shown = open.long_poll.as_ref().and_then(LongPoll::latest);
        [shown, self.witness].into_iter().flatten().find(|latest| self.seen.misses(*latest))
    }

    /// The newest event of all, where the server tells it.
    fn latest_event(&self, open: &Open) -> Result<Option<Newest>, SourceError> {
        match open.session.latest_event() {
            Err(error) if error.failure == SourceFailure::Misconfigured => {
                log::debug!(target: &self.logger, "{error}");
                Ok(None)
            }
            newest => newest,
        }
    }

    /// The newest event of all is one that the server leaves out: it shows only how far the history has
    /// come. What was the newest a while ago is passed when a second collector finds nothing up to there
    /// that was not read. Returns what it does find.
    fn pass(&mut self, newest: Latest, open: &Open, reader: &Reader) -> Result<Option<Latest>, SourceError> {
        let mark = newest.created.map(|time| Position { key: newest.key, time });
        // In a quiet vCenter it stays the one that was passed last.
        let mark = mark.filter(|Position { key, time }| {
            self.resume < *time || (self.resume == *time && self.resume_key != Some(*key))
        });
        match self.mark {
            Some((_, since)) if since.elapsed() < self.stall.timing().pass => return Ok(None),
            _ => {}
        }
        let now = mark.map(|mark| (mark, Instant::now()));
        let Some((mark, _)) = std::mem::replace(&mut self.mark, now) else {
            return Ok(None);
        };
        let body = open.look(self.resume, mark.time, reader.page_events_max())?;
        let found = reader.convert(open, &body)?;
        let is_known = |item: &&Item| item.position().is_some_and(|position| self.seen.contains(position));
        match found.iter().find(|item| !is_known(item)) {
            Some(item) => {
                Ok(item.position().map(|Position { key, time }| Latest { key, created: Some(time) }))
            }
            None => {
                // A full page of what was read before does not show what is behind it.
                if found.len() < reader.page_events_max() && self.resume <= mark.time {
                    (self.resume, self.resume_key) = (mark.time, Some(mark.key));
                    self.passed = Some(mark);
                    self.mark = self.mark.filter(|(newest, _)| *newest != mark);
                }
                Ok(None)
            }
        }
    }

    /// Logs what is known to be missing and what is tried now.
    fn explain(&self, step: Step, declare: bool, missed: Option<Latest>) {
        let known = match missed {
            Some(Latest { key, created: Some(created) }) => format!("event {key} of {created}"),
            Some(Latest { key, created: None }) => format!("event {key}"),
            None => "an event".into(),
        };
        let last = self.seen.newest().map_or_else(
            || format!("nothing could be read since {}", self.resume),
            |newest| format!("the last that could be read is {} of {}", newest.key, newest.time),
        );
        if declare {
            let detail = format!(
                "stalled: vCenter has {known}, {last}; the account may lack System.Read on a part of the \
                 inventory (give it on the root folder, propagated), or vCenter's event counter has \
                 overflowed (event keys below 0 or near 2147483647: open a support request)"
            );
            log::warn!(target: &self.logger, "{detail}; still trying");
            self.stall.explain(&detail);
        } else {
            log::info!(target: &self.logger, "vCenter has {known}, {last}; trying: {}", step.name());
        }
    }

    fn take_step(
        &mut self,
        step: Step,
        missed: Option<Latest>,
        open: &mut Open,
        reader: &mut Reader,
    ) -> Result<(), SourceError> {
        // Where the server's clock was set back, the event lies before what was read, and others before it
        // that came since the witnesses were compared.
        if let Some(created) = missed.and_then(|missed| missed.created).filter(|at| *at < self.resume) {
            let earlier = created.checked_sub(2 * STALL_COMPARE_INTERVAL).unwrap_or(created);
            // Where reading began ahead of the server's present, everything since was left out.
            let (began, _) = self.began;
            self.resume = if self.seen.has_none() { earlier.min(began) } else { earlier };
            self.resume_key = None;
        }
        match step {
            Step::None => Ok(()),
            Step::LargerPage => {
                reader.enlarge_pages();
                Ok(())
            }
            Step::NewCollector => {
                self.replace_collector(open, self.resume, None)?;
                open.start_long_poll(&self.name);
                Ok(())
            }
            Step::TimeSlices => {
                let end = open.session.server_time()?;
                // The next slices begin where this one ends.
                let key = std::mem::replace(&mut self.resume_key, missed.map(|missed| missed.key));
                self.slices = Some(TimeSlices::plan(self.resume, key, end, missed));
                Ok(())
            }
        }
    }

    /// From here on the collector is not the one that the source was opened with.
    fn replace_collector(
        &mut self,
        open: &mut Open,
        begin: Timestamp,
        end: Option<Timestamp>,
    ) -> Result<(), SourceError> {
        self.replaced = true;
        open.replace_collector(begin, end)
    }
}

/// An answer was lost that the server took for read.
fn lost(missing: Position) -> SourceError {
    SourceError::lost(Error::new(format!(
        "event {} of {} {NOT_IN_ITS_TURN}; reading it again",
        missing.key, missing.time
    )))
}
