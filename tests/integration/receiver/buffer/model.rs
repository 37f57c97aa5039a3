//! The naive model of the buffer.

use std::time::Duration;

use bytes::Bytes;
use tracebuffer::domain::fifo::CapacityError;
use tracebuffer::domain::ledger::DropReason;
use tracebuffer::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};

pub(crate) const RECORD_OVERHEAD: u64 = 64;

pub(crate) struct Record {
    pub(crate) sequence: u64,
    pub(crate) payload: Bytes,
    pub(crate) spans: u64,
    /// Spans at the front that are already evicted or settled.
    pub(crate) settled_prefix: u64,
    pub(crate) arrived: Duration,
}

impl Record {
    pub(crate) fn unsettled_spans(&self) -> u64 {
        self.spans - self.settled_prefix
    }

    pub(crate) fn charge(&self) -> u64 {
        self.payload.len() as u64 + RECORD_OVERHEAD
    }
}

/// The expected behaviour of the buffer, written to be obviously correct.
pub(crate) struct Model {
    policy: OverflowPolicy,
    /// A batch of several records holds at most each limit divided by this.
    batch_divisor: u64,
    pub(crate) limits: BufferLimits,
    pub(crate) waiting: Vec<Record>,
    pub(crate) in_flight: Vec<Vec<Record>>,
    appended: u64,
    pub(crate) accepted: u64,
    pub(crate) sent: u64,
    pub(crate) rejected: u64,
    pub(crate) dropped: Vec<(DropReason, u64)>,
}

impl Model {
    pub(crate) fn new(limits: BufferLimits, policy: OverflowPolicy, takers: usize) -> Self {
        let dropped = DropReason::ALL.map(|reason| (reason, 0)).to_vec();
        let (waiting, in_flight) = (Vec::new(), Vec::new());
        let (appended, accepted, sent, rejected) = (0, 0, 0, 0);
        Self {
            policy,
            batch_divisor: (2 * takers as u64).max(4),
            limits,
            waiting,
            in_flight,
            appended,
            accepted,
            sent,
            rejected,
            dropped,
        }
    }

    pub(crate) fn in_flight_spans(&self) -> u64 {
        self.in_flight.iter().flatten().map(Record::unsettled_spans).sum()
    }

    pub(crate) fn in_flight_charge(&self) -> u64 {
        self.in_flight.iter().flatten().map(Record::charge).sum()
    }

    pub(crate) fn waiting_spans(&self) -> u64 {
        self.waiting.iter().map(Record::unsettled_spans).sum()
    }

    pub(crate) fn charge(&self) -> u64 {
        self.waiting.iter().map(Record::charge).sum::<u64>() + self.in_flight_charge()
    }

    pub(crate) fn max_spans(&self) -> u64 {
        self.limits.max_spans.get()
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.limits.max_bytes.get()
    }

    pub(crate) fn fits(&self) -> bool {
        self.waiting_spans() + self.in_flight_spans() <= self.max_spans()
            && self.charge() <= self.max_bytes()
    }

    pub(crate) fn drop_spans(&mut self, reason: DropReason, spans: u64) {
        self.dropped.iter_mut().find(|(each, _)| *each == reason).unwrap().1 += spans;
    }

    pub(crate) fn drop_oldest(&mut self, reason: DropReason) {
        let record = self.waiting.remove(0);
        self.drop_spans(reason, record.unsettled_spans());
    }

    /// Evicts whole records for the byte limit, then single spans for the span limit.
    pub(crate) fn evict(&mut self) {
        while self.charge() > self.max_bytes() && !self.waiting.is_empty() {
            self.drop_oldest(DropReason::Overflow);
        }
        while !self.fits() && !self.waiting.is_empty() {
            if self.waiting[0].unsettled_spans() > 1 {
                self.waiting[0].settled_prefix += 1;
                self.drop_spans(DropReason::Overflow, 1);
            } else {
                self.drop_oldest(DropReason::Overflow);
            }
        }
    }

    pub(crate) fn append(
        &mut self,
        payload: Bytes,
        spans: u32,
        now: Duration,
    ) -> Result<u64, CapacityError> {
        let (max_spans, max_bytes) = (self.max_spans(), self.max_bytes());
        let record = Record {
            sequence: self.appended,
            payload,
            spans: spans.into(),
            settled_prefix: 0,
            arrived: now,
        };
        if record.charge() > max_bytes {
            return Err(CapacityError::TooManyBytes { charge: record.charge(), max_bytes });
        }
        let rejects = self.policy == OverflowPolicy::Reject;
        if rejects && record.spans > max_spans {
            return Err(CapacityError::TooManySpans { spans, max_spans });
        }
        let no_room_beside_in_flight = self.in_flight_spans() >= max_spans
            || self.in_flight_charge() + record.charge() > max_bytes;
        let no_room_at_all = self.waiting_spans() + self.in_flight_spans() + record.spans
            > max_spans
            || self.charge() + record.charge() > max_bytes;
        if no_room_beside_in_flight || (rejects && no_room_at_all) {
            return Err(CapacityError::Full);
        }
        let lost_before = self.dropped_spans(DropReason::Overflow);
        self.appended += 1;
        self.accepted += record.spans;
        self.waiting.push(record);
        self.evict();
        Ok(self.dropped_spans(DropReason::Overflow) - lost_before)
    }

    pub(crate) fn expire(&mut self, now: Duration) {
        let Some(max_age) = self.limits.max_age else { return };
        while self.waiting.first().is_some_and(|record| now > record.arrived + max_age) {
            self.drop_oldest(DropReason::Expired);
        }
    }

    /// The number of records in the next batch.
    pub(crate) fn batch_size(&self, limits: &BatchLimits) -> usize {
        let exceeds_half = |batch: &[Record]| {
            let spans = batch.iter().map(Record::unsettled_spans).sum::<u64>();
            let charge = batch.iter().map(Record::charge).sum::<u64>();
            self.in_flight_spans() + spans > self.max_spans() / 2
                || self.in_flight_charge() + charge > self.max_bytes() / 2
        };
        let mut size = 0;
        while size < self.waiting.len().min(limits.max_records) {
            let batch = &self.waiting[..=size];
            let (first, last) = (batch[0].sequence, &batch[size]);
            let spans: u64 = batch.iter().map(Record::unsettled_spans).sum();
            let charge: u64 = batch.iter().map(Record::charge).sum();
            let bytes = charge - RECORD_OVERHEAD * batch.len() as u64;
            let in_flight_between = |other: &Vec<Record>| {
                first < other[0].sequence && other[0].sequence < last.sequence
            };
            let too_large = spans > limits.max_spans
                || bytes > limits.max_bytes
                || spans > self.max_spans() / self.batch_divisor
                || charge > self.max_bytes() / self.batch_divisor;
            if !self.in_flight.is_empty() && exceeds_half(batch) {
                break;
            }
            if size > 0
                && (too_large
                    || last.settled_prefix > 0
                    || self.in_flight.iter().any(in_flight_between))
            {
                break;
            }
            size += 1;
        }
        size
    }

    pub(crate) fn take(&mut self, limits: &BatchLimits, now: Duration) -> Option<&Vec<Record>> {
        self.expire(now);
        let size = self.batch_size(limits);
        if size == 0 {
            return None;
        }
        self.in_flight.push(self.waiting.drain(..size).collect());
        self.in_flight.last()
    }

    pub(crate) fn acknowledge(&mut self, spans: u64, rejected: u64) {
        self.sent += spans - rejected.min(spans);
        self.rejected += rejected.min(spans);
    }

    pub(crate) fn requeue(&mut self, place: usize) {
        self.waiting.extend(self.in_flight.swap_remove(place));
        self.waiting.retain(|record| record.unsettled_spans() > 0);
        self.waiting.sort_by_key(|record| record.sequence);
        self.evict();
    }

    pub(crate) fn dropped_spans(&self, reason: DropReason) -> u64 {
        self.dropped.iter().find(|(each, _)| *each == reason).unwrap().1
    }

    pub(crate) fn oldest_age(&self, now: Duration) -> Option<Duration> {
        let oldest = self.waiting.iter().chain(self.in_flight.iter().flatten());
        oldest.map(|record| now.saturating_sub(record.arrived)).max()
    }
}
