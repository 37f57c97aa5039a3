//! Records in memory.
//!
//! Payloads are stored one after another in blocks of a fixed size, independent of their own.
//! Blocks of one size do not fragment the heap, so the memory used is what is charged. A batch is a
//! sequence of whole and partial blocks, split off without copying. A record that was sent in part
//! may be put back as one piece of its own length. Beyond what is charged, only the unused parts of
//! the first and the last block are held.

use std::collections::VecDeque;
use std::mem;

use bytes::{Buf, Bytes, BytesMut};

use crate::ports::record_store::{RecordStore, StoreError};

/// Payloads in blocks. See the module's documentation.
#[derive(Debug, Default)]
pub struct MemoryStore {
    full: VecDeque<Bytes>,
    /// The last block, which may have free space.
    open: BytesMut,
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn free(&self) -> usize {
        self.open.capacity() - self.open.len()
    }

    /// Splits off the first `wanted` bytes, or as many of them as are in the front block.
    fn split_front(&mut self, wanted: u64) -> Option<Bytes> {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let Some(front) = self.full.front_mut() else {
            let length = wanted.min(self.open.len());
            return (length > 0).then(|| self.open.split_to(length).freeze());
        };
        if front.len() <= wanted {
            return self.full.pop_front();
        }
        Some(front.split_to(wanted))
    }

    /// Closes the open block and continues in `block`.
    fn open_next(&mut self, block: BytesMut) {
        let closed = mem::replace(&mut self.open, block);
        if !closed.is_empty() {
            self.full.push_back(closed.freeze());
        }
    }
}

impl RecordStore for MemoryStore {
    /// Nearly the largest frame that HTTP/2 peers accept by default, so that a block is sent as one
    /// frame. Less by what allocators put before a block: with musl's, 16 KiB would take 18,704 bytes.
    const BLOCK_BYTES: usize = (16 << 10) - 32;

    fn blocks_wanted(&self, payload: usize) -> usize {
        payload.saturating_sub(self.free()).div_ceil(Self::BLOCK_BYTES)
    }

    fn append(
        &mut self,
        payload: &[u8],
        spare_blocks: &mut Vec<BytesMut>,
    ) -> Result<(), StoreError> {
        if spare_blocks.len() < self.blocks_wanted(payload.len()) {
            return Err(StoreError { message: "the record needs more spare blocks".to_owned() });
        }
        let mut rest = payload;
        loop {
            let (fitting, more) = rest.split_at(rest.len().min(self.free()));
            self.open.extend_from_slice(fitting);
            rest = more;
            if rest.is_empty() {
                return Ok(());
            }
            self.open_next(spare_blocks.pop().unwrap_or_default());
        }
    }

    fn discard_front(&mut self, mut bytes: u64, freed: &mut Vec<Bytes>) {
        while bytes > 0 {
            let Some(front) = self.full.front_mut() else {
                let length = usize::try_from(bytes).unwrap_or(usize::MAX);
                self.open.advance(length.min(self.open.len()));
                return;
            };
            if front.len() as u64 > bytes {
                front.advance(usize::try_from(bytes).unwrap_or(usize::MAX));
                return;
            }
            bytes -= front.len() as u64;
            freed.extend(self.full.pop_front());
        }
    }

    fn take_front(&mut self, mut bytes: u64, into: &mut Vec<Bytes>) -> Result<(), StoreError> {
        while bytes > 0 {
            let Some(piece) = self.split_front(bytes) else {
                let message = format!("the store lacks {bytes} bytes of the records indexed");
                return Err(StoreError { message });
            };
            bytes -= piece.len() as u64;
            into.push(piece);
        }
        Ok(())
    }

    fn put_back(&mut self, before: u64, pieces: &[Bytes]) {
        let mut ahead = Vec::new();
        let mut rest = before;
        while rest > 0 {
            let Some(piece) = self.split_front(rest) else { break };
            rest -= piece.len() as u64;
            ahead.push(piece);
        }
        for piece in ahead.iter().chain(pieces).rev() {
            self.full.push_front(piece.clone());
        }
    }
}

#[cfg(test)]
mod tests;
