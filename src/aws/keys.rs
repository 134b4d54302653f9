//! The keys that sign requests. Pure.

use std::fmt;

use jiff::Timestamp;

use crate::config::secret::Secret;

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

/// Keys in the file; without them the AWS credential chain is asked.
#[derive(Clone, Debug)]
pub(crate) struct AwsKeys {
    pub(crate) access_key_id: Secret,
    pub(crate) secret_access_key: Secret,
    /// `session_token`, of temporary keys.
    pub(crate) session_token: Option<Secret>,
}
