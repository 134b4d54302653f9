//! The lock of a state folder: it keeps out a second router, which would deliver everything twice.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Context, Error, Result, io_text};
use crate::owned;

/// A state folder that is this process's own, until this is dropped.
pub(crate) struct StateLock {
    // The lock ends with the file.
    _file: File,
}

impl StateLock {
    /// Makes the state folder and takes its lock.
    ///
    /// # Errors
    /// When the folder cannot be made or written, or another process holds the lock.
    pub(crate) fn take(folder: &Path) -> Result<StateLock> {
        let intent = || format!("state folder {}", folder.display());
        let cure = "give the user of the router write access, or set another state_dir";
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Error::new(format!("{}: {cure}", io_text(&error)))).context(intent)?;
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let opened = owned::open(&options, &path)
            .map_err(|error| Error::new(format!("{}: {cure}", owned::text_of(&error, &path))));
        let file = opened.context(|| format!("open {}", path.display())).context(intent)?;
        match file.try_lock() {
            Ok(()) => Ok(StateLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                "another router is running on it: two would deliver everything twice; stop the other one or set \
                 another state_dir",
            )
            .context(intent())),
            Err(TryLockError::Error(error)) => {
                Err(Error::new(io_text(&error)).context("lock it").context(intent()))
            }
        }
    }
}
