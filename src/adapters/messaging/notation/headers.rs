//! Headers added to every request: two ways of writing them, one way of reading.

use std::fmt;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue};

/// Headers the transport itself sets, or that are meant for one hop only (RFC 9110, 7.6.1).
const RESERVED: [&str; 14] = [
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

/// Names and values, each name once. Values are secrets: [`fmt::Debug`] shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

/// Names, each once, and the files that hold the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderFiles(Vec<(HeaderName, PathBuf)>);

/// What is wrong with headers, and where. Holds no part of the text, which is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderError {
    place: Place,
    mistake: HeaderMistake,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Counted from 1.
    Entry(usize),
    /// Counted from 1.
    Line(usize),
}

/// What is wrong with one header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderMistake {
    /// Name and value are not told apart.
    NoSeparator,
    /// The name is none.
    Name,
    /// The name is one that only the transport may set.
    Reserved(&'static str),
    /// There is no value.
    NoValue,
    /// The value is not printable ASCII.
    Value,
    /// A percent sign stands for nothing.
    Escape,
    /// The name was there before.
    Twice,
}

impl Headers {
    /// Returns names and values in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), HeaderMistake> {
        let name = checked_name(name)?;
        if self.0.iter().any(|(known, _)| *known == name) {
            return Err(HeaderMistake::Twice);
        }
        self.0.push((name, checked_value(value)?));
        Ok(())
    }
}

impl HeaderFiles {
    /// Returns names and paths in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &PathBuf)> {
        self.0.iter().map(|(name, path)| (name, path))
    }

    fn add_entry(&mut self, entry: &str) -> Result<(), HeaderMistake> {
        if entry.is_empty() {
            return Ok(());
        }
        let (name, path) = entry.split_once('=').ok_or(HeaderMistake::NoSeparator)?;
        let (name, path) = (checked_name(name.trim())?, path.trim());
        if path.is_empty() {
            return Err(HeaderMistake::NoValue);
        }
        if self.0.iter().any(|(known, _)| *known == name) {
            return Err(HeaderMistake::Twice);
        }
        self.0.push((name, path.into()));
        Ok(())
    }
}

/// Reads `name=value,name2=value2`.
///
/// Values are percent-decoded, as in `OTEL_EXPORTER_OTLP_HEADERS` (OpenTelemetry Protocol Exporter
/// specification, "Specifying headers via environment variables"); white space around names,
/// values and commas is ignored, and so is an empty entry.
///
/// # Errors
///
/// The first mistake, by the number of its entry.
pub fn parse_header_list(text: &str) -> Result<Headers, HeaderError> {
    let mut headers = Headers::default();
    for (index, entry) in text.split(',').enumerate() {
        add_entry(&mut headers, entry)
            .map_err(|mistake| HeaderError { place: Place::Entry(index + 1), mistake })?;
    }
    Ok(headers)
}

/// Reads `name=path,name2=path2`. White space and empty entries are ignored.
///
/// # Errors
///
/// The first mistake, by the number of its entry.
pub fn parse_header_files(text: &str) -> Result<HeaderFiles, HeaderError> {
    let mut files = HeaderFiles::default();
    for (index, entry) in text.split(',').enumerate() {
        files
            .add_entry(entry.trim())
            .map_err(|mistake| HeaderError { place: Place::Entry(index + 1), mistake })?;
    }
    Ok(files)
}

/// Reads a header's name.
///
/// # Errors
///
/// What is wrong with it, to complete "it …".
pub fn parse_header_name(text: &str) -> Result<HeaderName, HeaderMistake> {
    checked_name(text)
}

/// Reads a header's value, taken literally but for white space around it.
///
/// # Errors
///
/// What is wrong with it, to complete "it …". Holds no part of it.
pub fn parse_header_value(bytes: &[u8]) -> Result<HeaderValue, HeaderMistake> {
    checked_value(bytes.trim_ascii())
}

/// Reads one header a line, `name=value` or `name: value`, taken literally. Empty lines and lines
/// that begin with `#` are ignored.
///
/// # Errors
///
/// The first mistake, by the number of its line.
pub fn parse_header_lines(text: &str) -> Result<Headers, HeaderError> {
    let mut headers = Headers::default();
    for (index, line) in text.lines().enumerate() {
        add_line(&mut headers, line.trim())
            .map_err(|mistake| HeaderError { place: Place::Line(index + 1), mistake })?;
    }
    Ok(headers)
}

fn add_entry(headers: &mut Headers, entry: &str) -> Result<(), HeaderMistake> {
    if entry.trim().is_empty() {
        return Ok(());
    }
    let (name, value) = entry.split_once('=').ok_or(HeaderMistake::NoSeparator)?;
    headers.add(name.trim(), &percent_decoded(value.trim())?)
}

fn add_line(headers: &mut Headers, line: &str) -> Result<(), HeaderMistake> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    let (name, value) = line.split_once(['=', ':']).ok_or(HeaderMistake::NoSeparator)?;
    headers.add(name.trim(), value.trim().as_bytes())
}

fn checked_name(text: &str) -> Result<HeaderName, HeaderMistake> {
    // `from_bytes` lower-cases, which HTTP/2 asks for (RFC 9113, 8.2.1).
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| HeaderMistake::Name)?;
    if name.as_str().starts_with("grpc-") {
        return Err(HeaderMistake::Reserved("grpc-*"));
    }
    match RESERVED.into_iter().find(|reserved| name == *reserved) {
        Some(reserved) => Err(HeaderMistake::Reserved(reserved)),
        None => Ok(name),
    }
}

fn checked_value(bytes: &[u8]) -> Result<HeaderValue, HeaderMistake> {
    if bytes.is_empty() {
        return Err(HeaderMistake::NoValue);
    }
    // gRPC over HTTP/2, `ASCII-Value`; `HeaderValue` alone would take more.
    if !bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(HeaderMistake::Value);
    }
    let mut value = HeaderValue::from_bytes(bytes).map_err(|_| HeaderMistake::Value)?;
    value.set_sensitive(true);
    Ok(value)
}

fn percent_decoded(text: &str) -> Result<Vec<u8>, HeaderMistake> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(HeaderMistake::Escape)?;
        bytes.push(hex_byte(digits)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Ok(bytes)
}

fn hex_byte(digits: &str) -> Result<u8, HeaderMistake> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(HeaderMistake::Escape);
    }
    u8::from_str_radix(digits, 16).map_err(|_| HeaderMistake::Escape)
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name.as_str())).finish()
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Entry(number) => write!(f, "entry {number} {}", self.mistake),
            Place::Line(number) => write!(f, "line {number} {}", self.mistake),
        }
    }
}

impl std::error::Error for HeaderError {}

impl fmt::Display for HeaderMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSeparator => f.write_str("has no `=` between a name and a value"),
            Self::Name => f.write_str("does not begin with an HTTP header name"),
            Self::Reserved(name) => write!(f, "names `{name}`, which tracebuffer sets itself"),
            Self::NoValue => f.write_str("has no value"),
            Self::Value => f.write_str("has a value that is not printable ASCII"),
            Self::Escape => {
                f.write_str("has a `%` without two hexadecimal digits (`%25` stands for `%`)")
            }
            Self::Twice => f.write_str("names a header for the second time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(headers: &Headers) -> Vec<(&str, &str)> {
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    fn list_error(text: &str) -> String {
        parse_header_list(text).unwrap_err().to_string()
    }

    #[test]
    fn a_list_holds_names_and_values_in_order() {
        let headers = parse_header_list("api-key=abc,x-tenant=blue").unwrap();

        assert_eq!(pairs(&headers), [("api-key", "abc"), ("x-tenant", "blue")]);
    }

    #[test]
    fn a_value_in_a_list_is_percent_decoded() {
        let headers = parse_header_list("authorization=Basic%20a%2Cb%3D%3d").unwrap();

        assert_eq!(pairs(&headers), [("authorization", "Basic a,b==")]);
    }

    #[test]
    fn a_value_in_a_list_may_hold_further_equals_signs() {
        let headers = parse_header_list("authorization=Basic YTpi==").unwrap();

        assert_eq!(pairs(&headers), [("authorization", "Basic YTpi==")]);
    }

    #[test]
    fn white_space_and_empty_entries_of_a_list_are_ignored() {
        let headers = parse_header_list(" a = 1 , ,b=2,").unwrap();

        assert_eq!(pairs(&headers), [("a", "1"), ("b", "2")]);
    }

    #[test]
    fn a_name_is_lower_cased() {
        let headers = parse_header_list("Authorization=x").unwrap();

        assert_eq!(pairs(&headers), [("authorization", "x")]);
    }

    #[test]
    fn a_broken_escape_is_refused_wherever_it_stands() {
        for text in ["a=1,b=%", "a=1,b=%4", "a=1,b=x%zz", "a=1,b=%+1", "a=1,b=%é"] {
            assert!(list_error(text).starts_with("entry 2 has a `%` without"), "{text}");
        }
    }

    #[test]
    fn an_entry_without_a_separator_a_name_or_a_value_is_refused() {
        assert_eq!(list_error("secret"), "entry 1 has no `=` between a name and a value");
        assert_eq!(list_error("=x"), "entry 1 does not begin with an HTTP header name");
        assert_eq!(list_error("two words=x"), "entry 1 does not begin with an HTTP header name");
        assert_eq!(list_error("a="), "entry 1 has no value");
    }

    #[test]
    fn a_value_that_could_forge_another_header_is_refused() {
        for text in ["a=x%0D%0Ab: y", "a=x%00", "a=%C3%A9", "a=%FF"] {
            assert_eq!(list_error(text), "entry 1 has a value that is not printable ASCII");
        }
    }

    #[test]
    fn a_header_of_the_transport_is_refused_by_its_name() {
        assert_eq!(
            list_error("a=1,Content-Type=text/plain"),
            "entry 2 names `content-type`, which tracebuffer sets itself"
        );
        assert_eq!(
            list_error("grpc-timeout=1S"),
            "entry 1 names `grpc-*`, which tracebuffer sets itself"
        );
    }

    #[test]
    fn the_same_name_twice_is_refused_whatever_its_case() {
        assert_eq!(list_error("a=1,A=2"), "entry 2 names a header for the second time");
    }

    #[test]
    fn lines_hold_headers_with_either_separator_and_comments() {
        let text = "# keys\r\nauthorization: Bearer a=b\n\n  x-tenant=blue:green \n#end";

        let headers = parse_header_lines(text).unwrap();

        assert_eq!(pairs(&headers), [("authorization", "Bearer a=b"), ("x-tenant", "blue:green")]);
    }

    #[test]
    fn a_value_in_a_line_is_taken_literally() {
        let headers = parse_header_lines("a: 100%25,b=c").unwrap();

        assert_eq!(pairs(&headers), [("a", "100%25,b=c")]);
    }

    #[test]
    fn a_mistake_in_a_line_is_named_by_its_line_and_not_by_its_text() {
        let error = parse_header_lines("# one\n\nhunter2").unwrap_err();

        assert_eq!(error.to_string(), "line 3 has no `=` between a name and a value");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn files_of_values_are_listed_by_the_names_of_their_headers() {
        let files = parse_header_files("Authorization=/etc/a=b , ,x-key = /etc/c,").unwrap();

        let found: Vec<_> =
            files.iter().map(|(name, path)| (name.as_str(), path.to_str().unwrap())).collect();
        assert_eq!(found, [("authorization", "/etc/a=b"), ("x-key", "/etc/c")]);
    }

    #[test]
    fn a_mistake_in_a_list_of_files_is_named_by_its_entry() {
        let error = |text| parse_header_files(text).unwrap_err().to_string();

        assert_eq!(error("a=/b,c"), "entry 2 has no `=` between a name and a value");
        assert_eq!(error("a="), "entry 1 has no value");
        assert_eq!(error("a=/b,A=/c"), "entry 2 names a header for the second time");
        assert_eq!(error("te=/b"), "entry 1 names `te`, which tracebuffer sets itself");
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let headers = parse_header_list("authorization=hunter2").unwrap();

        assert_eq!(format!("{headers:?}"), r#"["authorization"]"#);
    }

    #[test]
    fn values_are_marked_as_sensitive_for_header_compression() {
        let headers = parse_header_list("authorization=hunter2").unwrap();

        assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
    }
}
