//! What is wrong with a request that does not decode, and where.

use std::fmt;

/// Path segments shown at either end of a deep path; what lies between is counted.
const PATH_ENDS: usize = 6;

/// Why a request cannot be read as an `ExportTraceServiceRequest`.
///
/// Its text names the byte, the message and the field, in the names of the OTLP `.proto` files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    offset: usize,
    flaw: Flaw,
}

/// A flaw on its way up from the message it lies in.
///
/// Boxed, because flaws are rare and what a check returns should fit in a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw(Box<Details>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    problem: Problem,
    field: FieldLabel,
    /// Fields that lead to the message, innermost first.
    path: Vec<&'static str>,
    /// Bytes from the flaw to the end of the message that the path has reached.
    before_end: usize,
}

/// What a check returns.
pub(super) type Checked<T> = Result<T, Flaw>;

/// The field a flaw lies in, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldLabel {
    /// The flaw is in the key, so there is no field yet.
    None,
    Unknown(u32),
    Known(u64, &'static str),
}

/// What can be wrong with one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    VarintEnds,
    VarintTooLong,
    FieldNumber(u64),
    NoSuchWireType(u64),
    WireType { found: u64, needed: u8 },
    Ends { needed: u64, left: usize },
    NotUtf8,
    GroupNotOpen,
    GroupNotClosed,
    GroupMismatch { closed: u32 },
    TooDeep,
}

impl Malformed {
    pub(super) fn new(flaw: Flaw, request_bytes: usize) -> Self {
        Self { offset: request_bytes.saturating_sub(flaw.0.before_end), flaw }
    }

    /// Returns the position in the request, in bytes from 0, of what is malformed: the first byte
    /// that is not UTF-8, or else the start of the field.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }
}

impl Flaw {
    /// A flaw `before_end` bytes before the end of the message at hand.
    #[cold]
    pub(super) fn new(before_end: usize, field: FieldLabel, problem: Problem) -> Self {
        Self(Box::new(Details { problem, field, path: Vec::new(), before_end }))
    }

    /// Moves the flaw from a nested message to the one around it: `field` holds the nested message,
    /// and `after` bytes follow it.
    #[cold]
    pub(super) fn within(mut self, field: &'static str, after: usize) -> Self {
        self.0.path.push(field);
        self.0.before_end += after;
        self
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}, in ExportTraceServiceRequest", self.offset)?;
        let Details { problem, field, path, .. } = &*self.flaw.0;
        write_path(f, path)?;
        f.write_str(": ")?;
        match field {
            FieldLabel::None => {}
            FieldLabel::Unknown(number) => write!(f, "field {number} (unknown) ")?,
            FieldLabel::Known(number, name) => write!(f, "field {number} ({name}) ")?,
        }
        problem.fmt(f)
    }
}

impl std::error::Error for Malformed {}

fn write_path(f: &mut fmt::Formatter<'_>, innermost_first: &[&'static str]) -> fmt::Result {
    let depth = innermost_first.len();
    let hidden = depth.saturating_sub(2 * PATH_ENDS);
    for (index, name) in innermost_first.iter().rev().enumerate() {
        if hidden == 0 || index < PATH_ENDS || index >= depth - PATH_ENDS {
            write!(f, ".{name}")?;
        } else if index == PATH_ENDS {
            write!(f, ".({hidden} more)")?;
        }
    }
    Ok(())
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VarintEnds => f.write_str("ends within a varint"),
            Self::VarintTooLong => f.write_str("has a varint of more than 64 bits"),
            Self::FieldNumber(number) => {
                write!(f, "field number {number} does not exist, must be from 1 to 536870911")
            }
            Self::NoSuchWireType(found) => {
                write!(f, "wire type {found} does not exist, must be from 0 to 5")
            }
            Self::WireType { found, needed } => {
                write!(f, "has wire type {found}, must be {needed}")
            }
            Self::Ends { needed, left } => {
                write!(f, "needs {needed} bytes, but only {left} are left in its message")
            }
            Self::NotUtf8 => f.write_str("is not valid UTF-8"),
            Self::GroupNotOpen => f.write_str("ends a group that was not started"),
            Self::GroupNotClosed => f.write_str("starts a group that does not end"),
            Self::GroupMismatch { closed } => {
                write!(f, "starts a group that holds the end of group {closed}")
            }
            Self::TooDeep => f.write_str("is nested more than 100 messages deep"),
        }
    }
}
