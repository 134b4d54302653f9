//! PutEvents as values: entries out, the outcome of each entry back. Facts: the EventBridge API
//! reference (PutEvents, PutEventsResultEntry) and "Calculating PutEvents event entry size".

use serde::{Deserialize, Serialize};

use super::failure::{Class, classify_entry};
use crate::cloudevents;
use crate::event::Event;

/// Entries of one request.
pub(crate) const ENTRIES_MAX: usize = 10;
/// Characters of a `DetailType`.
const DETAIL_TYPE_CHARS_MAX: usize = 128;
/// Characters of a `Source`.
const SOURCE_CHARS_MAX: usize = 256;
/// What `Time` counts towards the size.
const TIME_BYTES: usize = 14;

/// One event as EventBridge takes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Entry<'e> {
    source: &'e str,
    detail_type: &'e str,
    /// The CloudEvent as JSON text.
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_bus_name: Option<&'e str>,
    /// Seconds since 1970.
    time: f64,
}

impl<'e> Entry<'e> {
    /// The entry of an event for a bus, a name or an ARN; none means the default bus.
    pub(crate) fn new(event: &'e Event, bus: Option<&'e str>) -> Entry<'e> {
        let ce = &event.ce;
        let mut detail = Vec::with_capacity(ce.data.len() + 512);
        cloudevents::write_json(ce, &mut detail);
        Entry {
            source: &ce.source,
            detail_type: ce.name(),
            detail: String::from_utf8(detail)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            event_bus_name: bus,
            time: event.position.time.as_millisecond() as f64 / 1000.0,
        }
    }

    /// The bytes that count towards EventBridge's limit.
    pub(crate) fn bytes(&self) -> usize {
        TIME_BYTES + self.source.len() + self.detail_type.len() + self.detail.len()
    }

    /// Why EventBridge would refuse the entry whenever it is sent: a word and a sentence.
    pub(crate) fn flaw(&self, bytes_max: usize) -> Option<(&'static str, String)> {
        let (bytes, chars) = (self.bytes(), self.detail_type.chars().count());
        if bytes_max < bytes {
            let text = format!("the event has {bytes} bytes, over the limit of {bytes_max} (`max_size`)");
            return Some(("oversize", text));
        }
        if chars == 0 || DETAIL_TYPE_CHARS_MAX < chars {
            let text =
                format!("its name has {chars} characters, and DetailType takes 1 to {DETAIL_TYPE_CHARS_MAX}");
            return Some(("detail-type", text));
        }
        let chars = self.source.chars().count();
        if chars == 0 || SOURCE_CHARS_MAX < chars || self.source.starts_with("aws.") {
            let text = format!("EventBridge does not take {:?} as Source", self.source);
            return Some(("source", text));
        }
        None
    }
}

pub(crate) fn body(entries: &[Entry<'_>]) -> Result<Vec<u8>, String> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct PutEvents<'a> {
        entries: &'a [Entry<'a>],
    }
    serde_json::to_vec(&PutEvents { entries }).map_err(|error| error.to_string())
}

/// Why one entry was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedEntry {
    /// What to do about it.
    pub(crate) class: Class,
    /// A bounded word for metrics.
    pub(crate) reason: &'static str,
    /// The code and what EventBridge says about it.
    pub(crate) text: String,
}

/// The outcome of each of `count` entries, from the body of a 200; none means taken.
///
/// # Errors
/// When the body does not tell the outcome of every entry.
pub(crate) fn outcomes(body: &[u8], count: usize) -> Result<Vec<Option<RefusedEntry>>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        entries: Vec<Outcome>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Outcome {
        event_id: Option<String>,
        error_code: Option<String>,
        error_message: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| format!("the answer is not one of PutEvents: {error}"))?;
    if answer.entries.len() != count {
        return Err(format!("the answer is about {} entries, and {count} were sent", answer.entries.len()));
    }
    let outcome = |outcome: Outcome| match (outcome.event_id, outcome.error_code) {
        (_, Some(code)) if !code.is_empty() => {
            let (class, reason) = classify_entry(&code);
            let message = outcome.error_message.unwrap_or_default();
            Some(RefusedEntry { class, reason, text: format!("{code}: {message}") })
        }
        (Some(id), _) if !id.is_empty() => None,
        _ => Some(RefusedEntry {
            class: Class::Later,
            reason: "malformed",
            text: "the answer holds neither EventId nor ErrorCode for the event".to_string(),
        }),
    };
    Ok(answer.entries.into_iter().map(outcome).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;

    use crate::processor::batches::requests;
    use crate::testing::{Random, event};

    #[test]
    fn entries_say_what_the_go_router_said_and_when_it_happened() {
        let mut event = event(7, "vm-1");
        event.position.time = "2026-05-04T10:11:12.345678Z".parse().unwrap();
        let entry = Entry::new(&event, Some("bus"));
        let body: serde_json::Value =
            serde_json::from_slice(&body(std::slice::from_ref(&entry)).unwrap()).unwrap();
        let entry_of_body = &body["Entries"][0];
        assert_eq!(entry_of_body["Source"], "https://vc01.corp.local/sdk");
        assert_eq!(entry_of_body["DetailType"], "VmPoweredOnEvent");
        assert_eq!(entry_of_body["EventBusName"], "bus");
        assert_eq!(entry_of_body["Time"].to_string(), "1777889472.345");
        let mut detail = Vec::new();
        cloudevents::write_json(&event.ce, &mut detail);
        assert_eq!(entry_of_body["Detail"].as_str().unwrap().as_bytes(), detail);
        let counted = 14 + "https://vc01.corp.local/sdk".len() + "VmPoweredOnEvent".len() + detail.len();
        assert_eq!(entry.bytes(), counted);
        assert_eq!(entry.flaw(counted), None);
        assert_eq!(entry.flaw(counted - 1).unwrap().0, "oversize");
        event.ce.subject = Some("ü".repeat(129));
        assert_eq!(Entry::new(&event, None).flaw(1000).unwrap().0, "detail-type");
        event.ce.subject = Some("ü".repeat(128));
        event.ce.source = "aws.x".into();
        assert_eq!(Entry::new(&event, None).flaw(1000).unwrap().0, "source");
    }

    #[test]
    fn requests_keep_order_and_limits() {
        let mut random = Random::from_test("requests_keep_order_and_limits");
        for _ in 0..2000 {
            let sizes: Vec<usize> = (0..random.below(40)).map(|_| 1 + random.below(500)).collect();
            let max = 500 + random.below(2000);
            let requests = requests(&sizes, ENTRIES_MAX, max);
            let covered: Vec<usize> = requests.iter().cloned().flatten().collect();
            assert_eq!(covered, (0..sizes.len()).collect::<Vec<_>>());
            let bytes = |request: &Range<usize>| sizes[request.clone()].iter().sum::<usize>();
            for pair in requests.windows(2) {
                let more = bytes(&pair[0]) + sizes[pair[1].start];
                assert!(pair[0].len() == ENTRIES_MAX || max < more, "{pair:?} should be one");
            }
            assert!(requests.iter().all(|request| request.len() <= ENTRIES_MAX && bytes(request) <= max));
        }
        assert_eq!(requests(&[700, 10, 10], ENTRIES_MAX, 500), [0..1, 1..3]);
    }

    #[test]
    fn every_entry_has_its_own_outcome() {
        let body = br#"{"FailedEntryCount":2,"Entries":[{"EventId":"a"},
            {"ErrorCode":"ThrottlingException","ErrorMessage":"slow"},{"ErrorCode":"AccessDeniedException"},
            {}]}"#;
        let found = outcomes(body, 4).unwrap();
        assert_eq!(found[0], None);
        let refused: Vec<_> =
            found[1..].iter().flatten().map(|refused| (refused.class, refused.reason)).collect();
        assert_eq!(
            refused,
            [(Class::Throttled, "throttled"), (Class::Never, "denied"), (Class::Later, "malformed")]
        );
        assert_eq!(found[1].as_ref().unwrap().text, "ThrottlingException: slow");
        for wrong in ["", "[]", "{}", "<html>", r#"{"Entries":[{"EventId":"a"}]}"#, r#"{"Entries":[]}"#] {
            assert!(outcomes(wrong.as_bytes(), 4).is_err(), "{wrong}");
        }
    }
}
