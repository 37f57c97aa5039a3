//! Finds pods that have no sidecar although they ask for one, and tells the owners of all pods what
//! became of them: once for each owner and cause.

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
    MissingReason, SidecarState, missing_reason, sidecar_state,
};
use crate::domain::operator::reconcile::trace_buffer_snapshot::TraceBufferSnapshot;
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::ports::operator::cluster::{Cluster, ClusterError, Workload};
use crate::ports::operator::pods::PodLister;

/// Most owners told in one go.
const MAX_EVENTS_PER_PASS: usize = 50;
/// How long to wait before the next ones.
const EVENTS_INTERVAL: Duration = Duration::from_secs(1);
/// How long a workload is not told the same again, although its pods are others' now; as long as
/// Kubernetes keeps events.
const EVENT_DEDUP_WINDOW: Duration = Duration::from_hours(1);

/// What owners were told while this replica leads.
#[derive(Default)]
pub(super) struct EventDedup {
    /// By what controls the pods.
    owners: HashSet<EventKey>,
    /// By the workload.
    workloads: HashMap<EventKey, Instant>,
    /// Whether there was an audit already.
    is_primed: bool,
}

/// Two notices of the same key are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct EventKey {
    /// Whoever creates pods can name the UID of another namespace's object as their owner's.
    namespace: String,
    uid: String,
    reason: &'static str,
    dedup_key: String,
}

/// What an audit found.
#[derive(Default)]
struct AuditFindings {
    missing_pods: BTreeMap<&'static str, u64>,
    current_keys: HashSet<EventKey>,
    to_publish: Vec<(Arc<PodSnapshot>, WorkloadEvent)>,
}

impl EventKey {
    fn new(namespace: &str, uid: &str, notice: &WorkloadEvent) -> Self {
        let (namespace, uid) = (namespace.to_owned(), uid.to_owned());
        Self { namespace, uid, reason: notice.reason, dedup_key: notice.dedup_key.clone() }
    }

    /// The key for what controls a pod, or the pod itself.
    fn of(pod: &PodSnapshot, notice: &WorkloadEvent) -> Self {
        let uid = pod.owner.as_ref().map_or(&pod.uid, |owner| &owner.uid);
        Self::new(&pod.key.namespace, uid, notice)
    }
}

impl<C: Cluster, P: PodLister> LeaderSession<C, P> {
    pub(super) async fn audit(&self) -> Result<ReconcileAction, ClusterError> {
        let findings = self.collect_findings();
        self.context.monitor.missing_pods(&findings.missing_pods);
        let to_tell = findings.to_publish.iter().map(|(pod, notice)| (pod.as_ref(), notice));
        self.publish_pod_events(to_tell).await
    }

    /// Tells the workloads of pods that do not know, some at a time. One that cannot be told now
    /// keeps no other waiting.
    pub(super) async fn publish_pod_events<'a>(
        &self,
        to_tell: impl Iterator<Item = (&'a PodSnapshot, &'a WorkloadEvent)> + Send,
    ) -> Result<ReconcileAction, ClusterError> {
        let mut tries = 0;
        let mut result = Ok(ReconcileAction::AwaitChange);
        for (pod, notice) in to_tell {
            if tries == MAX_EVENTS_PER_PASS {
                return result.and(Ok(ReconcileAction::RequeueAfter(EVENTS_INTERVAL)));
            }
            match self.publish_pod_event(pod, notice).await {
                Ok(is_news) => tries += usize::from(is_news),
                Err(error) => {
                    tries += 1;
                    result = Err(error);
                }
            }
        }
        result
    }

    /// Looks at every pod. Forgets what owners were told that are no longer there.
    fn collect_findings(&self) -> AuditFindings {
        let mut findings = AuditFindings::default();
        let mut declared = HashMap::new();
        let pods = self.context.pods.all();
        let mut told = self.event_dedup.lock();
        for pod in pods.into_iter().filter(|pod| !pod.is_terminating) {
            let Some(notice) = self.event_for_pod(&pod, &mut declared, &mut findings.missing_pods)
            else {
                continue;
            };
            let key = EventKey::of(&pod, &notice);
            if told.owners.contains(&key) {
                findings.current_keys.insert(key);
            } else if !told.is_primed && notice.reports_success() {
                told.owners.insert(key.clone());
                findings.current_keys.insert(key);
            } else if findings.current_keys.insert(key) {
                findings.to_publish.push((pod, notice));
            }
        }
        told.is_primed = true;
        told.owners.retain(|key| findings.current_keys.contains(key));
        told.workloads.retain(|_, at| at.elapsed() < EVENT_DEDUP_WINDOW);
        findings
    }

    /// Returns what the owner of `pod` should know.
    fn event_for_pod(
        &self,
        pod: &PodSnapshot,
        known: &mut HashMap<ObjectKey, Option<Arc<TraceBufferSnapshot>>>,
        uninjected: &mut BTreeMap<&'static str, u64>,
    ) -> Option<WorkloadEvent> {
        let Some(InjectionStatus::Injected(injected)) = &pod.status else {
            let cause = self.missing_reason(pod)?;
            // Where injection is disabled nothing is missing; the owner is told why all the same.
            if !self.context.facts.excludes(&pod.key.namespace) {
                *uninjected.entry(cause.as_str()).or_default() += 1;
            }
            return Some(WorkloadEvent::missing(&cause));
        };
        let key = &injected.trace_buffer;
        let declared = known.entry(key.clone()).or_insert_with(|| {
            let declared = self.context.cluster.trace_buffer(key);
            if declared.is_none() && !self.is_deletion_event_published(key) {
                self.context.queue.schedule(WorkItem::TraceBuffer(key.clone()), Duration::ZERO);
            }
            declared
        });
        let declared = declared.as_ref()?;
        let allows = || declared.allows(&self.context.pods.namespace(&pod.key.namespace));
        match sidecar_state(pod, declared) {
            // Where it is no longer allowed, no new pod would take the change up.
            SidecarState::Outdated(change) if allows() => {
                Some(WorkloadEvent::outdated(key, change, declared.sidecar.as_ref().ok()?))
            }
            _ => Some(WorkloadEvent::injected(key, &injected.hash)),
        }
    }

    /// Returns why a pod without sidecar has none, if it asks for one.
    fn missing_reason(&self, pod: &PodSnapshot) -> Option<MissingReason> {
        let opted_in = self.context.pods.namespace(&pod.key.namespace).opted_in;
        missing_reason(pod, opted_in, &self.context.facts)
    }

    /// Tells the workload of `pod`, unless it knows; returns whether it did not.
    async fn publish_pod_event(
        &self,
        pod: &PodSnapshot,
        notice: &WorkloadEvent,
    ) -> Result<bool, ClusterError> {
        let key = EventKey::of(pod, notice);
        if self.event_dedup.lock().owners.contains(&key) {
            return Ok(false);
        }
        let is_news = match self.context.cluster.workload_of(pod).await {
            Ok(workload) => self.publish_event(&workload, notice).await?,
            Err(ClusterError::NotFound) => false,
            Err(error) => return Err(error),
        };
        self.event_dedup.lock().owners.insert(key);
        Ok(is_news)
    }

    /// Tells a workload, unless it knows; returns whether it did not.
    pub(super) async fn publish_event(
        &self,
        workload: &Workload,
        notice: &WorkloadEvent,
    ) -> Result<bool, ClusterError> {
        let key = EventKey::new(&workload.namespace, &workload.object.uid, notice);
        if self.event_dedup.lock().workloads.contains_key(&key) {
            return Ok(false);
        }
        match self.context.cluster.publish_event(workload, notice).await {
            Ok(()) | Err(ClusterError::NotFound) => {}
            Err(error) => return Err(error),
        }
        self.event_dedup.lock().workloads.insert(key, Instant::now());
        Ok(true)
    }
}
