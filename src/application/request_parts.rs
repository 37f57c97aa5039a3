//! Making requests of a batch.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::domain::delivery_policy::Attempt;
use crate::domain::limits::BatchLimits;
use crate::ports::buffer::Batch;
use crate::ports::destination::OutgoingRequest;
use crate::ports::request_cutter::RequestCutter;

/// One request made of a batch.
pub(super) struct Part {
    pub(super) request: OutgoingRequest,
    pub(super) attempt: Attempt,
    /// Spans to settle when only a part of the batch's one record is sent.
    pub(super) of_record: Option<u32>,
}

/// Makes the next request of `batch`: all of it, without the spans already settled, or a part
/// within `limits` where it is one larger record of several spans.
pub(super) fn next_part<W: RequestCutter>(cutter: &W, batch: &Batch, limits: &BatchLimits) -> Part {
    let spans = batch.spans();
    let oversize = spans > limits.max_spans || batch.bytes() > limits.max_bytes;
    if let [record] = batch.entries.as_slice()
        && oversize
        && spans > 1
    {
        return part_of_record(cutter, batch, record.skip..record.spans, limits);
    }
    let request = OutgoingRequest { chunks: live_payload(cutter, batch), spans };
    let attempt = Attempt { records: batch.entries.len(), spans, bytes: request.bytes() as u64 };
    Part { request, attempt, of_record: None }
}

/// Cuts as many of the record's `live` spans as fit into `limits`, at least one.
fn part_of_record<W: RequestCutter>(
    cutter: &W,
    batch: &Batch,
    live: Range<u32>,
    limits: &BatchLimits,
) -> Part {
    let (whole, _) = split(&batch.payload, usize::MAX);
    let per_byte = u64::from(live.end).saturating_mul(limits.max_bytes);
    let guess = (per_byte / (whole.len() as u64).max(1)).min(limits.max_spans);
    let guess = u32::try_from(guess).unwrap_or(u32::MAX);
    let mut count = guess.clamp(1, live.end - live.start);
    loop {
        let end = live.start + count;
        let cut = cutter.keep_spans(&whole, u64::from(live.start)..u64::from(end));
        if cut.len() as u64 > limits.max_bytes && count > 1 {
            count /= 2;
            continue;
        }
        let spans = u64::from(count);
        return Part {
            attempt: Attempt { records: 1, spans, bytes: cut.len() as u64 },
            request: OutgoingRequest { chunks: vec![cut], spans },
            of_record: (end < live.end).then_some(count),
        };
    }
}

/// Returns the batch's payload without the first record's settled spans.
fn live_payload<W: RequestCutter>(cutter: &W, batch: &Batch) -> Vec<Bytes> {
    let Some(first) = batch.entries.first().filter(|first| first.skip > 0) else {
        return batch.payload.clone();
    };
    let (record, mut chunks) = split(&batch.payload, first.bytes as usize);
    let live = u64::from(first.skip)..u64::from(first.spans);
    chunks.insert(0, cutter.keep_spans(&record, live));
    chunks
}

/// Returns the first `length` bytes of `chunks` in one piece, and the rest.
fn split(chunks: &[Bytes], length: usize) -> (Bytes, Vec<Bytes>) {
    let (mut first, mut rest) = (BytesMut::new(), Vec::with_capacity(chunks.len() + 1));
    for chunk in chunks {
        let fitting = chunk.len().min(length - first.len());
        first.extend_from_slice(chunk.get(..fitting).unwrap_or_default());
        if fitting < chunk.len() {
            rest.push(chunk.slice(fitting..));
        }
    }
    (first.freeze(), rest)
}

#[cfg(test)]
mod tests;
