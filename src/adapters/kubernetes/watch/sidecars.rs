//! Which sidecars do not run, and what those that end have lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::ObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Client, Resource};
use parking_lot::RwLock;
use serde::Deserialize;

use super::failure::RbacRule;
use super::health::WatchHealth;
use super::meta::key_of;
use super::pod_snapshot::pod_snapshot;
use super::resilient_watch::{WatchTarget, watch_forever};
use crate::adapters::final_ledger::from_message;
use crate::adapters::kubernetes::names::{INJECTED_LABEL, INJECTED_LABEL_VALUE};
use crate::adapters::kubernetes::pod::sidecar_failure::{sidecar_failure, sidecar_status};
use crate::domain::final_ledger::FinalLedger;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::managed_pod::SidecarFailure;
use crate::ports::operator::pods::ChangeHandler;

/// A pod, of which only what tells about its sidecar is decoded.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = Pod)]
struct SidecarPod {
    metadata: ObjectMeta,
    #[serde(default)]
    status: SidecarPodStatus,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
struct SidecarPodStatus {
    phase: Option<String>,
    init_container_statuses: Option<Vec<ContainerStatus>>,
    container_statuses: Option<Vec<ContainerStatus>>,
}

impl SidecarPod {
    fn sidecar(&self) -> Option<&ContainerStatus> {
        sidecar_status([&self.status.init_container_statuses, &self.status.container_statuses])
    }

    fn has_completed(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// Returns what became of the spans that an ended sidecar got. Whoever creates a pod can write it.
    fn final_ledger(&self) -> Option<FinalLedger> {
        let state = self.sidecar()?.state.as_ref()?;
        from_message(state.terminated.as_ref()?.message.as_deref()?)
    }
}

/// The sidecars that do not run. [`run`](Self::run) keeps the cache current.
///
/// It watches the pods that are labelled as injected, with their status, which the watch of all pods
/// does not contain; only failures are kept. Completed pods are watched too: that a pod leaves a
/// selection is reported without its last status, which has the losses of its sidecar.
pub(super) struct SidecarFailures {
    changes: Arc<dyn ChangeHandler>,
    health: Arc<WatchHealth>,
    failures: RwLock<Failures>,
}

#[derive(Default)]
struct Failures {
    current: FailuresByPod,
    /// What a relist has found so far.
    relisted: FailuresByPod,
    /// The last one, which pods that fail for the same reason share.
    last: Option<Arc<SidecarFailure>>,
}

/// Each with the UID of the pod.
type FailuresByPod = BTreeMap<ObjectKey, (String, Arc<SidecarFailure>)>;

impl SidecarFailures {
    pub(super) fn new(changes: Arc<dyn ChangeHandler>) -> Self {
        Self { changes, health: WatchHealth::new(), failures: RwLock::default() }
    }

    /// Watches indefinitely, through outages of the API server.
    pub(super) async fn run(&self, client: Client, rule: RbacRule) {
        let label = format!("{INJECTED_LABEL}={INJECTED_LABEL_VALUE}");
        let config = watcher::Config::default().labels(&label);
        let pods = WatchTarget { client, config, health: &self.health, rule };
        watch_forever(pods, |event| self.handle_event(event)).await;
    }

    /// Returns whether all pods were listed once.
    pub(super) fn is_synced(&self) -> bool {
        self.health.is_synced()
    }

    /// Returns the time since the API server last responded.
    pub(super) fn age(&self) -> Duration {
        self.health.age()
    }

    /// Returns why the sidecar of the pod with this key and UID does not run.
    pub(super) fn get(&self, key: &ObjectKey, uid: &str) -> Option<Arc<SidecarFailure>> {
        let failures = self.failures.read();
        let (failing_uid, failure) = failures.current.get(key)?;
        (failing_uid == uid).then(|| Arc::clone(failure))
    }

    fn handle_event(&self, event: Event<SidecarPod>) {
        match event {
            Event::Init => self.failures.write().relisted.clear(),
            Event::InitApply(pod) => {
                let mut failures = self.failures.write();
                let entry = failures.entry(&pod);
                set(&mut failures.relisted, key_of(&pod.metadata), entry);
            }
            Event::InitDone => self.finish_relist(),
            Event::Apply(pod) => self.apply(pod),
            Event::Delete(pod) => {
                self.failures.write().current.remove(&key_of(&pod.metadata));
            }
        }
    }

    fn apply(&self, pod: SidecarPod) {
        let is_changed = {
            let mut failures = self.failures.write();
            let entry = failures.entry(&pod);
            set(&mut failures.current, key_of(&pod.metadata), entry)
        };
        let lost = pod.final_ledger().filter(|ledger| ledger.losses().next().is_some());
        if !is_changed && lost.is_none() {
            return;
        }
        let snapshot = pod_snapshot(pod.metadata);
        if is_changed {
            self.changes.pod_changed(&snapshot);
        }
        if let Some(ledger) = lost {
            self.changes.spans_lost(&snapshot, &ledger);
        }
    }

    fn finish_relist(&self) {
        let mut failures = self.failures.write();
        let relisted = std::mem::take(&mut failures.relisted);
        let is_changed = failures.current != relisted;
        failures.current = relisted;
        drop(failures);
        self.health.set_synced();
        if is_changed {
            self.changes.resync();
        }
    }
}

impl Failures {
    /// Returns the entry of a pod whose sidecar fails.
    fn entry(&mut self, pod: &SidecarPod) -> Option<(String, Arc<SidecarFailure>)> {
        let failure = pod.sidecar().filter(|_| !pod.has_completed()).and_then(sidecar_failure)?;
        let shared = match self.last.take() {
            Some(last) if *last == failure => last,
            _ => Arc::new(failure),
        };
        self.last = Some(Arc::clone(&shared));
        Some((pod.metadata.uid.clone().unwrap_or_default(), shared))
    }
}

/// Enters whether the sidecar of a pod fails. Returns whether that, or the reason, is new.
fn set(
    failures: &mut FailuresByPod,
    key: ObjectKey,
    entry: Option<(String, Arc<SidecarFailure>)>,
) -> bool {
    let reason =
        |(uid, failure): &(String, Arc<SidecarFailure>)| (uid.clone(), failure.reason.clone());
    let new = entry.as_ref().map(reason);
    let old = match entry {
        Some(entry) => failures.insert(key, entry),
        None => failures.remove(&key),
    };
    old.as_ref().map(reason) != new
}
