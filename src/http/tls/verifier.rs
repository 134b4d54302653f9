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
use crate::x509::{self, Certificate, key_kind};

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
            Err(doubt) => Err(Refusal::new(&doubt, end_entity, intermediates, &pin, server_name).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if ParsedCertificate::try_from(cert).is_ok() {
            return rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
                .map_err(|error| unproven(cert, error));
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
            return rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
                .map_err(|error| unproven(cert, error));
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

const PIN: &str = "set tls.pin_sha256 to this SHA-256 once you have compared it with the server's";

impl Doubt {
    /// The reason, and what would make the certificate acceptable.
    fn explain(
        &self,
        leaf: &[u8],
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> (String, String) {
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
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                wrong_name(leaf, name)
            }
            CertificateError::BadSignature if let Some(short) = short_key(leaf, intermediates) => {
                (short, PIN.into())
            }
            error if let Some(reason) = unusual(error, leaf, intermediates) => {
                (reason, format!("set tls.ca_file to this very certificate, or {PIN}"))
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

/// What is wrong with the names of a certificate, and what to do.
fn wrong_name(leaf: &[u8], name: &ServerName<'_>) -> (String, String) {
    const NAMES_MAX: usize = 5;
    let names = Certificate::read(leaf).map(|leaf| leaf.names()).unwrap_or_default();
    // A name with a star is for many hosts, and is none itself.
    let cure = match names.iter().find(|name| ServerName::try_from(name.as_str()).is_ok()) {
        Some(first) => format!("use one of these names as the address, or set tls.server_name = {first:?}"),
        None if names.is_empty() => PIN.into(),
        None => format!("use a name that it is for as the address, or {PIN}"),
    };
    let listed = match names.len() {
        0 => "no name at all".into(),
        count if count <= NAMES_MAX => names.join(", "),
        count => format!("{} and {} others", names[..NAMES_MAX].join(", "), count - NAMES_MAX),
    };
    (format!("it is not valid for {}, but for {listed}", name.to_str()), cure)
}

/// Which certificate of a chain is signed in a way that the router does not verify, and how.
fn unusual(error: &CertificateError, leaf: &[u8], intermediates: &[CertificateDer<'_>]) -> Option<String> {
    #[expect(deprecated, reason = "the library may still give it")]
    let is_so = matches!(
        error,
        CertificateError::UnsupportedSignatureAlgorithm
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
    );
    let reason = |der: &[u8], whose: &str| {
        let way = Certificate::read(der)?.unusual_signature()?;
        Some(format!("{whose} is signed with {way}, which the router does not verify"))
    };
    let above = || intermediates.iter().find_map(|der| reason(der, "one in its chain"));
    if is_so { reason(leaf, "it").or_else(above) } else { None }
}

/// A key of RSA in a chain that is too short to verify anything with.
fn short_key(leaf: &[u8], intermediates: &[CertificateDer<'_>]) -> Option<String> {
    const BITS_MIN: usize = 2048;
    let chain = [leaf].into_iter().chain(intermediates.iter().map(|der| der.as_ref()));
    let short = chain.filter_map(|der| key_kind(Certificate::read(der)?.public_key_info)).find(|kind| {
        kind.strip_prefix("RSA ")
            .and_then(|bits| bits.parse().ok())
            .is_some_and(|bits: usize| bits < BITS_MIN)
    })?;
    Some(format!("its chain has a key {short}, and the router verifies RSA of {BITS_MIN} bits or more"))
}

/// The error of a signature of the handshake: of a key that is too short it says nothing.
fn unproven(cert: &CertificateDer<'_>, error: rustls::Error) -> rustls::Error {
    match short_key(cert, &[]) {
        Some(text) => {
            Refusal { text: format!("certificate refused: {text}: give the server a longer key") }.into()
        }
        None => error,
    }
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
    fn new(
        doubt: &Doubt,
        leaf: &[u8],
        intermediates: &[CertificateDer<'_>],
        pin: &[u8; 32],
        name: &ServerName<'_>,
    ) -> Refusal {
        let (reason, cure) = doubt.explain(leaf, intermediates, name);
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
