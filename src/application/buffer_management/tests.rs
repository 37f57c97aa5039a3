use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;

use tokio::time::Instant;

use super::*;
use crate::domain::fifo::CapacityError;
use crate::domain::ledger::Ledger;

mod waiting;

const PLENTY: u64 = 1 << 40;

const AT_ONCE: BatchLimits = BatchLimits {
    max_spans: 100,
    max_bytes: 10_000,
    max_records: usize::MAX,
    linger: Duration::ZERO,
};

/// A clock that follows the paused time of a test.
struct TestClock(Instant);

impl MonotonicClock for TestClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A store that keeps every payload as a separate piece.
#[derive(Default)]
struct TestStore {
    payloads: VecDeque<Bytes>,
    fails_append: bool,
    fails_take: bool,
}

impl TestStore {
    fn front(&mut self, mut bytes: u64) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while bytes > 0 {
            let piece = self.payloads.pop_front().expect("as many bytes as the index has");
            bytes = bytes.checked_sub(piece.len() as u64).expect("whole records");
            pieces.push(piece);
        }
        pieces
    }
}

impl RecordStore for TestStore {
    const BLOCK_BYTES: usize = 1;

    fn blocks_wanted(&self, _: usize) -> usize {
        0
    }

    fn append(&mut self, payload: &[u8], _: &mut Vec<BytesMut>) -> Result<(), StoreError> {
        if self.fails_append {
            return Err(StoreError { message: "the disk is full".to_owned() });
        }
        self.payloads.push_back(Bytes::copy_from_slice(payload));
        Ok(())
    }

    fn discard_front(&mut self, bytes: u64, freed: &mut Vec<Bytes>) {
        freed.extend(self.front(bytes));
    }

    fn take_front(&mut self, bytes: u64, into: &mut Vec<Bytes>) -> Result<(), StoreError> {
        let pieces = self.front(bytes);
        if self.fails_take {
            return Err(StoreError { message: "the disk is gone".to_owned() });
        }
        into.extend(pieces);
        Ok(())
    }

    fn put_back(&mut self, before: u64, pieces: &[Bytes]) {
        let ahead = self.front(before);
        for piece in ahead.iter().chain(pieces).rev() {
            self.payloads.push_front(piece.clone());
        }
    }
}

type TestBuffer = TraceBuffer<TestStore, TestClock>;

fn limits(max_spans: u64, max_bytes: u64) -> BufferLimits {
    BufferLimits {
        max_spans: NonZeroU64::new(max_spans).unwrap(),
        max_bytes: NonZeroU64::new(max_bytes).unwrap(),
        max_age: None,
    }
}

fn buffer_over(limits: BufferLimits, store: TestStore) -> Arc<TestBuffer> {
    let clock = TestClock(Instant::now());
    Arc::new(TraceBuffer::new(limits, OverflowPolicy::DropOldest, store, clock))
}

fn buffer_of(max_spans: u64, max_bytes: u64) -> Arc<TestBuffer> {
    buffer_over(limits(max_spans, max_bytes), TestStore::default())
}

fn spacious() -> Arc<TestBuffer> {
    buffer_of(1_000_000, PLENTY)
}

fn append(buffer: &TestBuffer, payload: &'static str, spans: u32) -> Appended {
    let spans = NonZeroU32::new(spans).unwrap();
    buffer.append_now(&Bytes::from_static(payload.as_bytes()), spans).unwrap()
}

/// Takes a batch; if there is none, times out immediately, because time is paused.
async fn take(buffer: &TestBuffer) -> Batch {
    let taken = tokio::time::timeout(Duration::from_millis(1), buffer.take(AT_ONCE)).await;
    taken.expect("something to take").unwrap().expect("an open buffer")
}

fn text(batch: &Batch) -> String {
    String::from_utf8(batch.payload.concat()).unwrap()
}

fn assert_sound(buffer: &TestBuffer) {
    let ledger = buffer.status().ledger;
    assert!(ledger.is_balanced(), "{ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn records_are_taken_oldest_first_with_their_payloads() {
    let buffer = spacious();
    buffer.append(Bytes::from_static(b"one "), NonZeroU32::MIN).await.unwrap();
    append(&buffer, "two", 2);

    let batch = take(&buffer).await;

    assert_eq!((text(&batch).as_str(), batch.spans(), batch.bytes()), ("one two", 3, 7));
    assert_eq!(buffer.status().ledger.in_flight, 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_at_most_a_quarter_of_each_limit_of_the_buffer() {
    for buffer in [buffer_of(8, PLENTY), buffer_of(PLENTY, 8 * 67)] {
        for payload in ["one", "two", "six"] {
            append(&buffer, payload, 1);
        }

        assert_eq!(text(&take(&buffer).await), "onetwo");
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_reports_the_fill_of_the_nearer_limit() {
    let by_spans = append(&buffer_of(200, PLENTY), "four", 3);
    let by_bytes = append(&buffer_of(200, 100), "four", 3);

    assert_eq!(by_spans, Appended { evicted_spans: 0, fill_percent: 1 });
    assert_eq!(by_bytes, Appended { evicted_spans: 0, fill_percent: 68 });
}

#[tokio::test(start_paused = true)]
async fn the_fill_includes_batches_in_flight() {
    let buffer = buffer_of(10, PLENTY);
    append(&buffer, "one", 5);
    take(&buffer).await;

    assert_eq!(append(&buffer, "two", 5).fill_percent, 100);
}

#[tokio::test(start_paused = true)]
async fn an_append_reports_all_evicted_spans_including_its_own() {
    let buffer = buffer_of(10, PLENTY);
    append(&buffer, "one", 4);

    let appended = append(&buffer, "two", 12);

    assert_eq!(appended, Appended { evicted_spans: 6, fill_percent: 100 });
    assert_eq!(text(&take(&buffer).await), "two");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_record_leaves_the_buffer_unchanged() {
    let buffer = buffer_of(10, 100);
    append(&buffer, "one", 4);
    let before = buffer.status();

    let refused = buffer.append_now(&Bytes::from_static(&[0; 37]), NonZeroU32::MIN);

    let refusal = CapacityError::TooManyBytes { charge: 101, max_bytes: 100 };
    assert_eq!(refused, Err(AppendError::Capacity(refusal)));
    assert_eq!(buffer.status(), before);
}

#[tokio::test(start_paused = true)]
async fn evicted_payloads_are_removed_from_the_store_with_their_records() {
    let buffer = buffer_of(1_000, 2 * 67);
    for payload in ["one", "two", "six"] {
        append(&buffer, payload, 1);
    }

    buffer.close();
    let mut taken = Vec::new();
    while let Some(batch) = buffer.take(AT_ONCE).await.unwrap() {
        taken.push(text(&batch));
        buffer.acknowledge(batch, BatchOutcome::Delivered { rejected_spans: 0 });
    }

    assert_eq!(taken, ["two", "six"]);
    assert_sound(&buffer);
}

#[tokio::test(start_paused = true)]
async fn lower_limits_evict_payloads_and_records_together() {
    let buffer = spacious();
    for payload in ["one", "two", "six"] {
        append(&buffer, payload, 2);
    }

    buffer.set_limits(limits(3, PLENTY));

    assert_eq!(buffer.status().ledger.dropped(DropReason::Overflow), 3);
    assert_eq!(text(&take(&buffer).await), "two");
    assert_eq!(buffer.status().limits, limits(3, PLENTY));
}

#[tokio::test(start_paused = true)]
async fn a_requeued_batch_is_taken_again_in_its_place() {
    let buffer = spacious();
    append(&buffer, "one ", 1);
    let first = take(&buffer).await;
    append(&buffer, "two ", 1);
    let second = take(&buffer).await;
    append(&buffer, "three", 1);

    buffer.requeue(first);
    buffer.requeue(second);

    assert_eq!(text(&take(&buffer).await), "one two three");
    assert_sound(&buffer);
}

#[tokio::test(start_paused = true)]
async fn a_batch_requeued_into_a_full_buffer_loses_what_exceeds_the_limits() {
    let buffer = spacious();
    append(&buffer, "one", 2);
    append(&buffer, "two", 2);
    let batch = take(&buffer).await;
    buffer.set_limits(limits(2, PLENTY));

    buffer.requeue(batch);

    assert_eq!(buffer.status().ledger.dropped(DropReason::Overflow), 2);
    assert_eq!(text(&take(&buffer).await), "two");
}

#[tokio::test(start_paused = true)]
async fn a_settled_batch_is_counted_and_no_longer_charged() {
    let buffer = spacious();
    append(&buffer, "one", 4);
    let batch = take(&buffer).await;
    assert_eq!(buffer.status().charged_bytes, 67);

    buffer.acknowledge(batch, BatchOutcome::Delivered { rejected_spans: 1 });

    let BufferStatus { ledger, charged_bytes, oldest_age, .. } = buffer.status();
    assert_eq!((ledger.sent, ledger.rejected, charged_bytes, oldest_age), (3, 1, 0, None));
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_record_is_settled_alone() {
    let buffer = spacious();
    append(&buffer, "one", 4);
    let mut batch = take(&buffer).await;

    buffer.acknowledge_part(&mut batch, 3, BatchOutcome::Delivered { rejected_spans: 1 });

    let ledger = buffer.status().ledger;
    assert_eq!((ledger.sent, ledger.rejected, ledger.in_flight, batch.spans()), (2, 1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_record_settled_completely_in_parts_is_not_requeued() {
    let buffer = spacious();
    append(&buffer, "one", 4);
    let mut batch = take(&buffer).await;
    buffer.acknowledge_part(&mut batch, 4, BatchOutcome::Delivered { rejected_spans: 0 });

    buffer.requeue(batch);

    let BufferStatus { ledger, charged_bytes, .. } = buffer.status();
    assert_eq!((ledger.sent, ledger.buffered, charged_bytes), (4, 0, 0));
    append(&buffer, "two", 1);
    assert_eq!(text(&take(&buffer).await), "two");
}

#[tokio::test(start_paused = true)]
async fn settling_a_part_of_an_empty_batch_has_no_effect() {
    let buffer = spacious();

    buffer.acknowledge_part(
        &mut Batch::default(),
        3,
        BatchOutcome::Delivered { rejected_spans: 1 },
    );

    assert_eq!(buffer.status().ledger, Ledger::default());
}

#[tokio::test(start_paused = true)]
async fn drop_all_reports_the_lost_spans_and_keeps_later_records() {
    let buffer = spacious();
    append(&buffer, "one", 4);
    append(&buffer, "two", 1);

    let lost = buffer.drop_all(DropReason::Shutdown);
    append(&buffer, "six", 1);

    assert_eq!((lost, buffer.status().ledger.dropped(DropReason::Shutdown)), (5, 5));
    assert_eq!(text(&take(&buffer).await), "six");
}

#[tokio::test(start_paused = true)]
async fn spans_past_the_maximum_age_are_never_taken() {
    let aged = BufferLimits { max_age: Some(Duration::from_secs(10)), ..limits(100, PLENTY) };
    let buffer = buffer_over(aged, TestStore::default());
    append(&buffer, "old", 2);
    tokio::time::advance(Duration::from_secs(11)).await;
    append(&buffer, "new", 1);

    assert_eq!(text(&take(&buffer).await), "new");
    assert_eq!(buffer.status().ledger.dropped(DropReason::Expired), 2);
}

#[tokio::test(start_paused = true)]
async fn expire_drops_records_that_are_too_old_without_a_taker() {
    let aged = BufferLimits { max_age: Some(Duration::from_secs(10)), ..limits(100, PLENTY) };
    let buffer = buffer_over(aged, TestStore::default());
    append(&buffer, "old", 2);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(buffer.status().oldest_age, Some(Duration::from_secs(11)));

    buffer.expire();

    let BufferStatus { ledger, charged_bytes, oldest_age, .. } = buffer.status();
    assert_eq!((ledger.buffered, charged_bytes, oldest_age), (0, 0, None));
    assert_sound(&buffer);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_store_cannot_append_is_not_accepted() {
    let store = TestStore { fails_append: true, ..TestStore::default() };
    let buffer = buffer_over(limits(10, PLENTY), store);

    let failed = buffer.append_now(&Bytes::from_static(b"one"), NonZeroU32::MIN);

    let message = "the disk is full".to_owned();
    assert_eq!(failed, Err(AppendError::Store(StoreError { message })));
    assert_eq!(buffer.status().ledger, Ledger::default());
}

#[tokio::test(start_paused = true)]
async fn records_that_the_store_cannot_read_are_counted_as_lost() {
    let store = TestStore { fails_take: true, ..TestStore::default() };
    let buffer = buffer_over(limits(10, PLENTY), store);
    append(&buffer, "one", 2);

    let error = buffer.take(AT_ONCE).await.unwrap_err();

    let BufferStatus { ledger, charged_bytes, .. } = buffer.status();
    assert_eq!(error.to_string(), "the disk is gone");
    assert_eq!((ledger.dropped(DropReason::Permanent), ledger.in_flight, charged_bytes), (2, 0, 0));
}

/// A payload that records whether the buffer is locked when its memory is freed.
struct Probe {
    buffer: Arc<TestBuffer>,
    freed: Arc<Mutex<Vec<bool>>>,
}

impl AsRef<[u8]> for Probe {
    fn as_ref(&self) -> &[u8] {
        b"probe"
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.freed.lock().push(self.buffer.state.is_locked());
    }
}

#[tokio::test(start_paused = true)]
async fn no_payload_is_freed_under_the_lock() {
    let aged = BufferLimits { max_age: Some(Duration::from_secs(10)), ..limits(8, PLENTY) };
    let lowest = BufferLimits { max_spans: NonZeroU64::MIN, ..aged };
    let delivered = BatchOutcome::Delivered { rejected_spans: 0 };
    let buffer = buffer_over(aged, TestStore::default());
    let freed = Arc::default();
    let append_probe = || {
        let probe = Probe { buffer: Arc::clone(&buffer), freed: Arc::clone(&freed) };
        buffer.append_now(&Bytes::from_owner(probe), NonZeroU32::MIN).unwrap();
    };

    append_probe();
    append(&buffer, "evicts", 8);
    append_probe();
    buffer.drop_all(DropReason::Shutdown);
    append_probe();
    buffer.acknowledge(take(&buffer).await, delivered);
    append_probe();
    append(&buffer, "stays", 1);
    buffer.set_limits(lowest);
    buffer.set_limits(aged);
    buffer.acknowledge(take(&buffer).await, delivered);
    append_probe();
    tokio::time::advance(Duration::from_secs(11)).await;
    buffer.expire();
    append_probe();
    tokio::time::advance(Duration::from_secs(11)).await;
    append(&buffer, "taken", 1);
    let batch = take(&buffer).await;
    append_probe();
    buffer.set_limits(lowest);
    buffer.requeue(batch);

    assert_eq!(*freed.lock(), [false; 7]);
    assert_sound(&buffer);
}
