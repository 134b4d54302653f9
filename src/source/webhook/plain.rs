//! Plain JSON that becomes an event: what tools post that know nothing of CloudEvents. The settings say
//! which attribute is a fixed text, and which stands in the body; the body is the data.

use jiff::Timestamp;

use super::window::Key;
use crate::cloudevents::CloudEvent;
use crate::cloudevents::incoming::{Refusal, checked_json, essence_of};
use crate::config::reader::{Table, Value};
use crate::error::{Error, Result};
use crate::http::server::InRequest;
use crate::template::Lookup;

/// Where the attributes of an event come from.
#[derive(Clone, Debug)]
pub(super) struct PlainConfig {
    ty: Text,
    // Without one the path that it is posted to.
    source: Option<Text>,
    subject: Option<Text>,
    // Without one, or where the body has none: its digest, so that a repeated body is the same event.
    id: Option<Lookup>,
    time: Option<Lookup>,
}

#[derive(Clone, Debug)]
enum Text {
    Fixed(String),
    At(String, Lookup),
}

/// A number that is larger counts milliseconds, not seconds: as seconds it is the year 5138.
const SECONDS_MAX: i64 = 100_000_000_000;

impl PlainConfig {
    /// The event of a request that holds no CloudEvent.
    pub(super) fn event(&self, request: &InRequest) -> Result<CloudEvent, Refusal> {
        let content_type = request.header("content-type").unwrap_or("application/json");
        if !crate::cloudevents::is_json(content_type) {
            let essence = essence_of(content_type);
            return Err(Refusal::Unknown(format!("{essence:?} is neither a CloudEvent nor JSON")));
        }
        self.read(request.path(), &request.body).map_err(Refusal::Broken)
    }

    fn read(&self, path: &str, body: &[u8]) -> Result<CloudEvent> {
        let data = checked_json(body)?;
        if !data.trim_ascii_start().starts_with(b"{") {
            return Err(Error::new("the body is not a JSON object"));
        }
        let text = |text: &Option<Text>| text.as_ref().and_then(|text| text.of(&data));
        let required = |name, wanted: &Text| {
            wanted.of(&data).ok_or_else(|| {
                let Text::At(path, _) = wanted else { return Error::new(String::new()) };
                Error::new(format!("the {name} of the event: no text or number stands at {path} of the body"))
            })
        };
        let source = match &self.source {
            Some(source) => required("source", source)?,
            None => path.to_string(),
        };
        let at = |lookup: &Option<Lookup>| lookup.as_ref().and_then(|lookup| text_at(lookup, &data));
        Ok(CloudEvent {
            id: at(&self.id).unwrap_or_else(|| Key::of(&source, body).to_string()),
            ty: required("type", &self.ty)?.into(),
            source: source.into(),
            name_in_type: None,
            subject: text(&self.subject),
            time: at(&self.time).map(|text| time(&text)).transpose()?,
            datacontenttype: Some("application/json".into()),
            data,
            extensions: Default::default(),
        })
    }
}

impl Text {
    fn of(&self, data: &[u8]) -> Option<String> {
        match self {
            Text::Fixed(text) => Some(text.clone()),
            Text::At(_, lookup) => text_at(lookup, data),
        }
    }
}

fn text_at(lookup: &Lookup, data: &[u8]) -> Option<String> {
    lookup.text_in(data).map(|text| text.into_owned()).filter(|text| !text.is_empty())
}

/// RFC 3339 as it is, or a number of seconds or milliseconds since 1970.
fn time(text: &str) -> Result<String> {
    let number = match text.parse::<i64>() {
        Ok(number) if number.abs() <= SECONDS_MAX => Timestamp::from_second(number),
        Ok(number) => Timestamp::from_millisecond(number),
        Err(_) => return text.parse::<Timestamp>().map(|_| text.to_string()).map_err(|_| no_time(text)),
    };
    number.map(|time| time.to_string()).map_err(|_| no_time(text))
}

fn no_time(text: &str) -> Error {
    Error::new(format!(
        "the time of the event: {text:?} is neither RFC 3339 nor a number of seconds or milliseconds since 1970"
    ))
}

/// Reads `event`.
pub(super) fn read(table: &Table<'_>) -> Option<PlainConfig> {
    let ty = table.required("type", text);
    let source = table.get("source", text);
    let subject = table.get("subject", text);
    let id = table.get("id", path);
    let time = table.get("time", path);
    Some(PlainConfig { ty: ty?, source, subject, id, time })
}

fn text(value: &Value<'_>) -> Option<Text> {
    let text = value.string()?;
    if text.starts_with('$') {
        return Some(Text::At(text.to_string(), path(value)?));
    }
    if text.is_empty() || !crate::cloudevents::is_string(text) {
        return value.refuse("expected a text without control characters, or a path such as \"$.rule\"");
    }
    Some(Text::Fixed(text.to_string()))
}

fn path(value: &Value<'_>) -> Option<Lookup> {
    let text = value.string()?;
    if !text.starts_with('$') {
        return value
            .refuse(format!("{text:?} would be the same for all events: write a path such as \"$.id\""));
    }
    Lookup::first_of(&[text]).map_err(|error| value.problem(error.to_string())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Text {
        Text::At(path.to_string(), lookup(path))
    }

    fn lookup(path: &str) -> Lookup {
        Lookup::first_of(&[path]).unwrap()
    }

    #[test]
    fn attributes_come_from_the_body_and_the_body_is_the_data() {
        let config = PlainConfig {
            ty: at("$.kind"),
            source: None,
            subject: Some(at("$.a.b[1]")),
            id: Some(lookup("$.id")),
            time: Some(lookup("$.at")),
        };
        let body = br#"{"kind":"k\u0065y","a":{"b":[0,"x"]},"id":7,"at":1586922308}"#;
        let ce = config.read("/hook", body).unwrap();
        assert_eq!((&*ce.id, &*ce.ty, &*ce.source), ("7", "key", "/hook"));
        assert_eq!((ce.subject.as_deref(), ce.time.as_deref()), (Some("x"), Some("2020-04-15T03:45:08Z")));
        assert_eq!(ce.data, body);
        // What an event need not have may be missing.
        let ce = config.read("/hook", b"{\"kind\":\"k\",\"id\":null}").unwrap();
        assert_eq!((ce.subject, ce.time, ce.id.len()), (None, None, 32));
        for (body, words) in [
            (&b"{\"kind\":{}}"[..], "the type of the event: no text or number stands at $.kind"),
            (b"{}", "no text or number stands at $.kind"),
            (b"[{\"kind\":\"k\"}]", "not a JSON object"),
            (b"{\"kind\":\"k\"", "not JSON"),
            (b"{\"kind\":\"k\"}x", "not JSON"),
            (b"", "not JSON"),
            (b"\"\xff\"", "not UTF-8"),
            (b"{\"kind\":\"k\",\"at\":\"today\"}", "\"today\" is neither RFC 3339"),
            (b"{\"kind\":\"k\",\"at\":9223372036854775807}", "is neither RFC 3339"),
        ] {
            let error = config.read("/hook", body).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn an_id_that_is_missing_is_made_of_the_body() {
        let source = Some(at("$.s"));
        let config = PlainConfig { ty: Text::Fixed("t".into()), source, subject: None, id: None, time: None };
        let id = |body: &str| config.read("/", body.as_bytes()).unwrap().id;
        assert_eq!(id("{\"s\":1,\"a\":1}"), id("{\"s\":1,\"a\":1}"));
        assert_ne!(id("{\"s\":1,\"a\":1}"), id("{\"s\":1,\"a\":2}"));
        assert!(config.read("/", b"{}").unwrap_err().to_string().contains("the source of the event"));
    }

    /// What is said about a webhook with these keys of `event`; empty if it is right.
    fn said(keys: &str) -> Vec<String> {
        let text = format!(
            "[source.a]\ntype = 'webhook'\nbind = '127.0.0.1:0'\nevent = {keys}\n[processor.b]\ntype = 'stdout'\n"
        );
        let parsed = crate::kinds::parse(
            &text,
            std::path::Path::new("router.toml"),
            &crate::config::file::Overrides::default(),
            &|_| None,
        );
        parsed.map_or_else(|problems| problems.iter().map(ToString::to_string).collect(), |_| Vec::new())
    }

    #[test]
    fn each_mistake_is_one_clear_line() {
        let all = "{ type = '$.kind', source = 'urn:a', subject = 'b', id = '$.id', time = '$.a.at' }";
        assert_eq!(said(all), [""; 0]);
        for (keys, words) in [
            ("{}", "source.a.event.type: is missing"),
            ("'alarm'", "source.a.event: holds keys of its own"),
            ("{ type = '' }", "event.type: expected a text without control"),
            ("{ type = 1 }", "event.type: expected a string"),
            ("{ type = '$kind' }", "\"$kind\" is no path: after $ a dot or a bracket follows"),
            ("{ type = '$.a[b]' }", "neither an index nor [*]"),
            ("{ typ = 'a' }", "did you mean `type`?"),
            ("{ type = 'a', id = 'x' }", "\"x\" would be the same for all events: write a path"),
            ("{ type = 'a', time = 'now' }", "\"now\" would be the same for all events"),
            ("{ type = 'a', id = '$' }", "names no member"),
            ("{ type = 'a', subject = '$..b' }", "`..` is not known"),
            ("{ type = 'a', source = \"a\\nb\" }", "event.source: "),
            ("{ type = 'a', data = '$.b' }", "not a known key; known here: type, source, subject, id, time"),
        ] {
            let said = said(keys);
            assert_eq!(said.len(), 1, "{keys}: {said:?}");
            assert!(said[0].contains(words) && !said[0].contains('\n'), "{keys}: {said:?}");
        }
    }

    #[test]
    fn times_are_read_as_tools_write_them() {
        for (text, read) in [
            ("1586922308", "2020-04-15T03:45:08Z"),
            ("1586922308123", "2020-04-15T03:45:08.123Z"),
            ("2020-04-15T05:45:08+02:00", "2020-04-15T05:45:08+02:00"),
        ] {
            assert_eq!(time(text).unwrap(), read);
        }
        for bad in ["", "now", "2020-04-15", "1586922308.5", "99999999999999999"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
