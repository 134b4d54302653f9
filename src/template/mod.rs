//! Templates: what of an event goes into a request, in the language of EventBridge's input transformer.
//!
//! A template is compiled once ([`Template::compile`]) and filled in one pass over the event's JSON, of
//! which nothing is copied but what the template names. Pure.
//!
//! Placeholders are `<name>`, where `name` is one of the template's paths, `<$.data.Vm.Name>`, or one of
//! these:
//!
//! | Placeholder | Value |
//! | --- | --- |
//! | `<event>`, `<data>` | the CloudEvent as JSON; its data |
//! | `<id>`, `<type>`, `<subject>`, `<source>`, `<time>` | its attributes |
//! | `<time.s>`, `<time.ms>`, `<time.ns>` | the time since 1970: seconds with their fraction, whole milliseconds, whole nanoseconds |
//! | `<route>` | the name of the route |
//!
//! The differences from EventBridge, each of them tested, the values beside LocalStack's transformer too
//! (`tests/template.rs`):
//!
//! | | EventBridge | here | because |
//! | --- | --- | --- | --- |
//! | the root `$` | the envelope of EventBridge | the CloudEvent, as patterns see it | there is no other envelope |
//! | a value inside quotes | how `"` and line breaks in it are escaped is not said | always escaped as JSON | the result stays JSON |
//! | a missing value outside quotes | the empty string, or the member is left out | `null` | the result stays JSON, its shape the same |
//! | `null` inside quotes | not said | nothing | nobody wants to read `null` |
//! | an object inside quotes | without its quotes | its JSON as escaped text | receivers of text fields can read it back |
//! | `<$.path>` | no | a path without a name | for headers and the command line |
//! | other templates | strings or JSON | text too, where the content type is not JSON | for receivers of lines |

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cloudevents::{CloudEvent, write_json_with};
use crate::error::{Error, Result};
use crate::pattern::cloud_event;
use crate::pattern::scan::Scan;
use paths::Paths;

mod compile;
mod paths;
mod write;

/// What a template becomes, and so how values are written into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// One JSON value.
    Json,
    /// JSON values one after the other.
    JsonLines,
    /// A part of JSON text; what it becomes shows only when it is joined with others.
    JsonPart,
    /// Text: values stand as they are.
    Text,
    /// The value of a header: what cannot stand there is percent-encoded.
    Header,
}

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    syntax: Syntax,
    pieces: Vec<Piece>,
    paths: Paths,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    /// A placeholder, and whether it stands inside the quotes of a JSON string.
    Slot {
        slot: Slot,
        quoted: bool,
    },
}

/// Where the value of a placeholder comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Path(usize),
    Event,
    Id,
    Type,
    Subject,
    Source,
    Time,
    Seconds,
    Millis,
    Nanos,
    Route,
}

/// What was found of an event.
#[derive(Clone, Debug)]
enum Found<'a> {
    Missing,
    /// A string, without escapes.
    Text(&'a str),
    /// Any JSON value as it is written.
    Json(&'a [u8]),
    /// The values of all elements of an array, likewise.
    Many(Vec<&'a [u8]>),
}

/// An event that fills a template.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The event.
    pub ce: &'a CloudEvent,
    /// The extensions that it gets at its sink.
    pub extensions: &'a [(Arc<str>, Arc<str>)],
    /// The name of its route.
    pub route: &'a str,
}

impl Template {
    /// Compiles a template. `paths` are the names of its paths and the paths themselves.
    ///
    /// # Errors
    /// The place (line and column) and the reason.
    pub fn compile(text: &str, paths: &[(String, String)], syntax: Syntax) -> Result<Template> {
        compile::compile(text, paths, syntax)
    }

    /// Whether the template is the same for all events.
    pub(crate) fn is_fixed(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Literal(_)))
    }

    /// Whether one and several of them, joined like this, can become JSON, if that is what they should.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check_joined(&self, prefix: &str, separator: &str, suffix: &str) -> Result<()> {
        match self.syntax {
            Syntax::Text | Syntax::Header => Ok(()),
            _ => compile::check_joined(&self.pieces, prefix, separator, suffix),
        }
    }

    /// Appends the text that an event makes of it.
    ///
    /// # Errors
    /// When the event's data is not JSON although it should be.
    pub fn fill(&self, input: &Input<'_>, out: &mut Vec<u8>) -> Result<()> {
        let members = cloud_event(input.ce);
        let found = self.paths.find(&members).map_err(|malformed| {
            Error::new(format!("the event's data is not JSON at byte {}", malformed.at))
        })?;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Slot { slot, quoted } => self.fill_slot(*slot, *quoted, input, &found, out)?,
            }
        }
        Ok(())
    }

    fn fill_slot(
        &self,
        slot: Slot,
        quoted: bool,
        input: &Input<'_>,
        found: &[Found<'_>],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let ce = input.ce;
        let mut put = |found: &Found<'_>| write::value(self.syntax, quoted, found, out);
        match slot {
            Slot::Path(path) => put(&found[path]),
            Slot::Id => put(&Found::Text(&ce.id)),
            Slot::Type => put(&Found::Text(&ce.ty)),
            Slot::Source => put(&Found::Text(&ce.source)),
            Slot::Route => put(&Found::Text(input.route)),
            Slot::Subject => put(&Found::of(ce.subject.as_deref())),
            Slot::Time => put(&Found::of(ce.time.as_deref())),
            Slot::Event => {
                let mut json = Vec::with_capacity(ce.data.len() + 512);
                write_json_with(ce, input.extensions, &mut json);
                put(&Found::Json(&json))
            }
            Slot::Seconds | Slot::Millis | Slot::Nanos => {
                let time = ce.time.as_deref().and_then(|time| time.parse().ok());
                match time.map(|time| number(slot, time)) {
                    Some(number) => put(&Found::Json(number.as_bytes())),
                    None => put(&Found::Missing),
                }
            }
        }
    }
}

impl<'a> Found<'a> {
    fn of(text: Option<&'a str>) -> Found<'a> {
        text.map_or(Found::Missing, Found::Text)
    }
}

fn number(slot: Slot, time: Timestamp) -> String {
    match slot {
        Slot::Nanos => time.as_nanosecond().to_string(),
        Slot::Millis => time.as_millisecond().to_string(),
        _ => {
            let nanos = time.as_nanosecond();
            let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
            let text = format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        }
    }
}

/// The scalar or JSON text at one path of an event, as plain text; none where there is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lookup {
    paths: Paths,
}

impl Lookup {
    /// Some paths, of which the first that leads anywhere counts.
    ///
    /// # Errors
    /// Why one of them is no path.
    pub(crate) fn first_of(texts: &[&str]) -> Result<Lookup> {
        let mut paths = Paths::default();
        for text in texts {
            paths.add(text)?;
        }
        Ok(Lookup { paths })
    }

    /// The text of the first path that leads to a string, a number or a boolean.
    pub(crate) fn text<'a>(&self, ce: &'a CloudEvent) -> Option<Cow<'a, str>> {
        first(self.paths.find(&cloud_event(ce)).ok()?)
    }

    /// The same in the text of a JSON object that is no event.
    pub(crate) fn text_in<'a>(&self, json: &'a [u8]) -> Option<Cow<'a, str>> {
        first(self.paths.find_in(json).ok()?)
    }
}

fn first(found: Vec<Found<'_>>) -> Option<Cow<'_, str>> {
    found.into_iter().find_map(|found| match found {
        Found::Text(text) => Some(Cow::Borrowed(text)),
        Found::Json(json) => scalar(json),
        Found::Missing | Found::Many(_) => None,
    })
}

fn scalar(json: &[u8]) -> Option<Cow<'_, str>> {
    match json.first()? {
        b'"' => match Scan::new(json).string().ok()?.decode()? {
            Cow::Borrowed(text) => std::str::from_utf8(text).ok().map(Cow::Borrowed),
            Cow::Owned(text) => String::from_utf8(text).ok().map(Cow::Owned),
        },
        b'{' | b'[' | b'n' => None,
        _ => std::str::from_utf8(json).ok().map(Cow::Borrowed),
    }
}

#[cfg(test)]
mod tests;
