//! Files of the state folder belong to whom the folder belongs: a command that root runs must not leave
//! files that the service's own user cannot read.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use crate::error::io_text;
use crate::plain_file;

/// Opens a file, and gives it to the owner of its folder if it belongs to somebody else and we may.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open(options: &OpenOptions, path: &Path) -> Result<File> {
    plain_file::check(path)?;
    let file = options.open(path)?;
    let (Ok(owner), Ok(found)) = (std::fs::metadata(folder_of(path)), file.metadata()) else {
        return Ok(file);
    };
    if (owner.uid(), owner.gid()) != (found.uid(), found.gid())
        // Only root may; for others the file is usable as it is, and by the group if that is theirs.
        && fchown(&file, Some(owner.uid()), Some(owner.gid())).is_err()
    {
        let _ = fchown(&file, None, Some(owner.gid()));
    }
    if is_shared(&owner) && found.mode() & GROUP_USES != GROUP_USES {
        // Whoever of the group comes next must be able to go on.
        let _ = file.set_permissions(PermissionsExt::from_mode(found.mode() & 0o777 | GROUP_USES));
    }
    Ok(file)
}

const GROUP_USES: u32 = 0o060;

/// Whether a group has the folder and not everybody: OpenShift gives each namespace a user of its own and
/// all of them the group 0.
fn is_shared(folder: &Metadata) -> bool {
    folder.mode() & 0o022 == 0o020
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What helps where there is no room for a file; none if that is not why it was not written.
pub(crate) fn room_text(error: &Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::StorageFull => Some("make room on its file system"),
        ErrorKind::QuotaExceeded => Some("make room, or raise the quota of the router's user"),
        _ => None,
    }
}

/// Who may use a folder that refuses the router, and what lets it in; for other errors the text alone.
pub(crate) fn folder_text(error: &Error, folder: &Path) -> String {
    let text = io_text(error);
    let (Ok(own), Ok(found)) = (std::fs::metadata("/proc/self"), std::fs::metadata(folder)) else {
        return format!("{text}: give the user of the router write access, or set another state_dir");
    };
    if error.kind() != ErrorKind::PermissionDenied {
        let is_other = error.get_ref().is_some();
        let cure = if is_other { "remove it" } else { "give the user of the router write access" };
        return format!("{text}: {cure}, or set another state_dir");
    }
    let (uid, gid, path) = (own.uid(), own.gid(), folder.display());
    format!(
        "{text}: it belongs to user {} and group {} with mode {:o}, and the router is user {uid} and group {gid}: \
         `chown {uid} {path}`, or `chgrp {gid} {path}` and `chmod g+rwx {path}`, or set another state_dir",
        found.uid(),
        found.gid(),
        found.mode() & 0o7777
    )
}

/// The text of an error about a file; who owns it, and what gives it back, if that is why.
pub(crate) fn text_of(error: &Error, path: &Path) -> String {
    let text = io_text(error);
    if error.kind() != ErrorKind::PermissionDenied {
        // Our own words tell what is there in its place.
        return if error.get_ref().is_some() { format!("{text}: remove it") } else { text };
    }
    let folder = folder_of(path);
    let Ok(found) = std::fs::metadata(path) else { return text };
    let path = path.display();
    let for_group = match std::fs::metadata(folder).is_ok_and(|folder| is_shared(&folder)) {
        true => format!(", `chmod g+rw {path}` for all of its group"),
        false => String::new(),
    };
    format!(
        "{text}: it belongs to user {} and group {} with mode {:o}; `chown --reference={} {path}` as root repairs \
         that{for_group}",
        found.uid(),
        found.gid(),
        found.mode() & 0o7777,
        folder.display(),
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
