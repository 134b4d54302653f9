//! The checkpoint of the Go router, from which a route takes over at its first start.
//!
//! `cp-HOST.json`, rewritten in place every five seconds, so that it may be empty or torn; before the
//! first event its time is that of year 1. It is only ever read: the Go router can go on with it.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use crate::error::{Context, Error, Result, io_text};
use crate::limits::CHECKPOINT_BYTES_MAX;
use crate::plain_file;

/// The Go router's file for one vCenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GoCheckpoint {
    path: PathBuf,
}

/// All that is wanted of it; what else it holds does not matter.
#[derive(Deserialize)]
struct Record {
    #[serde(rename = "lastEventKeyTimestamp")]
    time: String,
}

impl GoCheckpoint {
    /// The file in the state folder for the vCenter at `address` (a URL).
    pub(crate) fn new(state_dir: &Path, address: &str) -> GoCheckpoint {
        GoCheckpoint { path: state_dir.join(format!("cp-{}.json", host(address))) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The time of the last event that the Go router has read, if it has. It delivered that event
    /// again at its start, because the delivery may have failed.
    ///
    /// # Errors
    /// When there is a file that does not tell.
    pub(crate) fn read(&self) -> Result<Option<Timestamp>> {
        let intent = || format!("read the Go router's checkpoint {}", self.path.display());
        let file = match plain_file::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| io_text(&error)).context(intent)?,
        };
        let mut text = Vec::new();
        file.take(CHECKPOINT_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|error| io_text(&error))
            .context(intent)?;
        time(&text).context(intent)
    }
}

fn time(text: &[u8]) -> Result<Option<Timestamp>> {
    if text.is_empty() {
        return Err(Error::new("it is empty"));
    }
    let record: Record = serde_json::from_slice(text).map_err(|error| Error::new(error.to_string()))?;
    let time: Timestamp =
        record.time.parse().map_err(|_| Error::new(format!("`{}` is not a time", record.time)))?;
    Ok((Timestamp::UNIX_EPOCH < time).then_some(time))
}

/// The host of a URL as Go names it: without port, an IPv6 address without brackets.
fn host(address: &str) -> &str {
    let place = address.split_once("://").map_or(address, |(_, rest)| rest);
    let place = place.split('/').next().unwrap_or_default();
    match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => place.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::folder;

    #[test]
    fn hosts_as_go_names_them() {
        for (address, name) in [
            ("https://vc01.corp.local/sdk", "vc01.corp.local"),
            ("https://10.0.0.1:443/sdk", "10.0.0.1"),
            ("http://[fd00::1]:8989/sdk", "fd00::1"),
            ("https://VC01/sdk", "VC01"),
        ] {
            assert_eq!(host(address), name, "{address}");
        }
    }

    #[test]
    fn what_a_file_tells() {
        let folder = folder("go-checkpoint");
        let file = GoCheckpoint::new(folder.path(), "https://vc01:443/sdk");
        assert_eq!(file.read(), Ok(None));
        let written = r#"{"vCenter":"vc01","lastEventUUID":"4a7d2e0c-9f0e-4f0c-8a52-6f3d1a1f0b77","lastEventKey":1047,"lastEventType":"VmPoweredOnEvent","lastEventKeyTimestamp":"2023-04-06T12:00:00.123+02:00","createdTimestamp":"2023-04-06T10:00:03.5Z"}"#;
        let initial = r#"{"vCenter":"","lastEventUUID":"","lastEventKey":0,"lastEventType":"","lastEventKeyTimestamp":"0001-01-01T00:00:00Z","createdTimestamp":"0001-01-01T00:00:00Z"}"#;
        let path = folder.path().join("cp-vc01.json");
        for (text, told) in [(written, Some("2023-04-06T10:00:00.123Z".parse().unwrap())), (initial, None)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(file.read(), Ok(told));
        }
        for length in 0..written.len() {
            std::fs::write(&path, &written[..length]).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains("cp-vc01.json: "), "{error}");
        }
        for text in ["{}", "[]", r#"{"lastEventKeyTimestamp":"yesterday"}"#, r#"{"lastEventKeyTimestamp":7}"#]
        {
            std::fs::write(&path, text).unwrap();
            assert!(file.read().is_err(), "{text}");
        }
    }
}
