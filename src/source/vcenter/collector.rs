//! An event collector: the server's cursor into its history.
//!
//! It belongs to the session that made it and ends with it. Only `ReadNextEvents` is used for
//! data; `latestPage` is unordered and loses events between two updates.

use super::connection::{CallError, CallOptions};
use super::session::Session;
use super::soap::{self, EventFilter, Reference};
use crate::error::Error;
use crate::source::{SourceError, SourceFailure};

/// A collector of the session that made it.
pub(crate) struct Collector {
    /// The server's name of it.
    pub(crate) reference: Reference,
    /// Whether it holds only events of the types in its filter.
    pub(crate) is_filtered: bool,
    /// Why the server did not take the types as a filter.
    pub(crate) refused: Option<String>,
    gone: bool,
}

impl Collector {
    /// Makes a collector that stands before the oldest event of the filter. A server that knows one of
    /// the types not refuses them all: then the collector holds events of every type.
    pub(crate) fn create(session: &Session, filter: &EventFilter<'_>) -> Result<Collector, SourceError> {
        let ask = |filter: &EventFilter<'_>| {
            let envelope = soap::create_event_collector(&session.content.event_manager, filter);
            session.connection.get(&envelope, CallOptions::CREATE, soap::reference)
        };
        let (mut is_filtered, mut refused) = (!filter.types.is_empty(), None);
        let mut reference = ask(filter);
        if let Err(error) = &reference
            && is_filtered
            && error.is_fault("InvalidArgument")
        {
            (is_filtered, refused) = (false, Some(error.to_string()));
            reference = ask(&EventFilter { types: &[], ..filter.clone() });
        }
        let reference = reference.map_err(|error: CallError| creation_error(session, &error))?;
        // Every change sends the whole latest page again, and the long poll needs one event of it
        // at most. A server that refuses only sends more.
        if let Err(error) =
            session.connection.ask(&soap::set_latest_page_size(&reference, 1), CallOptions::QUICK)
        {
            log::debug!("set the size of the latest page: {error}");
        }
        Ok(Collector { reference, is_filtered, refused, gone: false })
    }

    /// The next page, as the server sent it. The cursor has moved then, whatever becomes of the
    /// page: after an error the collector must be replaced.
    pub(crate) fn read(&self, session: &Session, page_events_max: usize) -> Result<Vec<u8>, CallError> {
        session.connection.send(&soap::read_next_events(&self.reference, page_events_max), CallOptions::PAGE)
    }

    /// Gives the collector back. False when the session is not worth another call.
    pub(crate) fn destroy(&mut self, session: &Session) -> bool {
        if std::mem::replace(&mut self.gone, true) {
            return true;
        }
        match session.connection.ask(&soap::call("DestroyCollector", &self.reference), CallOptions::CLOSE) {
            Ok(_) => true,
            Err(error) => {
                log::debug!("destroy an event collector: {error}");
                !error.ends_session()
            }
        }
    }
}

fn creation_error(session: &Session, error: &CallError) -> SourceError {
    let intent = "create an event collector on the root folder";
    if error.is_fault("InvalidState") {
        let text = format!(
            "{intent}: collector limit reached: {error}; end the programs that leave event collectors behind, \
             or raise the option event.maxCollectors of this vCenter (default 32)"
        );
        return SourceError { failure: SourceFailure::Lost, error: Error::new(text) };
    }
    session.connection.source_error(intent, error)
}
