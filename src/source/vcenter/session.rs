//! A session: who the server is, login, logout, and the server's clock.

use jiff::Timestamp;
use std::sync::Arc;

use super::connection::{CallError, CallOptions, Connection};
use super::soap::{self, Newest, ServiceContent};
use crate::config::secret::Secret;
use crate::error::Error;
use crate::http::client::Client;
use crate::source::{SourceError, SourceFailure};

/// The API version to ask for where the server names none: every vCenter in support speaks it.
const VERSION_FALLBACK: &str = "6.7";

/// A known server, with or without a login.
pub(crate) struct Session {
    /// How it is reached.
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
    pub(crate) fn greet(client: &Client, address: &str) -> Result<Session, SourceError> {
        let greeting = || -> Result<(Connection, ServiceContent, String), CallError> {
            let first = Connection::new(client, address, VERSION_FALLBACK);
            let listed = first.service_version()?;
            let connection = match &listed {
                Some(version) => Connection::new(client, address, version),
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
                    Ok((Connection::new(client, address, &version), content, version))
                }
                None => Ok((connection, content, VERSION_FALLBACK.into())),
            }
        };
        let (connection, content, version) = greeting().map_err(|error| {
            // The address stands for itself: there is no connection yet to name it.
            Connection::new(client, address, VERSION_FALLBACK)
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
            Err(error) => log::debug!("log out of {}: {error}", self.address),
        }
    }
}
