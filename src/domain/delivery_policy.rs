//! What to do with a batch that was not delivered, and how large the next one may be.

use super::delivery::FailureKind;
use super::limits::BatchLimits;

/// Inconclusive failures in a row after which the batch is suspected to be the cause: it may be too
/// large for a proxy, or for the timeout.
const FAILURES_BEFORE_SUSPICION: u16 = 3;
/// Failures of a record sent alone, each just after another record was delivered, after which the
/// record is given up: in a network that loses two of five requests, one record in ten thousand that
/// failed alone. Without such deliveries a record is never given up.
pub const FAILURES_AMID_DELIVERIES: u8 = 10;
/// A smaller request is not suspected of its size: in an outage everything fails.
const MIN_SUSPECT_BYTES: u64 = 16 << 10;
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
    /// Inconclusive failures in a row before it: of a record in it, or of all attempts
    /// ([`DeliveryPolicy::failures_in_a_row`]), whichever are more.
    pub failures: u16,
}

/// What to do with a batch that was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// Return it to the head of the queue and retry.
    Requeue {
        /// Whether to back off before the next request.
        back_off: bool,
    },
    /// Return it to the head of the queue, back off, and send its records one by one: one of them
    /// may be the cause.
    Isolate,
    /// Count it as lost.
    Drop {
        /// Whether to back off before the next request.
        back_off: bool,
    },
}

/// What is known of the size that inconclusive failures led to suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspicion {
    None,
    /// A batch was halved.
    Suspected,
    /// Smaller batches were delivered since. If one fails while the batches grow again, its size is
    /// the cause.
    SmallerDelivered,
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
    failures_in_a_row: u16,
    suspicion: Suspicion,
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
            failures_in_a_row: 0,
            suspicion: Suspicion::None,
            consecutive_invalid: 0,
        }
    }

    /// Returns the limits of the next batch.
    #[must_use]
    pub const fn next_batch_limits(&self) -> BatchLimits {
        BatchLimits { max_records: self.max_records, max_bytes: self.max_bytes, ..self.configured }
    }

    /// Returns the inconclusive failures since the last delivery or conclusive failure. Concurrent
    /// ones count as one, if each attempt began with this number.
    #[must_use]
    pub const fn failures_in_a_row(&self) -> u16 {
        self.failures_in_a_row
    }

    /// Records a delivery: the next batch may be larger.
    pub fn delivered(&mut self) {
        self.failures_in_a_row = 0;
        self.consecutive_invalid = 0;
        self.max_records = self.max_records.saturating_mul(2).min(self.configured.max_records);
        self.refused_bytes =
            self.refused_bytes.saturating_add(self.refused_bytes / REFUSED_SIZE_GROWTH_DIVISOR);
        let ceiling = self.configured.max_bytes.min(self.refused_bytes / 8 * 7).max(1);
        let grown = self.max_bytes.saturating_add(self.configured.max_bytes / GROWTH_DIVISOR);
        self.max_bytes = grown.min(ceiling.max(self.max_bytes));
        self.suspicion = match self.suspicion {
            Suspicion::None => Suspicion::None,
            _ if self.max_bytes == self.configured.max_bytes => Suspicion::None,
            _ => Suspicion::SmallerDelivered,
        };
    }

    /// Decides what to do with `attempt` after a failure of `kind`.
    pub fn failed(&mut self, kind: FailureKind, attempt: Attempt) -> RetryDecision {
        if !kind.is_inconclusive() {
            self.failures_in_a_row = 0;
        }
        match kind {
            FailureKind::Unavailable => RetryDecision::Requeue { back_off: true },
            FailureKind::TimedOut | FailureKind::Inconclusive => self.inconclusive(attempt),
            FailureKind::TooLarge => self.too_large(attempt),
            FailureKind::InvalidData => self.invalid(attempt),
            FailureKind::Refused => self.refused(attempt),
        }
    }

    /// Halves a suspected batch, to be tried at once, down to a plausible limit of sizes. Below, a smaller one would fail
    /// like all others in an outage; so its records are sent one by one, which leaves the size of
    /// batches as it is.
    fn inconclusive(&mut self, attempt: Attempt) -> RetryDecision {
        let failures = attempt.failures.saturating_add(1);
        self.failures_in_a_row = self.failures_in_a_row.max(failures);
        if !failures.is_multiple_of(FAILURES_BEFORE_SUSPICION) {
            return RetryDecision::Requeue { back_off: true };
        }
        if attempt.spans <= 1 || attempt.bytes <= MIN_SUSPECT_BYTES {
            return RetryDecision::Isolate;
        }
        if self.suspicion == Suspicion::SmallerDelivered {
            self.refuse_size(attempt);
        }
        self.suspicion = Suspicion::Suspected;
        self.halve_bytes(attempt);
        RetryDecision::Requeue { back_off: false }
    }

    fn too_large(&mut self, attempt: Attempt) -> RetryDecision {
        if attempt.spans <= 1 {
            return RetryDecision::Drop { back_off: true };
        }
        self.refuse_size(attempt);
        self.halve_bytes(attempt);
        RetryDecision::Requeue { back_off: attempt.bytes < MIN_PLAUSIBLE_SIZE_LIMIT }
    }

    /// Keeps the next batches below the size of `attempt`.
    fn refuse_size(&mut self, attempt: Attempt) {
        self.refused_bytes = self.refused_bytes.min(attempt.bytes).max(MIN_PLAUSIBLE_SIZE_LIMIT);
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
