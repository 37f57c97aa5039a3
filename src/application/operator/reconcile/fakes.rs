//! A cluster in memory that responds immediately and records what is written to it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use self::objects::facts;
pub(super) use self::objects::{
    image_pull_failure, injected_pod, key, limits, missing_pod, restarting, secret, skipped_pod,
    snapshot, text, workload_status,
};
use super::queue::WorkQueue;
use super::{ReconcileContext, Reconciler};
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::injection::pod_snapshot::{Owner, PodSnapshot};
use crate::domain::operator::injection::status::InjectionStatus;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::managed_pod::SidecarFailure;
use crate::domain::operator::reconcile::rollout::{RolloutProgress, WorkloadStatus};
use crate::domain::operator::reconcile::trace_buffer_snapshot::{Reference, TraceBufferSnapshot};
use crate::domain::operator::reconcile::trace_buffer_status::{PodCounts, Status};
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::ports::operator::cluster::{Cluster, ClusterError, LookupOutcome, Workload};
use crate::ports::operator::pods::{ChangeHandler, PodLister};
use crate::ports::operator::reconcile::{ReconcileMonitor, ReconcileOutcome};

mod objects;

/// A write to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecordedWrite {
    Status(ObjectKey, Status),
    Limits(String, String),
    Restart(String, String),
    /// Workload, reason, deduplication key.
    Event(String, &'static str, String),
}

#[derive(Default)]
struct State {
    is_synced: bool,
    webhook_problem: Option<String>,
    trace_buffers: BTreeMap<ObjectKey, Arc<TraceBufferSnapshot>>,
    pods: BTreeMap<ObjectKey, Arc<PodSnapshot>>,
    namespaces: BTreeMap<String, Arc<NamespaceFacts>>,
    sidecar_failures: HashMap<String, Arc<SidecarFailure>>,
    lookups: HashMap<String, LookupOutcome>,
    reference_lookups: usize,
    workloads: HashMap<String, WorkloadStatus>,
    workload_reads: usize,
    /// Pods for which writing limits fails.
    rejecting_limits: HashSet<String>,
    is_rejecting_restarts: bool,
    /// The errors with which the next writes fail, the last one first.
    failures: Vec<ClusterError>,
    writes: Vec<(Duration, RecordedWrite)>,
    outcomes: Vec<ReconcileOutcome>,
    counts: BTreeMap<ObjectKey, PodCounts>,
    missing_pods: BTreeMap<&'static str, u64>,
}

/// The cluster, its pods, and a monitor.
pub(super) struct FakeCluster {
    state: Mutex<State>,
    started: Instant,
    pub(super) queue: Arc<WorkQueue>,
}

/// A cluster with a reconciler on it.
pub(super) struct Harness {
    pub(super) cluster: Arc<FakeCluster>,
    pub(super) leading: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Lets this time pass.
pub(super) async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

impl Harness {
    /// Sets up a cluster without a leader.
    pub(super) fn new() -> Self {
        let cluster = Arc::new(FakeCluster {
            state: Mutex::new(State { is_synced: true, ..State::default() }),
            started: Instant::now(),
            queue: Arc::default(),
        });
        let reconciler = Reconciler::new(ReconcileContext {
            cluster: Arc::clone(&cluster),
            pods: Arc::clone(&cluster),
            queue: Arc::clone(&cluster.queue),
            monitor: Arc::clone(&cluster) as Arc<dyn ReconcileMonitor>,
            facts: facts(),
            random: || 0,
        });
        let (leading, is_leading) = watch::channel(false);
        let running = tokio::spawn(async move { reconciler.run(is_leading).await });
        Self { cluster, leading, running }
    }

    /// Sets up a cluster with these objects, and a leader that has reconciled them.
    pub(super) async fn with_leader(
        trace_buffers: &[TraceBufferSnapshot],
        pods: &[PodSnapshot],
    ) -> Self {
        let harness = Self::new();
        for trace_buffer in trace_buffers {
            harness.cluster.put_trace_buffer(trace_buffer.clone());
        }
        for pod in pods {
            harness.cluster.put_pod(pod.clone());
        }
        harness.lead().await;
        harness
    }

    pub(super) async fn lead(&self) {
        self.leading.send(true).unwrap();
        sleep(Duration::from_secs(10)).await;
    }
}

impl FakeCluster {
    pub(super) fn put_trace_buffer(&self, trace_buffer: TraceBufferSnapshot) {
        let key = trace_buffer.key.clone();
        self.state.lock().trace_buffers.insert(key.clone(), Arc::new(trace_buffer));
        self.queue.trace_buffer_changed(&key);
    }

    pub(super) fn delete_trace_buffer(&self, key: &ObjectKey) {
        self.state.lock().trace_buffers.remove(key);
        self.queue.trace_buffer_changed(key);
    }

    pub(super) fn put_pod(&self, pod: PodSnapshot) {
        let pod = Arc::new(pod);
        self.state.lock().pods.insert(pod.key.clone(), Arc::clone(&pod));
        self.queue.pod_changed(&pod);
    }

    /// Lets the sidecar of a pod fail, or run again.
    pub(super) fn set_sidecar_failure(&self, pod: &PodSnapshot, failure: Option<SidecarFailure>) {
        let failures = &mut self.state.lock().sidecar_failures;
        match failure {
            Some(failure) => failures.insert(pod.key.name.clone(), Arc::new(failure)),
            None => failures.remove(&pod.key.name),
        };
        self.queue.pod_changed(pod);
    }

    pub(super) fn delete_pod(&self, name: &str) {
        let pod = self.state.lock().pods.remove(&key("shop", name)).unwrap();
        self.queue.pod_changed(&pod);
    }

    pub(super) fn set_synced(&self, is_synced: bool) {
        self.state.lock().is_synced = is_synced;
    }

    pub(super) fn set_webhook_problem(&self, problem: Option<&str>) {
        self.state.lock().webhook_problem = problem.map(str::to_owned);
        self.queue.resync();
    }

    pub(super) fn opt_in_namespace(&self, namespace: &str) {
        let facts = NamespaceFacts { opted_in: true, ..NamespaceFacts::unknown(namespace) };
        self.set_namespace(facts);
    }

    pub(super) fn set_namespace(&self, facts: NamespaceFacts) {
        let name = facts.name.clone();
        self.state.lock().namespaces.insert(name.clone(), Arc::new(facts));
        self.queue.namespace_changed(&name);
    }

    pub(super) fn set_lookup(&self, namespace: &str, name: &str, lookup: LookupOutcome) {
        self.state.lock().lookups.insert(format!("{namespace}/{name}"), lookup);
    }

    pub(super) fn set_workload(&self, workload: &str, status: WorkloadStatus) {
        self.state.lock().workloads.insert(workload.to_owned(), status);
    }

    /// Deletes a workload.
    pub(super) fn delete_workload(&self, workload: &str) {
        self.state.lock().workloads.remove(workload);
    }

    /// Lets writes of a pod's limits fail, as a policy engine does.
    pub(super) fn reject_limits(&self, pod: &str) {
        self.state.lock().rejecting_limits.insert(pod.to_owned());
    }

    /// Lets restarts fail, as missing permissions do.
    pub(super) fn reject_restarts(&self) {
        self.state.lock().is_rejecting_restarts = true;
    }

    /// Lets the next writes fail with these errors.
    pub(super) fn fail_next_writes(&self, failures: &[ClusterError]) {
        self.state.lock().failures = failures.iter().rev().cloned().collect();
    }

    /// Returns what was written since the last call, and the time of each write.
    pub(super) fn timed_writes(&self) -> Vec<(Duration, RecordedWrite)> {
        std::mem::take(&mut self.state.lock().writes)
    }

    /// Returns what was written since the last call.
    pub(super) fn writes(&self) -> Vec<RecordedWrite> {
        self.timed_writes().into_iter().map(|(_, write)| write).collect()
    }

    /// Returns the events since the last call: workload, reason, deduplication key.
    pub(super) fn events(&self) -> Vec<(String, &'static str, String)> {
        let mut events: Vec<_> = self
            .writes()
            .into_iter()
            .filter_map(|write| match write {
                RecordedWrite::Event(workload, reason, dedup_key) => {
                    Some((workload, reason, dedup_key))
                }
                _ => None,
            })
            .collect();
        events.sort();
        events
    }

    /// Returns which workloads were restarted since the last call, each with the revision.
    pub(super) fn restarts(&self) -> Vec<(String, String)> {
        let writes = self.writes().into_iter().filter_map(|write| match write {
            RecordedWrite::Restart(workload, revision) => Some((workload, revision)),
            _ => None,
        });
        writes.collect()
    }

    pub(super) fn status(&self, key: &ObjectKey) -> Option<Status> {
        self.state.lock().trace_buffers.get(key)?.status.clone()
    }

    pub(super) fn counts(&self, key: &ObjectKey) -> Option<PodCounts> {
        self.state.lock().counts.get(key).copied()
    }

    pub(super) fn missing_pods_by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().missing_pods.clone()
    }

    pub(super) fn outcomes(&self) -> Vec<ReconcileOutcome> {
        std::mem::take(&mut self.state.lock().outcomes)
    }

    /// Returns how often references were looked up and workloads were read.
    pub(super) fn reads(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.reference_lookups, state.workload_reads)
    }

    fn write(&self, write: RecordedWrite) -> Result<(), ClusterError> {
        let mut state = self.state.lock();
        if let Some(failure) = state.failures.pop() {
            return Err(failure);
        }
        state.writes.push((self.started.elapsed(), write));
        Ok(())
    }
}

impl Cluster for FakeCluster {
    fn is_synced(&self) -> bool {
        self.state.lock().is_synced
    }

    fn webhook_problem(&self) -> Option<String> {
        self.state.lock().webhook_problem.clone()
    }

    fn trace_buffer_keys(&self) -> Vec<ObjectKey> {
        self.state.lock().trace_buffers.keys().cloned().collect()
    }

    fn names_in(&self, namespace: &str) -> Vec<String> {
        let all = self.trace_buffer_keys().into_iter();
        all.filter(|key| key.namespace == namespace).map(|key| key.name).collect()
    }

    fn trace_buffer(&self, key: &ObjectKey) -> Option<Arc<TraceBufferSnapshot>> {
        self.state.lock().trace_buffers.get(key).cloned()
    }

    async fn look_up(
        &self,
        namespace: &str,
        reference: &Reference,
    ) -> Result<LookupOutcome, ClusterError> {
        let mut state = self.state.lock();
        state.reference_lookups += 1;
        let lookup = state.lookups.get(&format!("{namespace}/{}", reference.name)).copied();
        lookup.ok_or_else(|| ClusterError::Failed("no answer".into()))
    }

    /// The workload has the `ReplicaSet`'s name up to the dash.
    async fn workload_of(&self, pod: &PodSnapshot) -> Result<Workload, ClusterError> {
        let owner = pod.owner.clone().ok_or(ClusterError::NotFound)?;
        let name = owner.name.split('-').next().unwrap_or_default().to_owned();
        let (kind, uid) = ("Deployment".to_owned(), format!("uid-{name}"));
        let object = Owner { kind, name, uid, ..owner };
        Ok(Workload { namespace: pod.key.namespace.clone(), object })
    }

    async fn set_limits(&self, pod: &PodSnapshot, text: &str) -> Result<(), ClusterError> {
        if self.state.lock().rejecting_limits.contains(&pod.key.name) {
            return Err(ClusterError::Failed("refused".into()));
        }
        self.write(RecordedWrite::Limits(pod.key.name.clone(), text.to_owned()))?;
        self.put_pod(PodSnapshot { limits: Some(text.to_owned()), ..pod.clone() });
        Ok(())
    }

    async fn write_status(
        &self,
        trace_buffer: &TraceBufferSnapshot,
        new: &Status,
    ) -> Result<(), ClusterError> {
        let mut status = new.clone();
        let now = i64::try_from(self.started.elapsed().as_secs()).unwrap();
        for condition in &mut status.conditions {
            condition.last_transition_time.get_or_insert(now);
        }
        self.write(RecordedWrite::Status(trace_buffer.key.clone(), status.clone()))?;
        let written = TraceBufferSnapshot { status: Some(status), ..trace_buffer.clone() };
        self.state.lock().trace_buffers.insert(trace_buffer.key.clone(), Arc::new(written));
        self.queue.trace_buffer_status_changed(&trace_buffer.key);
        Ok(())
    }

    async fn get_workload(
        &self,
        workload: &Workload,
    ) -> Result<Option<WorkloadStatus>, ClusterError> {
        let mut state = self.state.lock();
        state.workload_reads += 1;
        Ok(state.workloads.get(&workload.object.name).cloned())
    }

    async fn restart(
        &self,
        workload: &Workload,
        _: &WorkloadStatus,
        revision: &str,
    ) -> Result<(), ClusterError> {
        if self.state.lock().is_rejecting_restarts {
            return Err(ClusterError::Failed("refused".into()));
        }
        let name = &workload.object.name;
        self.write(RecordedWrite::Restart(name.clone(), revision.to_owned()))?;
        self.set_workload(name, workload_status(Some(revision), RolloutProgress::Progressing));
        Ok(())
    }

    async fn publish_event(
        &self,
        workload: &Workload,
        event: &WorkloadEvent,
    ) -> Result<(), ClusterError> {
        let name = workload.object.name.clone();
        self.write(RecordedWrite::Event(name, event.reason, event.dedup_key.clone()))
    }
}

impl PodLister for FakeCluster {
    fn sidecar_failure(&self, pod: &PodSnapshot) -> Option<Arc<SidecarFailure>> {
        self.state.lock().sidecar_failures.get(&pod.key.name).cloned()
    }

    fn all(&self) -> Vec<Arc<PodSnapshot>> {
        self.state.lock().pods.values().cloned().collect()
    }

    fn in_namespace(&self, namespace: &str) -> Vec<Arc<PodSnapshot>> {
        self.all().into_iter().filter(|pod| pod.key.namespace == namespace).collect()
    }

    fn referencing(&self, trace_buffer: &ObjectKey) -> Vec<Arc<PodSnapshot>> {
        let qualified_name = format!("{}/{}", trace_buffer.namespace, trace_buffer.name);
        let uses = |pod: &PodSnapshot| match &pod.status {
            Some(InjectionStatus::Injected(injected)) => injected.trace_buffer == *trace_buffer,
            _ => {
                pod.inject.as_ref() == Some(&qualified_name)
                    || self.namespace(&pod.key.namespace).names_trace_buffer(trace_buffer)
            }
        };
        self.all().into_iter().filter(|pod| uses(pod)).collect()
    }

    fn namespace(&self, name: &str) -> Arc<NamespaceFacts> {
        let namespace = self.state.lock().namespaces.get(name).cloned();
        namespace.unwrap_or_else(|| Arc::new(NamespaceFacts::unknown(name)))
    }
}

impl ReconcileMonitor for FakeCluster {
    fn reconciled(&self, outcome: ReconcileOutcome, _took: Duration) {
        self.state.lock().outcomes.push(outcome);
    }

    fn pod_counts(&self, trace_buffer: &ObjectKey, counts: Option<PodCounts>) {
        let mut state = self.state.lock();
        match counts {
            Some(counts) => state.counts.insert(trace_buffer.clone(), counts),
            None => state.counts.remove(trace_buffer),
        };
    }

    fn missing_pods(&self, pods: &BTreeMap<&'static str, u64>) {
        self.state.lock().missing_pods = pods.clone();
    }

    fn leadership_lost(&self) {
        let mut state = self.state.lock();
        state.counts.clear();
        state.missing_pods.clear();
    }
}
