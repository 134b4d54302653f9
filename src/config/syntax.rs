//! Mistakes of TOML's syntax in the words of the person who made them. Pure.
//!
//! A line may hold a secret: of its values only names, truth values and what cannot be one are
//! repeated.

mod brackets;
mod headers;
#[cfg(test)]
mod tests;
mod values;

use crate::order;
use brackets::unclosed;

/// What is wrong in a text and what to write, each at its byte, for the errors of the parser (byte and
/// message): one a line, and none that only follows from another.
pub(super) fn explain<'e>(
    text: &str,
    errors: impl IntoIterator<Item = (usize, &'e str)>,
) -> Vec<(usize, String)> {
    let mut errors: Vec<_> = errors.into_iter().collect();
    order::sort(&mut errors);
    let open = unclosed(text);
    let mut told: Vec<(usize, String)> = Vec::new();
    // The end of a section that is there twice: all its keys are, too.
    let mut twice_until = 0;
    for (offset, message) in errors {
        let same_line = |(before, _): &(usize, String)| !text[*before..offset].contains('\n');
        if told.last().is_some_and(same_line) || offset < twice_until {
            continue;
        }
        if let Some(open) = open.as_ref().filter(|open| open.offset <= offset) {
            // All that follows stands within it.
            told.push((open.offset, format!("the closing {} is missing", open.closing)));
            return told;
        }
        let place = Place::new(text, offset, message);
        if place.is("duplicate key") && headers::name(place.line).is_some() {
            let end = text[offset..].find("\n[").map_or(text.len(), |length| offset + length);
            twice_until = end;
        }
        told.push((offset, place.explain()));
    }
    told
}

/// An error, and the line that it is in.
struct Place<'a> {
    text: &'a str,
    message: &'a str,
    /// Where its line begins.
    start: usize,
    line: &'a str,
    /// The line up to the error.
    before: &'a str,
    /// The line from the error on.
    at: &'a str,
    /// What stands before the first `=` or `:`.
    key: &'a str,
}

impl<'a> Place<'a> {
    fn new(text: &'a str, offset: usize, message: &'a str) -> Place<'a> {
        let start = text[..offset].rfind('\n').map_or(0, |end| end + 1);
        let line = text[start..].lines().next().unwrap_or_default();
        let (before, at) = line.split_at(offset.saturating_sub(start).min(line.len()));
        let key = line.split(['=', ':']).next().unwrap_or_default().trim();
        Place { text, message, start, line, before, at, key: key.trim_start_matches("- ") }
    }

    fn is(&self, words: &str) -> bool {
        self.message.contains(words)
    }

    fn explain(&self) -> String {
        if self.is("duplicate key") {
            return headers::twice(self);
        }
        self.odd_line()
            .or_else(|| self.quotes())
            .or_else(|| self.odd_character())
            .or_else(|| headers::explain(self))
            .or_else(|| values::explain(self))
            .or_else(|| self.assignment())
            .or_else(|| self.behind_value())
            .or_else(|| self.list())
            .unwrap_or_else(|| match self.is("invalid unquoted key") || self.is("invalid key-value") {
                true => {
                    "is neither a [section] nor a line `key = value`: a key holds letters, digits, - and _"
                        .to_string()
                }
                false => self.message.to_string(),
            })
    }

    /// Lines of something else than TOML.
    fn odd_line(&self) -> Option<String> {
        let line = self.line.trim_start();
        let told = match () {
            () if ["<<<<<<<", "=======", ">>>>>>>", "|||||||"].iter().any(|mark| line.starts_with(mark)) => {
                "is a conflict marker of git: keep one of the two sides, without the markers"
            }
            () if line.starts_with("//") || line.starts_with("--") || line.starts_with([';', '!']) => {
                "a comment begins with #"
            }
            () if line.starts_with('<') => {
                "is XML or HTML and not TOML: a line is a [section] or key = value"
            }
            () if self.is("carriage return") => {
                "has a CR within the line, as the line ends of old Macs are: save it with LF or CR LF"
            }
            () => return None,
        };
        Some(told.to_string())
    }

    fn quotes(&self) -> Option<String> {
        if self.is("escape") || self.is("unicode value") {
            return Some(in_single_quotes(self.line, self.key));
        }
        let typographic = self.line.chars().find(|c| TYPOGRAPHIC.contains(c));
        if let Some(quote) = typographic {
            return Some(format!(
                "holds a typographic quote ({quote}), as word processors write it: write a plain \" or '"
            ));
        }
        if self.line.contains("&quot;") {
            return Some("holds &quot;, as web pages write it: write a plain \"".to_string());
        }
        let is_text = self.is("invalid basic string") || self.is("invalid literal string");
        if is_text && !self.line.chars().any(is_stray_control) {
            return Some(CLOSING.to_string());
        }
        self.is("missing opening quote")
            .then(|| "the opening quote is missing: a text begins and ends with the same quote".to_string())
    }

    fn odd_character(&self) -> Option<String> {
        if let Some(control) = self.line.chars().find(|c| is_stray_control(*c)) {
            return Some(format!("holds a control character (U+{:04X}): leave it out", u32::from(control)));
        }
        let is_blank = |c: &char| !c.is_ascii() && (c.is_whitespace() || "\u{200b}\u{feff}".contains(*c));
        if let Some(blank) = self.line.chars().find(is_blank) {
            let code = u32::from(blank);
            return Some(format!(
                "holds a blank that is none (U+{code:04X}), as web pages have it: write a plain blank"
            ));
        }
        self.line.contains('＝').then(|| "holds a wide ＝: write a plain =".to_string())
    }

    /// What stands between key and value.
    fn assignment(&self) -> Option<String> {
        let (line, key) = (self.line.trim(), self.key);
        let before_sign = line.find('=').unwrap_or(line.len());
        let colon = line.find(':').filter(|colon| *colon < before_sign);
        let is_word = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let is_key = self.is("key") && !self.is("unexpected key or value");
        if self.at.starts_with(':') && self.before.contains(['{', ',']) {
            return Some("between key and value stands =, and no :".to_string());
        }
        if let Some(colon) = colon.filter(|_| is_word && is_key) {
            return Some(match line[colon..].starts_with(":=") {
                true => format!("write {key} = in place of :="),
                false => format!("`{key}: ` is YAML: write {key} = and the value, a text in quotes"),
            });
        }
        if self.is("extra `=`") {
            return Some("write one =".to_string());
        }
        let word = line.split([' ', '\t']).next().unwrap_or_default();
        let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        (self.is("key with no value") && is_plain)
            .then(|| format!("the = is missing: write {word} = and the value"))
    }

    /// What stands behind a value, or behind the bracket of a section.
    fn behind_value(&self) -> Option<String> {
        if !self.is("unexpected key or value") {
            return None;
        }
        let rest = self.at.trim();
        let told = match () {
            () if self.before.trim_start().starts_with('[') && !self.before.contains('=') => {
                "the keys of a section begin in the line below it"
            }
            () if [";", ","].contains(&rest) => {
                return Some(format!("a line ends without {rest}: leave it out"));
            }
            () if rest.starts_with(',') && rest[1..].trim_start().starts_with(['"', '\'']) => {
                "a list stands in brackets: write [\"A\", \"B\"]"
            }
            () if rest.starts_with(',') && self.before.ends_with(|c: char| c.is_ascii_digit()) => {
                "a number is written without commas"
            }
            () if self.before.ends_with(['"', '\'']) => {
                "the text ends at a quote within it: write a text that holds \" in single quotes, one that holds ' in \
                 double quotes"
            }
            () if rest.split_once('=').is_some_and(|(key, _)| is_bare(key.trim())) => {
                "each key stands in a line of its own"
            }
            () => "nothing stands behind a value but a comment, which begins with #",
        };
        Some(told.to_string())
    }

    /// Lists and what stands in braces.
    fn list(&self) -> Option<String> {
        let told = match () {
            () if self.is("missing comma between array") => {
                "a comma is missing between two elements of the list"
            }
            () if self.is("missing comma between key") || self.is("missing key for inline") => {
                "a comma is missing between two keys in { }"
            }
            () if self.is("extra comma") => "holds a comma too many",
            () => return None,
        };
        Some(told.to_string())
    }
}

const CLOSING: &str = "the closing quote is missing: a text begins and ends with the same quote";

const TYPOGRAPHIC: &[char] = &['“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»', '″', '′'];

fn is_stray_control(c: char) -> bool {
    c.is_control() && c != '\t'
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// A backslash that begins no escape, such as that between domain and user.
fn in_single_quotes(line: &str, key: &str) -> String {
    let text = line.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map(|(text, _)| text);
    let example = match text {
        Some(text) if key.ends_with("username") && !text.contains(['\'', '"']) => format!("write '{text}'"),
        _ => "write the text".to_string(),
    };
    format!(
        "a backslash in double quotes begins an escape: {example} in single quotes, where it stays a backslash"
    )
}
