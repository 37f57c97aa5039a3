//! Sends requests to a receiver: as fast as it responds, or on a fixed schedule.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::{sync::mpsc, task::JoinSet, time};

use super::{BenchResult, client::Client, payload::Payload};

/// How many connections, and how many requests at once on each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Concurrency {
    pub(crate) connections: usize,
    pub(crate) streams: usize,
}

/// Holds the generator back while too many spans are between it and the sink.
#[derive(Debug, Clone)]
pub(crate) struct Backlog {
    pub(crate) arrived: Arc<AtomicU64>,
    pub(crate) limit: u64,
}

/// The requests that were sent and the responses to them.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoadSummary {
    pub(crate) requests: u64,
    pub(crate) spans: u64,
    /// Spans of requests that got OK, without those that a partial success rejected.
    pub(crate) accepted: u64,
    /// Requests that got another code, by code.
    pub(crate) refused: BTreeMap<u32, u64>,
}

/// Latencies of a paced run, in microseconds.
#[derive(Debug)]
pub(crate) struct OpenLoopResult {
    pub(crate) offered: LoadSummary,
    /// From the scheduled time to the complete response.
    pub(crate) latency: Histogram<u64>,
    /// From the scheduled time until the generator sends: the delay that it adds itself.
    pub(crate) lateness: Histogram<u64>,
}

#[derive(Debug)]
struct RequestSequence {
    payload: Payload,
    left: AtomicU64,
    next_span: AtomicU64,
    first_span: u64,
    backlog: Option<Backlog>,
}

struct ScheduledRequest {
    due: Instant,
    first_span: u64,
}

impl LoadSummary {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.spans += other.spans;
        self.accepted += other.accepted;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
    }
}

impl RequestSequence {
    /// The first span id of the next request, once the backlog allows it.
    async fn take(&self) -> Option<u64> {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .ok()?;
        let first = self.next_span.fetch_add(self.payload.spans(), Ordering::Relaxed);
        if let Some(backlog) = &self.backlog {
            while first - self.first_span > backlog.limit + backlog.arrived.load(Ordering::Relaxed)
            {
                time::sleep(Duration::from_millis(1)).await;
            }
        }
        Some(first)
    }
}

/// Sends `requests` requests, each stream one after the other. Span ids count up
/// from `first_span`; the backlog counts those that arrived from there on.
pub(crate) async fn closed_loop(
    port: u16,
    shape: Concurrency,
    payload: Payload,
    requests: u64,
    first_span: u64,
    backlog: Option<Backlog>,
) -> BenchResult<LoadSummary> {
    let compressed = payload.compressed();
    let tickets = Arc::new(RequestSequence {
        payload,
        left: AtomicU64::new(requests),
        next_span: AtomicU64::new(first_span),
        first_span,
        backlog,
    });
    let mut workers = JoinSet::new();
    for _ in 0..shape.connections {
        let client = Client::connect(port, compressed).await?;
        for _ in 0..shape.streams {
            workers.spawn(closed_loop_worker(client.clone(), Arc::clone(&tickets)));
        }
    }
    let mut offered = LoadSummary::default();
    while let Some(worker) = workers.join_next().await {
        offered.add(worker??);
    }
    Ok(offered)
}

async fn closed_loop_worker(
    client: Client,
    tickets: Arc<RequestSequence>,
) -> BenchResult<LoadSummary> {
    let mut offered = LoadSummary::default();
    let mut spent = None;
    while let Some(first) = tickets.take().await {
        let message = tickets.payload.message(first, spent.take());
        send(&client, &tickets.payload, message.clone(), &mut offered).await?;
        spent = Some(message);
    }
    Ok(offered)
}

async fn send(
    client: &Client,
    payload: &Payload,
    message: Bytes,
    offered: &mut LoadSummary,
) -> BenchResult<()> {
    offered.requests += 1;
    offered.spans += payload.spans();
    let answer = client.export(message).await?;
    if answer.code == 0 {
        offered.accepted += payload.spans().saturating_sub(answer.rejected);
    } else {
        *offered.refused.entry(answer.code).or_default() += 1;
    }
    Ok(())
}

/// Sends a request every `interval` for `duration`, over `streams` streams of one connection.
///
/// The loop is open: a request is due at its time whether or not earlier ones have responses, and
/// its latency counts from then, also while it waits for a free stream.
pub(crate) async fn open_loop(
    port: u16,
    streams: usize,
    payload: Payload,
    interval: Duration,
    duration: Duration,
    first_span: u64,
) -> BenchResult<OpenLoopResult> {
    let client = Client::connect(port, payload.compressed()).await?;
    let (tickets, queue) = mpsc::unbounded_channel();
    let queue = Arc::new(tokio::sync::Mutex::new(queue));
    let mut workers = JoinSet::new();
    for _ in 0..streams {
        workers.spawn(open_loop_worker(client.clone(), payload.clone(), Arc::clone(&queue)));
    }
    let spans = payload.spans();
    // tokio's timer knows whole milliseconds only, a sleeping thread microseconds.
    let clock =
        thread::spawn(move || schedule_requests(&tickets, interval, duration, first_span, spans));
    let mut total = OpenLoopResult::new()?;
    while let Some(worker) = workers.join_next().await {
        let one = worker??;
        total.offered.add(one.offered);
        total.latency.add(one.latency)?;
        total.lateness.add(one.lateness)?;
    }
    clock.join().map_err(|_| "the pacing thread panicked")?;
    Ok(total)
}

impl OpenLoopResult {
    fn new() -> BenchResult<Self> {
        Ok(Self {
            offered: LoadSummary::default(),
            latency: Histogram::new(3)?,
            lateness: Histogram::new(3)?,
        })
    }
}

fn schedule_requests(
    tickets: &mpsc::UnboundedSender<ScheduledRequest>,
    interval: Duration,
    duration: Duration,
    first_span: u64,
    spans: u64,
) {
    let start = Instant::now() + interval;
    let mut due = start;
    let mut first_span = first_span;
    while due < start + duration {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if tickets.send(ScheduledRequest { due, first_span }).is_err() {
            return;
        }
        due += interval;
        first_span += spans;
    }
}

async fn open_loop_worker(
    client: Client,
    payload: Payload,
    queue: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<ScheduledRequest>>>,
) -> BenchResult<OpenLoopResult> {
    let mut paced = OpenLoopResult::new()?;
    let mut spent = None;
    loop {
        let ticket = queue.lock().await.recv().await;
        let Some(ScheduledRequest { due, first_span }) = ticket else { return Ok(paced) };
        let message = payload.message(first_span, spent.take());
        paced.lateness.record(micros_since(due))?;
        send(&client, &payload, message.clone(), &mut paced.offered).await?;
        paced.latency.record(micros_since(due))?;
        spent = Some(message);
    }
}

fn micros_since(due: Instant) -> u64 {
    u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX)
}
