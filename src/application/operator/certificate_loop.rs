//! What the two keepers of the webhook's certificates have in common: they look, act, and rest until
//! something changes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::domain::backoff::Backoff;
use crate::ports::operator::certificates::{
    CertificateMonitor, CertificateStore, Publication, StoreError, Versioned,
};

/// One keeper's task.
pub(super) trait CertificateTask {
    /// What it has seen since it does the task.
    type History: Default + Send;

    /// Looks once, does what is due, and returns when to look again.
    fn run_once(
        &self,
        memory: &mut Self::History,
    ) -> impl Future<Output = Result<Duration, StoreError>> + Send;
}

/// How a duty is done.
pub(super) struct CertificateLoop<M> {
    pub(super) monitor: Arc<M>,
    /// Gives a fresh random number at each call.
    pub(super) random: fn() -> u64,
}

/// Since when, by the clock that does not jump, something has been as it is.
pub(super) struct UnchangedSince<T> {
    value: T,
    since: Duration,
}

impl<M: CertificateMonitor> CertificateLoop<M> {
    /// Does the duty whenever `leading` is true, until its sender is gone.
    pub(super) async fn run(
        &self,
        duty: &impl CertificateTask,
        mut leading: watch::Receiver<bool>,
        changes: watch::Receiver<u64>,
    ) {
        while leading.wait_for(|leads| *leads).await.is_ok() {
            // A write that is cut off in flight is either done or not; the next leader reads which.
            let deposed = tokio::select! {
                deposed = leading.wait_for(|leads| !leads) => deposed.is_ok(),
                () = self.run_until_cancelled(duty, changes.clone()) => false,
            };
            self.monitor.leadership_lost();
            if !deposed {
                return;
            }
        }
    }

    async fn run_until_cancelled<D: CertificateTask>(
        &self,
        duty: &D,
        mut changes: watch::Receiver<u64>,
    ) {
        let mut memory = D::History::default();
        let mut backoff = Backoff::default();
        let mut reported = None;
        loop {
            changes.mark_unchanged();
            let pause = match duty.run_once(&mut memory).await {
                Ok(pause) => {
                    backoff.reset();
                    reported = None;
                    pause
                }
                Err(error) => {
                    self.log_failure(error, &mut reported);
                    backoff.after_failure(None, (self.random)())
                }
            };
            wait_for_change(pause, &mut changes).await;
        }
    }

    /// `reported` is the failure that was logged last.
    fn log_failure(&self, error: StoreError, reported: &mut Option<String>) {
        match error {
            StoreError::Conflict => debug!("somebody else wrote the webhook's certificates"),
            StoreError::Failed(error) => {
                self.monitor.failed();
                if reported.as_ref() != Some(&error) {
                    warn!(error, "the webhook's certificates cannot be kept; trying on");
                    *reported = Some(error);
                }
            }
        }
    }
}

/// Reads what is published, where there must be a configuration.
pub(super) async fn require_publication<S: CertificateStore>(
    store: &S,
) -> Result<Versioned<Publication>, StoreError> {
    store.read_publication().await?.ok_or_else(|| {
        let publisher = store.publication_location();
        StoreError::Failed(format!(
            "there is no {publisher}: install the chart again, or correct WEBHOOK_NAME"
        ))
    })
}

/// Returns how long `what` has been as it is now; `None` is nothing to be measured.
pub(super) fn unchanged_for<T: PartialEq>(
    memory: &mut Option<UnchangedSince<T>>,
    what: Option<T>,
    now: Duration,
) -> Duration {
    *memory = what.map(|what| match memory.take() {
        Some(known) if known.value == what => known,
        _ => UnchangedSince { value: what, since: now },
    });
    memory.as_ref().map_or(Duration::ZERO, |known| now.saturating_sub(known.since))
}

async fn wait_for_change(pause: Duration, changes: &mut watch::Receiver<u64>) {
    let any = async {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    // Either way it is time to look again.
    let _ = timeout(pause, any).await;
}
