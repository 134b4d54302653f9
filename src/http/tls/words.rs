//! What goes wrong in TLS, in words for people: of a library's error nothing is quoted. Pure.
//!
//! The library's enumerations grow; what they gain is told by the last, general line of each.

use rustls::{
    AlertDescription, CertRevocationListError, CertificateError, Error, InvalidMessage, OtherError,
    PeerIncompatible, PeerMisbehaved,
};

/// What the router can speak, for messages.
pub(super) const SPEAKS: &str = "TLS 1.2 with ECDHE and AES-GCM or ChaCha20, and TLS 1.3";

/// The reason of a failure.
pub(in crate::http) fn words(error: &Error) -> String {
    let text = match error {
        Error::InvalidCertificate(error) => return format!("certificate refused: {}", of_certificate(error)),
        Error::InvalidCertRevocationList(error) => return of_revocation_list(error).to_owned(),
        Error::PeerIncompatible(error) => return of_incompatible(error),
        Error::AlertReceived(alert) => return of_alert(*alert),
        Error::InvalidMessage(message) => of_message(message),
        Error::PeerMisbehaved(error) => of_misbehaviour(error),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the peer sends a message of TLS out of its turn"
        }
        Error::InvalidEncryptedClientHello(_) => "the greeting cannot be encrypted for the server",
        Error::NoCertificatesPresented => "the server shows no certificate",
        Error::UnsupportedNameType => "the address is no name for TLS",
        Error::DecryptError => "what the peer sends cannot be decrypted: it is broken, or changed on its way",
        Error::EncryptError => "a message is too long to be encrypted",
        Error::FailedToGetCurrentTime => "the clock of this machine cannot be read",
        Error::FailedToGetRandomBytes => "this machine gives no random numbers",
        Error::HandshakeNotComplete => "the handshake is not complete",
        Error::PeerSentOversizedRecord => "the peer sends more at once than TLS allows",
        Error::NoApplicationProtocol => "the server does not speak HTTP/1.1 on this port",
        Error::BadMaxFragmentSize => "the length of a message is out of bounds",
        Error::InconsistentKeys(_) => "the key is not that of the certificate",
        _ => "TLS fails for a reason without a name",
    };
    text.to_owned()
}

/// Why a certificate is not believed, as what follows "certificate refused".
pub(super) fn of_certificate(error: &CertificateError) -> &'static str {
    #[expect(deprecated, reason = "the library may still give it")]
    match error {
        CertificateError::BadEncoding => "it is not well formed",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::Revoked => "it was revoked",
        CertificateError::UnhandledCriticalExtension => {
            "it has a critical extension that the router does not know"
        }
        CertificateError::UnknownIssuer => "no trusted authority signed it",
        CertificateError::UnknownRevocationStatus => "nothing tells whether it was revoked",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the list of revoked certificates has expired"
        }
        CertificateError::BadSignature => "a signature in its chain is not that of its authority",
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it, or one in its chain, is signed in a way that the router does not verify"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is not valid for this name"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not one for servers: its extended key usage lacks server authentication"
        }
        CertificateError::InvalidOcspResponse => "what the server attached about its revocation is not valid",
        CertificateError::ApplicationVerificationFailure => "it may not be used here",
        CertificateError::Other(OtherError(cause)) => of_rule(&cause.to_string()),
        _ => "it breaks a rule of X.509",
    }
}

/// The rule that a certificate breaks, by the name that the library gives it.
fn of_rule(name: &str) -> &'static str {
    match name {
        "CaUsedAsEndEntity" => "it is that of an authority (CA:TRUE), not of a server",
        "EndEntityUsedAsCa" => {
            "it is signed by a certificate that is none of an authority (CA:TRUE is missing)"
        }
        "UnsupportedCertVersion" => "its X.509 version is not 3",
        "UnsupportedCriticalExtension" => "it has a critical extension that the router does not know",
        "NameConstraintViolation" => "it is for a name that its authority may not sign for",
        "PathLenConstraintViolated" | "MaximumPathDepthExceeded" => {
            "there are more authorities between it and a trusted one than are allowed"
        }
        "MaximumSignatureChecksExceeded"
        | "MaximumPathBuildCallsExceeded"
        | "MaximumNameConstraintComparisonsExceeded" => "its chain takes too much work to verify",
        "SignatureAlgorithmMismatch" => "it names two ways in which it is signed",
        "MalformedDnsIdentifier" | "UnsupportedNameType" => "it holds a name that is none",
        "MalformedExtensions"
        | "ExtensionValueInvalid"
        | "EmptyEkuExtension"
        | "InvalidSerialNumber"
        | "MalformedNameConstraint"
        | "InvalidNetworkMaskConstraint" => "a part of it is not well formed",
        "CertDistrusted" => "its authority is no longer trusted",
        _ => "it breaks a rule of X.509",
    }
}

fn of_revocation_list(error: &CertRevocationListError) -> &'static str {
    match error {
        CertRevocationListError::ParseError => "a list of revoked certificates is not well formed",
        _ => "a list of revoked certificates cannot be used",
    }
}

fn of_incompatible(error: &PeerIncompatible) -> String {
    let reason = match error {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired => "no version of TLS in common",
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher in common",
        PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired
        | PeerIncompatible::EcPointsExtensionRequired
        | PeerIncompatible::NoEcPointFormatsInCommon
        | PeerIncompatible::UncompressedEcPointsRequired => "no key exchange in common",
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired => "no kind of signature in common",
        PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "no signature for client certificates in common"
        }
        _ => "no way to speak TLS in common",
    };
    format!("the server and the router have {reason}: the router speaks {SPEAKS}")
}

fn of_message(message: &InvalidMessage) -> &'static str {
    match message {
        InvalidMessage::InvalidContentType => {
            "the peer does not speak TLS on this port: is it one for http://?"
        }
        InvalidMessage::CertificatePayloadTooLarge => {
            "the certificates of the server are longer than 65,536 bytes"
        }
        InvalidMessage::MessageTooLarge | InvalidMessage::HandshakePayloadTooLarge => {
            "the peer sends a longer message than TLS allows"
        }
        InvalidMessage::UnknownProtocolVersion => "the peer speaks no version of TLS that is known",
        _ => "the peer sends a message that is not valid TLS",
    }
}

fn of_misbehaviour(error: &PeerMisbehaved) -> &'static str {
    match error {
        PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported => {
            "something between keeps the server from TLS 1.3: a proxy that opens TLS?"
        }
        PeerMisbehaved::SignedKxWithWrongAlgorithm
        | PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme => {
            "the server signs the handshake in a way that is not safe, such as with SHA-1"
        }
        PeerMisbehaved::TooManyRenegotiationRequests => {
            "the server wants to negotiate anew in a running connection, which the router does not"
        }
        _ => "the peer breaks a rule of TLS",
    }
}

/// What a fatal alert of the server means to who set up the router.
fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::ProtocolVersion => {
            format!("the server refuses the versions of TLS that the router speaks: {SPEAKS}")
        }
        AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity
        | AlertDescription::IllegalParameter
        | AlertDescription::MissingExtension => {
            format!("the server refuses the handshake ({}): the router speaks {SPEAKS}", name_of(alert))
        }
        AlertDescription::UnrecognisedName => {
            "the server has no site of this name: correct the address, or set \
                                               tls.server_name to a name that it has"
                .to_owned()
        }
        AlertDescription::NoApplicationProtocol => {
            "the server does not speak HTTP/1.1 on this port".to_owned()
        }
        AlertDescription::InternalError => "the server failed in the handshake: its log tells why".to_owned(),
        AlertDescription::CloseNotify | AlertDescription::UserCanceled => {
            "the server closed the connection during the handshake".to_owned()
        }
        _ => format!("the server ended the handshake ({})", name_of(alert)),
    }
}

/// The alert by its name in IANA's registry, with blanks.
pub(super) fn name_of(alert: AlertDescription) -> String {
    let name = match u8::from(alert) {
        0 => "close notify",
        10 => "unexpected message",
        20 => "bad record mac",
        21 => "decryption failed",
        22 => "record overflow",
        30 => "decompression failure",
        40 => "handshake failure",
        41 => "no certificate",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate unknown",
        47 => "illegal parameter",
        48 => "unknown ca",
        49 => "access denied",
        50 => "decode error",
        51 => "decrypt error",
        60 => "export restriction",
        70 => "protocol version",
        71 => "insufficient security",
        80 => "internal error",
        86 => "inappropriate fallback",
        90 => "user canceled",
        100 => "no renegotiation",
        109 => "missing extension",
        110 => "unsupported extension",
        111 => "certificate unobtainable",
        112 => "unrecognized name",
        113 => "bad certificate status response",
        114 => "bad certificate hash value",
        115 => "unknown psk identity",
        116 => "certificate required",
        120 => "no application protocol",
        121 => "ech required",
        number => return format!("alert number {number}"),
    };
    format!("alert \"{name}\"")
}

#[cfg(test)]
mod tests;
