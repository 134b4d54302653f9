//! Audit events of Horizon: what is asked for, and what an answer becomes. Pure.
//!
//! The REST interface gives the newest first, ends of a span of time included, at most a page at once
//! (Horizon Server API, "List Audit Events"). Members and their order are those that the Go router
//! printed; what it did not know is appended.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;

use crate::cloudevents::incoming::on_one_line;
use crate::cloudevents::{CloudEvent, write_string};
use crate::config::Format;
use crate::error::{Context, Result};
use crate::event::{Event, Lane, Position};
use crate::source::Item;
use crate::vim::json::BrokenEvent;

/// The members of a summary, in the order of the Go router's type.
const MEMBERS: &[&str] = &[
    "application_pool_name",
    "desktop_pool_name",
    "id",
    "machine_dns_name",
    "machine_id",
    "message",
    "module",
    "severity",
    "time",
    "type",
    "user_id",
];
const TYPE_PREFIX: &str = "com.vmware.event.router/horizon.";
const TYPE_PREFIX_KNATIVE: &str = "com.vmware.horizon.";
const TYPE_SUFFIX: &str = ".v0";

/// A span of time in milliseconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Between {
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Path and query that ask for a page of a span.
pub(super) fn list_path(span: Between, page: usize, size: usize) -> String {
    let filter =
        format!(r#"{{"type":"Between","fromValue":{},"name":"time","toValue":{}}}"#, span.from, span.to);
    let filter = utf8_percent_encode(&filter, NON_ALPHANUMERIC);
    format!("/rest/external/v1/audit-events?filter={filter}&page={page}&size={size}")
}

/// Path and query that ask for what only the extended attributes tell of these events.
pub(super) fn details_path(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("ids={id}")).collect();
    format!("/rest/external/v1/audit-events/extended-attributes?{}", ids.join("&"))
}

/// One entry of a page, as it came.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Its number; none if it has none.
    pub(super) id: Option<i64>,
    /// Milliseconds since 1970, likewise.
    pub(super) time: Option<i64>,
    raw: &'a RawValue,
}

/// The entries of an answer, in its order.
///
/// # Errors
/// When it is no array of JSON.
pub(super) fn entries(body: &[u8]) -> Result<Vec<Entry<'_>>> {
    let list: Vec<&RawValue> = serde_json::from_slice(body).context(|| "the list of audit events")?;
    let entry = |raw| {
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_str(RawValue::get(raw)).unwrap_or_default();
        let number = |name: &str| members.get(name)?.get().parse::<i64>().ok();
        Entry { id: number("id"), time: number("time"), raw }
    };
    Ok(list.into_iter().map(entry).collect())
}

/// Extended attributes by the number of their event, each a JSON object.
///
/// # Errors
/// When the answer is no array of JSON.
pub(super) fn details<'a>(body: &'a [u8]) -> Result<BTreeMap<i64, &'a str>> {
    let list: Vec<BTreeMap<String, &'a RawValue>> =
        serde_json::from_slice(body).context(|| "the extended attributes of audit events")?;
    let one = |members: BTreeMap<String, &'a RawValue>| {
        Some((members.get("id")?.get().parse().ok()?, members.get("event_data")?.get()))
    };
    Ok(list.into_iter().filter_map(one).collect())
}

/// The shape of the events of a route.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// `source` of the CloudEvents.
    pub(super) source: Arc<str>,
    pub(super) format: Format,
}

impl Shape {
    /// What an entry becomes, with its extended attributes if there are any.
    pub(super) fn item(&self, entry: &Entry<'_>, details: Option<&str>) -> Item {
        self.event(entry, details).map_or_else(|reason| broken(entry, reason), Item::Event)
    }

    fn event(&self, entry: &Entry<'_>, details: Option<&str>) -> Result<Event, &'static str> {
        let id = entry.id.ok_or("it has no id")?;
        let milliseconds = entry.time.ok_or("it has no time")?;
        let time = Timestamp::from_millisecond(milliseconds).map_err(|_| "its time is none")?;
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_str(entry.raw.get()).map_err(|_| "it is no JSON object")?;
        let text = |name: &str| {
            let text: Option<String> = serde_json::from_str(members.get(name)?.get()).ok()?;
            text.filter(|text| !text.is_empty())
        };
        let name = text("type").unwrap_or_default().to_lowercase();
        let prefix = match self.format {
            Format::Router => TYPE_PREFIX,
            Format::Vspheresource => TYPE_PREFIX_KNATIVE,
        };
        let object = text("machine_id").or_else(|| text("user_id"));
        // The Go router cut the time to seconds.
        let second = Timestamp::from_second(time.as_second()).map_err(|_| "its time is none")?;
        let ty: Cow<'static, str> = [prefix, &name, TYPE_SUFFIX].concat().into();
        Ok(Event {
            position: Position { key: id, time },
            lane: object.as_deref().map_or(Lane::COMMON, Lane::of_object),
            ce: CloudEvent {
                id: id.to_string(),
                source: self.source.clone(),
                name_in_type: name_in_type(&ty),
                ty,
                subject: None,
                time: Some(second.to_string()),
                datacontenttype: Some("application/json".into()),
                data: data(&members, details),
                extensions: [].into(),
            },
            anomalies: Vec::new(),
            receipt: None,
        })
    }
}

/// Where the name of an event stands in a type: `vlsi_userloggedin`.
pub(super) fn name_in_type(ty: &str) -> Option<Range<usize>> {
    let prefix = [TYPE_PREFIX, TYPE_PREFIX_KNATIVE].into_iter().find(|prefix| ty.starts_with(prefix))?;
    let name = ty[prefix.len()..].strip_suffix(TYPE_SUFFIX)?;
    (!name.is_empty()).then(|| prefix.len()..prefix.len() + name.len())
}

fn data(members: &BTreeMap<String, &RawValue>, details: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let unknown = members.keys().map(String::as_str).filter(|name| !MEMBERS.contains(name));
    for name in MEMBERS.iter().copied().chain(unknown) {
        let Some(value) = members.get(name).map(|value| value.get()) else { continue };
        // Go left out what is empty or zero.
        if !matches!(value, "null" | "\"\"" | "0") {
            member(&mut out, name, value);
        }
    }
    if let Some(details) = details {
        member(&mut out, "event_data", details);
    }
    out.push(if out.is_empty() { b'{' } else { b'}' });
    if out == b"{" {
        out.push(b'}');
    }
    on_one_line(out)
}

fn member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    write_string(out, name);
    out.push(b':');
    // Texts are escaped as Go does it.
    match serde_json::from_str::<Cow<'_, str>>(value) {
        Ok(text) => write_string(out, &text),
        Err(_) => out.extend_from_slice(value.as_bytes()),
    }
}

fn broken(entry: &Entry<'_>, reason: &str) -> Item {
    Item::Broken(BrokenEvent {
        key: entry.id,
        created: entry.time.and_then(|time| Timestamp::from_millisecond(time).ok()),
        raw: entry.raw.get().as_bytes().to_vec(),
        reason: format!("an audit event of Horizon: {reason}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(format: Format) -> Shape {
        Shape { source: "https://horizon.corp.local".into(), format }
    }

    fn only(body: &str, format: Format, details: Option<&str>) -> Item {
        let entries = entries(body.as_bytes()).unwrap();
        assert_eq!(entries.len(), 1);
        shape(format).item(&entries[0], details)
    }

    fn event(body: &str, format: Format, details: Option<&str>) -> Event {
        match only(body, format, details) {
            Item::Event(event) => event,
            Item::Broken(broken) => panic!("{}", broken.reason),
        }
    }

    const LOGIN: &str = r#"[{"user_id":"S-1-5-21-1","type":"VLSI_USERLOGGEDIN","time":1633011337123,
        "severity":"AUDIT_SUCCESS","module":"Vlsi","message":"User <CORP\\Administrator> has logged in",
        "machine_dns_name":"cs1.corp.local","machine_id":"","id":98558,"desktop_pool_name":null}]"#;

    #[test]
    fn an_event_has_the_shape_of_the_go_router() {
        let event = event(LOGIN, Format::Router, None);
        assert_eq!(event.ce.ty, "com.vmware.event.router/horizon.vlsi_userloggedin.v0");
        assert_eq!((event.ce.id.as_str(), event.ce.subject.as_deref()), ("98558", None));
        assert_eq!(event.ce.name(), "vlsi_userloggedin");
        assert_eq!(event.ce.time.as_deref(), Some("2021-09-30T14:15:37Z"));
        assert_eq!(event.position.time.as_millisecond(), 1_633_011_337_123);
        assert_eq!(
            String::from_utf8(event.ce.data).unwrap(),
            concat!(
                r#"{"id":98558,"machine_dns_name":"cs1.corp.local","message":"User \u003cCORP\\Administrator\u003e "#,
                r#"has logged in","module":"Vlsi","severity":"AUDIT_SUCCESS","time":1633011337123,"#,
                r#""type":"VLSI_USERLOGGEDIN","user_id":"S-1-5-21-1"}"#
            )
        );
    }

    #[test]
    fn what_is_new_or_asked_for_is_appended() {
        let body = r#"[{"id":1,"time":5,"type":"A","pod":{"a":
            1},"zero":0}]"#;
        let details = r#"{"UserDisplayName":"corp\\administrator"}"#;
        let event = event(body, Format::Vspheresource, Some(details));
        assert_eq!(event.ce.ty, "com.vmware.horizon.a.v0");
        let data = String::from_utf8(event.ce.data).unwrap();
        let expected =
            format!(r#"{{"id":1,"time":5,"type":"A","pod":{{"a":             1}},"event_data":{details}}}"#);
        assert_eq!(data, expected);
    }

    #[test]
    fn what_is_no_event_is_kept_as_it_came() {
        for (body, key) in [(r#"[{"time":5}]"#, None), (r#"[{"id":7,"time":"x"}]"#, Some(7)), ("[5]", None)] {
            let Item::Broken(broken) = only(body, Format::Router, None) else { panic!("{body}") };
            assert_eq!((broken.key, broken.raw.len()), (key, body.len() - 2));
        }
        assert!(entries(b"{}").is_err() && entries(b"").is_err());
    }

    #[test]
    fn a_request_names_span_and_page() {
        assert_eq!(
            list_path(Between { from: 1, to: 2 }, 3, 4),
            "/rest/external/v1/audit-events?filter=%7B%22type%22%3A%22Between%22%2C%22fromValue%22%3A1%2C%22name\
             %22%3A%22time%22%2C%22toValue%22%3A2%7D&page=3&size=4"
        );
        assert!(details_path(&[1, 2]).ends_with("/extended-attributes?ids=1&ids=2"));
        let body = br#"[{"id":1,"event_data":{"a":1}},{"id":2}]"#;
        assert_eq!(details(body).unwrap().into_iter().collect::<Vec<_>>(), [(1, "{\"a\":1}")]);
    }
}
