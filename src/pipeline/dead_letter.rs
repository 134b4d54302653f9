//! The dead-letter file of a route: events that will never be acknowledged, one JSON line each,
//! durable before they count as settled. A full file holds the route; nothing is ever dropped.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::cloudevents::{self, CloudEvent};
use crate::error::{Context, Error, Result};
use crate::processor::Failure;
use crate::source::Broken;

/// The dead-letter file of one route. The worker threads share it.
#[derive(Debug)]
pub struct DeadLetters {
    route: String,
    path: PathBuf,
    bytes_max: u64,
    // Serialises appends: a line must never stand inside another.
    appending: Mutex<()>,
}

impl DeadLetters {
    /// The file of `route` in the state folder. It is made when it is first needed.
    pub fn new(state_dir: &Path, route: &str, bytes_max: u64) -> DeadLetters {
        let path = state_dir.join(format!("{route}.dead-letters.jsonl"));
        DeadLetters { route: route.to_string(), path, bytes_max, appending: Mutex::new(()) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps an event that `failures` targets refused: one line for each. When this returns the
    /// lines survive a crash.
    ///
    /// # Errors
    /// When the file is full or cannot be written. The event must be held.
    pub fn append_event(&self, ce: &CloudEvent, attempts: u32, failures: &[Failure]) -> Result<()> {
        let mut event = Vec::new();
        cloudevents::write_json(ce, &mut event);
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
    pub fn append_broken(&self, broken: &Broken) -> Result<()> {
        let mut line = serde_json::to_vec(&serde_json::json!({
            "time": Timestamp::now().to_string(),
            "route": self.route,
            "reason": "conversion",
            "detail": broken.reason,
            "key": broken.position.map(|position| position.key),
            "raw": String::from_utf8_lossy(&broken.raw),
        }))
        .context(|| "encode dead letter")?;
        line.push(b'\n');
        self.append(&line)
    }

    fn append(&self, lines: &[u8]) -> Result<()> {
        // A panic of another appender cannot leave the file worse than a crash would.
        let _alone = self.appending.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let intent = || format!("write dead letters {}", self.path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)
            .context(intent)?;
        let size = file.metadata().context(intent)?.len();
        if self.bytes_max < size + lines.len() as u64 {
            return Err(Error::new(format!(
                "dead letters {} are full ({size} of {} bytes): redeliver or remove some, or raise \
                 dead_letters.max_size; the route waits",
                self.path.display(),
                self.bytes_max
            )));
        }
        append_lines(&mut file, lines).context(intent)?;
        if size == 0
            && let Some(folder) = self.path.parent()
        {
            super::checkpoint::sync_folder(folder)?;
        }
        Ok(())
    }
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
pub fn read(path: &Path) -> Result<(Vec<Value>, usize)> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        text => text.context(|| format!("read dead letters {}", path.display()))?,
    };
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let (mut letters, mut unreadable) = (Vec::new(), 0);
    for line in lines {
        match serde_json::from_slice(line) {
            Ok(letter) => letters.push(letter),
            Err(_) => unreadable += 1,
        }
    }
    Ok((letters, unreadable))
}
