//! How much the buffer may hold, and what happens when that is not enough.

use std::num::NonZeroU64;
use std::time::Duration;

/// Bytes charged for each record in addition to its payload: twice its index entry, because the
/// index grows by doubling.
pub const RECORD_OVERHEAD_BYTES: u64 = 64;

/// A batch may pin at most one part in this many of each limit.
const MIN_BATCH_LIMIT_DIVISOR: u64 = 4;

/// The bounds of the buffer. The bounds on spans and bytes hold exactly, at every moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferLimits {
    /// Maximum spans held, those in flight included.
    pub max_spans: NonZeroU64,
    /// Maximum bytes held, those in flight included: payloads plus [`RECORD_OVERHEAD_BYTES`] for
    /// each record.
    pub max_bytes: NonZeroU64,
    /// Age at which a queued span is dropped; `None` keeps spans until room is needed.
    pub max_age: Option<Duration>,
}

/// What the buffer does with a new record when it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverflowPolicy {
    /// Evict the oldest spans to make room.
    #[default]
    DropOldest,
    /// Refuse the new record; the sender may retry.
    Reject,
}

/// The bounds of one batch, and how long to wait for it to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Maximum spans in a batch.
    pub max_spans: u64,
    /// Maximum encoded bytes in a batch, before compression.
    pub max_bytes: u64,
    /// Maximum records in a batch.
    pub max_records: usize,
    /// How long the oldest span may wait for the batch to fill.
    pub linger: Duration,
}

impl BufferLimits {
    /// Returns these limits with at most `max_bytes` bytes.
    #[must_use]
    pub fn capped_at(self, max_bytes: u64) -> Self {
        let cap = NonZeroU64::new(max_bytes).unwrap_or(NonZeroU64::MIN);
        Self { max_bytes: self.max_bytes.min(cap), ..self }
    }

    /// Returns the bytes charged for a record with a payload of `payload_bytes`.
    #[must_use]
    pub const fn charge(payload_bytes: u64) -> u64 {
        payload_bytes.saturating_add(RECORD_OVERHEAD_BYTES)
    }

    /// Returns the maximum spans that a batch of several records may pin, if up to `takers` batches
    /// are in flight.
    #[must_use]
    pub const fn max_batch_spans(&self, takers: u64) -> u64 {
        self.max_spans.get() / batch_divisor(takers)
    }

    /// Returns the maximum bytes that a batch of several records may pin, if up to `takers` batches
    /// are in flight.
    #[must_use]
    pub const fn max_batch_charge(&self, takers: u64) -> u64 {
        self.max_bytes.get() / batch_divisor(takers)
    }
}

/// All batches together pin at most half of a limit, so that something is left to evict.
const fn batch_divisor(takers: u64) -> u64 {
    let divisor = takers.saturating_mul(2);
    if divisor > MIN_BATCH_LIMIT_DIVISOR { divisor } else { MIN_BATCH_LIMIT_DIVISOR }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(spans: u64, bytes: u64) -> BufferLimits {
        BufferLimits {
            max_spans: NonZeroU64::new(spans).unwrap(),
            max_bytes: NonZeroU64::new(bytes).unwrap(),
            max_age: None,
        }
    }

    #[test]
    fn a_record_is_charged_its_payload_and_the_overhead() {
        assert_eq!(BufferLimits::charge(100), 164);
    }

    #[test]
    fn a_charge_saturates_at_the_largest_number() {
        assert_eq!(BufferLimits::charge(u64::MAX), u64::MAX);
    }

    #[test]
    fn one_or_two_batches_may_pin_a_quarter_of_each_limit_each() {
        let limits = limits(103, 4_000);

        for takers in [1, 2] {
            let share = (limits.max_batch_spans(takers), limits.max_batch_charge(takers));
            assert_eq!(share, (25, 1_000));
        }
    }

    #[test]
    fn more_batches_may_pin_half_of_each_limit_together() {
        let limits = limits(50_000, 32 << 20);

        assert_eq!((limits.max_batch_spans(8), limits.max_batch_charge(8)), (3_125, 2 << 20));
        assert_eq!(limits.max_batch_spans(u64::MAX), 0);
    }
}
