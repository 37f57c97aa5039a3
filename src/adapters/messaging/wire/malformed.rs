//! Errors of a malformed request, with the position in it.

use std::fmt;

/// Fields shown at each end of a deep path; those between are only counted.
const SHOWN_PATH_ENDS: usize = 6;

/// Why a request cannot be read as an `ExportTraceServiceRequest`.
///
/// Its text names the byte, the message and the field as the OTLP `.proto` files do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedProtobuf {
    offset: usize,
    error: ScanError,
}

/// An error that collects its path while it propagates outwards from the message it is in.
///
/// Boxed, because errors are rare and the result of a check should fit in a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScanError(Box<ErrorDetails>);

/// The result of a check.
pub(super) type ScanResult<T> = Result<T, ScanError>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct ErrorDetails {
    /// The number and name of the field; `None` if its key cannot be read.
    field: Option<(u64, &'static str)>,
    problem: FieldProblem,
    /// The fields that lead to the message, innermost first.
    path: Vec<&'static str>,
    /// Bytes from the error to the end of the outermost message of the path so far.
    bytes_to_end: usize,
}

/// What can be wrong with one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldProblem {
    TruncatedVarint,
    VarintOverflow,
    InvalidFieldNumber,
    UnknownWireType(u64),
    WrongWireType { found: u64, needed: u8 },
    Truncated { needed: u64, left: usize },
    InvalidUtf8,
    UnexpectedEndGroup,
    UnclosedGroup,
    MismatchedEndGroup(u32),
    TooDeep,
}

impl MalformedProtobuf {
    pub(super) fn new(error: ScanError, request_bytes: usize) -> Self {
        Self { offset: request_bytes.saturating_sub(error.0.bytes_to_end), error }
    }

    /// Returns the position in the request, in bytes from 0, of what is malformed: the first byte
    /// that is not UTF-8, or the start of the field.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Returns whether the problem is a string that is not UTF-8. Everything before it is well
    /// formed.
    #[must_use]
    pub fn is_invalid_utf8(&self) -> bool {
        self.error.is_invalid_utf8()
    }
}

impl ScanError {
    /// Creates an error `before_end` bytes before the end of the current message.
    #[cold]
    pub(super) fn new(
        before_end: usize,
        field: Option<(u64, &'static str)>,
        problem: FieldProblem,
    ) -> Self {
        Self(Box::new(ErrorDetails { field, problem, path: Vec::new(), bytes_to_end: before_end }))
    }

    pub(super) fn is_invalid_utf8(&self) -> bool {
        self.0.problem == FieldProblem::InvalidUtf8
    }

    /// Returns the name of the field of the outermost message in which the error is.
    pub(super) fn outermost_field(&self) -> &'static str {
        let field = self.0.field.map_or("field", |(_, name)| name);
        self.0.path.last().copied().unwrap_or(field)
    }

    /// Extends the path by the enclosing message, in which `field` holds the nested message and
    /// `after` bytes follow it.
    #[cold]
    pub(super) fn in_field(mut self, field: &'static str, after: usize) -> Self {
        self.0.path.push(field);
        self.0.bytes_to_end += after;
        self
    }
}

impl fmt::Display for MalformedProtobuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ErrorDetails { field, problem, path, .. } = &*self.error.0;
        write!(f, "byte {}, in ExportTraceServiceRequest", self.offset)?;
        write_path(f, path)?;
        match field {
            Some((number, name)) => write!(f, ": field {number} ({name}) {problem}"),
            None => write!(f, ": a field {problem}"),
        }
    }
}

impl std::error::Error for MalformedProtobuf {}

fn write_path(f: &mut fmt::Formatter<'_>, innermost_first: &[&'static str]) -> fmt::Result {
    let depth = innermost_first.len();
    let hidden = depth.saturating_sub(2 * SHOWN_PATH_ENDS);
    for (index, name) in innermost_first.iter().rev().enumerate() {
        if hidden == 0 || index < SHOWN_PATH_ENDS || index >= SHOWN_PATH_ENDS + hidden {
            write!(f, ".{name}")?;
        } else if index == SHOWN_PATH_ENDS {
            write!(f, ".({hidden} more)")?;
        }
    }
    Ok(())
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TruncatedVarint => f.write_str("ends within a number"),
            Self::VarintOverflow => f.write_str("has a number of more than 64 bits"),
            Self::InvalidFieldNumber => f.write_str("has a number outside 1 to 536870911"),
            Self::UnknownWireType(found) => {
                write!(f, "has wire type {found}, which does not exist")
            }
            Self::WrongWireType { found, needed } => {
                write!(f, "has wire type {found}, must be {needed}")
            }
            Self::Truncated { needed, left } => {
                write!(f, "needs {needed} bytes, but its message has {left} left")
            }
            Self::InvalidUtf8 => f.write_str("is not UTF-8"),
            Self::UnexpectedEndGroup => f.write_str("ends a group that was not started"),
            Self::UnclosedGroup => f.write_str("starts a group that does not end"),
            Self::MismatchedEndGroup(number) => {
                write!(f, "starts a group in which group {number} ends, which was not started")
            }
            Self::TooDeep => f.write_str("is nested more than 100 levels deep"),
        }
    }
}

#[cfg(test)]
mod tests;
