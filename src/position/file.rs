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
use std::time::Duration;

use crate::error::{Context, Error, Result, io_text};
use crate::limits::{CHECKPOINT_BYTES_MAX, CHECKPOINT_INTERVAL};
use crate::observe::logger::Logger;
use crate::owned;
use crate::plain_file;
use crate::position::go::GoCheckpoint;
use crate::position::progress::Progress;
use crate::position::record::{Checkpoint, decode, encode};
use crate::position::{Positions, SaveError, Standing};

/// The position of one route in a state folder, whose lock this process holds.
pub(crate) struct FilePositions {
    file: CheckpointFile,
    older: GoCheckpoint,
    address: String,
}

impl FilePositions {
    /// The record of `route`, which reads the source at `address`.
    pub(crate) fn new(state_dir: &Path, route: &str, address: &str) -> FilePositions {
        FilePositions {
            file: CheckpointFile::new(state_dir, route),
            older: GoCheckpoint::new(state_dir, address),
            address: address.to_string(),
        }
    }

    // The first start: where the Go router stood, if it ran here.
    fn take_over(&self, logger: &Logger) -> Option<Standing> {
        let path = self.older.path().display();
        match self.older.read() {
            Ok(None) => {
                let path = self.file.path().display();
                log::info!(target: logger, path:%; "no valid checkpoint found");
                None
            }
            Ok(Some(time)) => {
                log::info!(target: logger, path:%; "taking over the position of the Go router, resuming at {time}");
                Some(Standing { identity: String::new(), progress: Progress::from_start(time) })
            }
            Err(error) => {
                log::warn!(
                    target: logger, path:%;
                    "{error}; starting at the source's present: if events are missing, stop the router, set the \
                     position with `router checkpoint set -c FILE --route NAME TIME` and start it again"
                );
                None
            }
        }
    }
}

impl Positions for FilePositions {
    fn load(&mut self, logger: &Logger) -> Result<Option<Standing>> {
        let Some(found) = self.file.read()? else { return Ok(self.take_over(logger)) };
        if let Some(error) = found.fallback {
            log::warn!(target: logger, "{error}; going on from the previous record, some events will be repeated");
        }
        let Checkpoint { identity, progress, .. } = found.checkpoint;
        let path = self.file.path().display();
        log::info!(target: logger, path:%; "found existing and valid checkpoint, resuming at {}", progress.resume());
        Ok(Some(Standing { identity, progress }))
    }

    fn save(&mut self, standing: Standing) -> Result<(), SaveError> {
        let Standing { identity, progress } = standing;
        let checkpoint = Checkpoint { address: self.address.clone(), identity, progress };
        self.file.write(&checkpoint)
    }

    fn interval(&self) -> Duration {
        CHECKPOINT_INTERVAL
    }

    fn place(&self) -> String {
        self.file.path().display().to_string()
    }
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
            if let Err(error) = plain_file::open(path)
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
    /// The previous checkpoint is still in place: where there is no room it can be tried again. After a
    /// failed sync nothing is known about what the disk holds, so the caller must stop.
    pub(crate) fn write(&self, checkpoint: &Checkpoint) -> Result<(), SaveError> {
        let text = encode(checkpoint).map_err(SaveError::Broken)?;
        let fresh =
            self.write_fresh(text.as_bytes()).map_err(|error| unwritten("write", &self.fresh, &error))?;
        fresh
            .sync_all()
            .map_err(|error| io_text(&error))
            .context(|| format!("write {}: sync it", self.fresh.display()))
            .map_err(SaveError::Broken)?;
        self.keep_previous().map_err(|error| unwritten("write", &self.previous, &error))?;
        std::fs::rename(&self.fresh, &self.path).map_err(|error| unwritten("replace", &self.path, &error))?;
        sync_folder(&self.folder).map_err(SaveError::Broken)?;
        self.is_sound.set(true);
        Ok(())
    }

    fn write_fresh(&self, text: &[u8]) -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        let mut file = owned::open(options.write(true).create(true).truncate(true).mode(0o600), &self.fresh)?;
        file.write_all(text)?;
        Ok(file)
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

/// What a step of a write that failed means: where there is no room it can be tried again.
fn unwritten(what: &str, path: &Path, error: &std::io::Error) -> SaveError {
    let told = Error::new(owned::text_of(error, path)).context(format!("{what} {}", path.display()));
    match owned::room_text(error) {
        Some(cure) => SaveError::Later(Error::new(format!("{told}: {cure}"))),
        None => SaveError::Broken(told),
    }
}

/// Makes renames and new names in a folder durable, as far as its file system can: see [`refuses_sync`].
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if !is_refusal(&error) => {
            Err(Error::new(io_text(&error)).context(format!("sync {}", folder.display())))
        }
        _ => Ok(()),
    }
}

/// Whether the file system does not sync folders, as CIFS and some of FUSE: what a crash of the machine
/// leaves of a new name there is up to it.
pub(crate) fn refuses_sync(folder: &Path) -> bool {
    File::open(folder).and_then(|folder| folder.sync_all()).is_err_and(|error| is_refusal(&error))
}

fn is_refusal(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported)
}

fn read_file(path: &Path) -> Result<Option<Checkpoint>> {
    let file = match plain_file::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened
            .map_err(|error| owned::text_of(&error, path))
            .context(|| format!("read checkpoint {}", path.display()))?,
    };
    let mut text = Vec::new();
    file.take(CHECKPOINT_BYTES_MAX)
        .read_to_end(&mut text)
        .context(|| format!("read checkpoint {}", path.display()))?;
    decode(&text).map(Some).map_err(|error| Error::new(format!("checkpoint {} {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::record::tests::checkpoint;
    use crate::testing::folder;

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

        let newer = r#"{"format":9,"program":"event-router 7.0.0","new":[]}"#;
        std::fs::write(file.path(), newer).unwrap();
        let fallback = file.read().unwrap().unwrap().fallback.unwrap().to_string();
        assert!(fallback.contains("is of a newer format") && !fallback.contains("damaged"), "{fallback}");

        std::fs::remove_file(file.path()).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(file.path()).status().unwrap().success());
        let fallback = file.read().unwrap().unwrap().fallback.unwrap().to_string();
        assert!(fallback.ends_with("is a pipe and no file: remove it"), "{fallback}");

        std::fs::remove_file(file.path()).unwrap();
        std::fs::write(file.path(), b"{}").unwrap();
        std::fs::write(folder.path().join("power.checkpoint.json.previous"), b"[").unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains("router checkpoint set"), "{error}");
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
        let error = Error::from(file.write(&checkpoint(200)).unwrap_err()).to_string();
        assert!(error.contains("power.checkpoint.json.new"), "{error}");
        assert_eq!(file.read().unwrap().unwrap().checkpoint, checkpoint(100));
    }
}
