//! Test helpers of both roles: a clock and a captured log.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::subscriber::DefaultGuard;

use crate::ports::clock::MonotonicClock;

/// Tokio's time in the test, paused or not.
#[derive(Clone, Copy)]
pub(crate) struct FakeClock {
    start: Instant,
}

/// Captures the log of the test's thread.
#[derive(Clone, Default)]
pub(crate) struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl FakeClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl MonotonicClock for FakeClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

impl io::Write for CapturedLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl CapturedLog {
    pub(crate) fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}
