//! Values that are not written as TOML wants them. Pure.

use super::Place;

/// Keys whose values are words or numbers with a unit, and never secrets.
const WORDS: [&str; 18] = [
    "type",
    "level",
    "format",
    "order",
    "encoding",
    "first",
    "max",
    "give_up_after",
    "replay_max",
    "overlap",
    "timeout",
    "refresh",
    "shutdown_grace",
    "max_size",
    "from",
    "to",
    "region",
    "event_bus",
];

/// A value without quotes, or none at all.
pub(super) fn explain(place: &Place<'_>) -> Option<String> {
    let at = place.at.trim_start();
    if place.is("unexpected leading zero") {
        let number: String =
            place.line.split('=').nth(1)?.trim().chars().take_while(char::is_ascii_digit).collect();
        let number = number.trim_start_matches('0');
        return Some(format!("a number has no zero in front: write {number}"));
    }
    // What begins like a number or a truth value is taken for one.
    let is_taken = place.is("invalid boolean") || place.is("invalid float") || place.is("invalid integer");
    let is_text =
        place.is("string values must be quoted") || place.is("missing value") || place.is("invalid value");
    if !is_taken && !is_text && !is_number_with_rest(place) {
        return None;
    }
    let value = place.line.split_once('=').map_or(at, |(_, value)| value.trim_start());
    // Within a list or braces, what the error shows; else all that stands behind the first =.
    let value = if value.starts_with(['[', '{']) { at } else { value };
    let told = match value.chars().next() {
        None | Some('#') => "the value is missing",
        Some('`') => "a text stands in quotes, \" or ', not in backticks",
        Some('$' | '%') => {
            "a variable is not replaced in this file: write the value, or { env = \"NAME\" } for a secret"
        }
        Some('<') => "holds a placeholder: write the value itself, a text in quotes",
        Some(c) if c.is_alphanumeric() => return Some(unquoted(value, place)),
        _ => "a text stands in quotes: write it in 'single quotes'",
    };
    Some(told.to_string())
}

/// A number, and directly behind it what makes it none: `30s`.
fn is_number_with_rest(place: &Place<'_>) -> bool {
    place.is("unexpected key or value")
        && place.before.ends_with(|c: char| c.is_ascii_digit())
        && place.at.starts_with(|c: char| c.is_alphabetic())
}

fn unquoted(value: &str, place: &Place<'_>) -> String {
    let word = value.split([' ', '\t', '#', ',', ']', '}']).next().unwrap_or_default();
    match &*word.to_lowercase() {
        "yes" | "on" | "true" | "enabled" => {
            return format!("`{word}` is no truth value of TOML: write true");
        }
        "no" | "off" | "false" | "disabled" => {
            return format!("`{word}` is no truth value of TOML: write false");
        }
        "null" | "none" | "nil" | "undefined" => {
            return format!("`{word}` is no value of TOML: leave the line out");
        }
        _ => {}
    }
    let key = place.key.rsplit('.').next().unwrap_or_default();
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.*".contains(c));
    if WORDS.contains(&key) && is_plain && value.trim_end() == word {
        return format!("a text stands in quotes: write {key} = \"{word}\"");
    }
    let quote = if place.line.contains('\'') { "\"double quotes\"" } else { "'single quotes'" };
    format!("a text stands in quotes: write it in {quote}")
}
