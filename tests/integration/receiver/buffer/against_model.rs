//! The buffer compared with a naive model, over long random sequences of commands.

use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::model::{Model, RECORD_OVERHEAD, Record};
use crate::support::buffer::{limits, payload, records};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tracebuffer::adapters::storage::memory::MemoryStore;
use tracebuffer::application::buffer_management::TraceBuffer;
use tracebuffer::domain::fifo::BatchOutcome;
use tracebuffer::domain::ledger::DropReason;
use tracebuffer::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};
use tracebuffer::ports::buffer::{AppendError, Batch, TraceBufferPort};
use tracebuffer::ports::clock::MonotonicClock;

#[derive(Clone, Copy, Debug)]
enum Command {
    Append { spans: u32, bytes: usize },
    Take(BatchLimits),
    Acknowledge { batch: Index, rejected: u64 },
    AcknowledgePart { batch: Index, spans: u32, rejected: u64 },
    DropBatch { batch: Index },
    Requeue { batch: Index },
    SetLimits(BufferLimits),
    AdvanceClock(Duration),
    Expire,
    DropAll,
}

fn command() -> impl Strategy<Value = Command> {
    let spans = prop_oneof![8 => 1..=6u32, 2 => 7..=60u32, 1 => 100..=400u32];
    let bytes = prop_oneof![1 => Just(0), 8 => 1..=600usize, 3 => 900..=5_000usize,
        1 => 5_000..=60_000usize];
    let batch = any::<Index>;
    let rejected = || prop_oneof![3 => Just(0), 1 => 1..=4u64, 1 => Just(u64::MAX)];
    prop_oneof![
        40 => (spans, bytes).prop_map(|(spans, bytes)| Command::Append { spans, bytes }),
        14 => batch_limits().prop_map(Command::Take),
        5 => (batch(), rejected())
            .prop_map(|(batch, rejected)| Command::Acknowledge { batch, rejected }),
        5 => (batch(), 0..=20u32, rejected())
            .prop_map(|(batch, spans, rejected)| Command::AcknowledgePart { batch, spans, rejected }),
        1 => batch().prop_map(|batch| Command::DropBatch { batch }),
        8 => batch().prop_map(|batch| Command::Requeue { batch }),
        2 => buffer_limits().prop_map(Command::SetLimits),
        6 => (0..4_000u64).prop_map(|millis| Command::AdvanceClock(Duration::from_millis(millis))),
        1 => Just(Command::Expire),
        1 => Just(Command::DropAll),
    ]
}

fn buffer_limits() -> impl Strategy<Value = BufferLimits> {
    let spans = prop_oneof![1..=10u64, 50..=300u64, Just(100_000)];
    let bytes =
        prop_oneof![1 => RECORD_OVERHEAD..=1_000, 4 => 2_000..=50_000u64, 1 => Just(1 << 20)];
    let age = prop_oneof![Just(None), (1..=60u64).prop_map(|s| Some(Duration::from_secs(s)))];
    (spans, bytes, age)
        .prop_map(|(spans, bytes, max_age)| BufferLimits { max_age, ..limits(spans, bytes) })
}

fn batch_limits() -> impl Strategy<Value = BatchLimits> {
    let spans = prop_oneof![1..=20u64, Just(8_192)];
    let bytes = prop_oneof![1..=2_000u64, Just(1 << 20)];
    let most = prop_oneof![1..=5usize, Just(usize::MAX)];
    (spans, bytes, most).prop_map(|(max_spans, max_bytes, max_records)| BatchLimits {
        max_spans,
        max_bytes,
        max_records,
        linger: Duration::ZERO,
    })
}

#[derive(Clone)]
struct TestClock(Arc<AtomicU64>);

impl TestClock {
    fn advance(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap(), Ordering::Relaxed);
    }
}

impl MonotonicClock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// The buffer, the model, and the batches that both have in flight, in the same order.
struct BufferAndModel {
    clock: TestClock,
    buffer: TraceBuffer<MemoryStore, TestClock>,
    model: Model,
    in_flight: Vec<Batch>,
    tried: u64,
}

impl BufferAndModel {
    fn new(limits: BufferLimits, policy: OverflowPolicy, takers: NonZeroUsize) -> Self {
        let clock = TestClock(Arc::default());
        let store = MemoryStore::new();
        let buffer = TraceBuffer::new(limits, policy, store, clock.clone()).with_takers(takers);
        let model = Model::new(limits, policy, takers.get());
        Self { clock, buffer, model, in_flight: Vec::new(), tried: 0 }
    }

    fn run(&mut self, command: Command) {
        let in_flight = self.in_flight.len();
        match command {
            Command::Append { spans, bytes } => self.append(spans, bytes),
            Command::Take(limits) => self.take(limits),
            Command::SetLimits(limits) => {
                self.buffer.set_limits(limits);
                self.model.limits = limits;
                self.model.evict();
            }
            Command::AdvanceClock(time) => self.clock.advance(time),
            Command::Expire => {
                self.buffer.expire();
                self.model.expire(self.clock.now());
            }
            Command::DropAll => self.drop_all(),
            _ if in_flight == 0 => {}
            Command::Acknowledge { batch, rejected } => {
                self.acknowledge(batch.index(in_flight), rejected);
            }
            Command::DropBatch { batch } => {
                let reason = DropReason::Permanent;
                let spans = self.end(batch.index(in_flight), BatchOutcome::Dropped(reason));
                self.model.drop_spans(reason, spans);
                self.model.evict();
            }
            Command::AcknowledgePart { batch, spans, rejected } => {
                self.acknowledge_part(batch.index(in_flight), spans, rejected);
            }
            Command::Requeue { batch } => self.requeue(batch.index(in_flight)),
        }
    }

    fn append(&mut self, spans: u32, bytes: usize) {
        let payload = payload(self.tried, bytes);
        self.tried += 1;
        let spans = NonZeroU32::new(spans).unwrap();

        let appended = self.buffer.append_now(&payload, spans);

        let evicted = appended.map(|appended| appended.evicted_spans);
        let expected = self.model.append(payload, spans.get(), self.clock.now());
        assert_eq!(evicted, expected.map_err(AppendError::Capacity));
    }

    fn take(&mut self, limits: BatchLimits) {
        let taken = take_now(&self.buffer, limits);

        let expected = self.model.take(&limits, self.clock.now());
        assert_eq!(taken.is_some(), expected.is_some());
        let (Some(batch), Some(expected)) = (taken, expected) else { return };
        let entries = batch.records.iter().zip(records(&batch));
        let taken: Vec<_> = entries
            .map(|(entry, payload)| (entry.sequence, u64::from(entry.settled_prefix), payload))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|record| (record.sequence, record.settled_prefix, record.payload.clone()))
            .collect();
        assert_eq!(taken, expected);
        self.in_flight.push(batch);
    }

    fn end(&mut self, place: usize, settlement: BatchOutcome) -> u64 {
        self.buffer.acknowledge(self.in_flight.swap_remove(place), settlement);
        self.model.in_flight.swap_remove(place).iter().map(Record::unsettled_spans).sum()
    }

    fn acknowledge(&mut self, place: usize, rejected: u64) {
        let spans = self.end(place, BatchOutcome::Delivered { rejected_spans: rejected });
        self.model.acknowledge(spans, rejected);
        self.model.evict();
    }

    fn acknowledge_part(&mut self, place: usize, spans: u32, rejected: u64) {
        if self.in_flight[place].records.len() != 1 {
            return;
        }
        self.buffer.acknowledge_part(
            &mut self.in_flight[place],
            spans,
            BatchOutcome::Delivered { rejected_spans: rejected },
        );
        let record = &mut self.model.in_flight[place][0];
        let spans = u64::from(spans).min(record.unsettled_spans());
        record.settled_prefix += spans;
        self.model.acknowledge(spans, rejected);
    }

    fn requeue(&mut self, place: usize) {
        self.buffer.requeue(self.in_flight.swap_remove(place));
        self.model.requeue(place);
    }

    fn drop_all(&mut self) {
        let lost = self.buffer.drop_all(DropReason::Shutdown);

        assert_eq!(lost, self.model.waiting_spans());
        while !self.model.waiting.is_empty() {
            self.model.drop_oldest(DropReason::Shutdown);
        }
    }

    fn compare(&self) {
        let model = &self.model;
        let status = self.buffer.status();
        let ledger = status.ledger;
        let counts =
            [ledger.accepted, ledger.sent, ledger.rejected, ledger.buffered, ledger.in_flight];
        let (waiting, in_flight) = (model.waiting_spans(), model.in_flight_spans());
        assert_eq!(counts, [model.accepted, model.sent, model.rejected, waiting, in_flight]);
        assert_eq!(ledger.drops().collect::<Vec<_>>(), model.dropped);
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!(status.charged_bytes, model.charge());
        assert_eq!(status.oldest_age, model.oldest_age(self.clock.now()));
        let within = ledger.buffered + ledger.in_flight <= status.limits.max_spans.get()
            && status.charged_bytes <= status.limits.max_bytes.get();
        assert!(within || model.waiting.is_empty(), "{status:?}");
    }
}

/// Takes a batch if there is one now.
fn take_now<B: TraceBufferPort>(buffer: &B, limits: BatchLimits) -> Option<Batch> {
    let taking = pin!(buffer.take(limits));
    match taking.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => taken.unwrap(),
        Poll::Pending => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_buffer_behaves_like_the_naive_model_over_any_sequence_of_commands(
        limits in buffer_limits(),
        policy in prop_oneof![
            4 => Just(OverflowPolicy::DropOldest),
            1 => Just(OverflowPolicy::Reject),
        ],
        takers in 1..=4usize,
        commands in vec(command(), 1..=1_000),
    ) {
        let takers = NonZeroUsize::new(takers).unwrap();
        let mut pair = BufferAndModel::new(limits, policy, takers);
        for command in commands {
            pair.run(command);
            pair.compare();
        }
        while !pair.in_flight.is_empty() {
            pair.requeue(0);
            pair.compare();
        }
        let all = BatchLimits {
            max_spans: u64::MAX,
            max_bytes: u64::MAX,
            max_records: usize::MAX,
            linger: Duration::ZERO,
        };
        while !pair.model.waiting.is_empty() {
            pair.take(all);
            pair.compare();
            // There is no batch if all records have expired.
            if !pair.in_flight.is_empty() {
                pair.acknowledge(0, 0);
            }
        }
    }
}
