//! TLS of outbound connections: whom to believe, and the handshake. Versions 1.2 and 1.3 with the
//! cryptography of ring; sessions are resumed.
//!
//! Trust comes from the system's roots, `ca_file`, and certificates that others handed over. Where
//! pins are given they take the place of the system's roots: a pinned endpoint is not to be
//! impersonated by any public authority.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{Der, ServerName, TrustAnchor};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, InvalidMessage, RootCertStore,
    StreamOwned,
};

use super::endpoint::{ConnectError, Endpoint, Stage};
use super::socket::Socket;
use crate::config::{TlsConfig, TlsIdentity};
use crate::error::{Context, Error, Result};
use crate::identity;
use crate::limits::{TLS_PROBE_INTERVAL, TLS_SESSIONS_MAX};
use crate::pem::{certificates, certificates_in, certificates_of, private_key, read_bundle};

pub(super) mod hello;
mod shown;
mod verifier;
mod words;

use shown::Shown;
use verifier::{Refusal, Verifier};
pub(super) use words::words;

/// Makes TLS connections to one endpoint.
#[derive(Debug)]
pub(super) struct Tls {
    setting: TlsConfig,
    server_name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
    sessions: Arc<ClientSessionMemoryCache>,
    trust: Mutex<Trust>,
    /// What the server was found to offer, and when it was asked.
    offered: Mutex<Option<(Instant, Option<String>)>>,
}

/// An open connection, and what was shown on it.
pub(super) struct TlsStream {
    pub(super) stream: StreamOwned<ClientConnection, Socket>,
    shown: Arc<Shown>,
}

impl TlsStream {
    /// Why the server ended a connection on which it has not answered yet, if an error tells that it did.
    /// With TLS 1.3 a server judges the client's certificate when the client already speaks.
    pub(super) fn refusal(&self, error: &io::Error) -> Option<String> {
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            error @ rustls::Error::AlertReceived(alert) => {
                Some(self.shown.refusal(*alert).unwrap_or_else(|| words(error)))
            }
            _ => None,
        }
    }
}

/// What the files held when they were read last, and what was made of it.
#[derive(Debug)]
struct Trust {
    files: Files,
    /// Why the files as they are now are not used; it is said once.
    complaint: Option<String>,
    config: Option<(Arc<ClientConfig>, Arc<Shown>)>,
}

impl Trust {
    fn complain(&mut self, error: &Error) {
        let text = error.to_string();
        if self.complaint.as_deref() != Some(&text) {
            log::warn!(target: "TLS", "{text}: its last good content stays in use");
            self.complaint = Some(text);
        }
    }
}

/// What can change on disk while the router runs. Empty what the setting does not name.
#[derive(PartialEq, Eq)]
struct Files {
    // In the order of the setting.
    bundles: Vec<Vec<u8>>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// The key stays hidden.
impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

impl Files {
    fn read(setting: &TlsConfig) -> Result<Files> {
        let bundles = setting.ca_files.iter().map(|path| read_bundle(path)).collect::<Result<_>>()?;
        let (certificate, key) = match &setting.identity {
            None => Default::default(),
            Some(TlsIdentity { certificate, key }) => (
                certificate.read_bytes().context(|| "client certificate")?,
                key.read_bytes().context(|| "key of the client certificate")?,
            ),
        };
        Ok(Files { bundles, certificate, key })
    }

    /// All of them can be used.
    fn check(&self, setting: &TlsConfig) -> Result<()> {
        for (path, bundle) in setting.ca_files.iter().zip(&self.bundles) {
            certificates(path, bundle)?;
        }
        self.identity(setting).map(|_| ())
    }

    /// The client certificate and its key.
    fn identity(&self, setting: &TlsConfig) -> Result<Option<CertifiedKey>> {
        let Some(TlsIdentity { certificate, key }) = &setting.identity else { return Ok(None) };
        let (certificate, key) = (certificate.file_name(), key.file_name());
        let chain = certificates_in(&self.certificate, &certificate)
            .context(|| format!("client certificate {certificate}"))?;
        private_key(&self.key, &key)
            .and_then(|key| identity::pair(chain, key, &certificate))
            .context(|| format!("key of the client certificate {key}"))
            .map(Some)
    }
}

impl Tls {
    /// Checks the setting; the system's roots are read when the first connection needs them.
    ///
    /// # Errors
    ///
    /// A server name that is none; a file that cannot be read or does not hold what it should.
    pub(super) fn new(setting: &TlsConfig) -> Result<Tls> {
        let server_name = setting.server_name.as_deref().map(parse_name).transpose()?;
        let files = Files::read(setting)?;
        files.check(setting)?;
        Ok(Tls {
            setting: setting.clone(),
            server_name,
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            sessions: Arc::new(ClientSessionMemoryCache::new(TLS_SESSIONS_MAX)),
            trust: Mutex::new(Trust { files, complaint: None, config: None }),
            offered: Mutex::new(None),
        })
    }

    /// Makes the TCP connection a TLS one.
    pub(super) fn handshake(&self, mut socket: Socket, target: &Endpoint) -> Result<TlsStream, ConnectError> {
        const INTENT: &str = "TLS";
        let failed = |error: Error| ConnectError::new(Stage::Tls, error.context(INTENT));
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => parse_name(&target.host).map_err(failed)?,
        };
        let (config, shown) = self.config().map_err(failed)?;
        let mut connection =
            ClientConnection::new(config, name).map_err(|error| failed(Error::new(words(&error))))?;
        match connection.complete_io(&mut socket) {
            Ok(_) => Ok(TlsStream { stream: StreamOwned::new(connection, socket), shown }),
            Err(error) => {
                let error = last_word(&mut connection, &mut socket, error);
                let has_greeted = connection.negotiated_cipher_suite().is_some();
                let made = match handshake_cause(&error, has_greeted.then_some(&*shown)) {
                    Some(cause) => failed(Error::new(cause)),
                    None => ConnectError::of_io(Stage::Tls, INTENT, &error),
                };
                Err(ConnectError { no_common_tls: has_nothing_in_common(&error, has_greeted), ..made })
            }
        }
    }

    /// What the server offers, by a probe that gets the name to ask for; at most once in a while.
    pub(super) fn offer(&self, probe: impl FnOnce(Option<&str>) -> Option<String>) -> Option<String> {
        let mut offered = crate::sync::lock(&self.offered);
        match &*offered {
            Some((at, offer)) if at.elapsed() < TLS_PROBE_INTERVAL => offer.clone(),
            _ => {
                let offer = probe(self.setting.server_name.as_deref());
                *offered = Some((Instant::now(), offer.clone()));
                offer
            }
        }
    }

    /// The configuration for the next connection. The files are read each time; while their content
    /// is the same so is the configuration, and sessions can be resumed.
    fn config(&self) -> Result<(Arc<ClientConfig>, Arc<Shown>)> {
        let mut trust = crate::sync::lock(&self.trust);
        match Files::read(&self.setting) {
            Ok(files) if files == trust.files => trust.complaint = None,
            Ok(files) if let Err(error) = files.check(&self.setting) => trust.complain(&error),
            Ok(files) => *trust = Trust { files, complaint: None, config: None },
            Err(error) => trust.complain(&error),
        }
        if let Some(config) = &trust.config {
            return Ok(config.clone());
        }
        let made = self.make_config(&trust.files)?;
        trust.config = Some(made.clone());
        Ok(made)
    }

    fn make_config(&self, files: &Files) -> Result<(Arc<ClientConfig>, Arc<Shown>)> {
        let TlsConfig { ca_files, ca_text, pin_sha256, insecure, private, .. } = &self.setting;
        let mut authorities = Vec::new();
        for (path, bundle) in ca_files.iter().zip(&files.bundles) {
            authorities.extend(certificates(path, bundle)?);
        }
        if let Some(text) = ca_text {
            authorities.extend(certificates_of(text.as_bytes()).context(|| "trusted certificates")?);
        }
        let is_closed = !pin_sha256.is_empty() || *insecure || *private;
        let system = if is_closed { None } else { Some(system_roots()) };
        let roots = match system {
            Some(system) if authorities.is_empty() => system.clone(),
            _ => {
                let mut roots = RootCertStore::empty();
                roots.extend(system.into_iter().flat_map(|system| &system.roots).map(borrowed));
                // A certificate that can be no authority may still be the server's own.
                roots.add_parsable_certificates(authorities.iter().cloned());
                Arc::new(roots)
            }
        };
        let verifier = Verifier::new(&self.setting, authorities, roots, &self.provider)?;
        let shown = Arc::new(Shown::new(files.identity(&self.setting)?));
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| Error::new(words(&error)))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(shown.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // rustls resumes a session only under the verifier and the client certificate that it began
        // with: what changed means a full handshake.
        config.resumption = Resumption::store(self.sessions.clone());
        Ok((Arc::new(config), shown))
    }
}

fn parse_name(host: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).map_err(|_| Error::new(format!("{host:?} is no name for TLS")))
}

/// The same authority without a copy of what it holds: there are well over a hundred, for each client.
fn borrowed(anchor: &'static TrustAnchor<'static>) -> TrustAnchor<'static> {
    TrustAnchor {
        subject: Der::from_slice(&anchor.subject),
        subject_public_key_info: Der::from_slice(&anchor.subject_public_key_info),
        name_constraints: anchor.name_constraints.as_deref().map(Der::from_slice),
    }
}

/// The roots of the operating system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`; read once.
fn system_roots() -> &'static Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            log::warn!(target: "TLS", "read the system's trusted certificates: {error}");
        }
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots.add_parsable_certificates(found.certs);
        log::debug!(target: "TLS", "{added} trusted certificates of the system, {ignored} not usable");
        Arc::new(roots)
    })
}

/// Why the peer no longer takes what we write, if it said so before it closed: else the error itself.
fn last_word(connection: &mut ClientConnection, socket: &mut Socket, error: io::Error) -> io::Error {
    if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
        return error;
    }
    while let Ok(1..) = connection.read_tls(socket) {
        if let Err(said) = connection.process_new_packets() {
            return io::Error::other(said);
        }
    }
    error
}

/// Whether a handshake failed for how the peer speaks, and not for whom it believes.
fn has_nothing_in_common(error: &io::Error, has_greeted: bool) -> bool {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)) => false,
        Some(rustls::Error::AlertReceived(_)) => !has_greeted,
        Some(rustls::Error::PeerIncompatible(_)) => true,
        Some(rustls::Error::InvalidMessage(message)) => *message == InvalidMessage::UnknownProtocolVersion,
        Some(_) => false,
        None => error.kind() == io::ErrorKind::UnexpectedEof && !has_greeted,
    }
}

/// The cause of a failed handshake in words; none if it is one of the connection. `shown` is given once
/// the server has agreed how to speak.
fn handshake_cause(error: &io::Error, shown: Option<&Shown>) -> Option<String> {
    let Some(error) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) else {
        return (error.kind() == io::ErrorKind::UnexpectedEof)
            .then(|| "the peer closed the connection during the handshake".to_owned());
    };
    Some(match error {
        rustls::Error::InvalidCertificate(cause) => match Refusal::of(cause) {
            Some(refusal) => refusal.to_string(),
            // Of the handshake: what concerns the certificate itself is in a refusal.
            None if *cause == CertificateError::BadSignature => {
                "the server does not prove that it holds the key of its certificate".to_owned()
            }
            None => words(error),
        },
        rustls::Error::AlertReceived(alert) => {
            shown.and_then(|shown| shown.refusal(*alert)).unwrap_or_else(|| words(error))
        }
        other => words(other),
    })
}

#[cfg(test)]
mod tests;
