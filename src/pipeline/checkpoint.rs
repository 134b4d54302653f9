//! The checkpoint of a route: one small JSON file that a person can read and a crash cannot tear.
//!
//! Written as a new file, synced, and renamed over the old one, whose content stays reachable as
//! `.previous`; then the folder is synced. Unreadable: the previous one is used and that is said;
//! if that is unreadable too, nothing is guessed.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result, io_text};
use crate::limits::{CHECKPOINT_BYTES_MAX, CLOCK_TOLERANCE};
use crate::owned;
use crate::pipeline::ledger::{EventName, Progress};
use crate::pipeline::window::{Span, Window, second_end};

const FORMAT: u32 = 1;

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

/// The checkpoint file of one route.
#[derive(Clone, Debug)]
pub struct CheckpointFile {
    folder: PathBuf,
    path: PathBuf,
    previous: PathBuf,
    fresh: PathBuf,
    // The newest file was read or written here: only then may it take the place of the previous one.
    is_sound: Cell<bool>,
}

/// A checkpoint as it was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The newest readable checkpoint.
    pub checkpoint: Checkpoint,
    /// What was wrong with the newest file, if the previous one had to be used.
    pub(crate) fallback: Option<Error>,
}

impl CheckpointFile {
    /// The file of `route` in the state folder, which must exist.
    pub fn new(state_dir: &Path, route: &str) -> CheckpointFile {
        let name = |suffix: &str| state_dir.join(format!("{route}.checkpoint.json{suffix}"));
        CheckpointFile {
            folder: state_dir.to_path_buf(),
            path: name(""),
            previous: name(".previous"),
            fresh: name(".new"),
            is_sound: Cell::new(false),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the records can be opened, if they are there: what belongs to another user is no reason to
    /// go on from an older one.
    ///
    /// # Errors
    /// Which file cannot be opened, and what gives it back.
    pub(crate) fn check_access(&self) -> Result<()> {
        for path in [&self.path, &self.previous] {
            if let Err(error) = File::open(path)
                && error.kind() == ErrorKind::PermissionDenied
            {
                return Err(Error::new(owned::text_of(&error, path)))
                    .context(|| format!("read checkpoint {}", path.display()));
            }
        }
        Ok(())
    }

    /// The newest readable checkpoint, or none when the route never had one.
    ///
    /// # Errors
    /// When files exist but none can be used. The message says how to repair that.
    pub fn read(&self) -> Result<Option<Found>> {
        let newest = read_file(&self.path);
        self.is_sound.set(matches!(newest, Ok(Some(_))));
        if let Ok(Some(checkpoint)) = newest {
            return Ok(Some(Found { checkpoint, fallback: None }));
        }
        match (newest, read_file(&self.previous)) {
            (Ok(_), Ok(None)) => Ok(None),
            (Ok(_), Ok(Some(checkpoint))) => {
                let missing = Error::new(format!("checkpoint {} is missing", self.path.display()));
                Ok(Some(Found { checkpoint, fallback: Some(missing) }))
            }
            (Err(error), Ok(Some(checkpoint))) => Ok(Some(Found { checkpoint, fallback: Some(error) })),
            (Err(error), _) | (Ok(_), Err(error)) => Err(self.unusable(&error)),
        }
    }

    fn unusable(&self, error: &Error) -> Error {
        Error::new(format!(
            "{error}; the previous record is no help either, and starting from now would skip events without \
             a word: set the position yourself with `router checkpoint set -c FILE --route NAME TIME` (an \
             earlier time repeats events, a later one skips them)"
        ))
    }

    /// Replaces the checkpoint; when this returns it survives a crash.
    ///
    /// # Errors
    /// The previous checkpoint is still in place. After a failed sync nothing is known about what
    /// the disk holds, so the caller must stop.
    pub(crate) fn write(&self, checkpoint: &Checkpoint) -> Result<()> {
        let text = encode(checkpoint)?;
        self.write_fresh(text.as_bytes())
            .map_err(|error| owned::text_of(&error, &self.fresh))
            .context(|| format!("write {}", self.fresh.display()))?;
        self.keep_previous()
            .map_err(|error| io_text(&error))
            .context(|| format!("write {}", self.previous.display()))?;
        std::fs::rename(&self.fresh, &self.path)
            .map_err(|error| io_text(&error))
            .context(|| format!("replace {}", self.path.display()))?;
        sync_folder(&self.folder)?;
        self.is_sound.set(true);
        Ok(())
    }

    fn write_fresh(&self, text: &[u8]) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = owned::open(options.write(true).create(true).truncate(true).mode(0o600), &self.fresh)?;
        file.write_all(text)?;
        file.sync_all()
    }

    // A second name keeps the old record reachable. While it changes, the first name leads to a
    // record that can be read; where it does not, the previous one stays.
    fn keep_previous(&self) -> std::io::Result<()> {
        if !self.is_sound.get() {
            return Ok(());
        }
        match std::fs::remove_file(&self.previous) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match std::fs::hard_link(&self.path, &self.previous) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            // Some file systems have no hard links; there the copy takes their place.
            Err(_) => std::fs::copy(&self.path, &self.previous).map(|_| ()),
            Ok(()) => Ok(()),
        }
    }
}

/// Makes renames and new names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io_text(&error))
        .context(|| format!("sync {}", folder.display()))
}

fn read_file(path: &Path) -> Result<Option<Checkpoint>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened
            .map_err(|error| owned::text_of(&error, path))
            .context(|| format!("read checkpoint {}", path.display()))?,
    };
    let mut text = Vec::new();
    file.take(CHECKPOINT_BYTES_MAX)
        .read_to_end(&mut text)
        .context(|| format!("read checkpoint {}", path.display()))?;
    decode(&text).map(Some).context(|| format!("checkpoint {} is damaged", path.display()))
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
        program: concat!("event-router ", env!("CARGO_PKG_VERSION")).to_string(),
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

/// The checkpoint that a file's text tells.
///
/// # Errors
/// When anything is missing, changed, or of another format version.
pub(crate) fn decode(text: &[u8]) -> Result<Checkpoint> {
    let mut record: Record = serde_json::from_slice(text).map_err(|error| Error::new(error.to_string()))?;
    if record.format != FORMAT {
        return Err(Error::new(format!("format {} is not known to this version ({FORMAT})", record.format)));
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
mod tests {
    use super::*;
    use crate::event::Position;
    use crate::testing::{Random, folder};
    use std::time::Duration;

    fn checkpoint(second: i64) -> Checkpoint {
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
    fn the_previous_record_stands_in_and_is_said_and_two_bad_ones_stop() {
        let folder = folder("checkpoint");
        let file = CheckpointFile::new(folder.path(), "power");
        assert_eq!(file.read().unwrap(), None);
        file.write(&checkpoint(100)).unwrap();
        file.write(&checkpoint(200)).unwrap();
        let found = file.read().unwrap().unwrap();
        assert_eq!((found.checkpoint, found.fallback), (checkpoint(200), None));

        std::fs::write(file.path(), b"").unwrap();
        let found = file.read().unwrap().unwrap();
        assert_eq!(found.checkpoint, checkpoint(100));
        assert!(found.fallback.unwrap().to_string().contains("is damaged"));

        std::fs::remove_file(file.path()).unwrap();
        let found = file.read().unwrap().unwrap();
        assert!(found.fallback.unwrap().to_string().contains("is missing"));

        std::fs::write(file.path(), b"{}").unwrap();
        std::fs::write(folder.path().join("power.checkpoint.json.previous"), b"[").unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains("router checkpoint set"), "{error}");
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
    fn only_a_file_that_is_not_there_means_that_there_is_none() {
        let folder = folder("checkpoint-folder");
        let no_folder = folder.path().join("file");
        std::fs::write(&no_folder, b"").unwrap();
        let error = CheckpointFile::new(&no_folder, "power").read().unwrap_err().to_string();
        assert!(error.contains("not a directory") && error.contains("router checkpoint set"), "{error}");
        let error = sync_folder(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
    }

    #[test]
    fn a_record_that_somebody_removed_does_not_stop_the_next_one() {
        let folder = folder("checkpoint-removed");
        let file = CheckpointFile::new(folder.path(), "power");
        file.write(&checkpoint(100)).unwrap();
        std::fs::remove_file(file.path()).unwrap();
        file.write(&checkpoint(200)).unwrap();
        assert_eq!(file.read().unwrap().unwrap().checkpoint, checkpoint(200));
    }

    #[test]
    fn a_damaged_record_never_takes_the_place_of_a_sound_one() {
        let folder = folder("checkpoint-previous");
        let previous = folder.path().join("power.checkpoint.json.previous");
        let read = |path: &Path| read_file(path).ok().flatten();
        let written = CheckpointFile::new(folder.path(), "power");
        written.write(&checkpoint(100)).unwrap();
        written.write(&checkpoint(200)).unwrap();
        for damage in [Some(&b"{"[..]), None] {
            match damage {
                Some(damage) => std::fs::write(written.path(), damage).unwrap(),
                None => std::fs::remove_file(written.path()).unwrap(),
            }
            let file = CheckpointFile::new(folder.path(), "power");
            assert_eq!(file.read().unwrap().unwrap().checkpoint, checkpoint(100));
            // As far as a process gets that dies before the new record takes its place.
            file.keep_previous().unwrap();
            assert_eq!(read(&previous), Some(checkpoint(100)), "{damage:?}");
            file.write(&checkpoint(300)).unwrap();
            assert_eq!((read(file.path()), read(&previous)), (Some(checkpoint(300)), Some(checkpoint(100))));
            file.write(&checkpoint(400)).unwrap();
            assert_eq!((read(file.path()), read(&previous)), (Some(checkpoint(400)), Some(checkpoint(300))));
            file.write(&checkpoint(100)).unwrap();
            file.write(&checkpoint(200)).unwrap();
        }
    }

    #[test]
    fn files_are_private_and_a_failed_write_leaves_the_old_record() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder("checkpoint-private");
        let file = CheckpointFile::new(folder.path(), "power");
        file.write(&checkpoint(100)).unwrap();
        assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        // A folder in the place of the new file makes the write fail, for root too.
        std::fs::create_dir(folder.path().join("power.checkpoint.json.new")).unwrap();
        let error = file.write(&checkpoint(200)).unwrap_err().to_string();
        assert!(error.contains("power.checkpoint.json.new"), "{error}");
        assert_eq!(file.read().unwrap().unwrap().checkpoint, checkpoint(100));
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
