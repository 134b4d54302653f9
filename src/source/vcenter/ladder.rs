//! Reading with the stall watch: what an empty page leads to, and the rungs that are climbed.

use jiff::Timestamp;
use std::time::Instant;

use super::Vcenter;
use super::soap::Latest;
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
            self.mark = None;
            self.note(&mut items);
        } else {
            self.judge_silence()?;
        }
        Ok(Page { items, more })
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
                    return Ok(Page { more: true, items: Vec::new() });
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
        Ok(Page { more: true, items })
    }

    /// Remembers what was read, drops what is not new, and says so if the rest ends a stall.
    fn note(&mut self, items: &mut Vec<Item>) {
        self.poll_wait = POLL_WAIT_MIN;
        self.drop_repeats(items);
        if items.is_empty() {
            return;
        }
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
        let missed = shown.filter(|latest| self.seen.misses(*latest));
        if !self.stall.is_compare_due(missed.is_some(), Instant::now()) {
            return Ok(());
        }
        let latest = match link.session.latest_event() {
            Ok(latest) => latest,
            Err(error) if error.failure == SourceFailure::Misconfigured => {
                log::debug!(target: self.who.as_str(), "{error}");
                None
            }
            Err(error) => return Err(error),
        };
        let is_filtered = link.is_filtered();
        let is_watched = link.wake.as_ref().is_some_and(|wake| wake.is_waiting());
        if is_filtered && is_watched && missed.is_none() {
            self.pass(latest);
        }
        let missed = latest.filter(|latest| !is_filtered && self.seen.misses(*latest)).or(missed);
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

    /// Of a filtered collector the newest event of all is no witness, but it shows how far the history
    /// has come. By the next comparison pages were empty and the long poll, which had all that time, has
    /// shown nothing that is wanted: what was the newest event before is passed.
    fn pass(&mut self, latest: Option<Latest>) {
        let mark = latest.and_then(|Latest { key, created }| Some(Position { key, time: created? }));
        self.passed = std::mem::replace(&mut self.mark, mark).or(self.passed);
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

fn position(item: &Item) -> Option<Position> {
    match item {
        Item::Event(event) => Some(event.position),
        Item::Broken(broken) => broken.position,
    }
}
