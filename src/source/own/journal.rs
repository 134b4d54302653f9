//! The router's own events on disk: a small file that survives a crash, and a sign of life beside it, so
//! that the next start knows since when the router was down.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::changes::{Change, GAP};
use crate::error::{Context, Result};
use crate::limits::OWN_EVENTS_MAX;
use crate::owned;

/// One event as it was told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The history that it belongs to.
    history: Uuid,
    pub(super) number: i64,
    /// When it happened.
    pub(super) time: Timestamp,
    pub(super) subject: String,
    /// The route that it is about; empty for the process.
    pub(super) route: String,
    pub(super) data: Box<RawValue>,
}

/// The same as a line of the file.
#[derive(Deserialize, Serialize)]
struct Line {
    history: String,
    number: i64,
    time: String,
    subject: String,
    route: String,
    data: Box<RawValue>,
}

fn told(line: &str) -> Option<Told> {
    let Line { history, number, time, subject, route, data } = serde_json::from_str(line).ok()?;
    Some(Told { history: history.parse().ok()?, number, time: time.parse().ok()?, subject, route, data })
}

/// The events that are kept.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    alive: PathBuf,
    history: Uuid,
    events: VecDeque<Told>,
}

impl Told {
    /// Since when the trouble lasts that it tells of.
    pub(super) fn since(&self) -> Option<Timestamp> {
        // A quote of a text within has a backslash before it.
        self.data.get().split("\"Since\":\"").nth(1)?.split('"').next()?.parse().ok()
    }
}

impl Journal {
    /// Reads what an earlier run kept in the folder. What cannot be read is left out.
    pub(super) fn open(folder: &Path) -> Journal {
        let path = folder.join("self.events.jsonl");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let events: VecDeque<Told> = text.lines().filter_map(told).collect();
        let history = events.back().map_or_else(new_history, |last| last.history);
        Journal { path, alive: folder.join("self.alive"), history, events }
    }

    /// Names the history, which other routers do not have.
    pub(super) fn history(&self) -> Uuid {
        self.history
    }

    /// The kept events, oldest first.
    pub(super) fn events(&self) -> impl Iterator<Item = &Told> {
        self.events.iter()
    }

    /// When an earlier run was alive last, if there was one.
    pub(super) fn last_alive(&self) -> Option<Timestamp> {
        std::fs::read_to_string(&self.alive).ok()?.trim().parse().ok()
    }

    /// Notes that the router lives. Best effort: the time is only for people.
    pub(super) fn live(&self, now: Timestamp) {
        let _ = std::fs::write(&self.alive, format!("{now}\n"));
    }

    /// Keeps what happened, durably.
    ///
    /// # Errors
    /// When it could not be written; it is told all the same, unless the router ends before.
    pub(super) fn append(&mut self, changes: &[Change], now: Timestamp) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for change in changes {
            let data = data(change)?;
            if change.subject == GAP && self.has(change, &data) {
                continue;
            }
            let told = Told {
                history: self.history,
                number: self.events.back().map_or(1, |last| last.number + 1),
                time: now,
                subject: change.subject.to_string(),
                route: change.route.clone(),
                data,
            };
            write_line(&told, &mut lines)?;
            self.events.push_back(told);
        }
        let is_full = OWN_EVENTS_MAX < self.events.len();
        if is_full {
            self.events.drain(..self.events.len() - OWN_EVENTS_MAX / 2);
            lines.clear();
            self.events.iter().try_for_each(|told| write_line(told, &mut lines))?;
        }
        self.write(&lines, is_full)
            .map_err(|error| owned::text_of(&error, &self.path))
            .context(|| format!("write {}", self.path.display()))
    }

    // After a crash before the position was saved, the same gap is found again.
    fn has(&self, change: &Change, data: &RawValue) -> bool {
        let mut own = self.events.iter().filter(|told| told.route == change.route && told.subject == GAP);
        own.any(|told| told.data.get() == data.get())
    }

    // A file that was full is written anew beside the old one.
    fn write(&self, lines: &[u8], anew: bool) -> std::io::Result<()> {
        let fresh = self.path.with_extension("jsonl.new");
        let mut options = OpenOptions::new();
        options.create(true).mode(0o600);
        let mut file: File = match anew {
            true => owned::open(options.write(true).truncate(true), &fresh)?,
            false => owned::open(options.append(true), &self.path)?,
        };
        file.write_all(lines)?;
        file.sync_all()?;
        if anew { std::fs::rename(&fresh, &self.path) } else { Ok(()) }
    }
}

fn data(change: &Change) -> Result<Box<RawValue>> {
    let members: Vec<String> =
        change.members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    RawValue::from_string(format!("{{{}}}", members.join(","))).context(|| "an event of the router")
}

fn write_line(told: &Told, lines: &mut Vec<u8>) -> Result<()> {
    let Told { history, number, time, subject, route, data } = told.clone();
    let line = Line { history: history.to_string(), number, time: time.to_string(), subject, route, data };
    serde_json::to_writer(&mut *lines, &line).context(|| "an event of the router")?;
    lines.push(b'\n');
    Ok(())
}

fn new_history() -> Uuid {
    let half = || RandomState::new().build_hasher().finish();
    Uuid::from_u64_pair(half(), half())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::folder;

    fn change(route: &str) -> Change {
        Change { subject: "SourceLost", route: route.into(), members: vec![("Reason", "a \"b\"".into())] }
    }

    #[test]
    fn what_was_told_is_there_after_a_restart_torn_lines_are_not() {
        let (folder, now) = (folder("journal"), Timestamp::from_second(1_700_000_000).unwrap());
        let mut journal = Journal::open(folder.path());
        assert_eq!((journal.last_alive(), journal.events().count()), (None, 0));
        journal.append(&[change("a"), change("b")], now).unwrap();
        journal.live(now);
        let path = folder.path().join("self.events.jsonl");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"history\":\"").unwrap();
        let mut again = Journal::open(folder.path());
        assert_eq!((again.last_alive(), again.history()), (Some(now), journal.history()));
        let routes: Vec<&str> = again.events().map(|told| told.route.as_str()).collect();
        assert_eq!(routes, ["a", "b"]);
        assert_eq!(again.events().next().unwrap().data.get(), r#"{"Reason":"a \"b\""}"#);
        // Without end of line the next one is torn too; the one after it is whole.
        again.append(&[change("c")], now).unwrap();
        again.append(&[change("d")], now).unwrap();
        let last = Journal::open(folder.path()).events().last().unwrap().clone();
        assert_eq!((last.route.as_str(), last.number), ("d", 4));
    }

    #[test]
    fn the_file_is_bounded() {
        let (folder, now) = (folder("journal-full"), Timestamp::from_second(1_700_000_000).unwrap());
        let mut journal = Journal::open(folder.path());
        for _ in 0..3 {
            journal.append(&vec![change("a"); OWN_EVENTS_MAX], now).unwrap();
        }
        let again = Journal::open(folder.path());
        let numbers: Vec<i64> = again.events().map(|told| told.number).collect();
        assert!(numbers.len() <= OWN_EVENTS_MAX, "{}", numbers.len());
        assert_eq!(*numbers.last().unwrap(), 3 * OWN_EVENTS_MAX as i64);
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    }
}
