//! What is opened is a file: a pipe in its place would wait for its other end, and a device may have
//! no end.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Opens a file for reading.
///
/// # Errors
/// When it cannot be opened, or is something else than a file.
pub(crate) fn open(path: &Path) -> Result<File> {
    check(path)?;
    File::open(path)
}

/// The content of a file.
///
/// # Errors
/// As [`open`], and when it holds more than `bytes_max`.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes_max < bytes.len() as u64 {
        return Err(Error::other(format!("is larger than {} KiB", bytes_max / 1024)));
    }
    Ok(bytes)
}

/// Whether a file can be at a path. What cannot be looked at, the opening tells.
///
/// # Errors
/// What is there in its place.
pub(crate) fn check(path: &Path) -> Result<()> {
    let Ok(found) = std::fs::metadata(path) else { return Ok(()) };
    let kind = found.file_type();
    // Who names one of the process's own ends has connected it.
    let is_own = ["/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|own| path.starts_with(own));
    match () {
        () if kind.is_file() || is_own => Ok(()),
        () if kind.is_dir() => Err(Error::new(ErrorKind::IsADirectory, "is a directory and no file")),
        () if kind.is_fifo() => Err(Error::other("is a pipe and no file")),
        () if kind.is_socket() => Err(Error::other("is a socket and no file")),
        () => Err(Error::other("is a device and no file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::folder;

    #[test]
    fn only_files_are_read_and_no_more_than_the_limit() {
        let folder = folder("plain-file");
        let file = folder.path().join("file");
        std::fs::write(&file, b"four").unwrap();
        assert_eq!(read(&file, 4).unwrap(), b"four");
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for (path, words) in [
            (file.as_path(), "is larger than 0 KiB"),
            (folder.path(), "is a directory"),
            (&pipe, "is a pipe and no file"),
            (&socket, "is a socket and no file"),
            (Path::new("/dev/zero"), "is a device and no file"),
            (&folder.path().join("none"), "No such file"),
        ] {
            assert!(read(path, 3).unwrap_err().to_string().contains(words), "{words}");
        }
    }
}
