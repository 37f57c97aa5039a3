//! The progress of a workload's rollout, by the rules of `kubectl rollout status`.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, DeploymentStatus, StatefulSet};

use crate::domain::operator::reconcile::rollout::RolloutProgress;

/// What a workload's own status says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProgressReport {
    pub(super) progress: RolloutProgress,
    /// Why a restart would have no effect.
    pub(super) restart_blocker: Option<&'static str>,
    /// Whether pods that do not start must be deleted before others are created.
    pub(super) keeps_broken_pods: bool,
}

const ON_DELETE: &str = "its update strategy is OnDelete";
const PAUSED: &str = "it is paused";

pub(super) fn deployment(found: &Deployment) -> ProgressReport {
    let spec = found.spec.as_ref();
    let paused = spec.and_then(|spec| spec.paused).unwrap_or_default();
    let desired = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let status = found.status.clone().unwrap_or_default();
    let progress = if is_behind(found.metadata.generation, status.observed_generation) {
        RolloutProgress::Progressing
    } else if let Some(reason) = deadline_exceeded(&status) {
        RolloutProgress::Failed(reason)
    } else {
        let updated = status.updated_replicas.unwrap_or_default();
        let old = status.replicas.unwrap_or_default() > updated;
        let available = status.available_replicas.unwrap_or_default();
        complete_if(updated >= desired && !old && available >= updated)
    };
    let restart_blocker = paused.then_some(PAUSED);
    ProgressReport { progress, restart_blocker, keeps_broken_pods: false }
}

fn deadline_exceeded(status: &DeploymentStatus) -> Option<String> {
    let mut conditions = status.conditions.iter().flatten();
    let condition = conditions.find(|condition| condition.type_ == "Progressing")?;
    let is_exceeded = condition.reason.as_deref() == Some("ProgressDeadlineExceeded");
    is_exceeded.then(|| condition.message.clone().unwrap_or_else(|| "deadline exceeded".into()))
}

pub(super) fn stateful_set(found: &StatefulSet) -> ProgressReport {
    let spec = found.spec.as_ref();
    let strategy = spec.and_then(|spec| spec.update_strategy.as_ref());
    let on_delete = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete");
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or_default();
    let desired = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let status = found.status.clone().unwrap_or_default();
    let updated = status.updated_replicas.unwrap_or_default();
    let is_updated = if partition > 0 {
        updated >= desired - partition
    } else {
        status.update_revision == status.current_revision
    };
    let is_ready = status.ready_replicas.unwrap_or_default() >= desired;
    let behind = is_behind(found.metadata.generation, status.observed_generation);
    let policy = spec.and_then(|spec| spec.pod_management_policy.as_deref());
    ProgressReport {
        progress: complete_if(!behind && is_ready && is_updated),
        restart_blocker: on_delete.then_some(ON_DELETE),
        // It waits for each pod to become ready before it goes on to the next, whatever the template is.
        keeps_broken_pods: policy != Some("Parallel"),
    }
}

pub(super) fn daemon_set(found: &DaemonSet) -> ProgressReport {
    let strategy = found.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    let on_delete = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete");
    let status = found.status.clone().unwrap_or_default();
    let desired = status.desired_number_scheduled;
    let is_updated = status.updated_number_scheduled.unwrap_or_default() >= desired;
    let is_available = status.number_available.unwrap_or_default() >= desired;
    let behind = is_behind(found.metadata.generation, status.observed_generation);
    ProgressReport {
        progress: complete_if(!behind && is_updated && is_available),
        restart_blocker: on_delete.then_some(ON_DELETE),
        keeps_broken_pods: false,
    }
}

fn is_behind(generation: Option<i64>, observed: Option<i64>) -> bool {
    observed.unwrap_or_default() < generation.unwrap_or_default()
}

fn complete_if(complete: bool) -> RolloutProgress {
    if complete { RolloutProgress::Complete } else { RolloutProgress::Progressing }
}

#[cfg(test)]
mod tests;
