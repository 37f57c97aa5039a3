//! Updates the limits of running pods.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::LeaderSession;
use crate::domain::limits_text;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::reconcile::sidecar_state::injected_sidecar;
use crate::domain::operator::reconcile::trace_buffer_snapshot::TraceBufferSnapshot;
use crate::ports::operator::cluster::{Cluster, ClusterError};
use crate::ports::operator::pods::PodLister;

/// Maximum number of pods whose limits are written before the status is updated, so that the status
/// is not delayed.
pub(super) const MAX_LIMITS_PER_PASS: usize = 64;
/// The wait before the next pods.
pub(super) const LIMITS_INTERVAL: Duration = Duration::from_millis(50);
/// How long a pod whose limits cannot be written counts as pending. A policy engine may reject the
/// write permanently, and a `TraceBuffer` must not stay pending for it.
const PENDING_TIMEOUT: Duration = Duration::from_mins(1);

/// A pod whose limits are outdated, and the limits it should have.
pub(super) struct LimitsUpdate {
    pod: Arc<PodSnapshot>,
    text: String,
    failure: Option<LimitsFailure>,
}

/// The failed limits writes of one `TraceBuffer`, by the UID of the pod: the text and the failure.
#[derive(Default)]
pub(super) struct LimitsFailures(HashMap<String, (String, LimitsFailure)>);

#[derive(Clone, Copy)]
struct LimitsFailure {
    attempts: u32,
    since: Instant,
}

impl LimitsFailures {
    fn of(&self, pod: &PodSnapshot, text: &str) -> Option<LimitsFailure> {
        let (failed_text, failure) = self.0.get(&pod.uid)?;
        (failed_text == text).then_some(*failure)
    }

    fn remember(&mut self, update: &LimitsUpdate, failure: LimitsFailure) {
        self.0.insert(update.pod.uid.clone(), (update.text.clone(), failure));
    }
}

impl LimitsUpdate {
    fn next_failure(&self) -> LimitsFailure {
        let first = LimitsFailure { attempts: 0, since: Instant::now() };
        let previous = self.failure.unwrap_or(first);
        LimitsFailure { attempts: previous.attempts.saturating_add(1), ..previous }
    }
}

/// Returns the pods whose limits are outdated, those with the fewest failed attempts first.
pub(super) fn outdated_limits<'a>(
    snapshot: &TraceBufferSnapshot,
    pods: impl Iterator<Item = &'a Arc<PodSnapshot>>,
    failures: &LimitsFailures,
) -> Vec<LimitsUpdate> {
    let Ok(desired) = &snapshot.sidecar else { return vec![] };
    let updates = pods.filter_map(|pod| {
        let text =
            limits_text::to_file(&desired.limits.capped_at(injected_sidecar(pod)?.max_bytes));
        let failure = failures.of(pod, &text);
        let pod = Arc::clone(pod);
        (pod.limits.as_ref() != Some(&text)).then_some(LimitsUpdate { pod, text, failure })
    });
    let mut updates: Vec<_> = updates.collect();
    updates.sort_by_key(|update| update.failure.map_or(0, |failure| failure.attempts));
    updates
}

/// Returns whether an update is still expected to succeed soon.
pub(super) fn any_pending(updates: &[LimitsUpdate]) -> bool {
    let is_pending = |failure: LimitsFailure| failure.since.elapsed() < PENDING_TIMEOUT;
    updates.iter().any(|update| update.failure.is_none_or(is_pending))
}

impl<C: Cluster, P: PodLister> LeaderSession<C, P> {
    /// Writes limits, at most [`MAX_LIMITS_PER_PASS`]. A failure does not delay the other pods.
    pub(super) async fn write_limits(
        &self,
        snapshot: &TraceBufferSnapshot,
        updates: &[LimitsUpdate],
    ) -> Result<(), ClusterError> {
        let mut result = Ok(());
        let mut failures = LimitsFailures::default();
        let (current, deferred) = updates.split_at(updates.len().min(MAX_LIMITS_PER_PASS));
        for update in deferred {
            if let Some(failure) = update.failure {
                failures.remember(update, failure);
            }
        }
        for update in current {
            match self.context.cluster.set_limits(&update.pod, &update.text).await {
                Ok(()) | Err(ClusterError::NotFound) => {}
                Err(error) => {
                    failures.remember(update, update.next_failure());
                    result = Err(error);
                }
            }
        }
        self.limits_failures.lock().insert(snapshot.key.clone(), failures);
        result
    }
}
