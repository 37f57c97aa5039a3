//! The thread-safe buffer: the index and the store behind one short lock.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
#[cfg(not(feature = "shuttle"))]
use parking_lot::Mutex;
#[cfg(feature = "shuttle")]
use shuttle_parking_lot::Mutex;
use tokio::sync::Notify;

use crate::domain::fifo::{Evicted, Fifo, Readiness, Settlement};
use crate::domain::ledger::DropReason;
use crate::domain::limits::{BatchLimits, Limits, OverflowPolicy};
use crate::ports::buffer::{AppendError, Appended, Batch, BufferStatus, TraceBufferPort};
use crate::ports::clock::Clock;
use crate::ports::record_store::{RecordStore, StoreError};

struct State<S> {
    fifo: Fifo,
    store: S,
    /// What has to be there before a waiting taker is woken.
    wake_at: Option<BatchLimits>,
    flushing: bool,
    closed: bool,
    sealed: bool,
}

/// The buffer between receivers and forwarder.
///
/// The order of the lock is the order of the FIFO. No payload is allocated, freed or waited for
/// under it; what a call sets free is dropped after the lock.
pub struct TraceBuffer<S, C> {
    state: Mutex<State<S>>,
    /// Wakes every waiting taker: each looks for itself and keeps its own time, so that none
    /// depends on another that may be slow or cancelled.
    readable: Notify,
    clock: C,
}

/// What one try to append came to.
enum Try {
    Done(Appended, bool),
    Refused(AppendError),
    NeedsRoom(usize),
}

/// What one try to take came to.
enum Take {
    Done,
    Ended,
    NeedsRoom(usize),
    Wait(Option<Duration>),
}

impl<S: RecordStore, C: Clock> TraceBuffer<S, C> {
    /// Creates an empty buffer.
    pub fn new(limits: Limits, policy: OverflowPolicy, store: S, clock: C) -> Self {
        let state = State {
            fifo: Fifo::new(limits, policy),
            store,
            wake_at: None,
            flushing: false,
            closed: false,
            sealed: false,
        };
        Self { state: Mutex::new(state), readable: Notify::new(), clock }
    }

    /// Keeps a request, at once. See [`TraceBufferPort::append`].
    ///
    /// # Errors
    ///
    /// See [`TraceBufferPort::append`].
    pub fn append_now(&self, payload: &[u8], spans: NonZeroU32) -> Result<Appended, AppendError> {
        let mut room = Vec::new();
        loop {
            // Declared before the guard, so freed after it.
            let mut rubbish = Vec::new();
            let tried = self.state.lock().append(
                payload,
                spans.get(),
                &mut room,
                &mut rubbish,
                self.clock.now(),
            );
            match tried {
                Try::NeedsRoom(blocks) => {
                    room.resize_with(blocks, || BytesMut::with_capacity(S::BLOCK_BYTES));
                }
                Try::Refused(error) => return Err(error),
                Try::Done(appended, wake) => {
                    if wake {
                        self.readable.notify_waiters();
                    }
                    return Ok(appended);
                }
            }
        }
    }

    fn try_take(&self, limits: &BatchLimits, batch: &mut Batch) -> Result<Take, StoreError> {
        let mut rubbish = Vec::new();
        let now = self.clock.now();
        let mut state = self.state.lock();
        let expired = state.fifo.expire(now);
        state.store.discard_front(expired.bytes, &mut rubbish);
        state.take(limits, batch, now)
    }

    /// Changes the index, discards in the store what that evicted, and frees it after the lock.
    fn change(&self, change: impl FnOnce(&mut State<S>) -> Evicted) -> u64 {
        let mut rubbish = Vec::new();
        let mut state = self.state.lock();
        let evicted = change(&mut state);
        state.store.discard_front(evicted.bytes, &mut rubbish);
        drop(state);
        evicted.spans
    }
}

impl<S: RecordStore> State<S> {
    fn append(
        &mut self,
        payload: &[u8],
        spans: u32,
        room: &mut Vec<BytesMut>,
        rubbish: &mut Vec<Bytes>,
        now: Duration,
    ) -> Try {
        if self.sealed {
            return Try::Refused(AppendError::Sealed);
        }
        let blocks = self.store.blocks_wanted(payload.len());
        if blocks > room.len() {
            return Try::NeedsRoom(blocks);
        }
        let length = payload.len() as u64;
        let evicted = match self.fifo.make_room(spans, length) {
            Ok(evicted) => evicted,
            Err(refusal) => return Try::Refused(AppendError::Refused(refusal)),
        };
        self.store.discard_front(evicted.bytes, rubbish);
        if let Err(error) = self.store.append(payload, room) {
            return Try::Refused(AppendError::Store(error));
        }
        let skipped = self.fifo.push(spans, length, now);
        let appended = Appended {
            evicted_spans: evicted.spans + skipped,
            fill_percent: fill_percent(&self.fifo),
        };
        Try::Done(appended, self.must_wake())
    }

    /// Returns whether a taker waits for what is there now.
    fn must_wake(&mut self) -> bool {
        self.wake_at.take_if(|batch| self.fifo.fills(batch)).is_some()
    }

    fn take(
        &mut self,
        limits: &BatchLimits,
        batch: &mut Batch,
        now: Duration,
    ) -> Result<Take, StoreError> {
        let mut limits = *limits;
        if self.flushing {
            limits.linger = Duration::ZERO;
        }
        match self.fifo.readiness(&limits, now) {
            Readiness::Empty if self.closed => return Ok(Take::Ended),
            Readiness::Empty => {
                self.wake_at = Some(BatchLimits { max_records: 1, ..limits });
                return Ok(Take::Wait(None));
            }
            Readiness::Wait(rest) => {
                self.wake_at = Some(limits);
                return Ok(Take::Wait(Some(rest)));
            }
            Readiness::Ready => {}
        }
        let records = self.fifo.next_batch_records(&limits);
        if batch.entries.capacity() < records {
            return Ok(Take::NeedsRoom(records));
        }
        let bytes = self.fifo.take(records, &mut batch.entries);
        if let Err(error) = self.store.take_front(bytes, &mut batch.payload) {
            self.fifo.settle(&batch.entries, Settlement::Dropped(DropReason::Permanent));
            return Err(error);
        }
        Ok(Take::Done)
    }
}

impl<S: RecordStore, C: Clock> TraceBufferPort for TraceBuffer<S, C> {
    async fn append(&self, payload: Bytes, spans: NonZeroU32) -> Result<Appended, AppendError> {
        self.append_now(&payload, spans)
    }

    async fn take(&self, limits: BatchLimits) -> Result<Option<Batch>, StoreError> {
        let mut batch = Batch::default();
        loop {
            // Listens before it looks, so that it misses no news in between.
            let news = self.readable.notified();
            match self.try_take(&limits, &mut batch)? {
                Take::Done => return Ok(Some(batch)),
                Take::Ended => return Ok(None),
                Take::NeedsRoom(records) => batch.entries.reserve_exact(records),
                Take::Wait(None) => news.await,
                Take::Wait(Some(rest)) => {
                    // Woken or not, the next try decides.
                    let _ = tokio::time::timeout(rest, news).await;
                }
            }
        }
    }

    fn settle(&self, batch: Batch, settlement: Settlement) {
        self.change(|state| state.fifo.settle(&batch.entries, settlement));
    }

    fn settle_part(&self, batch: &mut Batch, spans: u32, settlement: Settlement) {
        if let Some(entry) = batch.entries.first_mut() {
            self.state.lock().fifo.settle_part(entry, spans, settlement);
        }
    }

    fn give_back(&self, batch: Batch) {
        if batch.spans() == 0 {
            // All settled in parts: no record waits without a span to be sent.
            return self.settle(batch, Settlement::Delivered { rejected_spans: 0 });
        }
        self.change(|state| {
            let before = state.fifo.give_back(&batch.entries);
            state.store.put_back(before, &batch.payload);
            state.fifo.enforce_limits()
        });
        self.readable.notify_waiters();
    }

    fn set_limits(&self, limits: Limits) {
        self.change(|state| state.fifo.set_limits(limits));
    }

    fn expire(&self) {
        let now = self.clock.now();
        self.change(|state| state.fifo.expire(now));
    }

    fn flush(&self) {
        self.state.lock().flushing = true;
        self.readable.notify_waiters();
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.flush();
    }

    fn seal(&self) {
        self.state.lock().sealed = true;
    }

    fn drop_all(&self, reason: DropReason) -> u64 {
        self.change(|state| state.fifo.drop_all(reason))
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

/// How full the buffer is, in percent of the nearer limit.
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
