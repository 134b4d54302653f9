//! The faults of the vSphere API that the simulated vCenter answers with.

/// A fault of the vSphere API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The session is gone, or never was.
    NotAuthenticated,
    /// Wrong name or password, or a locked account.
    InvalidLogin,
    /// The account lacks a privilege.
    NoPermission,
    /// An object is gone: its type and value.
    ManagedObjectNotFound(String, String),
    /// Such as too many collectors.
    InvalidState,
    /// An argument, by its path.
    InvalidArgument(String),
    /// A property, by its path.
    InvalidProperty(String),
    /// The version of a long poll is unknown.
    InvalidCollectorVersion,
    /// The long poll was cancelled.
    RequestCanceled,
    /// The method is unknown or misplaced.
    InvalidRequest,
    /// The object does not do this.
    NotSupported,
    /// vCenter lost a host.
    HostCommunication,
    /// Something inside, with its reason.
    SystemError(String),
    /// The version of the API is not spoken here: the URI that was asked for.
    VersionMismatch(String),
    /// Anything: the type and the fault string. An empty type leaves `detail` empty.
    Other(String, String),
}
