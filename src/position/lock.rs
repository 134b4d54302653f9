//! The lock of a state folder: it keeps out a second router, which would deliver everything twice.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result, io_text};
use crate::observe::log::ROUTER;
use crate::owned;
use crate::position::file::refuses_sync;

/// A state folder that is this process's own, until this is dropped.
pub(crate) struct StateLock {
    // The lock ends with the file.
    file: File,
    folder: PathBuf,
    // Why it could not be looked at, as it was said.
    said: Option<String>,
}

const ANOTHER: &str = "another router is running on it";

fn lock_path(folder: &Path) -> PathBuf {
    folder.join("lock")
}

impl StateLock {
    /// Makes the state folder and takes its lock.
    ///
    /// # Errors
    /// When the folder cannot be made or written, or another process holds the lock.
    pub(crate) fn take(folder: &Path) -> Result<StateLock> {
        let intent = || format!("state folder {}", folder.display());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Error::new(owned::folder_text(&error, folder))).context(intent)?;
        let file = Self::locked(folder)?;
        if refuses_sync(folder) {
            log::warn!(
                target: ROUTER,
                "the file system of {} does not sync folders: a crash of the machine may bring back an older \
                 position, and events are repeated; a local file system keeps it",
                folder.display()
            );
        }
        Ok(StateLock { file, folder: folder.to_path_buf(), said: None })
    }

    /// The key of the folder, made when it is asked for first: the runs that have it come one after the
    /// other.
    ///
    /// # Errors
    /// When it can neither be read nor written.
    pub(crate) fn node_key(&self) -> Result<String> {
        let path = self.folder.join("node");
        let is_key = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(text) = std::fs::read_to_string(&path).ok().filter(|text| is_key(text.trim())) {
            return Ok(text.trim().to_string());
        }
        let key = crate::sync::random_key();
        let intent = || format!("write {}", path.display());
        std::fs::write(&path, &key).map_err(|error| owned::text_of(&error, &path)).context(intent)?;
        Ok(key)
    }

    /// Makes the lock again if its file was removed: without it a second router would start. True when it
    /// was made again.
    ///
    /// # Errors
    /// When another process took the folder meanwhile.
    pub(crate) fn renew(&mut self) -> Result<bool> {
        let named = std::fs::metadata(lock_path(&self.folder));
        let own = self.file.metadata();
        if let (Ok(named), Ok(own)) = (&named, &own)
            && (named.dev(), named.ino()) == (own.dev(), own.ino())
        {
            self.said = None;
            return Ok(false);
        }
        match Self::locked(&self.folder) {
            Ok(file) => {
                self.file = file;
                Ok(true)
            }
            Err(error) if error.to_string().contains(ANOTHER) => Err(error),
            Err(error) => {
                // The folder itself is gone, or refuses: the next record will tell what that means.
                let text = error.to_string();
                if self.said.as_ref() != Some(&text) {
                    log::warn!(target: ROUTER, "the lock of the state folder was removed and cannot be made again: {text}");
                    self.said = Some(text);
                }
                Ok(false)
            }
        }
    }

    fn locked(folder: &Path) -> Result<File> {
        let intent = || format!("state folder {}", folder.display());
        let path = lock_path(folder);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let opened = owned::open(&options, &path).map_err(|error| {
            Error::new(match path.exists() {
                true => owned::text_of(&error, &path),
                false => owned::folder_text(&error, folder),
            })
        });
        let file = opened.context(|| format!("open {}", path.display())).context(intent)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::new(format!(
                "{ANOTHER}: two would deliver everything twice; stop the other one or set another state_dir"
            ))
            .context(intent())),
            Err(TryLockError::Error(error)) => {
                Err(Error::new(io_text(&error)).context("lock it").context(intent()))
            }
        }
    }
}
