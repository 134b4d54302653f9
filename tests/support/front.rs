//! TLS before a plain HTTP server: only who shows a certificate of an authority gets through.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// A front on a free port of loopback. Dropped, it takes no more connections.
pub struct Front {
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    address: String,
    stop: Arc<AtomicBool>,
}

impl Front {
    /// Presents the certificate and key of these files, demands a certificate of `authority`, and hands
    /// requests to the host and port of the URL `target`.
    pub fn start(certificate: &Path, key: &Path, authority: &Path, target: &str) -> Front {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![CertificateDer::from_pem_file(certificate).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap();
        let (config, stop) = (Arc::new(config), Arc::new(AtomicBool::new(false)));
        let target = target.split('/').nth(2).unwrap().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stopped = stop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (config, target) = (config.clone(), target.clone());
                // Who is refused, or leaves, ends its own connection.
                std::thread::spawn(move || serve(config, stream, &target));
            }
        });
        Front { url: format!("https://{address}"), address, stop }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.address);
    }
}

/// One request after the other, each on a connection of its own to the target.
fn serve(config: Arc<ServerConfig>, stream: TcpStream, target: &str) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut near = StreamOwned::new(connection, stream);
    while let Some(request) = read_message(&mut near)? {
        let mut far = TcpStream::connect(target)?;
        far.write_all(&request)?;
        let answer = read_message(&mut far)?.unwrap_or_default();
        near.write_all(&answer)?;
        near.flush()?;
    }
    Ok(())
}

/// Head and body, whose length the head tells or else the end of the connection; none at its end.
fn read_message(stream: &mut impl Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    let mut byte = [0];
    while !message.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        message.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&message).to_ascii_lowercase();
    let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
    match length.and_then(|digits| digits.trim().parse::<usize>().ok()) {
        Some(length) => {
            let start = message.len();
            message.resize(start + length, 0);
            stream.read_exact(&mut message[start..])?;
        }
        None if head.starts_with("http/") && !head.starts_with("http/1.1 204") => {
            stream.read_to_end(&mut message)?;
        }
        None => {}
    }
    Ok(Some(message))
}
