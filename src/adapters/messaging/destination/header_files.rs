//! Headers from files that may change, or appear, while the receiver runs.

use std::io;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use parking_lot::Mutex;

use super::files::{FileVersion, file_failure, file_version, read_bounded};
use crate::adapters::messaging::notation::headers::{
    HeaderErrorKind, HeaderFile, Headers, parse_header_lines,
};
use crate::domain::delivery::Failure;

/// A file of headers.
#[derive(Debug)]
pub(super) struct CachedHeaders {
    path: PathBuf,
    parsed: FileCache<Headers>,
}

/// A file that holds the value of one header.
#[derive(Debug)]
pub(super) struct CachedHeaderValue {
    file: HeaderFile,
    parsed: FileCache<HeaderValue>,
}

/// What a file said, until it has changed.
#[derive(Debug)]
struct FileCache<T>(Mutex<Option<(FileVersion, T)>>);

/// Why a file says nothing that can be used.
struct HeaderFileError {
    /// Whether there is no file, or nothing in it.
    is_missing: bool,
    /// Never quotes the file.
    reason: String,
}

impl CachedHeaders {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, parsed: FileCache::new() }
    }

    /// Returns what the file says now.
    pub(super) fn current(&self) -> Result<Headers, Failure> {
        self.parsed
            .current(&self.path, parse_lines)
            .map_err(|unusable| unusable.failure("the header file", &self.path))
    }
}

impl CachedHeaderValue {
    pub(super) const fn new(file: HeaderFile) -> Self {
        Self { file, parsed: FileCache::new() }
    }

    /// Returns the header's value as it is now; `None` where the header is to be left out.
    pub(super) fn current(&self) -> Result<Option<HeaderValue>, Failure> {
        match self.parsed.current(&self.file, |bytes| Ok(self.file.value(bytes)?)) {
            Ok(value) => Ok(Some(value)),
            Err(unusable) if unusable.is_missing && self.file.is_optional() => Ok(None),
            Err(unusable) => Err(unusable.failure("the file of a header's value", &self.file)),
        }
    }
}

impl<T: Clone> FileCache<T> {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Returns what the file at `path` says now; it is read and parsed only if it has changed.
    fn current(
        &self,
        path: &Path,
        parse: impl Fn(&[u8]) -> Result<T, HeaderFileError>,
    ) -> Result<T, HeaderFileError> {
        // Taken before the file is read: a change in between is then seen the next time.
        let stamp = file_version(path);
        let mut parsed = self.0.lock();
        match &*parsed {
            Some((known, value)) if *known == stamp && stamp.is_some() => Ok(value.clone()),
            _ => {
                *parsed = None;
                let value = parse(&read_bounded(path)?)?;
                *parsed = Some((stamp, value.clone()));
                Ok(value)
            }
        }
    }
}

impl HeaderFileError {
    fn failure(&self, what: &str, path: &Path) -> Failure {
        file_failure(what, path, &self.reason)
    }
}

impl From<io::Error> for HeaderFileError {
    fn from(error: io::Error) -> Self {
        let is_absent = error.kind() == io::ErrorKind::NotFound;
        Self { is_missing: is_absent, reason: error.to_string() }
    }
}

impl From<HeaderErrorKind> for HeaderFileError {
    fn from(mistake: HeaderErrorKind) -> Self {
        let is_absent = mistake == HeaderErrorKind::MissingValue;
        Self { is_missing: is_absent, reason: format!("it {mistake}") }
    }
}

fn parse_lines(bytes: &[u8]) -> Result<Headers, HeaderFileError> {
    let wrong = |reason| HeaderFileError { is_missing: false, reason };
    let text = str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text".to_owned()))?;
    parse_header_lines(text).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests;
