//! The router's own certificate: shown to a server that asks for one, and what the server says to it.

use std::sync::{Arc, Mutex};

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, SignatureScheme};

use super::words::name_of;
use crate::identity;
use crate::sync::lock;
use crate::x509::{Certificate, distinguished_name};

/// What is shown to one endpoint, and what it asked for.
#[derive(Debug)]
pub(in crate::http) struct Shown {
    identity: Option<Arc<CertifiedKey>>,
    /// The authorities of the last question; none before there was one.
    asked: Mutex<Option<Vec<String>>>,
}

impl Shown {
    pub(super) fn new(identity: Option<CertifiedKey>) -> Shown {
        Shown { identity: identity.map(Arc::new), asked: Mutex::new(None) }
    }

    /// What an alert says about the router's certificate, if it does.
    pub(super) fn refusal(&self, alert: AlertDescription) -> Option<String> {
        let asked = lock(&self.asked).clone();
        let must = "the server demands a client certificate: set tls.client_cert and tls.client_key";
        let Some(authorities) = asked else {
            return (alert == AlertDescription::CertificateRequired).then(|| must.to_owned());
        };
        let reason = reason(alert)?;
        let wanted = wanted(&authorities);
        let Some(identity) = &self.identity else { return Some(format!("{must}{wanted}")) };
        let doubt = identity::doubt(&identity.cert, jiff::Timestamp::now());
        let reason = doubt.unwrap_or_else(|| reason.to_owned());
        let own = identity.cert.first().and_then(|own| Certificate::read(own));
        let own = own.map_or_else(String::new, |own| own.description());
        Some(format!(
            "the server refuses the client certificate: {reason} ({own}; {}{wanted})",
            name_of(alert)
        ))
    }
}

/// Servers may name those whose signature they accept; many name none.
fn wanted(authorities: &[String]) -> String {
    const NAMES_MAX: usize = 3;
    let names = authorities.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(" or ");
    match authorities.len() {
        0 => String::new(),
        count if count <= NAMES_MAX => format!("; it accepts those of {names}"),
        count => format!("; it accepts those of {names} or {} others", count - NAMES_MAX),
    }
}

/// Why the server refuses the certificate; none for an alert that tells of something else.
fn reason(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "it found none, perhaps because it does not take this kind of key"
        }
        AlertDescription::CertificateExpired => "it has expired, by the server's clock",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::UnknownCA => "the server does not know the authority that signed it",
        AlertDescription::UnsupportedCertificate => "it is not of a kind for clients",
        AlertDescription::AccessDenied => "who it names has no access",
        AlertDescription::DecryptError => "its signature is not right",
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::HandshakeFailure => "the server gives no reason, its log may",
        _ => return None,
    })
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, authorities: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let names = authorities.iter().filter_map(|name| distinguished_name(name)).collect();
        *lock(&self.asked) = Some(names);
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        self.identity.is_some()
    }
}
