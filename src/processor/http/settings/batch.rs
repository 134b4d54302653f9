//! `batch`: how several events share a request.

use super::{BatchConfig, Body, HeaderText};
use crate::config::reader::{Table, Value};
use crate::limits;
use crate::template::Template;

/// What stands in the file.
#[derive(Default)]
pub(super) struct Given {
    events_max: Option<usize>,
    bytes_max: Option<u64>,
    separator: Option<String>,
    prefix: Option<String>,
    suffix: Option<String>,
}

/// Reads the keys of the table.
pub(super) fn read(table: &Table<'_>) -> Given {
    Given {
        events_max: table.get("max_events", |value| value.integer(1..=limits::BATCH_EVENTS_MAX)),
        bytes_max: table.get("max_size", |value| value.size(limits::BATCH_BYTES_MIN)),
        separator: table.get("separator", frame),
        prefix: table.get("prefix", frame),
        suffix: table.get("suffix", frame),
    }
}

fn frame(value: &Value<'_>) -> Option<String> {
    match value.text()? {
        text if limits::BATCH_FRAME_BYTES_MAX < text.len() => {
            value.refuse(format!("is longer than {} bytes", limits::BATCH_FRAME_BYTES_MAX))
        }
        text => Some(text),
    }
}

/// The batch of a body, with what does not fit told as problems of the section.
pub(super) fn of_body(
    table: &Table<'_>,
    body: Body,
    given: Option<Given>,
    template: Option<&Template>,
    headers: &[(String, HeaderText)],
) -> Option<BatchConfig> {
    if given.is_none() && body != Body::Batch {
        return None;
    }
    let given = given.unwrap_or_default();
    let is_framed = given.separator.is_some() || given.prefix.is_some() || given.suffix.is_some();
    let problem = match body {
        Body::Structured => Some("`batch` with whole CloudEvents needs body = \"batch\""),
        Body::Binary => Some("`batch` does not go with body = \"binary\": the attributes are headers"),
        Body::Batch if is_framed => {
            Some("body = \"batch\" is a JSON array: leave out `separator`, `prefix` and `suffix`")
        }
        _ if headers.iter().any(|(_, text)| matches!(text, HeaderText::Template(_))) => {
            Some("`batch` does not go with placeholders in `headers`: a request has several events")
        }
        _ => None,
    };
    if let Some(problem) = problem {
        table.problem(problem);
    }
    let own = |text: Option<String>, array: &str, other: &str| match body {
        Body::Batch => array.to_string(),
        _ => text.unwrap_or_else(|| other.to_string()),
    };
    let batch = BatchConfig {
        events_max: given.events_max.unwrap_or(limits::BATCH_EVENTS_DEFAULT),
        bytes_max: usize::try_from(given.bytes_max.unwrap_or(limits::BATCH_BYTES_DEFAULT))
            .unwrap_or(usize::MAX),
        separator: own(given.separator, ",", "\n"),
        prefix: own(given.prefix, "[", ""),
        suffix: own(given.suffix, "]", ""),
    };
    if let Some(Err(error)) =
        template.map(|template| template.check_joined(&batch.prefix, &batch.separator, &batch.suffix))
    {
        table.problem(format!("batch: {error}"));
    }
    Some(batch)
}
