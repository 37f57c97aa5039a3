//! The thread-safe buffer: index and store behind one lock that is held only briefly.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
#[cfg(not(feature = "shuttle"))]
use parking_lot::Mutex;
#[cfg(feature = "shuttle")]
use shuttle_parking_lot::Mutex;
use tokio::sync::Notify;

use crate::domain::fifo::{BatchOutcome, BatchReadiness, Evicted, Fifo};
use crate::domain::ledger::DropReason;
use crate::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};
use crate::ports::buffer::{AppendError, Appended, Batch, BufferStatus, TraceBufferPort};
use crate::ports::clock::MonotonicClock;
use crate::ports::record_store::{RecordStore, StoreError};

/// When batches are handed out. Advances, never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// When they are full or have lingered.
    Lingering,
    /// Immediately.
    NotLingering,
    /// Immediately; once the buffer is empty, `take` returns `None`.
    Closed,
}

struct State<S> {
    fifo: Fifo,
    store: S,
    /// What the queue must hold before a waiting taker is woken.
    wake_threshold: Option<BatchLimits>,
    /// Whether a taker waits for a batch in flight to finish.
    taker_blocked: bool,
    phase: Phase,
    /// Records that arrived until then are handed out immediately.
    flushed_at: Option<Duration>,
    rejecting_new: bool,
}

/// The buffer between receivers and forwarder.
///
/// Lock order is queue order. Payload memory is allocated before the lock is taken and freed after
/// it is released, so that the allocator never delays other threads.
pub struct TraceBuffer<S, C> {
    state: Mutex<State<S>>,
    /// Wakes every waiting taker: each checks the state and keeps its own timer, so that none
    /// depends on another that may be slow or cancelled.
    readable: Notify,
    clock: C,
}

/// Result of one attempt to append.
enum TryAppend {
    Done(Appended, bool),
    Refused(AppendError),
    NeedsBlocks(usize),
}

/// Result of one attempt to take.
enum TryTake {
    Done,
    Closed,
    NeedsCapacity(usize),
    Wait(Option<Duration>),
}

impl<S: RecordStore, C: MonotonicClock> TraceBuffer<S, C> {
    /// Creates an empty buffer.
    pub fn new(limits: BufferLimits, policy: OverflowPolicy, store: S, clock: C) -> Self {
        let state = State {
            fifo: Fifo::new(limits, policy),
            store,
            wake_threshold: None,
            taker_blocked: false,
            phase: Phase::Lingering,
            flushed_at: None,
            rejecting_new: false,
        };
        Self { state: Mutex::new(state), readable: Notify::new(), clock }
    }

    /// Sets how many batches may be in flight at the same time; 1 by default.
    ///
    /// Together they pin at most half of each current limit, except for a single record that alone
    /// exceeds it. Batches that were taken before the limits were lowered stay pinned.
    #[must_use]
    pub fn with_takers(self, takers: NonZeroUsize) -> Self {
        self.state.lock().fifo.set_takers(takers);
        self
    }

    /// Stores a request without waiting. See [`TraceBufferPort::append`].
    ///
    /// # Errors
    ///
    /// See [`TraceBufferPort::append`].
    pub fn append_now(&self, payload: &[u8], spans: NonZeroU32) -> Result<Appended, AppendError> {
        let mut spare_blocks = Vec::new();
        loop {
            // Declared before the lock guard, so it is dropped after the lock is released.
            let mut freed = Vec::new();
            let result = self.state.lock().append(
                payload,
                spans.get(),
                &mut spare_blocks,
                &mut freed,
                self.clock.now(),
            );
            match result {
                // The lock is taken again afterwards: the store may need more blocks by then.
                TryAppend::NeedsBlocks(blocks) => {
                    spare_blocks.resize_with(blocks, || BytesMut::with_capacity(S::BLOCK_BYTES));
                }
                TryAppend::Refused(error) => return Err(error),
                TryAppend::Done(appended, wake) => {
                    if wake {
                        self.readable.notify_waiters();
                    }
                    return Ok(appended);
                }
            }
        }
    }

    fn try_take(&self, limits: &BatchLimits, batch: &mut Batch) -> Result<TryTake, StoreError> {
        let mut freed = Vec::new();
        let now = self.clock.now();
        let mut state = self.state.lock();
        let expired = state.fifo.expire(now);
        state.store.discard_front(expired.bytes, &mut freed);
        if state.must_unblock() {
            self.readable.notify_waiters();
        }
        state.take(limits, batch, now)
    }

    fn advance(&self, phase: Phase) {
        let mut state = self.state.lock();
        state.phase = state.phase.max(phase);
        drop(state);
        self.readable.notify_waiters();
    }

    /// Changes the index, discards from the store what that evicted, and frees it outside the lock.
    fn mutate(&self, change: impl FnOnce(&mut State<S>) -> Evicted) -> u64 {
        let mut freed = Vec::new();
        let mut state = self.state.lock();
        let evicted = change(&mut state);
        state.store.discard_front(evicted.bytes, &mut freed);
        let wake = state.must_unblock();
        drop(state);
        if wake {
            self.readable.notify_waiters();
        }
        evicted.spans
    }
}

impl<S: RecordStore> State<S> {
    fn append(
        &mut self,
        payload: &[u8],
        spans: u32,
        spare_blocks: &mut Vec<BytesMut>,
        freed: &mut Vec<Bytes>,
        now: Duration,
    ) -> TryAppend {
        if self.rejecting_new {
            return TryAppend::Refused(AppendError::ShuttingDown);
        }
        let blocks = self.store.blocks_wanted(payload.len());
        if blocks > spare_blocks.len() {
            return TryAppend::NeedsBlocks(blocks);
        }
        let length = payload.len() as u64;
        let evicted = match self.fifo.evict_for(spans, length) {
            Ok(evicted) => evicted,
            Err(error) => return TryAppend::Refused(AppendError::Capacity(error)),
        };
        self.store.discard_front(evicted.bytes, freed);
        if let Err(error) = self.store.append(payload, spare_blocks) {
            return TryAppend::Refused(AppendError::Store(error));
        }
        let skipped = self.fifo.push(spans, length, now);
        let appended = Appended {
            evicted_spans: evicted.spans + skipped,
            fill_percent: fill_percent(&self.fifo),
        };
        TryAppend::Done(appended, self.must_wake())
    }

    /// Returns whether the queue now holds what a waiting taker needs; clears the threshold then.
    fn must_wake(&mut self) -> bool {
        let is_enough = self.wake_threshold.take_if(|batch| self.fifo.fills_batch(batch)).is_some();
        self.must_unblock() || is_enough
    }

    /// Returns whether a blocked taker may continue; clears the flag then.
    fn must_unblock(&mut self) -> bool {
        let wake = self.taker_blocked && !self.fifo.is_blocked();
        self.taker_blocked &= !wake;
        wake
    }

    fn take(
        &mut self,
        limits: &BatchLimits,
        batch: &mut Batch,
        now: Duration,
    ) -> Result<TryTake, StoreError> {
        let mut limits = *limits;
        let is_flushed = self.fifo.front_arrival().is_some_and(|at| Some(at) <= self.flushed_at);
        if is_flushed || self.phase >= Phase::NotLingering {
            limits.linger = Duration::ZERO;
        }
        match self.fifo.batch_readiness(&limits, now) {
            BatchReadiness::Empty if self.phase == Phase::Closed => return Ok(TryTake::Closed),
            BatchReadiness::Empty => {
                self.wake_threshold = Some(BatchLimits { max_records: 1, ..limits });
                return Ok(TryTake::Wait(None));
            }
            BatchReadiness::Wait(rest) => {
                self.wake_threshold = Some(limits);
                return Ok(TryTake::Wait(Some(rest)));
            }
            BatchReadiness::Blocked => {
                self.taker_blocked = true;
                return Ok(TryTake::Wait(None));
            }
            BatchReadiness::Ready => {}
        }
        let records = self.fifo.next_batch_records(&limits);
        if batch.records.capacity() < records {
            return Ok(TryTake::NeedsCapacity(records));
        }
        let bytes = self.fifo.take(records, &mut batch.records);
        // The index has already released these records; account for them, or they would stay in
        // flight.
        if let Err(error) = self.store.take_front(bytes, &mut batch.payload) {
            self.fifo.acknowledge(&batch.records, BatchOutcome::Dropped(DropReason::Permanent));
            return Err(error);
        }
        Ok(TryTake::Done)
    }
}

impl<S: RecordStore, C: MonotonicClock> TraceBufferPort for TraceBuffer<S, C> {
    async fn append(&self, payload: Bytes, spans: NonZeroU32) -> Result<Appended, AppendError> {
        self.append_now(&payload, spans)
    }

    async fn take(&self, limits: BatchLimits) -> Result<Option<Batch>, StoreError> {
        let mut batch = Batch::default();
        loop {
            // Registered before the state is checked, so that no wakeup in between is missed.
            let wakeup = self.readable.notified();
            match self.try_take(&limits, &mut batch)? {
                TryTake::Done => return Ok(Some(batch)),
                TryTake::Closed => return Ok(None),
                TryTake::NeedsCapacity(records) => batch.records.reserve_exact(records),
                TryTake::Wait(None) => wakeup.await,
                TryTake::Wait(Some(rest)) => {
                    // Woken or timed out, the next attempt decides.
                    let _ = tokio::time::timeout(rest, wakeup).await;
                }
            }
        }
    }

    fn acknowledge(&self, batch: Batch, outcome: BatchOutcome) {
        self.mutate(|state| state.fifo.acknowledge(&batch.records, outcome));
    }

    fn acknowledge_part(&self, batch: &mut Batch, spans: u32, outcome: BatchOutcome) {
        if let Some(record) = batch.records.first_mut() {
            self.mutate(|state| {
                state.fifo.acknowledge_part(record, spans, outcome);
                Evicted::default()
            });
        }
    }

    fn requeue(&self, batch: Batch) {
        if batch.spans() == 0 {
            // Every span was acknowledged in parts; a queued record must have spans to send.
            return self.acknowledge(batch, BatchOutcome::Delivered { rejected_spans: 0 });
        }
        self.mutate(|state| {
            let before = state.fifo.requeue(&batch.records);
            state.store.put_back(before, &batch.payload);
            state.fifo.enforce_limits()
        });
        self.readable.notify_waiters();
    }

    fn set_limits(&self, limits: BufferLimits) {
        self.mutate(|state| state.fifo.set_limits(limits));
    }

    fn expire(&self) {
        let now = self.clock.now();
        self.mutate(|state| state.fifo.expire(now));
    }

    fn flush(&self) {
        self.state.lock().flushed_at = Some(self.clock.now());
        self.readable.notify_waiters();
    }

    fn stop_lingering(&self) {
        self.advance(Phase::NotLingering);
    }

    fn close(&self) {
        self.advance(Phase::Closed);
    }

    fn reject_new(&self) {
        self.state.lock().rejecting_new = true;
    }

    fn drop_all(&self, reason: DropReason) -> u64 {
        self.mutate(|state| state.fifo.drop_all(reason))
    }

    fn status(&self) -> BufferStatus {
        let now = self.clock.now();
        let state = self.state.lock();
        BufferStatus {
            ledger: *state.fifo.ledger(),
            limits: *state.fifo.limits(),
            charged_bytes: state.fifo.charged_bytes(),
            oldest_age: state.fifo.oldest_age(now),
        }
    }
}

/// Returns how full the buffer is, in percent of the nearer limit.
fn fill_percent(fifo: &Fifo) -> u8 {
    let limits = fifo.limits();
    let ledger = fifo.ledger();
    let spans = percent(ledger.buffered + ledger.in_flight, limits.max_spans.get());
    spans.max(percent(fifo.charged_bytes(), limits.max_bytes.get()))
}

fn percent(part: u64, whole: u64) -> u8 {
    u8::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(100).min(100)
}

#[cfg(test)]
mod tests;
