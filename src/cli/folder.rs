//! A folder for what a command needs while it runs.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};
use crate::observe::log::ROUTER;

/// A folder of ours among the temporary files, removed at the end.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one; `command` makes it recognisable.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn new(command: &str) -> Result<Folder> {
        let now = jiff::Timestamp::now().as_nanosecond();
        let temporary = std::env::temp_dir();
        // A root that holds nothing but this program has none yet. Why that fails, the next call says.
        let _ = std::fs::create_dir_all(&temporary);
        let path = temporary.join(format!("event-router-{command}-{}-{now}", std::process::id()));
        // Fails if it is there: nobody else can have prepared it.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .context(|| format!("make the folder {} (TMPDIR may name a place for it)", path.display()))?;
        Ok(Folder { path })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            log::warn!(target: ROUTER, "remove {}: {error}", self.path.display());
        }
    }
}
