//! `destination.uri`: a mapping with the fields of a Go URL, or, as everyone would write it, a text.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use toml::de::DeValue;

use super::super::reader::{Table, Value};
use super::output::{Output, Text};

/// What Go escapes in a path (`net/url`, `URL.EscapedPath`).
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The URL, or beside a `ref` what comes after its address.
pub(super) fn read<'a>(value: &Value<'a>, is_absolute: bool, out: &Output<'a>) -> Option<Text<'a>> {
    match value.get_ref() {
        DeValue::Table(_) => {
            value.table(|table| fields(table, is_absolute, out)).map(|text| (text, value.clone()))
        }
        _ => out.read(value),
    }
}

fn fields<'a>(table: &Table<'a>, is_absolute: bool, out: &Output<'a>) -> Option<String> {
    let text = |value: &Value<'a>| out.read(value).map(|(text, _)| text);
    let field = |key| table.get(key, text).filter(|text| !text.is_empty());
    let place = if is_absolute {
        let (scheme, host) = (table.required("scheme", text), table.required("host", text));
        scheme.zip(host).map(|(scheme, host)| format!("{scheme}://{host}"))
    } else {
        let (scheme, host) = (field("scheme"), field("host"));
        if scheme.is_some() || host.is_some() {
            table.problem("is absolute, and beside `ref` only a path and a query are possible");
        }
        Some(String::new())
    };
    let (path, raw_path) = (field("path"), field("rawpath"));
    let query = field("rawquery");
    let force_query = table.get("forcequery", Value::boolean).unwrap_or_default();
    // No server ever sees a fragment.
    for key in ["fragment", "rawfragment"] {
        table.get(key, |_| Some(()));
    }
    if field("opaque").is_some() {
        table.problem("`opaque` belongs to URLs without a host, and events cannot be posted to one");
    }
    let mut url = place?;
    if let Some(path) = path {
        // Go took the raw form where it means the same path.
        let decoded = |raw: &String| percent_encoding::percent_decode_str(raw).decode_utf8_lossy() == path;
        let escaped =
            raw_path.filter(decoded).unwrap_or_else(|| utf8_percent_encode(&path, PATH).to_string());
        if is_absolute && !escaped.starts_with('/') {
            url.push('/');
        }
        url.push_str(&escaped);
    }
    if force_query || query.is_some() {
        url.push('?');
        url.push_str(&query.unwrap_or_default());
    }
    Some(url)
}
