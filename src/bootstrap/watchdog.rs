//! Notices when the runtime hangs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::sleep;

/// How often the runtime shows that it works.
const TICK: Duration = Duration::from_secs(1);
/// How many ticks in a row it may miss: a minute.
const MAX_MISSED_TICKS: u32 = 60;

/// Calls `on_hang` once the current runtime has run no task for a minute, on a thread of its own, since
/// nothing else would run. Time in which the whole process stands still does not count.
///
/// # Errors
///
/// The system denies the thread.
pub(super) fn watch_runtime(on_hang: impl FnOnce() + Send + 'static) -> io::Result<()> {
    watch(TICK, MAX_MISSED_TICKS, on_hang)
}

fn watch(
    tick: Duration,
    max_missed: u32,
    on_hang: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let has_ticked = Arc::new(AtomicBool::new(true));
    let ticks = Arc::clone(&has_ticked);
    thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        let mut missed = 0;
        // Counts what this thread sees, not time, in which the process may have been stopped.
        while missed < max_missed {
            thread::sleep(tick);
            missed = if ticks.swap(false, Ordering::Relaxed) { 0 } else { missed + 1 };
        }
        on_hang();
    })?;
    tokio::spawn(async move {
        loop {
            has_ticked.store(true, Ordering::Relaxed);
            sleep(tick).await;
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use super::*;

    const BRIEF: Duration = Duration::from_millis(20);

    fn watched() -> Receiver<()> {
        let (hung, is_hung) = mpsc::channel();
        watch(BRIEF, 10, move || hung.send(()).unwrap()).unwrap();
        is_hung
    }

    #[tokio::test]
    async fn a_runtime_that_hangs_is_noticed() {
        let is_hung = watched();

        // Blocks the only thread of this runtime.
        let noticed = is_hung.recv_timeout(Duration::from_mins(1));

        assert_eq!(noticed, Ok(()));
    }

    #[tokio::test]
    async fn a_runtime_that_is_busy_but_runs_its_tasks_is_left_alone() {
        let is_hung = watched();

        for _ in 0..25 {
            thread::sleep(BRIEF);
            sleep(BRIEF / 4).await;
        }

        assert!(is_hung.try_recv().is_err());
    }
}
