//! The text of a record: small JSON that a person can read, with a checksum. Pure: text in, values out.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::limits::CLOCK_TOLERANCE;
use crate::position::progress::{EventName, Progress};
use crate::position::window::{Span, Window, second_end};

const FORMAT: u32 = 1;
const PROGRAM: &str = concat!("event-router ", env!("CARGO_PKG_VERSION"));

/// What a checkpoint file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The source's address, for the reader of the file.
    pub(crate) address: String,
    /// The source's identity (vCenter's `instanceUuid`).
    pub(crate) identity: String,
    /// How far the route has come.
    pub progress: Progress,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    program: String,
    source: SourceRecord,
    start: String,
    time: String,
    // The last settled event: for people only. Older records do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<LastRecord>,
    // How far the source's clock was ahead of this machine's. Where they agree nothing is written, and
    // older records do not have it.
    #[serde(default, skip_serializing_if = "is_small")]
    clock_offset_ms: i64,
    // The source's clock was set back, and not all that was recorded before is read yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    held: bool,
    settled: Vec<SecondRecord>,
    checksum: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceRecord {
    address: String,
    identity: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastRecord {
    r#type: String,
    id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecondRecord {
    // A whole second, or the moment in it at which the source's keys began again.
    second: String,
    // The time of the latest event of `keys`. Older records do not have it: there, the whole second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latest: Option<String>,
    keys: String,
}

/// The text of a checkpoint file.
pub(crate) fn encode(checkpoint: &Checkpoint) -> Result<String> {
    let progress = &checkpoint.progress;
    let settled = progress.settled.spans().map(|span| SecondRecord {
        second: span.begin.to_string(),
        latest: Some(span.latest.to_string()),
        keys: span.ranges.into_iter().map(range_text).collect::<Vec<_>>().join(" "),
    });
    let last = |name: &EventName| LastRecord { r#type: name.ty.clone(), id: name.id.clone() };
    let mut record = Record {
        format: FORMAT,
        program: PROGRAM.to_string(),
        source: SourceRecord { address: checkpoint.address.clone(), identity: checkpoint.identity.clone() },
        start: progress.start.to_string(),
        time: progress.time.to_string(),
        last: progress.last.as_ref().map(last),
        clock_offset_ms: i64::try_from(progress.clock_offset.as_millis()).unwrap_or_default(),
        held: progress.settled.is_held(),
        settled: settled.collect(),
        checksum: String::new(),
    };
    record.checksum = checksum(&record)?;
    let mut text = serde_json::to_string_pretty(&record).context(|| "encode checkpoint")?;
    text.push('\n');
    Ok(text)
}

fn is_small(offset_ms: &i64) -> bool {
    u128::from(offset_ms.unsigned_abs()) <= CLOCK_TOLERANCE.as_millis()
}

/// What every format has: by it a record of a later version is told from a damaged one.
#[derive(Deserialize)]
struct Header {
    format: u32,
    program: String,
}

/// The checkpoint that a file's text tells.
///
/// # Errors
/// When anything is missing or changed, or another version wrote it; the text goes on behind the name of
/// the file.
pub(crate) fn decode(text: &[u8]) -> Result<Checkpoint> {
    let header = serde_json::from_slice::<Header>(text).ok();
    if let Some(Header { format, program }) = header.as_ref().filter(|header| FORMAT < header.format) {
        return Err(Error::new(format!(
            "is of a newer format ({format}, here {FORMAT}), written by {program}: start that version again"
        )));
    }
    let by = match header {
        Some(header) if header.program != PROGRAM => {
            format!(", or {} knows more than {PROGRAM}", header.program)
        }
        _ => String::new(),
    };
    read(text).map_err(|error| Error::new(format!("is damaged{by}: {error}")))
}

fn read(text: &[u8]) -> Result<Checkpoint> {
    let mut record: Record = serde_json::from_slice(text).map_err(|error| Error::new(error.to_string()))?;
    if record.format != FORMAT {
        return Err(Error::new(format!("there is no format {}", record.format)));
    }
    let told = std::mem::take(&mut record.checksum);
    if told != checksum(&record)? {
        return Err(Error::new("its checksum does not fit its content"));
    }
    let start = time(&record.start)?;
    let newest = time(&record.time)?;
    let spans: Vec<Span> = record.settled.iter().map(span).collect::<Result<_>>()?;
    // Before the first settled event the time is the start, and the window has no newest event.
    let newest_settled = (!spans.is_empty() || start != newest).then_some(newest);
    let mut settled = Window::restore(newest_settled, spans);
    if record.held {
        settled.hold();
    }
    let last = record.last.map(|last| EventName { ty: last.r#type, id: last.id });
    Ok(Checkpoint {
        address: record.source.address,
        identity: record.source.identity,
        progress: Progress {
            start,
            time: newest,
            settled,
            last,
            clock_offset: SignedDuration::from_millis(record.clock_offset_ms),
        },
    })
}

fn span(record: &SecondRecord) -> Result<Span> {
    let begin = time(&record.second)?;
    let latest = record.latest.as_deref().map_or(Ok(second_end(begin)), time)?;
    let ranges = record.keys.split_ascii_whitespace().map(parse_range).collect::<Result<_>>()?;
    Ok(Span { begin, latest, ranges })
}

// Of the record with an empty checksum, so that white space and line ends of the file do not count.
fn checksum(record: &Record) -> Result<String> {
    let text = serde_json::to_vec(record).context(|| "encode checkpoint")?;
    Ok(format!("crc32:{:08x}", crc32fast::hash(&text)))
}

fn time(text: &str) -> Result<Timestamp> {
    text.parse().map_err(|_| Error::new(format!("`{text}` is not a time")))
}

// Keys may be negative, so the range sign is two dots.
fn range_text((first, last): (i64, i64)) -> String {
    if first == last { first.to_string() } else { format!("{first}..{last}") }
}

fn parse_range(text: &str) -> Result<(i64, i64)> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err(Error::new(format!("`{text}` is not a range of keys"))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::Position;
    use crate::testing::Random;
    use std::time::Duration;

    pub(in crate::position) fn checkpoint(second: i64) -> Checkpoint {
        let time = Timestamp::from_second(second).unwrap();
        let mut settled = Window::default();
        for key in [-3, -2, 7, 8, 9, 2_147_483_647] {
            settled.insert(Position { key, time }, Timestamp::MAX);
        }
        let again = time + Duration::from_micros(250_500);
        settled.begin_again(again);
        let settled = settled.with([Position { key: 8, time: again + Duration::from_micros(7) }]);
        let start = Timestamp::from_second(5).unwrap();
        let last = Some(EventName { ty: "VmPoweredOnEvent".into(), id: "0b5e".into() });
        let clock_offset = SignedDuration::from_secs(-3600);
        let progress = Progress { start, time, settled, last, clock_offset };
        Checkpoint { address: "https://vc01/sdk".into(), identity: "uuid-ü\"".into(), progress }
    }

    #[test]
    fn text_is_for_people_and_comes_back_equal() {
        let written = checkpoint(1_700_000_000);
        let text = encode(&written).unwrap();
        assert!(text.contains("\"keys\": \"-3..-2 7..9 2147483647\""), "{text}");
        assert!(text.contains("\"time\": \"2023-11-14T22:13:20Z\""), "{text}");
        assert!(text.contains("\"second\": \"2023-11-14T22:13:20.2505Z\""), "{text}");
        assert!(text.contains("\"latest\": \"2023-11-14T22:13:20.250507Z\""), "{text}");
        assert!(text.contains("\"type\": \"VmPoweredOnEvent\""), "{text}");
        assert_eq!(decode(text.as_bytes()).unwrap(), written);
    }

    #[test]
    fn a_fresh_start_comes_back_equal() {
        let start = Timestamp::from_second(100).unwrap();
        let progress = Progress {
            start,
            time: start,
            settled: Window::default(),
            last: None,
            clock_offset: SignedDuration::ZERO,
        };
        let written = Checkpoint { address: String::new(), identity: String::new(), progress };
        assert_eq!(decode(encode(&written).unwrap().as_bytes()).unwrap(), written);
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_noticed() {
        let text = encode(&checkpoint(1_700_000_000)).unwrap();
        let whole = decode(text.as_bytes()).unwrap();
        for length in 0..text.len() - 1 {
            assert!(decode(&text.as_bytes()[..length]).is_err(), "truncated at {length}");
        }
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // White space may change without changing what the record says.
            if let Ok(read) = decode(&flipped) {
                assert_eq!(read, whole, "bit {bit}");
            }
        }
    }

    #[test]
    fn a_record_of_a_later_version_is_no_damaged_one() {
        let text = encode(&checkpoint(1_700_000_000)).unwrap();
        let error = |text: &str| decode(text.as_bytes()).unwrap_err().to_string();
        let newer = text.replace("\"format\": 1", "\"format\": 2").replace(PROGRAM, "event-router 7.0.0");
        assert_eq!(
            error(&newer),
            "is of a newer format (2, here 1), written by event-router 7.0.0: start that version again"
        );
        let more = text.replace("\"start\"", "\"mood\": 7, \"start\"");
        assert!(error(&more).starts_with("is damaged: unknown field `mood`"), "{}", error(&more));
        let more = more.replace(PROGRAM, "event-router 0.2.0");
        let told = format!("is damaged, or event-router 0.2.0 knows more than {PROGRAM}: unknown field");
        assert!(error(&more).starts_with(&told), "{}", error(&more));
        assert!(error(&text.replace("\"format\": 1", "\"format\": 0")).contains("there is no format 0"));
        assert!(error("").starts_with("is damaged: "));
    }

    /// As version 0.1.0 wrote it before it knew the last event and the latest time of each second.
    const OLDER: &str = r#"{
  "format": 1,
  "program": "event-router 0.1.0",
  "source": {
    "address": "https://vc01/sdk",
    "identity": "uuid-ü\""
  },
  "start": "1970-01-01T00:00:05Z",
  "time": "2023-11-14T22:13:20.5Z",
  "settled": [
    {
      "second": "2023-11-14T22:13:20Z",
      "keys": "-3..-2 7..9 2147483647"
    }
  ],
  "checksum": "crc32:29be0b32"
}
"#;

    #[test]
    fn an_older_record_is_read_and_says_nothing_about_what_it_does_not_know() {
        let read = decode(OLDER.as_bytes()).unwrap();
        let time = Timestamp::from_millisecond(1_700_000_000_500).unwrap();
        assert_eq!((read.progress.time, read.progress.last), (time, None));
        let at = |key, time| Position { key, time };
        let settled = &read.progress.settled;
        let end = Timestamp::from_millisecond(1_700_000_000_999).unwrap();
        assert!(
            settled.contains(at(8, time)) && settled.contains(at(8, end)) && !settled.contains(at(10, time))
        );
        assert!(!settled.contains(at(8, time + Duration::from_millis(500))), "another second");
    }

    #[test]
    fn a_record_without_known_events_and_one_at_the_very_start_come_back_equal() {
        let [start, later] = [5, 9].map(|second| Timestamp::from_second(second).unwrap());
        let mut at_start = Window::default();
        at_start.insert(Position { key: 1, time: start }, Timestamp::MAX);
        for (time, settled) in [(later, Window::restore(Some(later), [])), (start, at_start)] {
            let clock_offset = SignedDuration::ZERO;
            let progress = Progress { start, time, settled, last: None, clock_offset };
            let written = Checkpoint { address: String::new(), identity: String::new(), progress };
            assert_eq!(decode(encode(&written).unwrap().as_bytes()).unwrap(), written);
        }
    }

    #[test]
    fn what_is_no_range_of_keys_is_damage() {
        assert_eq!(parse_range("7..9").unwrap(), (7, 9));
        for text in ["9..7", "7..", "..9", "7..8..9", "x"] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = Random::from_test("checkpoint");
        let text = encode(&checkpoint(1_700_000_000)).unwrap();
        for _ in 0..2000 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..1 + random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] = random.bits() as u8;
            }
            let _ = decode(&bytes);
        }
    }
}
