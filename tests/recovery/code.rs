//! Sidecars as they are in production, from the buffer to the request, on paused time. A span is one
//! byte.

use std::num::{NonZeroU32, NonZeroU64};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracebuffer::adapters::clock::TokioClock;
use tracebuffer::adapters::storage::memory::MemoryStore;
use tracebuffer::adapters::telemetry::receiver::metrics::Metrics;
use tracebuffer::application::buffer_management::TraceBuffer;
use tracebuffer::application::forward::ForwardTraces;
use tracebuffer::domain::delivery::{Delivered, Failure};
use tracebuffer::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};
use tracebuffer::ports::buffer::TraceBufferPort;
use tracebuffer::ports::clock::MonotonicClock;
use tracebuffer::ports::destination::{Destination, OutgoingRequest};

use crate::gateway::{Gateway, Verdict};
use crate::model::{between, unreachable};
use crate::scenario::{CONFIGURED, RECORD_SPANS, SPAN_BYTES, Scenario};
use crate::secs;

/// The gateway as one sidecar sees it.
struct Remote {
    gateway: Arc<Mutex<Gateway>>,
    clock: TokioClock,
    scenario: Scenario,
    random: Mutex<Rng>,
}

impl Destination for Remote {
    async fn send(&self, request: OutgoingRequest) -> Result<Delivered, Failure> {
        let verdict = self.gateway.lock().offer(self.clock.now(), request.spans);
        let latency = &self.scenario.latency;
        let latency = between(*latency.start(), *latency.end(), &mut self.random.lock());
        sleep(latency + verdict.service()).await;
        match verdict {
            Verdict::Taken(_) => Ok(Delivered::default()),
            Verdict::Refused => Err(self.scenario.refusal.failure()),
            Verdict::Away => Err(unreachable()),
        }
    }
}

/// Runs until every buffer is empty.
pub(crate) fn run(scenario: &Scenario, seed: u64) -> Gateway {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // The workers draw from the generator of their thread.
    fastrand::seed(seed);
    runtime.block_on(async {
        let gateway = Arc::new(Mutex::new(scenario.gateway()));
        let clock = TokioClock::new();
        let mut sidecars = JoinSet::new();
        for index in 0..scenario.sidecars {
            let remote = Remote {
                gateway: Arc::clone(&gateway),
                clock,
                scenario: scenario.clone(),
                random: Mutex::new(Rng::with_seed(fastrand::u64(..))),
            };
            sidecars.spawn(sidecar(remote, scenario.backlog(index)));
        }
        while let Some(ended) = sidecars.join_next().await {
            ended.unwrap();
        }
        Arc::into_inner(gateway).unwrap().into_inner()
    })
}

async fn sidecar(remote: Remote, backlog: u64) {
    let limits = BufferLimits {
        max_spans: NonZeroU64::new(50_000).unwrap(),
        max_bytes: NonZeroU64::new(1 << 20).unwrap(),
        max_age: None,
    };
    let clock = remote.clock;
    let start = between(Duration::ZERO, secs(5), &mut remote.random.lock());
    let buffer =
        Arc::new(TraceBuffer::new(limits, OverflowPolicy::DropOldest, MemoryStore::new(), clock));
    let mut left = backlog;
    while let Some(spans) = NonZeroU32::new(u32::try_from(left.min(RECORD_SPANS)).unwrap()) {
        buffer.append_now(&vec![b'x'; spans.get() as usize], spans).unwrap();
        left -= u64::from(spans.get());
    }
    let batch = BatchLimits { max_bytes: CONFIGURED.max_bytes / SPAN_BYTES, ..CONFIGURED };
    let forward = ForwardTraces::new(
        Arc::clone(&buffer),
        remote,
        keep_bytes,
        Arc::new(Metrics::new()),
        clock,
        batch,
        || fastrand::u64(..),
    );
    buffer.close();
    sleep(start).await;
    forward.run().await;
    assert_eq!(buffer.status().ledger.sent, backlog);
}

fn keep_bytes(record: &Bytes, keep: Range<u64>) -> Vec<Bytes> {
    let [start, end] = [keep.start, keep.end].map(|at| usize::try_from(at).unwrap());
    vec![record.slice(start..end)]
}
