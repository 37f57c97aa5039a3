//! Shutting down without losing spans that can still be delivered.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{error, info};

use crate::domain::ledger::DropReason;
use crate::ports::buffer::TraceBufferPort;

/// A drain ends when the destination has accepted nothing for this long: it is gone, and waiting for it
/// only delays the end of the pod.
const MAX_STANDSTILL: Duration = Duration::from_secs(5);
/// How often the drain looks whether something was accepted.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainOutcome {
    /// Everything was delivered.
    Empty,
    /// The destination did not take them in time; this many spans are lost.
    Lost(u64),
}

/// The workers that empty the buffer.
pub trait ForwardingWorkers {
    /// Ends the current backoff and keeps later ones short.
    fn begin_drain(&self);

    /// Makes every worker requeue what it is sending and end.
    fn stop(&self);

    /// Waits until all workers have ended. Cancel safe.
    fn join(&mut self) -> impl Future<Output = ()> + Send;
}

/// Closes the buffer and waits until `forwarding` has emptied it, at most for `time`, and as long as the
/// destination accepts something now and then.
///
/// Remaining spans are counted as dropped because of the shutdown. The loss is logged here, because
/// the process may be killed before the loss reporter runs again.
pub async fn drain<B: TraceBufferPort>(
    buffer: &B,
    mut forwarding: impl ForwardingWorkers,
    time: Duration,
) -> DrainOutcome {
    let before = buffer.status().ledger;
    buffer.close();
    forwarding.begin_drain();
    let waiting = before.buffered + before.in_flight;
    if waiting > 0 {
        info!(spans = waiting, "delivering what is buffered before ending");
    }
    if let Err(why) = join_while_delivering(buffer, &mut forwarding, time).await {
        info!("ending without waiting any longer: {why}");
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
    error!(spans = lost, sent_spans, "spans are lost: the destination did not take them in time");
    DrainOutcome::Lost(lost)
}

/// Waits until the workers have ended. Fails with the reason when the time is over, or when nothing was
/// accepted for [`MAX_STANDSTILL`].
async fn join_while_delivering<B: TraceBufferPort>(
    buffer: &B,
    forwarding: &mut impl ForwardingWorkers,
    time: Duration,
) -> Result<(), &'static str> {
    let answered = || {
        let ledger = buffer.status().ledger;
        ledger.sent + ledger.rejected + ledger.dropped(DropReason::Permanent)
    };
    let deadline = Instant::now() + time;
    let (mut last_answered, mut standstill_since) = (answered(), Instant::now());
    loop {
        let now = Instant::now();
        let pause = CHECK_INTERVAL.min(deadline.saturating_duration_since(now));
        if timeout(pause, forwarding.join()).await.is_ok() {
            return Ok(());
        }
        let (now, answered) = (Instant::now(), answered());
        if answered > last_answered {
            (last_answered, standstill_since) = (answered, now);
        }
        if now >= deadline {
            return Err("the time is over");
        }
        if now - standstill_since >= MAX_STANDSTILL {
            return Err("the destination accepts nothing");
        }
    }
}

#[cfg(test)]
mod tests;
