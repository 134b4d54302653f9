//! Temporary folders: for what a command needs while it runs, and for tests.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};
use crate::observe::log::ROUTER;

/// A folder of ours among the temporary files, removed at the end.
pub(crate) struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    /// Makes one; `name` makes it recognisable.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new(name: &str) -> Result<TemporaryFolder> {
        let now = jiff::Timestamp::now().as_nanosecond();
        let temporary = std::env::temp_dir();
        // A root that holds nothing but this program has none yet. Why that fails, the next call says.
        let _ = std::fs::create_dir_all(&temporary);
        let path = temporary.join(format!("event-router-{name}-{}-{now}", std::process::id()));
        // Fails if it is there: nobody else can have prepared it.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .context(|| format!("make the folder {} (TMPDIR may name a place for it)", path.display()))?;
        Ok(TemporaryFolder { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            log::warn!(target: ROUTER, "remove {}: {error}", self.path.display());
        }
    }
}
