//! Minimum and maximum of the settings that exist in `TraceBuffer`s, as the receiver's flags and in
//! the limits file.

use std::num::NonZeroU64;
use std::time::Duration;

use super::units::{ByteSize, Milliseconds, UnitError};

const KI: u64 = 1 << 10;
const MI: u64 = 1 << 20;
const GI: u64 = 1 << 30;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The smallest and the largest value of a setting, both allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Smallest value.
    pub min: u64,
    /// Largest value.
    pub max: u64,
}

/// Spans in the buffer.
pub const MAX_SPANS: Bounds = Bounds { min: 1, max: 1_000_000_000 };
/// Bytes of memory for buffered spans.
pub const MAX_BYTES: Bounds = Bounds { min: 64 * KI, max: 64 * GI };
/// Milliseconds until a buffered span expires.
pub const MAX_AGE: Bounds = Bounds { min: 100, max: 720 * HOUR };
/// Milliseconds until a request to the destination times out.
pub const TIMEOUT: Bounds = Bounds { min: 100, max: 5 * MINUTE };
/// Milliseconds until a connection to the destination is replaced; 0 keeps it.
pub const CONNECTION_MAX_AGE: Bounds = Bounds { min: 0, max: 24 * HOUR };
/// Spans in a batch.
pub const BATCH_MAX_SPANS: Bounds = Bounds { min: 1, max: 1_000_000 };
/// Uncompressed bytes of a batch.
pub const BATCH_MAX_BYTES: Bounds = Bounds { min: KI, max: 64 * MI };
/// Milliseconds that a batch waits for more spans.
pub const LINGER: Bounds = Bounds { min: 0, max: MINUTE };
/// Batches in flight.
pub const CONCURRENCY: Bounds = Bounds { min: 1, max: 64 };
/// Decompressed bytes of a received request.
pub const MAX_REQUEST_BYTES: Bounds = Bounds { min: KI, max: 64 * MI };
/// Bytes of the head of a received request.
pub const MAX_HEAD_BYTES: Bounds = Bounds { min: 4 * KI, max: 64 * KI };
/// Milliseconds for draining the buffer at shutdown.
pub const DRAIN_TIMEOUT: Bounds = Bounds { min: 0, max: HOUR };
/// The grace period of a pod's termination, in milliseconds.
pub const GRACE_PERIOD: Bounds = Bounds { min: 0, max: 720 * HOUR };

/// Why a text is not a value within its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundsError {
    /// The value is out of bounds, or the text is not a whole number.
    NotAllowed,
    /// The text is not a size or a duration.
    Unit(UnitError),
}

impl Bounds {
    /// Returns whether `value` is within the bounds.
    #[must_use]
    pub const fn contains(self, value: u64) -> bool {
        self.min <= value && value <= self.max
    }

    /// Parses a whole number.
    ///
    /// # Errors
    ///
    /// `text` is not a whole number within the bounds, or is 0.
    pub fn parse_integer(self, text: &str) -> Result<NonZeroU64, BoundsError> {
        self.checked(text.parse().map_err(|_| BoundsError::NotAllowed)?)
    }

    /// Parses a size in bytes, such as `32Mi`.
    ///
    /// # Errors
    ///
    /// `text` is not a size within the bounds, or is 0.
    pub fn parse_size(self, text: &str) -> Result<NonZeroU64, BoundsError> {
        let ByteSize(bytes) = text.parse().map_err(BoundsError::Unit)?;
        self.checked(bytes)
    }

    /// Parses a duration, such as `1h30m`.
    ///
    /// # Errors
    ///
    /// `text` is not a duration within the bounds.
    pub fn parse_duration(self, text: &str) -> Result<Duration, BoundsError> {
        let time: Milliseconds = text.parse().map_err(BoundsError::Unit)?;
        if self.contains(time.0) { Ok(time.duration()) } else { Err(BoundsError::NotAllowed) }
    }

    /// Describes the integers within the bounds, to complete "must be …".
    #[must_use]
    pub fn describe_integer(self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    /// Describes the sizes within the bounds, to complete "must be …".
    #[must_use]
    pub fn describe_size(self) -> String {
        let (min, max) = (ByteSize(self.min), ByteSize(self.max));
        let [binary, decimal, bytes] = self.size_examples();
        format!("a size from {min} to {max}, such as {binary}, {decimal} or {bytes}")
    }

    /// Returns sizes that are usual within the bounds: with a binary unit, with a decimal unit, and
    /// in bytes.
    #[must_use]
    pub const fn size_examples(self) -> [&'static str; 3] {
        if self.max < 64 * MI { ["16Ki", "16kB", "16384"] } else { ["32Mi", "64MB", "1048576"] }
    }

    /// Describes the durations within the bounds, to complete "must be …".
    #[must_use]
    pub fn describe_duration(self) -> String {
        let (min, max) = (Milliseconds(self.min), Milliseconds(self.max));
        format!("a duration from {min} to {max}")
    }

    fn checked(self, value: u64) -> Result<NonZeroU64, BoundsError> {
        let value = NonZeroU64::new(value).filter(|value| self.contains(value.get()));
        value.ok_or(BoundsError::NotAllowed)
    }
}

impl BoundsError {
    /// Returns the message: what is `allowed`, and why the text is not.
    #[must_use]
    pub fn message(&self, allowed: &str) -> String {
        match self {
            Self::NotAllowed => format!("must be {allowed}"),
            Self::Unit(reason) => format!("must be {allowed}; {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_are_allowed_and_their_neighbors_are_not() {
        let bounds = Bounds { min: 2, max: 4 };

        assert_eq!([1, 2, 4, 5].map(|value| bounds.contains(value)), [false, true, true, false]);
    }

    #[test]
    fn zero_is_neither_an_integer_nor_a_size_regardless_of_the_bounds() {
        let bounds = Bounds { min: 0, max: 4 };

        assert_eq!(bounds.parse_integer("0"), Err(BoundsError::NotAllowed));
        assert_eq!(bounds.parse_size("0"), Err(BoundsError::NotAllowed));
        assert_eq!(bounds.parse_duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn the_examples_of_a_size_are_within_its_bounds() {
        for bounds in [MAX_BYTES, BATCH_MAX_BYTES, MAX_REQUEST_BYTES, MAX_HEAD_BYTES] {
            for example in bounds.size_examples() {
                assert!(bounds.parse_size(example).is_ok(), "{example} in {bounds:?}");
            }
        }
        assert_eq!(
            MAX_HEAD_BYTES.describe_size(),
            "a size from 4Ki to 64Ki, such as 16Ki, 16kB or 16384"
        );
    }

    #[test]
    fn a_value_with_a_wrong_unit_is_refused_with_the_reason() {
        let error = MAX_BYTES.parse_size("32mib").unwrap_err();

        let message = error.message(&MAX_BYTES.describe_size());
        assert!(message.starts_with("must be a size from 64Ki to 64Gi, such as"), "{message}");
        assert!(message.contains("there is no unit \"mib\""), "{message}");
    }
}
