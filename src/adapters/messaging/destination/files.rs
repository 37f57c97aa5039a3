//! Files that may change, or appear, while the receiver runs.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::failure::{SendStage, unavailable};
use crate::adapters::files;
use crate::domain::delivery::Failure;

/// Maximum size of a file: far more than any bundle of certificates.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Distinguishes versions of a file; `None` if there is no accessible file.
///
/// The kubelet replaces a mounted file by pointing a symbolic link to another, so the inode counts
/// too.
pub(super) type FileVersion = Option<FileIdentity>;

/// The metadata that identifies one version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// Returns the version of the file at `path`, following links. May block.
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

/// Returns the failure of a file that is missing, unreadable or invalid. `reason` must not quote
/// the file, which may hold secrets.
pub(super) fn file_failure(what: &str, path: &Path, reason: &str) -> Failure {
    let path = path.display();
    unavailable(
        SendStage::File,
        format!("cannot use {what} {path}: {reason}; it is read again at the next attempt"),
    )
}

/// Returns the failure of files of which at least one cannot be read at all.
pub(super) fn unreadable<'a>(
    what: &str,
    paths: impl Iterator<Item = &'a Path>,
    error: &io::Error,
) -> Failure {
    let paths: Vec<_> = paths.map(|path| path.display().to_string()).collect();
    unavailable(SendStage::File, format!("cannot read {what} {}: {error}", paths.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_excessive_size_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();

        let failure = read_file("the CA file", &path).unwrap_err();

        assert!(failure.message.contains("it is larger than 4Mi"), "{}", failure.message);
    }
}
