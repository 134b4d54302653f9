//! What a failed call means: the kinds of failure, how to go on after each, and what to do about it.

use std::fmt::Display;

use super::soap::{self, AnswerError, Fault};
use crate::error::Error;
use crate::http::client::{SendError, SendErrorKind};
use crate::source::SourceFailure;
use crate::vim;

/// Why a call gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The server refused it.
    Fault(Fault),
    /// An HTTP status other than that of an answer or a fault, and what came with it.
    Status(u16, String),
    /// A redirection to another address.
    Redirect(String),
    /// The peer speaks, but not SOAP.
    NotSoap(String),
    /// A server of the same API that is no vCenter: what it says that it is.
    NotVcenter(String),
    /// The answer breaks off, lacks what it must have, or answers something else.
    Garbled(Error),
    /// The answer is larger than so many bytes; how it begins, if it is one.
    TooLarge(usize, Vec<u8>),
    /// Connection, TLS, deadline.
    Transport(Error),
    /// The address cannot be used.
    Unusable(Error),
}

/// What an HTTP status other than 200 means. A fault comes as 500 with a SOAP body.
pub(super) fn refusal(status: u16, location: Option<&str>, body: &[u8]) -> CallError {
    if (300..400).contains(&status) {
        return CallError::Redirect(soap::shorten(location.unwrap_or("nowhere")));
    }
    match soap::content(body) {
        Err(AnswerError::Fault(fault)) => CallError::Fault(fault),
        Err(AnswerError::NotSoap(said)) => CallError::Status(status, said),
        _ => CallError::Status(status, "no SOAP fault".into()),
    }
}

impl From<SendError> for CallError {
    fn from(error: SendError) -> CallError {
        match error.kind {
            SendErrorKind::Request => CallError::Unusable(error.error),
            _ => CallError::Transport(error.error),
        }
    }
}

impl From<AnswerError> for CallError {
    fn from(error: AnswerError) -> CallError {
        match error {
            AnswerError::Fault(fault) => CallError::Fault(fault),
            AnswerError::NotSoap(said) => CallError::NotSoap(said),
            AnswerError::NotVcenter(what) => CallError::NotVcenter(what),
            AnswerError::Garbled(error) => CallError::Garbled(error),
        }
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> CallError {
        CallError::Garbled(error)
    }
}

impl CallError {
    /// Whether the fault is of this type, or of one that inherits from it.
    pub(crate) fn is_fault(&self, ty: &str) -> bool {
        matches!(self, CallError::Fault(fault) if fault.is(ty))
    }

    /// The server does not do this for us, and will not next time.
    pub(crate) fn is_refusal(&self) -> bool {
        self.failure() == SourceFailure::Misconfigured
    }

    /// The session is certainly gone, or nothing can be said to the server: giving back more is
    /// pointless.
    pub(crate) fn ends_session(&self) -> bool {
        self.is_fault("NotAuthenticated") || !matches!(self, CallError::Fault(_))
    }

    /// How to go on after this.
    pub(crate) fn failure(&self) -> SourceFailure {
        match self {
            CallError::Fault(fault) => fault_failure(&fault.ty),
            CallError::Redirect(_)
            | CallError::NotSoap(_)
            | CallError::NotVcenter(_)
            | CallError::Unusable(_) => SourceFailure::Misconfigured,
            CallError::Status(..)
            | CallError::Garbled(_)
            | CallError::TooLarge(..)
            | CallError::Transport(_) => SourceFailure::Lost,
        }
    }
}

/// The types that stand here are decided by contract, and with each of them what inherits from it, as the
/// schema knows it; what is unknown is taken as passing.
fn fault_failure(ty: &str) -> SourceFailure {
    let decided = |ty| match ty {
        "InvalidLogin" => Some(SourceFailure::LoginRefused),
        "NoPermission" | "InvalidRequest" | "NotSupported" | "NotImplemented" | "InvalidArgument"
        | "InvalidLocale" | "NotEnoughLicenses" | "RestrictedVersion" => Some(SourceFailure::Misconfigured),
        // A session that is gone is no matter of rights, although it inherits from `NoPermission`.
        "NotAuthenticated" => Some(SourceFailure::Lost),
        _ => None,
    };
    vim::lineage(ty).find_map(decided).unwrap_or(SourceFailure::Lost)
}

impl Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CallError::Fault(fault) => {
                write!(f, "{fault}")?;
                fault_cure(&fault.ty).map_or(Ok(()), |cure| write!(f, "; {cure}"))
            }
            CallError::Status(status @ (401 | 403), said) => {
                write!(f, "HTTP {status} with {said}; something in front of vCenter refuses the request")
            }
            CallError::Status(status @ 500.., said) => {
                write!(f, "HTTP {status} with {said}; vCenter or its proxy is not ready")
            }
            CallError::Status(status, said) => {
                write!(f, "HTTP {status} with {said}; this is no vCenter, or it is still starting")
            }
            CallError::Redirect(to) => {
                write!(
                    f,
                    "the server redirects to {to}; set the source's address to where vCenter itself answers"
                )
            }
            CallError::NotSoap(said) => {
                write!(
                    f,
                    "not a vCenter: it answered with {said}; the address must be that of a vCenter, https://HOST/sdk"
                )
            }
            CallError::NotVcenter(what) => {
                write!(
                    f,
                    "not a vCenter: it is {what}; the address must be that of a vCenter, https://HOST/sdk"
                )
            }
            CallError::Garbled(error) => write!(f, "the answer cannot be read: {error}"),
            CallError::TooLarge(bytes, _) => write!(f, "the answer is larger than {} MiB", bytes >> 20),
            CallError::Transport(error) | CallError::Unusable(error) => write!(f, "{error}"),
        }
    }
}

/// What to do about a fault, where that is not "wait".
fn fault_cure(ty: &str) -> Option<&'static str> {
    vim::lineage(ty).find_map(|ty| {
        Some(match ty {
            "InvalidLogin" => {
                "check username and password of the source, and whether the account is locked or its password expired"
            }
            "NotAuthenticated" => "the session is gone",
            "NoPermission" => {
                "give the account a role with System.View and System.Read on the root folder, propagated to its children"
            }
            "ManagedObjectNotFound" => "the collector is gone, and probably the session with it",
            "InvalidRequest" | "NotSupported" | "NotImplemented" => {
                "the server lacks what every vCenter since 6.0 has; is the address that of a vCenter and not of a host?"
            }
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_and_statuses_say_how_to_go_on() {
        let fault = |ty: &str| {
            let body = format!(
                r#"<s:Envelope xmlns:s="x" xmlns:i="y"><s:Body><s:Fault><faultcode>ServerFaultCode</faultcode>
                <faultstring>Gesperrt.</faultstring><detail><XFault i:type="vim25:{ty}"/></detail></s:Fault></s:Body></s:Envelope>"#
            );
            refusal(500, None, body.as_bytes())
        };
        use SourceFailure::{LoginRefused, Lost, Misconfigured};
        for (error, failure) in [
            (fault("NotAuthenticated"), Lost),
            (fault("ManagedObjectNotFound"), Lost),
            (fault("InvalidState"), Lost),
            (fault("RequestCanceled"), Lost),
            (fault("SystemError"), Lost),
            (fault("FaultOfTheFuture"), Lost),
            (fault("InvalidLogin"), LoginRefused),
            (fault("PasswordExpired"), LoginRefused),
            (fault("InvalidClientCertificate"), LoginRefused),
            (fault("LicenseExpired"), Misconfigured),
            (fault("InvalidType"), Misconfigured),
            (fault("InvalidIndexArgument"), Misconfigured),
            (fault("HostAccessRestrictedToManagementServer"), Misconfigured),
            (fault("VramLimitLicense"), Misconfigured),
            (fault("InvalidPowerState"), Lost),
            (fault("NoPermission"), Misconfigured),
            (fault("InvalidRequest"), Misconfigured),
            (fault("MethodNotFound"), Misconfigured),
            (refusal(401, None, b""), Lost),
            (refusal(403, None, b"<html>no</html>"), Lost),
            (refusal(503, None, b"Failed to connect to endpoint"), Lost),
            (refusal(404, None, b"<html><title>404</title></html>"), Lost),
            (refusal(500, None, b"<soap"), Lost),
            (refusal(301, Some("https://vc/ui"), b""), Misconfigured),
            (CallError::NotSoap("an HTML page".into()), Misconfigured),
        ] {
            assert_eq!(error.failure(), failure, "{error}");
        }
        for (ty, base, is_one) in [
            ("IncompatibleSetting", "InvalidArgument", true),
            ("InvalidPowerState", "InvalidState", true),
            ("NotAuthenticated", "NoPermission", true),
            ("NotAuthenticated", "NotAuthenticated", true),
            ("FaultOfTheFuture", "FaultOfTheFuture", true),
            ("InvalidArgument", "IncompatibleSetting", false),
            ("InvalidState", "InvalidArgument", false),
            ("", "InvalidState", false),
        ] {
            assert_eq!(fault(ty).is_fault(base), is_one, "{ty} is {base}");
        }
        assert!(!CallError::NotSoap("InvalidState".into()).is_fault("InvalidState"));
        let expired = fault("PasswordExpired").to_string();
        assert!(
            expired.starts_with("PasswordExpired") && expired.contains("its password expired"),
            "{expired}"
        );
        assert_eq!(
            fault("InvalidState").to_string(),
            "InvalidState \"Gesperrt.\"",
            "the type decides, the localised text is shown"
        );
        assert!(
            refusal(503, None, b"Failed to connect")
                .to_string()
                .starts_with("HTTP 503 with the text \"Failed")
        );
    }
}
