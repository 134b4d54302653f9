//! What is wrong with a configuration file, and where.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong, or odd, in a configuration file. It never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub(crate) file: PathBuf,
    /// The line, counted from 1; none if it concerns the file as a whole.
    pub line: Option<usize>,
    /// The column in characters, counted from 1; only for errors of syntax.
    pub(crate) column: Option<usize>,
    /// The path of the key, such as `source.vc01.password`; empty if there is none.
    pub(crate) key: String,
    /// What is wrong and what to do.
    pub text: String,
}

impl Problem {
    /// A problem of the file as a whole.
    pub(crate) fn of_file(file: impl Into<PathBuf>, text: impl Into<String>) -> Problem {
        Problem { file: file.into(), line: None, column: None, key: String::new(), text: text.into() }
    }
}

/// The line, counted from 1, of a byte of a text.
pub(super) fn line_of(text: &[u8], offset: usize) -> usize {
    1 + text[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

/// `router.toml:7: source.vc01.pasword: not a known key, did you mean `password`?`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.text)
    }
}
