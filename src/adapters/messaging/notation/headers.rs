//! Parsing of the headers that are added to every request: as a comma-separated list, or one per
//! line.

use std::fmt;

use http::{HeaderName, HeaderValue};

mod error;
mod files;

pub use self::error::{HeaderError, HeaderErrorKind};
pub use self::files::{HeaderFile, HeaderFiles, MissingHeaderFile, parse_header_files};

/// Headers that the transport sets itself, and hop-by-hop headers (RFC 9110, section 7.6.1).
pub const RESERVED_NAMES: [&str; 14] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers with unique names. Values are secrets: [`fmt::Debug`] shows only names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// Returns names and values in their original order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Returns whether there are no headers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), HeaderErrorKind> {
        add_unique(&mut self.0, validate_name(name)?, validate_value(value)?)
    }
}

/// Reads `name=value,name2=value2`.
///
/// Values are percent-decoded, as in `OTEL_EXPORTER_OTLP_HEADERS` (OpenTelemetry Protocol Exporter
/// specification, "Specifying headers via environment variables"). White space around names,
/// values and commas is ignored, as are empty entries.
///
/// # Errors
///
/// The first error, with the number of its entry.
pub fn parse_header_list(text: &str) -> Result<Headers, HeaderError> {
    let mut headers = Headers::default();
    for_each_entry(text, |entry| {
        let (name, value) = entry.split_once('=').ok_or(HeaderErrorKind::MissingSeparator)?;
        headers.add(name.trim(), &percent_decode(value.trim())?)
    })?;
    Ok(headers)
}

/// Reads `name,name2`. White space and empty entries are ignored.
///
/// # Errors
///
/// The first error, with the number of its entry.
pub fn parse_header_names(text: &str) -> Result<Vec<HeaderName>, HeaderError> {
    let mut names = Vec::new();
    for_each_entry(text, |entry| {
        let name = validate_name(entry).map_err(|kind| match kind {
            HeaderErrorKind::InvalidName => HeaderErrorKind::NotAName,
            other => other,
        })?;
        if names.contains(&name) {
            return Err(HeaderErrorKind::Duplicate);
        }
        names.push(name);
        Ok(())
    })?;
    Ok(names)
}

/// Reads a header name.
///
/// # Errors
///
/// The text is not a header name, or the name is reserved. The message completes "it …".
pub fn parse_header_name(text: &str) -> Result<HeaderName, HeaderErrorKind> {
    validate_name(text)
}

/// Reads a literal header value. White space around the value is ignored.
///
/// # Errors
///
/// The value is empty or not printable ASCII. The message completes "it …" and contains no part of
/// the value.
pub fn parse_header_value(bytes: &[u8]) -> Result<HeaderValue, HeaderErrorKind> {
    validate_value(bytes.trim_ascii())
}

/// Reads one header per line, `name=value` or `name: value`. Values are literal. Empty lines and lines
/// that begin with `#` are ignored.
///
/// # Errors
///
/// The first error, with the number of its line.
pub fn parse_header_lines(text: &str) -> Result<Headers, HeaderError> {
    let mut headers = Headers::default();
    for (index, line) in text.lines().enumerate() {
        add_line(&mut headers, line.trim()).map_err(|kind| HeaderError::in_line(index, kind))?;
    }
    Ok(headers)
}

/// Calls `add` with each trimmed entry of a comma-separated list. Empty entries are skipped.
fn for_each_entry<'a>(
    text: &'a str,
    mut add: impl FnMut(&'a str) -> Result<(), HeaderErrorKind>,
) -> Result<(), HeaderError> {
    let entries = text.split(',').map(str::trim).enumerate();
    for (index, entry) in entries.filter(|(_, entry)| !entry.is_empty()) {
        add(entry).map_err(|kind| HeaderError::in_entry(index, kind))?;
    }
    Ok(())
}

/// Adds an entry to a list with unique names.
fn add_unique<T>(
    list: &mut Vec<(HeaderName, T)>,
    name: HeaderName,
    value: T,
) -> Result<(), HeaderErrorKind> {
    if list.iter().any(|(known, _)| *known == name) {
        return Err(HeaderErrorKind::Duplicate);
    }
    list.push((name, value));
    Ok(())
}

fn add_line(headers: &mut Headers, line: &str) -> Result<(), HeaderErrorKind> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    let (name, value) = line.split_once(['=', ':']).ok_or(HeaderErrorKind::MissingSeparator)?;
    headers.add(name.trim(), value.trim().as_bytes())
}

fn validate_name(text: &str) -> Result<HeaderName, HeaderErrorKind> {
    // `from_bytes` converts to lower case, which HTTP/2 requires (RFC 9113, section 8.2.1).
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| HeaderErrorKind::InvalidName)?;
    if name.as_str().starts_with("grpc-") {
        return Err(HeaderErrorKind::Reserved("grpc-*"));
    }
    match RESERVED_NAMES.into_iter().find(|reserved| name == *reserved) {
        Some(reserved) => Err(HeaderErrorKind::Reserved(reserved)),
        None => Ok(name),
    }
}

fn validate_value(bytes: &[u8]) -> Result<HeaderValue, HeaderErrorKind> {
    if bytes.is_empty() {
        return Err(HeaderErrorKind::MissingValue);
    }
    // gRPC over HTTP/2 (`ASCII-Value`) accepts fewer bytes than `HeaderValue`.
    if !bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(HeaderErrorKind::InvalidValue);
    }
    let mut value = HeaderValue::from_bytes(bytes).map_err(|_| HeaderErrorKind::InvalidValue)?;
    value.set_sensitive(true);
    Ok(value)
}

fn percent_decode(text: &str) -> Result<Vec<u8>, HeaderErrorKind> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(HeaderErrorKind::InvalidEscape)?;
        bytes.push(hex_byte(digits)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Ok(bytes)
}

fn hex_byte(digits: &str) -> Result<u8, HeaderErrorKind> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(HeaderErrorKind::InvalidEscape);
    }
    u8::from_str_radix(digits, 16).map_err(|_| HeaderErrorKind::InvalidEscape)
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name.as_str())).finish()
    }
}

#[cfg(test)]
mod tests;
