//! Storage for the payloads of the records.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// Keeps payloads in order. It does not know where a record ends: the index (`Fifo`) passes the
/// number of bytes to move.
///
/// Every method runs under the buffer's lock, so none may allocate or free memory proportional to
/// a payload: the caller passes fresh blocks in (`spare_blocks`) and frees what comes back
/// (`freed`) after it has released the lock.
pub trait RecordStore: Send + 'static {
    /// Size of one block in `spare_blocks`, in bytes.
    const BLOCK_BYTES: usize;

    /// Returns how many spare blocks are needed to append `payload` bytes.
    fn blocks_wanted(&self, payload: usize) -> usize;

    /// Copies `payload` to the end, into blocks taken from `spare_blocks` as needed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be stored; nothing has changed then.
    fn append(
        &mut self,
        payload: &[u8],
        spare_blocks: &mut Vec<BytesMut>,
    ) -> Result<(), StoreError>;

    /// Discards the first `bytes`; moves the memory to be freed into `freed`.
    fn discard_front(&mut self, bytes: u64, freed: &mut Vec<Bytes>);

    /// Moves the first `bytes` into `into`, in pieces of any length.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn take_front(&mut self, bytes: u64, into: &mut Vec<Bytes>) -> Result<(), StoreError>;

    /// Puts pieces that were taken out back in, after the first `before` bytes.
    fn put_back(&mut self, before: u64, pieces: &[Bytes]);
}

/// A failure to store or return payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What failed, and what an administrator can do about it.
    pub message: String,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}
