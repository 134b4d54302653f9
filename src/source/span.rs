//! A part of a source's history: everything from one time to another, and then its end.

use std::time::Duration;

use jiff::Timestamp;

use super::watch::SourceWatch;
use super::{Opened, Page, Source, SourceError};
use crate::limits::{RESUME_OVERLAP, SPAN_EMPTY_PAGES, SPAN_WAIT_MAX};
use crate::stop::{Stop, StopSource};

/// Reads a source from `from` to `to` and raises a signal when everything between them was read and
/// taken over by the reader.
pub(crate) struct Span {
    inner: Box<dyn Source>,
    from: Timestamp,
    // Until the source is open, none means its present.
    to: Option<Timestamp>,
    end: StopSource,
    // Everything was read, though maybe not yet taken over.
    is_through: bool,
    // One empty page is no proof: it may be full of events that the account may not see.
    empty_pages: u32,
    ended: bool,
}

impl Span {
    /// Both times belong to the span, in the source's clock; none means to its present.
    pub(crate) fn new(
        inner: Box<dyn Source>,
        from: Timestamp,
        to: Option<Timestamp>,
        end: StopSource,
    ) -> Span {
        Span { inner, from, to, end, is_through: false, empty_pages: 0, ended: false }
    }

    /// Notes how far a page has come, and whether an item of that time belongs to the span. Events
    /// may come late: those shortly behind the end are read for what follows them.
    fn belongs(&mut self, time: Option<Timestamp>) -> bool {
        let (Some(time), Some(to)) = (time, self.to) else { return true };
        self.is_through |= to.checked_add(RESUME_OVERLAP).is_ok_and(|beyond| beyond < time);
        self.from <= time && time <= to
    }
}

impl Source for Span {
    fn open(&mut self, begin: Option<Timestamp>) -> Result<Opened, SourceError> {
        let begin = begin.map_or(self.from, |begin| begin.max(self.from));
        let mut opened = self.inner.open(Some(begin))?;
        if opened.is_purged {
            // Nothing is lost by this: whoever asks for a span may ask for more than there is.
            log::warn!(target: "replay", "the source no longer has all events since {begin}: what is left of them is read");
            opened.is_purged = false;
        }
        self.to = Some(self.to.map_or(opened.now, |to| to.min(opened.now)));
        self.empty_pages = 0;
        Ok(opened)
    }

    fn read(&mut self) -> Result<Page, SourceError> {
        // The reader has taken over all pages before it asks for the next.
        if self.is_through {
            self.ended = true;
            self.end.stop();
            return Ok(Page::default());
        }
        let mut page = self.inner.read()?;
        if page.items.is_empty() && !page.more {
            self.empty_pages += 1;
            self.is_through = SPAN_EMPTY_PAGES <= self.empty_pages;
        } else {
            self.empty_pages = 0;
        }
        page.items.retain(|item| self.belongs(item.position().map(|position| position.time)));
        Ok(page)
    }

    fn wait(&mut self, stop: &Stop, longest: Duration) -> Result<(), SourceError> {
        if self.ended {
            stop.wait(longest);
            return Ok(());
        }
        if self.is_through {
            return Ok(());
        }
        self.inner.wait(stop, longest.min(SPAN_WAIT_MAX))
    }

    fn has_new_credentials(&self) -> bool {
        self.inner.has_new_credentials()
    }

    fn watch(&self) -> SourceWatch {
        self.inner.watch()
    }

    fn call_wait_max(&self) -> Duration {
        self.inner.call_wait_max()
    }

    fn close(&mut self) {
        self.inner.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Item;
    use crate::stop::stop_signal;
    use crate::vim::json::BrokenEvent;

    /// Gives pages of times; after the last only empty ones.
    struct Pages(Vec<Vec<i64>>);

    impl Source for Pages {
        fn open(&mut self, begin: Option<Timestamp>) -> Result<Opened, SourceError> {
            Ok(Opened {
                identity: String::new(),
                begin: begin.unwrap(),
                now: at(100),
                description: String::new(),
                is_purged: false,
            })
        }

        fn read(&mut self) -> Result<Page, SourceError> {
            let times = if self.0.is_empty() { Vec::new() } else { self.0.remove(0) };
            let item = |second: &i64| {
                Item::Broken(BrokenEvent {
                    key: Some(*second),
                    created: Some(at(*second)),
                    raw: Vec::new(),
                    reason: String::new(),
                })
            };
            Ok(Page { items: times.iter().map(item).collect(), more: !self.0.is_empty(), ..Page::default() })
        }

        fn wait(&mut self, _: &Stop, longest: Duration) -> Result<(), SourceError> {
            assert!(longest <= SPAN_WAIT_MAX);
            Ok(())
        }

        fn close(&mut self) {}
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The seconds that are read until the end, and how many pages that took.
    fn read(pages: &[&[i64]], from: i64, to: Option<i64>) -> (Vec<i64>, usize) {
        let (end, ended) = stop_signal();
        let pages = Pages(pages.iter().map(|page| page.to_vec()).collect());
        let mut span = Span::new(Box::new(pages), at(from), to.map(at), end);
        assert_eq!(span.open(None).unwrap().begin, at(from));
        let (mut seconds, mut count) = (Vec::new(), 0);
        while !ended.is_stopped() {
            assert!(count < 100, "no end");
            for item in span.read().unwrap().items {
                let Item::Broken(broken) = item else { unreachable!() };
                seconds.push(broken.key.unwrap());
            }
            let (_, stop) = stop_signal();
            span.wait(&stop, Duration::from_millis(1)).unwrap();
            count += 1;
        }
        (seconds, count)
    }

    #[test]
    fn both_ends_belong_and_late_events_too() {
        let pages: &[&[i64]] = &[&[8, 10, 11], &[20, 21], &[19, 22], &[23, 19], &[18]];
        assert_eq!(read(pages, 10, Some(20)), (vec![10, 11, 20, 19, 19], 5));
    }

    #[test]
    fn the_present_is_the_end_where_none_is_told_or_it_lies_ahead() {
        for to in [None, Some(1000)] {
            assert_eq!(read(&[&[10, 99], &[100, 101]], 10, to).0, [10, 99, 100]);
        }
    }

    #[test]
    fn one_empty_page_is_not_the_end() {
        assert_eq!(read(&[&[10], &[], &[11]], 10, None), (vec![10, 11], 3 + SPAN_EMPTY_PAGES as usize + 1));
        assert_eq!(read(&[], 10, None).0, [0; 0]);
    }
}
