//! Files of the state folder belong to whom the folder belongs: a command that root runs must not leave
//! files that the service's own user cannot read.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use crate::error::io_text;

/// Opens a file, and gives it to the owner of its folder if it belongs to somebody else and we may.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open(options: &OpenOptions, path: &Path) -> Result<File> {
    let file = options.open(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let (Ok(owner), Ok(found)) = (std::fs::metadata(folder), file.metadata())
        && (owner.uid(), owner.gid()) != (found.uid(), found.gid())
    {
        // Only root may; for others the file is usable as it is.
        let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
    }
    Ok(file)
}

/// The text of an error about a file; who owns it, and what gives it back, if that is why.
pub(crate) fn text_of(error: &Error, path: &Path) -> String {
    let text = io_text(error);
    if error.kind() != ErrorKind::PermissionDenied {
        return text;
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let Ok(found) = std::fs::metadata(path) else { return text };
    format!(
        "{text}: it belongs to user {} and group {} with mode {:o}; `chown --reference={} {}` as root repairs that",
        found.uid(),
        found.gid(),
        found.mode() & 0o7777,
        folder.display(),
        path.display()
    )
}

/// The text of an error about a file that the router only reads; who may read it, if that is why.
pub(crate) fn access_text(error: &Error, path: &Path) -> String {
    let text = io_text(error);
    if error.kind() != ErrorKind::PermissionDenied {
        return text;
    }
    let uid = |path: &Path| std::fs::metadata(path).map(|found| found.uid());
    let whom =
        uid(Path::new("/proc/self")).map_or("the router's user".to_string(), |own| format!("user {own}"));
    let Ok(found) = std::fs::metadata(path) else {
        return format!("{text}: let {whom} enter its folder, by chmod or chown");
    };
    let (owner, group, mode) = (found.uid(), found.gid(), found.mode() & 0o7777);
    format!(
        "{text}: it belongs to user {owner} and group {group} with mode {mode:o}: let {whom} read it, by chmod or chown"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::folder;
    use std::os::unix::fs::OpenOptionsExt;

    #[test]
    fn a_file_has_the_owner_of_its_folder() {
        let folder = folder("owned");
        let path = folder.path().join("file");
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        let file = open(&options, &path).unwrap();
        let (owner, found) = (std::fs::metadata(folder.path()).unwrap(), file.metadata().unwrap());
        assert_eq!((owner.uid(), owner.gid()), (found.uid(), found.gid()));
        let denied = text_of(&Error::from(ErrorKind::PermissionDenied), &path);
        let whom = format!(
            "belongs to user {} and group {} with mode 600; `chown --reference=",
            owner.uid(),
            owner.gid()
        );
        assert!(denied.contains(&whom), "{denied}");
        assert!(!text_of(&Error::from(ErrorKind::NotFound), &path).contains("chown"));
        let denied = access_text(&Error::from(ErrorKind::PermissionDenied), &path);
        assert!(denied.contains("with mode 600: let user"), "{denied}");
        let hidden = access_text(&Error::from(ErrorKind::PermissionDenied), &folder.path().join("none"));
        assert!(hidden.contains("enter its folder"), "{hidden}");
        assert!(!access_text(&Error::from(ErrorKind::NotFound), &path).contains("chown"));
    }
}
