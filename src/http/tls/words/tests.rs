//! Every error that the library has, as far as one can be made.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{
    CertRevocationListError as List, CertificateError as Certificate, ContentType, EncryptedClientHelloError,
    ExtendedKeyPurpose, HandshakeType, InconsistentKeys, InvalidMessage as Message,
    PeerIncompatible as Incompatible, PeerMisbehaved as Misbehaved,
};

use super::*;

#[derive(Debug)]
struct Rule(&'static str);

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Rule {}

fn other(rule: &'static str) -> OtherError {
    OtherError(Arc::new(Rule(rule)))
}

fn certificate_errors() -> Vec<Certificate> {
    let time = UnixTime::since_unix_epoch(Duration::from_secs(1));
    let rules = [
        "CaUsedAsEndEntity",
        "EndEntityUsedAsCa",
        "UnsupportedCertVersion",
        "UnsupportedCriticalExtension",
        "NameConstraintViolation",
        "PathLenConstraintViolated",
        "MaximumPathDepthExceeded",
        "MaximumSignatureChecksExceeded",
        "MaximumPathBuildCallsExceeded",
        "MaximumNameConstraintComparisonsExceeded",
        "SignatureAlgorithmMismatch",
        "MalformedDnsIdentifier",
        "UnsupportedNameType",
        "MalformedExtensions",
        "ExtensionValueInvalid",
        "EmptyEkuExtension",
        "InvalidSerialNumber",
        "MalformedNameConstraint",
        "InvalidNetworkMaskConstraint",
        "CertDistrusted",
        "SomethingNewInTheLibrary",
    ];
    let algorithms = {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        provider
            .signature_verification_algorithms
            .all
            .iter()
            .map(|one| one.signature_alg_id())
            .collect::<Vec<_>>()
    };
    #[expect(deprecated, reason = "the library may still give it")]
    let mut errors = vec![
        Certificate::BadEncoding,
        Certificate::Expired,
        Certificate::ExpiredContext { time, not_after: time },
        Certificate::NotValidYet,
        Certificate::NotValidYetContext { time, not_before: time },
        Certificate::Revoked,
        Certificate::UnhandledCriticalExtension,
        Certificate::UnknownIssuer,
        Certificate::UnknownRevocationStatus,
        Certificate::ExpiredRevocationList,
        Certificate::ExpiredRevocationListContext { time, next_update: time },
        Certificate::BadSignature,
        Certificate::UnsupportedSignatureAlgorithm,
        Certificate::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![42, 134, 72],
            supported_algorithms: algorithms,
        },
        Certificate::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: vec![42, 134, 72],
            public_key_algorithm_id: vec![42, 134],
        },
        Certificate::NotValidForName,
        Certificate::NotValidForNameContext {
            expected: "vc01.test".try_into().unwrap(),
            presented: vec!["DnsName(\"a.test\")".into(), "Unsupported(0x01)".into()],
        },
        Certificate::InvalidPurpose,
        Certificate::InvalidPurposeContext {
            required: ExtendedKeyPurpose::ServerAuth,
            presented: vec![ExtendedKeyPurpose::Other(vec![1, 3, 6])],
        },
        Certificate::InvalidOcspResponse,
        Certificate::ApplicationVerificationFailure,
    ];
    errors.extend(rules.map(|rule| Certificate::Other(other(rule))));
    errors
}

fn errors() -> Vec<Error> {
    let mut errors = vec![
        Error::InappropriateMessage {
            expect_types: vec![ContentType::Alert],
            got_type: ContentType::Handshake,
        },
        Error::InappropriateHandshakeMessage {
            expect_types: vec![HandshakeType::ServerHello],
            got_type: HandshakeType::Unknown(99),
        },
        Error::NoCertificatesPresented,
        Error::UnsupportedNameType,
        Error::DecryptError,
        Error::EncryptError,
        Error::General("failed to parse private key as RSA, ECDSA, or EdDSA".into()),
        Error::FailedToGetCurrentTime,
        Error::FailedToGetRandomBytes,
        Error::HandshakeNotComplete,
        Error::PeerSentOversizedRecord,
        Error::NoApplicationProtocol,
        Error::BadMaxFragmentSize,
        Error::Other(other("SomethingNew")),
    ];
    errors.extend(certificate_errors().into_iter().map(Error::from));
    errors.extend((0..=255).map(|number| Error::AlertReceived(AlertDescription::from(number))));
    errors.extend([InconsistentKeys::KeyMismatch, InconsistentKeys::Unknown].map(Error::from));
    errors.extend(
        [
            EncryptedClientHelloError::InvalidConfigList,
            EncryptedClientHelloError::NoCompatibleConfig,
            EncryptedClientHelloError::SniRequired,
        ]
        .map(Error::from),
    );
    errors.extend(
        [
            List::BadSignature,
            List::InvalidCrlNumber,
            List::InvalidRevokedCertSerialNumber,
            List::IssuerInvalidForCrl,
            List::Other(other("SomethingNew")),
            List::ParseError,
            List::UnsupportedCrlVersion,
            List::UnsupportedCriticalExtension,
            List::UnsupportedDeltaCrl,
            List::UnsupportedIndirectCrl,
            List::UnsupportedRevocationReason,
        ]
        .map(Error::from),
    );
    errors.extend(INCOMPATIBLE.iter().cloned().map(Error::from));
    errors.push(Incompatible::ServerRejectedEncryptedClientHello(None).into());
    errors.extend(MISBEHAVED.iter().cloned().map(Error::from));
    errors.extend(MESSAGES.iter().copied().map(Error::from));
    errors
}

const INCOMPATIBLE: &[Incompatible] = &[
    Incompatible::EcPointsExtensionRequired,
    Incompatible::ExtendedMasterSecretExtensionRequired,
    Incompatible::IncorrectCertificateTypeExtension,
    Incompatible::KeyShareExtensionRequired,
    Incompatible::NamedGroupsExtensionRequired,
    Incompatible::NoCertificateRequestSignatureSchemesInCommon,
    Incompatible::NoCipherSuitesInCommon,
    Incompatible::NoEcPointFormatsInCommon,
    Incompatible::NoKxGroupsInCommon,
    Incompatible::NoSignatureSchemesInCommon,
    Incompatible::NullCompressionRequired,
    Incompatible::ServerDoesNotSupportTls12Or13,
    Incompatible::ServerSentHelloRetryRequestWithUnknownExtension,
    Incompatible::ServerTlsVersionIsDisabledByOurConfig,
    Incompatible::SignatureAlgorithmsExtensionRequired,
    Incompatible::SupportedVersionsExtensionRequired,
    Incompatible::Tls12NotOffered,
    Incompatible::Tls12NotOfferedOrEnabled,
    Incompatible::Tls13RequiredForQuic,
    Incompatible::UncompressedEcPointsRequired,
    Incompatible::UnsolicitedCertificateTypeExtension,
];

const MISBEHAVED: &[Misbehaved] = &[
    Misbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported,
    Misbehaved::BadCertChainExtensions,
    Misbehaved::CipherSuiteDifferedOnRetry,
    Misbehaved::DisallowedEncryptedExtension,
    Misbehaved::DuplicateClientHelloExtensions,
    Misbehaved::DuplicateEncryptedExtensions,
    Misbehaved::DuplicateHelloRetryRequestExtensions,
    Misbehaved::DuplicateNewSessionTicketExtensions,
    Misbehaved::DuplicateServerHelloExtensions,
    Misbehaved::DuplicateServerNameTypes,
    Misbehaved::EarlyDataAttemptedInSecondClientHello,
    Misbehaved::EarlyDataExtensionWithoutResumption,
    Misbehaved::EarlyDataOfferedWithVariedCipherSuite,
    Misbehaved::EchAcceptanceVariedAfterRetry,
    Misbehaved::HandshakeHashVariedAfterRetry,
    Misbehaved::IllegalHelloRetryRequestWithEmptyCookie,
    Misbehaved::IllegalHelloRetryRequestWithNoChanges,
    Misbehaved::IllegalHelloRetryRequestWithOfferedGroup,
    Misbehaved::IllegalHelloRetryRequestWithUnofferedCipherSuite,
    Misbehaved::IllegalHelloRetryRequestWithUnofferedNamedGroup,
    Misbehaved::IllegalHelloRetryRequestWithUnsupportedVersion,
    Misbehaved::IllegalHelloRetryRequestWithWrongSessionId,
    Misbehaved::IllegalHelloRetryRequestWithInvalidEch,
    Misbehaved::IllegalMiddleboxChangeCipherSpec,
    Misbehaved::IllegalTlsInnerPlaintext,
    Misbehaved::IncorrectBinder,
    Misbehaved::InvalidCertCompression,
    Misbehaved::InvalidMaxEarlyDataSize,
    Misbehaved::InvalidKeyShare,
    Misbehaved::KeyEpochWithPendingFragment,
    Misbehaved::KeyUpdateReceivedInQuicConnection,
    Misbehaved::MessageInterleavedWithHandshakeMessage,
    Misbehaved::MissingBinderInPskExtension,
    Misbehaved::MissingKeyShare,
    Misbehaved::MissingPskExtensionInSecondClientHello,
    Misbehaved::MissingPskModesExtension,
    Misbehaved::MissingQuicTransportParameters,
    Misbehaved::OfferedDuplicateCertificateCompressions,
    Misbehaved::OfferedDuplicateKeyShares,
    Misbehaved::OfferedEarlyDataWithOldProtocolVersion,
    Misbehaved::OfferedEmptyApplicationProtocol,
    Misbehaved::OfferedIncorrectCompressions,
    Misbehaved::PskExtensionMustBeLast,
    Misbehaved::PskExtensionWithMismatchedIdsAndBinders,
    Misbehaved::RefusedToFollowHelloRetryRequest,
    Misbehaved::RejectedEarlyDataInterleavedWithHandshakeMessage,
    Misbehaved::ResumptionAttemptedWithVariedEms,
    Misbehaved::ResumptionOfferedWithVariedCipherSuite,
    Misbehaved::ResumptionOfferedWithVariedEms,
    Misbehaved::ResumptionOfferedWithIncompatibleCipherSuite,
    Misbehaved::SelectedDifferentCipherSuiteAfterRetry,
    Misbehaved::SelectedInvalidPsk,
    Misbehaved::SelectedTls12UsingTls13VersionExtension,
    Misbehaved::SelectedUnofferedApplicationProtocol,
    Misbehaved::SelectedUnofferedCertCompression,
    Misbehaved::SelectedUnofferedCipherSuite,
    Misbehaved::SelectedUnofferedCompression,
    Misbehaved::SelectedUnofferedKxGroup,
    Misbehaved::SelectedUnofferedPsk,
    Misbehaved::SelectedUnusableCipherSuiteForVersion,
    Misbehaved::ServerEchoedCompatibilitySessionId,
    Misbehaved::ServerHelloMustOfferUncompressedEcPoints,
    Misbehaved::ServerNameDifferedOnRetry,
    Misbehaved::ServerNameMustContainOneHostName,
    Misbehaved::SignedKxWithWrongAlgorithm,
    Misbehaved::SignedHandshakeWithUnadvertisedSigScheme,
    Misbehaved::TooManyEmptyFragments,
    Misbehaved::TooManyKeyUpdateRequests,
    Misbehaved::TooManyRenegotiationRequests,
    Misbehaved::TooManyWarningAlertsReceived,
    Misbehaved::TooMuchEarlyDataReceived,
    Misbehaved::UnexpectedCleartextExtension,
    Misbehaved::UnsolicitedCertExtension,
    Misbehaved::UnsolicitedEncryptedExtension,
    Misbehaved::UnsolicitedSctList,
    Misbehaved::UnsolicitedServerHelloExtension,
    Misbehaved::WrongGroupForKeyShare,
    Misbehaved::UnsolicitedEchExtension,
];

const MESSAGES: &[Message] = &[
    Message::CertificatePayloadTooLarge,
    Message::HandshakePayloadTooLarge,
    Message::InvalidCcs,
    Message::InvalidContentType,
    Message::InvalidCertificateStatusType,
    Message::InvalidCertRequest,
    Message::InvalidDhParams,
    Message::InvalidEmptyPayload,
    Message::InvalidKeyUpdate,
    Message::InvalidServerName,
    Message::MessageTooLarge,
    Message::MessageTooShort,
    Message::MissingKeyExchange,
    Message::NoSignatureSchemes,
    Message::UnknownProtocolVersion,
    Message::UnsupportedCompression,
    Message::UnsupportedCurveType,
    Message::EmptyTicketValue,
    Message::IllegalEmptyValue,
    Message::PreSharedKeyIsNotFinalExtension,
    Message::UnknownHelloRetryRequestExtension,
    Message::UnknownCertificateExtension,
    Message::MissingData("ServerHello"),
    Message::TrailingData("ServerHello"),
    Message::UnexpectedMessage("Finished"),
    Message::IllegalEmptyList("CipherSuites"),
    Message::DuplicateExtension(7),
];

/// A name in code, such as `UnknownIssuer` or `Some(..)`.
fn code_in(text: &str) -> Option<&str> {
    let text = text.split([' ', ',', ':', '/']);
    text.into_iter().find(|word| {
        let letters: Vec<char> = word.chars().collect();
        let humped = letters.windows(2).any(|pair| pair[0].is_lowercase() && pair[1].is_uppercase());
        !["ChaCha20", "tls.server_name"].contains(word)
            && (humped || word.contains(['[', '{', '_', '\\']) || word.contains("(\""))
    })
}

#[test]
fn no_error_is_told_in_the_words_of_code() {
    let errors = errors();
    assert!(400 < errors.len(), "{}", errors.len());
    for error in errors {
        let text = words(&error);
        assert_eq!(code_in(&text), None, "{error:?}: {text}");
        assert!(text.chars().count() <= 160, "{text}");
        assert!(
            !text.contains("for a reason without a name")
                || matches!(error, Error::General(_) | Error::Other(_))
        );
        assert!(!text.contains(&error.to_string()) && !text.ends_with('.'), "{error:?}: {text}");
    }
    assert_eq!(code_in("received fatal alert: HandshakeFailure"), Some("HandshakeFailure"));
    assert_eq!(code_in("names [Unsupported(0x01)]"), Some("[Unsupported(0x01)]"));
}

#[test]
fn alerts_have_their_names() {
    assert_eq!(name_of(AlertDescription::CertificateRequired), "alert \"certificate required\"");
    assert_eq!(name_of(AlertDescription::Unknown(200)), "alert number 200");
    for number in 0..=255 {
        let alert = AlertDescription::from(number);
        let is_known = !matches!(alert, AlertDescription::Unknown(_));
        assert_eq!(is_known, !name_of(alert).contains("number"), "{alert:?}");
    }
}
