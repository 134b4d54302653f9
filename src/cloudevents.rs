//! The CloudEvent 1.0: its attributes, its JSON text and its HTTP encodings (contracts of the
//! CloudEvents HTTP binding 1.0.2).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::value::RawValue;

use crate::error::{Context, Error, Result};

pub(crate) mod incoming;

/// One CloudEvent. Empty attributes are absent, never empty strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    /// `id`: the same event always has the same.
    pub id: String,
    /// `source`: a URI reference, without user information.
    pub source: Arc<str>,
    /// `type`.
    pub ty: Cow<'static, str>,
    /// Where the name of the event stands in `type`, if it does not stand in `subject`. It travels with
    /// the event, not in its encodings.
    pub name_in_type: Option<Range<usize>>,
    /// `subject`, if there is one.
    pub subject: Option<String>,
    /// `time` as RFC 3339 text, if known.
    pub time: Option<String>,
    /// `datacontenttype`, if there is data.
    pub datacontenttype: Option<Cow<'static, str>>,
    /// The data: JSON text when `datacontenttype` says so, otherwise bytes of that type.
    pub data: Vec<u8>,
    /// Extension attributes: names of lower-case letters and digits, and their values. Shared by the
    /// events of a source.
    pub extensions: Arc<[(Arc<str>, Arc<str>)]>,
}

impl CloudEvent {
    /// What people call the event: its subject, which is the name in the router's shape. In shapes
    /// without a subject the name may stand in the type.
    pub(crate) fn name(&self) -> &str {
        let in_type = || self.ty.get(self.name_in_type.clone()?);
        self.subject.as_deref().or_else(in_type).unwrap_or(&self.ty)
    }

    /// Takes out what version 0.3 says about its data: true when that is base64.
    fn take_encoding(&mut self) -> Result<bool> {
        const NAME: &str = "datacontentencoding";
        let Some(encoding) = self.extensions.iter().find(|(name, _)| &**name == NAME) else {
            return Ok(false);
        };
        if !encoding.1.eq_ignore_ascii_case("base64") {
            return Err(Error::new(format!("attribute `{NAME}` is {:?}, expected \"base64\"", encoding.1)));
        }
        self.extensions = self.extensions.iter().filter(|(name, _)| &**name != NAME).cloned().collect();
        Ok(true)
    }
}

/// What a header value may not hold as it is: space, `"`, `%`, and all outside U+0021 to U+007E
/// (HTTP binding 1.0.2, section 3.1.3.2).
const HEADER_ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

// Nearly every value goes as it is, which a look at its bytes tells in a third of the time.
fn header_value(value: &str) -> Cow<'_, str> {
    if value.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b'%')) {
        return value.into();
    }
    utf8_percent_encode(value, HEADER_ESCAPED).into()
}

/// Extension attributes that a sink's events get, in place of their own of the same name.
pub(crate) type ExtraExtensions<'a> = &'a [(Arc<str>, Arc<str>)];

/// The headers of the binary content mode, `content-type` included; the body is the data as it is.
pub(crate) fn binary_headers<'a>(
    ce: &'a CloudEvent,
    added: ExtraExtensions<'a>,
) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let mut headers = Vec::with_capacity(7 + ce.extensions.len() + added.len());
    let mut attribute = |name: Cow<'static, str>, value| {
        headers.push((name, header_value(value)));
    };
    attribute("ce-specversion".into(), "1.0");
    attribute("ce-id".into(), &ce.id);
    attribute("ce-source".into(), &ce.source);
    attribute("ce-type".into(), &ce.ty);
    for (name, value) in [("ce-subject", &ce.subject), ("ce-time", &ce.time)] {
        if let Some(value) = value {
            attribute(name.into(), value);
        }
    }
    for (name, value) in extensions(ce, added) {
        attribute(["ce-", name].concat().into(), value);
    }
    if let Some(kind) = ce.datacontenttype.as_deref() {
        headers.push(("content-type".into(), kind.into()));
    }
    headers
}

/// Whether a name can be that of an attribute: lower-case letters and digits (specification 1.0.2,
/// "Naming conventions").
pub(crate) fn valid_attribute_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// What CloudEvents call an attribute with a meaning of its own, and the members of the JSON format
/// that are no attributes.
const RESERVED_NAMES: &[&str] =
    &["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data"];

/// Longer names are allowed, but not recommended.
pub(crate) const ATTRIBUTE_NAME_BYTES_MAX: usize = 20;

/// Whether an extension attribute can have the name.
pub(crate) fn valid_extension_name(name: &str) -> bool {
    valid_attribute_name(name) && !RESERVED_NAMES.contains(&name)
}

/// Whether a text can be the value of an attribute: no control characters, and none that Unicode
/// says are no characters (specification 1.0.2, "Type System").
pub(crate) fn is_string(text: &str) -> bool {
    let is_none =
        |c: char| matches!(c as u32 & 0xffff, 0xfffe | 0xffff) || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    !text.chars().any(|c| c.is_control() || is_none(c))
}

/// The event's extensions, with those of the sink in place of its own.
fn extensions<'a>(
    ce: &'a CloudEvent,
    added: ExtraExtensions<'a>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let own = ce.extensions.iter().filter(|(name, _)| !added.iter().any(|(other, _)| other == name));
    own.chain(added).map(|(name, value)| (&**name, &**value))
}

/// Appends the JSON format of an event, without white space, in the member order of the Go router
/// v0.7.5: the attributes, `data`, then the extensions. `<`, `>`, `&`, U+2028 and U+2029 are
/// escaped, as Go's encoder does.
pub(crate) fn write_json(ce: &CloudEvent, out: &mut Vec<u8>) {
    write_json_with(ce, &[], out);
}

/// The same with the extension attributes of a sink.
pub(crate) fn write_json_with(ce: &CloudEvent, added: ExtraExtensions<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"specversion\":\"1.0\"");
    write_member(out, "id", &ce.id);
    write_member(out, "source", &ce.source);
    write_member(out, "type", &ce.ty);
    for (name, value) in [
        ("subject", ce.subject.as_deref()),
        ("datacontenttype", ce.datacontenttype.as_deref()),
        ("time", ce.time.as_deref()),
    ] {
        if let Some(value) = value {
            write_member(out, name, value);
        }
    }
    write_data(ce, out);
    for (name, value) in extensions(ce, added) {
        write_member(out, name, value);
    }
    out.push(b'}');
}

fn write_member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    write_string(out, value);
}

fn write_data(ce: &CloudEvent, out: &mut Vec<u8>) {
    let Some(kind) = ce.datacontenttype.as_deref() else { return };
    if ce.data.is_empty() {
        return;
    }
    if is_json(kind) {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(&ce.data);
        return;
    }
    match std::str::from_utf8(&ce.data) {
        Ok(text) if kind.starts_with("text/") => write_member(out, "data", text),
        _ => write_member(out, "data_base64", &BASE64_STANDARD.encode(&ce.data)),
    }
}

/// The event of a JSON text, of version 1.0 or 0.3 of the specification. JSON data comes back byte for
/// byte; extensions that are no strings come back as their text.
///
/// # Errors
/// When the text is not JSON, or an attribute is missing or cannot be one.
pub(crate) fn read_json(text: &str) -> Result<CloudEvent> {
    let mut members: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|error| Error::new(format!("not a JSON object: {error}")))?;
    let data = members.remove("data");
    let base64 = members.remove("data_base64");
    let mut attributes = BTreeMap::new();
    for (name, value) in members {
        if let Some(value) = attribute(&name, value)? {
            attributes.insert(name, value);
        }
    }
    let mut ce = of_attributes(attributes)?;
    let of_text = |text: &RawValue, what| serde_json::from_str::<String>(text.get()).context(|| what);
    let of_base64 = |text: &RawValue, what| BASE64_STANDARD.decode(of_text(text, what)?).context(|| what);
    let is_encoded = ce.take_encoding()?;
    // Without a type, data is JSON (JSON format 1.0.2, section 3.1).
    let is_json_data = ce.datacontenttype.as_deref().is_none_or(is_json);
    let (data, ty) = match (data, base64) {
        (Some(data), _) if is_encoded => (of_base64(data, "data")?, "application/octet-stream"),
        (Some(data), _) if is_json_data => (data.get().as_bytes().to_vec(), "application/json"),
        (Some(data), _) if data.get().starts_with('"') => (of_text(data, "data")?.into_bytes(), "text/plain"),
        // What is no text stands for data of its type in a form of its own.
        (Some(data), _) => (data.get().as_bytes().to_vec(), "text/plain"),
        (None, Some(base64)) => (of_base64(base64, "data_base64")?, "application/octet-stream"),
        (None, None) => return Ok(ce),
    };
    ce.data = data;
    ce.datacontenttype.get_or_insert(Cow::Borrowed(ty));
    Ok(ce)
}

/// The text of a member; none if it is there and has no value.
fn attribute(name: &str, value: &RawValue) -> Result<Option<String>> {
    match value.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(value.get()).context(|| format!("attribute `{name}`")).map(Some),
        Some(b'n') => Ok(None),
        Some(b'{' | b'[') => Err(Error::new(format!("attribute `{name}`: expected a string"))),
        _ => Ok(Some(value.get().to_string())),
    }
}

/// An event of these attributes, without data.
fn of_attributes(mut attributes: BTreeMap<String, String>) -> Result<CloudEvent> {
    let mut required = |name: &str| match attributes.remove(name) {
        Some(value) if value.is_empty() => Err(Error::new(format!("attribute `{name}` is empty"))),
        Some(value) => Ok(value),
        None => Err(Error::new(format!("attribute `{name}` is missing"))),
    };
    let version = required("specversion")?;
    let (id, source, ty) = (required("id")?, required("source")?, required("type")?);
    if version != "0.3" && version != "1.0" {
        return Err(Error::new(format!(
            "attribute `specversion` is {version:?}, expected \"1.0\" or \"0.3\""
        )));
    }
    if let Some(schema) = attributes.remove("schemaurl").filter(|_| version == "0.3") {
        attributes.insert("dataschema".to_string(), schema);
    }
    let mut optional = |name: &str| attributes.remove(name).filter(|value| !value.is_empty());
    let (subject, time) = (optional("subject"), optional("time"));
    let datacontenttype = optional("datacontenttype").map(Cow::Owned);
    if let Some(name) = attributes.keys().find(|name| !valid_attribute_name(name)) {
        return Err(Error::new(format!(
            "attribute `{}` cannot be one: names have lower-case letters and digits",
            name.escape_debug()
        )));
    }
    let extensions = attributes.into_iter().filter(|(_, value)| !value.is_empty());
    Ok(CloudEvent {
        id,
        source: source.into(),
        ty: ty.into(),
        name_in_type: None,
        subject,
        time,
        datacontenttype,
        data: Vec::new(),
        extensions: extensions.map(|(name, value)| (name.into(), value.into())).collect(),
    })
}

/// Whether a media type means JSON: its subtype is `json` or ends in `+json`.
pub(crate) fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let subtype = essence.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    subtype == "json" || subtype.ends_with("+json")
}

/// Appends a text in quotes, escaped as Go's encoder does.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain = 0;
    for (at, character) in text.char_indices() {
        let short: &[u8] = match character {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        if short.is_empty() {
            out.extend_from_slice(format!("\\u{:04x}", character as u32).as_bytes());
        } else {
            out.extend_from_slice(short);
        }
        plain = at + character.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CloudEvent {
        CloudEvent {
            id: "i".to_string(),
            source: "https://vc/sdk?a=1&b=<2>".into(),
            ty: "t".into(),
            name_in_type: None,
            subject: Some("a\"\\\u{2028}\u{1}ü".to_string()),
            time: None,
            datacontenttype: Some("application/json".into()),
            data: b"{\"Key\":1}".to_vec(),
            extensions: [("vsphereapiversion".into(), "7.0.3.0".into())].into(),
        }
    }

    fn json(ce: &CloudEvent) -> String {
        let mut out = Vec::new();
        write_json(ce, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_stand_in_their_order_and_are_escaped_as_go_does() {
        assert_eq!(
            json(&sample()),
            concat!(
                r#"{"specversion":"1.0","id":"i","source":"https://vc/sdk?a=1\u0026b=\u003c2\u003e","type":"t","#,
                r#""subject":"a\"\\\u2028\u0001ü","datacontenttype":"application/json","data":{"Key":1},"#,
                r#""vsphereapiversion":"7.0.3.0"}"#
            )
        );
    }

    #[test]
    fn json_comes_back_equal() {
        let mut ce = sample();
        assert_eq!(read_json(&json(&ce)).unwrap(), ce);
        ce.datacontenttype = Some("application/octet-stream".into());
        ce.data = vec![0, 255, 7];
        assert_eq!(read_json(&json(&ce)).unwrap(), ce);
        ce.datacontenttype = Some("text/plain".into());
        ce.data = b"a\nb".to_vec();
        assert_eq!(read_json(&json(&ce)).unwrap(), ce);
        for bad in ["", "[]", "{}", r#"{"id":1}"#, r#"{"id":"a","source":"b"}"#] {
            assert!(read_json(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn name_stands_in_subject_or_type() {
        let mut ce = sample();
        ce.subject = Some("VmPoweredOnEvent".into());
        assert_eq!(ce.name(), "VmPoweredOnEvent");
        ce.subject = None;
        assert_eq!(ce.name(), "t");
        ce.ty = "com.example.LoginFailure.v0".into();
        ce.name_in_type = Some(12..24);
        assert_eq!(ce.name(), "LoginFailure");
        ce.name_in_type = Some(12..99);
        assert_eq!(ce.name(), ce.ty);
    }

    #[test]
    fn other_data_is_a_string_or_base64_and_no_data_is_absent() {
        let mut ce = sample();
        ce.datacontenttype = Some("text/plain; charset=utf-8".into());
        ce.data = b"a\nb".to_vec();
        assert!(json(&ce).contains(r#","data":"a\nb","#));
        ce.datacontenttype = Some("application/octet-stream".into());
        assert!(json(&ce).contains(r#","data_base64":"YQpi","#));
        ce.datacontenttype = None;
        assert!(!json(&ce).contains("data"));
        assert!(
            is_json("application/problem+json; a=b") && is_json("text/JSON") && !is_json("application/jsonl")
        );
    }

    #[test]
    fn empty_data_is_no_member() {
        let ce = CloudEvent { data: Vec::new(), ..sample() };
        assert!(!json(&ce).contains("\"data\""), "{}", json(&ce));
    }

    fn headers(ce: &CloudEvent) -> Vec<String> {
        binary_headers(ce, &[]).iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn binary_headers_are_percent_encoded_once() {
        let ce = CloudEvent {
            id: "a b%20\"ü\u{7f}~!".into(),
            source: "https://vc/sdk?x=%41".into(),
            time: Some("2026-01-02T03:04:05.6Z".into()),
            subject: Some("VmPoweredOnEvent".into()),
            ..sample()
        };
        let expected = [
            "ce-specversion: 1.0",
            "ce-id: a%20b%2520%22%C3%BC%7F~!",
            "ce-source: https://vc/sdk?x=%2541",
            "ce-type: t",
            "ce-subject: VmPoweredOnEvent",
            "ce-time: 2026-01-02T03:04:05.6Z",
            "ce-vsphereapiversion: 7.0.3.0",
            "content-type: application/json",
        ];
        assert_eq!(headers(&ce), expected);
    }

    #[test]
    fn absent_attributes_have_no_header() {
        let ce = CloudEvent {
            subject: None,
            time: None,
            datacontenttype: None,
            data: Vec::new(),
            extensions: [].into(),
            ..sample()
        };
        let names: Vec<_> = binary_headers(&ce, &[]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["ce-specversion", "ce-id", "ce-source", "ce-type"]);
    }

    #[test]
    fn every_character_survives_a_header() {
        for code in (0..0x300).chain([0x2028, 0x20ac, 0xfffd, 0x1f600]) {
            let Some(character) = char::from_u32(code) else { continue };
            let ce = CloudEvent { id: format!("a{character}b"), ..sample() };
            let headers = binary_headers(&ce, &[]);
            let value = &headers[1].1;
            assert!(value.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'"'), "{value}");
            let decoded = percent_encoding::percent_decode_str(value).decode_utf8().unwrap();
            assert_eq!(decoded, ce.id);
        }
    }

    #[test]
    fn attribute_names() {
        for name in ["a", "vsphereapiversion", "0a9", "traceparent"] {
            assert!(valid_attribute_name(name), "{name}");
        }
        for name in ["", "A", "a-b", "a_b", "ä", "a b"] {
            assert!(!valid_attribute_name(name), "{name}");
        }
    }
}
