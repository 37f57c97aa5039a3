//! How much the buffer may hold, and what happens when that is not enough.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

/// Bytes charged for each record beside its payload: twice its index entry, because the index grows
/// by doubling.
pub const RECORD_OVERHEAD_BYTES: u64 = 64;

/// A batch may pin one part in this many of each limit.
const BATCH_LIMIT_DIVISOR: u64 = 4;

/// The bounds of the buffer. Both hold exactly, at every moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferLimits {
    /// Most spans held, those being sent included.
    pub max_spans: NonZeroU64,
    /// Most bytes held: payloads plus [`RECORD_OVERHEAD_BYTES`] for each record, those being sent
    /// included.
    pub max_bytes: NonZeroU64,
    /// Age at which a span is dropped unsent; `None` keeps spans until room is needed.
    pub max_age: Option<Duration>,
}

/// What the buffer does with a new record when it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverflowPolicy {
    /// Evict the oldest spans to make room.
    #[default]
    DropOldest,
    /// Refuse the new record; the sender may try again.
    Reject,
}

/// The most that one batch may hold, and how long to wait for it to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most spans in a batch.
    pub max_spans: u64,
    /// Most encoded bytes in a batch, before compression.
    pub max_bytes: u64,
    /// Most records in a batch.
    pub max_records: usize,
    /// How long the oldest span may wait for company.
    pub linger: Duration,
}

impl BufferLimits {
    /// Returns these limits with at most `max_bytes` bytes.
    #[must_use]
    pub fn capped_at(self, max_bytes: u64) -> Self {
        let cap = NonZeroU64::new(max_bytes).unwrap_or(NonZeroU64::MIN);
        Self { max_bytes: self.max_bytes.min(cap), ..self }
    }

    /// Returns what a record with a payload of `payload_bytes` is charged.
    #[must_use]
    pub const fn charge(payload_bytes: u64) -> u64 {
        payload_bytes.saturating_add(RECORD_OVERHEAD_BYTES)
    }

    /// Returns the most spans a batch may pin while it is on the wire, if it has several records.
    #[must_use]
    pub const fn max_batch_spans(&self) -> u64 {
        self.max_spans.get() / BATCH_LIMIT_DIVISOR
    }

    /// Returns the most bytes a batch may be charged while it is on the wire, if it has several
    /// records.
    #[must_use]
    pub const fn max_batch_charge(&self) -> u64 {
        self.max_bytes.get() / BATCH_LIMIT_DIVISOR
    }
}

impl BatchLimits {
    /// Lowers a batch so that `workers` of them on the wire at once pin at most half of `limits`
    /// and leave something to evict; never below one span.
    #[must_use]
    pub fn for_workers(self, workers: NonZeroUsize, limits: &BufferLimits) -> Self {
        let share = (workers.get() as u64).saturating_mul(2);
        Self {
            max_spans: self.max_spans.min(limits.max_spans.get() / share).max(1),
            max_bytes: self.max_bytes.min(limits.max_bytes.get() / share).max(1),
            ..self
        }
    }
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
    fn a_charge_past_the_largest_number_stays_there() {
        assert_eq!(BufferLimits::charge(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_batch_may_pin_a_quarter_of_each_limit() {
        let limits = limits(103, 4_000);

        assert_eq!((limits.max_batch_spans(), limits.max_batch_charge()), (25, 1_000));
    }

    const BATCH: BatchLimits = BatchLimits {
        max_spans: 8_192,
        max_bytes: 3_670_016,
        max_records: usize::MAX,
        linger: Duration::from_millis(200),
    };

    fn shared_by(workers: usize, limits: &BufferLimits) -> (u64, u64) {
        let batch = BATCH.for_workers(NonZeroUsize::new(workers).unwrap(), limits);
        (batch.max_spans, batch.max_bytes)
    }

    #[test]
    fn a_batch_is_left_alone_where_all_workers_together_pin_less_than_half() {
        assert_eq!(shared_by(3, &limits(50_000, 32 << 20)), (8_192, 3_670_016));
    }

    #[test]
    fn the_batches_of_all_workers_together_pin_at_most_half_of_each_limit() {
        assert_eq!(shared_by(8, &limits(50_000, 32 << 20)), (3_125, 2 << 20));
    }

    #[test]
    fn a_shared_batch_never_falls_below_one_span_and_one_byte() {
        assert_eq!(shared_by(64, &limits(1, 1)), (1, 1));
    }
}
