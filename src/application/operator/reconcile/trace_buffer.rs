//! One look at one `TraceBuffer`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::limits::{
    LIMITS_INTERVAL, LimitsFailures, LimitsUpdate, MAX_LIMITS_PER_PASS, any_pending, limits_updates,
};
use super::queue::{ReconcileAction, WorkItem};
use super::{LeaderSession, ReconcileContext, TraceBufferSession};
use crate::domain::operator::injection::consent::has_consent;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::status::{InjectedSidecar, InjectionStatus};
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::conditions::{self, ReferenceResolution, Status};
use crate::domain::operator::reconcile::sidecar_state::{
    PodCounts, SidecarState, sidecar_state, trace_buffer_of_pod,
};
use crate::domain::operator::reconcile::trace_buffer_snapshot::{Reference, TraceBufferSnapshot};
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::ports::operator::cluster::{Cluster, ClusterError, LookupOutcome};
use crate::ports::operator::pods::PodLister;

/// How long what came of looking for references is believed.
const REFERENCE_CACHE_TTL: Duration = Duration::from_secs(30);
/// Most namespaces in which references are looked for.
const MAX_LOOKUP_NAMESPACES: usize = 20;
/// How long a `TraceBuffer` must be gone before its pods' owners are told: word of a new one may be
/// slower than word of its pods.
const DELETION_DEBOUNCE: Duration = Duration::from_secs(5);

/// A pod and how it stands.
pub(super) type ManagedPod = (Arc<PodSnapshot>, SidecarState);

/// What came of looking for references.
#[derive(Clone)]
pub(super) struct CachedReferences {
    looked_up_at: Instant,
    targets: Vec<(String, Reference)>,
    resolution: ReferenceResolution,
}

/// A `TraceBuffer` that is gone, while pods still have its sidecar.
#[derive(Clone, Copy)]
pub(super) struct Deletion {
    since: Instant,
    is_event_published: bool,
}

/// What is to be.
struct DesiredState {
    status: Status,
    limits_updates: Vec<LimitsUpdate>,
}

/// Builds what is to be from what is.
fn build(
    declared: &TraceBufferSnapshot,
    references: &ReferenceResolution,
    members: &[ManagedPod],
    refusals: &LimitsFailures,
) -> DesiredState {
    let counts = PodCounts::of(members.iter().map(|(_, state)| state));
    let limits = limits_updates(declared, members, refusals);
    let status = conditions::compute_status(declared, references, counts, any_pending(&limits));
    DesiredState { status, limits_updates: limits }
}

pub(super) fn injected_sidecar(pod: &PodSnapshot) -> Option<&InjectedSidecar> {
    match &pod.status {
        Some(InjectionStatus::Injected(injected)) => Some(injected),
        _ => None,
    }
}

impl<C: Cluster, P: PodLister> LeaderSession<C, P> {
    pub(super) async fn reconcile_trace_buffer(
        &self,
        key: &ObjectKey,
    ) -> Result<ReconcileAction, ClusterError> {
        let Some(declared) = self.context.cluster.trace_buffer(key) else {
            return self.reconcile_deleted(key).await;
        };
        if let Some(known) = self.trace_buffers.lock().get_mut(key) {
            known.deletion = None;
        }
        let members = self.managed_pods(&declared);
        let references = self.dereference(&declared, &members).await;
        let desired = {
            let all = self.limits_failures.lock();
            let none = LimitsFailures::default();
            let refusals = all.get(key).unwrap_or(&none);
            build(&declared, &references, &members, refusals)
        };
        self.context.monitor.pod_counts(key, Some(desired.status.pods));
        let applied = self.apply(&declared, &desired).await;
        self.update_status(&declared, &desired.status).await?;
        applied?;
        Ok(if desired.limits_updates.len() > MAX_LIMITS_PER_PASS {
            ReconcileAction::RequeueAfter(LIMITS_INTERVAL)
        } else if matches!(
            references,
            ReferenceResolution::NotFound(_) | ReferenceResolution::Failed(_)
        ) {
            ReconcileAction::RequeueAfter(REFERENCE_CACHE_TTL)
        } else {
            ReconcileAction::AwaitChange
        })
    }

    /// Returns the pods that use or ask for it, of the namespaces that it allows, and are not being
    /// deleted.
    pub(super) fn managed_pods(&self, declared: &TraceBufferSnapshot) -> Vec<ManagedPod> {
        let ReconcileContext { pods, cluster, facts, .. } = &*self.context;
        let mut names = HashMap::new();
        let mut belongs = |pod: &PodSnapshot| {
            let namespace = pods.namespace(&pod.key.namespace);
            let names = || {
                let known = names.entry(pod.key.namespace.clone());
                known.or_insert_with(|| cluster.names_in(&pod.key.namespace)).clone()
            };
            declared.allows(&namespace)
                && trace_buffer_of_pod(pod, &namespace, facts, names).as_ref()
                    == Some(&declared.key)
        };
        let mut members = self.possible_pods(&declared.key);
        members.retain(|pod| !pod.is_terminating && belongs(pod));
        let with_state = |pod: Arc<PodSnapshot>| {
            let state = sidecar_state(&pod, declared);
            (pod, state)
        };
        members.into_iter().map(with_state).collect()
    }

    /// Returns every pod that may use or ask for `key`, among others.
    fn possible_pods(&self, key: &ObjectKey) -> Vec<Arc<PodSnapshot>> {
        let pods = &self.context.pods;
        if self.context.facts.default_trace_buffer.as_ref() == Some(key) {
            return pods.all();
        }
        let mut candidates = pods.in_namespace(&key.namespace);
        let elsewhere = pods.referencing(key).into_iter();
        candidates.extend(elsewhere.filter(|pod| pod.key.namespace != key.namespace));
        candidates
    }

    /// Returns whether it may use what belongs to the namespace of `pod`.
    fn has_consent_of(&self, declared: &TraceBufferSnapshot, pod: &PodSnapshot) -> bool {
        has_consent(&declared.key, &self.context.pods.namespace(&pod.key.namespace))
    }

    /// Looks for the objects that it names, in the namespaces of its pods that let it use them, or
    /// else in its own.
    async fn dereference(
        &self,
        declared: &TraceBufferSnapshot,
        members: &[ManagedPod],
    ) -> ReferenceResolution {
        let users = members.iter().filter(|(pod, _)| {
            injected_sidecar(pod).is_some() && self.has_consent_of(declared, pod)
        });
        let mut namespaces: BTreeSet<_> =
            users.map(|(pod, _)| pod.key.namespace.as_str()).take(MAX_LOOKUP_NAMESPACES).collect();
        if namespaces.is_empty() {
            namespaces.insert(declared.key.namespace.as_str());
        }
        let mut sought = vec![];
        for namespace in namespaces {
            let here = declared.references.iter().cloned();
            sought.extend(here.map(|reference| (namespace.to_owned(), reference)));
        }
        let known =
            self.trace_buffers.lock().get(&declared.key).and_then(|known| known.references.clone());
        if let Some(known) = known.filter(|known| known.targets == sought)
            && known.looked_up_at.elapsed() < REFERENCE_CACHE_TTL
        {
            return known.resolution;
        }
        let found = self.resolve_references(&sought).await;
        let looked_up = CachedReferences {
            looked_up_at: Instant::now(),
            targets: sought,
            resolution: found.clone(),
        };
        let known = TraceBufferSession { references: Some(looked_up), deletion: None };
        self.trace_buffers.lock().insert(declared.key.clone(), known);
        found
    }

    async fn resolve_references(&self, sought: &[(String, Reference)]) -> ReferenceResolution {
        let mut absent = vec![];
        for (namespace, reference) in sought {
            match self.context.cluster.look_up(namespace, reference).await {
                Ok(LookupOutcome::Found) => {}
                Ok(LookupOutcome::NotFound) => absent.push((reference.clone(), namespace.clone())),
                Ok(LookupOutcome::Forbidden) => return ReferenceResolution::Forbidden,
                Err(error) => return ReferenceResolution::Failed(error.to_string()),
            }
        }
        match (sought, absent.is_empty()) {
            ([], _) => ReferenceResolution::None,
            (_, true) => ReferenceResolution::Found,
            (_, false) => ReferenceResolution::NotFound(absent),
        }
    }

    /// Writes limits, and starts what needs a restart.
    async fn apply(
        &self,
        declared: &TraceBufferSnapshot,
        desired: &DesiredState,
    ) -> Result<(), ClusterError> {
        if declared.rollout.is_some() {
            self.context.queue.schedule(WorkItem::Rollout(declared.key.clone()), Duration::ZERO);
        }
        self.write_limits(declared, &desired.limits_updates).await
    }

    async fn update_status(
        &self,
        declared: &TraceBufferSnapshot,
        status: &Status,
    ) -> Result<(), ClusterError> {
        if declared.status.as_ref() == Some(status) {
            return Ok(());
        }
        self.context.cluster.write_status(declared, status).await
    }

    /// Leaves the running pods of what is gone alone, and says so.
    async fn reconcile_deleted(&self, key: &ObjectKey) -> Result<ReconcileAction, ClusterError> {
        self.context.monitor.pod_counts(key, None);
        self.rollouts.lock().remove(key);
        self.limits_failures.lock().remove(key);
        let mut users = self.context.pods.referencing(key);
        users.retain(|pod| {
            !pod.is_terminating
                && injected_sidecar(pod).is_some_and(|injected| injected.trace_buffer == *key)
        });
        if users.is_empty() {
            self.trace_buffers.lock().remove(key);
            return Ok(ReconcileAction::AwaitChange);
        }
        let now = Instant::now();
        let since = {
            let mut known = self.trace_buffers.lock();
            let known = known.entry(key.clone()).or_default();
            known.deletion.get_or_insert(Deletion { since: now, is_event_published: false }).since
        };
        let left = DELETION_DEBOUNCE.saturating_sub(now.duration_since(since));
        if !left.is_zero() {
            return Ok(ReconcileAction::RequeueAfter(left));
        }
        let notice = WorkloadEvent::trace_buffer_deleted(key);
        let to_tell = users.iter().map(|pod| (pod.as_ref(), &notice));
        let next = self.publish_pod_events(to_tell).await?;
        if next != ReconcileAction::AwaitChange {
            return Ok(next);
        }
        let known = TraceBufferSession {
            deletion: Some(Deletion { since, is_event_published: true }),
            references: None,
        };
        self.trace_buffers.lock().insert(key.clone(), known);
        Ok(ReconcileAction::AwaitChange)
    }

    /// Returns whether owners of pods of what is gone were told.
    pub(super) fn is_deletion_event_published(&self, key: &ObjectKey) -> bool {
        let known = self.trace_buffers.lock();
        known.get(key).and_then(|known| known.deletion).is_some_and(|gone| gone.is_event_published)
    }
}
