//! The system's clocks.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::ports::clock::{MonotonicClock, WallClock};

/// Time since the clock was created; follows tokio's time, which tests pause.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: Instant,
}

impl TokioClock {
    /// Starts at zero.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl MonotonicClock for TokioClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemWallClock;

impl WallClock for SystemWallClock {
    fn now(&self) -> Duration {
        // A clock before 1970 reads as 1970: no certificate is valid at either time.
        SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
    }
}
