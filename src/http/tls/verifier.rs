//! Decides about a server's certificate inside the handshake, and says why not and what to do.
//!
//! Whatever is believed about the certificate, the server must always prove that it holds the key:
//! the signature of the handshake is verified for pinned and for unverified certificates too.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::words::{of_certificate, words};
use crate::config::TlsConfig;
use crate::error::{Error, Result};
use crate::x509::{self, Certificate};

/// Judges certificates by pins, by the certificates of `ca_file`, and by trusted roots.
#[derive(Debug)]
pub(super) struct Verifier {
    insecure: bool,
    pins: Vec<[u8; 32]>,
    /// Those of `ca_file`: a server may also present one of them itself.
    known: Vec<CertificateDer<'static>>,
    /// None without a single root.
    chain: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(
        setting: &TlsConfig,
        known: Vec<CertificateDer<'static>>,
        roots: Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Verifier> {
        let chain = if roots.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
            Some(builder.build().map_err(|_| Error::new("none of the trusted certificates can be used"))?)
        };
        Ok(Verifier {
            insecure: setting.insecure,
            pins: setting.pin_sha256.clone(),
            known,
            chain,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Doubt> {
        // The operator named this very certificate in `ca_file`. Verifying a chain would fail when
        // it is marked as an authority, as self-signed ones often are.
        if self.known.iter().any(|known| known == leaf) {
            check_validity(leaf, now)?;
            let parsed = ParsedCertificate::try_from(leaf).map_err(Doubt::Chain)?;
            return rustls::client::verify_server_name(&parsed, name).map_err(Doubt::Chain);
        }
        match &self.chain {
            Some(chain) => chain
                .verify_server_cert(leaf, intermediates, name, ocsp, now)
                .map(|_| ())
                .map_err(Doubt::Chain),
            None if self.pins.is_empty() => Err(Doubt::NoRoots),
            None => Err(Doubt::Unpinned),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pin = sha256(end_entity);
        if self.insecure || self.pins.contains(&pin) {
            return Ok(ServerCertVerified::assertion());
        }
        match self.judge(end_entity, intermediates, server_name, ocsp_response, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(doubt) => Err(Refusal::new(&doubt, end_entity, &pin, server_name).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if ParsedCertificate::try_from(cert).is_ok() {
            return rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms);
        }
        // A certificate that webpki cannot read, such as one of version 1: its key serves.
        let (algorithm, key) =
            Certificate::read(cert).and_then(|cert| x509::public_key(cert.public_key_info)).ok_or(BAD)?;
        let signed = self
            .algorithms
            .mapping
            .iter()
            .filter(|(scheme, _)| *scheme == dss.scheme)
            .flat_map(|(_, algorithms)| algorithms.iter())
            .filter(|candidate| candidate.public_key_alg_id().as_ref() == algorithm)
            .any(|candidate| candidate.verify_signature(key, message, dss.signature()).is_ok());
        if signed {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if ParsedCertificate::try_from(cert).is_ok() {
            return rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms);
        }
        let cert = Certificate::read(cert).ok_or(BAD)?;
        let key = SubjectPublicKeyInfoDer::from(cert.public_key_info);
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

const BAD: rustls::Error = rustls::Error::InvalidCertificate(CertificateError::BadEncoding);

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    hash
}

fn check_validity(leaf: &[u8], now: UnixTime) -> Result<(), Doubt> {
    let begin_and_end = Certificate::read(leaf).and_then(|c| c.not_before.zip(c.not_after));
    let (begin, end) = begin_and_end.ok_or(Doubt::Chain(BAD))?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let error = if now < begin.as_second() {
        CertificateError::NotValidYet
    } else if end.as_second() < now {
        CertificateError::Expired
    } else {
        return Ok(());
    };
    Err(Doubt::Chain(error.into()))
}

/// Why a certificate is not believed.
enum Doubt {
    /// What webpki says.
    Chain(rustls::Error),
    /// Pins are given, and this is none of them.
    Unpinned,
    /// There is nothing to verify with.
    NoRoots,
}

impl Doubt {
    /// The reason, and what would make the certificate acceptable.
    fn explain(&self, name: &ServerName<'_>) -> (String, String) {
        const PIN: &str = "set tls.pin_sha256 to this SHA-256 once you have compared it with the server's";
        let error = match self {
            Doubt::Unpinned => return ("its SHA-256 is not in tls.pin_sha256".into(), PIN.into()),
            Doubt::NoRoots => {
                let cure = format!("install the system's CA certificates, set tls.ca_file, or {PIN}");
                return ("no trusted authority is known on this machine".into(), cure);
            }
            Doubt::Chain(rustls::Error::InvalidCertificate(error)) => error,
            Doubt::Chain(error) => return (words(error), PIN.into()),
        };
        match error {
            CertificateError::UnknownIssuer => (
                "no trusted authority signed it".into(),
                format!("set tls.ca_file to the certificate of its authority, or {PIN}"),
            ),
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names: Vec<_> = presented.iter().map(|name| bare_name(name)).collect();
                let cure = match names.first() {
                    Some(first) => {
                        format!("use one of these names as the address, or set tls.server_name = {first:?}")
                    }
                    None => PIN.into(),
                };
                let names = if names.is_empty() { "no name at all".into() } else { names.join(", ") };
                (format!("it is not valid for {}, but for {names}", name.to_str()), cure)
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                "it has expired".into(),
                format!("renew it, correct this machine's clock ({}), or {PIN}", now_text()),
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                "it is not valid yet".into(),
                format!("correct this machine's clock ({}), or {PIN}", now_text()),
            ),
            CertificateError::Other(OtherError(cause)) if cause.to_string() == "CaUsedAsEndEntity" => {
                (of_certificate(error).into(), format!("set tls.ca_file to this very certificate, or {PIN}"))
            }
            other => (of_certificate(other).into(), PIN.into()),
        }
    }
}

/// `DnsName("a.b")` as `a.b`: the library gives names in the form for debugging.
fn bare_name(presented: &str) -> &str {
    presented.split('"').nth(1).unwrap_or(presented)
}

fn now_text() -> String {
    format!("{:.0}", jiff::Timestamp::now())
}

/// The refusal of a certificate, with all that helps to accept or replace it.
#[derive(Debug)]
pub(super) struct Refusal {
    text: String,
}

impl Refusal {
    fn new(doubt: &Doubt, leaf: &[u8], pin: &[u8; 32], name: &ServerName<'_>) -> Refusal {
        let (reason, cure) = doubt.explain(name);
        let offered = match Certificate::read(leaf) {
            Some(certificate) => certificate.description(),
            None => "not readable".to_owned(),
        };
        let pin: Vec<_> = pin.iter().map(|byte| format!("{byte:02X}")).collect();
        let text =
            format!("certificate refused: {reason} (offered: {offered}, SHA-256 {}): {cure}", pin.join(":"));
        Refusal { text }
    }

    /// Finds the refusal in what rustls reports.
    pub(super) fn of(error: &CertificateError) -> Option<&Refusal> {
        match error {
            CertificateError::Other(OtherError(cause)) => cause.downcast_ref(),
            _ => None,
        }
    }
}

impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> rustls::Error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}
