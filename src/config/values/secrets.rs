//! How a secret stands in a file, and what makes one doubt that it is the secret.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::{is_absent, refuse_table};
use crate::config::control;
use crate::config::reader::Value;
use crate::config::secret::{Secret, SecretUse};

impl<'a> Value<'a> {
    /// A secret, which must be readable now.
    pub(crate) fn secret(&self) -> Option<Secret> {
        let secret = match self.get_ref() {
            DeValue::String(text) => {
                let is_name = matches!(self.name(), "username" | "access_key_id");
                let is_meant = !is_name && control::is_meant(self.written());
                if text.contains(char::is_control) && !is_meant {
                    return self.refuse(control::told(text, is_name));
                }
                self.doubt_literal(text, is_name);
                Secret::Literal(text.to_string())
            }
            DeValue::Table(_) => self.table(|table| {
                let file = table.get("file", Value::secret_path);
                let env = table.get("env", Value::variable);
                match (table.has("file"), table.has("env")) {
                    (true, false) => Some(Secret::File(file?)),
                    (false, true) => Some(Secret::Env(env?.to_string())),
                    (true, true) => refuse_table(table, "holds both `file` and `env`, expected one of them"),
                    // What is there in their place is told by itself.
                    (false, false) if !table.is_empty() => None,
                    (false, false) => refuse_table(
                        table,
                        "holds nothing, expected { file = \"PATH\" } or { env = \"NAME\" }",
                    ),
                }
            })?,
            _ => {
                self.wrong_type("a string, { file = \"PATH\" } or { env = \"NAME\" }");
                return None;
            }
        };
        let is_used = match &secret {
            Secret::Literal(_) => true,
            Secret::File(path) => self.is_file_used(path),
            _ => self.document().secret_use() != SecretUse::Unused,
        };
        if !is_used {
            return Some(self.live(secret));
        }
        match secret.read_with(&|name| self.document().environment(name)) {
            Ok(text) if text.is_empty() => self.refuse(match &secret {
                Secret::Env(name) => format!("environment variable {name} is empty: set it to the secret"),
                Secret::Literal(_) | Secret::File(_) | Secret::Live(_) => "is empty".to_string(),
            }),
            Ok(text) => {
                self.doubt_file(&secret, &text);
                Some(self.live(secret))
            }
            Err(error) => {
                let is_relative = matches!(&secret, Secret::File(path) if is_absent(path));
                let hint = if is_relative { self.document().relative_hint() } else { String::new() };
                self.refuse(format!("{error}{hint}"))
            }
        }
    }

    /// Whether the command needs what is in a file that may be a secret.
    pub(in crate::config) fn is_file_used(&self, path: &Path) -> bool {
        match self.document().secret_use() {
            SecretUse::Needed => true,
            SecretUse::Checked => !is_absent_credential(path),
            SecretUse::Unused => false,
        }
    }

    /// The name of an environment variable.
    fn variable(&self) -> Option<&'a str> {
        match self.string()? {
            "" => self.refuse("is empty, expected the name of an environment variable"),
            name => Some(name),
        }
    }

    /// Warns about a secret in the file itself that is none, or that others can read.
    fn doubt_literal(&self, text: &str, is_name: bool) {
        if let Some(doubt) = control::doubts(text, is_name) {
            return self.warning(doubt);
        }
        if is_name {
            return;
        }
        let is_path = !text.contains(char::is_whitespace) && self.document().resolve(text).is_file();
        if is_path && !text.is_empty() {
            return self.warning(control::PATH);
        }
        let file = self.document().file();
        if let Some(mode) = mode_for_others(file).filter(|_| !self.is_pod()) {
            let file = file.display();
            self.warning(format!(
                "stands in a file that every user can read (mode {mode:o}): chmod o= {file}"
            ));
        }
    }

    /// In a pod there are no others, and the mode of a mounted secret is Kubernetes' own.
    fn is_pod(&self) -> bool {
        self.document().environment("KUBERNETES_SERVICE_HOST").is_some()
    }

    /// Warns about a file that others can read, or that was never filled.
    fn doubt_file(&self, secret: &Secret, text: &str) {
        let Secret::File(path) = secret else { return };
        self.warn_about_mode(path);
        if let Some(doubt) = control::placeholder(text).or_else(|| control::wrapped(text)) {
            self.warning(format!("secret file {}: {doubt}", path.display()));
        }
    }

    /// Warns about a file that others can read.
    pub(in crate::config) fn warn_about_mode(&self, path: &Path) {
        if let Some(mode) = mode_for_others(path).filter(|_| !self.is_pod()) {
            let path = path.display();
            self.warning(format!(
                "secret file {path} can be read by every user (mode {mode:o}): chmod o= {path}"
            ));
        }
    }

    /// A path in which `$CREDENTIALS_DIRECTORY` stands for the folder in which systemd puts the
    /// credentials of a unit (systemd.exec(5), LoadCredential).
    pub(in crate::config) fn secret_path(&self) -> Option<PathBuf> {
        const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
        let text = self.string_as("a path")?;
        let braced = format!("${{{VARIABLE}}}");
        let plain = format!("${VARIABLE}");
        let Some(rest) = text.strip_prefix(&braced).or_else(|| text.strip_prefix(&plain)) else {
            return self.path();
        };
        if let Some(folder) = self.document().environment(VARIABLE) {
            return Some(PathBuf::from(format!("{folder}{rest}")));
        }
        // On a shell: what the unit's credentials are made of.
        let name = rest.trim_start_matches('/');
        let paths = CREDENTIALS_FOLDERS.map(|folder| Path::new(folder).join(name));
        if let Some(path) = paths.iter().find(|path| path.exists()) {
            return Some(path.clone());
        }
        let text = format!(
            "${VARIABLE} is not set, systemd sets it for the service alone, and there is no {}: run this as root with \
             the secret in that file, or set {VARIABLE} to the folder that holds {name:?}",
            paths[0].display()
        );
        match self.document().secret_use() {
            SecretUse::Needed => return self.refuse(text),
            SecretUse::Checked => self.warning(text),
            SecretUse::Unused => {}
        }
        Some(paths[0].clone())
    }
}

/// The mode of a file that every user of the machine can read.
fn mode_for_others(path: &Path) -> Option<u32> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = |path: &Path| std::fs::metadata(path).ok().map(|found| found.permissions().mode() & 0o7777);
    mode(path).filter(|file| file & 0o004 != 0 && mode(folder).is_some_and(|folder| folder & 0o001 != 0))
}

/// A credential of the unit that is not there for a shell.
fn is_absent_credential(path: &Path) -> bool {
    path.starts_with(CREDENTIALS_FOLDERS[0]) && !path.exists()
}

/// Where the files of the unit's credentials lie.
const CREDENTIALS_FOLDERS: [&str; 2] = ["/etc/event-router/credentials", "/etc/event-router"];
