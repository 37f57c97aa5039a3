//! Periodic work: expires old spans and logs the losses that no other part logs.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use crate::domain::ledger::{DropReason, Ledger};
use crate::ports::buffer::TraceBufferPort;

/// How often the age of the spans is checked.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
/// Losses are logged once per this many ticks.
const REPORT_INTERVAL_TICKS: u32 = 10;
/// Losses that no other part logs when they happen.
const REPORTED_REASONS: [DropReason; 2] = [DropReason::Overflow, DropReason::Expired];

/// Logs losses of a buffer, each once.
pub(super) struct LossReporter<B> {
    buffer: Arc<B>,
    reported: Mutex<Ledger>,
}

impl<B: TraceBufferPort> LossReporter<B> {
    pub(super) fn new(buffer: Arc<B>) -> Self {
        Self { buffer, reported: Mutex::default() }
    }

    /// Expires old spans and logs losses; never returns.
    pub(super) async fn run(&self) {
        let mut ticks = interval(EXPIRY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 0_u32.. {
            ticks.tick().await;
            self.buffer.expire();
            if tick.is_multiple_of(REPORT_INTERVAL_TICKS) {
                self.report();
            }
        }
    }

    /// Logs the losses since the last report.
    pub(super) fn report(&self) {
        let now = self.buffer.status().ledger;
        let before = std::mem::replace(&mut *self.reported.lock(), now);
        for reason in REPORTED_REASONS {
            let spans = now.dropped(reason) - before.dropped(reason);
            if spans > 0 {
                let total = now.dropped(reason);
                let reason = reason.as_str();
                error!(spans, reason, total, "the oldest spans were dropped");
            }
        }
    }
}
