//! What can be wrong with headers. Holds no part of the text, which is secret.

use std::fmt;

/// What is wrong with headers, and where.
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
    /// What stands before the separator is no name.
    Name,
    /// It was to be a name, and is none.
    NoName,
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

impl HeaderError {
    /// A mistake in the entry of a list that has `index` entries before it.
    pub(super) const fn in_entry(index: usize, mistake: HeaderMistake) -> Self {
        Self { place: Place::Entry(index + 1), mistake }
    }

    /// A mistake in the line of a text that has `index` lines before it.
    pub(super) const fn in_line(index: usize, mistake: HeaderMistake) -> Self {
        Self { place: Place::Line(index + 1), mistake }
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
            Self::NoName => f.write_str("is no HTTP header name"),
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
