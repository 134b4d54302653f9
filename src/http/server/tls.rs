//! TLS of inbound connections: the certificate and its key, read again when their files change.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Context, Error, Result, io_text};
use crate::limits::SERVER_CERTIFICATE_CHECK_INTERVAL;
use crate::pem::certificates_of;

/// Where a server's certificate lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerTlsConfig {
    /// PEM: the certificate, and those between it and its authority.
    pub(crate) cert_file: PathBuf,
    /// PEM: its private key.
    pub(crate) key_file: PathBuf,
}

/// Shows a server's certificate to its peers. What cannot be used leaves the last good one in force.
pub struct ServerTls {
    config: ServerTlsConfig,
    state: Mutex<State>,
}

struct State {
    checked: Instant,
    files: [Vec<u8>; 2],
    // What was wrong when it was looked at last; it is said once.
    complaint: Option<String>,
    good: Arc<ServerConfig>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// When a file cannot be read, or does not hold what it should, or the two do not fit.
    pub(crate) fn new(config: &ServerTlsConfig) -> Result<ServerTls> {
        let files = read(config)?;
        let good = made(config, &files)?;
        let state = Mutex::new(State { checked: Instant::now(), files, complaint: None, good });
        Ok(ServerTls { config: config.clone(), state })
    }

    /// For the next connection.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        let mut state = crate::sync::lock(&self.state);
        if state.checked.elapsed() < SERVER_CERTIFICATE_CHECK_INTERVAL {
            return state.good.clone();
        }
        state.checked = Instant::now();
        match read(&self.config).map(|files| (files == state.files, files)) {
            Ok((true, _)) => state.complaint = None,
            Ok((false, files)) => match made(&self.config, &files) {
                Ok(good) => {
                    log::info!(target: "TLS", "the certificate of {} is in use", self.config.cert_file.display());
                    (state.files, state.good, state.complaint) = (files, good, None);
                }
                Err(error) => complain(&mut state, &error),
            },
            Err(error) => complain(&mut state, &error),
        }
        state.good.clone()
    }
}

fn complain(state: &mut State, error: &Error) {
    let text = error.to_string();
    if state.complaint.as_deref() != Some(&text) {
        log::warn!(target: "TLS", "{text}: the last good certificate stays in use");
        state.complaint = Some(text);
    }
}

fn read(config: &ServerTlsConfig) -> Result<[Vec<u8>; 2]> {
    let file = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| io_text(&error)).context(|| format!("read {}", path.display()))
    };
    Ok([file(&config.cert_file)?, file(&config.key_file)?])
}

fn made(config: &ServerTlsConfig, [certificate, key]: &[Vec<u8>; 2]) -> Result<Arc<ServerConfig>> {
    let chain =
        certificates_of(certificate).context(|| format!("cert_file {}", config.cert_file.display()))?;
    let of_key = || format!("key_file {}", config.key_file.display());
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| Error::new("it holds no private key in PEM"))
        .context(of_key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut made = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .context(|| "TLS")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| Error::new(format!("it does not fit the certificate: {error}")))
        .context(of_key)?;
    made.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(made))
}
