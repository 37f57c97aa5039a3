//! Finding the record that makes a small batch fail again and again.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::timeout;
use tracing::error;

use super::{Delivery, ForwardTraces};
use crate::domain::delivery::Failure;
use crate::domain::delivery_policy::FAILURES_AMID_DELIVERIES;
use crate::domain::fifo::BatchOutcome;
use crate::domain::ledger::DropReason;
use crate::domain::limits::BatchLimits;
use crate::ports::buffer::{Batch, TraceBufferPort};
use crate::ports::clock::MonotonicClock;
use crate::ports::destination::Destination;
use crate::ports::monitor::Monitor;

/// Maximum records held back at the same time. If so many fail and none is delivered, the
/// destination is the cause.
const MAX_HELD: usize = 8;

impl<B, D, M, C> ForwardTraces<B, D, M, C>
where
    B: TraceBufferPort,
    D: Destination,
    M: Monitor,
    C: MonotonicClock,
{
    /// Sends the first `records` of the queue one by one, and drops those that fail again and again
    /// while others are delivered.
    ///
    /// A record that fails is held back, and the next one is tried. As soon as one is delivered,
    /// the destination is known to work, and the oldest suspect is tried again. In an outage no
    /// record is delivered and all return to the queue.
    pub(super) async fn isolate(&self, records: usize) {
        let mut suspects: VecDeque<Batch> = VecDeque::new();
        let mut tried = 0;
        while suspects.len() < MAX_HELD && (tried < records || !suspects.is_empty()) {
            let Some(batch) = self.next_record().await else { break };
            tried += 1;
            match self.deliver_alone(batch).await {
                Delivery::Settled { delivered: true } => {}
                Delivery::Held(suspect, _) => {
                    suspects.push_back(suspect);
                    continue;
                }
                _ => break,
            }
            if let Some(suspect) = suspects.pop_front() {
                match self.deliver_alone(suspect).await {
                    Delivery::Settled { delivered: true } => {}
                    Delivery::Held(suspect, failure) => {
                        if let Some(suspect) = self.convict(suspect, &failure) {
                            suspects.push_front(suspect);
                        }
                    }
                    _ => break,
                }
            }
        }
        for suspect in suspects {
            self.buffer.requeue(suspect);
        }
    }

    /// Counts a failure of a record just after another was delivered. Returns the record, unless it
    /// failed so often that it must be the cause.
    fn convict(&self, mut suspect: Batch, failure: &Failure) -> Option<Batch> {
        let record = suspect.records.first_mut()?;
        record.failures_amid_deliveries += 1;
        if record.failures_amid_deliveries < FAILURES_AMID_DELIVERIES {
            return Some(suspect);
        }
        log_loss(failure, &suspect);
        self.buffer.acknowledge(suspect, BatchOutcome::Dropped(DropReason::Permanent));
        None
    }

    async fn deliver_alone(&self, batch: Batch) -> Delivery {
        tokio::select! {
            biased;
            () = self.wait_until_stopped() => return self.requeue(batch),
            () = self.wait_for_backoff() => {}
        }
        self.deliver(batch, true).await
    }

    /// Takes the next record if there is one now.
    async fn next_record(&self) -> Option<Batch> {
        let limits = self.state.lock().policy.next_batch_limits();
        let limits = BatchLimits { max_records: 1, linger: Duration::ZERO, ..limits };
        match timeout(Duration::ZERO, self.buffer.take(limits)).await {
            Ok(Ok(batch)) => batch,
            Ok(Err(error)) => {
                error!(%error, "stored spans are lost: the store cannot be read");
                None
            }
            // Nothing is queued.
            Err(_) => None,
        }
    }
}

fn log_loss(failure: &Failure, batch: &Batch) {
    error!(
        spans = batch.spans(),
        bytes = batch.bytes(),
        code = failure.code,
        reason = %failure.message,
        "a record failed again and again while others were delivered; its spans are lost"
    );
}
