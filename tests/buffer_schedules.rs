//! The buffer under thousands of schedules of a few threads: no span is lost or delivered twice,
//! and every taker is woken. At each lock and unlock of the buffer another thread may continue.
//!
//! A taker that is never woken fails a schedule as a deadlock.

#![cfg(feature = "shuttle")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

#[path = "integration/support/buffer.rs"]
mod support;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::thread::{JoinHandle, spawn};
use support::{limits, payload, records};
use tracebuffer::adapters::storage::memory::MemoryStore;
use tracebuffer::application::buffer_management::TraceBuffer;
use tracebuffer::domain::fifo::BatchOutcome;
use tracebuffer::domain::ledger::{DropReason, Ledger};
use tracebuffer::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};
use tracebuffer::ports::buffer::{Batch, TraceBufferPort};
use tracebuffer::ports::clock::MonotonicClock;

const SCHEDULES: usize = 3_000;
/// Points at which a schedule by priority departs from the order of priority.
const DEPTH: usize = 3;
/// The number of takers at the same time, at most.
const TAKERS: NonZeroUsize = NonZeroUsize::new(2).unwrap();
const DELIVERED: BatchOutcome = BatchOutcome::Delivered { rejected_spans: 0 };
const BATCH: BatchLimits =
    BatchLimits { max_spans: 100, max_bytes: 100_000, max_records: 2, linger: Duration::ZERO };

/// A clock that does not advance.
struct StillClock;

impl MonotonicClock for StillClock {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

type Buffer = TraceBuffer<MemoryStore, StillClock>;
/// The sequence, the id and the spans of records delivered.
type Delivered = Vec<(u64, u64, u64)>;

fn buffer(limits: BufferLimits) -> Arc<Buffer> {
    let store = MemoryStore::new();
    let buffer = TraceBuffer::new(limits, OverflowPolicy::DropOldest, store, StillClock);
    Arc::new(buffer.with_takers(TAKERS))
}

/// Every other record is larger than a block of the store.
fn length(id: u64) -> usize {
    if id.is_multiple_of(2) { 24 } else { 17_000 }
}

/// Appends three records of two spans each.
fn producer(buffer: &Arc<Buffer>, producer: u64) -> JoinHandle<()> {
    let buffer = Arc::clone(buffer);
    spawn(move || {
        for id in producer * 100..producer * 100 + 3 {
            let appended = buffer.append_now(&payload(id, length(id)), NonZeroU32::new(2).unwrap());
            assert!(appended.is_ok(), "{appended:?}");
        }
    })
}

/// Takes batches until the buffer is closed and empty; requeues the first one if `requeues`.
fn taker(buffer: &Arc<Buffer>, mut requeues: bool) -> JoinHandle<Delivered> {
    let buffer = Arc::clone(buffer);
    spawn(move || {
        let mut delivered = Vec::new();
        while let Some(mut batch) = block_on(buffer.take(BATCH)).unwrap() {
            let entries = read(&batch);
            if std::mem::take(&mut requeues) {
                buffer.requeue(batch);
                continue;
            }
            if let [(sequence, id, spans)] = entries[..] {
                buffer.acknowledge_part(&mut batch, 1, DELIVERED);
                delivered.push((sequence, id, 1));
                delivered.push((sequence, id, spans - 1));
            } else {
                delivered.extend(entries);
            }
            buffer.acknowledge(batch, DELIVERED);
        }
        delivered
    })
}

fn read(batch: &Batch) -> Delivered {
    let read = |(entry, bytes): (&tracebuffer::domain::fifo::BufferedRecord, bytes::Bytes)| {
        let id = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(bytes, payload(id, length(id)));
        (entry.sequence, id, entry.unsettled_spans())
    };
    batch.records.iter().zip(records(batch)).map(read).collect()
}

fn balanced(buffer: &Buffer) -> Ledger {
    let status = buffer.status();
    assert!(status.ledger.is_balanced(), "{status:?}");
    status.ledger
}

/// Checks that each producer's records came in its order, and returns the spans of each.
fn spans_by_id(mut delivered: Delivered) -> BTreeMap<u64, u64> {
    delivered.sort_unstable();
    let mut spans = BTreeMap::new();
    let mut last = BTreeMap::new();
    for (_, id, live) in delivered {
        assert!(
            last.insert(id / 100, id).is_none_or(|before| before <= id),
            "{id} is out of order"
        );
        *spans.entry(id).or_default() += live;
    }
    spans
}

fn everything_is_delivered_once_with_room_for_all() {
    let buffer = buffer(limits(1_000, 100_000));
    let takers = [taker(&buffer, true), taker(&buffer, false)];
    let producers = [producer(&buffer, 0), producer(&buffer, 1)];
    for producer in producers {
        producer.join().unwrap();
        balanced(&buffer);
    }
    buffer.close();

    let delivered = takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect();

    let expected = [0, 1, 2, 100, 101, 102].map(|id| (id, 2));
    assert_eq!(spans_by_id(delivered), BTreeMap::from(expected));
    assert_eq!(balanced(&buffer).sent, 12);
}

/// The limits allow one record in flight at a time.
fn everything_is_delivered_once_by_takers_that_wait_for_each_other() {
    let buffer = buffer(limits(6, 100_000));
    let takers = [taker(&buffer, true), taker(&buffer, false)];
    producer(&buffer, 0).join().unwrap();
    assert!(balanced(&buffer).in_flight <= 3);
    buffer.close();

    let delivered = takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect();

    assert_eq!(spans_by_id(delivered), BTreeMap::from([0, 1, 2].map(|id| (id, 2))));
    assert_eq!(balanced(&buffer).sent, 6);
}

fn every_span_is_delivered_or_evicted_while_the_limits_change() {
    let buffer = buffer(limits(9, 100_000));
    let takers = [taker(&buffer, true), taker(&buffer, false)];
    let resizer = spawn({
        let buffer = Arc::clone(&buffer);
        move || {
            for sizes in [limits(7, 60_000), limits(9, 100_000)] {
                buffer.set_limits(sizes);
                let held = balanced(&buffer);
                assert!(held.buffered + held.in_flight <= 9, "{held:?}");
            }
        }
    });
    let producers = [producer(&buffer, 0), producer(&buffer, 1)];
    for thread in producers.into_iter().chain([resizer]) {
        thread.join().unwrap();
    }
    buffer.close();

    let delivered = takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect();

    let spans = spans_by_id(delivered);
    let ledger = balanced(&buffer);
    assert!(spans.values().all(|spans| *spans <= 2), "{spans:?}");
    assert_eq!(ledger.sent, spans.values().sum::<u64>());
    assert_eq!((ledger.accepted, ledger.sent + ledger.dropped(DropReason::Overflow)), (12, 12));
}

fn each_of_two_takers_is_woken_for_one_record() {
    let buffer = buffer(limits(1_000, 100_000));
    let one = BatchLimits { max_records: 1, ..BATCH };
    let takers = [(); 2].map(|()| {
        let buffer = Arc::clone(&buffer);
        spawn(move || block_on(buffer.take(one)).unwrap().unwrap())
    });
    let appenders = [0, 1].map(|id| {
        let buffer = Arc::clone(&buffer);
        spawn(move || buffer.append_now(&payload(id, length(id)), NonZeroU32::MIN).unwrap())
    });

    let mut taken: Vec<_> =
        takers.into_iter().flat_map(|taker| read(&taker.join().unwrap())).collect();

    taken.sort_unstable();
    assert!(matches!(taken[..], [(0, a, 1), (1, b, 1)] if a + b == 1), "{taken:?}");
    for appender in appenders {
        appender.join().unwrap();
    }
}

#[test]
fn everything_is_delivered_once_in_random_schedules() {
    shuttle::check_random(everything_is_delivered_once_with_room_for_all, SCHEDULES);
}

#[test]
fn everything_is_delivered_once_in_schedules_by_priority() {
    shuttle::check_pct(everything_is_delivered_once_with_room_for_all, SCHEDULES, DEPTH);
}

#[test]
fn takers_that_wait_for_each_other_deliver_everything_in_random_schedules() {
    let check = everything_is_delivered_once_by_takers_that_wait_for_each_other;
    shuttle::check_random(check, SCHEDULES);
}

#[test]
fn takers_that_wait_for_each_other_deliver_everything_in_schedules_by_priority() {
    let check = everything_is_delivered_once_by_takers_that_wait_for_each_other;
    shuttle::check_pct(check, SCHEDULES, DEPTH);
}

#[test]
fn every_span_is_accounted_for_in_random_schedules_of_resizing() {
    shuttle::check_random(every_span_is_delivered_or_evicted_while_the_limits_change, SCHEDULES);
}

#[test]
fn every_span_is_accounted_for_in_schedules_by_priority_of_resizing() {
    let check = every_span_is_delivered_or_evicted_while_the_limits_change;
    shuttle::check_pct(check, SCHEDULES, DEPTH);
}

#[test]
fn every_taker_is_woken_in_random_schedules() {
    shuttle::check_random(each_of_two_takers_is_woken_for_one_record, SCHEDULES);
}

#[test]
fn every_taker_is_woken_in_schedules_by_priority() {
    shuttle::check_pct(each_of_two_takers_is_woken_for_one_record, SCHEDULES, DEPTH);
}
