//! Time, as the application needs it.

use std::time::Duration;

/// A monotonic clock: never goes back, and does not follow the wall clock's jumps.
pub trait Clock: Send + Sync + 'static {
    /// Returns the time since some fixed moment before the first call.
    fn now(&self) -> Duration;
}

/// The wall clock: may jump, forwards and backwards.
pub trait WallClock: Send + Sync + 'static {
    /// Returns the time since the Unix epoch.
    fn now(&self) -> Duration;
}
