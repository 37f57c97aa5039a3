//! Delivering batches to the destination, with retries.

mod isolate;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, error, info, warn};

use super::batch_request::{BatchRequest, KeepSpans, next_request};
use crate::domain::backoff::Backoff;
use crate::domain::delivery::{Delivered, Failure};
use crate::domain::delivery_policy::{Attempt, DeliveryPolicy, RetryDecision};
use crate::domain::fifo::BatchOutcome;
use crate::domain::ledger::DropReason;
use crate::domain::limits::BatchLimits;
use crate::ports::buffer::{Batch, TraceBufferPort};
use crate::ports::clock::MonotonicClock;
use crate::ports::destination::Destination;
use crate::ports::monitor::Monitor;
use crate::ports::record_store::StoreError;

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
    backoff: Backoff,
    failing: bool,
    /// No request is sent before this time.
    retry_at: Option<Instant>,
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
            backoff: Backoff::default(),
            failing: false,
            retry_at: None,
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
        self.advance_phase(Phase::Draining);
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
        let limits = self.state.lock().policy.next_batch_limits();
        self.buffer.take(limits).await
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
                // Another worker's request failed. In the queue the batch can be evicted if the
                // buffer fills up meanwhile; pinned by this worker it cannot.
                return self.requeue(batch);
            }
            let policy = self.state.lock().policy;
            let limits = policy.next_batch_limits();
            let BatchRequest { request, mut attempt, part_spans: of_record } =
                next_request(self.keep_spans, &mut batch, &limits);
            attempt.failures = attempt.failures.max(policy.failures_in_a_row());
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
                        self.start_backoff(failure.retry_after);
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
        state.backoff.reset();
        let recovered = std::mem::take(&mut state.failing);
        drop(state);
        if recovered {
            let waiting = self.buffer.status().ledger.buffered;
            info!(waiting_spans = waiting, "the destination accepts spans again");
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
            self.start_backoff(failure.retry_after);
        }
        let records = batch.records.len();
        let rest = match decision {
            RetryDecision::Requeue { .. } | RetryDecision::Isolate => {
                self.log_failure(failure, back_off);
                Some(batch)
            }
            RetryDecision::Drop { .. } => {
                log_loss(failure, attempt);
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
    fn start_backoff(&self, asked: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        if asked.is_none() && state.retry_at.is_some_and(|retry_at| now < retry_at) {
            // Concurrent requests fail together; they count as one failure.
            return;
        }
        let wait = state.backoff.after_failure(asked, (self.random)());
        let draining = *self.phase.borrow() != Phase::Running;
        let wait = if draining { wait.min(MAX_BACKOFF_DRAINING) } else { wait };
        state.retry_at = state.retry_at.max(Some(now + wait));
    }

    fn backing_off_until(&self) -> Option<Instant> {
        self.state.lock().retry_at.filter(|retry_at| Instant::now() < *retry_at)
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

    /// Warns once when the destination becomes unavailable. Retries, and requests that only have
    /// to become smaller, are logged at debug level.
    fn log_failure(&self, failure: &Failure, unavailable: bool) {
        let is_new = unavailable && !std::mem::replace(&mut self.state.lock().failing, true);
        let (code, reason) = (failure.code, &failure.message);
        if is_new {
            warn!(code, %reason, "the destination does not accept spans; buffering and retrying");
        } else {
            debug!(code, %reason, "the destination did not accept a request; retrying");
        }
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
        code = failure.code,
        reason = %failure.message,
        "the destination permanently refused spans; they are lost"
    );
}

#[cfg(test)]
mod tests;
