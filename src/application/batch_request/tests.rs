use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::application::fakes::{FakeBuffer, buffer, limits};
use crate::domain::fifo::{BatchOutcome, Fifo};
use crate::domain::limits::OverflowPolicy;
use crate::ports::buffer::TraceBufferPort;

/// Cuts payloads in which a span is a word and a space.
fn keep_words(request: &Bytes, keep: Range<u64>) -> Vec<Bytes> {
    let words = request.split_inclusive(|byte| *byte == b' ');
    let kept = words.zip(0..).filter(|(_, n)| keep.contains(n));
    kept.map(|(word, _)| request.slice_ref(word)).collect()
}

const WHOLE: BatchLimits = BatchLimits {
    max_spans: u64::MAX,
    max_bytes: u64::MAX,
    max_records: usize::MAX,
    linger: Duration::ZERO,
};

fn holding(records: &[&str], max_spans: u64) -> Arc<FakeBuffer> {
    let buffer = buffer(limits(max_spans, 100_000), OverflowPolicy::DropOldest);
    for record in records {
        let spans = u32::try_from(record.matches(' ').count()).unwrap();
        let payload = Bytes::copy_from_slice(record.as_bytes());
        buffer.append_now(&payload, NonZeroU32::new(spans).unwrap()).unwrap();
    }
    buffer
}

/// Splits one record into parts of at most `max_bytes` and returns them.
async fn parts(record: &str, max_bytes: u64) -> Vec<String> {
    let buffer = holding(&[record], 1_000);
    let mut batch = buffer.take(WHOLE).await.unwrap().unwrap();
    let mut parts = vec![];
    loop {
        let part = next_request(keep_words, &mut batch, &BatchLimits { max_bytes, ..WHOLE });
        assert_eq!(part.attempt.bytes, part.request.bytes() as u64);
        assert_eq!(part.attempt.spans, part.request.spans);
        parts.push(String::from_utf8(part.request.chunks.concat()).unwrap());
        let Some(spans) = part.part_spans else { return parts };
        buffer.acknowledge_part(&mut batch, spans, BatchOutcome::Delivered { rejected_spans: 0 });
    }
}

#[tokio::test]
async fn a_record_within_the_limits_is_sent_whole() {
    assert_eq!(parts("a b c ", 6).await, ["a b c "]);
}

#[tokio::test]
async fn spans_of_different_sizes_are_cut_into_parts_that_fit() {
    let sent = parts("aaaaaaaaaa bbbbbbbbbb c d e f g h ", 14).await;

    assert_eq!(sent, ["aaaaaaaaaa ", "bbbbbbbbbb ", "c d e ", "f g h "]);
}

#[tokio::test]
async fn a_span_larger_than_a_part_is_sent_alone() {
    assert_eq!(parts("a bbbbbbbbbb c ", 5).await, ["a ", "bbbbbbbbbb ", "c "]);
}

#[tokio::test]
async fn a_part_that_does_not_fit_is_halved_and_not_cut_to_one_span() {
    let small = "s ".repeat(50);
    let large = format!("{} ", "l".repeat(99)).repeat(2);

    let sent = parts(&format!("{small}{large}"), 120).await;

    // An average span has 6 bytes, so 20 are tried, and then half of the last 12.
    let lengths: Vec<_> = sent.iter().map(String::len).collect();
    assert_eq!(lengths, [40, 40, 12, 6, 2, 100, 100]);
}

#[tokio::test]
async fn spans_evicted_from_the_first_of_several_records_are_neither_sent_nor_counted() {
    let buffer = holding(&["aaaa b c ", "d ", "e f g h i j "], 8);
    let mut batch = buffer.take(WHOLE).await.unwrap().unwrap();

    let part = next_request(keep_words, &mut batch, &WHOLE);

    assert_eq!(part.request.chunks.concat(), b"c d ");
    assert_eq!(part.attempt, Attempt { records: 2, spans: 2, bytes: 4, failures: 0 });
    assert_eq!(part.part_spans, None);
}

/// A batch of these records, of which `settled` spans of the first are settled, in pieces of three
/// bytes.
fn in_pieces(records: &[&str], settled: u32) -> Batch {
    let entry = |record: &&str| {
        let mut fifo = Fifo::new(limits(1_000, 100_000), OverflowPolicy::DropOldest);
        let spans = u32::try_from(record.matches(' ').count()).unwrap();
        fifo.push(spans, record.len() as u64, Duration::ZERO);
        let mut taken = vec![];
        fifo.take(1, &mut taken);
        taken.remove(0)
    };
    let mut entries: Vec<_> = records.iter().map(entry).collect();
    entries[0].settled_prefix = settled;
    let bytes = Bytes::from(records.concat());
    let starts = (0..bytes.len()).step_by(3);
    let pieces =
        starts.map(|start| Bytes::copy_from_slice(&bytes[start..bytes.len().min(start + 3)]));
    Batch { records: entries, payload: pieces.collect() }
}

fn copied_bytes(request: &OutgoingRequest, batch: &Batch) -> usize {
    let is_shared = |chunk: &&Bytes| {
        batch.payload.iter().any(|piece| piece.as_ptr_range().contains(&chunk.as_ptr()))
    };
    request.chunks.iter().filter(|chunk| !is_shared(chunk)).map(Bytes::len).sum()
}

#[test]
fn the_parts_of_a_record_share_its_memory_which_is_joined_once() {
    let mut batch = in_pieces(&["aaaa bbbb cccc dddd "], 0);
    let limits = BatchLimits { max_bytes: 5, ..WHOLE };
    let mut joined = None;

    for expected in ["aaaa ", "bbbb ", "cccc ", "dddd "] {
        let part = next_request(keep_words, &mut batch, &limits);

        assert_eq!(part.request.chunks.concat(), expected.as_bytes());
        assert_eq!(copied_bytes(&part.request, &batch), 0);
        let memory = batch.payload.iter().map(|piece| piece.as_ptr()).collect::<Vec<_>>();
        assert_eq!(memory.len(), 1);
        assert_eq!(*joined.get_or_insert_with(|| memory.clone()), memory);
        batch.records[0].settled_prefix += 1;
    }
}

#[test]
fn a_batch_whose_first_record_is_half_settled_is_sent_from_its_own_memory() {
    let mut batch = in_pieces(&["aaaa bbbb ", "cccc dddd "], 1);

    let whole = next_request(keep_words, &mut batch, &WHOLE);

    assert_eq!(whole.request.chunks.concat(), b"bbbb cccc dddd ");
    assert_eq!(copied_bytes(&whole.request, &batch), 0);
    assert_eq!(batch.payload.concat(), b"aaaa bbbb cccc dddd ");
}

#[test]
fn a_record_stored_in_one_piece_is_never_copied() {
    let mut batch = in_pieces(&["a b c ", "d "], 1);
    batch.payload = vec![batch.payload.concat().into()];
    let memory = batch.payload[0].as_ptr();

    let whole = next_request(keep_words, &mut batch, &WHOLE);

    assert_eq!(copied_bytes(&whole.request, &batch), 0);
    assert_eq!((batch.payload.len(), batch.payload[0].as_ptr()), (1, memory));
}
