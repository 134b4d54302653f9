//! The one error of the program: a chain from intent to cause, made to be read at a terminal.
//!
//! A message says what was tried, on what, why it failed and what to do; lower case, no final
//! period, causes joined by `: `. It never holds a secret.

use std::fmt;

/// What every fallible function of the program returns.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A message and, joined by `: `, what caused it.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    text: Box<str>,
}

impl Error {
    /// An error without a deeper cause.
    pub(crate) fn new(message: impl Into<String>) -> Error {
        Error { text: message.into().into_boxed_str() }
    }

    /// The same error, with the intent that it defeated in front.
    pub(crate) fn context(self, intent: impl fmt::Display) -> Error {
        Error::new(format!("{intent}: {}", self.text))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// Puts the intent in front of any displayable cause.
pub(crate) trait Context<T> {
    /// `intent` is made only when there is an error.
    fn context<D: fmt::Display>(self, intent: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context<D: fmt::Display>(self, intent: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|cause| Error::new(format!("{}: {cause}", intent())))
    }
}

/// What an error of the system says, in the style of our messages: without its number and without
/// the name of the C function.
pub(crate) fn io_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    if error.get_ref().is_some_and(|inner| !inner.to_string().starts_with("failed to lookup")) {
        return text; // our own words or a library's
    }
    let text = text.split(" (os error").next().unwrap_or(&text);
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(text);
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_reads_from_intent_to_cause() {
        let cause: std::result::Result<(), _> = Err("no such file");
        let error = cause.context(|| "read a.toml").unwrap_err().context("start");
        assert_eq!(error.to_string(), "start: read a.toml: no such file");
    }

    #[test]
    fn system_errors_lose_case_and_number() {
        use std::io::Error;
        assert_eq!(io_text(&Error::from_raw_os_error(111)), "connection refused");
        assert_eq!(io_text(&Error::other("TLS is broken")), "TLS is broken");
        let lookup = "failed to lookup address information: Name or service not known";
        assert_eq!(io_text(&Error::other(lookup)), "name or service not known");
    }
}
