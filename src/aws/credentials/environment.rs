//! What the surroundings of the process give: environment variables, and the token files they name.

use std::fmt;
use std::sync::Arc;

use crate::config::secret::Secret;
use crate::error::Result;

/// The environment variables of the process; blank ones count as unset.
#[derive(Clone)]
pub(crate) struct Environment {
    lookup: Arc<Lookup>,
}

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// Asks `lookup`.
    pub(crate) fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Environment {
        Environment { lookup: Arc::new(lookup) }
    }

    /// The variables of this process.
    pub(crate) fn of_process() -> Environment {
        Environment::new(|name| std::env::var(name).ok())
    }

    /// A variable that is set and not blank.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_string()).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("environment")
    }
}

/// The token in a file, which its owner writes anew before it ends.
pub(super) fn read_token(file: &str) -> Result<String> {
    let token = Secret::File(file.into()).read()?;
    Ok(token.trim().to_string())
}
