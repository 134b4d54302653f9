//! Text files as the editors of any system write them. Pure.

use crate::error::Error;

/// Why bytes are not the text that they should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotText {
    /// The byte at which it shows.
    pub(crate) offset: usize,
    /// What they are, and what to do.
    pub(crate) reason: &'static str,
}

/// The text, without a byte-order mark.
///
/// # Errors
/// Windows' "Unicode", what is not UTF-8, and what holds NUL bytes.
pub(crate) fn text_of(bytes: &[u8]) -> Result<&str, NotText> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(NotText { offset: 0, reason: UTF_16 });
    }
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        return Err(NotText { offset, reason: UTF_16 });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| NotText {
        offset: error.valid_up_to(),
        reason: "is not UTF-8 text: save it as UTF-8",
    })
}

const UTF_16: &str = "is UTF-16 or holds NUL bytes: save it as UTF-8 text";

impl From<NotText> for Error {
    fn from(not: NotText) -> Error {
        Error::new(not.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_taken_off_and_what_is_no_text_is_named() {
        assert_eq!(text_of(b"\xef\xbb\xbfa: b\r\n"), Ok("a: b\r\n"));
        assert_eq!(text_of("ä".as_bytes()), Ok("ä"));
        for (bytes, offset, words) in [
            (&b"\xff\xfea\0"[..], 0, "UTF-16"),
            (b"\xfe\xff\0a", 0, "UTF-16"),
            (b"a\0b\0", 1, "UTF-16"),
            (b"a\n\xe4", 2, "UTF-8"),
        ] {
            let error = text_of(bytes).unwrap_err();
            assert!(error.offset == offset && error.reason.contains(words), "{error:?}");
        }
    }
}
