//! The time by which a send must be complete.

use std::time::Duration;

use tokio::time::Instant;

/// Cap on timeouts: a later deadline could overflow the clock.
const MAX_TIMEOUT: Duration = Duration::from_hours(24 * 365);

/// The time by which a send must be complete, and the timeout it was computed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) timeout: Duration,
}

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        Self { at: Instant::now() + timeout.min(MAX_TIMEOUT), timeout }
    }

    pub(super) fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Returns a deadline at a fraction of the remaining time.
    pub(super) fn fraction(self, divisor: u32) -> Self {
        Self { at: Instant::now() + self.remaining() / divisor.max(1), timeout: self.timeout }
    }
}
