//! Decides which owner of outdated pods is restarted next: a change reaches the owners one after
//! another and stops at the first one that it breaks.

mod summary;

use std::collections::BTreeMap;
use std::time::Duration;

use super::trace_buffer_snapshot::RolloutPolicy;

/// How long the restart of an owner may take where Kubernetes sets no deadline.
pub const RESTART_TIMEOUT: Duration = Duration::from_mins(10);
/// How often owners whose restart is in progress are checked.
pub const POLL_INTERVAL: Duration = Duration::from_secs(3);
/// How often owners are checked that cannot be restarted yet or whose restart has failed.
pub const BLOCKED_POLL_INTERVAL: Duration = Duration::from_secs(30);

/// The observed state of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadStatus {
    /// The revision of the last restart by the operator.
    pub revision: Option<String>,
    /// The progress of the owner's own rollout.
    pub progress: RolloutProgress,
    /// Why a restart would have no effect, if so.
    pub restart_blocker: Option<&'static str>,
    /// Whether a restart waits until pods that do not start are deleted.
    pub keeps_broken_pods: bool,
    /// The value of annotation `tracebuffer.dev/inject` in the owner's pod template.
    pub inject: Option<String>,
    /// The resource version; the API server rejects a write that is based on an older one.
    pub resource_version: String,
}

/// The progress of an owner's own rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutProgress {
    /// All pods are new and available.
    Complete,
    /// Some pods are not new or not available yet.
    Progressing,
    /// The rollout does not complete without intervention, for this reason.
    Failed(String),
}

/// How far the restart of an owner for one revision is. Times are of the monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerRollout {
    /// The owner has outdated pods and was not restarted yet.
    Waiting,
    /// The owner was restarted, and its pods are not all available yet.
    Progressing {
        /// When this state was first observed.
        since: Duration,
    },
    /// The owner was restarted, and its pods are available, or the restart was reverted.
    Complete {
        /// When this state was first observed.
        since: Duration,
    },
    /// The owner was restarted, and its pods do not become available, for this reason.
    Failed(String),
    /// The owner cannot be restarted now.
    Blocked(Blocker),
}

/// Why an owner with outdated pods is not restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// Another rollout of it is in progress.
    OtherRollout,
    /// Another rollout of it has failed, for this reason.
    FailedRollout(String),
    /// A restart would have no effect, for this reason.
    NoEffect(&'static str),
    /// Its pods do not start, and it waits for them to be deleted before it creates others.
    BrokenPods,
}

/// The progress of a rollout over all owners, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutSummary {
    /// No owner is left to be restarted.
    Complete,
    /// Owners restart, or wait for others to do so.
    Restarting(String),
    /// Those that are left cannot be restarted now.
    Blocked(String),
    /// The restart of an owner failed, so that no other is restarted.
    Halted(String),
    /// The operator cannot read or restart owners, for this reason.
    Failing(String),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutAction<K> {
    /// Restart these owners, then check again after [`POLL_INTERVAL`].
    Restart(Vec<K>),
    /// Check again after this time.
    Wait(Duration),
    /// Restart no owner until this one recovers; check again after [`BLOCKED_POLL_INTERVAL`].
    Halt {
        /// The owner.
        owner: K,
        /// Why its restart failed.
        why: String,
    },
    /// No owner is left to be restarted.
    Finished,
}

impl OwnerRollout {
    /// Returns the state of an owner that is observed as `status` at `now` and was in state
    /// `previous` before, for the change with this revision.
    ///
    /// An owner is restarted at most once for a revision. If the revision was removed afterwards,
    /// another client reverted the restart, and would revert the next one too.
    #[must_use]
    pub fn next_state(
        previous: Option<&Self>,
        status: &WorkloadStatus,
        revision: &str,
        now: Duration,
    ) -> Self {
        let complete = || match previous {
            Some(Self::Complete { since }) => Self::Complete { since: *since },
            _ => Self::Complete { since: now },
        };
        if status.revision.as_deref() == Some(revision) {
            return match &status.progress {
                RolloutProgress::Complete => complete(),
                RolloutProgress::Failed(why) => Self::Failed(why.clone()),
                RolloutProgress::Progressing => Self::progressing(previous, now),
            };
        }
        if matches!(
            previous,
            Some(Self::Progressing { .. } | Self::Complete { .. } | Self::Failed(_))
        ) {
            return complete();
        }
        // The next change may replace our own restart, even one that is in progress or has failed:
        // it may fix the failure. A rollout that another client started has to complete first.
        match (status.restart_blocker, &status.progress) {
            (Some(why), _) => Self::Blocked(Blocker::NoEffect(why)),
            (None, RolloutProgress::Complete) => Self::Waiting,
            (None, _) if status.revision.is_some() => Self::Waiting,
            (None, RolloutProgress::Progressing) => Self::Blocked(Blocker::OtherRollout),
            (None, RolloutProgress::Failed(why)) => {
                Self::Blocked(Blocker::FailedRollout(why.clone()))
            }
        }
    }

    /// Returns the state of an owner that is observed as `status`, and some of whose outdated sidecars do
    /// not run: its own rollout may never complete until they are replaced, so it is not waited for.
    #[must_use]
    pub fn with_failing_sidecars(self, status: &WorkloadStatus) -> Self {
        match self {
            Self::Blocked(Blocker::OtherRollout | Blocker::FailedRollout(_)) => {
                if status.keeps_broken_pods {
                    Self::Blocked(Blocker::BrokenPods)
                } else {
                    Self::Waiting
                }
            }
            other => other,
        }
    }

    fn progressing(previous: Option<&Self>, now: Duration) -> Self {
        match previous {
            // Pods also become unavailable for other reasons than the restart.
            Some(Self::Complete { since }) => Self::Complete { since: *since },
            Some(Self::Failed(why)) => Self::Failed(why.clone()),
            Some(Self::Progressing { since }) if now.saturating_sub(*since) > RESTART_TIMEOUT => {
                let minutes = RESTART_TIMEOUT.as_secs() / 60;
                Self::Failed(format!(
                    "its pods are not available {minutes} minutes after the restart"
                ))
            }
            Some(Self::Progressing { since }) => Self::Progressing { since: *since },
            _ => Self::Progressing { since: now },
        }
    }
}

/// Returns what to do next, at `now`.
#[must_use]
pub fn next_action<K: Clone + Ord>(
    policy: &RolloutPolicy,
    owners: &BTreeMap<K, OwnerRollout>,
    now: Duration,
) -> RolloutAction<K> {
    let failed = owners.iter().find_map(|(owner, rollout)| match rollout {
        OwnerRollout::Failed(why) => Some((owner.clone(), why.clone())),
        _ => None,
    });
    if let Some((owner, why)) = failed {
        return RolloutAction::Halt { owner, why };
    }
    let waiting = owners.iter().filter(|(_, rollout)| **rollout == OwnerRollout::Waiting);
    let waiting: Vec<K> = waiting.map(|(owner, _)| owner.clone()).collect();
    let progressing = owners
        .values()
        .filter(|rollout| matches!(rollout, OwnerRollout::Progressing { .. }))
        .count();
    let any_blocked = owners.values().any(|rollout| matches!(rollout, OwnerRollout::Blocked(_)));
    if waiting.is_empty() {
        return match (progressing, any_blocked) {
            (0, false) => RolloutAction::Finished,
            (0, true) => RolloutAction::Wait(BLOCKED_POLL_INTERVAL),
            _ => RolloutAction::Wait(POLL_INTERVAL),
        };
    }
    let remaining = remaining_interval(policy, owners, now);
    let free_slots = policy.max_concurrent.max(1).saturating_sub(progressing);
    match (remaining, free_slots) {
        (Some(remaining), _) => RolloutAction::Wait(remaining),
        (None, 0) => RolloutAction::Wait(POLL_INTERVAL),
        (None, slots) => RolloutAction::Restart(waiting.into_iter().take(slots).collect()),
    }
}

/// Returns what remains of the wait after the restart that completed last.
fn remaining_interval<K>(
    policy: &RolloutPolicy,
    owners: &BTreeMap<K, OwnerRollout>,
    now: Duration,
) -> Option<Duration> {
    let completed = owners.values().filter_map(|rollout| match rollout {
        OwnerRollout::Complete { since } => Some(*since),
        _ => None,
    });
    let end = completed.max()?.saturating_add(policy.interval);
    end.checked_sub(now).filter(|remaining| !remaining.is_zero())
}

#[cfg(test)]
mod tests;
