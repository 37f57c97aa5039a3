//! Building requests from a batch.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::domain::delivery_policy::Attempt;
use crate::domain::limits::BatchLimits;
use crate::ports::buffer::Batch;
use crate::ports::destination::OutgoingRequest;
use crate::ports::request_cutter::RequestCutter;

/// One request built from a batch.
pub(super) struct BatchRequest {
    pub(super) request: OutgoingRequest,
    pub(super) attempt: Attempt,
    /// Spans to acknowledge if the request is only a part of the batch's single record.
    pub(super) part_spans: Option<u32>,
}

/// Builds the next request from `batch`: all its unsettled spans, or a part within `limits` if the
/// batch is a single record of several spans that exceeds them.
pub(super) fn next_request<W: RequestCutter>(
    cutter: &W,
    batch: &Batch,
    limits: &BatchLimits,
) -> BatchRequest {
    let spans = batch.spans();
    let oversize = spans > limits.max_spans || batch.bytes() > limits.max_bytes;
    if let [record] = batch.records.as_slice()
        && oversize
        && spans > 1
    {
        return split_record(cutter, batch, record.settled_prefix..record.spans, limits);
    }
    let request = OutgoingRequest { chunks: unsettled_payload(cutter, batch), spans };
    let attempt = Attempt { records: batch.records.len(), spans, bytes: request.bytes() as u64 };
    BatchRequest { request, attempt, part_spans: None }
}

/// Cuts out as many of the record's `live` spans as fit into `limits`, at least one.
fn split_record<W: RequestCutter>(
    cutter: &W,
    batch: &Batch,
    live: Range<u32>,
    limits: &BatchLimits,
) -> BatchRequest {
    let (whole, _) = split_payload(&batch.payload, usize::MAX);
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
        return BatchRequest {
            attempt: Attempt { records: 1, spans, bytes: cut.len() as u64 },
            request: OutgoingRequest { chunks: vec![cut], spans },
            part_spans: (end < live.end).then_some(count),
        };
    }
}

/// Returns the batch's payload without the first record's settled spans.
fn unsettled_payload<W: RequestCutter>(cutter: &W, batch: &Batch) -> Vec<Bytes> {
    let Some(first) = batch.records.first().filter(|first| first.settled_prefix > 0) else {
        return batch.payload.clone();
    };
    let (record, mut chunks) = split_payload(&batch.payload, first.bytes as usize);
    let live = u64::from(first.settled_prefix)..u64::from(first.spans);
    chunks.insert(0, cutter.keep_spans(&record, live));
    chunks
}

/// Returns the first `length` bytes of `chunks` as one piece, and the rest.
fn split_payload(chunks: &[Bytes], length: usize) -> (Bytes, Vec<Bytes>) {
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
