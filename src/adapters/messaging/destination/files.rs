//! Files that may change, or appear, while the receiver runs.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use parking_lot::Mutex;

use super::failure::{Step, unavailable};
use crate::adapters::messaging::notation::headers::{
    Headers, parse_header_lines, parse_header_value,
};
use crate::domain::delivery::Failure;

/// Most bytes of a file that are read: far more than any bundle of certificates has.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// What tells one version of a file from another; `None` where there is no file to be seen.
///
/// Kubernetes replaces a mounted file by another behind a link, so the inode counts too.
pub(super) type Stamp = Option<Version>;

/// See [`Stamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// A file that is parsed again whenever it has changed.
#[derive(Debug)]
pub(super) struct ParsedFile<T> {
    what: &'static str,
    path: PathBuf,
    /// Says what is wrong with a content, and never quotes it.
    parse: fn(&[u8]) -> Result<T, String>,
    parsed: Mutex<Option<(Stamp, T)>>,
}

/// A file of headers.
pub(super) type HeaderFile = ParsedFile<Headers>;

/// A file that is the value of one header.
pub(super) type HeaderValueFile = ParsedFile<HeaderValue>;

/// Returns the version of the file at `path`, links followed.
///
/// One system call, made while the only worker waits: these files lie on a local disk or in memory.
pub(super) fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Version {
        inode: metadata.ino(),
        bytes: metadata.len(),
        seconds: metadata.mtime(),
        nanoseconds: metadata.mtime_nsec(),
    })
}

/// Reads a whole file; `what` names it in a failure.
pub(super) fn read(what: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::other("larger than 4 MiB"));
        }
        Ok(bytes)
    };
    read().map_err(|error| unusable(what, path, &error.to_string()))
}

/// The failure of a file that is missing, unreadable or wrong. `reason` must not quote it.
pub(super) fn unusable(what: &str, path: &Path, reason: &str) -> Failure {
    let path = path.display();
    unavailable(
        Step::File,
        format!("cannot use {what} {path}: {reason}; it is read again at the next try"),
    )
}

impl HeaderFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self::parsed_by(header_lines, "the header file", path)
    }
}

impl HeaderValueFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self::parsed_by(header_value, "the file of a header's value", path)
    }
}

impl<T: Clone> ParsedFile<T> {
    const fn parsed_by(
        parse: fn(&[u8]) -> Result<T, String>,
        what: &'static str,
        path: PathBuf,
    ) -> Self {
        Self { what, path, parse, parsed: Mutex::new(None) }
    }

    /// Returns what the file says now.
    pub(super) fn current(&self) -> Result<T, Failure> {
        // Taken before the file is read: a change in between is then seen the next time.
        let stamp = stamp(&self.path);
        let mut parsed = self.parsed.lock();
        match &*parsed {
            Some((known, value)) if *known == stamp && stamp.is_some() => Ok(value.clone()),
            _ => {
                *parsed = None;
                let bytes = read(self.what, &self.path)?;
                let value = (self.parse)(&bytes)
                    .map_err(|reason| unusable(self.what, &self.path, &reason))?;
                *parsed = Some((stamp, value.clone()));
                Ok(value)
            }
        }
    }
}

fn header_lines(bytes: &[u8]) -> Result<Headers, String> {
    let text = str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text")?;
    parse_header_lines(text).map_err(|error| error.to_string())
}

fn header_value(bytes: &[u8]) -> Result<HeaderValue, String> {
    parse_header_value(bytes).map_err(|mistake| format!("it {mistake}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &Headers) -> Vec<&str> {
        headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn a_header_file_is_parsed_again_after_it_was_rewritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("headers");
        std::fs::write(&path, "a: 1").unwrap();
        let file = HeaderFile::new(path.clone());
        assert_eq!(names(&file.current().unwrap()), ["a"]);

        std::fs::write(&path, "bb: 2").unwrap();

        assert_eq!(names(&file.current().unwrap()), ["bb"]);
    }

    #[test]
    fn a_header_file_replaced_behind_a_link_is_parsed_again() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("old"), "a: 1").unwrap();
        std::fs::write(at("new"), "b: 2").unwrap();
        std::os::unix::fs::symlink(at("old"), at("headers")).unwrap();
        let file = HeaderFile::new(at("headers"));
        assert_eq!(names(&file.current().unwrap()), ["a"]);

        std::os::unix::fs::symlink(at("new"), at("link")).unwrap();
        std::fs::rename(at("link"), at("headers")).unwrap();

        assert_eq!(names(&file.current().unwrap()), ["b"]);
    }

    #[test]
    fn a_header_file_that_appears_late_is_picked_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("headers");
        let file = HeaderFile::new(path.clone());
        let failure = file.current().unwrap_err();
        assert_eq!(failure.code, "FILE");
        assert!(failure.message.contains(path.to_str().unwrap()), "{}", failure.message);
        assert!(failure.message.contains("No such file"), "{}", failure.message);

        std::fs::write(&path, "a: 1").unwrap();

        assert_eq!(names(&file.current().unwrap()), ["a"]);
    }

    #[test]
    fn a_header_file_that_disappears_is_a_failure_and_not_a_memory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("headers");
        std::fs::write(&path, "a: 1").unwrap();
        let file = HeaderFile::new(path.clone());
        file.current().unwrap();

        std::fs::remove_file(&path).unwrap();

        assert_eq!(file.current().unwrap_err().code, "FILE");
    }

    #[test]
    fn a_broken_header_file_is_described_and_never_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("headers");
        for content in [&b"hunter2"[..], b"hunter2\xff: x"] {
            std::fs::write(&path, content).unwrap();

            let failure = HeaderFile::new(path.clone()).current().unwrap_err();

            assert!(!failure.message.contains("hunter2"), "{}", failure.message);
            assert!(failure.message.contains("headers"), "{}", failure.message);
        }
    }

    #[test]
    fn a_value_file_is_one_value_without_its_line_end_and_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authorization");
        let file = HeaderValueFile::new(path.clone());
        assert_eq!(file.current().unwrap_err().code, "FILE");

        std::fs::write(&path, "Bearer old\n").unwrap();
        let value = file.current().unwrap();
        assert_eq!(value, "Bearer old");
        assert!(value.is_sensitive());

        std::fs::write(&path, "Bearer newer: a=b").unwrap();
        assert_eq!(file.current().unwrap(), "Bearer newer: a=b");
    }

    #[test]
    fn a_broken_value_file_is_described_and_never_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authorization");
        for (content, why) in [
            (&b"hunter2\nhunter3"[..], "it has a value that is not printable ASCII"),
            (b" \n", "it has no value"),
        ] {
            std::fs::write(&path, content).unwrap();

            let message = HeaderValueFile::new(path.clone()).current().unwrap_err().message;

            assert!(!message.contains("hunter"), "{message}");
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn a_file_of_absurd_size_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();

        let failure = read("the CA file", &path).unwrap_err();

        assert!(failure.message.contains("larger than 4 MiB"), "{}", failure.message);
    }
}
