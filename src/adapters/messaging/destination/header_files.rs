//! Headers from files that may change, or appear, while the receiver runs.

use std::io;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use super::config::DestinationSettings;
use super::files::{FileVersion, file_failure, file_version, read_bounded, unreadable};
use crate::adapters::messaging::notation::headers::{
    HeaderErrorKind, HeaderFile, Headers, parse_header_lines,
};
use crate::domain::delivery::Failure;

/// All files of headers of one destination.
#[derive(Debug)]
pub(super) struct HeaderSources {
    lines: Option<CachedHeaders>,
    values: Vec<(HeaderName, CachedHeaderValue)>,
}

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

/// The parsed content of a file, valid until the file changes.
#[derive(Debug)]
struct FileCache<T>(Mutex<Option<(FileVersion, T)>>);

/// Why a file cannot be used.
struct HeaderFileError {
    /// Whether the file does not exist or is empty.
    is_missing: bool,
    /// Never quotes the file.
    reason: String,
}

impl HeaderSources {
    /// Returns `None` if there are no such files.
    pub(super) fn new(settings: &DestinationSettings) -> Option<Self> {
        let lines = settings.headers_file.clone().map(CachedHeaders::new);
        let values = settings.header_files.iter();
        let values: Vec<_> = values
            .map(|(name, file)| (name.clone(), CachedHeaderValue::new(file.clone())))
            .collect();
        (lines.is_some() || !values.is_empty()).then_some(Self { lines, values })
    }

    /// Returns the current headers; of one name, that of a value file. May block.
    pub(super) fn current(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(file) = &self.lines {
            for (name, value) in file.current()?.iter() {
                headers.insert(name, value.clone());
            }
        }
        for (name, file) in &self.values {
            if let Some(value) = file.current()? {
                headers.insert(name, value);
            }
        }
        Ok(headers)
    }

    /// Returns the failure of files that cannot be read at all.
    pub(super) fn failure(&self, error: &io::Error) -> Failure {
        let lines = self.lines.iter().map(|file| file.path.as_path());
        let values = self.values.iter().map(|(_, value)| &*value.file as &Path);
        unreadable("the header files", lines.chain(values), error)
    }
}

impl CachedHeaders {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, parsed: FileCache::new() }
    }

    /// Returns the current headers of the file.
    pub(super) fn current(&self) -> Result<Headers, Failure> {
        self.parsed
            .current(&self.path, parse_lines)
            .map_err(|error| error.failure("the header file", &self.path))
    }
}

impl CachedHeaderValue {
    pub(super) const fn new(file: HeaderFile) -> Self {
        Self { file, parsed: FileCache::new() }
    }

    /// Returns the current value of the header; `None` if the header is omitted.
    pub(super) fn current(&self) -> Result<Option<HeaderValue>, Failure> {
        match self.parsed.current(&self.file, |bytes| Ok(self.file.value(bytes)?)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_missing && self.file.is_optional() => Ok(None),
            Err(error) => Err(error.failure("the file of a header's value", &self.file)),
        }
    }
}

impl<T: Clone> FileCache<T> {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Returns the parsed content of the file at `path`, which is read only if it has changed.
    fn current(
        &self,
        path: &Path,
        parse: impl Fn(&[u8]) -> Result<T, HeaderFileError>,
    ) -> Result<T, HeaderFileError> {
        // Before the file is read, so that a change in between is noticed next time.
        let version = file_version(path);
        let mut parsed = self.0.lock();
        match &*parsed {
            Some((cached, value)) if *cached == version && version.is_some() => Ok(value.clone()),
            _ => {
                *parsed = None;
                let value = parse(&read_bounded(path)?)?;
                *parsed = Some((version, value.clone()));
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
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        Self { is_missing, reason: error.to_string() }
    }
}

impl From<HeaderErrorKind> for HeaderFileError {
    fn from(error: HeaderErrorKind) -> Self {
        let is_missing = error == HeaderErrorKind::MissingValue;
        Self { is_missing, reason: format!("it {error}") }
    }
}

fn parse_lines(bytes: &[u8]) -> Result<Headers, HeaderFileError> {
    let invalid = |reason| HeaderFileError { is_missing: false, reason };
    let text = str::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8 text".to_owned()))?;
    parse_header_lines(text).map_err(|error| invalid(error.to_string()))
}

#[cfg(test)]
mod tests;
