//! What to do with a batch the destination did not take, and how large the next may be.

use super::delivery::FailureKind;
use super::limits::BatchLimits;

/// A batch is halved after this many timeouts in a row: perhaps it is too much for the time given.
const TIMEOUTS_BEFORE_HALVING: u32 = 3;
/// A size refusal of less than this is not believed to be about size alone (memory limiters answer
/// with the same code), so the next try waits.
const MIN_PLAUSIBLE_SIZE_LIMIT: u64 = 64 << 10;
/// After a delivery the batch may grow by this part of the configured size.
const GROWTH_DIVISOR: u64 = 32;
/// After a delivery the size known to be refused rises by this part of itself: the destination may
/// have been short of memory then, or have a larger limit now. To find that it has not costs one
/// request in a hundred.
const REFUSED_SIZE_GROWTH_DIVISOR: u64 = 1_024;

/// What was sent: a whole batch, or a part of its only record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Records in it.
    pub records: usize,
    /// Spans in it.
    pub spans: u64,
    /// Encoded bytes.
    pub bytes: u64,
}

/// What to do with a batch that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// Put it back at the head and try again.
    Requeue {
        /// Whether to leave the destination alone first.
        back_off: bool,
    },
    /// Count it as lost.
    Drop {
        /// Whether to leave the destination alone afterwards.
        back_off: bool,
    },
}

/// Decides over failed batches and adapts the batch size to what the destination takes.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryPolicy {
    configured: BatchLimits,
    max_records: usize,
    max_bytes: u64,
    /// Size the destination is known to refuse; batches stay below it.
    refused_bytes: u64,
    timeouts: u32,
    /// Records dropped as invalid since the last delivery.
    consecutive_invalid: u32,
}

impl DeliveryPolicy {
    /// Starts with full batches as `configured`.
    #[must_use]
    pub const fn new(configured: BatchLimits) -> Self {
        Self {
            configured,
            max_records: configured.max_records,
            max_bytes: configured.max_bytes,
            refused_bytes: u64::MAX,
            timeouts: 0,
            consecutive_invalid: 0,
        }
    }

    /// Returns the limits of the next batch.
    #[must_use]
    pub const fn next_batch_limits(&self) -> BatchLimits {
        BatchLimits { max_records: self.max_records, max_bytes: self.max_bytes, ..self.configured }
    }

    /// Takes note of a delivery: the next batch may be larger.
    pub fn delivered(&mut self) {
        self.timeouts = 0;
        self.consecutive_invalid = 0;
        self.max_records = self.max_records.saturating_mul(2).min(self.configured.max_records);
        self.refused_bytes =
            self.refused_bytes.saturating_add(self.refused_bytes / REFUSED_SIZE_GROWTH_DIVISOR);
        let ceiling = self.configured.max_bytes.min(self.refused_bytes / 8 * 7).max(1);
        let grown = self.max_bytes.saturating_add(self.configured.max_bytes / GROWTH_DIVISOR);
        self.max_bytes = grown.min(ceiling.max(self.max_bytes));
    }

    /// Decides what becomes of `attempt` after a failure of `kind`.
    pub fn failed(&mut self, kind: FailureKind, attempt: Attempt) -> RetryDecision {
        match kind {
            FailureKind::Unavailable => {
                self.timeouts = 0;
                RetryDecision::Requeue { back_off: true }
            }
            FailureKind::TimedOut => self.timed_out(attempt),
            FailureKind::TooLarge => self.too_large(attempt),
            FailureKind::InvalidData => self.invalid(attempt),
            FailureKind::Refused => self.refused(attempt),
        }
    }

    fn timed_out(&mut self, attempt: Attempt) -> RetryDecision {
        self.timeouts += 1;
        if self.timeouts >= TIMEOUTS_BEFORE_HALVING {
            self.timeouts = 0;
            self.halve_bytes(attempt);
        }
        RetryDecision::Requeue { back_off: true }
    }

    fn too_large(&mut self, attempt: Attempt) -> RetryDecision {
        if attempt.spans <= 1 {
            return RetryDecision::Drop { back_off: true };
        }
        self.refused_bytes = self.refused_bytes.min(attempt.bytes).max(MIN_PLAUSIBLE_SIZE_LIMIT);
        self.halve_bytes(attempt);
        RetryDecision::Requeue { back_off: attempt.bytes < MIN_PLAUSIBLE_SIZE_LIMIT }
    }

    /// Risks half as many records each time: whatever the reason, it may last.
    fn refused(&mut self, attempt: Attempt) -> RetryDecision {
        self.halve_records(attempt);
        RetryDecision::Drop { back_off: true }
    }

    /// Bisects: halves until a record stands alone. Every drop in a row but the first is followed
    /// by a pause, so that a destination that calls everything invalid costs a record per pause.
    fn invalid(&mut self, attempt: Attempt) -> RetryDecision {
        if attempt.records > 1 {
            self.halve_records(attempt);
            return RetryDecision::Requeue { back_off: false };
        }
        self.consecutive_invalid += 1;
        RetryDecision::Drop { back_off: self.consecutive_invalid > 1 }
    }

    /// Never raises: the attempt of another worker may be older and larger.
    fn halve_records(&mut self, attempt: Attempt) {
        self.max_records = self.max_records.min(attempt.records / 2).max(1);
    }

    /// Never raises, as above.
    fn halve_bytes(&mut self, attempt: Attempt) {
        self.max_bytes = self.max_bytes.min(attempt.bytes / 2).max(1);
    }
}

#[cfg(test)]
mod tests;
