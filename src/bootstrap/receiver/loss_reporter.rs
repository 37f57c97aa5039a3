//! What nobody triggers: spans that grow too old, and losses nobody has mentioned.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use crate::domain::ledger::{DropReason, Ledger};
use crate::ports::buffer::TraceBufferPort;

/// How often spans are checked for their age.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
/// Losses are reported at most this often.
const REPORT_INTERVAL_TICKS: u32 = 10;
/// Losses that no other part reports at once.
const REPORTED_REASONS: [DropReason; 2] = [DropReason::Overflow, DropReason::Expired];

/// Expires old spans and reports losses, for ever.
pub(super) async fn run<B: TraceBufferPort>(buffer: Arc<B>) {
    let mut ticks = interval(EXPIRY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reported = Ledger::default();
    for tick in 0_u32.. {
        ticks.tick().await;
        buffer.expire();
        if tick.is_multiple_of(REPORT_INTERVAL_TICKS) {
            let ledger = buffer.status().ledger;
            log_losses(&reported, &ledger);
            reported = ledger;
        }
    }
}

fn log_losses(before: &Ledger, now: &Ledger) {
    for reason in REPORTED_REASONS {
        let spans = now.dropped(reason) - before.dropped(reason);
        if spans > 0 {
            let total = now.dropped(reason);
            let reason = reason.as_str();
            error!(spans, reason, total, "the oldest spans were dropped");
        }
    }
}
