//! Headers from files that may change, or appear, while the receiver runs.

use std::io;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use parking_lot::Mutex;

use super::files::{Stamp, content, stamp, unusable};
use crate::adapters::messaging::notation::headers::{
    HeaderFile, HeaderMistake, Headers, parse_header_lines,
};
use crate::domain::delivery::Failure;

/// A file of headers.
#[derive(Debug)]
pub(super) struct HeadersFile {
    path: PathBuf,
    parsed: Parsed<Headers>,
}

/// A file that holds the value of one header.
#[derive(Debug)]
pub(super) struct HeaderValueFile {
    file: HeaderFile,
    parsed: Parsed<HeaderValue>,
}

/// What a file said, until it has changed.
#[derive(Debug)]
struct Parsed<T>(Mutex<Option<(Stamp, T)>>);

/// Why a file says nothing that can be used.
struct Unusable {
    /// Whether there is no file, or nothing in it.
    is_absent: bool,
    /// Never quotes the file.
    reason: String,
}

impl HeadersFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, parsed: Parsed::new() }
    }

    /// Returns what the file says now.
    pub(super) fn current(&self) -> Result<Headers, Failure> {
        self.parsed
            .current(&self.path, header_lines)
            .map_err(|unusable| unusable.failure("the header file", &self.path))
    }
}

impl HeaderValueFile {
    pub(super) const fn new(file: HeaderFile) -> Self {
        Self { file, parsed: Parsed::new() }
    }

    /// Returns the header's value as it is now; `None` where the header is to be left out.
    pub(super) fn current(&self) -> Result<Option<HeaderValue>, Failure> {
        match self.parsed.current(&self.file, |bytes| Ok(self.file.value(bytes)?)) {
            Ok(value) => Ok(Some(value)),
            Err(unusable) if unusable.is_absent && self.file.is_optional() => Ok(None),
            Err(unusable) => Err(unusable.failure("the file of a header's value", &self.file)),
        }
    }
}

impl<T: Clone> Parsed<T> {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Returns what the file at `path` says now; it is read and parsed only if it has changed.
    fn current(
        &self,
        path: &Path,
        parse: impl Fn(&[u8]) -> Result<T, Unusable>,
    ) -> Result<T, Unusable> {
        // Taken before the file is read: a change in between is then seen the next time.
        let stamp = stamp(path);
        let mut parsed = self.0.lock();
        match &*parsed {
            Some((known, value)) if *known == stamp && stamp.is_some() => Ok(value.clone()),
            _ => {
                *parsed = None;
                let value = parse(&content(path)?)?;
                *parsed = Some((stamp, value.clone()));
                Ok(value)
            }
        }
    }
}

impl Unusable {
    fn failure(&self, what: &str, path: &Path) -> Failure {
        unusable(what, path, &self.reason)
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        let is_absent = error.kind() == io::ErrorKind::NotFound;
        Self { is_absent, reason: error.to_string() }
    }
}

impl From<HeaderMistake> for Unusable {
    fn from(mistake: HeaderMistake) -> Self {
        let is_absent = mistake == HeaderMistake::NoValue;
        Self { is_absent, reason: format!("it {mistake}") }
    }
}

fn header_lines(bytes: &[u8]) -> Result<Headers, Unusable> {
    let wrong = |reason| Unusable { is_absent: false, reason };
    let text = str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text".to_owned()))?;
    parse_header_lines(text).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests;
