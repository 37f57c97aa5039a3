//! The buffer between receivers and forwarder.

use std::future::Future;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;

use super::record_store::StoreError;
use crate::domain::fifo::{BatchOutcome, BufferedRecord, CapacityError};
use crate::domain::ledger::{DropReason, Ledger};
use crate::domain::limits::{BatchLimits, BufferLimits};

/// A thread-safe FIFO of records, bounded in spans and bytes.
///
/// Appending and taking are asynchronous and fallible because a store may be; the memory store
/// completes them immediately.
pub trait TraceBufferPort: Send + Sync + 'static {
    /// Stores a request of `spans` valid spans before it returns.
    ///
    /// `payload` must be a valid `ExportTraceServiceRequest`.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the record is not stored. If the store failed, older records may have been
    /// evicted for it.
    fn append(
        &self,
        payload: Bytes,
        spans: NonZeroU32,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send;

    /// Waits for a batch within `limits`, oldest records first.
    ///
    /// Returns `None` once the buffer is closed and empty. The batch is pinned and stays charged
    /// until it is acknowledged or requeued; dropping it without either would leave its spans in
    /// flight indefinitely. Cancel safe: a cancelled wait takes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the payload cannot be read.
    fn take(
        &self,
        limits: BatchLimits,
    ) -> impl Future<Output = Result<Option<Batch>, StoreError>> + Send;

    /// Finishes a batch with `outcome` and releases its memory.
    fn acknowledge(&self, batch: Batch, outcome: BatchOutcome);

    /// Finishes the first `spans` of a batch of one record; the rest stays in flight.
    fn acknowledge_part(&self, batch: &mut Batch, spans: u32, outcome: BatchOutcome);

    /// Returns a batch to its place at the head of the queue, where it may be evicted again.
    fn requeue(&self, batch: Batch);

    /// Applies new limits and immediately evicts the oldest spans that exceed them.
    fn set_limits(&self, limits: BufferLimits);

    /// Drops records older than the maximum age.
    fn expire(&self);

    /// Hands out what is queued now without waiting for batches to fill; later records wait as before.
    fn flush(&self);

    /// From now on, hands out batches without waiting for them to fill.
    fn stop_lingering(&self);

    /// Ends every wait of [`TraceBufferPort::take`] once the buffer is empty.
    fn close(&self);

    /// From now on, refuses every append.
    fn reject_new(&self);

    /// Drops all queued records for `reason` and returns how many spans were dropped.
    fn drop_all(&self, reason: DropReason) -> u64;

    /// Returns a consistent snapshot.
    fn status(&self) -> BufferStatus;
}

/// The effect of a successful append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Older spans evicted to make room.
    pub evicted_spans: u64,
    /// How full the buffer is now, in percent of the nearer limit.
    pub fill_percent: u8,
}

/// Why a record was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The limits or the overflow policy forbid it.
    Capacity(CapacityError),
    /// The buffer rejects new records: no worker is left to deliver them.
    ShuttingDown,
    /// The store failed.
    Store(StoreError),
}

/// Whole records taken together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records, oldest first; only the first may have spans that are already settled.
    pub records: Vec<BufferedRecord>,
    /// Their concatenated payloads, in pieces of any length.
    pub payload: Vec<Bytes>,
}

/// A snapshot of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferStatus {
    /// The accounting of every accepted span.
    pub ledger: Ledger,
    /// The limits in force.
    pub limits: BufferLimits,
    /// Bytes charged against the limit, batches in flight included.
    pub charged_bytes: u64,
    /// Age of the oldest span held.
    pub oldest_age: Option<Duration>,
}

impl Batch {
    /// Returns the spans still to be sent.
    #[must_use]
    pub fn spans(&self) -> u64 {
        self.records.iter().map(BufferedRecord::unsettled_spans).sum()
    }

    /// Returns the encoded bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.records.iter().map(|entry| u64::from(entry.bytes)).sum()
    }
}
