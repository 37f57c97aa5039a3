//! When the drain has to end so that the kubelet does not end it.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long before the kubelet kills the container the drain ends: the rest is for the last lines.
const BEFORE_KILL: Duration = Duration::from_secs(2);
/// What a drain may take in any case.
const MIN_DRAIN: Duration = Duration::from_millis(1_500);
/// How long after the grace period a stop signal may come: the kubelet counts from the end of the hook, and
/// gives a sidecar whose application has used up everything two seconds more.
const LATE_STOP: Duration = Duration::from_secs(5);

/// Remembers when the pod began to terminate.
///
/// The kubelet counts the grace period from then, not from the stop signal: a sidecar gets that only after
/// the application has ended. The preStop hooks of all containers start at once, and that of the sidecar
/// requests a flush.
#[derive(Debug, Default)]
pub(super) struct PodTermination {
    last_flush: Mutex<Option<Instant>>,
}

impl PodTermination {
    /// Notes a flush, which may be the beginning of the termination.
    pub(super) fn note_flush(&self) {
        *self.last_flush.lock() = Some(Instant::now());
    }

    /// Returns when a drain that begins now ends at the latest.
    pub(super) fn end_of_drain(
        &self,
        drain_timeout: Duration,
        grace_period: Option<Duration>,
    ) -> Instant {
        let now = Instant::now();
        let configured = now + drain_timeout;
        let begun = *self.last_flush.lock();
        let killed = begun.zip(grace_period).map(|(begun, grace)| begun + grace);
        // A pod whose grace period had ended long ago would not be alive: that flush was another one.
        match killed.filter(|killed| now < *killed + LATE_STOP) {
            Some(killed) => configured.min((killed - BEFORE_KILL).max(now + MIN_DRAIN)),
            None => configured,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    async fn drain_after(flushed_before: Duration, timeout: Duration, grace: u64) -> Duration {
        let termination = PodTermination::default();
        termination.note_flush();
        advance(flushed_before).await;
        termination.end_of_drain(timeout, Some(seconds(grace))) - Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_before_the_kubelet_kills_the_container() {
        assert_eq!(drain_after(seconds(0), seconds(25), 30).await, seconds(25));
        assert_eq!(drain_after(seconds(10), seconds(25), 30).await, seconds(18));
        assert_eq!(drain_after(seconds(0), seconds(25), 10).await, seconds(8));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_has_some_time_unless_less_is_configured() {
        assert_eq!(drain_after(seconds(29), seconds(25), 30).await, MIN_DRAIN);
        assert_eq!(drain_after(seconds(31), seconds(25), 30).await, MIN_DRAIN);
        assert_eq!(drain_after(seconds(0), seconds(25), 1).await, MIN_DRAIN);
        assert_eq!(drain_after(seconds(29), seconds(1), 30).await, seconds(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_long_ago_was_not_that_of_the_hook() {
        assert_eq!(drain_after(seconds(35), seconds(25), 30).await, seconds(25));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_flush_or_a_grace_period_the_drain_takes_its_timeout() {
        let termination = PodTermination::default();
        let left = |grace| termination.end_of_drain(seconds(25), grace) - Instant::now();
        assert_eq!(left(Some(seconds(10))), seconds(25));

        termination.note_flush();

        assert_eq!(left(None), seconds(25));
    }
}
