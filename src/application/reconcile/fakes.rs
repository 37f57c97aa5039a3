//! A cluster in memory that answers at once and remembers what was written to it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::queue::WorkQueue;
use super::{Parts, Reconciler};
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::consent::{AllowedNamespaces, CredentialUse};
use crate::domain::injection::facts::{ClusterFacts, NamespaceFacts};
use crate::domain::injection::pod_record::{Owner, PodRecord};
use crate::domain::injection::skip::SkipReason;
use crate::domain::injection::status::{Injected, PodStatus};
use crate::domain::operating::conditions::Status;
use crate::domain::operating::declared::{
    Declared, Needs, Reference, ReferenceKind, RunningLimits,
};
use crate::domain::operating::notice::Notice;
use crate::domain::operating::rollout::{Progress, Seen};
use crate::domain::operating::standing::PodCounts;
use crate::ports::cluster::{Cluster, ClusterError, Lookup, Workload};
use crate::ports::operation::{OperationMonitor, ReconcileOutcome};
use crate::ports::pods::{Changes, Pods};

/// What was done to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    Status(ObjectKey, Status),
    Limits(String, String),
    Restart(String, String),
    /// Workload, reason, cause.
    Told(String, &'static str, String),
}

#[derive(Default)]
struct State {
    is_synced: bool,
    declared: BTreeMap<ObjectKey, Arc<Declared>>,
    pods: BTreeMap<ObjectKey, Arc<PodRecord>>,
    namespaces: BTreeMap<String, Arc<NamespaceFacts>>,
    lookups: HashMap<String, Lookup>,
    looked_up: usize,
    seen: HashMap<String, Seen>,
    looks: usize,
    /// Pods that take no new limits.
    refusing: HashSet<String>,
    /// How the next writes fail.
    failures: Vec<ClusterError>,
    writes: Vec<(Duration, Write)>,
    outcomes: Vec<ReconcileOutcome>,
    counts: BTreeMap<ObjectKey, PodCounts>,
    uninjected: BTreeMap<&'static str, u64>,
}

/// The cluster, its pods, and who watches.
pub(super) struct FakeCluster {
    state: Mutex<State>,
    started: Instant,
    pub(super) queue: Arc<WorkQueue>,
}

/// A cluster with a reconciler on it.
pub(super) struct Stage {
    pub(super) cluster: Arc<FakeCluster>,
    pub(super) leading: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub(super) fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

/// The operator is in `ops`, and its default is `platform/all`.
fn facts() -> ClusterFacts {
    ClusterFacts {
        own_namespace: "ops".into(),
        excluded_namespaces: vec!["kube-system".into()],
        default_trace_buffer: Some(key("platform", "all")),
    }
}

pub(super) fn limits(max_bytes: u64) -> RunningLimits {
    RunningLimits { max_spans: 10, max_bytes, max_age_ms: None }
}

/// The limits as a sidecar reads them here.
pub(super) fn text(max_bytes: u64) -> String {
    format!("bytes={max_bytes}")
}

/// `shop/traces` with hash `h1` and 100 bytes.
pub(super) fn declared() -> Declared {
    Declared {
        key: key("shop", "traces"),
        uid: "u1".into(),
        resource_version: "1".into(),
        generation: 1,
        sidecar: Ok(Needs { hash: "h1".into(), limits: limits(100) }),
        allowed_namespaces: AllowedNamespaces::All,
        credentials: CredentialUse::None,
        references: vec![],
        rollout: None,
        status: None,
    }
}

pub(super) fn secret(name: &str) -> Reference {
    Reference { kind: ReferenceKind::Secret, name: name.into(), field: "spec.field".into() }
}

/// A pod of `owner` in `shop` that asks and has nothing.
pub(super) fn bare(name: &str, owner: &str) -> PodRecord {
    PodRecord {
        key: key("shop", name),
        uid: format!("uid-{name}"),
        owner: Some(Owner {
            api_version: "apps/v1".into(),
            kind: "ReplicaSet".into(),
            name: owner.into(),
            uid: format!("uid-{owner}"),
        }),
        inject: Some("true".into()),
        status: None,
        limits: None,
        is_ending: false,
    }
}

/// The same with a sidecar of `shop/traces`.
pub(super) fn injected(name: &str, owner: &str, hash: &str) -> PodRecord {
    let trace_buffer = key("shop", "traces");
    let (uid, hash) = ("u1".into(), hash.into());
    let injected = Injected { trace_buffer, uid, hash, max_bytes: 100 };
    PodRecord {
        status: Some(PodStatus::Injected(injected)),
        limits: Some(text(100)),
        ..bare(name, owner)
    }
}

/// The same, skipped.
pub(super) fn skipped(name: &str, owner: &str, reason: SkipReason) -> PodRecord {
    let status = PodStatus::Skipped { reason, message: "because".into() };
    PodRecord { status: Some(status), ..bare(name, owner) }
}

pub(super) fn seen(marker: Option<&str>, progress: Progress) -> Seen {
    let marker = marker.map(str::to_owned);
    let inject = Some("traces".into());
    Seen { marker, progress, obstacle: None, inject, resource_version: "1".into() }
}

impl Stage {
    /// Sets up a cluster without a leader.
    pub(super) fn new() -> Self {
        let cluster = Arc::new(FakeCluster {
            state: Mutex::new(State { is_synced: true, ..State::default() }),
            started: Instant::now(),
            queue: Arc::default(),
        });
        let reconciler = Reconciler::new(Parts {
            cluster: Arc::clone(&cluster),
            pods: Arc::clone(&cluster),
            queue: Arc::clone(&cluster.queue),
            monitor: Arc::clone(&cluster) as Arc<dyn OperationMonitor>,
            facts: facts(),
            random: || 0,
        });
        let (leading, is_leading) = watch::channel(false);
        let running = tokio::spawn(async move { reconciler.run(is_leading).await });
        Self { cluster, leading, running }
    }

    /// Sets up a cluster with these, and a leader that has seen them.
    pub(super) async fn led(declared: &[Declared], pods: &[PodRecord]) -> Self {
        let stage = Self::new();
        for one in declared {
            stage.cluster.declare(one.clone());
        }
        for pod in pods {
            stage.cluster.put(pod.clone());
        }
        stage.lead().await;
        stage
    }

    pub(super) async fn lead(&self) {
        self.leading.send(true).unwrap();
        sleep(Duration::from_secs(10)).await;
    }
}

impl FakeCluster {
    pub(super) fn declare(&self, declared: Declared) {
        let key = declared.key.clone();
        self.state.lock().declared.insert(key.clone(), Arc::new(declared));
        self.queue.trace_buffer(&key);
    }

    pub(super) fn delete(&self, key: &ObjectKey) {
        self.state.lock().declared.remove(key);
        self.queue.trace_buffer(key);
    }

    pub(super) fn put(&self, pod: PodRecord) {
        let pod = Arc::new(pod);
        self.state.lock().pods.insert(pod.key.clone(), Arc::clone(&pod));
        self.queue.pod(&pod);
    }

    pub(super) fn remove(&self, name: &str) {
        let pod = self.state.lock().pods.remove(&key("shop", name)).unwrap();
        self.queue.pod(&pod);
    }

    pub(super) fn set_synced(&self, is_synced: bool) {
        self.state.lock().is_synced = is_synced;
    }

    pub(super) fn let_namespace_ask(&self, namespace: &str) {
        let facts = NamespaceFacts { asks: true, ..NamespaceFacts::unknown(namespace) };
        self.set_namespace(facts);
    }

    pub(super) fn set_namespace(&self, facts: NamespaceFacts) {
        let name = facts.name.clone();
        self.state.lock().namespaces.insert(name.clone(), Arc::new(facts));
        self.queue.namespace(&name);
    }

    pub(super) fn set_lookup(&self, namespace: &str, name: &str, lookup: Lookup) {
        self.state.lock().lookups.insert(format!("{namespace}/{name}"), lookup);
    }

    pub(super) fn set_seen(&self, workload: &str, seen: Seen) {
        self.state.lock().seen.insert(workload.to_owned(), seen);
    }

    /// Deletes a workload.
    pub(super) fn unsee(&self, workload: &str) {
        self.state.lock().seen.remove(workload);
    }

    /// Lets a pod refuse new limits, as a policy engine does.
    pub(super) fn let_refuse_limits(&self, pod: &str) {
        self.state.lock().refusing.insert(pod.to_owned());
    }

    /// Lets the next writes fail so.
    pub(super) fn fail(&self, failures: &[ClusterError]) {
        self.state.lock().failures = failures.iter().rev().cloned().collect();
    }

    /// Returns what was written since the last call, and when.
    pub(super) fn timed_writes(&self) -> Vec<(Duration, Write)> {
        std::mem::take(&mut self.state.lock().writes)
    }

    /// Returns what was written since the last call.
    pub(super) fn writes(&self) -> Vec<Write> {
        self.timed_writes().into_iter().map(|(_, write)| write).collect()
    }

    /// Returns what owners were told since the last call: workload, reason, cause.
    pub(super) fn told(&self) -> Vec<(String, &'static str, String)> {
        let mut told: Vec<_> = self
            .writes()
            .into_iter()
            .filter_map(|write| match write {
                Write::Told(workload, reason, cause) => Some((workload, reason, cause)),
                _ => None,
            })
            .collect();
        told.sort();
        told
    }

    /// Returns which workloads were restarted since the last call, with the marker.
    pub(super) fn restarts(&self) -> Vec<(String, String)> {
        let writes = self.writes().into_iter().filter_map(|write| match write {
            Write::Restart(workload, marker) => Some((workload, marker)),
            _ => None,
        });
        writes.collect()
    }

    pub(super) fn status(&self, key: &ObjectKey) -> Option<Status> {
        self.state.lock().declared.get(key)?.status.clone()
    }

    pub(super) fn counts(&self, key: &ObjectKey) -> Option<PodCounts> {
        self.state.lock().counts.get(key).copied()
    }

    pub(super) fn uninjected_by_cause(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().uninjected.clone()
    }

    pub(super) fn outcomes(&self) -> Vec<ReconcileOutcome> {
        std::mem::take(&mut self.state.lock().outcomes)
    }

    /// How often references were looked up and workloads looked at.
    pub(super) fn reads(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.looked_up, state.looks)
    }

    fn write(&self, write: Write) -> Result<(), ClusterError> {
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

    fn trace_buffers(&self) -> Vec<ObjectKey> {
        self.state.lock().declared.keys().cloned().collect()
    }

    fn names_in(&self, namespace: &str) -> Vec<String> {
        let all = self.trace_buffers().into_iter();
        all.filter(|key| key.namespace == namespace).map(|key| key.name).collect()
    }

    fn declared(&self, key: &ObjectKey) -> Option<Arc<Declared>> {
        self.state.lock().declared.get(key).cloned()
    }

    fn limits_text(&self, limits: &RunningLimits) -> String {
        text(limits.max_bytes)
    }

    async fn look_up(&self, namespace: &str, what: &Reference) -> Result<Lookup, ClusterError> {
        let mut state = self.state.lock();
        state.looked_up += 1;
        let lookup = state.lookups.get(&format!("{namespace}/{}", what.name)).copied();
        lookup.ok_or_else(|| ClusterError::Failed("no answer".into()))
    }

    /// The workload has the `ReplicaSet`'s name up to the dash.
    async fn workload_of(&self, pod: &PodRecord) -> Result<Workload, ClusterError> {
        let owner = pod.owner.clone().ok_or(ClusterError::Gone)?;
        let name = owner.name.split('-').next().unwrap_or_default().to_owned();
        let (kind, uid) = ("Deployment".to_owned(), format!("uid-{name}"));
        let object = Owner { kind, name, uid, ..owner };
        Ok(Workload { namespace: pod.key.namespace.clone(), object })
    }

    async fn set_limits(&self, pod: &PodRecord, text: &str) -> Result<(), ClusterError> {
        if self.state.lock().refusing.contains(&pod.key.name) {
            return Err(ClusterError::Failed("refused".into()));
        }
        self.write(Write::Limits(pod.key.name.clone(), text.to_owned()))?;
        self.put(PodRecord { limits: Some(text.to_owned()), ..pod.clone() });
        Ok(())
    }

    async fn write_status(&self, declared: &Declared, new: &Status) -> Result<(), ClusterError> {
        let mut status = new.clone();
        let now = i64::try_from(self.started.elapsed().as_secs()).unwrap();
        for condition in &mut status.conditions {
            condition.since.get_or_insert(now);
        }
        self.write(Write::Status(declared.key.clone(), status.clone()))?;
        self.declare(Declared { status: Some(status), ..declared.clone() });
        Ok(())
    }

    async fn see(&self, workload: &Workload) -> Result<Option<Seen>, ClusterError> {
        let mut state = self.state.lock();
        state.looks += 1;
        Ok(state.seen.get(&workload.object.name).cloned())
    }

    async fn restart(&self, what: &Workload, _: &Seen, marker: &str) -> Result<(), ClusterError> {
        let name = &what.object.name;
        self.write(Write::Restart(name.clone(), marker.to_owned()))?;
        self.set_seen(name, seen(Some(marker), Progress::Moving));
        Ok(())
    }

    async fn tell(&self, workload: &Workload, notice: &Notice) -> Result<(), ClusterError> {
        let name = workload.object.name.clone();
        self.write(Write::Told(name, notice.reason, notice.cause.clone()))
    }
}

impl Pods for FakeCluster {
    fn all(&self) -> Vec<Arc<PodRecord>> {
        self.state.lock().pods.values().cloned().collect()
    }

    fn in_namespace(&self, namespace: &str) -> Vec<Arc<PodRecord>> {
        self.all().into_iter().filter(|pod| pod.key.namespace == namespace).collect()
    }

    fn using(&self, trace_buffer: &ObjectKey) -> Vec<Arc<PodRecord>> {
        let in_full = format!("{}/{}", trace_buffer.namespace, trace_buffer.name);
        let uses = |pod: &PodRecord| match &pod.status {
            Some(PodStatus::Injected(injected)) => injected.trace_buffer == *trace_buffer,
            _ => {
                pod.inject.as_ref() == Some(&in_full)
                    || self.namespace(&pod.key.namespace).names(trace_buffer)
            }
        };
        self.all().into_iter().filter(|pod| uses(pod)).collect()
    }

    fn namespace(&self, name: &str) -> Arc<NamespaceFacts> {
        let known = self.state.lock().namespaces.get(name).cloned();
        known.unwrap_or_else(|| Arc::new(NamespaceFacts::unknown(name)))
    }
}

impl OperationMonitor for FakeCluster {
    fn reconciled(&self, outcome: ReconcileOutcome, _took: Duration) {
        self.state.lock().outcomes.push(outcome);
    }

    fn pods(&self, trace_buffer: &ObjectKey, counts: Option<PodCounts>) {
        let mut state = self.state.lock();
        match counts {
            Some(counts) => state.counts.insert(trace_buffer.clone(), counts),
            None => state.counts.remove(trace_buffer),
        };
    }

    fn uninjected(&self, pods: &BTreeMap<&'static str, u64>) {
        self.state.lock().uninjected = pods.clone();
    }
}
