//! What to do with a batch that was not delivered, and how large the next one may be.

use super::delivery::FailureKind;
use super::limits::BatchLimits;

/// Consecutive timeouts after which the batch is halved: it may be too large for the timeout.
const TIMEOUTS_BEFORE_HALVING: u32 = 3;
/// A destination that refuses the size of a smaller request probably has another reason (memory
/// limiters respond with the same code), so the next attempt waits.
const MIN_PLAUSIBLE_SIZE_LIMIT: u64 = 64 << 10;
/// After a delivery the batch may grow by this fraction of the configured size.
const GROWTH_DIVISOR: u64 = 32;
/// After a delivery the refused size grows by this fraction of itself: the destination may have
/// been short of memory, or have a larger limit by now. If its limit is unchanged, probing it costs
/// about one request in a hundred.
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

/// What to do with a batch that was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// Return it to the head of the queue and retry.
    Requeue {
        /// Whether to back off before the next request.
        back_off: bool,
    },
    /// Count it as lost.
    Drop {
        /// Whether to back off before the next request.
        back_off: bool,
    },
}

/// Decides what to do with failed batches and adapts the batch size to what the destination
/// accepts.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryPolicy {
    configured: BatchLimits,
    max_records: usize,
    max_bytes: u64,
    /// Smallest size the destination is known to refuse; batches stay below it.
    refused_bytes: u64,
    timeouts: u32,
    /// Records dropped as invalid since the last delivery.
    consecutive_invalid: u32,
}

impl DeliveryPolicy {
    /// Starts with batches of the `configured` size.
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

    /// Records a delivery: the next batch may be larger.
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

    /// Decides what to do with `attempt` after a failure of `kind`.
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

    /// Halves the records at risk each time, since the cause may persist.
    fn refused(&mut self, attempt: Attempt) -> RetryDecision {
        self.halve_records(attempt);
        RetryDecision::Drop { back_off: true }
    }

    /// Bisects down to a single record and drops it. Every consecutive drop after the first backs
    /// off, so that a destination that calls everything invalid costs one record per backoff.
    fn invalid(&mut self, attempt: Attempt) -> RetryDecision {
        if attempt.records > 1 {
            self.halve_records(attempt);
            return RetryDecision::Requeue { back_off: false };
        }
        self.consecutive_invalid += 1;
        RetryDecision::Drop { back_off: self.consecutive_invalid > 1 }
    }

    /// Never raises the limit: the attempt may be another worker's, older and larger.
    fn halve_records(&mut self, attempt: Attempt) {
        self.max_records = self.max_records.min(attempt.records / 2).max(1);
    }

    /// Never raises the limit, for the same reason.
    fn halve_bytes(&mut self, attempt: Attempt) {
        self.max_bytes = self.max_bytes.min(attempt.bytes / 2).max(1);
    }
}

#[cfg(test)]
mod tests;
