//! Delivering batches to the destination, with retries.

mod isolate;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, error, info, warn};

use super::batch_request::{BatchRequest, KeepSpans, next_request};
use crate::domain::delivery::{Delivered, Failure, FailureKind};
use crate::domain::delivery_policy::{Attempt, DeliveryPolicy, RetryDecision};
use crate::domain::fifo::BatchOutcome;
use crate::domain::ledger::DropReason;
use crate::domain::limits::BatchLimits;
use crate::domain::pace::Pace;
use crate::ports::buffer::{Batch, TraceBufferPort};
use crate::ports::clock::MonotonicClock;
use crate::ports::destination::Destination;
use crate::ports::monitor::Monitor;
use crate::ports::record_store::StoreError;

/// During an outage, this many lines tell why at once; after that, at most one per interval.
const OUTAGE_LINES_AT_ONCE: u32 = 5;
const OUTAGE_LINE_INTERVAL: Duration = Duration::from_mins(1);
/// Maximum delay between attempts while draining: there may be only seconds left.
const MAX_BACKOFF_DRAINING: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Stopped,
}

/// State that the workers of one destination share.
struct DeliveryState {
    policy: DeliveryPolicy,
    pace: Pace,
    /// The outage of the destination, as it was last logged.
    outage: Option<LoggedOutage>,
    /// No request is sent before this time, after a failure.
    retry_at: Option<Instant>,
    /// No request is sent before this time, after a delivery.
    paced_until: Option<Instant>,
    /// The destination has asked for no request before this time.
    quiet_until: Option<Instant>,
}

/// The latest log line about an outage.
struct LoggedOutage {
    code: &'static str,
    reason: Cow<'static, str>,
    at: Instant,
    /// Lines about this outage so far.
    lines: u32,
}

/// What became of a batch.
enum Delivery {
    /// It was delivered, or returned to the queue, or dropped.
    Settled { delivered: bool },
    /// It was returned to the queue; these records at its head are to be sent one by one.
    Isolate { records: usize },
    /// It failed while its record was sent alone, and is still in flight.
    Held(Batch, Failure),
}

/// Takes batches from the buffer and delivers them, oldest first.
///
/// Several workers may run concurrently; only a single worker preserves the order of the buffer.
pub struct ForwardTraces<B, D, M, C> {
    buffer: Arc<B>,
    destination: D,
    keep_spans: KeepSpans,
    monitor: Arc<M>,
    clock: C,
    state: Mutex<DeliveryState>,
    phase: watch::Sender<Phase>,
    random: fn() -> u64,
}

impl<B, D, M, C> ForwardTraces<B, D, M, C>
where
    B: TraceBufferPort,
    D: Destination,
    M: Monitor,
    C: MonotonicClock,
{
    /// Creates the use case. `keep_spans` cuts records; `random` returns a fresh random number at
    /// each call.
    pub fn new(
        buffer: Arc<B>,
        destination: D,
        keep_spans: KeepSpans,
        monitor: Arc<M>,
        clock: C,
        batch: BatchLimits,
        random: fn() -> u64,
    ) -> Self {
        let state = DeliveryState {
            policy: DeliveryPolicy::new(batch),
            pace: Pace::new(batch.max_spans),
            outage: None,
            retry_at: None,
            paced_until: None,
            quiet_until: None,
        };
        let phase = watch::Sender::new(Phase::Running);
        Self {
            buffer,
            destination,
            keep_spans,
            monitor,
            clock,
            state: Mutex::new(state),
            phase,
            random,
        }
    }

    /// Ends the current backoff and keeps later ones short.
    pub fn begin_drain(&self) {
        let mut state = self.state.lock();
        state.retry_at = None;
        state.paced_until = None;
        self.advance_phase(Phase::Draining);
    }

    /// Ends the current wait, but not a time for which the destination has asked for quiet. Later
    /// waits are as before.
    pub fn flush(&self) {
        let mut state = self.state.lock();
        state.retry_at = state.quiet_until;
        state.paced_until = None;
        // Wakes the workers that wait for the end of the backoff.
        self.phase.send_modify(|_| ());
    }

    /// Makes every worker requeue what it is sending and end.
    pub fn stop(&self) {
        self.advance_phase(Phase::Stopped);
    }

    /// Forwards until the buffer is closed and empty, or [`ForwardTraces::stop`] is called.
    ///
    /// Not cancel safe: dropping the future during a request leaves its batch in flight.
    pub async fn run(&self) {
        loop {
            let taken = tokio::select! {
                biased;
                () = self.wait_until_stopped() => return,
                taken = self.next_batch() => taken,
            };
            match taken {
                Ok(Some(batch)) => {
                    if let Delivery::Isolate { records } = self.deliver(batch, false).await {
                        self.isolate(records).await;
                    }
                }
                Ok(None) => return,
                Err(error) => error!(%error, "stored spans are lost: the store cannot be read"),
            }
        }
    }

    async fn next_batch(&self) -> Result<Option<Batch>, StoreError> {
        self.wait_for_backoff().await;
        self.buffer.take(self.next_batch_limits()).await
    }

    fn next_batch_limits(&self) -> BatchLimits {
        let state = self.state.lock();
        let limits = state.policy.next_batch_limits();
        if self.is_draining() { limits } else { state.pace.limit(limits) }
    }

    /// Returns whether there is no time left to spare the destination.
    fn is_draining(&self) -> bool {
        *self.phase.borrow() != Phase::Running
    }

    /// Enters `phase`, unless a later one has been reached.
    fn advance_phase(&self, phase: Phase) {
        self.phase.send_modify(|current| *current = phase.max(*current));
    }

    /// Sends one batch, in several requests if its only record is too large for one. `alone` is
    /// whether the batch is a record sent alone, to be held after an inconclusive failure.
    async fn deliver(&self, batch: Batch, alone: bool) -> Delivery {
        let mut unsent = Some(batch);
        while let Some(mut batch) = unsent.take() {
            if self.backing_off_until().is_some() {
                // Another worker's request failed, or the pace demands a pause. In the queue the
                // batch can be evicted if the buffer fills up meanwhile; pinned it cannot.
                return self.requeue(batch);
            }
            let limits = self.next_batch_limits();
            let BatchRequest { request, mut attempt, part_spans: of_record } =
                next_request(self.keep_spans, &mut batch, &limits);
            let failures = self.state.lock().policy.failures_in_a_row();
            attempt.failures = attempt.failures.max(failures);
            let started = self.clock.now();
            let outcome = tokio::select! {
                // A response that has already arrived settles the batch, even when stopping.
                biased;
                outcome = self.destination.send(request) => outcome,
                () = self.wait_until_stopped() => return self.requeue(batch),
            };
            let elapsed = self.clock.now().saturating_sub(started);
            match outcome {
                Ok(delivered) => {
                    self.monitor.delivered(elapsed);
                    self.handle_success(&delivered, attempt);
                    let rejected_spans = delivered.rejected_spans;
                    unsent = self.acknowledge(
                        batch,
                        of_record,
                        BatchOutcome::Delivered { rejected_spans },
                    );
                }
                Err(failure) => {
                    self.monitor.send_failed(&failure, elapsed);
                    if alone && failure.kind.is_inconclusive() {
                        self.start_backoff(&failure, attempt);
                        self.log_failure(&failure, true);
                        return Delivery::Held(batch, failure);
                    }
                    return self.handle_failure(batch, of_record, &failure, attempt);
                }
            }
        }
        Delivery::Settled { delivered: true }
    }

    fn requeue(&self, batch: Batch) -> Delivery {
        self.buffer.requeue(batch);
        Delivery::Settled { delivered: false }
    }

    /// Finishes what was sent; returns the rest of the batch if only a part of it was.
    fn acknowledge(&self, mut batch: Batch, part: Option<u32>, end: BatchOutcome) -> Option<Batch> {
        let Some(spans) = part else {
            self.buffer.acknowledge(batch, end);
            return None;
        };
        self.buffer.acknowledge_part(&mut batch, spans, end);
        Some(batch)
    }

    fn handle_success(&self, delivered: &Delivered, attempt: Attempt) {
        let mut state = self.state.lock();
        state.policy.delivered();
        let pause = state.pace.delivered(attempt.spans, (self.random)());
        if !pause.is_zero() && !self.is_draining() {
            state.paced_until = state.paced_until.max(Some(Instant::now() + pause));
        }
        let recovered = state.outage.take().is_some();
        drop(state);
        if recovered {
            let ledger = self.buffer.status().ledger;
            let unsent = ledger.buffered + ledger.in_flight;
            let waiting_spans = unsent.saturating_sub(attempt.spans);
            info!(waiting_spans, "the destination accepts spans again");
        }
        let Delivered { rejected_spans, message: reason } = delivered;
        if *rejected_spans > 0 {
            error!(rejected_spans, %reason, "the destination rejected spans; they are lost");
        } else if !reason.is_empty() {
            warn!(%reason, "the destination accepted the spans with a warning");
        }
        debug!(spans = attempt.spans, bytes = attempt.bytes, "delivered");
    }

    fn handle_failure(
        &self,
        mut batch: Batch,
        part: Option<u32>,
        failure: &Failure,
        attempt: Attempt,
    ) -> Delivery {
        count_failure(&mut batch, failure, attempt);
        let decision = self.state.lock().policy.failed(failure.kind, attempt);
        let back_off = match decision {
            RetryDecision::Requeue { back_off } | RetryDecision::Drop { back_off } => back_off,
            RetryDecision::Isolate => true,
        };
        if back_off {
            // Before the batch is requeued, so that no other worker sends it during the backoff.
            self.start_backoff(failure, attempt);
        }
        let records = batch.records.len();
        let rest = match decision {
            RetryDecision::Requeue { .. } | RetryDecision::Isolate => {
                self.log_failure(failure, back_off);
                Some(batch)
            }
            RetryDecision::Drop { .. } => {
                log_loss(failure, attempt);
                self.state.lock().note_loss(failure);
                self.acknowledge(batch, part, BatchOutcome::Dropped(DropReason::Permanent))
            }
        };
        if let Some(rest) = rest {
            self.buffer.requeue(rest);
        }
        match decision {
            RetryDecision::Isolate => Delivery::Isolate { records },
            _ => Delivery::Settled { delivered: false },
        }
    }

    /// Makes all workers wait before their next request.
    fn start_backoff(&self, failure: &Failure, attempt: Attempt) {
        let asked = failure.retry_after;
        let now = Instant::now();
        let mut state = self.state.lock();
        if asked.is_none() && state.retry_at.is_some_and(|retry_at| now < retry_at) {
            // Concurrent requests fail together; they count as one failure.
            return;
        }
        let (time, random) = (self.clock.now(), (self.random)());
        let wait = if failure.kind.is_inconclusive() {
            state.pace.interrupted(time, asked, random)
        } else {
            state.pace.failed(time, attempt.spans, asked, random)
        };
        let wait = if self.is_draining() { wait.min(MAX_BACKOFF_DRAINING) } else { wait };
        state.retry_at = state.retry_at.max(Some(now + wait));
        state.quiet_until = state.quiet_until.max(asked.map(|asked| now + asked.min(wait)));
    }

    fn backing_off_until(&self) -> Option<Instant> {
        let state = self.state.lock();
        state.retry_at.max(state.paced_until).filter(|until| Instant::now() < *until)
    }

    /// Waits until the destination may be tried again.
    async fn wait_for_backoff(&self) {
        let mut phase = self.phase.subscribe();
        while let Some(retry_at) = self.backing_off_until() {
            // A change of phase may have ended the backoff.
            let _ = timeout_at(retry_at, phase.changed()).await;
        }
    }

    async fn wait_until_stopped(&self) {
        // The sender lives as long as `self`.
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Stopped).await;
    }

    /// Warns when the destination becomes unavailable, and when it does for another reason. Retries,
    /// and requests that only have to become smaller, are logged at debug level.
    fn log_failure(&self, failure: &Failure, unavailable: bool) {
        let is_news = unavailable && self.state.lock().is_news(failure);
        let (code, reason) = (failure.code, &failure.message);
        if is_news {
            warn!(code, %reason, "the destination does not accept spans; buffering and retrying");
        } else {
            debug!(code, %reason, "the destination did not accept a request; retrying");
        }
    }
}

impl DeliveryState {
    /// Returns whether the log does not tell yet why the destination is unavailable; counts it as told
    /// then. A reason that comes too soon after another is told with a later failure, if it lasts.
    fn is_news(&mut self, failure: &Failure) -> bool {
        let now = Instant::now();
        let lines = match &self.outage {
            None => 0,
            Some(last) if last.tells(failure) => return false,
            Some(last) if last.lines < OUTAGE_LINES_AT_ONCE => last.lines,
            Some(last) if now < last.at + OUTAGE_LINE_INTERVAL => return false,
            Some(last) => last.lines,
        };
        let reason = failure.message.clone();
        let lines = lines.saturating_add(1);
        self.outage = Some(LoggedOutage { code: failure.code, reason, at: now, lines });
        true
    }

    /// Notes that the log tells of a loss. While the destination refuses everything it is unavailable;
    /// data that it cannot read says nothing about it.
    fn note_loss(&mut self, failure: &Failure) {
        if self.outage.is_some() || failure.kind == FailureKind::Refused {
            let lines = self.outage.as_ref().map_or(1, |last| last.lines);
            let reason = failure.message.clone();
            let at = Instant::now();
            self.outage = Some(LoggedOutage { code: failure.code, reason, at, lines });
        }
    }
}

impl LoggedOutage {
    fn tells(&self, failure: &Failure) -> bool {
        self.code == failure.code && self.reason == failure.message
    }
}

/// Writes the inconclusive failures in a row to the records, which keep them in the queue.
fn count_failure(batch: &mut Batch, failure: &Failure, attempt: Attempt) {
    let failures =
        if failure.kind.is_inconclusive() { attempt.failures.saturating_add(1) } else { 0 };
    for record in &mut batch.records {
        record.inconclusive_failures = failures;
    }
}

fn log_loss(failure: &Failure, attempt: Attempt) {
    error!(
        spans = attempt.spans,
        bytes = attempt.bytes,
        code = failure.code,
        reason = %failure.message,
        "the destination permanently refused spans; they are lost"
    );
}

#[cfg(test)]
mod tests;
