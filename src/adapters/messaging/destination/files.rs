//! Files that may change, or appear, while the receiver runs.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::failure::{SendStage, unavailable};
use crate::adapters::files;
use crate::domain::delivery::Failure;

/// Most bytes of a file that are read: far more than any bundle of certificates has.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// What tells one version of a file from another; `None` where there is no file to be seen.
///
/// Kubernetes replaces a mounted file by another behind a link, so the inode counts too.
pub(super) type FileVersion = Option<FileIdentity>;

/// See [`FileVersion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// Returns the version of the file at `path`, links followed.
///
/// One system call, made while the only worker waits: these files lie on a local disk or in memory.
pub(super) fn file_version(path: &Path) -> FileVersion {
    let metadata = std::fs::metadata(path).ok()?;
    Some(FileIdentity {
        inode: metadata.ino(),
        bytes: metadata.len(),
        seconds: metadata.mtime(),
        nanoseconds: metadata.mtime_nsec(),
    })
}

/// Reads a whole file; `what` names it in a failure.
pub(super) fn read_file(what: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    read_bounded(path).map_err(|error| file_failure(what, path, &error.to_string()))
}

/// Reads a whole file.
pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    files::read_bounded(path, MAX_FILE_BYTES)
}

/// The failure of a file that is missing, unreadable or wrong. `reason` must not quote it.
pub(super) fn file_failure(what: &str, path: &Path, reason: &str) -> Failure {
    let path = path.display();
    unavailable(
        SendStage::File,
        format!("cannot use {what} {path}: {reason}; it is read again at the next try"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_absurd_size_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();

        let failure = read_file("the CA file", &path).unwrap_err();

        assert!(failure.message.contains("it is larger than 4Mi"), "{}", failure.message);
    }
}
