//! Backslashes in double quotes as the Go router read them.
//!
//! goccy/go-yaml 1.10 knew a part of YAML's escapes and left every other backslash as it stood, so
//! that people could write `"CORP\tom"` and `"CORP\Admin"`. To YAML the first is a tab and the second
//! a mistake.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::super::tree::offset_of;
use crate::limits::CONFIG_VALUES_MAX;

/// The text with those backslashes doubled, so that YAML reads them as the Go router did.
pub(super) fn doubled(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    // Each round gets past one scalar more that YAML refuses.
    for _ in 0..CONFIG_VALUES_MAX {
        let places = kept(&text);
        if places.is_empty() {
            break;
        }
        let mut patched = String::with_capacity(text.len() + places.len());
        let mut end = 0;
        for place in places {
            patched.push_str(&text[end..place]);
            patched.push('\\');
            end = place;
        }
        patched.push_str(&text[end..]);
        text = Cow::Owned(patched);
    }
    text
}

/// The bytes at which such backslashes stand, up to the first mistake of syntax.
fn kept(text: &str) -> Vec<usize> {
    let mut places = Vec::new();
    for next in Parser::new_from_str(text) {
        match next {
            Ok((Event::Scalar(_, ScalarStyle::DoubleQuoted, ..), span)) => {
                places.extend(kept_in_scalar(text, offset_of(text, span.start.line(), span.start.col())));
            }
            Ok(_) => {}
            Err(error) => {
                // Its mark is where the scalar begins.
                if error.info().contains("unknown escape") {
                    let mark = error.marker();
                    places.extend(kept_in_scalar(text, offset_of(text, mark.line(), mark.col())));
                }
                break;
            }
        }
    }
    places
}

/// The same of the scalar whose opening quote is at a byte.
fn kept_in_scalar(text: &str, start: usize) -> Vec<usize> {
    let mut places = Vec::new();
    let Some(body) = text.get(start..).and_then(|rest| rest.strip_prefix('"')) else { return places };
    let mut chars = body.char_indices();
    while let Some((at, character)) = chars.next() {
        match character {
            '"' => break,
            '\\' => {
                let known = |c| "\"\\befnvxuUNLP_\r\n".contains(c);
                if chars.next().is_some_and(|(_, escaped)| !known(escaped)) {
                    places.push(start + 1 + at);
                }
            }
            _ => {}
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslashes_that_go_left_alone() {
        for (text, read) in [
            (r#"p: "CORP\tom""#, r#"p: "CORP\\tom""#),
            (r#"p: "CORP\Admin""#, r#"p: "CORP\\Admin""#),
            (
                r#"{p: "\A\B", "q": "\C", r: "\n\\\"\x41\A"}"#,
                r#"{p: "\\A\\B", "q": "\\C", r: "\n\\\"\x41\\A"}"#,
            ),
            ("p: \"ü\\d\"\nq: \"\\s\"\n", "p: \"ü\\\\d\"\nq: \"\\\\s\"\n"),
            (r#"p: 'CORP\tom'"#, r#"p: 'CORP\tom'"#),
            (r#"p: CORP\tom # "\t""#, r#"p: CORP\tom # "\t""#),
            (r#"p: "\\t""#, r#"p: "\\t""#),
            ("p: |\n  \"\\t\"\n", "p: |\n  \"\\t\"\n"),
            (r#"p: "open\A"#, r#"p: "open\\A"#),
            (r#"p: "\user""#, r#"p: "\user""#),
        ] {
            assert_eq!(doubled(text), read, "{text}");
        }
    }
}
