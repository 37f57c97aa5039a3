//! Forwarding against a scripted destination, on paused time. A span is one letter.

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;
use crate::application::fakes::{
    FakeBuffer, LedgerTotals, MonitorEvent, ReceivedRequest, RecordingMonitor, ScriptedDestination,
    ScriptedResponse, accept, append_record, buffer, fail, failure, keep_letters, ledger_totals,
    limits,
};
use crate::application::testing::FakeClock;
use crate::domain::ledger::Ledger;
use crate::domain::limits::{BufferLimits, OverflowPolicy};

mod delivering;
mod ending;
mod logging;
mod pacing;
mod poison;
mod retrying;
mod sizing;
mod workers;

const BATCH: BatchLimits = BatchLimits {
    max_spans: 1 << 20,
    max_bytes: 1 << 20,
    max_records: usize::MAX,
    linger: Duration::from_millis(200),
};
/// A random number that picks the maximum of the first backoffs: 100, 200, 400 and 800 ms.
const LONGEST: u64 = 800_000_000;

type Forward = ForwardTraces<FakeBuffer, Arc<ScriptedDestination>, RecordingMonitor, FakeClock>;

/// A buffer, a forwarder and a destination. Asserts on drop that the ledger balances.
struct Harness {
    buffer: Arc<FakeBuffer>,
    destination: Arc<ScriptedDestination>,
    monitor: Arc<RecordingMonitor>,
    forward: Arc<Forward>,
    workers: JoinSet<()>,
}

impl Harness {
    fn new(script: impl FnMut(&ReceivedRequest) -> ScriptedResponse + Send + 'static) -> Self {
        Self::with(limits(1 << 20, 1 << 30), BATCH, script)
    }

    fn with(
        limits: BufferLimits,
        batch: BatchLimits,
        script: impl FnMut(&ReceivedRequest) -> ScriptedResponse + Send + 'static,
    ) -> Self {
        Self::over(buffer(limits, OverflowPolicy::DropOldest), batch, script)
    }

    fn over(
        buffer: Arc<FakeBuffer>,
        batch: BatchLimits,
        script: impl FnMut(&ReceivedRequest) -> ScriptedResponse + Send + 'static,
    ) -> Self {
        let destination = ScriptedDestination::new(script);
        let monitor = Arc::new(RecordingMonitor::default());
        let forward = Arc::new(ForwardTraces::new(
            Arc::clone(&buffer),
            Arc::clone(&destination),
            keep_letters,
            Arc::clone(&monitor),
            FakeClock::new(),
            batch,
            || LONGEST,
        ));
        Self { buffer, destination, monitor, forward, workers: JoinSet::new() }
    }

    fn store(&self, payloads: &[&str]) {
        for payload in payloads {
            append_record(&self.buffer, payload);
        }
    }

    fn start(&mut self, workers: usize) {
        for _ in 0..workers {
            let forward = Arc::clone(&self.forward);
            self.workers.spawn(async move { forward.run().await });
        }
    }

    /// Forwards until the buffer is empty, with one worker unless more were started.
    async fn finish(&mut self) {
        self.buffer.close();
        if self.workers.is_empty() {
            self.start(1);
        }
        self.ended().await;
    }

    async fn ended(&mut self) {
        while let Some(worker) = self.workers.join_next().await {
            worker.unwrap();
        }
    }

    /// Returns the milliseconds between the requests, corrected for the timer's inaccuracy.
    fn pauses(&self) -> Vec<u128> {
        let arrivals = self.destination.received();
        let pauses = arrivals.windows(2).map(|pair| pair[1].at.saturating_sub(pair[0].at));
        pauses.map(|pause| pause.as_millis() / 20 * 20).collect()
    }

    fn ledger(&self) -> Ledger {
        self.buffer.status().ledger
    }

    fn ledger_totals(&self) -> LedgerTotals {
        ledger_totals(&self.buffer)
    }

    fn lost_for_good(&self) -> u64 {
        self.ledger().dropped(DropReason::Permanent)
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Asserts that the ledger balances.
            self.ledger_totals();
        }
    }
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
