//! Reading with the stall watch: what an empty page leads to, and the rungs that are climbed.

use jiff::Timestamp;
use std::time::Instant;

use super::Vcenter;
use super::link::Link;
use super::soap::{Latest, Newest};
use super::stall::{Rung, Verdict};
use super::walk::{Step, Walk};
use crate::event::Position;
use crate::limits::{PAGE_EVENTS_MAX, POLL_WAIT_MIN};
use crate::source::{Item, Page, SourceError, SourceFailure};

impl Vcenter {
    /// The next page, where nothing is wrong as far as is known.
    pub(super) fn read_on(&mut self) -> Result<Page, SourceError> {
        let mut items = self.read_page()?;
        // A short page proves nothing: the server takes the events first and then drops those that
        // the account may not see.
        let more = !items.is_empty();
        if more {
            self.note(&mut items);
        } else {
            self.judge_silence()?;
        }
        Ok(Page { items, more, ..Page::default() })
    }

    /// One step of a walk past a stall. It may hand over nothing: the next call goes on.
    pub(super) fn walk_on(&mut self) -> Result<Page, SourceError> {
        let Some(mut walk) = self.walk.take() else { return Ok(Page::default()) };
        let mut items = Vec::new();
        match walk.step() {
            Step::Read(begin, end) => {
                if walk.reading.is_none() {
                    self.replace_collector(begin, Some(end))?;
                }
                items = self.read_page()?;
                let is_empty = items.is_empty();
                self.drop_repeats(&mut items);
                let first = items.iter().find_map(position).filter(|_| walk.reading.is_none());
                if first.is_some_and(|first| walk.hides(first)) {
                    self.walk = Some(walk);
                    return Ok(Page { more: true, ..Page::default() });
                }
                // A slice may hold more than a page.
                if is_empty {
                    walk.done(walk.reading == Some(true));
                } else {
                    self.note(&mut items);
                    items.iter().filter_map(position).for_each(|position| walk.handed_over(position));
                    walk.reading = Some(walk.reading == Some(true) || !items.is_empty());
                }
                self.walk = Some(walk);
            }
            Step::Probe(begin, end) => {
                self.replace_collector(begin, Some(end))?;
                let mut page = self.read_page()?;
                self.drop_repeats(&mut page);
                walk.done(!page.is_empty());
                self.walk = Some(walk);
            }
            Step::Resume(begin) => {
                self.replace_collector(begin, None)?;
                self.start_long_poll();
                self.resume = begin;
                log::debug!(target: self.who.as_str(), "the walk is over, reading from {begin}");
            }
        }
        Ok(Page { more: true, items, ..Page::default() })
    }

    /// Remembers what was read, drops what is not new, and says so if the rest ends a stall.
    fn note(&mut self, items: &mut Vec<Item>) {
        self.poll_wait = POLL_WAIT_MIN;
        self.drop_repeats(items);
        if items.is_empty() {
            return;
        }
        (self.witness, self.mark) = (None, None);
        for item in items.iter() {
            self.seen.note(position(item));
        }
        if let Some(newest) = self.seen.newest()
            && self.resume <= newest.time
        {
            self.resume = newest.time;
            self.resume_key = Some(newest.key);
        }
        if let Some((rung, since)) = self.stall.flowed(Instant::now()) {
            let seconds = since.as_secs_f64();
            log::info!(target: self.who.as_str(), "events come again after {seconds:.0} s, by {}", rung.name());
            self.restore_page_size(rung);
        }
    }

    /// A collector that replaces another begins with the last event of that one: an event that was
    /// read already must not count as a sign that events come again.
    fn drop_repeats(&self, items: &mut Vec<Item>) {
        if self.replaced {
            items.retain(|item| position(item).is_none_or(|position| !self.seen.contains(position)));
        }
    }

    /// A page was empty: is there really nothing?
    fn judge_silence(&mut self) -> Result<(), SourceError> {
        let Some(link) = &self.link else { return Ok(()) };
        let shown = link.wake.as_ref().and_then(|wake| wake.latest());
        let mut missed = [shown, self.witness].into_iter().flatten().find(|latest| self.seen.misses(*latest));
        if !self.stall.is_compare_due(missed.is_some(), Instant::now()) {
            return Ok(());
        }
        let newest = match link.session.latest_event() {
            Ok(newest) => newest,
            Err(error) if error.failure == SourceFailure::Misconfigured => {
                log::debug!(target: self.who.as_str(), "{error}");
                None
            }
            Err(error) => return Err(error),
        };
        match newest {
            Some(Newest { event, name }) if link.wants(&name) => {
                missed = Some(event).filter(|event| self.seen.misses(*event)).or(missed);
            }
            Some(Newest { event, .. }) if missed.is_none() => missed = self.pass(event)?,
            _ => {}
        }
        // By the next comparison an event that is left out may be the newest.
        self.witness = missed.filter(|_| self.link.as_ref().is_some_and(Link::is_filtered));
        let larger_page = self.page_events_max < PAGE_EVENTS_MAX;
        match self.stall.compared(missed.is_some(), larger_page, Instant::now(), Timestamp::now()) {
            Verdict::Nothing => Ok(()),
            Verdict::Settled => {
                log::info!(target: self.who.as_str(), "nothing is missing any more");
                self.restore_page_size(Rung::LargerPage);
                Ok(())
            }
            Verdict::Climb(rung, declare) => self.climb(rung, declare, missed),
        }
    }

    /// The newest event of all is one that the server leaves out: it shows only how far the history has
    /// come. What was the newest a while ago is passed when a second collector finds nothing up to there
    /// that was not read. Returns what it does find.
    fn pass(&mut self, newest: Latest) -> Result<Option<Latest>, SourceError> {
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
        let (Some((mark, _)), Some(link)) = (std::mem::replace(&mut self.mark, now), &self.link) else {
            return Ok(None);
        };
        let body = link.look(self.resume, mark.time, self.page_events_max)?;
        let found = self.convert(&body)?;
        let is_known = |item: &&Item| position(item).is_some_and(|position| self.seen.contains(position));
        match found.iter().find(|item| !is_known(item)) {
            Some(item) => {
                Ok(position(item).map(|Position { key, time }| Latest { key, created: Some(time) }))
            }
            None => {
                // A full page of what was read before does not show what is behind it.
                if found.len() < self.page_events_max && self.resume <= mark.time {
                    (self.resume, self.resume_key) = (mark.time, Some(mark.key));
                    self.passed = Some(mark);
                    self.mark = self.mark.filter(|(newest, _)| *newest != mark);
                }
                Ok(None)
            }
        }
    }

    fn climb(&mut self, rung: Rung, declare: bool, missed: Option<Latest>) -> Result<(), SourceError> {
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
            log::warn!(target: self.who.as_str(), "{detail}; still trying");
            self.stall.explain(&detail);
        } else {
            log::info!(target: self.who.as_str(), "vCenter has {known}, {last}; trying: {}", rung.name());
        }
        match rung {
            Rung::None => Ok(()),
            Rung::LargerPage => {
                self.page_events_max = PAGE_EVENTS_MAX;
                Ok(())
            }
            Rung::NewCollector => {
                self.replace_collector(self.resume, None)?;
                self.start_long_poll();
                Ok(())
            }
            Rung::Walk => {
                let Some(link) = &self.link else { return Ok(()) };
                let end = link.session.server_time()?;
                // The next walk begins where this one ends.
                let key = std::mem::replace(&mut self.resume_key, missed.map(|missed| missed.key));
                self.walk = Some(Walk::plan(self.resume, key, end, missed));
                Ok(())
            }
        }
    }

    /// Ends the long poll, which watches the old collector, and makes a new collector.
    fn replace_collector(&mut self, begin: Timestamp, end: Option<Timestamp>) -> Result<(), SourceError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        self.replaced = true;
        let (hung, _) = link.stop_long_poll();
        self.abandoned = hung.or(self.abandoned.take());
        link.collect(begin, end)
    }

    fn restore_page_size(&mut self, rung: Rung) {
        if rung != Rung::None {
            self.page_events_max = self.page_events_max.min(self.config.page_size);
        }
    }
}

pub(super) fn position(item: &Item) -> Option<Position> {
    match item {
        Item::Event(event) => Some(event.position),
        Item::Broken(broken) => broken.position,
    }
}
