//! The limits of running pods: which are not as they should be, and writing them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Term;
use super::trace_buffer::{Member, injected};
use crate::domain::injection::pod_record::PodRecord;
use crate::domain::operating::declared::{Declared, RunningLimits};
use crate::ports::cluster::{Cluster, ClusterError};
use crate::ports::pods::Pods;

/// Most pods whose limits are written before the status is, so that it is true in time.
pub(super) const LIMITS_AT_ONCE: usize = 64;
/// How long to wait before the next ones.
pub(super) const LIMITS_PAUSE: Duration = Duration::from_millis(50);
/// For how long a pod that refuses its limits is waited for; a policy engine may refuse them for
/// good.
const PATIENCE: Duration = Duration::from_mins(1);

/// A pod whose limits are not as they should be, and how they should.
pub(super) struct WrongLimits {
    pod: Arc<PodRecord>,
    text: String,
    refused: Option<Refused>,
}

/// The pods of one `TraceBuffer` that refused limits, by UID: which, and how often.
#[derive(Default)]
pub(super) struct Refusals(HashMap<String, (String, Refused)>);

#[derive(Clone, Copy)]
struct Refused {
    times: u32,
    since: Instant,
}

impl Refusals {
    fn of(&self, pod: &PodRecord, text: &str) -> Option<Refused> {
        let (refused, how) = self.0.get(&pod.uid)?;
        (refused == text).then_some(*how)
    }

    fn remember(&mut self, wrong: &WrongLimits, refused: Refused) {
        self.0.insert(wrong.pod.uid.clone(), (wrong.text.clone(), refused));
    }
}

impl WrongLimits {
    fn refused_again(&self) -> Refused {
        let now = Refused { times: 0, since: Instant::now() };
        let before = self.refused.unwrap_or(now);
        Refused { times: before.times.saturating_add(1), ..before }
    }
}

/// Returns the pods whose limits are not as they should be, those last that refused them most often.
/// `text` writes limits as sidecars read them.
pub(super) fn wrong_limits(
    declared: &Declared,
    members: &[Member],
    refusals: &Refusals,
    text: impl Fn(&RunningLimits) -> String,
) -> Vec<WrongLimits> {
    let Ok(needs) = &declared.sidecar else { return vec![] };
    let wrong = members.iter().filter_map(|(pod, _)| {
        let text = text(&needs.limits.within(injected(pod)?.max_bytes));
        let refused = refusals.of(pod, &text);
        let pod = Arc::clone(pod);
        (pod.limits.as_ref() != Some(&text)).then_some(WrongLimits { pod, text, refused })
    });
    let mut wrong: Vec<_> = wrong.collect();
    wrong.sort_by_key(|one| one.refused.map_or(0, |refused| refused.times));
    wrong
}

/// Returns whether there are limits whose writing is worth waiting for.
pub(super) fn are_pending(wrong: &[WrongLimits]) -> bool {
    let is_pending = |refused: Refused| refused.since.elapsed() < PATIENCE;
    wrong.iter().any(|one| one.refused.is_none_or(is_pending))
}

impl<C: Cluster, P: Pods> Term<C, P> {
    /// Writes limits, some at a time. One that cannot be written now keeps no other waiting.
    pub(super) async fn write_limits(
        &self,
        declared: &Declared,
        wrong: &[WrongLimits],
    ) -> Result<(), ClusterError> {
        let mut result = Ok(());
        let mut refusals = Refusals::default();
        let (now, later) = wrong.split_at(wrong.len().min(LIMITS_AT_ONCE));
        for one in later {
            if let Some(refused) = one.refused {
                refusals.remember(one, refused);
            }
        }
        for one in now {
            match self.parts.cluster.set_limits(&one.pod, &one.text).await {
                Ok(()) | Err(ClusterError::Gone) => {}
                Err(error) => {
                    refusals.remember(one, one.refused_again());
                    result = Err(error);
                }
            }
        }
        self.refusals.lock().insert(declared.key.clone(), refusals);
        result
    }
}
