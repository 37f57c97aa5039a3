//! The system's clocks.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::ports::clock::{Clock, WallClock};

/// Time since the clock was made; stands still where a test pauses tokio's time.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts at zero.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemWallClock;

impl WallClock for SystemWallClock {
    fn now(&self) -> Duration {
        // Before 1970 is no time that a certificate could be made for.
        SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
    }
}
