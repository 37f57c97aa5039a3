//! Helpers that the tests of the buffer share.

use std::num::NonZeroU64;

use bytes::Bytes;
use tracebuffer::domain::limits::BufferLimits;
use tracebuffer::ports::buffer::Batch;

/// Returns limits without a maximum age.
pub(crate) fn limits(max_spans: u64, max_bytes: u64) -> BufferLimits {
    BufferLimits {
        max_spans: NonZeroU64::new(max_spans).unwrap(),
        max_bytes: NonZeroU64::new(max_bytes).unwrap(),
        max_age: None,
    }
}

/// Returns a payload that is unique to `id`: the id, then words derived from it and their position.
pub(crate) fn payload(id: u64, length: usize) -> Bytes {
    let words = (0..).map(|place: u64| id ^ place.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut payload = Vec::with_capacity(length + 8);
    for word in words.take(length.div_ceil(8)) {
        payload.extend_from_slice(&word.to_le_bytes());
    }
    payload.truncate(length);
    payload.into()
}

/// Returns the payload of each record of a batch, and checks that there is nothing else.
pub(crate) fn records(batch: &Batch) -> Vec<Bytes> {
    let mut payload = Bytes::from(batch.payload.concat());
    let lengths = batch.records.iter().map(|entry| entry.bytes as usize);
    let records = lengths.map(|length| payload.split_to(length)).collect();
    assert!(payload.is_empty(), "bytes that belong to no record");
    records
}
