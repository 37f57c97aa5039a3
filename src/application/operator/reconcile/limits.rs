//! The limits of running pods: which are not as they should be, and writing them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::LeaderSession;
use super::trace_buffer::{ManagedPod, injected_sidecar};
use crate::domain::limits_text;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::reconcile::trace_buffer_snapshot::TraceBufferSnapshot;
use crate::ports::operator::cluster::{Cluster, ClusterError};
use crate::ports::operator::pods::PodLister;

/// Most pods whose limits are written before the status is, so that it is true in time.
pub(super) const MAX_LIMITS_PER_PASS: usize = 64;
/// How long to wait before the next ones.
pub(super) const LIMITS_INTERVAL: Duration = Duration::from_millis(50);
/// For how long a pod that refuses its limits is waited for; a policy engine may refuse them for
/// good.
const PENDING_TIMEOUT: Duration = Duration::from_mins(1);

/// A pod whose limits are not as they should be, and how they should.
pub(super) struct LimitsUpdate {
    pod: Arc<PodSnapshot>,
    text: String,
    failure: Option<LimitsFailure>,
}

/// The pods of one `TraceBuffer` that refused limits, by UID: which, and how often.
#[derive(Default)]
pub(super) struct LimitsFailures(HashMap<String, (String, LimitsFailure)>);

#[derive(Clone, Copy)]
struct LimitsFailure {
    attempts: u32,
    since: Instant,
}

impl LimitsFailures {
    fn of(&self, pod: &PodSnapshot, text: &str) -> Option<LimitsFailure> {
        let (refused, how) = self.0.get(&pod.uid)?;
        (refused == text).then_some(*how)
    }

    fn remember(&mut self, wrong: &LimitsUpdate, refused: LimitsFailure) {
        self.0.insert(wrong.pod.uid.clone(), (wrong.text.clone(), refused));
    }
}

impl LimitsUpdate {
    fn next_failure(&self) -> LimitsFailure {
        let now = LimitsFailure { attempts: 0, since: Instant::now() };
        let before = self.failure.unwrap_or(now);
        LimitsFailure { attempts: before.attempts.saturating_add(1), ..before }
    }
}

/// Returns the pods whose limits are not as they should be, those last that refused them most often.
pub(super) fn limits_updates(
    declared: &TraceBufferSnapshot,
    members: &[ManagedPod],
    refusals: &LimitsFailures,
) -> Vec<LimitsUpdate> {
    let Ok(needs) = &declared.sidecar else { return vec![] };
    let wrong = members.iter().filter_map(|(pod, _)| {
        let text = limits_text::to_file(&needs.limits.capped_at(injected_sidecar(pod)?.max_bytes));
        let refused = refusals.of(pod, &text);
        let pod = Arc::clone(pod);
        (pod.limits.as_ref() != Some(&text)).then_some(LimitsUpdate { pod, text, failure: refused })
    });
    let mut wrong: Vec<_> = wrong.collect();
    wrong.sort_by_key(|one| one.failure.map_or(0, |refused| refused.attempts));
    wrong
}

/// Returns whether there are limits whose writing is worth waiting for.
pub(super) fn any_pending(wrong: &[LimitsUpdate]) -> bool {
    let is_pending = |refused: LimitsFailure| refused.since.elapsed() < PENDING_TIMEOUT;
    wrong.iter().any(|one| one.failure.is_none_or(is_pending))
}

impl<C: Cluster, P: PodLister> LeaderSession<C, P> {
    /// Writes limits, some at a time. One that cannot be written now keeps no other waiting.
    pub(super) async fn write_limits(
        &self,
        declared: &TraceBufferSnapshot,
        wrong: &[LimitsUpdate],
    ) -> Result<(), ClusterError> {
        let mut result = Ok(());
        let mut refusals = LimitsFailures::default();
        let (now, later) = wrong.split_at(wrong.len().min(MAX_LIMITS_PER_PASS));
        for one in later {
            if let Some(refused) = one.failure {
                refusals.remember(one, refused);
            }
        }
        for one in now {
            match self.context.cluster.set_limits(&one.pod, &one.text).await {
                Ok(()) | Err(ClusterError::NotFound) => {}
                Err(error) => {
                    refusals.remember(one, one.next_failure());
                    result = Err(error);
                }
            }
        }
        self.limits_failures.lock().insert(declared.key.clone(), refusals);
        result
    }
}
