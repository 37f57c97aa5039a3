//! Restarts the owners of outdated pods, at the pace that their `TraceBuffer` sets.

use std::collections::{BTreeMap, BTreeSet};

use super::queue::ReconcileAction;
use super::{LeaderSession, ReconcileContext};
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::rollout::{
    BLOCKED_POLL_INTERVAL, OwnerRollout, POLL_INTERVAL, RolloutAction, WorkloadStatus, next_action,
};
use crate::domain::operator::reconcile::sidecar_state::{SidecarState, trace_buffer_for_new_pod};
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    RolloutPolicy, TraceBufferSnapshot,
};
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::ports::operator::cluster::{Cluster, ClusterError, Workload};
use crate::ports::operator::pods::PodLister;

/// How far the owners of a `TraceBuffer`'s pods are with one change.
pub(super) struct RolloutState {
    revision: String,
    owners: BTreeMap<Workload, OwnerRollout>,
}

impl<C: Cluster, P: PodLister> LeaderSession<C, P> {
    pub(super) async fn reconcile_rollout(
        &self,
        key: &ObjectKey,
    ) -> Result<ReconcileAction, ClusterError> {
        let known = self.rollouts.lock().remove(key);
        let declared = self.context.cluster.trace_buffer(key);
        let Some(declared) = declared else { return Ok(ReconcileAction::AwaitChange) };
        let (Some(pace), Ok(needs)) = (declared.rollout, &declared.sidecar) else {
            return Ok(ReconcileAction::AwaitChange);
        };
        let marker = needs.revision();
        let known = known.filter(|campaign| campaign.revision == marker);
        let mut campaign =
            known.unwrap_or(RolloutState { revision: marker, owners: BTreeMap::new() });
        let result = self.advance(&declared, &pace, &mut campaign).await;
        self.rollouts.lock().insert(key.clone(), campaign);
        result
    }

    async fn advance(
        &self,
        declared: &TraceBufferSnapshot,
        pace: &RolloutPolicy,
        campaign: &mut RolloutState,
    ) -> Result<ReconcileAction, ClusterError> {
        self.refresh_owners(declared, campaign).await?;
        match next_action(pace, &campaign.owners, self.now()) {
            RolloutAction::Finished => Ok(ReconcileAction::AwaitChange),
            RolloutAction::Wait(time) => Ok(ReconcileAction::RequeueAfter(time)),
            RolloutAction::Restart(owners) => {
                for owner in owners {
                    self.restart(declared, campaign, owner).await?;
                }
                Ok(ReconcileAction::RequeueAfter(POLL_INTERVAL))
            }
            RolloutAction::Halt { owner, why } => {
                let notice = WorkloadEvent::rollout_halted(&declared.key, &campaign.revision, &why);
                self.publish_event(&owner, &notice).await?;
                Ok(ReconcileAction::RequeueAfter(BLOCKED_POLL_INTERVAL))
            }
        }
    }

    /// Looks at the owners of outdated pods that are new, and at those that are on their way.
    async fn refresh_owners(
        &self,
        declared: &TraceBufferSnapshot,
        campaign: &mut RolloutState,
    ) -> Result<(), ClusterError> {
        let mut owners = BTreeSet::new();
        for (pod, standing) in self.managed_pods(declared) {
            let is_outdated = matches!(standing, SidecarState::Outdated(_));
            let namespace = || self.context.pods.namespace(&pod.key.namespace);
            if is_outdated && declared.may_restart_in(&namespace()) {
                match self.context.cluster.workload_of(&pod).await {
                    Ok(workload) => _ = owners.insert(workload),
                    Err(ClusterError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        campaign.owners.retain(|owner, turn| {
            !matches!(turn, OwnerRollout::Waiting | OwnerRollout::Blocked) || owners.contains(owner)
        });
        owners.retain(|owner| !campaign.owners.contains_key(owner));
        let on_their_way = campaign.owners.iter().filter(|(_, turn)| {
            matches!(
                turn,
                OwnerRollout::Progressing { .. } | OwnerRollout::Failed(_) | OwnerRollout::Blocked
            )
        });
        owners.extend(on_their_way.map(|(owner, _)| owner.clone()));
        for owner in owners {
            self.refresh_owner(declared, campaign, &owner).await?;
        }
        Ok(())
    }

    /// Returns whether the new pods of an owner would have its sidecar. A pod's own annotations do not
    /// tell: whoever creates pods can make one up and name any owner.
    fn would_get_sidecar(
        &self,
        declared: &TraceBufferSnapshot,
        owner: &Workload,
        seen: &WorkloadStatus,
    ) -> bool {
        let ReconcileContext { pods, cluster, facts, .. } = &*self.context;
        let namespace = pods.namespace(&owner.namespace);
        let names = || cluster.names_in(&owner.namespace);
        let asked_for = trace_buffer_for_new_pod(seen.inject.as_deref(), &namespace, facts, names);
        asked_for.as_ref() == Some(&declared.key) && declared.may_restart_in(&namespace)
    }

    async fn refresh_owner(
        &self,
        declared: &TraceBufferSnapshot,
        campaign: &mut RolloutState,
        owner: &Workload,
    ) -> Result<Option<WorkloadStatus>, ClusterError> {
        let seen = match self.context.cluster.get_workload(owner).await {
            Ok(seen) => seen.filter(|seen| self.would_get_sidecar(declared, owner, seen)),
            Err(ClusterError::NotFound) => None,
            Err(error) => return Err(error),
        };
        let Some(found) = &seen else {
            campaign.owners.remove(owner);
            return Ok(None);
        };
        let before = campaign.owners.get(owner);
        let turn = OwnerRollout::next_state(before, found, &campaign.revision, self.now());
        campaign.owners.insert(owner.clone(), turn);
        Ok(seen)
    }

    /// Restarts an owner, if a fresh look shows that it still waits for it.
    async fn restart(
        &self,
        declared: &TraceBufferSnapshot,
        campaign: &mut RolloutState,
        owner: Workload,
    ) -> Result<(), ClusterError> {
        let seen = self.refresh_owner(declared, campaign, &owner).await?;
        let Some(seen) =
            seen.filter(|_| campaign.owners.get(&owner) == Some(&OwnerRollout::Waiting))
        else {
            return Ok(());
        };
        match self.context.cluster.restart(&owner, &seen, &campaign.revision).await {
            Ok(()) => {}
            // Both are seen at the next look.
            Err(ClusterError::Conflict | ClusterError::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        }
        campaign.owners.insert(owner.clone(), OwnerRollout::Progressing { since: self.now() });
        let notice = WorkloadEvent::restarted(&declared.key, &campaign.revision);
        self.publish_event(&owner, &notice).await.map(drop)
    }
}
