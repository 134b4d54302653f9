//! Values into a template: as JSON, inside a JSON string, or as text. Pure.

use super::{Found, Syntax};
use crate::error::{Error, Result};
use crate::pattern::scan::Scan;

/// Appends a value as its place wants it.
///
/// # Errors
/// When a string of the event is not JSON.
pub(super) fn value(syntax: Syntax, quoted: bool, found: &Found<'_>, out: &mut Vec<u8>) -> Result<()> {
    match syntax {
        Syntax::Text => text(found, &mut |part| out.extend_from_slice(part)),
        Syntax::Header => text(found, &mut |part| header(part, out)),
        _ if quoted => inside_quotes(found, out),
        _ => {
            let begin = out.len();
            json(found, out);
            if syntax == Syntax::JsonLines {
                one_line(&mut out[begin..]);
            }
            Ok(())
        }
    }
}

fn json(found: &Found<'_>, out: &mut Vec<u8>) {
    match found {
        Found::Missing => out.extend_from_slice(b"null"),
        Found::Json(json) => out.extend_from_slice(json),
        Found::Many(all) => {
            out.push(b'[');
            for (at, json) in all.iter().enumerate() {
                if 0 < at {
                    out.push(b',');
                }
                out.extend_from_slice(json);
            }
            out.push(b']');
        }
        Found::Text(text) => {
            out.push(b'"');
            escape(text.as_bytes(), out);
            out.push(b'"');
        }
    }
}

/// A part of a JSON string. The string of an event is escaped already.
fn inside_quotes(found: &Found<'_>, out: &mut Vec<u8>) -> Result<()> {
    match found {
        Found::Missing | Found::Json(b"null") => {}
        Found::Text(text) => escape(text.as_bytes(), out),
        Found::Json(json) => match json.first() {
            Some(b'"') => out.extend_from_slice(json.get(1..json.len() - 1).unwrap_or_default()),
            Some(b'{' | b'[') => escape(json, out),
            _ => out.extend_from_slice(json),
        },
        Found::Many(_) => {
            let mut text = Vec::new();
            json(found, &mut text);
            escape(&text, out);
        }
    }
    Ok(())
}

/// Text: a string without quotes and escapes, anything else as JSON.
fn text(found: &Found<'_>, put: &mut dyn FnMut(&[u8])) -> Result<()> {
    match found {
        Found::Missing | Found::Json(b"null") => {}
        Found::Text(text) => put(text.as_bytes()),
        Found::Json(json) if json.first() == Some(&b'"') => {
            let raw = Scan::new(json).string().ok().and_then(|raw| raw.decode());
            put(&raw
                .ok_or_else(|| Error::new("a string of the event has an escape that JSON does not know"))?);
        }
        Found::Json(json) => put(json),
        Found::Many(_) => {
            let mut text = Vec::new();
            json(found, &mut text);
            put(&text);
        }
    }
    Ok(())
}

/// What a JSON string cannot hold as it is (RFC 8259, section 7).
fn escape(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => 0,
            _ => continue,
        };
        out.extend_from_slice(&text[plain..at]);
        out.push(b'\\');
        if short == 0 {
            out.extend_from_slice(&[
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        } else {
            out.push(short);
        }
        plain = at + 1;
    }
    out.extend_from_slice(&text[plain..]);
}

/// JSON holds line breaks only between its tokens.
fn one_line(json: &mut [u8]) {
    json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
}

/// What a header cannot hold, and the `%` that begins what stands in its place.
fn header(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(byte),
            _ => out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
}
