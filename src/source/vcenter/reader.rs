//! The pages of a collector: how many events to ask for, and what an answer holds.

use super::convert::{self, ServerIdentity};
use super::fault::CallError;
use super::session::Open;
use super::soap;
use crate::config::Format;
use crate::error::{Error, Result};
use crate::event::Position;
use crate::limits::{EVENT_BYTES_EXPECTED, PAGE_BYTES_AIM, PAGE_EVENTS_MAX};
use crate::source::{Item, SourceError};
use crate::vim;
use crate::vim::json::{PageEntry, convert_page};

/// Full pages that have to fit before larger ones are tried again.
const PAGES_BEFORE_GROWTH: u32 = 20;

/// Reads pages of a good size; it learns from one opening for the next.
pub(super) struct Reader {
    format: Format,
    // What the configuration allows.
    page_size: usize,
    // What is asked for at present.
    page_events_max: usize,
    // Pages that were read since the last one that was too large.
    pages_fit: u32,
    // Of an event in the last page, if that was full or large; otherwise 0: no backlog is known.
    event_bytes: usize,
    // A page before the last one was empty, and asked for once more.
    met_silence: bool,
}

impl Reader {
    pub(super) fn new(format: Format, page_size: usize) -> Reader {
        Reader {
            format,
            page_size,
            page_events_max: page_size,
            pages_fit: 0,
            event_bytes: EVENT_BYTES_EXPECTED,
            met_silence: false,
        }
    }

    /// Another collector begins: nothing is known of its events.
    pub(super) fn begin(&mut self) {
        self.event_bytes = EVENT_BYTES_EXPECTED;
    }

    /// The largest page that is asked for at present.
    pub(super) fn page_events_max(&self) -> usize {
        self.page_events_max
    }

    /// Pages as large as the server allows.
    pub(super) fn enlarge_pages(&mut self) {
        self.page_events_max = PAGE_EVENTS_MAX;
    }

    /// Pages no larger than the configuration says.
    pub(super) fn restore_pages(&mut self) {
        self.page_events_max = self.page_events_max.min(self.page_size);
    }

    /// Reads and converts the next page of the collector.
    pub(super) fn read_page(&mut self, open: &Open) -> Result<Vec<Item>, SourceError> {
        self.met_silence = false;
        loop {
            let asked = self.page_events();
            let page = open.read(asked);
            if let (Err(CallError::TooLarge(bytes_max, begin)), 1) = (&page, asked)
                && let Some(cut) = cut_event(begin, *bytes_max)
            {
                // The server has moved its cursor behind it, so that reading simply goes on.
                return Ok(vec![cut]);
            }
            let converted = page.and_then(|body| {
                let items = items(&body, &open.identity, self.format);
                items.map(|items| (body.len(), items)).map_err(|error| page_error(&body, error))
            });
            let (bytes, items) = converted.map_err(|error| self.read_error(open, &error))?;
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
            self.met_silence = true;
        }
    }

    /// Whether the last page came only when it was asked for once more.
    pub(super) fn met_silence(&self) -> bool {
        self.met_silence
    }

    /// The events of a page that stands outside the row of pages.
    pub(super) fn convert(&self, open: &Open, body: &[u8]) -> Result<Vec<Item>, SourceError> {
        items(body, &open.identity, self.format)
            .map_err(|error| open.session.connection.source_error("read a page", &page_error(body, error)))
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
        if self.page_size <= self.page_events_max || !is_full {
            return;
        }
        self.pages_fit += 1;
        if PAGES_BEFORE_GROWTH <= self.pages_fit {
            self.pages_fit = 0;
            self.page_events_max = (self.page_events_max * 2).min(self.page_size);
        }
    }

    /// What a failed read means. A page that is too large, or whose events cannot be told apart, is asked
    /// for in smaller pieces next time.
    fn read_error(&mut self, open: &Open, error: &CallError) -> SourceError {
        let asked = self.page_events();
        let failed = open.session.connection.source_error(format!("read a page of {asked} events"), error);
        if !matches!(error, CallError::TooLarge(..) | CallError::Garbled(_)) || asked <= 1 {
            return failed;
        }
        self.page_events_max = asked.div_ceil(2);
        self.pages_fit = 0;
        let text = format!("{failed}; trying pages of {} from here", self.page_events_max);
        SourceError { error: Error::new(text), ..failed }
    }

    #[cfg(test)]
    pub(super) fn set_page_events_max(&mut self, events: usize) {
        self.page_events_max = events;
    }
}

/// The one event of a page that is larger than any page may be, of which only the begin is there;
/// none if it cannot be told which it is.
fn cut_event(begin: &[u8], bytes_max: usize) -> Option<Item> {
    let reason = format!("the event is larger than {} MiB; only its begin is kept", bytes_max >> 20);
    vim::json::cut_event(begin, reason).map(Item::Broken)
}

fn items(body: &[u8], identity: &ServerIdentity, format: Format) -> Result<Vec<Item>> {
    let item = |entry| match entry {
        PageEntry::Event(vim) => Item::Event(convert::to_event(vim, identity, format)),
        PageEntry::Broken(broken) => Item::Broken(broken),
    };
    let mut items: Vec<Item> = convert_page(body)?.into_iter().map(item).collect();
    if is_newest_first(items.iter().filter_map(Item::position)) {
        items.reverse();
    }
    Ok(items)
}

/// Whether each event was recorded before the one in front of it: by its key, which counts around the end
/// of 32 bits, and not later by its time. Only both tell: keys begin again, and events are recorded late.
fn is_newest_first(positions: impl Iterator<Item = Position>) -> bool {
    let mut before: Option<Position> = None;
    let mut pairs = 0;
    for position in positions {
        if let Some(before) = before.replace(position) {
            let newer = before.key.wrapping_sub(position.key) as i32;
            if newer <= 0 || before.time < position.time {
                return false;
            }
            pairs += 1;
        }
    }
    0 < pairs
}

/// A page that cannot be read may still be a fault that came with HTTP 200, or no SOAP at all.
fn page_error(body: &[u8], error: Error) -> CallError {
    match soap::content(body) {
        Err(error) => error.into(),
        Ok(_) => CallError::Garbled(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn a_page_is_turned_only_when_all_of_it_is_newest_first() {
        for (events, turned) in [
            (&[][..], false),
            (&[(1, 1)], false),
            (&[(3, 3), (2, 2), (1, 1)], true),
            (&[(3, 5), (2, 5), (1, 5)], true),
            (&[(1, 1), (2, 2), (3, 3)], false),
            (&[(1, 5), (2, 3)], false),         // recorded late
            (&[(5039, 1), (1, 2)], false),      // keys that begin again
            (&[(7, 5), (6, 4), (8, 3)], false), // no order at all
            (&[(i64::from(i32::MAX), 1), (i64::from(i32::MIN), 2)], false),
            (&[(i64::from(i32::MIN), 2), (i64::from(i32::MAX), 1)], true),
            (&[(4, 4), (4, 4)], false), // the same one twice
        ] {
            let position = |(key, second): &(i64, i64)| Position {
                key: *key,
                time: Timestamp::from_second(*second).unwrap(),
            };
            assert_eq!(is_newest_first(events.iter().map(position)), turned, "{events:?}");
        }
    }
}
