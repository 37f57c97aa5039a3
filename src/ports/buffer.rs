//! The buffer, as receivers and the forwarder see it.

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
/// Appending and taking are asynchronous and fallible for stores that are; in memory they are
/// ready at once.
pub trait TraceBufferPort: Send + Sync + 'static {
    /// Keeps a request of `spans` valid spans; once this returns, it is stored.
    ///
    /// `payload` must be a valid `ExportTraceServiceRequest`.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; nothing has changed then, but that a store that failed may have been made
    /// room in.
    fn append(
        &self,
        payload: Bytes,
        spans: NonZeroU32,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send;

    /// Waits for a batch within `limits`, oldest records first.
    ///
    /// Returns `None` once the buffer is closed and empty. The batch is pinned and stays charged
    /// until it is settled or given back; dropping it unsettled would leave its spans in flight
    /// for ever. Cancel safe: a cancelled wait takes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the payload cannot be read.
    fn take(
        &self,
        limits: BatchLimits,
    ) -> impl Future<Output = Result<Option<Batch>, StoreError>> + Send;

    /// Ends a batch.
    fn acknowledge(&self, batch: Batch, settlement: BatchOutcome);

    /// Ends the first `spans` of a batch of one record; the rest stays on the wire.
    fn acknowledge_part(&self, batch: &mut Batch, spans: u32, settlement: BatchOutcome);

    /// Returns a batch to its place, at the head; it may be evicted again.
    fn requeue(&self, batch: Batch);

    /// Puts new limits into force, evicting the oldest at once where they are lower.
    fn set_limits(&self, limits: BufferLimits);

    /// Drops what is older than the maximum age.
    fn expire(&self);

    /// Hands out batches without waiting for company, from now on.
    fn flush(&self);

    /// Ends every wait of [`TraceBufferPort::take`] once the buffer is empty.
    fn close(&self);

    /// Refuses what comes from now on.
    fn reject_new(&self);

    /// Drops all that waits, for `reason`, and returns how many spans that were.
    fn drop_all(&self, reason: DropReason) -> u64;

    /// Returns a consistent picture of the whole.
    fn status(&self) -> BufferStatus;
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Older spans evicted to make room.
    pub evicted_spans: u64,
    /// How full the buffer is now, in percent of the nearer limit.
    pub fill_percent: u8,
}

/// Why a record was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The limits or the policy forbid it.
    Capacity(CapacityError),
    /// The buffer is sealed: nobody will come for the record.
    ShuttingDown,
    /// The store failed.
    Store(StoreError),
}

/// Whole records taken together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records, oldest first; only the first may have spans that are settled already.
    pub records: Vec<BufferedRecord>,
    /// Their payloads, one behind the other, in pieces of any length.
    pub payload: Vec<Bytes>,
}

/// The buffer at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferStatus {
    /// Where every accepted span is.
    pub ledger: Ledger,
    /// The limits in force.
    pub limits: BufferLimits,
    /// Bytes charged to the limit.
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
