//! A source of a few lines, which counts: what a new kind of sources takes, beside its row.

use std::time::Duration;

use jiff::Timestamp;

use crate::config::RouteConfig;
use crate::config::reader::Table;
use crate::error::Result;
use crate::finding::{Finding, Tell};
use crate::source::{Item, Opened, Page, Source, SourceError, SourceSettings};
use crate::stop::Stop;

/// Reads the keys of a section.
pub(super) fn read(table: &Table<'_>) -> Option<Sample> {
    let count = table.required("count", |value| value.integer(1..=1000))?;
    Some(Sample { count, next: 0 })
}

#[derive(Clone, Debug)]
pub(super) struct Sample {
    count: usize,
    next: usize,
}

impl SourceSettings for Sample {
    fn address(&self) -> &str {
        "sample:"
    }

    fn product(&self) -> &'static str {
        "the sample"
    }

    fn make(&self, _: &str, _: &RouteConfig) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.clone()))
    }

    fn probe(&self, tell: Tell<'_>) {
        tell(Finding::Good(format!("counts to {}", self.count)));
    }
}

impl Source for Sample {
    fn open(&mut self, begin: Option<Timestamp>) -> Result<Opened, SourceError> {
        let (now, identity) = (Timestamp::now(), "sample".to_string());
        let begin = begin.unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(Opened { identity, begin, now, description: "a sample".to_string(), is_purged: false })
    }

    fn read(&mut self) -> Result<Page, SourceError> {
        let items = (self.next..self.count).map(|key| Item::Event(crate::testing::event(key as i64, "vm-1")));
        let page = Page { items: items.collect(), ..Page::default() };
        self.next = self.count;
        Ok(page)
    }

    fn wait(&mut self, stop: &Stop, longest: Duration) -> Result<(), SourceError> {
        stop.wait(longest);
        Ok(())
    }

    fn close(&mut self) {}
}
