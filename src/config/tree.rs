//! The tree of a YAML or JSON text: what it says, with the place of every key.
//!
//! It is built of the values of the TOML reader, so that files of all forms are walked by the same
//! code. TOML has no null: a key without a value is left out, as if it were not there.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and the byte of the text where it, or its key, begins.
pub(super) type Placed<'a> = Spanned<DeValue<'a>>;

/// What a text holds.
pub(super) struct Tree<'a> {
    pub(super) root: DeTable<'a>,
    /// What keeps the text from being used, beside the syntax.
    pub(super) mistakes: Vec<Mistake>,
    /// What others read differently from how it is written.
    pub(super) anomalies: Vec<Mistake>,
}

/// Something wrong at a byte of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) offset: usize,
    /// The last part of the key, if it concerns one.
    pub(super) key: String,
    pub(super) text: String,
}

/// A value at a byte of the text.
pub(super) fn placed<T>(offset: usize, value: T) -> Spanned<T> {
    Spanned::new(offset..offset, value)
}

/// The byte at which a line (from 1) and a column (from 0, in characters) of a text begins.
pub(super) fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start = match line {
        0 | 1 => 0,
        _ => text.match_indices('\n').nth(line - 2).map_or(text.len(), |(at, _)| at + 1),
    };
    let rest = text.get(start..).unwrap_or_default();
    start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_bytes_of_the_text() {
        let text = "a\nüb: c\n";
        assert_eq!(offset_of(text, 1, 0), 0);
        assert_eq!(offset_of(text, 2, 0), 2);
        assert_eq!(offset_of(text, 2, 1), 4);
        assert_eq!(offset_of(text, 3, 0), text.len());
        assert_eq!(offset_of(text, 9, 9), text.len());
    }
}
