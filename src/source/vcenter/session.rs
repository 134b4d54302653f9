//! All that a server holds for us: session, event collector, long poll.

use jiff::Timestamp;
use std::sync::Arc;

use super::connection::{Acquaintance, CallOptions, Connection};
use super::convert::ServerIdentity;
use super::fault::CallError;
use super::long_poll::{Ended, LongPoll};
use super::soap::{self, EventFilter, Newest, Reference, ServiceContent};
use crate::config::secret::Secret;
use crate::error::Error;
use crate::http::client::Client;
use crate::observe::logger::Logger;
use crate::source::{SourceError, SourceFailure};

/// The API version to ask for where the server names none: every vCenter in support speaks it.
const VERSION_FALLBACK: &str = "6.7";

/// A known server, with or without a login.
pub(crate) struct Session {
    pub(crate) connection: Arc<Connection>,
    /// Its singletons and what it is.
    pub(crate) content: ServiceContent,
    /// The API version that is spoken.
    pub(crate) version: String,
    address: String,
    logged_in: bool,
}

impl Session {
    /// Asks the server who it is. No login yet.
    ///
    /// The API version decides which event classes the server sends; newer ones come as their
    /// closest older ancestor. So the server's own newest is asked for.
    pub(crate) fn greet(
        client: &Client,
        address: &str,
        known: &Acquaintance,
    ) -> Result<Session, SourceError> {
        let greeting = || -> Result<(Connection, ServiceContent, String), CallError> {
            let first = Connection::new(client, address, VERSION_FALLBACK, known);
            let listed = first.service_version()?;
            let connection = match &listed {
                Some(version) => first.with_version(version),
                None => first,
            };
            let content = connection.get(
                &soap::retrieve_service_content(),
                CallOptions::QUICK,
                soap::service_content,
            )?;
            match listed {
                Some(version) => Ok((connection, content, version)),
                None if soap::is_version(&content.api_version) => {
                    let version = content.api_version.clone();
                    Ok((connection.with_version(&version), content, version))
                }
                None => Ok((connection, content, VERSION_FALLBACK.into())),
            }
        };
        let (connection, content, version) = greeting().map_err(|error| {
            // The address stands for itself: there is no connection yet to name it.
            Connection::new(client, address, VERSION_FALLBACK, known)
                .source_error("ask the server who it is", &error)
        })?;
        Ok(Session {
            connection: Arc::new(connection),
            content,
            version,
            address: address.to_string(),
            logged_in: false,
        })
    }

    /// What the server says that it is, and what that means, if it is no vCenter.
    pub(crate) fn stranger(&self) -> Option<String> {
        let what = self.content.stranger()?;
        Some(format!(
            "this is {what}, not a vCenter: it tells only of itself, and what vCenter adds is missing; set the \
             source's address to the vCenter that manages it"
        ))
    }

    /// Logs in with the secrets as they are now.
    pub(crate) fn login(&mut self, username: &Secret, password: &Secret) -> Result<(), SourceError> {
        let unreadable = |error: Error| SourceError {
            failure: SourceFailure::Misconfigured,
            error: error.context(format_args!("log in to {}", self.address)),
        };
        let username = username.read().map_err(unreadable)?;
        let password = password.read().map_err(unreadable)?;
        let envelope = soap::login(&self.content.session_manager, &username, &password);
        self.connection
            .ask(&envelope, CallOptions::CREATE)
            .map_err(|error| self.connection.source_error("log in", &error))?;
        self.logged_in = true;
        Ok(())
    }

    /// The server's present.
    pub(crate) fn server_time(&self) -> Result<Timestamp, SourceError> {
        let envelope = soap::call("CurrentTime", &soap::service_instance());
        self.connection
            .get(&envelope, CallOptions::QUICK, soap::time)
            .map_err(|error| self.connection.source_error("read the server's clock", &error))
    }

    /// `EventManager.latestEvent`; none where the server does not have it.
    pub(crate) fn latest_event(&self) -> Result<Option<Newest>, SourceError> {
        let content = &self.content;
        let envelope =
            soap::retrieve_property(&content.property_collector, &content.event_manager, "latestEvent");
        self.connection
            .get(&envelope, CallOptions::QUICK, soap::latest_event)
            .map_err(|error| self.connection.source_error("read the latest event", &error))
    }

    /// The first page of a collector of its own that holds the events from `begin` to `end`, as the
    /// server sent it. The outer error is that of the collector.
    pub(crate) fn first_page(
        &self,
        begin: Timestamp,
        end: Option<Timestamp>,
        types: &[String],
        page_events_max: usize,
    ) -> Result<Result<Vec<u8>, CallError>, SourceError> {
        let mut collector = Collector::create(self, &self.filter(begin, end, types))?;
        let page = collector.read(self, page_events_max);
        collector.destroy(self);
        Ok(page)
    }

    /// The pages of a collector of its own, one after the other, at most so many, as long as `on_page` wants
    /// another one.
    fn pages(
        &self,
        filter: &EventFilter<'_>,
        page_events_max: usize,
        pages_max: usize,
        on_page: &mut dyn FnMut(Vec<u8>) -> Result<bool, SourceError>,
    ) -> Result<(), SourceError> {
        let mut collector = Collector::create(self, filter)?;
        let read =
            |_| {
                let page = collector.read(self, page_events_max);
                on_page(page.map_err(|error| {
                    self.connection.source_error("look for events that did not come", &error)
                })?)
            };
        // The first that fails, or that was enough.
        let ended = (0..pages_max).map(read).find(|more| !matches!(more, Ok(true)));
        collector.destroy(self);
        ended.transpose().map(|_| ())
    }

    fn filter<'a>(
        &'a self,
        begin: Timestamp,
        end: Option<Timestamp>,
        types: &'a [String],
    ) -> EventFilter<'a> {
        EventFilter { entity: &self.content.root_folder, begin, end, types }
    }

    /// Ends the session at the server. Best effort, because it ends on its own after half an hour.
    pub(crate) fn logout(&mut self) {
        if !self.logged_in {
            return;
        }
        self.logged_in = false;
        let envelope = soap::call("Logout", &self.content.session_manager);
        match self.connection.ask(&envelope, CallOptions::CLOSE) {
            Ok(_) => {}
            Err(error) if error.is_fault("NotAuthenticated") => {}
            Err(error) => log::debug!(target: &self.address, "log out: {error}"),
        }
    }
}

/// A session that is logged in, and its event collector: what events are read from. What ends the session
/// ends all of it.
pub(crate) struct Open {
    pub(crate) session: Session,
    pub(crate) identity: ServerIdentity,
    pub(crate) long_poll: Option<LongPoll>,
    collector: Collector,
    /// The collector holds only events of these types; empty means all.
    types: Vec<String>,
    /// A long poll that hung when it was given up. While it lives no other is started, so that threads
    /// cannot pile up.
    abandoned: Option<Ended>,
}

impl Open {
    /// Makes a collector that holds the events from `begin` to `end`. On failure the session is ended.
    pub(crate) fn new(
        mut session: Session,
        identity: ServerIdentity,
        types: Vec<String>,
        (begin, end): (Timestamp, Option<Timestamp>),
        abandoned: &mut Option<Ended>,
    ) -> Result<Open, SourceError> {
        match Collector::create(&session, &session.filter(begin, end, &types)) {
            Ok(collector) => {
                let abandoned = abandoned.take();
                Ok(Open { session, identity, long_poll: None, collector, types, abandoned })
            }
            Err(error) => {
                session.logout();
                Err(error)
            }
        }
    }

    /// The collectors to come hold only events of these types; empty means all.
    pub(crate) fn set_types(&mut self, types: Vec<String>) {
        self.types = types;
    }

    /// Replaces the collector by one that holds the events from `begin` to `end`, and ends the long poll,
    /// which watches the old one.
    pub(crate) fn replace_collector(
        &mut self,
        begin: Timestamp,
        end: Option<Timestamp>,
    ) -> Result<(), SourceError> {
        self.stop_long_poll();
        self.collector.destroy(&self.session);
        self.collector = Collector::create(&self.session, &self.session.filter(begin, end, &self.types))?;
        Ok(())
    }

    /// The next page as the server sent it. The cursor has moved then, whatever becomes of the page:
    /// after an error nothing may be read from here any more.
    pub(crate) fn read(&self, page_events_max: usize) -> Result<Vec<u8>, CallError> {
        self.collector.read(&self.session, page_events_max)
    }

    /// The first page of a collector of its own that holds the events from `begin` to `end`, as the
    /// server sent it. The collector that is read stays as it is.
    pub(crate) fn look(
        &self,
        begin: Timestamp,
        end: Timestamp,
        page_events_max: usize,
    ) -> Result<Vec<u8>, SourceError> {
        let page = self.session.first_page(begin, Some(end), &self.types, page_events_max)?;
        page.map_err(|error| {
            self.session.connection.source_error("look for events that did not come", &error)
        })
    }

    /// The same page after page, at most so many, as long as `on_page` wants another one.
    pub(crate) fn look_through(
        &self,
        (begin, end): (Timestamp, Timestamp),
        page_events_max: usize,
        pages_max: usize,
        on_page: &mut dyn FnMut(Vec<u8>) -> Result<bool, SourceError>,
    ) -> Result<(), SourceError> {
        let filter = self.session.filter(begin, Some(end), &self.types);
        self.session.pages(&filter, page_events_max, pages_max, on_page)
    }

    /// Whether an event of this name passes the filter.
    pub(crate) fn wants(&self, name: &str) -> bool {
        !self.is_filtered() || self.types.iter().any(|wanted| wanted == name)
    }

    /// Whether the server leaves out what is not wanted.
    pub(crate) fn is_filtered(&self) -> bool {
        self.collector.is_filtered
    }

    /// Why the server did not take the types as a filter, if it did not.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.collector.refused.as_deref()
    }

    /// Starts to watch the collector, if it is not watched yet and no earlier long poll hangs.
    pub(crate) fn start_long_poll(&mut self, name: &str) {
        if self.long_poll.is_some() {
            return;
        }
        if self.abandoned.as_ref().is_some_and(|thread| !thread.is_over()) {
            log::debug!(target: &Logger::source(name), "an earlier long poll still hangs; polling meanwhile");
            return;
        }
        self.abandoned = None;
        self.long_poll = LongPoll::start(
            name,
            self.session.connection.clone(),
            self.session.content.property_collector.clone(),
            self.collector.reference.clone(),
        );
    }

    /// An earlier long poll that hung has ended, so that another one can begin.
    pub(crate) fn can_poll_again(&self) -> bool {
        self.abandoned.as_ref().is_some_and(Ended::is_over)
    }

    /// Nothing is read from here again: the long poll ends, without a call to the server.
    pub(crate) fn halt(&self) {
        if let Some(long_poll) = &self.long_poll {
            long_poll.halt();
        }
    }

    /// Gives everything back, as far as the server can be reached. Returns the long poll's thread
    /// if that hangs.
    pub(crate) fn give_back(mut self) -> Option<Ended> {
        let mut reachable = self.stop_long_poll();
        if reachable {
            reachable = self.collector.destroy(&self.session);
        }
        if reachable {
            self.session.logout();
        }
        self.abandoned
    }

    /// False when the session is not worth another call.
    fn stop_long_poll(&mut self) -> bool {
        let Some(long_poll) = self.long_poll.take() else { return true };
        let (hung, reachable) = long_poll.finish(&self.session.connection);
        self.abandoned = hung.or(self.abandoned.take());
        reachable
    }

    #[cfg(test)]
    pub(super) fn has_abandoned(&self) -> bool {
        self.abandoned.is_some()
    }
}

/// An event collector: the server's cursor into its history. Only `ReadNextEvents` is used for data;
/// `latestPage` is unordered and loses events between two updates.
struct Collector {
    reference: Reference,
    /// Whether it holds only events of the types in its filter.
    is_filtered: bool,
    /// Why the server did not take the types as a filter.
    refused: Option<String>,
    gone: bool,
}

impl Collector {
    /// Makes a collector that stands before the oldest event of the filter. A server that knows one of
    /// the types not refuses them all: then the collector holds events of every type.
    fn create(session: &Session, filter: &EventFilter<'_>) -> Result<Collector, SourceError> {
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
            (is_filtered, refused) = (false, Some(session.connection.explain(error)));
            reference = ask(&EventFilter { types: &[], ..filter.clone() });
        }
        let reference = reference.map_err(|error: CallError| creation_error(session, &error))?;
        // Every change sends the whole latest page again, and the long poll needs one event of it
        // at most. A server that refuses only sends more.
        if let Err(error) =
            session.connection.ask(&soap::set_latest_page_size(&reference, 1), CallOptions::QUICK)
        {
            log::debug!(target: &session.address, "set the size of the latest page: {error}");
        }
        Ok(Collector { reference, is_filtered, refused, gone: false })
    }

    /// The next page, as the server sent it. The cursor has moved then, whatever becomes of the
    /// page: after an error the collector must be replaced.
    fn read(&self, session: &Session, page_events_max: usize) -> Result<Vec<u8>, CallError> {
        session.connection.send(&soap::read_next_events(&self.reference, page_events_max), CallOptions::PAGE)
    }

    /// Gives the collector back. False when the session is not worth another call.
    fn destroy(&mut self, session: &Session) -> bool {
        if std::mem::replace(&mut self.gone, true) {
            return true;
        }
        match session.connection.ask(&soap::call("DestroyCollector", &self.reference), CallOptions::CLOSE) {
            Ok(_) => true,
            Err(error) => {
                log::debug!(target: &session.address, "destroy an event collector: {error}");
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
