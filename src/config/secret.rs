//! Secrets: never printed, and read again each time they are needed, so that a rotated password
//! takes effect without a restart.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use crate::error::{Context, Error, Result};
use crate::limits::SECRET_BYTES_MAX;
use crate::owned;
use crate::plain_file;
use crate::text_file::text_of;

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

/// What a command does with secrets: one that needs none runs where they cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SecretUse {
    /// It uses them: one that cannot be read is a problem of the file.
    #[default]
    Needed,
    /// It only looks at the file: one that systemd gives to the service alone is worth a warning.
    Checked,
    /// It uses none.
    Unused,
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
        let mut current = crate::sync::unpoisoned(self.0.write());
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
    fn origin(&self) -> Secret {
        match self {
            Secret::Live(LiveSecret(origin)) => crate::sync::unpoisoned(origin.read()).clone(),
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

    /// The same, byte for byte, for a certificate or a key.
    ///
    /// # Errors
    /// When the file cannot be read, or the variable is not set.
    pub(crate) fn read_bytes(&self) -> Result<Vec<u8>> {
        match self.origin() {
            Secret::File(path) => crate::pem::read_file(&path).context(|| format!("read {}", path.display())),
            other => other.read().map(String::into_bytes),
        }
    }

    /// Its name in commands that a message tells: that of its file.
    pub(crate) fn file_name(&self) -> String {
        match self.origin() {
            Secret::File(path) => path.display().to_string(),
            _ => "FILE".to_string(),
        }
    }

    /// The same, with environment variables asked of `environment`.
    pub(crate) fn read_with(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<String> {
        match self {
            Secret::Literal(text) => Ok(text.clone()),
            Secret::File(path) => {
                let bytes = plain_file::read(path, SECRET_BYTES_MAX)
                    .map_err(|error| owned::access_text(&error, path))
                    .context(|| format!("read secret file {}", path.display()))?;
                let problem = |text: &str| Error::new(format!("secret file {} {text}", path.display()));
                match secret_text(&bytes) {
                    Ok(text) if text.is_empty() => Err(problem("is empty: write the secret into it")),
                    read => read.map_err(problem),
                }
            }
            Secret::Env(name) => match environment(name) {
                // Kubernetes hands on the line end that a secret was made with.
                Some(text) => Ok(text.trim_end_matches(['\r', '\n']).to_string()),
                None => Err(Error::new(absent_variable(name))),
            },
            Secret::Live(_) => self.origin().read_with(environment),
        }
    }
}

/// The secret that a file holds: without byte-order mark and line end, as editors write them.
///
/// # Errors
/// What is wrong with it, where it is not certain what the secret is.
fn secret_text(bytes: &[u8]) -> std::result::Result<String, &'static str> {
    let text = text_of(bytes).map_err(|not| not.reason)?;
    // Certificates and their keys.
    if text.starts_with("-----BEGIN ") {
        return Ok(text.to_string());
    }
    let text = text.trim_end_matches(['\r', '\n']);
    if text.contains(['\r', '\n']) {
        return Err("holds more than one line: leave only the secret");
    }
    let is_blank = |c: char| c.is_whitespace() || "\u{200b}\u{feff}".contains(c);
    if text.starts_with(is_blank) || text.ends_with(is_blank) {
        return Err(
            "begins or ends with a blank: take it off (a secret that really has one can be given by `env`)",
        );
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character: write the secret again");
    }
    Ok(text.to_string())
}

/// Why a variable gives no secret, and what does.
fn absent_variable(name: &str) -> String {
    let bare = name.trim_matches(['$', '{', '}', '%']);
    if bare != name && !bare.is_empty() {
        return format!("the name of an environment variable is written bare: env = \"{bare}\"");
    }
    format!("environment variable {name} is not set or not UTF-8: set it where the router is started")
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
    fn a_secret_file_of_any_editor_holds_the_secret_or_says_what_is_wrong() {
        for text in ["pass", "pass\n", "pass\r\n", "\u{feff}pass\r\n", "pass\n\n"] {
            assert_eq!(secret_text(text.as_bytes()).as_deref(), Ok("pass"), "{text:?}");
        }
        assert_eq!(secret_text("pä ß".as_bytes()).as_deref(), Ok("pä ß"));
        let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert_eq!(secret_text(pem.as_bytes()).as_deref(), Ok(pem));
        let wrong: [(&[u8], &str); 10] = [
            (b"\xff\xfep\0a\0", "UTF-16"),
            (b"p\0a\0", "UTF-16"),
            (b"p\xe4", "UTF-8"),
            (b"one\ntwo", "more than one line"),
            (b"one\rtwo\n", "more than one line"),
            (b"pass \n", "blank"),
            (b"\tpass", "blank"),
            ("pass\u{a0}\n".as_bytes(), "blank"),
            ("pass\u{200b}".as_bytes(), "blank"),
            (b"pa\x08ss", "control character"),
        ];
        for (bytes, words) in wrong {
            assert!(secret_text(bytes).is_err_and(|text| text.contains(words)), "{bytes:?}");
        }
    }

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
