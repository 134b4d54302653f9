//! The dead-letter file of a route: events that will never be acknowledged, one JSON line each,
//! durable before they count as settled. A full file holds the route; nothing is ever dropped.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::cloudevents::{self, CloudEvent};
use crate::error::{Context, Error, Result, io_text};
use crate::owned;
use crate::plain_file;
use crate::position::file::sync_folder;
use crate::processor::Failure;
use crate::vim::json::BrokenEvent;

/// The dead-letter file of one route. The worker threads share it.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    route: String,
    path: PathBuf,
    bytes_max: u64,
    // Serialises appends: a line must never stand inside another.
    appending: Mutex<()>,
}

impl DeadLetters {
    /// The file of `route` in the state folder. It is made when it is first needed.
    pub(crate) fn new(state_dir: &Path, route: &str, bytes_max: u64) -> DeadLetters {
        let path = state_dir.join(format!("{route}.dead-letters.jsonl"));
        DeadLetters { route: route.to_string(), path, bytes_max, appending: Mutex::new(()) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps an event that `failures` targets refused: one line for each. When this returns the
    /// lines survive a crash.
    ///
    /// # Errors
    /// When the file is full or cannot be written. The event must be held.
    pub(crate) fn append_event(&self, ce: &CloudEvent, attempts: u32, failures: &[Failure]) -> Result<()> {
        let mut event = Vec::new();
        cloudevents::write_json(ce, &mut event);
        // One line per letter: outside of strings a line break is only white space.
        event.iter_mut().filter(|byte| **byte == b'\n' || **byte == b'\r').for_each(|byte| *byte = b' ');
        let event = String::from_utf8_lossy(&event).into_owned();
        let event = RawValue::from_string(event).context(|| "encode dead letter")?;
        let mut lines = Vec::new();
        for failure in failures {
            let letter = EventLetter {
                time: Timestamp::now().to_string(),
                route: &self.route,
                target: &failure.target,
                reason: failure.reason,
                detail: &failure.detail,
                attempts,
                event: &event,
            };
            serde_json::to_writer(&mut lines, &letter).context(|| "encode dead letter")?;
            lines.push(b'\n');
        }
        self.append(&lines)
    }

    /// Keeps what could not be converted to an event, as it came.
    ///
    /// # Errors
    /// As [`DeadLetters::append_event`].
    pub(crate) fn append_broken(&self, broken: &BrokenEvent) -> Result<()> {
        let mut line = serde_json::to_vec(&serde_json::json!({
            "time": Timestamp::now().to_string(),
            "route": self.route,
            "reason": "conversion",
            "detail": broken.reason,
            "key": broken.key,
            "raw": String::from_utf8_lossy(&broken.raw),
        }))
        .context(|| "encode dead letter")?;
        line.push(b'\n');
        self.append(&line)
    }

    fn append(&self, lines: &[u8]) -> Result<()> {
        // A panic of another appender cannot leave the file worse than a crash would.
        let _alone = crate::sync::lock(&self.appending);
        let intent = || format!("write dead letters {}", self.path.display());
        let mut file =
            self.open_locked().map_err(|error| owned::text_of(&error, &self.path)).context(intent)?;
        let size = file.metadata().context(intent)?.len();
        if self.bytes_max < size + lines.len() as u64 {
            return Err(Error::new(format!(
                "dead letters {} are full ({size} of {} bytes): redeliver or remove some, or raise \
                 dead_letters.max_size; the route waits",
                self.path.display(),
                self.bytes_max
            )));
        }
        if let Err(error) = append_lines(&mut file, lines) {
            // A part of the lines is none. What cannot be taken back is a line that nobody can read.
            let _ = file.set_len(size);
            let cure = owned::room_text(&error).map_or(String::new(), |cure| format!(": {cure}"));
            return Err(Error::new(format!("{}{cure}", io_text(&error))).context(intent()));
        }
        if size == 0
            && let Some(folder) = self.path.parent()
        {
            sync_folder(folder)?;
        }
        Ok(())
    }

    // The file under its name, locked: a redelivery in another process may have taken the file away
    // between opening and locking it, and must not lose the line.
    fn open_locked(&self) -> std::io::Result<File> {
        loop {
            let mut options = OpenOptions::new();
            let file = owned::open(options.read(true).append(true).create(true).mode(0o600), &self.path)?;
            file.lock()?;
            match std::fs::metadata(&self.path) {
                Ok(named) if named.ino() == file.metadata()?.ino() => return Ok(file),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn taken_path(&self) -> PathBuf {
        self.path.with_extension("jsonl.redelivering")
    }

    /// All letters, those first that a redelivery has taken out and that is not at its end, or was
    /// killed; and how many lines cannot be read.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub(crate) fn all(&self) -> Result<(Vec<Letter>, usize)> {
        let (mut letters, unreadable) = read(&self.taken_path())?;
        let (newer, newer_unreadable) = read(&self.path)?;
        letters.extend(newer);
        Ok((letters, unreadable + newer_unreadable))
    }

    /// Takes all letters out of the file, beside which a running router goes on appending, and hands
    /// each to `deliver`. What `deliver` refuses, or cannot be read, is put back. A crash in between
    /// repeats, it never loses.
    ///
    /// # Errors
    /// When the files cannot be read or written.
    pub(crate) fn redeliver(&self, mut deliver: impl FnMut(&Letter) -> bool) -> Result<()> {
        let taken = self.taken_path();
        let intent = || format!("redeliver {}", self.path.display());
        for path in [&self.path, &taken] {
            plain_file::check(path).map_err(|error| owned::text_of(&error, path)).context(intent)?;
        }
        if !taken.exists() {
            match std::fs::rename(&self.path, &taken) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                renamed => renamed.context(intent)?,
            }
        }
        // Wait for an appender that had opened it under its old name.
        let file = plain_file::open(&taken).context(intent)?;
        file.lock().context(intent)?;
        let mut kept = Vec::new();
        for line in read_lines(&taken)? {
            let delivered = Letter::parse(&line).is_ok_and(|letter| deliver(&letter));
            if !delivered {
                kept.extend_from_slice(&line);
                kept.push(b'\n');
            }
        }
        if !kept.is_empty() {
            // They were within the limit before.
            let unlimited = DeadLetters { bytes_max: u64::MAX, ..DeadLetters::at(&self.path, &self.route) };
            unlimited.append(&kept)?;
        }
        std::fs::remove_file(&taken).context(intent)?;
        taken.parent().map_or(Ok(()), sync_folder)
    }

    fn at(path: &Path, route: &str) -> DeadLetters {
        DeadLetters {
            route: route.to_string(),
            path: path.to_path_buf(),
            bytes_max: 0,
            appending: Mutex::new(()),
        }
    }
}

/// One letter of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// When it was written.
    pub(crate) time: String,
    /// The function that refused the event; empty where the processor has one target.
    pub(crate) target: String,
    /// The bounded word.
    pub(crate) reason: String,
    pub(crate) detail: String,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// The event; none where it could not be converted.
    pub(crate) event: Option<CloudEvent>,
    /// What the source sent, where it could not be converted.
    pub(crate) raw: Option<String>,
}

impl Letter {
    /// The letter of one line.
    ///
    /// # Errors
    /// When the line is none, such as one that a crash has cut.
    fn parse(line: &[u8]) -> Result<Letter> {
        let line = std::str::from_utf8(line).map_err(|_| Error::new("not UTF-8"))?;
        let parsed: LetterLine = serde_json::from_str(line).map_err(|error| Error::new(error.to_string()))?;
        let event = parsed.event.map(|event| cloudevents::read_json(event.get())).transpose()?;
        Ok(Letter {
            time: parsed.time,
            target: parsed.target,
            reason: parsed.reason,
            detail: parsed.detail,
            attempts: parsed.attempts,
            event,
            raw: parsed.raw,
        })
    }
}

#[derive(serde::Deserialize)]
struct LetterLine<'a> {
    time: String,
    #[serde(default)]
    target: String,
    reason: String,
    detail: String,
    #[serde(default)]
    attempts: u32,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(default)]
    raw: Option<String>,
}

fn append_lines(file: &mut File, lines: &[u8]) -> std::io::Result<()> {
    // A crash may have cut the last line: it stays, but must not swallow ours.
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(-1)).is_ok() {
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    file.write_all(lines)?;
    file.sync_all()
}

#[derive(serde::Serialize)]
struct EventLetter<'a> {
    time: String,
    route: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    target: &'a str,
    reason: &'a str,
    detail: &'a str,
    attempts: u32,
    event: &'a RawValue,
}

/// The letters of a file, oldest first, and how many lines could not be read (cut by a crash).
///
/// # Errors
/// When the file cannot be read. A file that is not there holds no letters.
pub fn read(path: &Path) -> Result<(Vec<Letter>, usize)> {
    let lines = read_lines(path)?;
    let letters: Vec<Letter> = lines.iter().filter_map(|line| Letter::parse(line).ok()).collect();
    let unreadable = lines.len() - letters.len();
    Ok((letters, unreadable))
}

fn read_lines(path: &Path) -> Result<Vec<Vec<u8>>> {
    let intent = || format!("read dead letters {}", path.display());
    let text = match plain_file::check(path).and_then(|()| std::fs::read(path)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|error| owned::text_of(&error, path)).context(intent)?,
    };
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(<[u8]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::Retry;
    use crate::testing::{event, folder};

    fn failure(target: &str) -> Failure {
        Failure {
            target: target.to_string(),
            retry: Retry::Never,
            reason: "400",
            detail: "status 400".to_string(),
        }
    }

    fn filled(folder: &Path) -> DeadLetters {
        let letters = DeadLetters::new(folder, "power", 1 << 20);
        letters.append_event(&event(1, "a").ce, 3, &[failure("f"), failure("g")]).unwrap();
        letters.append_event(&event(2, "a").ce, 1, &[failure("")]).unwrap();
        letters
    }

    #[test]
    fn letters_come_back_with_the_event_as_it_was() {
        let folder = folder("letters");
        let letters = filled(folder.path());
        let (read, unreadable) = read(letters.path()).unwrap();
        assert_eq!((read.len(), unreadable), (3, 0));
        assert_eq!((read[1].target.as_str(), read[1].attempts, read[1].reason.as_str()), ("g", 3, "400"));
        assert_eq!(read[0].event.as_ref(), Some(&event(1, "a").ce));
    }

    #[test]
    fn data_with_line_breaks_stays_on_one_line() {
        let folder = folder("letters-lines");
        let letters = DeadLetters::new(folder.path(), "power", 1 << 20);
        let mut ce = event(1, "a").ce;
        ce.data = b"{\n\"Key\": 1\r\n}".to_vec();
        letters.append_event(&ce, 1, &[failure("")]).unwrap();
        assert_eq!(read_lines(letters.path()).unwrap().len(), 1);
        assert_eq!(read(letters.path()).unwrap().0[0].event.as_ref().unwrap().id, ce.id);
    }

    #[test]
    fn what_is_redelivered_leaves_the_file_and_the_rest_stays() {
        let folder = folder("letters-redeliver");
        let letters = filled(folder.path());
        std::fs::OpenOptions::new().append(true).open(letters.path()).unwrap().write_all(b"{\"cut").unwrap();
        let broken =
            BrokenEvent { key: None, created: None, raw: b"<odd/>".to_vec(), reason: "odd".to_string() };
        letters.append_broken(&broken).unwrap();
        let mut offered = Vec::new();
        letters
            .redeliver(|letter| {
                // Meanwhile the router keeps another one.
                if offered.is_empty() {
                    letters.append_event(&event(9, "a").ce, 1, &[failure("")]).unwrap();
                }
                offered.push(letter.target.clone());
                letter.event.is_some() && letter.target != "g"
            })
            .unwrap();
        assert_eq!(offered, ["f", "g", "", ""]);
        let (left, unreadable) = read(letters.path()).unwrap();
        let targets: Vec<_> =
            left.iter().map(|letter| (letter.target.as_str(), letter.raw.is_some())).collect();
        assert_eq!((targets, unreadable), (vec![("", false), ("g", false), ("", true)], 1));
        letters.redeliver(|_| true).unwrap();
        letters.redeliver(|_| panic!("nothing is left but the cut line")).unwrap();
    }

    #[test]
    fn a_redelivery_that_died_is_taken_up_again() {
        let folder = folder("letters-died");
        let letters = filled(folder.path());
        std::fs::rename(letters.path(), letters.path().with_extension("jsonl.redelivering")).unwrap();
        letters.append_event(&event(3, "a").ce, 1, &[failure("")]).unwrap();
        assert_eq!(letters.all().unwrap().0.len(), 4, "none is hidden");
        let mut offered = 0;
        letters
            .redeliver(|_| {
                offered += 1;
                true
            })
            .unwrap();
        assert_eq!((offered, read(letters.path()).unwrap().0.len()), (3, 1));
    }
}
