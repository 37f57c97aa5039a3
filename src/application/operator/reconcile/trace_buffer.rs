//! Reconciles one `TraceBuffer`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::limits::{
    LIMITS_INTERVAL, LimitsFailures, LimitsUpdate, MAX_LIMITS_PER_PASS, any_pending,
    outdated_limits,
};
use super::queue::{ReconcileAction, WorkItem};
use super::{LeaderSession, ReconcileContext, TraceBufferSession};
use crate::domain::operator::injection::consent::has_consent;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::conditions::{self, Observations, ReferenceResolution};
use crate::domain::operator::reconcile::managed_pod::ManagedPod;
use crate::domain::operator::reconcile::sidecar_state::{
    injected_sidecar, sidecar_state, trace_buffer_of_pod,
};
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    DesiredSidecar, Reference, TraceBufferSnapshot,
};
use crate::domain::operator::reconcile::trace_buffer_status::{PodCounts, Status};
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::ports::operator::cluster::{Cluster, ClusterError, LookupOutcome};
use crate::ports::operator::pods::PodLister;

/// How long the result of looking up references is reused.
const REFERENCE_CACHE_TTL: Duration = Duration::from_secs(30);
/// Maximum number of namespaces in which references are looked up.
const MAX_LOOKUP_NAMESPACES: usize = 20;
/// How long a `TraceBuffer` must be gone before an event is published: the pods of a new one may
/// become known before the `TraceBuffer` itself.
const DELETION_DEBOUNCE: Duration = Duration::from_secs(5);

/// The result of looking up references.
#[derive(Clone)]
pub(super) struct CachedReferences {
    looked_up_at: Instant,
    targets: Vec<(String, Reference)>,
    resolution: ReferenceResolution,
}

/// The deletion of a `TraceBuffer` whose sidecar some pods still have.
#[derive(Clone, Copy)]
pub(super) struct Deletion {
    since: Instant,
    is_event_published: bool,
}

/// The desired state.
struct DesiredState {
    status: Status,
    limits_updates: Vec<LimitsUpdate>,
}

impl<C: Cluster, P: PodLister> LeaderSession<C, P> {
    pub(super) async fn reconcile_trace_buffer(
        &self,
        key: &ObjectKey,
    ) -> Result<ReconcileAction, ClusterError> {
        let Some(snapshot) = self.context.cluster.trace_buffer(key) else {
            return self.reconcile_deleted(key).await;
        };
        if let Some(session) = self.trace_buffers.lock().get_mut(key) {
            session.deletion = None;
        }
        let pods = self.managed_pods(&snapshot);
        let references = self.dereference(&snapshot, &pods).await;
        let desired = self.build(&snapshot, &references, &pods);
        self.context.monitor.pod_counts(key, Some(desired.status.pods));
        let applied = self.apply(&snapshot, &desired).await;
        self.update_status(&snapshot, &desired.status).await?;
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

    /// Computes the desired state from the observed state.
    fn build(
        &self,
        snapshot: &TraceBufferSnapshot,
        references: &ReferenceResolution,
        pods: &[ManagedPod],
    ) -> DesiredState {
        let limits_updates = {
            let failures = self.limits_failures.lock();
            let none = LimitsFailures::default();
            let failures = failures.get(&snapshot.key).unwrap_or(&none);
            outdated_limits(snapshot, pods.iter().map(|managed| &managed.pod), failures)
        };
        let revision = snapshot.sidecar.as_ref().ok().map(DesiredSidecar::revision);
        let rollout = {
            let rollouts = self.rollouts.lock();
            rollouts
                .get(&snapshot.key)
                .zip(revision)
                .and_then(|(state, revision)| state.summary(&revision))
        };
        let observations = Observations {
            references: references.clone(),
            pods: PodCounts::of(pods),
            limits_pending: any_pending(&limits_updates),
            rollout,
            webhook_problem: self.context.cluster.webhook_problem(),
        };
        let status = conditions::compute_status(snapshot, &observations);
        DesiredState { status, limits_updates }
    }

    /// Returns the pods that use or ask for `snapshot` in the namespaces that it allows, except pods
    /// that are being deleted.
    pub(super) fn managed_pods(&self, snapshot: &TraceBufferSnapshot) -> Vec<ManagedPod> {
        let ReconcileContext { pods: lister, cluster, facts, .. } = &*self.context;
        let mut names = HashMap::new();
        let mut is_managed = |pod: &PodSnapshot| {
            let namespace = lister.namespace(&pod.key.namespace);
            let names = || {
                let cached = names.entry(pod.key.namespace.clone());
                cached.or_insert_with(|| cluster.names_in(&pod.key.namespace)).clone()
            };
            snapshot.allows(&namespace)
                && trace_buffer_of_pod(pod, &namespace, facts, names).as_ref()
                    == Some(&snapshot.key)
        };
        let mut pods = self.possible_pods(&snapshot.key);
        pods.retain(|pod| !pod.is_terminating && is_managed(pod));
        let with_state = |pod: Arc<PodSnapshot>| ManagedPod {
            state: sidecar_state(&pod, snapshot),
            failure: lister.sidecar_failure(&pod),
            pod,
        };
        pods.into_iter().map(with_state).collect()
    }

    /// Returns every pod that may use or ask for `key`, and possibly other pods.
    fn possible_pods(&self, key: &ObjectKey) -> Vec<Arc<PodSnapshot>> {
        let pods = &self.context.pods;
        if self.context.facts.default_trace_buffer.as_ref() == Some(key) {
            return pods.all();
        }
        let mut candidates = pods.in_namespace(&key.namespace);
        let referencing = pods.referencing(key).into_iter();
        candidates.extend(referencing.filter(|pod| pod.key.namespace != key.namespace));
        candidates
    }

    /// Returns whether the namespace of `pod` consents to the use of its objects by `snapshot`.
    fn has_consent_of(&self, snapshot: &TraceBufferSnapshot, pod: &PodSnapshot) -> bool {
        has_consent(&snapshot.key, &self.context.pods.namespace(&pod.key.namespace))
    }

    /// Looks up the objects that `snapshot` refers to, in those namespaces of its pods that consent, or
    /// in its own namespace if there are none.
    async fn dereference(
        &self,
        snapshot: &TraceBufferSnapshot,
        pods: &[ManagedPod],
    ) -> ReferenceResolution {
        let users = pods
            .iter()
            .map(|managed| &managed.pod)
            .filter(|pod| injected_sidecar(pod).is_some() && self.has_consent_of(snapshot, pod));
        let mut namespaces: BTreeSet<_> =
            users.map(|pod| pod.key.namespace.as_str()).take(MAX_LOOKUP_NAMESPACES).collect();
        if namespaces.is_empty() {
            namespaces.insert(snapshot.key.namespace.as_str());
        }
        let mut targets = vec![];
        for namespace in namespaces {
            let references = snapshot.references.iter().cloned();
            targets.extend(references.map(|reference| (namespace.to_owned(), reference)));
        }
        let cached = self
            .trace_buffers
            .lock()
            .get(&snapshot.key)
            .and_then(|session| session.references.clone());
        if let Some(cached) = cached.filter(|cached| cached.targets == targets)
            && cached.looked_up_at.elapsed() < REFERENCE_CACHE_TTL
        {
            return cached.resolution;
        }
        let resolution = self.resolve_references(&targets).await;
        let cached = CachedReferences {
            looked_up_at: Instant::now(),
            targets,
            resolution: resolution.clone(),
        };
        let session = TraceBufferSession { references: Some(cached), deletion: None };
        self.trace_buffers.lock().insert(snapshot.key.clone(), session);
        resolution
    }

    async fn resolve_references(&self, targets: &[(String, Reference)]) -> ReferenceResolution {
        let mut missing = vec![];
        for (namespace, reference) in targets {
            match self.context.cluster.look_up(namespace, reference).await {
                Ok(LookupOutcome::Found) => {}
                Ok(LookupOutcome::NotFound) => missing.push((reference.clone(), namespace.clone())),
                Ok(LookupOutcome::Forbidden) => return ReferenceResolution::Forbidden,
                Err(error) => return ReferenceResolution::Failed(error.to_string()),
            }
        }
        match (targets, missing.is_empty()) {
            ([], _) => ReferenceResolution::None,
            (_, true) => ReferenceResolution::Found,
            (_, false) => ReferenceResolution::NotFound(missing),
        }
    }

    /// Writes limits, and schedules the restarts that are required.
    async fn apply(
        &self,
        snapshot: &TraceBufferSnapshot,
        desired: &DesiredState,
    ) -> Result<(), ClusterError> {
        if snapshot.rollout.is_some() {
            self.context.queue.schedule(WorkItem::Rollout(snapshot.key.clone()), Duration::ZERO);
        }
        self.write_limits(snapshot, &desired.limits_updates).await
    }

    async fn update_status(
        &self,
        snapshot: &TraceBufferSnapshot,
        status: &Status,
    ) -> Result<(), ClusterError> {
        if snapshot.status.as_ref() == Some(status) {
            return Ok(());
        }
        self.context.cluster.write_status(snapshot, status).await
    }

    /// Publishes events about the pods of a deleted `TraceBuffer`, which keep their sidecars.
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
            let mut sessions = self.trace_buffers.lock();
            let session = sessions.entry(key.clone()).or_default();
            session.deletion.get_or_insert(Deletion { since: now, is_event_published: false }).since
        };
        let remaining = DELETION_DEBOUNCE.saturating_sub(now.duration_since(since));
        if !remaining.is_zero() {
            return Ok(ReconcileAction::RequeueAfter(remaining));
        }
        let event = WorkloadEvent::trace_buffer_deleted(key);
        let events = users.iter().map(|pod| (pod.as_ref(), &event));
        let action = self.publish_pod_events(events).await?;
        if action != ReconcileAction::AwaitChange {
            return Ok(action);
        }
        let session = TraceBufferSession {
            deletion: Some(Deletion { since, is_event_published: true }),
            references: None,
        };
        self.trace_buffers.lock().insert(key.clone(), session);
        Ok(ReconcileAction::AwaitChange)
    }

    /// Returns whether all events about the deletion of `key` were published.
    pub(super) fn is_deletion_event_published(&self, key: &ObjectKey) -> bool {
        let sessions = self.trace_buffers.lock();
        sessions
            .get(key)
            .and_then(|session| session.deletion)
            .is_some_and(|deletion| deletion.is_event_published)
    }
}
