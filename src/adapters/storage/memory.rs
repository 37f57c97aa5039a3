//! Records in memory.
//!
//! Small payloads are appended to an open segment, large ones are kept as they came, so a batch is
//! a few contiguous pieces that are split off without copying. A segment's memory is freed when
//! its last piece is. Beyond what is charged, at most two segments are held, and a sixteenth: a
//! segment ends where the next small payload does not fit.

use std::collections::VecDeque;
use std::mem;

use bytes::{Buf, Bytes, BytesMut};

use crate::ports::record_store::{RecordStore, StoreError};

const LARGEST_SEGMENT: usize = 256 << 10;
const SMALLEST_SEGMENT: usize = 16 << 10;
/// A segment is at most this part of the byte limit.
const SEGMENT_SHARE: u64 = 64;
/// Payloads larger than this part of a segment are kept as they came.
const LARGE_SHARE: usize = 16;

/// Payloads in segments. See the module's documentation.
#[derive(Debug)]
pub struct MemoryStore {
    segment_bytes: usize,
    pieces: VecDeque<Bytes>,
    /// Payloads behind all pieces, with room for more.
    open: BytesMut,
}

impl MemoryStore {
    /// Creates an empty store for a buffer limited to `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let share = usize::try_from(max_bytes / SEGMENT_SHARE).unwrap_or(usize::MAX);
        Self {
            segment_bytes: share.clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT),
            pieces: VecDeque::new(),
            open: BytesMut::new(),
        }
    }

    fn is_large(&self, payload: usize) -> bool {
        payload > self.segment_bytes / LARGE_SHARE
    }

    fn has_room(&self, payload: usize) -> bool {
        self.open.capacity() - self.open.len() >= payload
    }

    /// Ends the open piece; the segment's free room stays open.
    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.pieces.push_back(self.open.split().freeze());
        }
    }

    /// Splits the first `wanted` bytes, or as many as lie together, off the front.
    fn split_front(&mut self, wanted: u64) -> Option<Bytes> {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let Some(front) = self.pieces.front_mut() else {
            let length = wanted.min(self.open.len());
            return (length > 0).then(|| self.open.split_to(length).freeze());
        };
        if front.len() <= wanted {
            return self.pieces.pop_front();
        }
        Some(front.split_to(wanted))
    }
}

impl RecordStore for MemoryStore {
    fn room_wanted(&self, payload: usize) -> Option<usize> {
        (!self.is_large(payload) && !self.has_room(payload)).then_some(self.segment_bytes)
    }

    fn append(&mut self, payload: &Bytes, room: &mut Option<BytesMut>) -> Result<(), StoreError> {
        if self.is_large(payload.len()) {
            self.seal();
            self.pieces.push_back(payload.clone());
            return Ok(());
        }
        if !self.has_room(payload.len())
            && let Some(room) = room
        {
            self.seal();
            mem::swap(&mut self.open, room);
        }
        self.open.extend_from_slice(payload);
        Ok(())
    }

    fn discard_front(&mut self, mut bytes: u64, rubbish: &mut Vec<Bytes>) {
        while bytes > 0 {
            if let Some(front) = self.pieces.front_mut().filter(|front| front.len() as u64 > bytes)
            {
                front.advance(usize::try_from(bytes).unwrap_or(usize::MAX));
                return;
            }
            let Some(piece) = self.pieces.pop_front() else {
                let length = usize::try_from(bytes).unwrap_or(usize::MAX);
                self.open.advance(length.min(self.open.len()));
                return;
            };
            bytes -= piece.len() as u64;
            rubbish.push(piece);
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
            self.pieces.push_front(piece.clone());
        }
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
