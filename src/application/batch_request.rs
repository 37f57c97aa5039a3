//! Building requests from a batch.

use std::iter;
use std::mem;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::domain::delivery_policy::Attempt;
use crate::domain::limits::BatchLimits;
use crate::ports::buffer::Batch;
use crate::ports::destination::OutgoingRequest;

/// Returns an encoded request with only the spans whose position, counted from 0 in encoding order,
/// is in the range, in pieces to be sent one after another. The spans must not be copied.
///
/// Resources and scopes that are left without a span are removed too; all other bytes, unknown
/// fields included, are unchanged.
pub(super) type KeepSpans = fn(&Bytes, Range<u64>) -> Vec<Bytes>;

/// One request built from a batch.
pub(super) struct BatchRequest {
    pub(super) request: OutgoingRequest,
    pub(super) attempt: Attempt,
    /// Spans to acknowledge if the request is only a part of the batch's single record.
    pub(super) part_spans: Option<u32>,
}

/// Builds the next request from `batch`: all its unsettled spans, or a part within `limits` if the
/// batch is a single record of several spans that exceeds them.
///
/// The request shares the memory of the batch. A record can be cut only if it is one piece;
/// otherwise it is first copied into one, which replaces its pieces in the batch.
pub(super) fn next_request(
    keep_spans: KeepSpans,
    batch: &mut Batch,
    limits: &BatchLimits,
) -> BatchRequest {
    let spans = batch.spans();
    let oversize = spans > limits.max_spans || batch.bytes() > limits.max_bytes;
    if let [record] = *batch.records
        && oversize
        && spans > 1
    {
        let record_bytes = join_first(&mut batch.payload, record.bytes as usize);
        let live = record.settled_prefix..record.spans;
        let mut part = split_record(keep_spans, &record_bytes, live, limits);
        part.attempt.failures = record.inconclusive_failures;
        return part;
    }
    let request = OutgoingRequest { chunks: unsettled_payload(keep_spans, batch), spans };
    let attempt = Attempt {
        records: batch.records.len(),
        spans,
        bytes: request.bytes() as u64,
        failures: failures(batch),
    };
    BatchRequest { request, attempt, part_spans: None }
}

/// Returns the most inconclusive failures in a row of a record in `batch`.
fn failures(batch: &Batch) -> u16 {
    batch.records.iter().map(|record| record.inconclusive_failures).max().unwrap_or(0)
}

/// Cuts out as many of the record's `live` spans as fit into `limits`, at least one.
fn split_record(
    keep_spans: KeepSpans,
    record: &Bytes,
    live: Range<u32>,
    limits: &BatchLimits,
) -> BatchRequest {
    let per_byte = u64::from(live.end).saturating_mul(limits.max_bytes);
    let guess = (per_byte / (record.len() as u64).max(1)).min(limits.max_spans);
    let guess = u32::try_from(guess).unwrap_or(u32::MAX);
    let mut count = guess.clamp(1, live.end - live.start);
    loop {
        let end = live.start + count;
        let spans = u64::from(count);
        let chunks = keep_spans(record, u64::from(live.start)..u64::from(end));
        let request = OutgoingRequest { chunks, spans };
        let bytes = request.bytes() as u64;
        if bytes > limits.max_bytes && count > 1 {
            count /= 2;
            continue;
        }
        return BatchRequest {
            attempt: Attempt { records: 1, spans, bytes, failures: 0 },
            request,
            part_spans: (end < live.end).then_some(count),
        };
    }
}

/// Returns the batch's payload without the first record's settled spans.
fn unsettled_payload(keep_spans: KeepSpans, batch: &mut Batch) -> Vec<Bytes> {
    let Some(first) = batch.records.first().filter(|first| first.settled_prefix > 0) else {
        return batch.payload.clone();
    };
    let live = u64::from(first.settled_prefix)..u64::from(first.spans);
    let record = join_first(&mut batch.payload, first.bytes as usize);
    let mut chunks = keep_spans(&record, live);
    let mut skipped = record.len();
    for piece in &batch.payload {
        let ahead = skipped.min(piece.len());
        skipped -= ahead;
        if ahead < piece.len() {
            chunks.push(piece.slice(ahead..));
        }
    }
    chunks
}

/// Returns the first `length` bytes of `payload` as one piece, after joining them in `payload`.
fn join_first(payload: &mut Vec<Bytes>, length: usize) -> Bytes {
    if let Some(first) = payload.first().filter(|first| first.len() >= length) {
        return first.slice(..length);
    }
    let mut joined = BytesMut::with_capacity(length);
    let mut rest = Vec::with_capacity(payload.len());
    // Consumes the pieces, so that each is freed once it is copied.
    for mut piece in mem::take(payload) {
        let fitting = piece.len().min(length - joined.len());
        joined.extend_from_slice(&piece.split_to(fitting));
        if !piece.is_empty() {
            rest.push(piece);
        }
    }
    let joined = joined.freeze();
    payload.extend(iter::once(joined.clone()).chain(rest));
    joined
}

#[cfg(test)]
mod tests;
