//! Which owner of outdated pods is restarted next, so that a change reaches all of them one after
//! another and stops at the first that it breaks.

use std::collections::BTreeMap;
use std::time::Duration;

use super::declared::Pace;

/// How long a restarted owner may take, where Kubernetes sets no deadline itself.
pub const LONGEST_RESTART: Duration = Duration::from_mins(10);
/// How often owners that are being restarted are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How often owners are looked at that others must mend or finish first.
pub const LOOK_SELDOM: Duration = Duration::from_secs(30);

/// An owner, as the cluster shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The change that it was last restarted for.
    pub marker: Option<String>,
    /// How its own rollout goes.
    pub progress: Progress,
    /// Why a restart would do nothing, if so.
    pub obstacle: Option<&'static str>,
    /// The annotation by which its new pods ask for a sidecar.
    pub inject: Option<String>,
    /// What the API server wants back to notice that a writer is behind.
    pub resource_version: String,
}

/// How an owner's rollout goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All its pods are new and available.
    Complete,
    /// Some are not yet.
    Moving,
    /// They will not be without help, and why.
    Failed(String),
}

/// How far an owner is with one change. Times are of the monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has outdated pods and was not restarted for it.
    Waiting,
    /// It was, and its pods are coming up.
    Moving {
        /// Since when it is seen so.
        since: Duration,
    },
    /// It was, and its pods are up, or somebody took the restart back.
    Done {
        /// Since when it is seen so.
        since: Duration,
    },
    /// It was, and its pods do not come up.
    Failed(String),
    /// It cannot be restarted now: its own rollout is under way, or a restart would do nothing.
    Unable,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<K> {
    /// Restart these, and look again soon.
    Restart(Vec<K>),
    /// Nothing before this time is over.
    Wait(Duration),
    /// Nothing at all until this owner is mended; look again after [`LOOK_SELDOM`].
    Halt {
        /// The owner.
        owner: K,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing: no owner is left to be restarted.
    Finished,
}

impl Turn {
    /// Returns how far an owner is that is seen as `seen` now, after `before`, with the change
    /// marked `marker`.
    ///
    /// Whoever was restarted once for a change is never restarted again for it, even if the marker
    /// is gone: somebody took it back, and would again.
    #[must_use]
    pub fn after(before: Option<&Self>, seen: &Seen, marker: &str, now: Duration) -> Self {
        let done = || match before {
            Some(Self::Done { since }) => Self::Done { since: *since },
            _ => Self::Done { since: now },
        };
        if seen.marker.as_deref() == Some(marker) {
            return match &seen.progress {
                Progress::Complete => done(),
                Progress::Failed(why) => Self::Failed(why.clone()),
                Progress::Moving => Self::moving(before, now),
            };
        }
        if matches!(before, Some(Self::Moving { .. } | Self::Done { .. } | Self::Failed(_))) {
            return done();
        }
        // A restart of ours that is under way, or broke it, gives way to the next change; that may
        // be the remedy. What others started is waited for.
        let is_free = seen.progress == Progress::Complete || seen.marker.is_some();
        if is_free && seen.obstacle.is_none() { Self::Waiting } else { Self::Unable }
    }

    fn moving(before: Option<&Self>, now: Duration) -> Self {
        match before {
            // Its pods come and go for reasons of their own.
            Some(Self::Done { since }) => Self::Done { since: *since },
            Some(Self::Failed(why)) => Self::Failed(why.clone()),
            Some(Self::Moving { since }) if now.saturating_sub(*since) > LONGEST_RESTART => {
                let minutes = LONGEST_RESTART.as_secs() / 60;
                Self::Failed(format!(
                    "its pods are not available {minutes} minutes after the restart"
                ))
            }
            Some(Self::Moving { since }) => Self::Moving { since: *since },
            _ => Self::Moving { since: now },
        }
    }
}

/// Returns what to do next, at `now`.
#[must_use]
pub fn next<K: Clone + Ord>(pace: &Pace, owners: &BTreeMap<K, Turn>, now: Duration) -> Step<K> {
    let failed = owners.iter().find_map(|(owner, turn)| match turn {
        Turn::Failed(why) => Some((owner.clone(), why.clone())),
        _ => None,
    });
    if let Some((owner, why)) = failed {
        return Step::Halt { owner, why };
    }
    let waiting = owners.iter().filter(|(_, turn)| **turn == Turn::Waiting);
    let waiting: Vec<K> = waiting.map(|(owner, _)| owner.clone()).collect();
    let moving = owners.values().filter(|turn| matches!(turn, Turn::Moving { .. })).count();
    let unable = owners.values().any(|turn| *turn == Turn::Unable);
    if waiting.is_empty() {
        return match (moving, unable) {
            (0, false) => Step::Finished,
            (0, true) => Step::Wait(LOOK_SELDOM),
            _ => Step::Wait(LOOK_EVERY),
        };
    }
    let pause = pause_left(pace, owners, now);
    let free = pace.max_concurrent.max(1).saturating_sub(moving);
    match (pause, free) {
        (Some(left), _) => Step::Wait(left),
        (None, 0) => Step::Wait(LOOK_EVERY),
        (None, free) => Step::Restart(waiting.into_iter().take(free).collect()),
    }
}

/// Returns what is left of the pause after the owner that was done last.
fn pause_left<K>(pace: &Pace, owners: &BTreeMap<K, Turn>, now: Duration) -> Option<Duration> {
    let done = owners.values().filter_map(|turn| match turn {
        Turn::Done { since } => Some(*since),
        _ => None,
    });
    let end = done.max()?.saturating_add(pace.interval);
    end.checked_sub(now).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests;
