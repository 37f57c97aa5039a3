//! Finds pods that have no sidecar although they ask for one, and publishes events about the state of
//! all pods: one for each owner and cause.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::LeaderSession;
use super::queue::{ReconcileAction, WorkItem};
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::status::InjectionStatus;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::sidecar_state::{
    MissingReason, SidecarState, injected_sidecar, missing_reason, sidecar_state,
};
use crate::domain::operator::reconcile::trace_buffer_snapshot::TraceBufferSnapshot;
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::ports::operator::cluster::{Cluster, ClusterError, Workload};
use crate::ports::operator::pods::PodLister;

/// Maximum number of events that one pass publishes.
pub(super) const MAX_EVENTS_PER_PASS: usize = 50;
/// The wait before the next pass.
pub(super) const EVENTS_INTERVAL: Duration = Duration::from_secs(1);
/// How long the same event about a workload is not published again, even for other pods of it; as long
/// as Kubernetes keeps events.
const EVENT_DEDUP_WINDOW: Duration = Duration::from_hours(1);

/// Maximum number of workloads that are remembered within that time, so that a flood of events
/// takes no more than a few megabytes.
const MAX_REMEMBERED_WORKLOADS: usize = 10_000;

/// The events that this replica has published since it began to lead.
#[derive(Default)]
pub(super) struct EventDedup {
    /// By the direct owners of the pods.
    owners: HashSet<EventKey>,
    /// By workload, with the time of publication.
    workloads: HashMap<EventKey, Instant>,
    /// Whether a first audit was made. It records events about the creation of pods without publishing
    /// them.
    is_primed: bool,
}

/// Two events with the same key are duplicates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct EventKey {
    /// Part of the key because a pod's author can enter the UID of an object in another namespace.
    namespace: String,
    uid: String,
    reason: &'static str,
    dedup_key: String,
}

/// The findings of an audit.
#[derive(Default)]
struct AuditFindings {
    missing_pods: BTreeMap<&'static str, u64>,
    current_keys: HashSet<EventKey>,
    to_publish: Vec<(Arc<PodSnapshot>, WorkloadEvent)>,
}

impl EventKey {
    fn new(namespace: &str, uid: &str, event: &WorkloadEvent) -> Self {
        let (namespace, uid) = (namespace.to_owned(), uid.to_owned());
        Self { namespace, uid, reason: event.reason, dedup_key: event.dedup_key.clone() }
    }

    /// Returns the key for the owner of a pod, or for the pod itself if it has none.
    fn of(pod: &PodSnapshot, event: &WorkloadEvent) -> Self {
        Self::new(&pod.key.namespace, pod.owner_uid(), event)
    }
}

impl AuditFindings {
    /// Adds an event about a pod, to be published unless it was before.
    fn add(&mut self, dedup: &mut EventDedup, pod: &Arc<PodSnapshot>, event: WorkloadEvent) {
        let key = EventKey::of(pod, &event);
        if dedup.owners.contains(&key) {
            self.current_keys.insert(key);
        } else if !dedup.is_primed && event.reports_creation() {
            dedup.owners.insert(key.clone());
            self.current_keys.insert(key);
        } else if self.current_keys.insert(key) {
            self.to_publish.push((Arc::clone(pod), event));
        }
    }
}

impl EventDedup {
    fn remember_workload(&mut self, key: EventKey) {
        if self.workloads.len() >= MAX_REMEMBERED_WORKLOADS {
            let oldest = self.workloads.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.workloads.remove(&oldest);
            }
        }
        self.workloads.insert(key, Instant::now());
    }
}

impl<C: Cluster, P: PodLister> LeaderSession<C, P> {
    pub(super) async fn audit(&self) -> Result<ReconcileAction, ClusterError> {
        let findings = self.collect_findings();
        self.context.monitor.missing_pods(&findings.missing_pods);
        let events = findings.to_publish.iter().map(|(pod, event)| (pod.as_ref(), event));
        self.publish_pod_events(events).await
    }

    /// Publishes those events that were not published yet, a limited number at a time. A failure does
    /// not delay the other events.
    pub(super) async fn publish_pod_events<'a>(
        &self,
        events: impl Iterator<Item = (&'a PodSnapshot, &'a WorkloadEvent)> + Send,
    ) -> Result<ReconcileAction, ClusterError> {
        let mut attempts = 0;
        let mut result = Ok(ReconcileAction::AwaitChange);
        for (pod, event) in events {
            if attempts == MAX_EVENTS_PER_PASS {
                return result.and(Ok(ReconcileAction::RequeueAfter(EVENTS_INTERVAL)));
            }
            match self.publish_pod_event(pod, event).await {
                Ok(is_new) => attempts += usize::from(is_new),
                Err(error) => {
                    attempts += 1;
                    result = Err(error);
                }
            }
        }
        result
    }

    /// Checks every pod, and forgets the published events of owners that have no pods any more.
    fn collect_findings(&self) -> AuditFindings {
        let mut findings = AuditFindings::default();
        let mut trace_buffers = HashMap::new();
        let pods = self.context.pods.all();
        let mut dedup = self.event_dedup.lock();
        for pod in pods.into_iter().filter(|pod| !pod.is_terminating) {
            let state = self.state_event(&pod, &mut trace_buffers, &mut findings.missing_pods);
            for event in state.into_iter().chain(self.sidecar_events(&pod)) {
                findings.add(&mut dedup, &pod, event);
            }
        }
        dedup.is_primed = true;
        dedup.owners.retain(|key| findings.current_keys.contains(key));
        dedup.workloads.retain(|_, at| at.elapsed() < EVENT_DEDUP_WINDOW);
        findings
    }

    /// Returns the event that describes the state of `pod`, and counts the pod if it is missing its
    /// sidecar. `trace_buffers` caches lookups.
    fn state_event(
        &self,
        pod: &PodSnapshot,
        trace_buffers: &mut HashMap<ObjectKey, Option<Arc<TraceBufferSnapshot>>>,
        missing_pods: &mut BTreeMap<&'static str, u64>,
    ) -> Option<WorkloadEvent> {
        let Some(InjectionStatus::Injected(injected)) = &pod.status else {
            let reason = self.missing_reason(pod)?;
            // A pod in an excluded namespace is not missing anything, but gets an event all the same.
            if !self.context.facts.excludes(&pod.key.namespace) {
                *missing_pods.entry(reason.as_str()).or_default() += 1;
            }
            return Some(WorkloadEvent::missing(&reason));
        };
        let key = &injected.trace_buffer;
        let snapshot = trace_buffers.entry(key.clone()).or_insert_with(|| {
            let snapshot = self.context.cluster.trace_buffer(key);
            if snapshot.is_none() && !self.is_deletion_event_published(key) {
                self.context.queue.schedule(WorkItem::TraceBuffer(key.clone()), Duration::ZERO);
            }
            snapshot
        });
        let snapshot = snapshot.as_ref()?;
        let allows = || snapshot.allows(&self.context.pods.namespace(&pod.key.namespace));
        match sidecar_state(pod, snapshot) {
            // In a namespace that is no longer allowed, new pods would not get a sidecar.
            SidecarState::Outdated(reason) if allows() => {
                Some(WorkloadEvent::outdated(key, reason, snapshot.sidecar.as_ref().ok()?))
            }
            _ => Some(WorkloadEvent::injected(key, &injected.hash)),
        }
    }

    /// Returns events about a pod that has a sidecar: that it does not run, and what the webhook warned of.
    fn sidecar_events(&self, pod: &PodSnapshot) -> impl Iterator<Item = WorkloadEvent> {
        let injected = injected_sidecar(pod);
        let failure = injected.and_then(|_| self.context.pods.sidecar_failure(pod));
        let failing = failure.map(|failure| WorkloadEvent::sidecar_failing(&failure));
        failing.into_iter().chain(injected.and_then(WorkloadEvent::injection_warning))
    }

    /// Returns why `pod` has no sidecar, if it asks for one.
    fn missing_reason(&self, pod: &PodSnapshot) -> Option<MissingReason> {
        let opted_in = self.context.pods.namespace(&pod.key.namespace).opted_in;
        missing_reason(pod, opted_in, &self.context.facts)
    }

    /// Publishes an event about the workload of `pod`, unless it was published before. Returns whether
    /// it was new.
    pub(super) async fn publish_pod_event(
        &self,
        pod: &PodSnapshot,
        event: &WorkloadEvent,
    ) -> Result<bool, ClusterError> {
        let key = EventKey::of(pod, event);
        if self.event_dedup.lock().owners.contains(&key) {
            return Ok(false);
        }
        let is_new = match self.context.cluster.workload_of(pod).await {
            Ok(workload) => self.publish_event(&workload, event).await?,
            Err(ClusterError::NotFound) => false,
            Err(error) => return Err(error),
        };
        self.event_dedup.lock().owners.insert(key);
        Ok(is_new)
    }

    /// Publishes an event about a workload, unless it was published before. Returns whether it was new.
    pub(super) async fn publish_event(
        &self,
        workload: &Workload,
        event: &WorkloadEvent,
    ) -> Result<bool, ClusterError> {
        let key = EventKey::new(&workload.namespace, &workload.object.uid, event);
        if self.event_dedup.lock().workloads.contains_key(&key) {
            return Ok(false);
        }
        match self.context.cluster.publish_event(workload, event).await {
            Ok(()) | Err(ClusterError::NotFound) => {}
            Err(error) => return Err(error),
        }
        self.event_dedup.lock().remember_workload(key);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_number_of_remembered_workloads_is_bounded_and_the_newest_are_kept() {
        let event = WorkloadEvent::missing(&MissingReason::WebhookNotCalled);
        let key = |number: usize| EventKey::new("shop", &number.to_string(), &event);
        let mut dedup = EventDedup::default();

        for number in 0..MAX_REMEMBERED_WORKLOADS + 2 {
            dedup.remember_workload(key(number));
            tokio::time::advance(Duration::from_millis(1)).await;
        }

        assert_eq!(dedup.workloads.len(), MAX_REMEMBERED_WORKLOADS);
        assert!(!dedup.workloads.contains_key(&key(1)));
        assert!(dedup.workloads.contains_key(&key(2)));
    }
}
