//! All that a server holds for us: session, event collector, long poll. They are one unit: what
//! ends the session ends all of it.

use jiff::Timestamp;

use super::collector::Collector;
use super::connection::CallError;
use super::convert::ServerIdentity;
use super::long_poll::{Ended, LongPoll};
use super::session::Session;
use super::soap::EventFilter;
use crate::source::SourceError;

/// A session and what belongs to it.
pub(crate) struct Link {
    pub(crate) session: Session,
    pub(crate) identity: ServerIdentity,
    pub(crate) wake: Option<LongPoll>,
    collector: Option<Collector>,
    /// Collectors hold only events of these types; empty means all.
    pub(crate) types: Vec<String>,
    /// A call failed: nothing may be read from here any more.
    failed: bool,
}

impl Link {
    /// A session that is logged in, without a collector.
    pub(crate) fn new(session: Session, identity: ServerIdentity) -> Link {
        Link { session, identity, wake: None, collector: None, types: Vec::new(), failed: false }
    }

    /// Replaces the collector by one that holds the events from `begin` to `end`. The long poll
    /// must have been stopped, because it watches the old one.
    pub(crate) fn collect(&mut self, begin: Timestamp, end: Option<Timestamp>) -> Result<(), SourceError> {
        debug_assert!(self.wake.is_none());
        if let Some(mut old) = self.collector.take() {
            old.destroy(&self.session);
        }
        self.collector = Some(Collector::create(&self.session, &self.filter(begin, end))?);
        Ok(())
    }

    /// The first page of a collector of its own that holds the events from `begin` to `end`, as the
    /// server sent it. The collector that is read stays as it is.
    pub(crate) fn look(
        &self,
        begin: Timestamp,
        end: Timestamp,
        page_events_max: usize,
    ) -> Result<Vec<u8>, SourceError> {
        let mut collector = Collector::create(&self.session, &self.filter(begin, Some(end)))?;
        let page = collector.read(&self.session, page_events_max);
        collector.destroy(&self.session);
        page.map_err(|error| {
            self.session.connection.source_error("look for events that did not come", &error)
        })
    }

    fn filter(&self, begin: Timestamp, end: Option<Timestamp>) -> EventFilter<'_> {
        EventFilter { entity: &self.session.content.root_folder, begin, end, types: &self.types }
    }

    /// Whether an event of this name passes the filter.
    pub(crate) fn wants(&self, name: &str) -> bool {
        !self.is_filtered() || self.types.iter().any(|wanted| wanted == name)
    }

    /// Whether the server leaves out what is not wanted.
    pub(crate) fn is_filtered(&self) -> bool {
        self.collector.as_ref().is_some_and(|collector| collector.is_filtered)
    }

    /// Why the server did not take the types as a filter, if it did not.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.collector.as_ref()?.refused.as_deref()
    }

    /// Starts to watch the collector, if it is not watched yet.
    pub(crate) fn start_long_poll(&mut self, name: &str) {
        if self.wake.is_some() || self.failed {
            return;
        }
        self.wake = self.collector.as_ref().and_then(|collector| {
            LongPoll::start(
                name,
                self.session.connection.clone(),
                self.session.content.property_collector.clone(),
                collector.reference.clone(),
            )
        });
    }

    /// Ends the long poll. Returns its thread if that hangs, and whether the session is worth
    /// another call.
    pub(crate) fn stop_long_poll(&mut self) -> (Option<Ended>, bool) {
        self.wake.take().map_or((None, true), |wake| wake.finish(&self.session.connection))
    }

    /// The next page as the server sent it; none when there is nothing to read from.
    pub(crate) fn read(&self, page_events_max: usize) -> Option<Result<Vec<u8>, CallError>> {
        let collector = self.collector.as_ref().filter(|_| !self.failed)?;
        Some(collector.read(&self.session, page_events_max))
    }

    /// Nothing is read from here again. The server still holds everything.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
        if let Some(wake) = &self.wake {
            wake.halt();
        }
    }

    /// Gives everything back, as far as the server can be reached. Returns the long poll's thread
    /// if that hangs.
    pub(crate) fn give_back(mut self) -> Option<Ended> {
        let (hung, mut reachable) = self.stop_long_poll();
        if let Some(collector) = &mut self.collector
            && reachable
        {
            reachable = collector.destroy(&self.session);
        }
        if reachable {
            self.session.logout();
        }
        hung
    }
}
