//! Append and take, compared with a simple receiver, which decodes with prost and pushes into a
//! locked queue; then the latency of an append to a full buffer at a steady pace.
//!
//! `cargo bench --bench buffer`, or a part of it: `-- append`, `-- take`, `-- contended`,
//! `-- latency`.

#![expect(clippy::unwrap_used, reason = "a benchmark is a test")]

#[path = "buffer/latency.rs"]
mod latency;
#[path = "buffer/prost_queue.rs"]
mod prost_queue;

use std::num::{NonZeroU32, NonZeroU64};
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use prost_queue::ProstQueue;
use tracebuffer::adapters::clock::TokioClock;
use tracebuffer::adapters::storage::memory::MemoryStore;
use tracebuffer::application::buffer_management::TraceBuffer;
use tracebuffer::domain::fifo::BatchOutcome;
use tracebuffer::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};
use tracebuffer::ports::buffer::{Batch, TraceBufferPort};

const MAX_SPANS: u64 = 50_000;
const MAX_BYTES: u64 = 32 << 20;
const BATCH_LIMITS: BatchLimits = BatchLimits {
    max_spans: 8_192,
    max_bytes: 3_670_016,
    max_records: usize::MAX,
    linger: Duration::ZERO,
};

type Buffer = TraceBuffer<MemoryStore, TokioClock>;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    append(&mut criterion);
    take(&mut criterion);
    contended_append(&mut criterion);
    criterion.final_summary();
    if should_measure_latency() {
        latency::measure();
    }
}

/// False in a test run, and if only other parts are named.
fn should_measure_latency() -> bool {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let mut parts = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    let all = parts.peek().is_none();
    arguments.iter().any(|argument| argument == "--bench")
        && (all || parts.any(|part| part == "latency"))
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for spans in [1, 10, 512] {
        let request = request(spans);
        group.throughput(Throughput::Elements(spans.into()));
        let fresh = || Bytes::copy_from_slice(&request);

        let buffer = full_buffer(&request, spans);
        let count = NonZeroU32::new(spans).unwrap();
        group.bench_function(BenchmarkId::new("tracebuffer", spans), |bencher| {
            let append = |payload: Bytes| buffer.append_now(&payload, count).unwrap();
            bencher.iter_batched(fresh, append, BatchSize::SmallInput);
        });

        let queue = ProstQueue::full(&request, spans, MAX_SPANS);
        group.bench_function(BenchmarkId::new("prost", spans), |bencher| {
            let append = |payload: Bytes| queue.append(&payload, spans);
            bencher.iter_batched(fresh, append, BatchSize::SmallInput);
        });
    }
}

/// One batch of 1,000 requests of one span, prepared for sending.
fn take(criterion: &mut Criterion) {
    const RECORDS: u32 = 1_000;
    let mut group = criterion.benchmark_group("take");
    group.throughput(Throughput::Elements(RECORDS.into()));
    let request = request(1);

    let buffer = new_buffer();
    group.bench_function("tracebuffer", |bencher| {
        bencher.iter_custom(|batches| {
            let once = || {
                for _ in 0..RECORDS {
                    buffer.append_now(&request, NonZeroU32::MIN).unwrap();
                }
                let start = Instant::now();
                let batch = take_now(&buffer).unwrap();
                let took = start.elapsed();
                assert_eq!(batch.spans(), u64::from(RECORDS));
                buffer.acknowledge(batch, BatchOutcome::Delivered { rejected_spans: 0 });
                took
            };
            (0..batches).map(|_| once()).sum()
        });
    });

    let queue = ProstQueue::new(MAX_SPANS);
    group.bench_function("prost", |bencher| {
        bencher.iter_custom(|batches| {
            let once = || {
                for _ in 0..RECORDS {
                    queue.append(&request, 1);
                }
                let start = Instant::now();
                let encoded = queue.take_encoded(RECORDS as usize);
                let took = start.elapsed();
                assert_eq!(encoded.len(), request.len() * RECORDS as usize);
                took
            };
            (0..batches).map(|_| once()).sum()
        });
    });
}

/// Requests of ten spans from several threads at once; the time is that of one append.
fn contended_append(criterion: &mut Criterion) {
    const SPANS: u32 = 10;
    let mut group = criterion.benchmark_group("contended append");
    group.throughput(Throughput::Elements(SPANS.into()));
    let request = request(SPANS);
    let count = NonZeroU32::new(SPANS).unwrap();
    for threads in [1, 2, 4, 8] {
        let buffer = full_buffer(&request, SPANS);
        group.bench_function(BenchmarkId::new("tracebuffer", threads), |bencher| {
            bencher.iter_custom(|appends| {
                on_threads(threads, appends, || {
                    buffer.append_now(&request, count).unwrap();
                })
            });
        });
        let queue = ProstQueue::full(&request, SPANS, MAX_SPANS);
        group.bench_function(BenchmarkId::new("prost", threads), |bencher| {
            bencher.iter_custom(|appends| {
                on_threads(threads, appends, || queue.append(&request, SPANS))
            });
        });
    }
}

/// Shares `times` among `threads` and returns how long all of them took together.
fn on_threads(threads: u64, times: u64, action: impl Fn() + Sync) -> Duration {
    let barrier = Barrier::new(usize::try_from(threads).unwrap() + 1);
    let each = times.div_ceil(threads);
    let start = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..each {
                    action();
                }
            });
        }
        barrier.wait();
        Instant::now()
    });
    start.elapsed()
}

fn new_buffer() -> Buffer {
    let limits = BufferLimits {
        max_spans: NonZeroU64::new(MAX_SPANS).unwrap(),
        max_bytes: NonZeroU64::new(MAX_BYTES).unwrap(),
        max_age: None,
    };
    let store = MemoryStore::new();
    TraceBuffer::new(limits, OverflowPolicy::DropOldest, store, TokioClock::new())
}

/// A buffer in which every append evicts.
fn full_buffer(request: &Bytes, spans: u32) -> Buffer {
    let buffer = new_buffer();
    let spans = NonZeroU32::new(spans).unwrap();
    while buffer.append_now(&Bytes::copy_from_slice(request), spans).unwrap().evicted_spans == 0 {}
    buffer
}

fn take_now(buffer: &Buffer) -> Option<Batch> {
    let taking = pin!(buffer.take(BATCH_LIMITS));
    match taking.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => taken.unwrap(),
        Poll::Pending => None,
    }
}

/// A request as an HTTP server's instrumentation makes it, about 330 bytes per span.
fn request(spans: u32) -> Bytes {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let span = Span {
        trace_id: vec![0xA5; 16],
        span_id: vec![0x5A; 8],
        parent_span_id: vec![0x3C; 8],
        name: "GET /api/v1/orders/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_012_000_000,
        attributes: vec![
            text("http.request.method", "GET"),
            text("url.path", "/api/v1/orders/4711"),
            text("url.scheme", "https"),
            text("server.address", "orders.shop.svc.cluster.local"),
            text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
            text("client.address", "10.42.17.3"),
        ],
        ..Span::default()
    };
    let scope_spans = ScopeSpans { spans: vec![span; spans as usize], ..ScopeSpans::default() };
    let resource = Resource {
        attributes: vec![text("service.name", "orders"), text("service.version", "1.2.3")],
        ..Resource::default()
    };
    let resource_spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec().into()
}
