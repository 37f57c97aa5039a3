//! Restarts the owners of outdated pods, at the pace that their `TraceBuffer` sets.

use std::collections::{BTreeMap, BTreeSet};

use super::queue::Next;
use super::{Parts, Term};
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::operating::declared::{Declared, Pace};
use crate::domain::operating::notice::Notice;
use crate::domain::operating::rollout::{LOOK_EVERY, LOOK_SELDOM, Seen, Step, Turn, next};
use crate::domain::operating::standing::{Standing, trace_buffer_for};
use crate::ports::cluster::{Cluster, ClusterError, Workload};
use crate::ports::pods::Pods;

/// How far the owners of a `TraceBuffer`'s pods are with one change.
pub(super) struct Campaign {
    marker: String,
    turns: BTreeMap<Workload, Turn>,
}

impl<C: Cluster, P: Pods> Term<C, P> {
    pub(super) async fn roll_out(&self, key: &ObjectKey) -> Result<Next, ClusterError> {
        let known = self.campaigns.lock().remove(key);
        let declared = self.parts.cluster.declared(key);
        let Some(declared) = declared else { return Ok(Next::Rest) };
        let (Some(pace), Ok(needs)) = (declared.rollout, &declared.sidecar) else {
            return Ok(Next::Rest);
        };
        let marker = needs.marker();
        let known = known.filter(|campaign| campaign.marker == marker);
        let mut campaign = known.unwrap_or(Campaign { marker, turns: BTreeMap::new() });
        let result = self.advance(&declared, &pace, &mut campaign).await;
        self.campaigns.lock().insert(key.clone(), campaign);
        result
    }

    async fn advance(
        &self,
        declared: &Declared,
        pace: &Pace,
        campaign: &mut Campaign,
    ) -> Result<Next, ClusterError> {
        self.look_at_owners(declared, campaign).await?;
        match next(pace, &campaign.turns, self.now()) {
            Step::Finished => Ok(Next::Rest),
            Step::Wait(time) => Ok(Next::After(time)),
            Step::Restart(owners) => {
                for owner in owners {
                    self.restart(declared, campaign, owner).await?;
                }
                Ok(Next::After(LOOK_EVERY))
            }
            Step::Halt { owner, why } => {
                let notice = Notice::rollout_halted(&declared.key, &campaign.marker, &why);
                self.tell(&owner, &notice).await?;
                Ok(Next::After(LOOK_SELDOM))
            }
        }
    }

    /// Looks at the owners of outdated pods that are new, and at those that are on their way.
    async fn look_at_owners(
        &self,
        declared: &Declared,
        campaign: &mut Campaign,
    ) -> Result<(), ClusterError> {
        let mut owners = BTreeSet::new();
        for (pod, standing) in self.members(declared) {
            let is_outdated = matches!(standing, Standing::Outdated(_));
            let namespace = || self.parts.pods.namespace(&pod.key.namespace);
            if is_outdated && declared.may_restart_in(&namespace()) {
                match self.parts.cluster.workload_of(&pod).await {
                    Ok(workload) => _ = owners.insert(workload),
                    Err(ClusterError::Gone) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        campaign.turns.retain(|owner, turn| {
            !matches!(turn, Turn::Waiting | Turn::Unable) || owners.contains(owner)
        });
        owners.retain(|owner| !campaign.turns.contains_key(owner));
        let on_their_way = campaign.turns.iter().filter(|(_, turn)| {
            matches!(turn, Turn::Moving { .. } | Turn::Failed(_) | Turn::Unable)
        });
        owners.extend(on_their_way.map(|(owner, _)| owner.clone()));
        for owner in owners {
            self.look_at_owner(declared, campaign, &owner).await?;
        }
        Ok(())
    }

    /// Returns whether the new pods of an owner would have its sidecar. A pod's own annotations do not
    /// tell: whoever creates pods can make one up and name any owner.
    fn would_have(&self, declared: &Declared, owner: &Workload, seen: &Seen) -> bool {
        let Parts { pods, cluster, facts, .. } = &*self.parts;
        let namespace = pods.namespace(&owner.namespace);
        let names = || cluster.names_in(&owner.namespace);
        let asked_for = trace_buffer_for(seen.inject.as_deref(), &namespace, facts, names);
        asked_for.as_ref() == Some(&declared.key) && declared.may_restart_in(&namespace)
    }

    async fn look_at_owner(
        &self,
        declared: &Declared,
        campaign: &mut Campaign,
        owner: &Workload,
    ) -> Result<Option<Seen>, ClusterError> {
        let seen = match self.parts.cluster.see(owner).await {
            Ok(seen) => seen.filter(|seen| self.would_have(declared, owner, seen)),
            Err(ClusterError::Gone) => None,
            Err(error) => return Err(error),
        };
        let Some(found) = &seen else {
            campaign.turns.remove(owner);
            return Ok(None);
        };
        let before = campaign.turns.get(owner);
        let turn = Turn::after(before, found, &campaign.marker, self.now());
        campaign.turns.insert(owner.clone(), turn);
        Ok(seen)
    }

    /// Restarts an owner, if a fresh look shows that it still waits for it.
    async fn restart(
        &self,
        declared: &Declared,
        campaign: &mut Campaign,
        owner: Workload,
    ) -> Result<(), ClusterError> {
        let seen = self.look_at_owner(declared, campaign, &owner).await?;
        let Some(seen) = seen.filter(|_| campaign.turns.get(&owner) == Some(&Turn::Waiting)) else {
            return Ok(());
        };
        match self.parts.cluster.restart(&owner, &seen, &campaign.marker).await {
            Ok(()) => {}
            // Both are seen at the next look.
            Err(ClusterError::Conflict | ClusterError::Gone) => return Ok(()),
            Err(error) => return Err(error),
        }
        campaign.turns.insert(owner.clone(), Turn::Moving { since: self.now() });
        let notice = Notice::restarted(&declared.key, &campaign.marker);
        self.tell(&owner, &notice).await.map(drop)
    }
}
