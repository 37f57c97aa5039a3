//! The buffer under many operating system threads: no span is lost or delivered twice.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::buffer::{limits, payload, records};
use bytes::Bytes;
use tracebuffer::adapters::clock::TokioClock;
use tracebuffer::adapters::storage::memory::MemoryStore;
use tracebuffer::application::buffer_management::TraceBuffer;
use tracebuffer::domain::fifo::{BatchOutcome, CapacityError};
use tracebuffer::domain::ledger::{DropReason, Ledger};
use tracebuffer::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};
use tracebuffer::ports::buffer::{AppendError, Batch, TraceBufferPort};

const PRODUCERS: u64 = 4;
const RECORDS_EACH: u64 = 5_000;
/// A longer wait means that a wake-up was lost.
const TOO_LONG: Duration = Duration::from_mins(1);
const DELIVERED: BatchOutcome = BatchOutcome::Delivered { rejected_spans: 0 };
const BATCH: BatchLimits = BatchLimits {
    max_spans: 500,
    max_bytes: 100_000,
    max_records: usize::MAX,
    linger: Duration::from_millis(1),
};

type Buffer = TraceBuffer<MemoryStore, TokioClock>;

/// One record that was delivered.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Delivered {
    sequence: u64,
    id: u64,
    spans: u64,
}

/// The result of a run.
struct Outcome {
    /// Spans whose append succeeded.
    appended: u64,
    /// The records of each consumer, in the order in which it settled them.
    delivered: Vec<Vec<Delivered>>,
    ledger: Ledger,
}

/// How a consumer treats its batches.
#[derive(Clone, Copy)]
enum Consumer {
    /// Settles every batch.
    Delivers,
    /// Requeues every third batch, and settles half of a single record separately.
    Requeues,
}

/// Runs all producers and `consumers` on threads of their own, and calls `interfere` again and again
/// until all records are appended. Ends when the buffer is empty.
fn run(
    limits: BufferLimits,
    policy: OverflowPolicy,
    consumers: &[Consumer],
    interfere: impl Fn(&Buffer, u64) + Sync,
) -> Outcome {
    let store = MemoryStore::new();
    let takers = NonZeroUsize::new(consumers.len()).unwrap();
    let buffer = &TraceBuffer::new(limits, policy, store, TokioClock::new()).with_takers(takers);
    let (appended, delivered) = thread::scope(|scope| {
        let producers: Vec<_> =
            (0..PRODUCERS).map(|producer| scope.spawn(move || produce(buffer, producer))).collect();
        let consumers: Vec<_> = consumers
            .iter()
            .map(|consumer| scope.spawn(move || consume(buffer, *consumer)))
            .collect();
        let mut turn = 0;
        while !producers.iter().all(thread::ScopedJoinHandle::is_finished) {
            interfere(buffer, turn);
            turn += 1;
            thread::yield_now();
        }
        let appended = producers.into_iter().map(|producer| producer.join().unwrap()).sum();
        buffer.close();
        (appended, consumers.into_iter().map(|consumer| consumer.join().unwrap()).collect())
    });
    Outcome { appended, delivered, ledger: buffer.status().ledger }
}

/// The record with this id. Some records are larger than a block of the store.
fn record(id: u64) -> (Bytes, NonZeroU32) {
    let length = if id.is_multiple_of(97) { 20_000 } else { 8 + id % 300 };
    let spans = 1 + u32::try_from(id % 7).unwrap();
    (payload(id, usize::try_from(length).unwrap()), NonZeroU32::new(spans).unwrap())
}

/// Appends all records of one producer, retrying while there is no room, and returns its spans.
fn produce(buffer: &Buffer, producer: u64) -> u64 {
    let append = |id| {
        let (payload, spans) = record(id);
        let started = Instant::now();
        loop {
            match buffer.append_now(&payload, spans) {
                Ok(_) => return u64::from(spans.get()),
                Err(AppendError::Capacity(CapacityError::Full)) => {
                    assert!(started.elapsed() < TOO_LONG, "the buffer stays full");
                    thread::yield_now();
                }
                Err(error) => unreachable!("{error:?}"),
            }
        }
    };
    (0..RECORDS_EACH).map(|n| append(producer << 32 | n)).sum()
}

/// Takes batches until the buffer is closed and empty.
fn consume(buffer: &Buffer, consumer: Consumer) -> Vec<Delivered> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let take = || tokio::time::timeout(TOO_LONG, buffer.take(BATCH));
        let mut delivered = Vec::new();
        let mut turn = 0;
        while let Some(mut batch) = take().await.expect("a wake-up was lost").unwrap() {
            turn += 1;
            match consumer {
                Consumer::Requeues if turn % 3 == 0 => {
                    buffer.requeue(batch);
                    continue;
                }
                Consumer::Requeues if batch.records.len() == 1 => {
                    let spans = batch.records[0].unsettled_spans() / 2;
                    delivered.push(Delivered { spans, ..read(&batch).remove(0) });
                    buffer.acknowledge_part(
                        &mut batch,
                        u32::try_from(spans).unwrap(),
                        BatchOutcome::Delivered { rejected_spans: 0 },
                    );
                }
                _ => {}
            }
            delivered.extend(read(&batch));
            buffer.acknowledge(batch, DELIVERED);
        }
        delivered
    })
}

/// Reads a batch's records; panics if a payload differs from the one that its producer appended.
fn read(batch: &Batch) -> Vec<Delivered> {
    let mut read = Vec::new();
    for (entry, bytes) in batch.records.iter().zip(records(batch)) {
        let id = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        let (expected, spans) = record(id);
        assert_eq!((bytes, entry.spans), (expected, spans.get()));
        read.push(Delivered { sequence: entry.sequence, id, spans: entry.unsettled_spans() });
    }
    read
}

impl Outcome {
    /// Returns the number of delivered spans of each record.
    ///
    /// Checks that each producer's records were buffered in the order it appended them, that
    /// no span was delivered twice, and that the ledger agrees.
    fn check(&self) -> BTreeMap<u64, u64> {
        let mut all: Vec<_> = self.delivered.iter().flatten().collect();
        all.sort();
        let mut spans = BTreeMap::new();
        let mut last = BTreeMap::new();
        for delivered in &all {
            let before = last.insert(delivered.id >> 32, delivered.id);
            assert!(before.is_none_or(|before| before <= delivered.id), "{before:?} {delivered:?}");
            *spans.entry(delivered.id).or_default() += delivered.spans;
        }
        for (id, spans) in &spans {
            assert!(*spans <= u64::from(record(*id).1.get()), "{id} was delivered twice");
        }
        let Ledger { accepted, sent, .. } = self.ledger;
        assert!(self.ledger.is_balanced(), "{:?}", self.ledger);
        assert_eq!((accepted, sent), (self.appended, spans.values().sum()));
        assert_eq!(accepted, sent + self.ledger.dropped(DropReason::Overflow));
        spans
    }

    fn assert_complete(&self) {
        let spans = self.check();
        assert_eq!(spans.len() as u64, PRODUCERS * RECORDS_EACH);
        assert_eq!(self.ledger.sent, self.appended);
    }
}

#[test]
fn with_room_for_all_one_taker_gets_every_record_once_and_in_order() {
    let roomy = limits(1_000_000, 1 << 30);

    let outcome = run(roomy, OverflowPolicy::DropOldest, &[Consumer::Delivers], |_, _| {});

    assert!(outcome.delivered[0].is_sorted());
    outcome.assert_complete();
}

#[test]
fn with_room_for_all_several_takers_that_requeue_get_every_record_once() {
    let roomy = limits(1_000_000, 1 << 30);

    let outcome = run(roomy, OverflowPolicy::DropOldest, &[Consumer::Requeues; 3], |_, _| {});

    outcome.assert_complete();
}

#[test]
fn with_little_room_every_span_is_either_taken_or_evicted() {
    let tight = limits(200, 60_000);

    let outcome = run(tight, OverflowPolicy::DropOldest, &[Consumer::Requeues; 3], |_, _| {});

    outcome.check();
    assert!(outcome.ledger.dropped(DropReason::Overflow) > 0);
}

#[test]
fn with_little_room_and_rejection_every_accepted_record_is_taken_once() {
    let tight = limits(200, 60_000);

    let outcome = run(tight, OverflowPolicy::Reject, &[Consumer::Requeues; 3], |_, _| {});

    outcome.assert_complete();
}

#[test]
fn while_the_limits_change_every_span_is_either_taken_or_evicted() {
    let sizes = [limits(5_000, 1 << 20), limits(20, 25_000), limits(300, 1 << 20)];
    let resize = |buffer: &Buffer, turn: u64| {
        buffer.set_limits(sizes[usize::try_from(turn % 3).unwrap()]);
        buffer.expire();
        let status = buffer.status();
        let held = status.ledger.buffered + status.ledger.in_flight;
        assert!(status.ledger.is_balanced(), "{status:?}");
        assert!(held <= status.limits.max_spans.get() || status.ledger.buffered == 0, "{status:?}");
    };

    let consumers = [Consumer::Requeues, Consumer::Delivers];
    let outcome = run(sizes[0], OverflowPolicy::DropOldest, &consumers, resize);

    outcome.check();
    assert!(outcome.ledger.dropped(DropReason::Overflow) > 0);
}
