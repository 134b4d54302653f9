//! Amazon Web Services, as far as a sink needs them: keys, signatures, addresses, refusals.

pub(crate) mod arn;
pub(crate) mod clock;
pub(crate) mod credentials;
pub(crate) mod endpoint;
pub mod keys;
pub(crate) mod refusal;
pub mod sign;
