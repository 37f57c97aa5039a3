//! Draining the real buffer with real workers and a scripted destination. A span is one letter.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::*;
use crate::application::fakes::{
    FakeBuffer, LedgerTotals, ReceivedRequest, RecordingMonitor, ScriptedDestination,
    ScriptedResponse, accept, append_record, buffer, fail, failure, keep_letters, ledger_totals,
    limits,
};
use crate::application::forward::ForwardTraces;
use crate::application::testing::{CapturedLog, FakeClock};
use crate::domain::delivery::{Failure, FailureKind};
use crate::domain::limits::{BatchLimits, OverflowPolicy};

const BATCH: BatchLimits = BatchLimits {
    max_spans: 4,
    max_bytes: 1_000,
    max_records: usize::MAX,
    linger: Duration::from_mins(1),
};
const TIMEOUT: Duration = Duration::from_secs(2);

type Forward = ForwardTraces<FakeBuffer, Arc<ScriptedDestination>, RecordingMonitor, FakeClock>;

struct Workers {
    forward: Arc<Forward>,
    running: JoinSet<()>,
}

impl ForwardingWorkers for Workers {
    fn begin_drain(&self) {
        self.forward.begin_drain();
    }

    fn stop(&self) {
        self.forward.stop();
    }

    async fn join(&mut self) {
        while let Some(worker) = self.running.join_next().await {
            worker.unwrap();
        }
    }
}

struct Harness {
    buffer: Arc<FakeBuffer>,
    destination: Arc<ScriptedDestination>,
    workers: Workers,
}

impl Harness {
    /// Starts `workers` that send to a destination with this script.
    fn new(
        workers: usize,
        script: impl FnMut(&ReceivedRequest) -> ScriptedResponse + Send + 'static,
    ) -> Self {
        let buffer = buffer(limits(1_000, 100_000), OverflowPolicy::DropOldest);
        let destination = ScriptedDestination::new(script);
        let forward = Arc::new(ForwardTraces::new(
            Arc::clone(&buffer),
            Arc::clone(&destination),
            keep_letters,
            Arc::default(),
            FakeClock::new(),
            BATCH,
            || 50_000_000,
        ));
        let mut running = JoinSet::new();
        for _ in 0..workers {
            let forward = Arc::clone(&forward);
            running.spawn(async move { forward.run().await });
        }
        Self { buffer, destination, workers: Workers { forward, running } }
    }

    /// Drains, and returns the outcome and the duration.
    async fn drain(self) -> (DrainOutcome, Duration) {
        self.drain_within(TIMEOUT).await
    }

    async fn drain_within(self, time: Duration) -> (DrainOutcome, Duration) {
        let start = Instant::now();
        let drained = drain(&*self.buffer, self.workers, time).await;
        (drained, start.elapsed())
    }
}

#[tokio::test(start_paused = true)]
async fn with_nothing_to_deliver_a_drain_ends_at_once() {
    let harness = Harness::new(3, |_| accept());
    sleep(Duration::from_secs(1)).await;

    assert_eq!(harness.drain().await, (DrainOutcome::Empty, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_drain_delivers_lingering_records_at_once() {
    let harness = Harness::new(1, |_| accept());
    append_record(&harness.buffer, "ab");
    sleep(Duration::from_secs(1)).await;
    let (buffer, destination) = (Arc::clone(&harness.buffer), Arc::clone(&harness.destination));

    assert_eq!(harness.drain().await, (DrainOutcome::Empty, Duration::ZERO));

    assert_eq!(destination.accepted_spans(), "ab");
    assert_eq!(ledger_totals(&buffer), LedgerTotals { sent: 2, ..LedgerTotals::default() });
}

#[tokio::test(start_paused = true)]
async fn a_drain_delivers_everything_oldest_first() {
    let harness = Harness::new(1, |_| accept().delayed(Duration::from_millis(100)));
    for record in ["abc", "def", "ghi", "jkl"] {
        append_record(&harness.buffer, record);
    }
    let destination = Arc::clone(&harness.destination);

    let (drained, elapsed) = harness.drain().await;

    assert_eq!(drained, DrainOutcome::Empty);
    assert_eq!(destination.accepted_spans(), "abcdefghijkl");
    assert!(elapsed < Duration::from_millis(410), "took {elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_the_end_of_a_pause_after_a_failure() {
    let retry_after = Some(Duration::from_mins(5));
    let unavailable = Failure { retry_after, ..failure(FailureKind::Unavailable) };
    let mut answers = [ScriptedResponse::Fail(unavailable)].into_iter();
    let harness = Harness::new(1, move |_| answers.next().unwrap_or_else(accept));
    append_record(&harness.buffer, "ab");
    harness.buffer.stop_lingering();
    sleep(Duration::from_secs(1)).await;

    assert_eq!(harness.drain().await, (DrainOutcome::Empty, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn queued_spans_are_lost_and_counted_at_the_deadline() {
    let harness = Harness::new(1, |_| fail(FailureKind::Unavailable));
    append_record(&harness.buffer, "abc");
    append_record(&harness.buffer, "de");
    let buffer = Arc::clone(&harness.buffer);

    let (drained, elapsed) = harness.drain().await;

    assert_eq!(drained, DrainOutcome::Lost(5));
    assert_eq!(buffer.status().ledger.dropped(DropReason::Shutdown), 5);
    assert_eq!(ledger_totals(&buffer), LedgerTotals { dropped: 5, ..LedgerTotals::default() });
    assert!(elapsed >= TIMEOUT && elapsed < TIMEOUT + Duration::from_millis(5), "took {elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn spans_in_flight_are_lost_and_counted_at_the_deadline() {
    let harness = Harness::new(2, |_| ScriptedResponse::NeverRespond);
    append_record(&harness.buffer, "abc");
    append_record(&harness.buffer, "def");
    append_record(&harness.buffer, "ghi");
    let buffer = Arc::clone(&harness.buffer);
    buffer.stop_lingering();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ledger_totals(&buffer).in_flight, 6);

    let (drained, _) = harness.drain().await;

    assert_eq!(drained, DrainOutcome::Lost(9));
    assert_eq!(ledger_totals(&buffer), LedgerTotals { dropped: 9, ..LedgerTotals::default() });
}

#[tokio::test(start_paused = true)]
async fn spans_delivered_before_the_deadline_are_not_lost() {
    let harness = Harness::new(1, |_| accept().delayed(Duration::from_millis(1_500)));
    append_record(&harness.buffer, "abc");
    append_record(&harness.buffer, "def");
    let buffer = Arc::clone(&harness.buffer);

    let (drained, _) = harness.drain().await;

    assert_eq!(drained, DrainOutcome::Lost(3));
    assert_eq!(ledger_totals(&buffer), LedgerTotals { sent: 3, dropped: 3, ..Default::default() });
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_accepts_nothing_for_5_s_is_not_waited_for_any_longer() {
    for script in [|| fail(FailureKind::Unavailable), || ScriptedResponse::NeverRespond] {
        let mut answers = [accept().delayed(Duration::from_secs(3))].into_iter();
        let harness = Harness::new(1, move |_| answers.next().unwrap_or_else(script));
        append_record(&harness.buffer, "abcd");
        append_record(&harness.buffer, "ef");

        let (drained, elapsed) = harness.drain_within(Duration::from_mins(1)).await;

        assert_eq!(drained, DrainOutcome::Lost(2));
        let expected = Duration::from_secs(8);
        assert!(elapsed >= expected && elapsed < expected + 2 * CHECK_INTERVAL, "took {elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_destination_is_waited_for() {
    let harness = Harness::new(1, |_| accept().delayed(Duration::from_millis(4_500)));
    for record in ["abcd", "efgh", "ijkl"] {
        append_record(&harness.buffer, record);
    }

    let (drained, _) = harness.drain_within(Duration::from_mins(1)).await;

    assert_eq!(drained, DrainOutcome::Empty);
}

/// New records push out old ones, which is no sign of life.
#[tokio::test(start_paused = true)]
async fn records_that_still_arrive_do_not_prolong_the_drain() {
    let harness = Harness::new(1, |_| ScriptedResponse::NeverRespond);
    append_record(&harness.buffer, "abcd");
    let buffer = Arc::clone(&harness.buffer);
    let sender = tokio::spawn(async move {
        for _ in 0..100 {
            sleep(Duration::from_millis(50)).await;
            buffer.append_now(&[b'x'; 100], std::num::NonZeroU32::new(100).unwrap()).unwrap();
        }
    });

    let (_, elapsed) = harness.drain_within(Duration::from_mins(1)).await;

    assert!(elapsed < Duration::from_millis(5_200), "took {elapsed:?}");
    sender.abort();
}

#[tokio::test(start_paused = true)]
async fn spans_that_still_arrive_while_draining_are_delivered_too() {
    let harness = Harness::new(1, |_| accept().delayed(Duration::from_millis(500)));
    append_record(&harness.buffer, "abc");
    let (buffer, destination) = (Arc::clone(&harness.buffer), Arc::clone(&harness.destination));
    let late = tokio::spawn({
        let buffer = Arc::clone(&buffer);
        async move {
            sleep(Duration::from_millis(250)).await;
            append_record(&buffer, "de");
        }
    });

    let (drained, _) = harness.drain().await;

    late.await.unwrap();
    assert_eq!(drained, DrainOutcome::Empty);
    assert_eq!(destination.accepted_spans(), "abcde");
}

#[tokio::test(start_paused = true)]
async fn spans_refused_by_the_destination_during_a_drain_are_neither_delivered_nor_kept() {
    let (log, _guard) = CapturedLog::start();
    let harness = Harness::new(1, |arrival| match arrival.payload.as_str() {
        "abc" => fail(FailureKind::Refused),
        _ => accept(),
    });
    append_record(&harness.buffer, "abc");
    append_record(&harness.buffer, "de");
    let buffer = Arc::clone(&harness.buffer);

    let (drained, _) = harness.drain().await;

    assert_eq!(drained, DrainOutcome::Empty);
    assert_eq!(buffer.status().ledger.dropped(DropReason::Permanent), 3);
    assert_eq!(log.lines().last().unwrap(), "INFO nothing is left in the buffer sent_spans=2");
}

#[tokio::test(start_paused = true)]
async fn spans_lost_at_the_deadline_are_an_error() {
    let (log, _guard) = CapturedLog::start();
    let mut answers = [accept()].into_iter();
    let harness =
        Harness::new(1, move |_| answers.next().unwrap_or(ScriptedResponse::NeverRespond));
    append_record(&harness.buffer, "sent");
    sleep(Duration::from_mins(2)).await;
    append_record(&harness.buffer, "abc");

    harness.drain().await;

    assert_eq!(
        log.lines(),
        [
            "INFO delivering what is buffered before ending spans=3",
            "INFO ending without waiting any longer: the time is over",
            "ERROR spans are lost: the destination did not take them in time spans=3 sent_spans=0",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_accepted_after_a_drain() {
    let harness = Harness::new(1, |_| accept());
    let buffer = Arc::clone(&harness.buffer);

    harness.drain().await;

    let late = buffer.append_now(b"abc", std::num::NonZeroU32::MIN);
    assert_eq!(late, Err(crate::ports::buffer::AppendError::ShuttingDown));
}
