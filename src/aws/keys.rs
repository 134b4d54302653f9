//! The keys that sign requests. Pure.

use std::fmt;

use jiff::Timestamp;

/// Keys that sign requests.
#[derive(Clone, Hash, PartialEq, Eq)]
pub struct Credentials {
    /// Names the keys.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
    /// Of temporary credentials.
    pub session_token: Option<String>,
    /// When they end, if they do.
    pub expires: Option<Timestamp>,
    /// Where they come from, for messages.
    pub origin: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "credentials from {}", self.origin)
    }
}
