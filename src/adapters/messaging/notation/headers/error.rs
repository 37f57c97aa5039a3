//! What can be wrong with headers. Holds no part of the text, which is secret.

use std::fmt;

/// What is wrong with headers, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderError {
    position: Position,
    kind: HeaderErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Counted from 1.
    Entry(usize),
    /// Counted from 1.
    Line(usize),
}

/// What is wrong with one header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderErrorKind {
    /// Name and value are not told apart.
    MissingSeparator,
    /// What stands before the separator is no name.
    InvalidName,
    /// It was to be a name, and is none.
    NotAName,
    /// The name is one that only the transport may set.
    Reserved(&'static str),
    /// There is no value.
    MissingValue,
    /// The value is not printable ASCII.
    InvalidValue,
    /// A percent sign stands for nothing.
    InvalidEscape,
    /// The name was there before.
    Duplicate,
}

impl HeaderError {
    /// A mistake in the entry of a list that has `index` entries before it.
    pub(super) const fn in_entry(index: usize, mistake: HeaderErrorKind) -> Self {
        Self { position: Position::Entry(index + 1), kind: mistake }
    }

    /// A mistake in the line of a text that has `index` lines before it.
    pub(super) const fn in_line(index: usize, mistake: HeaderErrorKind) -> Self {
        Self { position: Position::Line(index + 1), kind: mistake }
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
            Self::MissingSeparator => f.write_str("has no `=` between a name and a value"),
            Self::InvalidName => f.write_str("does not begin with an HTTP header name"),
            Self::NotAName => f.write_str("is no HTTP header name"),
            Self::Reserved(name) => write!(f, "names `{name}`, which tracebuffer sets itself"),
            Self::MissingValue => f.write_str("has no value"),
            Self::InvalidValue => f.write_str("has a value that is not printable ASCII"),
            Self::InvalidEscape => {
                f.write_str("has a `%` without two hexadecimal digits (`%25` stands for `%`)")
            }
            Self::Duplicate => f.write_str("names a header for the second time"),
        }
    }
}
