//! Errors in headers. They contain no part of the text, which is secret.

use std::fmt;

/// An error in a list or file of headers, with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderError {
    position: Position,
    kind: HeaderErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Number of an entry, starting at 1.
    Entry(usize),
    /// Number of a line, starting at 1.
    Line(usize),
}

/// An error in one header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderErrorKind {
    /// No separator between name and value.
    MissingSeparator,
    /// The text before the separator is not a header name.
    InvalidName,
    /// The entry of a list of names is not a header name.
    NotAName,
    /// Only the transport may set the header of this name.
    Reserved(&'static str),
    /// The value is empty.
    MissingValue,
    /// The value is not printable ASCII.
    InvalidValue,
    /// A percent sign is not followed by two hexadecimal digits.
    InvalidEscape,
    /// An earlier header has the same name.
    Duplicate,
}

impl HeaderError {
    /// Creates an error in the entry at `index`, which starts at 0.
    pub(super) const fn in_entry(index: usize, kind: HeaderErrorKind) -> Self {
        Self { position: Position::Entry(index + 1), kind }
    }

    /// Creates an error in the line at `index`, which starts at 0.
    pub(super) const fn in_line(index: usize, kind: HeaderErrorKind) -> Self {
        Self { position: Position::Line(index + 1), kind }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Position::Entry(number) => write!(f, "entry {number} {}", self.kind),
            Position::Line(number) => write!(f, "line {number} {}", self.kind),
        }
    }
}

impl std::error::Error for HeaderError {}

impl fmt::Display for HeaderErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingSeparator => f.write_str("has no `=` between name and value"),
            Self::InvalidName => f.write_str("does not begin with an HTTP header name"),
            Self::NotAName => f.write_str("is not an HTTP header name"),
            Self::Reserved(name) => write!(f, "names `{name}`, which tracebuffer sets itself"),
            Self::MissingValue => f.write_str("has no value"),
            Self::InvalidValue => f.write_str("has a value that is not printable ASCII"),
            Self::InvalidEscape => {
                f.write_str("has a `%` without two hexadecimal digits (write `%25` for `%`)")
            }
            Self::Duplicate => f.write_str("repeats a header name"),
        }
    }
}
