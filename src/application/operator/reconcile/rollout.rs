//! Restarts the owners of outdated pods, at the rate that their `TraceBuffer` sets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::queue::{ReconcileAction, WorkItem};
use super::{LeaderSession, ReconcileContext};
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::managed_pod::ManagedPod;
use crate::domain::operator::reconcile::rollout::{
    BLOCKED_POLL_INTERVAL, OwnerRollout, POLL_INTERVAL, RolloutAction, RolloutSummary,
    WorkloadStatus, next_action,
};
use crate::domain::operator::reconcile::sidecar_state::{SidecarState, trace_buffer_for_new_pod};
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    RolloutPolicy, TraceBufferSnapshot,
};
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::ports::operator::cluster::{Cluster, ClusterError, Workload};
use crate::ports::operator::pods::PodLister;

/// The progress of the rollout of one revision of a `TraceBuffer`.
pub(super) struct RolloutState {
    revision: String,
    owners: BTreeMap<Workload, OwnerRollout>,
    /// The owners some of whose outdated sidecars do not run.
    failing: BTreeSet<Workload>,
    /// The progress after the last pass.
    summary: Option<RolloutSummary>,
}

impl RolloutState {
    fn new(revision: String) -> Self {
        Self { revision, owners: BTreeMap::new(), failing: BTreeSet::new(), summary: None }
    }

    /// Returns the progress for `revision`, if it is known.
    pub(super) fn summary(&self, revision: &str) -> Option<RolloutSummary> {
        self.summary.clone().filter(|_| self.revision == revision)
    }

    /// Notes the progress after a pass. Returns whether it has changed.
    fn update_summary(&mut self, result: Result<(), &ClusterError>) -> bool {
        let summary = match result {
            Ok(()) => RolloutSummary::of(&self.owners),
            Err(ClusterError::Failed(error)) => RolloutSummary::Failing(error.clone()),
            // The next pass reads the new state.
            Err(ClusterError::Conflict | ClusterError::NotFound) => return false,
        };
        let is_changed = self.summary.as_ref() != Some(&summary);
        self.summary = Some(summary);
        is_changed
    }
}

impl<C: Cluster, P: PodLister> LeaderSession<C, P> {
    pub(super) async fn reconcile_rollout(
        &self,
        key: &ObjectKey,
    ) -> Result<ReconcileAction, ClusterError> {
        let previous = self.rollouts.lock().remove(key);
        let snapshot = self.context.cluster.trace_buffer(key);
        let Some(snapshot) = snapshot else { return Ok(ReconcileAction::AwaitChange) };
        let (Some(policy), Ok(desired)) = (snapshot.rollout, &snapshot.sidecar) else {
            return Ok(ReconcileAction::AwaitChange);
        };
        let revision = desired.revision();
        let previous = previous.filter(|state| state.revision == revision);
        let mut state = previous.unwrap_or_else(|| RolloutState::new(revision));
        let result = self.advance(&snapshot, &policy, &mut state).await;
        let has_moved = state.update_summary(result.as_ref().map(drop));
        self.rollouts.lock().insert(key.clone(), state);
        if has_moved {
            // Its status shows the progress.
            self.context.queue.schedule(WorkItem::TraceBuffer(key.clone()), Duration::ZERO);
        }
        result
    }

    async fn advance(
        &self,
        snapshot: &TraceBufferSnapshot,
        policy: &RolloutPolicy,
        state: &mut RolloutState,
    ) -> Result<ReconcileAction, ClusterError> {
        self.refresh_owners(snapshot, state).await?;
        match next_action(policy, &state.owners, self.now()) {
            RolloutAction::Finished => Ok(ReconcileAction::AwaitChange),
            RolloutAction::Wait(time) => Ok(ReconcileAction::RequeueAfter(time)),
            RolloutAction::Restart(owners) => {
                for owner in owners {
                    self.restart(snapshot, state, owner).await?;
                }
                Ok(ReconcileAction::RequeueAfter(POLL_INTERVAL))
            }
            RolloutAction::Halt { owner, why: error } => {
                let event = WorkloadEvent::rollout_halted(&snapshot.key, &state.revision, &error);
                self.publish_event(&owner, &event).await?;
                Ok(ReconcileAction::RequeueAfter(BLOCKED_POLL_INTERVAL))
            }
        }
    }

    /// Refreshes the status of new owners of outdated pods, and of owners whose restart is in progress,
    /// blocked or failed.
    async fn refresh_owners(
        &self,
        snapshot: &TraceBufferSnapshot,
        state: &mut RolloutState,
    ) -> Result<(), ClusterError> {
        let mut owners = BTreeSet::new();
        state.failing.clear();
        for ManagedPod { pod, state: sidecar_state, failure } in self.managed_pods(snapshot) {
            let is_outdated = matches!(sidecar_state, SidecarState::Outdated(_));
            let namespace = || self.context.pods.namespace(&pod.key.namespace);
            if is_outdated && snapshot.may_restart_in(&namespace()) {
                match self.context.cluster.workload_of(&pod).await {
                    Ok(workload) => {
                        state.failing.extend(failure.is_some().then(|| workload.clone()));
                        owners.insert(workload);
                    }
                    Err(ClusterError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        state.owners.retain(|owner, rollout| {
            !matches!(rollout, OwnerRollout::Waiting | OwnerRollout::Blocked(_))
                || owners.contains(owner)
        });
        owners.retain(|owner| !state.owners.contains_key(owner));
        let unfinished = state.owners.iter().filter(|(_, rollout)| {
            matches!(
                rollout,
                OwnerRollout::Progressing { .. }
                    | OwnerRollout::Failed(_)
                    | OwnerRollout::Blocked(_)
            )
        });
        owners.extend(unfinished.map(|(owner, _)| owner.clone()));
        for owner in owners {
            self.refresh_owner(snapshot, state, &owner).await?;
        }
        Ok(())
    }

    /// Returns whether new pods of `owner` would get the sidecar of `snapshot`. The annotations of its
    /// pods are no proof: a pod's author can write any annotation and name any owner.
    fn would_get_sidecar(
        &self,
        snapshot: &TraceBufferSnapshot,
        owner: &Workload,
        status: &WorkloadStatus,
    ) -> bool {
        let ReconcileContext { pods, cluster, facts, .. } = &*self.context;
        let namespace = pods.namespace(&owner.namespace);
        let names = || cluster.names_in(&owner.namespace);
        let requested =
            trace_buffer_for_new_pod(status.inject.as_deref(), &namespace, facts, names);
        requested.as_ref() == Some(&snapshot.key) && snapshot.may_restart_in(&namespace)
    }

    async fn refresh_owner(
        &self,
        snapshot: &TraceBufferSnapshot,
        state: &mut RolloutState,
        owner: &Workload,
    ) -> Result<Option<WorkloadStatus>, ClusterError> {
        let status = match self.context.cluster.get_workload(owner).await {
            Ok(status) => status.filter(|status| self.would_get_sidecar(snapshot, owner, status)),
            Err(ClusterError::NotFound) => None,
            Err(error) => return Err(error),
        };
        let Some(current) = &status else {
            state.owners.remove(owner);
            return Ok(None);
        };
        let previous = state.owners.get(owner);
        let mut rollout = OwnerRollout::next_state(previous, current, &state.revision, self.now());
        if state.failing.contains(owner) {
            rollout = rollout.with_failing_sidecars(current);
        }
        state.owners.insert(owner.clone(), rollout);
        Ok(status)
    }

    /// Restarts an owner, if its current status shows that it still waits for the restart.
    async fn restart(
        &self,
        snapshot: &TraceBufferSnapshot,
        state: &mut RolloutState,
        owner: Workload,
    ) -> Result<(), ClusterError> {
        let status = self.refresh_owner(snapshot, state, &owner).await?;
        let Some(status) =
            status.filter(|_| state.owners.get(&owner) == Some(&OwnerRollout::Waiting))
        else {
            return Ok(());
        };
        match self.context.cluster.restart(&owner, &status, &state.revision).await {
            Ok(()) => {}
            // The next refresh reads the new state.
            Err(ClusterError::Conflict | ClusterError::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        }
        state.owners.insert(owner.clone(), OwnerRollout::Progressing { since: self.now() });
        let event = WorkloadEvent::restarted(&snapshot.key, &state.revision);
        self.publish_event(&owner, &event).await.map(drop)
    }
}
