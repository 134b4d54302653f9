//! What the error codes of AWS mean for an event. Pure.
//!
//! A code that is about the event makes it a dead letter. A code that is about the router's
//! credentials or rights is no fault of the event: it waits, and an operator is told.

use std::time::Duration;

use crate::aws::clock::is_complaint;
use crate::http::answer::{StatusClass, class_of};
use crate::limits::{DENIED_WAIT, THROTTLED_WAIT_MAX, THROTTLED_WAIT_MIN};

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Send again.
    Later,
    /// Send again, but with longer waits.
    Throttled,
    /// Send again with fresh credentials.
    Credentials,
    /// Send again with the clock of the answer.
    Skew,
    /// A person must act first; then send again.
    Denied,
    /// The same request will be refused again.
    Never,
}

/// Codes that ask for less: the list of AWS's own SDKs (`aws-runtime`, retry classifiers).
const THROTTLING: [&str; 14] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "RequestThrottled",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "SlowDown",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "EC2ThrottledException",
];

/// Judges the error code of one entry of a 200.
pub(crate) fn classify_entry(code: &str) -> (Class, &'static str) {
    match code {
        _ if THROTTLING.contains(&code) => (Class::Throttled, "throttled"),
        "InternalFailure" | "InternalException" | "ServiceUnavailable" => (Class::Later, "internal"),
        "AccessDeniedException"
        | "NotAuthorizedForSourceException"
        | "NotAuthorizedForDetailTypeException" => (Class::Never, "denied"),
        _ => (Class::Never, "refused"),
    }
}

/// Judges a whole request by its status (not 200), the error code if there is one, and the message.
pub(crate) fn classify_request(status: u16, code: &str, message: &str) -> (Class, &'static str) {
    match code {
        _ if THROTTLING.contains(&code) || status == 429 => (Class::Throttled, "throttled"),
        "RequestTimeout" | "RequestTimeoutException" | "InternalException" | "InternalFailure" => {
            (Class::Later, "internal")
        }
        "ServiceUnavailable" | "ServiceUnavailableException" => (Class::Later, "internal"),
        "ExpiredTokenException" | "ExpiredToken" | "UnrecognizedClientException" | "InvalidClientTokenId" => {
            (Class::Credentials, "credentials")
        }
        _ if is_complaint(code, message) => (Class::Skew, "clock"),
        "InvalidSignatureException" | "SignatureDoesNotMatch" => (Class::Denied, "signature"),
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" => {
            (Class::Denied, "denied")
        }
        "IncompleteSignature" | "MissingAuthenticationToken" | "MissingAuthenticationTokenException" => {
            (Class::Denied, "credentials")
        }
        "ResourceNotFoundException" => (Class::Denied, "missing"),
        _ if 500 <= status || matches!(status, 408 | 425) => (Class::Later, "internal"),
        _ if status == 413 => (Class::Never, "oversize"),
        _ => match class_of(status) {
            StatusClass::Event => (Class::Never, "refused"),
            StatusClass::Sender => (Class::Denied, "refused sender"),
            // EventBridge answers nothing else without a code.
            _ if code.is_empty() => (Class::Denied, "endpoint"),
            _ => (Class::Never, "refused"),
        },
    }
}

/// The least wait before the next attempt, if more than the route's own. `jitter` spreads the waits
/// of events that failed together.
pub(crate) fn wait_of(class: Class, attempts: u32, jitter: f64) -> Option<Duration> {
    match class {
        Class::Throttled => {
            let doubled = THROTTLED_WAIT_MIN.saturating_mul(1 << attempts.min(10));
            Some(doubled.min(THROTTLED_WAIT_MAX).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0))
        }
        Class::Denied | Class::Credentials | Class::Skew => Some(DENIED_WAIT),
        Class::Later | Class::Never => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_entries() {
        for (code, class) in [
            ("ThrottlingException", Class::Throttled),
            ("InternalFailure", Class::Later),
            ("InternalException", Class::Later),
            ("AccessDeniedException", Class::Never),
            ("InvalidAccountIdException", Class::Never),
            ("InvalidArgument", Class::Never),
            ("MalformedDetail", Class::Never),
            ("RedactionFailure", Class::Never),
            ("NotAuthorizedForSourceException", Class::Never),
            ("NotAuthorizedForDetailTypeException", Class::Never),
        ] {
            assert_eq!(classify_entry(code).0, class, "{code}");
        }
    }

    #[test]
    fn codes_of_requests() {
        for (status, code, message, class) in [
            (400, "ThrottlingException", "Rate exceeded", Class::Throttled),
            (503, "SlowDown", "", Class::Throttled),
            (429, "", "", Class::Throttled),
            (500, "", "", Class::Later),
            (502, "x", "", Class::Later),
            (503, "ServiceUnavailable", "", Class::Later),
            (400, "RequestTimeout", "", Class::Later),
            (408, "", "", Class::Later),
            (400, "ExpiredTokenException", "", Class::Credentials),
            (403, "InvalidClientTokenId", "", Class::Credentials),
            (400, "UnrecognizedClientException", "", Class::Credentials),
            (400, "InvalidSignatureException", "Signature expired: 2026 is now earlier than", Class::Skew),
            (400, "InvalidSignatureException", "Signature not yet current", Class::Skew),
            (403, "RequestTimeTooSkewed", "", Class::Skew),
            (400, "InvalidSignatureException", "The request signature we calculated", Class::Denied),
            (403, "SignatureDoesNotMatch", "", Class::Denied),
            (400, "AccessDeniedException", "User: x is not authorized", Class::Denied),
            (400, "ResourceNotFoundException", "Event bus x does not exist.", Class::Denied),
            (400, "MissingAuthenticationToken", "", Class::Denied),
            (404, "", "<html>", Class::Denied),
            (302, "", "", Class::Denied),
            (400, "ValidationException", "", Class::Never),
            (400, "SomethingNew", "", Class::Never),
            (400, "", "", Class::Never),
            (413, "", "", Class::Never),
            (422, "", "", Class::Never),
            (403, "SomethingNew", "", Class::Denied),
            (407, "", "", Class::Denied),
            (409, "SomethingNew", "", Class::Never),
        ] {
            assert_eq!(classify_request(status, code, message).0, class, "{status} {code} {message}");
        }
    }

    #[test]
    fn throttling_waits_longer_each_time() {
        let waits: Vec<u64> =
            (0..8).map(|n| wait_of(Class::Throttled, n, 1.0).unwrap().as_millis() as u64).collect();
        assert!(waits.is_sorted() && waits[0] == THROTTLED_WAIT_MIN.as_millis() as u64, "{waits:?}");
        assert_eq!(waits[7], THROTTLED_WAIT_MAX.as_millis() as u64);
        assert_eq!(wait_of(Class::Later, 3, 0.0), None);
    }
}
