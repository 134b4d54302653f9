//! What an answer means. Pure.

use std::ops::RangeInclusive;

use serde_json::Value as Json;

use crate::http::answer::{self, StatusClass};

/// How answers are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// What acknowledges.
    pub(crate) success: Codes,
    /// What is tried again, and nothing else; without it what the common table says.
    pub(crate) retry_on: Option<Codes>,
    /// What of a success is read.
    pub(crate) reading: Reading,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { success: Codes(vec![200..=299]), retry_on: None, reading: Reading::Status }
    }
}

/// A set of statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Codes(pub(crate) Vec<RangeInclusive<u16>>);

impl Codes {
    fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// What a status means for the events of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Acknowledged.
    Delivered,
    /// Not now.
    Later,
    /// Not from us, or not there.
    Sender,
    /// Never: the same will be refused again.
    Never,
}

impl Rules {
    /// The class of a status: what the configuration says, then the common table, then what is usual
    /// where nothing is known about the receiver. An address that leads nowhere is no fault of an event.
    pub(super) fn class(&self, status: u16) -> Class {
        if self.success.contains(status) {
            return Class::Delivered;
        }
        if let Some(retry_on) = &self.retry_on
            && retry_on.contains(status)
        {
            return Class::Later;
        }
        match (answer::class_of(status), status) {
            (StatusClass::Event, _) => Class::Never,
            // A 2xx that is no success here comes from somebody else, such as a page for guests.
            (StatusClass::Sender | StatusClass::Accepted, _) | (_, 404 | 410) => Class::Sender,
            _ if self.retry_on.is_some() => Class::Never,
            (_, 408 | 425 | 429) => Class::Later,
            (_, 100..=499) => Class::Never,
            _ => Class::Later,
        }
    }

    /// The class of one item of a bulk request. What is there already is what we want.
    pub(super) fn item_class(&self, status: u16) -> Class {
        if status == 409 { Class::Delivered } else { self.class(status) }
    }

    /// What to do about a refusal of the sender or the address.
    pub(super) fn cure(&self, status: u16) -> &'static str {
        match status {
            200..=299 => "is this the receiver's address? `success` does not name this status",
            404 | 410 => "correct the address: nothing is there",
            _ => answer::sender_cure(status),
        }
    }
}

/// What of an answer is read beside its status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nothing.
    #[default]
    Status,
    /// What was rejected, by the protocol of OpenTelemetry.
    Otlp,
    /// What became of each item, by Elasticsearch's bulk API.
    Bulk,
}

/// The statuses that OTLP over HTTP retries, and no others (OTLP specification, "Failures").
pub(super) fn otlp_retries() -> Codes {
    Codes(vec![429..=429, 502..=504])
}

/// Why a receiver of OTLP rejected records although it answers with success (OTLP specification,
/// "Partial Success"); none if it took all. What is no JSON rejects nothing: some answer with nothing.
pub(super) fn otlp_rejection(body: &[u8]) -> Option<String> {
    let answer: Json = serde_json::from_slice(body).ok()?;
    let partial = answer.get("partialSuccess")?;
    let rejected = &partial["rejectedLogRecords"];
    let count = rejected.as_i64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0);
    let reason = partial["errorMessage"].as_str().unwrap_or_default();
    (0 < count).then(|| format!("{count} records rejected: {reason}"))
}

/// What became of one item of a bulk request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BulkItem {
    pub(super) status: u16,
    /// Type and reason of its error.
    pub(super) reason: String,
}

/// The items of a bulk request's answer, in order (Elasticsearch, "Bulk API").
///
/// # Errors
/// Why the answer says nothing about them.
pub(super) fn bulk_items(body: &[u8], count: usize) -> Result<Vec<BulkItem>, String> {
    let answer: Json = serde_json::from_slice(body).map_err(|_| "the answer is not JSON".to_string())?;
    let items = answer["items"].as_array().ok_or("the answer has no items")?;
    if items.len() != count {
        return Err(format!("the answer has {} items for {count} events", items.len()));
    }
    let read = |item: &Json| {
        // The member is called as the operation: index, create, update.
        let outcome = item.as_object()?.values().next()?;
        let status = u16::try_from(outcome["status"].as_u64()?).ok()?;
        let text = |name: &str| outcome["error"][name].as_str().unwrap_or_default().to_string();
        Some(BulkItem { status, reason: format!("{}: {}", text("type"), text("reason")) })
    };
    items
        .iter()
        .map(|item| read(item).ok_or_else(|| "an item of the answer has no status".to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_class() {
        let plain = Rules::default();
        for status in 0..=u16::MAX {
            let expected = match status {
                200..300 => Class::Delivered,
                408 | 425 | 429 | 500..=u16::MAX => Class::Later,
                300..400 | 401..=407 | 410 | 421 | 426 => Class::Sender,
                100..500 => Class::Never,
                _ => Class::Later,
            };
            assert_eq!(plain.class(status), expected, "{status}");
        }
    }

    #[test]
    fn the_configuration_goes_before_the_table() {
        let rules = Rules {
            success: Codes(vec![200..=200, 409..=409]),
            retry_on: Some(Codes(vec![429..=429, 413..=413])),
            reading: Reading::Status,
        };
        for (status, class) in [
            (200, Class::Delivered),
            (409, Class::Delivered),
            (202, Class::Sender),
            (413, Class::Later),
            (429, Class::Later),
            (400, Class::Never),
            (401, Class::Sender),
            (404, Class::Sender),
            (408, Class::Never),
            (500, Class::Never),
            (503, Class::Never),
        ] {
            assert_eq!(rules.class(status), class, "{status}");
        }
    }

    #[test]
    fn what_otlp_rejects_is_read_from_the_answer() {
        let read = |text: &str| otlp_rejection(text.as_bytes());
        for nothing in [
            "",
            "{}",
            "no",
            r#"{"partialSuccess":{}}"#,
            r#"{"partialSuccess":{"rejectedLogRecords":"0","errorMessage":"warning"}}"#,
        ] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
        for count in ["2", "\"2\""] {
            let text =
                format!(r#"{{"partialSuccess":{{"rejectedLogRecords":{count},"errorMessage":"too old"}}}}"#);
            assert_eq!(read(&text).as_deref(), Some("2 records rejected: too old"));
        }
        for status in 0..=u16::MAX {
            let again = matches!(status, 429 | 502 | 503 | 504);
            assert_eq!(otlp_retries().contains(status), again, "{status}");
        }
    }

    #[test]
    fn items_of_a_bulk_answer_are_read_in_order() {
        let good = r#"{"errors":true,"items":[{"create":{"status":201}},{"index":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"no date"}}}]}"#;
        let items = bulk_items(good.as_bytes(), 2).unwrap();
        assert_eq!((items[0].status, items[1].status), (201, 400));
        assert_eq!(items[1].reason, "mapper_parsing_exception: no date");
        for (bad, count) in
            [("no", 1), ("{}", 1), (good, 3), (r#"{"items":[{}]}"#, 1), (r#"{"items":[{"a":{}}]}"#, 1)]
        {
            assert!(bulk_items(bad.as_bytes(), count).is_err(), "{bad}");
        }
    }
}
