//! The loop that the rotator and the publisher of the webhook's certificates share: observe, act, and
//! wait until something changes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::domain::backoff::Backoff;
use crate::ports::operator::certificates::{
    CertificateMonitor, CertificateStore, Publication, StoreError, Versioned,
};

/// The pause after a failure that no change cuts short: whoever changes an object does not set the
/// pace of failing writes.
const MIN_FAILURE_PAUSE: Duration = Duration::from_millis(500);
/// Time without a write after which pauses after writes are short again.
const WRITE_BACKOFF_RESET_AFTER: Duration = Duration::from_mins(1);

/// What the loop repeats.
pub(super) trait CertificateTask {
    /// What the task remembers from one run to the next.
    type History: Default + Send;

    /// Observes once and makes at most one write.
    fn run_once(
        &self,
        history: &mut Self::History,
    ) -> impl Future<Output = Result<RunOutcome, StoreError>> + Send;
}

/// What one run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunOutcome {
    /// It wrote: there may be more to write.
    Wrote,
    /// Nothing needs to be written for this long, unless something changes.
    Wait(Duration),
}

/// Runs a task.
pub(super) struct CertificateLoop<M> {
    pub(super) monitor: Arc<M>,
    /// Returns a new random number at each call.
    pub(super) random: fn() -> u64,
}

/// A value, and the time of the monotonic clock since which it is unchanged.
pub(super) struct UnchangedSince<T> {
    value: T,
    since: Duration,
}

/// Pauses after writes. A write with no lasting effect, because its result never matches or another
/// client reverts it, would otherwise be repeated as fast as the API server responds.
#[derive(Default)]
struct WriteBackoff {
    backoff: Backoff,
    last_write: Option<Instant>,
}

impl WriteBackoff {
    /// Returns the pause after a write that was just made: up to 100 ms for the first, and up to twice
    /// as long for each further one, at most 10 s.
    fn after_write(&mut self, random: u64) -> Duration {
        if self.last_write.is_some_and(|last| last.elapsed() > WRITE_BACKOFF_RESET_AFTER) {
            self.backoff.reset();
        }
        self.last_write = Some(Instant::now());
        self.backoff.after_failure(None, random)
    }
}

/// Tells the monitor when leadership ends, also when [`CertificateLoop::run`] is cancelled at shutdown.
struct Leadership<'a, M: CertificateMonitor>(&'a M);

impl<M: CertificateMonitor> Drop for Leadership<'_, M> {
    fn drop(&mut self) {
        self.0.leadership_lost();
    }
}

impl<M: CertificateMonitor> CertificateLoop<M> {
    /// Runs the task whenever `leading` is true, until its sender is dropped.
    pub(super) async fn run(
        &self,
        task: &impl CertificateTask,
        mut leading: watch::Receiver<bool>,
        changes: watch::Receiver<u64>,
    ) {
        while leading.wait_for(|leads| *leads).await.is_ok() {
            let _leadership = Leadership(&*self.monitor);
            // A write that is cancelled in flight may be done or not; the next leader reads which.
            let deposed = tokio::select! {
                deposed = leading.wait_for(|leads| !leads) => deposed.is_ok(),
                () = self.run_until_cancelled(task, changes.clone()) => false,
            };
            if !deposed {
                return;
            }
        }
    }

    async fn run_until_cancelled<D: CertificateTask>(
        &self,
        task: &D,
        mut changes: watch::Receiver<u64>,
    ) {
        let mut history = D::History::default();
        let (mut failures, mut writes) = (Backoff::default(), WriteBackoff::default());
        let mut reported = None;
        loop {
            changes.mark_unchanged();
            let outcome = task.run_once(&mut history).await;
            if outcome.is_ok() {
                failures.reset();
                reported = None;
            }
            match outcome {
                Ok(RunOutcome::Wrote) => sleep(writes.after_write((self.random)())).await,
                Ok(RunOutcome::Wait(pause)) => wait_for_change(pause, &mut changes).await,
                Err(error) => {
                    self.log_failure(error, &mut reported);
                    let pause = failures.after_failure(None, (self.random)());
                    let uncut = pause.min(MIN_FAILURE_PAUSE);
                    sleep(uncut).await;
                    wait_for_change(pause.saturating_sub(uncut), &mut changes).await;
                }
            }
        }
    }

    /// Logs a failure unless it is `reported`, the last one logged.
    fn log_failure(&self, error: StoreError, reported: &mut Option<String>) {
        match error {
            StoreError::Conflict => {
                debug!("the webhook's certificates were written by another; reading them again");
            }
            StoreError::Failed(error) => {
                self.monitor.failed();
                if reported.as_ref() != Some(&error) {
                    warn!(error, "updating the webhook's certificates failed; retrying");
                    *reported = Some(error);
                }
            }
        }
    }
}

/// Reads the publication; a missing configuration is a failure.
pub(super) async fn require_publication<S: CertificateStore>(
    store: &S,
) -> Result<Versioned<Publication>, StoreError> {
    store.read_publication().await?.ok_or_else(|| {
        let location = store.publication_location();
        StoreError::Failed(format!(
            "there is no {location}: install the chart again, or correct WEBHOOK_NAME"
        ))
    })
}

/// Returns for how long `value` has been the same; zero for `None`, which also starts over.
pub(super) fn unchanged_for<T: PartialEq>(
    last: &mut Option<UnchangedSince<T>>,
    value: Option<T>,
    now: Duration,
) -> Duration {
    *last = value.map(|value| match last.take() {
        Some(last) if last.value == value => last,
        _ => UnchangedSince { value, since: now },
    });
    last.as_ref().map_or(Duration::ZERO, |last| now.saturating_sub(last.since))
}

/// Waits for a change, at most for `pause`.
async fn wait_for_change(pause: Duration, changes: &mut watch::Receiver<u64>) {
    let change = async {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    // Both a change and the end of the pause start the next run.
    let _ = timeout(pause, change).await;
}
