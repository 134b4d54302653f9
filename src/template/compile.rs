//! The text of a template to its pieces. Pure.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::paths::Paths;
use super::{Piece, Slot, Syntax, Template};
use crate::error::{Context, Error, Result};
use crate::limits::{TEMPLATE_BYTES_MAX, TEMPLATE_PATHS_MAX};

/// Placeholders that every template has.
const PREDEFINED: &[(&str, Slot)] = &[
    ("event", Slot::Event),
    ("id", Slot::Id),
    ("type", Slot::Type),
    ("subject", Slot::Subject),
    ("source", Slot::Source),
    ("time", Slot::Time),
    ("time.s", Slot::Seconds),
    ("time.ms", Slot::Millis),
    ("time.ns", Slot::Nanos),
    ("route", Slot::Route),
];
/// The one that is a path.
const DATA: (&str, &str) = ("data", "$.data");

/// Compiles a template.
///
/// # Errors
/// The place (line and column) and the reason.
pub(super) fn compile(text: &str, paths: &[(String, String)], syntax: Syntax) -> Result<Template> {
    if TEMPLATE_BYTES_MAX < text.len() {
        return Err(Error::new(format!("is longer than {TEMPLATE_BYTES_MAX} bytes")));
    }
    if TEMPLATE_PATHS_MAX < paths.len() {
        return Err(Error::new(format!("has more than {TEMPLATE_PATHS_MAX} paths")));
    }
    let mut compiler = Compiler {
        text,
        named: Vec::new(),
        paths: Paths::default(),
        pieces: Vec::new(),
        literal: String::new(),
        sample: String::with_capacity(text.len()),
    };
    for (name, path) in paths {
        check_name(name)?;
        let number = compiler.paths.add(path).context(|| format!("paths.{name}"))?;
        compiler.named.push((name.clone(), number));
    }
    let is_json = matches!(syntax, Syntax::Json | Syntax::JsonLines | Syntax::JsonPart);
    compiler.run(is_json)?;
    compiler.check(syntax)?;
    Ok(Template { syntax, pieces: compiler.pieces, paths: compiler.paths })
}

fn check_name(name: &str) -> Result<()> {
    let refused = |reason: &str| Err(Error::new(format!("paths.{name}: {reason}")));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() || !name.bytes().all(fits) {
        return refused("not a name: letters, digits, `-` and `_`");
    }
    if name == DATA.0 || PREDEFINED.iter().any(|(known, _)| *known == name) {
        return refused(&format!("<{name}> is predefined, choose another name"));
    }
    Ok(())
}

struct Compiler<'t> {
    text: &'t str,
    named: Vec<(String, usize)>,
    paths: Paths,
    pieces: Vec<Piece>,
    literal: String,
    /// The template with something of the same length in place of each placeholder, so that a mistake of
    /// JSON is found at its place.
    sample: String,
}

impl Compiler<'_> {
    fn run(&mut self, is_json: bool) -> Result<()> {
        let text = self.text;
        let (mut at, mut quoted, mut holds_slot, mut begin) = (0, false, false, 0);
        while let Some(character) = text[at..].chars().next() {
            let rest = &text[at..];
            if let Some(name) = placeholder(rest) {
                let slot = self.slot(name, at)?;
                holds_slot = true;
                if is_json && !quoted && rest[name.len() + 2..].trim_start().starts_with(':') {
                    return Err(self.refuse(at, &format!("placeholder <{name}> is the key of an object")));
                }
                self.add(slot, is_json && quoted, name.len() + 2);
                at += name.len() + 2;
                continue;
            }
            let mut length = character.len_utf8();
            match character {
                // The way to write a < that begins no placeholder.
                '\\' if rest.starts_with("\\<") => {
                    self.literal.push('<');
                    self.sample.push_str("..");
                    at += 2;
                    continue;
                }
                '\\' if is_json && quoted => length += rest[1..].chars().next().map_or(0, char::len_utf8),
                '"' if is_json && quoted => {
                    quoted = false;
                    if holds_slot && rest[1..].trim_start().starts_with(':') {
                        return Err(self.refuse(begin, "a placeholder is in the key of an object"));
                    }
                }
                '"' if is_json => (quoted, holds_slot, begin) = (true, false, at),
                _ => {}
            }
            self.literal.push_str(&rest[..length]);
            self.sample.push_str(&rest[..length]);
            at += length;
        }
        self.end_literal();
        if quoted { Err(self.refuse(begin, "a \" without its end")) } else { Ok(()) }
    }

    fn add(&mut self, slot: Slot, quoted: bool, length: usize) {
        self.end_literal();
        self.pieces.push(Piece::Slot { slot, quoted });
        // Neither a digit nor a letter beside it makes another value of an empty list.
        let sample = if quoted { "x" } else { "[]" };
        self.sample.push_str(sample);
        let filler = if quoted { "x" } else { " " };
        self.sample.push_str(&filler.repeat(length - sample.len()));
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.pieces.push(Piece::Literal(std::mem::take(&mut self.literal).into()));
        }
    }

    fn slot(&mut self, name: &str, at: usize) -> Result<Slot> {
        if let Some((_, slot)) = PREDEFINED.iter().find(|(known, _)| *known == name) {
            return Ok(*slot);
        }
        if let Some((_, number)) = self.named.iter().find(|(known, _)| *known == name) {
            return Ok(Slot::Path(*number));
        }
        let path = if name == DATA.0 { DATA.1 } else { name };
        if path.starts_with('$') {
            let number = self.paths.add(path).map_err(|error| self.refuse(at, &error.to_string()))?;
            self.named.push((name.to_string(), number));
            return Ok(Slot::Path(number));
        }
        let own = self.named.iter().map(|(known, _)| known.as_str()).filter(|known| !known.starts_with('$'));
        let known: Vec<&str> =
            own.chain([DATA.0]).chain(PREDEFINED.iter().map(|(known, _)| *known)).collect();
        Err(self.refuse(
            at,
            &format!(
                "placeholder <{name}> is not known; known: {}; a < that begins none is written \\<",
                known.join(", ")
            ),
        ))
    }

    /// Whether the template can become what it should.
    fn check(&self, syntax: Syntax) -> Result<()> {
        let begins = |text: &str| serde_json::from_str::<IgnoredAny>(text).map(drop);
        let checked = match syntax {
            Syntax::Json => begins(&self.sample),
            Syntax::JsonLines => check_values(&self.sample),
            Syntax::JsonPart | Syntax::Text | Syntax::Header => return Ok(()),
        };
        checked.map_err(|error| {
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or(&text);
            Error::new(format!(
                "line {}, column {}: cannot become JSON: {reason}",
                error.line(),
                error.column()
            ))
        })
    }

    fn refuse(&self, at: usize, reason: &str) -> Error {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Error::new(format!("line {line}, column {column}: {reason}"))
    }
}

/// Whether a template between a prefix and a suffix is JSON, once and twice.
///
/// # Errors
/// Why not.
pub(super) fn check_joined(pieces: &[Piece], prefix: &str, separator: &str, suffix: &str) -> Result<()> {
    for (name, text) in [("prefix", prefix), ("separator", separator), ("suffix", suffix)] {
        if leaves_quotes_open(text) {
            return Err(Error::new(format!("{name} has a \" without its end")));
        }
    }
    let sample = pieces.iter().map(|piece| match piece {
        Piece::Literal(text) => text,
        Piece::Slot { quoted: true, .. } => "x",
        Piece::Slot { quoted: false, .. } => "[]",
    });
    let sample: String = sample.collect();
    for (count, joined) in [("one", sample.clone()), ("two", format!("{sample}{separator}{sample}"))] {
        check_values(&format!("{prefix}{joined}{suffix}")).map_err(|error| {
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or(&text).to_string();
            Error::new(format!(
                "the template of {count} between prefix and suffix cannot become JSON: {reason}"
            ))
        })?;
    }
    Ok(())
}

fn leaves_quotes_open(text: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    quoted
}

/// The name of the placeholder that a text begins with, if it begins with one.
fn placeholder(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('<')?;
    let name = &inside[..inside.find('>')?];
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = !name.is_empty() && name.bytes().all(fits);
    let is_path =
        name.starts_with('$') && !name.contains(|c: char| c.is_whitespace() || c == '"' || c == '<');
    (is_name || is_path).then_some(name)
}

/// Whether a text is JSON values one after the other, at least one.
///
/// # Errors
/// Where it is not.
fn check_values(text: &str) -> serde_json::Result<()> {
    let mut read = serde_json::Deserializer::from_str(text);
    IgnoredAny::deserialize(&mut read)?;
    for value in read.into_iter::<IgnoredAny>() {
        value?;
    }
    Ok(())
}
