//! The clocks the application needs.

use std::time::Duration;

/// A monotonic clock: never goes back and is not affected by changes of the wall clock.
pub trait MonotonicClock: Send + Sync + 'static {
    /// Returns the time since an arbitrary fixed moment before the first call.
    fn now(&self) -> Duration;
}

/// The wall clock: may jump, forwards and backwards.
pub trait WallClock: Send + Sync + 'static {
    /// Returns the time since the Unix epoch.
    fn now(&self) -> Duration;
}
