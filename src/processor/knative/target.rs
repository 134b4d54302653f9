//! Where events are posted, over which connections and with which token: fixed, or found through
//! the cluster.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::settings::{Destination, KnativeConfig};
use crate::config::ConnectionConfig;
use crate::config::secret::Secret;
use crate::error::Result;
use crate::http::client::{Client, ClientSettings, url_text};
use crate::kubernetes::reference::{Address, join};
use crate::kubernetes::{Cluster, Token};
use crate::limits::{
    REFRESH_INTERVAL_MIN, SINK_TOKEN_AHEAD, SINK_TOKEN_REFUSED_AGE_MIN, TOKEN_FILE_AGE_MAX, WORKERS_MAX,
};
use crate::observe::logger::Logger;
use crate::processor::refreshed::{Refresh, RefreshError};

/// All that it takes to send.
#[derive(Debug)]
pub(crate) struct ResolvedTarget {
    /// Where events are posted.
    pub(crate) url: String,
    /// How its address was found, for people; empty for a fixed URL.
    origin: String,
    pub(crate) client: Client,
    bearer: Bearer,
    /// The authorities that came with the address.
    ca_certs: Option<String>,
}

/// The token that events carry.
#[derive(Debug)]
enum Bearer {
    None,
    /// Read again and again.
    Own {
        secret: Secret,
        read: Mutex<Option<(Instant, String)>>,
    },
    /// Made by the cluster.
    Made {
        token: Token,
        audience: String,
        made: Instant,
        refused: AtomicBool,
    },
}

impl ResolvedTarget {
    /// Where it is and how that is known.
    pub(crate) fn text(&self) -> String {
        let mut text = url_text(&self.url);
        if !self.origin.is_empty() {
            text.push_str(&format!(" (address of {}", self.origin));
            text.push_str(if self.ca_certs.is_some() { ", with CA certificates)" } else { ")" });
        }
        if let Bearer::Made { audience, .. } = &self.bearer {
            text.push_str(&format!(", with a token for {audience}"));
        }
        text
    }

    /// The token for the next event.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub(crate) fn token(&self) -> Result<Option<String>> {
        if let Bearer::Own { read, .. } = &self.bearer
            && let Some((at, token)) = &*crate::sync::lock(read)
            && at.elapsed() < TOKEN_FILE_AGE_MAX
        {
            return Ok(Some(token.clone()));
        }
        self.token_now()
    }

    /// The token as it is at this moment.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub(crate) fn token_now(&self) -> Result<Option<String>> {
        match &self.bearer {
            Bearer::None => Ok(None),
            Bearer::Made { token, .. } => Ok(Some(token.text.clone())),
            Bearer::Own { secret, read } => {
                let token = secret.read()?;
                *crate::sync::lock(read) = Some((Instant::now(), token.clone()));
                Ok(Some(token))
            }
        }
    }

    /// The sink refused a token; whether another one can be had, so that trying again makes sense.
    pub(crate) fn token_refused(&self, token: &str) -> bool {
        match &self.bearer {
            Bearer::None => false,
            Bearer::Own { read, .. } => {
                *crate::sync::lock(read) = None;
                self.token().is_ok_and(|now| now.as_deref() != Some(token))
            }
            Bearer::Made { token: own, made, refused, .. } => {
                let is_old = own.text != token || SINK_TOKEN_REFUSED_AGE_MIN < made.elapsed();
                refused.fetch_or(is_old, Ordering::Relaxed);
                is_old
            }
        }
    }
}

/// Finds the target of a configuration.
#[derive(Debug)]
pub(crate) struct Finder {
    logger: Logger,
    config: KnativeConfig,
    cluster: Option<Cluster>,
}

impl Finder {
    /// `name` is the processor's.
    ///
    /// # Errors
    /// Settings of the cluster that cannot be used.
    pub(crate) fn new(name: &str, config: &KnativeConfig) -> Result<Finder> {
        let cluster = config.cluster.as_deref().map(Cluster::new).transpose()?;
        Ok(Finder { logger: Logger::processor(name), config: config.clone(), cluster })
    }

    /// The name under which it logs.
    pub(crate) fn logger(&self) -> &Logger {
        &self.logger
    }

    /// Whether the cluster must be asked.
    pub(crate) fn asks(&self) -> bool {
        self.cluster.is_some()
    }

    /// The target as it is now. What `last` still has of use, it takes over: connections and token.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn find(&self, last: Option<&ResolvedTarget>) -> Result<ResolvedTarget, RefreshError> {
        let address = self.address()?;
        let bearer = self.bearer(&address, last)?;
        let same_trust = last.filter(|last| last.ca_certs == address.ca_certs);
        let client = match same_trust {
            Some(last) => last.client.clone(),
            None => self.client(&address).map_err(|error| RefreshError {
                reason: "certificates",
                text: format!("{}: {error}", text_of(&self.config.destination)),
                gone: true,
            })?,
        };
        Ok(ResolvedTarget {
            url: address.url,
            origin: address.origin,
            client,
            bearer,
            ca_certs: address.ca_certs,
        })
    }

    fn address(&self) -> Result<Address, RefreshError> {
        let (reference, uri) = match &self.config.destination {
            Destination::Ref { reference, uri } => (reference, uri),
            Destination::Uri(uri) => {
                let url = uri.clone();
                return Ok(Address { url, ca_certs: None, audience: None, origin: String::new() });
            }
        };
        let Some(cluster) = &self.cluster else {
            let text = format!("{reference}: no cluster is set in which it could be looked up");
            return Err(RefreshError { reason: "cluster", text, gone: true });
        };
        let mut address = cluster.resolve(reference).map_err(|error| RefreshError {
            reason: error.reason,
            text: format!("{reference}: {}", error.error),
            gone: error.gone,
        })?;
        address.origin = format!("{reference}, {}", address.origin);
        if let Some(uri) = uri {
            address.url = join(&address.url, uri);
        }
        Ok(address)
    }

    fn bearer(&self, address: &Address, last: Option<&ResolvedTarget>) -> Result<Bearer, RefreshError> {
        if let Some(secret) = &self.config.token {
            return Ok(Bearer::Own { secret: secret.clone(), read: Mutex::new(None) });
        }
        let audience = self.config.audience.as_ref().or(address.audience.as_ref());
        let (Some(audience), Some(cluster)) = (audience, &self.cluster) else { return Ok(Bearer::None) };
        if let Some(Bearer::Made { token, audience: before, made, refused }) = last.map(|last| &last.bearer)
            && before == audience
            && !refused.load(Ordering::Relaxed)
            && made.elapsed() + SINK_TOKEN_AHEAD < token.lasts
        {
            let (token, audience) = (token.clone(), audience.clone());
            return Ok(Bearer::Made { token, audience, made: *made, refused: AtomicBool::new(false) });
        }
        let made = Instant::now();
        match cluster.token(self.config.service_account.as_deref(), audience) {
            Ok(token) => {
                let audience = audience.clone();
                Ok(Bearer::Made { token, audience, made, refused: AtomicBool::new(false) })
            }
            Err(error) => Err(RefreshError {
                reason: error.reason,
                text: format!("token for the audience {audience}: {}", error.error),
                gone: false,
            }),
        }
    }

    fn client(&self, address: &Address) -> Result<Client> {
        let mut connection: ConnectionConfig = self.config.connection.clone();
        if let Some(ca_certs) = &address.ca_certs {
            let before = connection.tls.ca_text.as_deref().unwrap_or_default();
            connection.tls.ca_text = Some(format!("{before}\n{ca_certs}").into());
            crate::pem::certificates_of(ca_certs.as_bytes())?;
        }
        Client::new(&ClientSettings { connection: &connection, connections_max: WORKERS_MAX })
    }
}

impl Refresh for Finder {
    type Value = ResolvedTarget;

    fn refresh(
        &self,
        last: Option<&ResolvedTarget>,
        _: &dyn Fn() -> bool,
    ) -> Result<(ResolvedTarget, Duration), RefreshError> {
        let found = self.find(last)?;
        if last.is_none_or(|last| last.url != found.url || last.ca_certs != found.ca_certs) {
            log::info!(target: &self.logger, "events go to {}", found.text());
        }
        let mut wait = self.config.refresh;
        if let Bearer::Made { token, made, .. } = &found.bearer {
            let left = token.lasts.saturating_sub(made.elapsed()).saturating_sub(SINK_TOKEN_AHEAD);
            wait = wait.min(left.max(REFRESH_INTERVAL_MIN));
        }
        Ok((found, wait))
    }
}

/// A destination for people.
pub(crate) fn text_of(destination: &Destination) -> String {
    match destination {
        Destination::Uri(uri) => url_text(uri),
        Destination::Ref { reference, uri: None } => reference.to_string(),
        Destination::Ref { reference, uri: Some(uri) } => format!("{reference} with {}", url_text(uri)),
    }
}
