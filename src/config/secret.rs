//! Secrets: never printed, and read again each time they are needed, so that a rotated password
//! takes effect without a restart.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use crate::error::{Context, Error, Result, io_text};

/// Where a secret comes from.
#[derive(Clone)]
pub enum Secret {
    /// Written in the file itself.
    Literal(String),
    /// The content of a file, without the newline at its end.
    File(PathBuf),
    /// The value of an environment variable.
    Env(String),
    /// As the configuration says it now: it may be read again while the router runs.
    Live(LiveSecret),
}

/// One of a running configuration. Clones are the same one.
#[derive(Clone)]
pub struct LiveSecret(Arc<RwLock<Secret>>);

impl LiveSecret {
    /// At first it comes from there.
    pub(crate) fn new(origin: Secret) -> LiveSecret {
        LiveSecret(Arc::new(RwLock::new(origin.origin())))
    }

    /// From now on it comes from there; true when that is elsewhere or something else.
    pub(crate) fn replace(&self, origin: &Secret) -> bool {
        let origin = origin.origin();
        let mut current = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let changed = *current != origin;
        *current = origin;
        changed
    }
}

impl fmt::Debug for LiveSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Secret::Live(self.clone()).origin().fmt(f)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        match (self.origin(), other.origin()) {
            (Secret::Literal(a), Secret::Literal(b)) | (Secret::Env(a), Secret::Env(b)) => a == b,
            (Secret::File(a), Secret::File(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Secret {}

impl Secret {
    /// Where it comes from at this moment: never a live one.
    pub(crate) fn origin(&self) -> Secret {
        match self {
            Secret::Live(LiveSecret(origin)) => {
                origin.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
            }
            other => other.clone(),
        }
    }

    /// The secret as it is now.
    ///
    /// # Errors
    /// When the file cannot be read, is not UTF-8, or the variable is not set.
    pub(crate) fn read(&self) -> Result<String> {
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
            Secret::Live(_) => self.origin().read_with(environment),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Literal(_) => f.write_str("***"),
            Secret::File(path) => write!(f, "file {}", path.display()),
            Secret::Env(name) => write!(f, "env {name}"),
            Secret::Live(_) => self.origin().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_secret_follows_what_the_configuration_says() {
        let literal = |text: &str| Secret::Literal(text.into());
        let live = LiveSecret::new(literal("old"));
        let used = Secret::Live(live.clone());
        assert_eq!((used.read().unwrap().as_str(), &used), ("old", &literal("old")));
        assert!(!live.replace(&literal("old")));
        assert!(live.replace(&Secret::Live(LiveSecret::new(literal("new")))));
        assert_eq!(used.read().unwrap(), "new");
        assert!(live.replace(&Secret::File("new".into())));
        assert_eq!(format!("{used:?}"), "file new");
        assert_ne!(used, literal("new"));
    }
}
