//! Shutting down without losing spans that can still be delivered.

use std::time::Duration;

use tracing::{error, info};

use crate::domain::ledger::DropReason;
use crate::ports::buffer::TraceBufferPort;

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainOutcome {
    /// Everything was delivered.
    Empty,
    /// The deadline passed; this many spans are lost.
    Lost(u64),
}

/// The workers that empty the buffer.
pub trait ForwardingWorkers {
    /// Ends the current backoff and keeps later ones short.
    fn begin_drain(&self);

    /// Makes every worker requeue what it is sending and end.
    fn stop(&self);

    /// Waits until all workers have ended.
    fn join(&mut self) -> impl Future<Output = ()> + Send;
}

/// Closes the buffer and waits until `forwarding` has emptied it, at most for `timeout`.
///
/// Remaining spans are counted as dropped because of the shutdown. The loss is logged here, because
/// the process may be killed before the loss reporter runs again.
pub async fn drain<B: TraceBufferPort>(
    buffer: &B,
    mut forwarding: impl ForwardingWorkers,
    timeout: Duration,
) -> DrainOutcome {
    let before = buffer.status().ledger;
    buffer.close();
    forwarding.begin_drain();
    let waiting = before.buffered + before.in_flight;
    if waiting > 0 {
        info!(spans = waiting, "delivering what is buffered before ending");
    }
    if tokio::time::timeout(timeout, forwarding.join()).await.is_err() {
        forwarding.stop();
        forwarding.join().await;
    }
    // A record appended after the drop would be acknowledged, then lost without being counted.
    buffer.reject_new();
    let lost = buffer.drop_all(DropReason::Shutdown);
    let sent_spans = buffer.status().ledger.sent - before.sent;
    if lost == 0 {
        info!(sent_spans, "nothing is left in the buffer");
        return DrainOutcome::Empty;
    }
    error!(
        spans = lost,
        sent_spans, "spans are lost: the destination did not take them before the deadline"
    );
    DrainOutcome::Lost(lost)
}

#[cfg(test)]
mod tests;
