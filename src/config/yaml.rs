//! YAML of files that other programs write.

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Reads a document.
///
/// # Errors
/// What is wrong with it.
pub(super) fn from_str<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::new(error.to_string()))
}
