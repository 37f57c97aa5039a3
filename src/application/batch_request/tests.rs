use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::application::fakes::{FakeBuffer, buffer, limits};
use crate::domain::fifo::BatchOutcome;
use crate::domain::limits::OverflowPolicy;
use crate::ports::buffer::TraceBufferPort;

/// A cutter for payloads in which a span is a word and a space.
struct WordCutter;

impl RequestCutter for WordCutter {
    fn keep_spans(&self, request: &[u8], keep: Range<u64>) -> Bytes {
        let words = request.split_inclusive(|byte| *byte == b' ');
        let kept = words.zip(0..).filter(|(_, n)| keep.contains(n));
        kept.flat_map(|(word, _)| word).copied().collect()
    }
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
        let part = next_request(&WordCutter, &batch, &BatchLimits { max_bytes, ..WHOLE });
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
async fn a_part_that_does_not_fit_is_halved_not_cut_to_one_span() {
    let small = "s ".repeat(50);
    let large = format!("{} ", "l".repeat(99)).repeat(2);

    let sent = parts(&format!("{small}{large}"), 120).await;

    // An average span has 6 bytes, so 20 are tried; of the last 12, half.
    let lengths: Vec<_> = sent.iter().map(String::len).collect();
    assert_eq!(lengths, [40, 40, 12, 6, 2, 100, 100]);
}

#[tokio::test]
async fn spans_evicted_from_the_first_of_several_records_are_neither_sent_nor_counted() {
    let buffer = holding(&["aaaa b c ", "d ", "e f g h i j "], 8);
    let batch = buffer.take(WHOLE).await.unwrap().unwrap();

    let part = next_request(&WordCutter, &batch, &WHOLE);

    assert_eq!(part.request.chunks.concat(), b"c d ");
    assert_eq!(part.attempt, Attempt { records: 2, spans: 2, bytes: 4 });
    assert_eq!(part.part_spans, None);
}
