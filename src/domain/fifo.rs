//! The index of the buffer: which records it holds, in which order, and which to evict.
//!
//! Invariants, after every call:
//! - the ledger is balanced;
//! - the queue is in order of arrival;
//! - held spans and bytes, pinned ones included, are within the limits, unless the limits were
//!   lowered below what is pinned: then nothing else is held until the batch is settled;
//! - the store holds the payloads in the order of the queue, without gaps.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::ledger::{DropReason, Ledger};
use super::limits::{BatchLimits, BufferLimits, OverflowPolicy};

/// The charge of the longest record that an entry can describe.
const MAX_RECORD_CHARGE: u64 = BufferLimits::charge(u32::MAX as u64);

/// One record in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferedRecord {
    /// Position among all records ever accepted.
    pub sequence: u64,
    /// Spans in the payload.
    pub spans: u32,
    /// Spans at the start of the payload that are already settled: evicted, or sent in an earlier
    /// part.
    pub settled_prefix: u32,
    /// Length of the payload.
    pub bytes: u32,
    arrived_nanos: u64,
}

/// What was evicted, and how much to discard from the front of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Spans lost.
    pub spans: u64,
    /// Payload bytes to discard.
    pub bytes: u64,
}

/// Why a record was not admitted; nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapacityError {
    /// It can never fit: it alone would be charged more than the byte limit.
    TooManyBytes {
        /// Bytes it would be charged.
        charge: u64,
        /// The limit: the buffer's, or the maximum of a single record (4 GiB) if that is lower.
        max_bytes: u64,
    },
    /// It can never fit: it alone has more spans than the limit, and nothing may be evicted.
    TooManySpans {
        /// Spans it has.
        spans: u32,
        /// The limit.
        max_spans: u64,
    },
    /// There is no room now, but there may be later.
    Full,
}

/// When the next batch may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchReadiness {
    /// Now.
    Ready,
    /// Once the oldest span has waited this much longer, or enough records have arrived.
    Wait(Duration),
    /// Once a batch in flight has finished.
    Blocked,
    /// Once a record has arrived.
    Empty,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    /// The destination accepted it, except for the rejected spans.
    Delivered {
        /// `partial_success.rejected_spans`; capped at the spans in the batch.
        rejected_spans: u64,
    },
    /// It was lost.
    Dropped(DropReason),
}

/// The records held, oldest first, and the ledger of all spans.
#[derive(Debug)]
pub struct Fifo {
    limits: BufferLimits,
    policy: OverflowPolicy,
    queue: VecDeque<BufferedRecord>,
    queued_charge: u64,
    pinned_charge: u64,
    /// First sequence number and arrival time of each batch in flight.
    pinned: Vec<(u64, u64)>,
    next_sequence: u64,
    /// Maximum batches in flight at the same time.
    takers: u64,
    ledger: Ledger,
}

impl BufferedRecord {
    /// Returns the spans that are still to be sent.
    #[must_use]
    pub const fn unsettled_spans(&self) -> u64 {
        self.spans.saturating_sub(self.settled_prefix) as u64
    }

    const fn charge(&self) -> u64 {
        BufferLimits::charge(self.bytes as u64)
    }
}

impl Fifo {
    /// Creates an empty index.
    #[must_use]
    pub fn new(limits: BufferLimits, policy: OverflowPolicy) -> Self {
        Self {
            limits,
            policy,
            queue: VecDeque::new(),
            queued_charge: 0,
            pinned_charge: 0,
            pinned: Vec::new(),
            next_sequence: 0,
            takers: 1,
            ledger: Ledger::default(),
        }
    }

    /// Sets how many batches may be in flight at the same time; 1 by default.
    pub fn set_takers(&mut self, takers: NonZeroUsize) {
        self.takers = takers.get() as u64;
    }

    /// Returns the limits in force.
    #[must_use]
    pub const fn limits(&self) -> &BufferLimits {
        &self.limits
    }

    /// Returns the accounting of every accepted span.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the bytes charged against the limit, batches in flight included.
    #[must_use]
    pub const fn charged_bytes(&self) -> u64 {
        self.queued_charge + self.pinned_charge
    }

    /// Returns the queued payload bytes, batches in flight not included.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        let overhead = BufferLimits::charge(0).saturating_mul(self.queue.len() as u64);
        self.queued_charge - overhead
    }

    /// Returns how long the oldest span has been held, batches in flight included.
    #[must_use]
    pub fn oldest_age(&self, now: Duration) -> Option<Duration> {
        let queued = self.queue.front().map(|entry| entry.arrived_nanos);
        let pinned = self.pinned.iter().map(|(_, arrived)| *arrived);
        let oldest = pinned.chain(queued).min()?;
        Some(now.saturating_sub(Duration::from_nanos(oldest)))
    }

    /// Returns when the oldest queued record arrived.
    #[must_use]
    pub fn front_arrival(&self) -> Option<Duration> {
        self.queue.front().map(|front| Duration::from_nanos(front.arrived_nanos))
    }

    /// Makes room for a record of `spans` (at least 1) and `bytes`.
    ///
    /// The caller must discard from the store what was evicted, then call [`Fifo::push`].
    ///
    /// # Errors
    ///
    /// [`CapacityError`] when the record can never fit, when batches in flight leave no room, or
    /// when the policy is to reject.
    pub fn evict_for(&mut self, spans: u32, bytes: u64) -> Result<Evicted, CapacityError> {
        let charge = BufferLimits::charge(bytes);
        let max_bytes = self.limits.max_bytes.get();
        let largest = max_bytes.min(MAX_RECORD_CHARGE);
        if charge > largest {
            return Err(CapacityError::TooManyBytes { charge, max_bytes: largest });
        }
        let max_spans = self.limits.max_spans.get();
        if self.policy == OverflowPolicy::Reject && u64::from(spans) > max_spans {
            return Err(CapacityError::TooManySpans { spans, max_spans });
        }
        let fits = self.held_spans() + u64::from(spans) <= max_spans
            && self.charged_bytes() + charge <= max_bytes;
        if fits {
            return Ok(Evicted::default());
        }
        let pinned_leave_no_room =
            self.pinned_charge + charge > max_bytes || self.ledger.in_flight >= max_spans;
        if self.policy == OverflowPolicy::Reject || pinned_leave_no_room {
            return Err(CapacityError::Full);
        }
        Ok(self.evict_until(max_spans.saturating_sub(u64::from(spans)), max_bytes - charge))
    }

    /// Admits the record for which [`Fifo::evict_for`] was called.
    ///
    /// Returns how many of the record's own first spans were evicted: non-zero only if this record
    /// alone exceeds what the span limit leaves.
    pub fn push(&mut self, spans: u32, bytes: u64, now: Duration) -> u64 {
        let room = self.limits.max_spans.get().saturating_sub(self.held_spans());
        let skip = spans - u32::try_from(room).unwrap_or(u32::MAX).min(spans);
        let entry = BufferedRecord {
            sequence: self.next_sequence,
            spans,
            settled_prefix: skip,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            arrived_nanos: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        };
        self.next_sequence += 1;
        self.ledger.accepted += u64::from(spans);
        self.ledger.add_dropped(DropReason::Overflow, u64::from(skip));
        self.ledger.buffered += entry.unsettled_spans();
        self.queued_charge += entry.charge();
        self.queue.push_back(entry);
        u64::from(skip)
    }

    /// Applies new limits and evicts what no longer fits.
    pub fn set_limits(&mut self, limits: BufferLimits) -> Evicted {
        self.limits = limits;
        self.evict_until(limits.max_spans.get(), limits.max_bytes.get())
    }

    /// Drops records older than the maximum age.
    pub fn expire(&mut self, now: Duration) -> Evicted {
        let Some(max_age) = self.limits.max_age else {
            return Evicted::default();
        };
        let oldest_kept = now.saturating_sub(max_age).as_nanos();
        let mut expired = Evicted::default();
        while self.queue.front().is_some_and(|e| u128::from(e.arrived_nanos) < oldest_kept) {
            self.drop_front(DropReason::Expired, &mut expired);
        }
        expired
    }

    /// Drops all queued records for `reason`.
    pub fn drop_all(&mut self, reason: DropReason) -> Evicted {
        let mut dropped = Evicted::default();
        while !self.queue.is_empty() {
            self.drop_front(reason, &mut dropped);
        }
        dropped
    }

    /// Returns when a batch within `limits` may be taken, as of `now`.
    #[must_use]
    pub fn batch_readiness(&self, limits: &BatchLimits, now: Duration) -> BatchReadiness {
        let Some(front) = self.queue.front() else {
            return BatchReadiness::Empty;
        };
        let waited = now.saturating_sub(Duration::from_nanos(front.arrived_nanos));
        match limits.linger.checked_sub(waited) {
            Some(rest) if !rest.is_zero() && !self.fills_batch(limits) => {
                BatchReadiness::Wait(rest)
            }
            _ if self.is_blocked() => BatchReadiness::Blocked,
            _ => BatchReadiness::Ready,
        }
    }

    /// Returns whether the queue holds enough for a full batch within `limits`.
    #[must_use]
    pub fn fills_batch(&self, limits: &BatchLimits) -> bool {
        self.ledger.buffered >= limits.max_spans.min(self.max_batch_spans())
            || self.queued_bytes() >= limits.max_bytes
            || self.queued_charge >= self.max_batch_charge()
            || self.queue.len() >= limits.max_records
    }

    /// Returns whether the oldest record must wait until a batch in flight has finished.
    ///
    /// All batches in flight together pin at most half of each limit, so that older records can be
    /// evicted for a new one. Only a record that alone exceeds this half pins more: it is taken
    /// when nothing else is in flight.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        let (spans, charge) = self.spare_for_batches();
        self.queue
            .front()
            .is_some_and(|front| front.unsettled_spans() > spans || front.charge() > charge)
    }

    /// Returns how many records the next batch within `limits` has; at least one if any is queued.
    ///
    /// A batch of several records pins at most the share of one taker, and no more than the other
    /// batches leave (see [`Fifo::is_blocked`]). It does not span a batch in flight, so that both
    /// can be requeued in order. Only its first record may have spans that are already settled:
    /// they must be cut out of what is sent, which is cheap only at the start of a batch.
    #[must_use]
    pub fn next_batch_records(&self, limits: &BatchLimits) -> usize {
        let end = self.next_pinned_sequence();
        let (spare_spans, spare_charge) = self.spare_for_batches();
        let max_spans = limits.max_spans.min(self.max_batch_spans()).min(spare_spans);
        let max_charge = self.max_batch_charge().min(spare_charge);
        let (mut spans, mut bytes, mut charge) = (0, 0, 0);
        let entries = self.queue.iter().enumerate().take(limits.max_records);
        let fit = entries.take_while(|(place, entry)| {
            spans += entry.unsettled_spans();
            bytes += u64::from(entry.bytes);
            charge += entry.charge();
            let joins = *place == 0 || (entry.settled_prefix == 0 && entry.sequence < end);
            let fits = spans <= max_spans && bytes <= limits.max_bytes && charge <= max_charge;
            joins && fits
        });
        fit.count().max(1).min(self.queue.len())
    }

    /// Moves the oldest `records` into `batch`; they are pinned until acknowledged or requeued.
    ///
    /// Returns the payload bytes to take from the front of the store. Does not allocate if `batch`
    /// has the capacity.
    pub fn take(&mut self, records: usize, batch: &mut Vec<BufferedRecord>) -> u64 {
        let mut bytes = 0;
        if let Some(front) = self.queue.front() {
            self.pinned.push((front.sequence, front.arrived_nanos));
        }
        for entry in self.queue.drain(..records.min(self.queue.len())) {
            bytes += u64::from(entry.bytes);
            self.queued_charge -= entry.charge();
            self.pinned_charge += entry.charge();
            self.ledger.buffered -= entry.unsettled_spans();
            self.ledger.in_flight += entry.unsettled_spans();
            batch.push(entry);
        }
        bytes
    }

    /// Finishes the unsettled rest of `batch`. Returns what a limit lowered meanwhile evicts.
    pub fn acknowledge(&mut self, batch: &[BufferedRecord], settlement: BatchOutcome) -> Evicted {
        let spans = batch.iter().map(BufferedRecord::unsettled_spans).sum();
        self.account_outcome(spans, settlement);
        self.unpin(batch);
        self.evict_until(self.limits.max_spans.get(), self.limits.max_bytes.get())
    }

    /// Finishes the first `spans` of a batch of one record; the rest stays in flight.
    pub fn acknowledge_part(
        &mut self,
        entry: &mut BufferedRecord,
        spans: u32,
        settlement: BatchOutcome,
    ) {
        let spans = u64::from(spans).min(entry.unsettled_spans());
        entry.settled_prefix += u32::try_from(spans).unwrap_or(u32::MAX);
        self.account_outcome(spans, settlement);
    }

    /// Puts `batch`, which must have unsettled spans, back into the queue in order of arrival.
    ///
    /// Returns the payload bytes queued before it. The caller must put the payload back into the
    /// store, then call [`Fifo::enforce_limits`].
    pub fn requeue(&mut self, batch: &[BufferedRecord]) -> u64 {
        self.unpin(batch);
        let first = batch.first().map_or(0, |entry| entry.sequence);
        let before = self.queue.iter().take_while(|entry| entry.sequence < first);
        let (records, bytes) =
            before.fold((0, 0), |(n, sum), entry| (n + 1, sum + u64::from(entry.bytes)));
        self.queue.rotate_left(records);
        for entry in batch.iter().rev() {
            self.queued_charge += entry.charge();
            self.ledger.in_flight -= entry.unsettled_spans();
            self.ledger.buffered += entry.unsettled_spans();
            self.queue.push_front(*entry);
        }
        self.queue.rotate_right(records);
        bytes
    }

    /// Evicts what exceeds the limits.
    pub fn enforce_limits(&mut self) -> Evicted {
        self.evict_until(self.limits.max_spans.get(), self.limits.max_bytes.get())
    }

    const fn held_spans(&self) -> u64 {
        self.ledger.buffered + self.ledger.in_flight
    }

    const fn max_batch_spans(&self) -> u64 {
        self.limits.max_batch_spans(self.takers)
    }

    const fn max_batch_charge(&self) -> u64 {
        self.limits.max_batch_charge(self.takers)
    }

    /// Returns the spans and the charge that may be pinned in addition to the batches in flight;
    /// unlimited if there are none.
    fn spare_for_batches(&self) -> (u64, u64) {
        if self.pinned.is_empty() {
            return (u64::MAX, u64::MAX);
        }
        let spans = (self.limits.max_spans.get() / 2).saturating_sub(self.ledger.in_flight);
        let charge = (self.limits.max_bytes.get() / 2).saturating_sub(self.pinned_charge);
        (spans, charge)
    }

    /// Returns the first sequence number of the next batch in flight that is newer than the front.
    fn next_pinned_sequence(&self) -> u64 {
        let front = self.queue.front().map_or(0, |entry| entry.sequence);
        let behind = self.pinned.iter().map(|(first, _)| *first).filter(|first| *first > front);
        behind.min().unwrap_or(u64::MAX)
    }

    fn unpin(&mut self, batch: &[BufferedRecord]) {
        self.pinned_charge -= batch.iter().map(BufferedRecord::charge).sum::<u64>();
        if let Some(first) = batch.first() {
            self.pinned.retain(|(sequence, _)| *sequence != first.sequence);
        }
    }

    fn account_outcome(&mut self, spans: u64, settlement: BatchOutcome) {
        self.ledger.in_flight -= spans;
        match settlement {
            BatchOutcome::Delivered { rejected_spans } => {
                let rejected = rejected_spans.min(spans);
                self.ledger.rejected += rejected;
                self.ledger.sent += spans - rejected;
            }
            BatchOutcome::Dropped(reason) => self.ledger.add_dropped(reason, spans),
        }
    }

    /// Evicts from the front until at most `spans` and `charge` are held.
    fn evict_until(&mut self, spans: u64, charge: u64) -> Evicted {
        let mut evicted = Evicted::default();
        while self.charged_bytes() > charge && !self.queue.is_empty() {
            self.drop_front(DropReason::Overflow, &mut evicted);
        }
        while let Some(front) = self.queue.front_mut() {
            let excess = (self.ledger.buffered + self.ledger.in_flight).saturating_sub(spans);
            if excess == 0 {
                break;
            }
            if excess >= front.unsettled_spans() {
                self.drop_front(DropReason::Overflow, &mut evicted);
                continue;
            }
            front.settled_prefix += u32::try_from(excess).unwrap_or(u32::MAX);
            self.ledger.buffered -= excess;
            self.ledger.add_dropped(DropReason::Overflow, excess);
            evicted.spans += excess;
        }
        evicted
    }

    fn drop_front(&mut self, reason: DropReason, dropped: &mut Evicted) {
        let Some(entry) = self.queue.pop_front() else { return };
        self.queued_charge -= entry.charge();
        self.ledger.buffered -= entry.unsettled_spans();
        self.ledger.add_dropped(reason, entry.unsettled_spans());
        dropped.spans += entry.unsettled_spans();
        dropped.bytes += u64::from(entry.bytes);
    }
}

#[cfg(test)]
mod tests;
