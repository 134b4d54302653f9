//! CloudEvents of an HTTP request that came in, in binary, structured and batched mode (HTTP binding
//! 1.0.2). Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{CloudEvent, is_json, of_attributes, read_json};
use crate::error::{Context, Error, Result};

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing says that it is a CloudEvent: status 415.
    NoEvent(String),
    /// It holds no CloudEvent, nor anything else that is known: status 415.
    Unknown(String),
    /// It should hold one, and does not: status 400.
    Broken(Error),
    /// It holds more than anybody needs: status 413.
    TooMany(String),
}

/// The events of a request, all of them or none. `headers` are its fields, `events_max` bounds a batch.
///
/// # Errors
/// Why it holds none, for its sender.
pub(crate) fn read(
    headers: &[(String, String)],
    body: &[u8],
    events_max: usize,
) -> Result<Vec<CloudEvent>, Refusal> {
    let field = |name: &str| {
        headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if let Some(coding) = field("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity"))
    {
        return Err(Refusal::Unknown(format!("the content coding {coding:?} is not known here")));
    }
    let content_type = field("content-type");
    let essence = content_type.map_or("", essence_of).to_ascii_lowercase();
    match essence.strip_prefix("application/cloudevents") {
        Some("+json") => {
            let text = text_of(body).map_err(Refusal::Broken)?;
            Ok(vec![structured(text).context(|| "the CloudEvent").map_err(Refusal::Broken)?])
        }
        Some("-batch+json") => batch(body, events_max),
        Some(_) => Err(Refusal::Unknown(format!("the format {essence} is not known here: send +json"))),
        None if field("ce-specversion").is_some() => {
            let event = binary(headers, content_type, body).context(|| "the CloudEvent");
            Ok(vec![event.map_err(Refusal::Broken)?])
        }
        None => Err(Refusal::NoEvent(
            "this is no CloudEvent: send the fields ce-specversion, ce-id, ce-source and ce-type, or \
             content-type application/cloudevents+json"
                .to_string(),
        )),
    }
}

/// A media type without its parameters.
pub(crate) fn essence_of(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// A body that must be text.
fn text_of(body: &[u8]) -> Result<&str> {
    std::str::from_utf8(body).context(|| "the body is not UTF-8")
}

/// JSON text on one line: a line feed of JSON can only stand between its values.
pub(crate) fn on_one_line(mut json: Vec<u8>) -> Vec<u8> {
    json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    json
}

fn structured(text: &str) -> Result<CloudEvent> {
    let mut ce = read_json(text)?;
    if ce.datacontenttype.as_deref().is_some_and(is_json) {
        ce.data = on_one_line(ce.data);
    }
    Ok(ce)
}

fn batch(body: &[u8], events_max: usize) -> Result<Vec<CloudEvent>, Refusal> {
    let text = text_of(body).map_err(Refusal::Broken)?;
    let events: Vec<&RawValue> =
        serde_json::from_str(text).context(|| "the batch is not a JSON array").map_err(Refusal::Broken)?;
    if events_max < events.len() {
        return Err(Refusal::TooMany(format!("{} events in one batch, at most {events_max}", events.len())));
    }
    let events = events.iter().enumerate().map(|(place, event)| {
        structured(event.get()).context(|| format!("CloudEvent {} of the batch", place + 1))
    });
    events.collect::<Result<_>>().map_err(Refusal::Broken)
}

fn binary(headers: &[(String, String)], content_type: Option<&str>, body: &[u8]) -> Result<CloudEvent> {
    let mut attributes = BTreeMap::new();
    for (name, value) in headers {
        let Some(name) = prefixed(name) else { continue };
        let value = decoded(value.trim()).context(|| format!("field ce-{name}"))?;
        if attributes.insert(name.clone(), value).is_some() {
            return Err(Error::new(format!("field ce-{name} stands there twice")));
        }
    }
    // The field of HTTP says it.
    attributes.remove("datacontenttype");
    let mut ce = of_attributes(attributes)?;
    // The body is what it is, whatever an event of version 0.3 says about a text in JSON.
    ce.take_encoding()?;
    if body.is_empty() {
        ce.datacontenttype = content_type.map(|ty| Cow::Owned(ty.to_string()));
        return Ok(ce);
    }
    let valid = || checked_json(body);
    ce.datacontenttype = Some(match content_type {
        Some(ty) => Cow::Owned(ty.to_string()),
        None if valid().is_ok() => Cow::Borrowed("application/json"),
        None => Cow::Borrowed("application/octet-stream"),
    });
    ce.data = match ce.datacontenttype.as_deref().is_some_and(is_json) {
        true => valid()?,
        false => body.to_vec(),
    };
    Ok(ce)
}

/// A body that must be one JSON value, on one line.
pub(crate) fn checked_json(body: &[u8]) -> Result<Vec<u8>> {
    serde_json::from_slice::<IgnoredAny>(body).context(|| "the data is not JSON")?;
    text_of(body)?;
    Ok(on_one_line(body.to_vec()))
}

fn prefixed(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_at_checked(3)?;
    prefix.eq_ignore_ascii_case("ce-").then(|| rest.to_ascii_lowercase())
}

/// The value of a field: quotes around it are taken off, then percent encoding is undone once
/// (HTTP binding 1.0.2, section 3.1.3.2).
fn decoded(value: &str) -> Result<String> {
    let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let unquoted = match bare {
        None => value.to_string(),
        Some(bare) => {
            let mut text = String::with_capacity(bare.len());
            let mut characters = bare.chars();
            while let Some(character) = characters.next() {
                text.extend(if character == '\\' { characters.next() } else { Some(character) });
            }
            text
        }
    };
    let text = percent_decode_str(&unquoted).decode_utf8();
    Ok(text.context(|| "its percent encoding is not UTF-8")?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudevents::{binary_headers, write_json};

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn essential(more: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = [("Ce-Specversion", "1.0"), ("CE-ID", "1"), ("ce-source", "/s"), ("ce-type", "t")];
        fields(&[&pairs[..], more].concat())
    }

    fn one(headers: &[(String, String)], body: &str) -> CloudEvent {
        let events = read(headers, body.as_bytes(), 10).unwrap();
        assert_eq!(events.len(), 1);
        events.into_iter().next().unwrap()
    }

    #[test]
    fn what_we_write_is_read_back_in_both_modes() {
        let ce = CloudEvent {
            id: "a b%20\"ü".into(),
            source: "https://vc/sdk?x=%41".into(),
            ty: "t".into(),
            name_in_type: None,
            subject: Some("s".into()),
            time: Some("2026-01-02T03:04:05Z".into()),
            datacontenttype: Some("application/json".into()),
            data: b"{\"a\":1}".to_vec(),
            extensions: [("dataschema".into(), "http://s".into()), ("x1".into(), "y z".into())].into(),
        };
        let headers: Vec<(String, String)> =
            binary_headers(&ce, &[]).into_iter().map(|(a, b)| (a.into(), b.into())).collect();
        assert_eq!(one(&headers, std::str::from_utf8(&ce.data).unwrap()), ce);
        let mut json = Vec::new();
        write_json(&ce, &mut json);
        let ty = fields(&[("Content-Type", "Application/CloudEvents+JSON; charset=utf-8")]);
        assert_eq!(one(&ty, std::str::from_utf8(&json).unwrap()), ce);
        let two = [b"[", &json[..], b",", &json[..], b"]"].concat();
        let ty = fields(&[("content-type", "application/cloudevents-batch+json")]);
        assert_eq!(read(&ty, &two, 2).unwrap(), [ce.clone(), ce]);
        assert_eq!(read(&ty, b"[]", 2).unwrap(), []);
        assert!(matches!(read(&ty, &two, 1), Err(Refusal::TooMany(_))));
    }

    #[test]
    fn fields_are_decoded_once_and_quotes_taken_off() {
        for (value, expected) in [
            ("\"a \\\"b\\\"\"", "a \"b\""),
            ("%C3%BC%2520%zz", "ü%20%zz"),
            ("%e2%82%ac", "€"),
            ("plain", "plain"),
        ] {
            assert_eq!(one(&essential(&[("ce-subject", value)]), "").subject.unwrap(), expected);
        }
        assert!(matches!(read(&essential(&[("ce-subject", "%C0%80")]), b"", 1), Err(Refusal::Broken(_))));
        assert!(matches!(read(&essential(&[("ce-Id", "2")]), b"", 1), Err(Refusal::Broken(_))));
    }

    #[test]
    fn data_is_of_the_type_that_is_said_or_seen() {
        let ty = |ce: &CloudEvent| ce.datacontenttype.clone().unwrap_or_default().into_owned();
        let ce = one(&essential(&[]), "{\n\"a\": \"\\n\"}");
        assert_eq!((ty(&ce).as_str(), &ce.data[..]), ("application/json", &b"{ \"a\": \"\\n\"}"[..]));
        assert_eq!(ty(&one(&essential(&[]), "a")), "application/octet-stream");
        let ce = one(&essential(&[("content-type", "text/plain")]), "a\nb");
        assert_eq!((ty(&ce).as_str(), &ce.data[..]), ("text/plain", &b"a\nb"[..]));
        assert_eq!(one(&essential(&[]), "").datacontenttype, None);
        let json = essential(&[("content-type", "application/json")]);
        for bad in ["{", "1},\"id\":{", "{} {}", "nul"] {
            assert!(matches!(read(&json, bad.as_bytes(), 1), Err(Refusal::Broken(_))), "{bad}");
        }
    }

    #[test]
    fn version_0_3_becomes_1_0() {
        let ty = fields(&[("content-type", "application/cloudevents+json")]);
        let ce = one(
            &ty,
            r#"{"specversion":"0.3","id":"1","source":"/s","type":"t","schemaurl":"http://s","n":5,"b":true,
                "datacontentencoding":"base64","datacontenttype":"text/plain","data":"YQ==","none":null}"#,
        );
        assert_eq!((&ce.data[..], ce.datacontenttype.as_deref()), (&b"a"[..], Some("text/plain")));
        let extensions: Vec<_> = ce.extensions.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(extensions, [("b", "true"), ("dataschema", "http://s"), ("n", "5")]);
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        let ty = fields(&[("content-type", "application/cloudevents+json")]);
        for (body, said) in [
            ("", "not a JSON object"),
            ("[]", "not a JSON object"),
            (r#"{"id":"1","source":"/s","type":"t"}"#, "`specversion` is missing"),
            (r#"{"specversion":"2.0","id":"1","source":"/s","type":"t"}"#, "is \"2.0\", expected \"1.0\""),
            (r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#, "`id` is empty"),
            (r#"{"specversion":"1.0","id":"1","source":"/s"}"#, "`type` is missing"),
            (r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","a_b":"c"}"#, "`a_b` cannot be one"),
            (r#"{"specversion":"1.0","id":{},"source":"/s","type":"t"}"#, "`id`: expected a string"),
        ] {
            let Err(Refusal::Broken(error)) = read(&ty, body.as_bytes(), 1) else { panic!("{body}") };
            assert!(error.to_string().contains(said), "{body}: {error}");
        }
        for headers in [
            &[("content-type", "application/cloudevents+avro")][..],
            &[("ce-specversion", "1.0"), ("content-encoding", "gzip")],
        ] {
            assert!(matches!(read(&fields(headers), b"{}", 1), Err(Refusal::Unknown(_))), "{headers:?}");
        }
        for headers in [&[("content-type", "application/json")][..], &[]] {
            assert!(matches!(read(&fields(headers), b"{}", 1), Err(Refusal::NoEvent(_))), "{headers:?}");
        }
    }

    #[test]
    fn a_thousand_values_inside_each_other_are_refused_without_harm() {
        let deep = "[".repeat(100_000);
        assert!(read(&essential(&[("content-type", "application/json")]), deep.as_bytes(), 1).is_err());
        let ty = fields(&[("content-type", "application/cloudevents+json")]);
        let event = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{deep}"#);
        assert!(read(&ty, event.as_bytes(), 1).is_err());
    }
}
