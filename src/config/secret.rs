//! Secrets: never printed, and read again each time they are needed, so that a rotated password
//! takes effect without a restart.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Context, Error, Result, io_text};

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Written in the file itself.
    Literal(String),
    /// The content of a file, without the newline at its end.
    File(PathBuf),
    /// The value of an environment variable.
    Env(String),
}

impl Secret {
    /// The secret as it is now.
    ///
    /// # Errors
    /// When the file cannot be read, is not UTF-8, or the variable is not set.
    pub fn read(&self) -> Result<String> {
        self.read_with(&|name| std::env::var(name).ok())
    }

    /// The same, with environment variables asked of `environment`.
    pub(super) fn read_with(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<String> {
        match self {
            Secret::Literal(text) => Ok(text.clone()),
            Secret::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| io_text(&error))
                    .context(|| format!("read secret file {}", path.display()))?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Ok(text.strip_suffix('\r').unwrap_or(text).to_string())
            }
            Secret::Env(name) => environment(name)
                .ok_or_else(|| Error::new(format!("environment variable {name} is not set or not UTF-8"))),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Literal(_) => f.write_str("***"),
            Secret::File(path) => write!(f, "file {}", path.display()),
            Secret::Env(name) => write!(f, "env {name}"),
        }
    }
}
