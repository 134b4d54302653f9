//! What keeps the leases and records of a cluster.

use std::time::Duration;

use super::lease::{Call, Kept, Lease, Reply, Subject, Version};
use crate::error::Error;

/// A store that replaces an object only where it still has the version that was seen.
pub(crate) trait Engine: Send + Sync {
    /// All leases of the cluster; they may be a little old.
    ///
    /// # Errors
    /// When there is no answer, or a refusal.
    fn list(&self) -> Result<Vec<(Subject, Kept<Lease>)>, Trouble>;

    /// One call about a route or member.
    ///
    /// # Errors
    /// When nobody knows whether a write was done, or what there is to read.
    fn ask(&self, subject: &Subject, call: &Call) -> Result<Reply, Trouble>;

    /// Removes a lease of this version.
    ///
    /// # Errors
    /// When there is no answer, or a refusal.
    fn forget(&self, subject: &Subject, version: &Version) -> Result<(), Trouble>;

    /// Waits, for a minute at most, until a route may have become free since leases were listed; true when
    /// one has.
    ///
    /// # Errors
    /// When that cannot be waited for.
    fn wake(&self) -> Result<bool, Trouble>;

    /// Where the record of a route is, for people.
    fn place(&self, subject: &Subject) -> String;

    /// Where all of it is, for people.
    fn home(&self) -> String;

    /// What this router may not do of what a member does.
    ///
    /// # Errors
    /// When there is no answer, or another refusal.
    fn missing_rights(&self) -> Result<Vec<String>, Trouble>;
}

/// Why the engine gives no answer.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// A bounded word.
    pub(crate) reason: &'static str,
    /// For the operator.
    pub(crate) error: Error,
    /// It asks not to be asked before.
    pub(crate) wait: Duration,
}
