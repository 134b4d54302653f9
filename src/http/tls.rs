//! TLS of outbound connections: whom to believe, and the handshake. Versions 1.2 and 1.3 with the
//! cryptography of ring; sessions are resumed.
//!
//! Trust comes from the system's roots, `ca_file`, and certificates that others handed over. Where
//! pins are given they take the place of the system's roots: a pinned endpoint is not to be
//! impersonated by any public authority.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, Der, PrivateKeyDer, ServerName, TrustAnchor};
use rustls::{CertificateError, ClientConfig, ClientConnection, InvalidMessage, RootCertStore, StreamOwned};

use super::endpoint::{ConnectError, Endpoint, Stage};
use super::verifier::{Refusal, Verifier};
use super::wire::Socket;
use crate::config::TlsConfig;
use crate::error::{Context, Error, Result};
use crate::limits::TLS_SESSIONS_MAX;
use crate::pem::{certificates, certificates_of, read_bundle};

/// Makes TLS connections to one endpoint.
#[derive(Debug)]
pub(super) struct Tls {
    setting: TlsConfig,
    server_name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
    sessions: Arc<ClientSessionMemoryCache>,
    trust: Mutex<Trust>,
}

/// What the files held when they were read last, and what was made of it.
#[derive(Debug)]
struct Trust {
    files: Files,
    /// Why the files as they are now are not used; it is said once.
    complaint: Option<String>,
    config: Option<Arc<ClientConfig>>,
}

/// What can change on disk while the router runs. Empty what the setting does not name.
#[derive(PartialEq, Eq)]
struct Files {
    // In the order of the setting.
    bundles: Vec<Vec<u8>>,
    certificate: String,
    key: String,
}

/// The key stays hidden.
impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

impl Files {
    /// Reads them; all can be used.
    fn read(setting: &TlsConfig) -> Result<Files> {
        let mut files = Files { bundles: Vec::new(), certificate: String::new(), key: String::new() };
        for path in &setting.ca_files {
            let bundle = read_bundle(path)?;
            certificates(path, &bundle)?;
            files.bundles.push(bundle);
        }
        if let Some(identity) = &setting.identity {
            files.certificate = identity.certificate.read().context(|| "client certificate")?;
            files.key = identity.key.read().context(|| "key of the client certificate")?;
            files.identity()?;
        }
        Ok(files)
    }

    /// The client certificate and its key.
    fn identity(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let chain = certificates_of(self.certificate.as_bytes()).context(|| "client certificate")?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        Ok((chain, key.context(|| "key of the client certificate")?))
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
        Ok(Tls {
            setting: setting.clone(),
            server_name,
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            sessions: Arc::new(ClientSessionMemoryCache::new(TLS_SESSIONS_MAX)),
            trust: Mutex::new(Trust { files, complaint: None, config: None }),
        })
    }

    /// Makes the TCP connection a TLS one.
    pub(super) fn handshake(
        &self,
        mut socket: Socket,
        target: &Endpoint,
    ) -> Result<StreamOwned<ClientConnection, Socket>, ConnectError> {
        let intent = format!("TLS with {target}");
        let failed = |error: Error| ConnectError::new(Stage::Tls, error.context(&intent));
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => parse_name(&target.host).map_err(failed)?,
        };
        let config = self.config().map_err(failed)?;
        let mut connection =
            ClientConnection::new(config, name).map_err(|error| failed(Error::new(error.to_string())))?;
        match connection.complete_io(&mut socket) {
            Ok(_) => Ok(StreamOwned::new(connection, socket)),
            Err(error) => match handshake_cause(&error) {
                Some(cause) => Err(failed(Error::new(cause))),
                None => Err(ConnectError::of_io(Stage::Tls, intent, &error)),
            },
        }
    }

    /// The configuration for the next connection. The files are read each time; while their content
    /// is the same so is the configuration, and sessions can be resumed.
    fn config(&self) -> Result<Arc<ClientConfig>> {
        let mut trust = crate::sync::lock(&self.trust);
        match Files::read(&self.setting) {
            Ok(files) if files == trust.files => trust.complaint = None,
            Ok(files) => *trust = Trust { files, complaint: None, config: None },
            Err(error) => {
                let text = error.to_string();
                if trust.complaint.as_deref() != Some(&text) {
                    log::warn!("{text}: its last good content stays in use");
                    trust.complaint = Some(text);
                }
            }
        }
        if let Some(config) = &trust.config {
            return Ok(config.clone());
        }
        let made = Arc::new(self.make_config(&trust.files)?);
        trust.config = Some(made.clone());
        Ok(made)
    }

    fn make_config(&self, files: &Files) -> Result<ClientConfig> {
        let TlsConfig { ca_files, ca_text, pin_sha256, insecure, private, identity, .. } = &self.setting;
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
        let config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .context(|| "TLS")?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some(_) => {
                let (chain, key) = files.identity()?;
                config.with_client_auth_cert(chain, key).context(|| "client certificate")?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // rustls resumes a session only under the verifier that it began with: changed trust means
        // a full handshake.
        config.resumption = Resumption::store(self.sessions.clone());
        Ok(config)
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
            log::warn!("read the system's trusted certificates: {error}");
        }
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots.add_parsable_certificates(found.certs);
        log::debug!("{added} trusted certificates of the system, {ignored} not usable");
        Arc::new(roots)
    })
}

/// The cause of a failed handshake in words; none if it is one of the connection.
fn handshake_cause(error: &io::Error) -> Option<String> {
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
            None => format!("certificate refused: {cause}"),
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the peer does not speak TLS on this port: is it one for http://?".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the peer ended the handshake: alert {alert:?}"),
        rustls::Error::PeerIncompatible(cause) => {
            format!("no TLS 1.2 or 1.3 parameters in common: {cause:?}")
        }
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests;
