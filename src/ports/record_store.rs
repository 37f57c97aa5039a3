//! Where the payloads of the records lie.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// Keeps payloads in order. Knows nothing of records: the index says how many bytes to move.
///
/// Every method runs under the buffer's lock, so none may allocate in the size of a payload or
/// free one: room comes in by [`RecordStore::append`], rubbish leaves by what is passed.
pub trait RecordStore: Send + 'static {
    /// Bytes of one block of fresh memory.
    const BLOCK_BYTES: usize;

    /// Returns how many fresh blocks appending `payload` bytes needs.
    fn blocks_wanted(&self, payload: usize) -> usize;

    /// Copies `payload` behind all others, into blocks taken from `room` where it needs some.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it could not be kept; nothing has changed then.
    fn append(
        &mut self,
        payload: &[u8],
        spare_blocks: &mut Vec<BytesMut>,
    ) -> Result<(), StoreError>;

    /// Forgets the first `bytes`; memory to be freed goes to `rubbish`.
    fn discard_front(&mut self, bytes: u64, freed: &mut Vec<Bytes>);

    /// Moves the first `bytes` out, in pieces of any length.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn take_front(&mut self, bytes: u64, into: &mut Vec<Bytes>) -> Result<(), StoreError>;

    /// Puts pieces taken before back in, behind the first `before` bytes.
    fn put_back(&mut self, before: u64, pieces: &[Bytes]);
}

/// A store that cannot keep or return payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What failed and what to do about it.
    pub message: String,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}
