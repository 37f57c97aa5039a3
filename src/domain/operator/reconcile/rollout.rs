//! Which owner of outdated pods is restarted next, so that a change reaches all of them one after
//! another and stops at the first that it breaks.

use std::collections::BTreeMap;
use std::time::Duration;

use super::trace_buffer_snapshot::RolloutPolicy;

/// How long a restarted owner may take, where Kubernetes sets no deadline itself.
pub const RESTART_TIMEOUT: Duration = Duration::from_mins(10);
/// How often owners that are being restarted are looked at.
pub const POLL_INTERVAL: Duration = Duration::from_secs(3);
/// How often owners are looked at that others must mend or finish first.
pub const BLOCKED_POLL_INTERVAL: Duration = Duration::from_secs(30);

/// An owner, as the cluster shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadStatus {
    /// The change that it was last restarted for.
    pub revision: Option<String>,
    /// How its own rollout goes.
    pub progress: RolloutProgress,
    /// Why a restart would do nothing, if so.
    pub restart_blocker: Option<&'static str>,
    /// The annotation by which its new pods ask for a sidecar.
    pub inject: Option<String>,
    /// What the API server wants back to notice that a writer is behind.
    pub resource_version: String,
}

/// How an owner's rollout goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutProgress {
    /// All its pods are new and available.
    Complete,
    /// Some are not yet.
    Progressing,
    /// They will not be without help, and why.
    Failed(String),
}

/// How far an owner is with one change. Times are of the monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerRollout {
    /// It has outdated pods and was not restarted for it.
    Waiting,
    /// It was, and its pods are coming up.
    Progressing {
        /// Since when it is seen so.
        since: Duration,
    },
    /// It was, and its pods are up, or somebody took the restart back.
    Complete {
        /// Since when it is seen so.
        since: Duration,
    },
    /// It was, and its pods do not come up.
    Failed(String),
    /// It cannot be restarted now: its own rollout is under way, or a restart would do nothing.
    Blocked,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutAction<K> {
    /// Restart these, and look again soon.
    Restart(Vec<K>),
    /// Nothing before this time is over.
    Wait(Duration),
    /// Nothing at all until this owner is mended; look again after [`BLOCKED_POLL_INTERVAL`].
    Halt {
        /// The owner.
        owner: K,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing: no owner is left to be restarted.
    Finished,
}

impl OwnerRollout {
    /// Returns how far an owner is that is seen as `seen` now, after `before`, with the change
    /// marked `marker`.
    ///
    /// Whoever was restarted once for a change is never restarted again for it, even if the marker
    /// is gone: somebody took it back, and would again.
    #[must_use]
    pub fn next_state(
        before: Option<&Self>,
        seen: &WorkloadStatus,
        marker: &str,
        now: Duration,
    ) -> Self {
        let done = || match before {
            Some(Self::Complete { since }) => Self::Complete { since: *since },
            _ => Self::Complete { since: now },
        };
        if seen.revision.as_deref() == Some(marker) {
            return match &seen.progress {
                RolloutProgress::Complete => done(),
                RolloutProgress::Failed(why) => Self::Failed(why.clone()),
                RolloutProgress::Progressing => Self::progressing(before, now),
            };
        }
        if matches!(
            before,
            Some(Self::Progressing { .. } | Self::Complete { .. } | Self::Failed(_))
        ) {
            return done();
        }
        // A restart of ours that is under way, or broke it, gives way to the next change; that may
        // be the remedy. What others started is waited for.
        let is_free = seen.progress == RolloutProgress::Complete || seen.revision.is_some();
        if is_free && seen.restart_blocker.is_none() { Self::Waiting } else { Self::Blocked }
    }

    fn progressing(before: Option<&Self>, now: Duration) -> Self {
        match before {
            // Its pods come and go for reasons of their own.
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
    pace: &RolloutPolicy,
    owners: &BTreeMap<K, OwnerRollout>,
    now: Duration,
) -> RolloutAction<K> {
    let failed = owners.iter().find_map(|(owner, turn)| match turn {
        OwnerRollout::Failed(why) => Some((owner.clone(), why.clone())),
        _ => None,
    });
    if let Some((owner, why)) = failed {
        return RolloutAction::Halt { owner, why };
    }
    let waiting = owners.iter().filter(|(_, turn)| **turn == OwnerRollout::Waiting);
    let waiting: Vec<K> = waiting.map(|(owner, _)| owner.clone()).collect();
    let moving =
        owners.values().filter(|turn| matches!(turn, OwnerRollout::Progressing { .. })).count();
    let unable = owners.values().any(|turn| *turn == OwnerRollout::Blocked);
    if waiting.is_empty() {
        return match (moving, unable) {
            (0, false) => RolloutAction::Finished,
            (0, true) => RolloutAction::Wait(BLOCKED_POLL_INTERVAL),
            _ => RolloutAction::Wait(POLL_INTERVAL),
        };
    }
    let pause = remaining_interval(pace, owners, now);
    let free = pace.max_concurrent.max(1).saturating_sub(moving);
    match (pause, free) {
        (Some(left), _) => RolloutAction::Wait(left),
        (None, 0) => RolloutAction::Wait(POLL_INTERVAL),
        (None, free) => RolloutAction::Restart(waiting.into_iter().take(free).collect()),
    }
}

/// Returns what is left of the pause after the owner that was done last.
fn remaining_interval<K>(
    pace: &RolloutPolicy,
    owners: &BTreeMap<K, OwnerRollout>,
    now: Duration,
) -> Option<Duration> {
    let done = owners.values().filter_map(|turn| match turn {
        OwnerRollout::Complete { since } => Some(*since),
        _ => None,
    });
    let end = done.max()?.saturating_add(pace.interval);
    end.checked_sub(now).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests;
