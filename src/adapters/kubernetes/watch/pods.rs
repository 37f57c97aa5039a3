//! A cache of the pods that concern the operator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::failure::RbacRule;
use super::health::WatchHealth;
use super::meta::{key_of, version_of};
use super::namespaces::{NamespaceCache, OptIn};
use super::object_cache::ObjectCache;
use super::pod_snapshot::{is_marked, is_namespace_only, pod_snapshot};
use super::resilient_watch::{
    PAGE_SIZE, REQUEST_TIMEOUT, WatchBackoff, WatchTarget, watch_forever,
};
use super::sidecars::SidecarFailures;
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::managed_pod::SidecarFailure;
use crate::domain::operator::reconcile::sidecar_state::injected_sidecar;
use crate::ports::operator::pods::{ChangeHandler, PodLister};

const RULE: RbacRule = RbacRule { group: "", resource: "pods", role: "ClusterRole" };
/// Completed pods need no sidecar.
pub(in crate::adapters::kubernetes) const ACTIVE_PODS: &str =
    "status.phase!=Succeeded,status.phase!=Failed";

/// The pods that have an annotation or a label of tracebuffer, and all pods of namespaces that ask for
/// a sidecar in every pod. [`run`](Self::run) keeps the cache current.
///
/// Other pods are not cached. When a namespace begins to ask for sidecars, its pods are listed once.
pub struct PodCache {
    client: Client,
    changes: Arc<dyn ChangeHandler>,
    namespaces: Arc<NamespaceCache>,
    health: Arc<WatchHealth>,
    sidecars: SidecarFailures,
    cached: RwLock<CachedPods>,
    /// Notified after each relist.
    relisted: Notify,
}

/// When a direct list of a namespace began.
#[derive(Clone, Copy)]
struct ListStart {
    opt_in: OptIn,
    /// The number of complete relists.
    relists: u64,
}

#[derive(Default)]
struct CachedPods {
    pods: ObjectCache<PodSnapshot>,
    /// The namespaces that ask for sidecars and whose pods were listed.
    listed_namespaces: BTreeMap<String, OptIn>,
}

impl CachedPods {
    /// Returns a namespace whose pods were not listed since it began to ask for sidecars.
    fn first_unlisted(&self, opted_in: &BTreeMap<String, OptIn>) -> Option<(String, OptIn)> {
        let is_listed = |name: &String, opt_in| self.listed_namespaces.get(name) == Some(opt_in);
        let mut unlisted = opted_in.iter().filter(|(name, opt_in)| !is_listed(name, *opt_in));
        unlisted.next().map(|(name, opt_in)| (name.clone(), *opt_in))
    }
}

impl PodCache {
    /// Creates an empty cache that reports changes to `changes`. The caller keeps `namespaces` current.
    #[must_use]
    pub fn new(
        client: Client,
        namespaces: Arc<NamespaceCache>,
        changes: Arc<dyn ChangeHandler>,
    ) -> Self {
        Self {
            client,
            sidecars: SidecarFailures::new(Arc::clone(&changes)),
            changes,
            namespaces,
            health: WatchHealth::new(),
            cached: RwLock::default(),
            relisted: Notify::new(),
        }
    }

    /// Watches indefinitely, through outages of the API server.
    pub async fn run(&self) {
        let pods = WatchTarget {
            client: self.client.clone(),
            config: watcher::Config::default().fields(ACTIVE_PODS),
            health: &self.health,
            rule: RULE,
        };
        tokio::join!(
            watch_forever(pods, |event| self.handle_event(event)),
            self.sidecars.run(self.client.clone(), RULE),
            self.track_namespaces()
        );
    }

    /// Returns whether all pods and sidecars were listed, and the pods of every namespace that asks for
    /// sidecars.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.health.is_synced()
            && self.sidecars.is_synced()
            && self.namespaces.is_synced()
            && self.cached.read().first_unlisted(&self.namespaces.opted_in()).is_none()
    }

    /// Returns the time since the API server last responded; at most about a minute while the watches
    /// work.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.health.age().max(self.sidecars.age()).max(self.namespaces.age())
    }

    fn is_tracked(&self, metadata: &ObjectMeta) -> bool {
        is_marked(metadata)
            || metadata
                .namespace
                .as_ref()
                .is_some_and(|namespace| self.namespaces.is_opted_in(namespace))
    }

    fn handle_event(&self, event: Event<PartialObjectMeta<Pod>>) {
        match event {
            Event::Init => self.cached.write().pods.start_relist(),
            Event::InitApply(pod) => self.list(pod.metadata),
            Event::InitDone => {
                self.cached.write().pods.finish_relist();
                self.relisted.notify_one();
                self.health.set_synced();
                self.changes.resync();
            }
            Event::Apply(pod) => _ = self.apply(pod.metadata, None),
            Event::Delete(pod) => self.remove(&pod.metadata),
        }
    }

    fn list(&self, metadata: ObjectMeta) {
        if !self.is_tracked(&metadata) {
            return;
        }
        let mut cached = self.cached.write();
        let (key, version) = (key_of(&metadata), version_of(&metadata));
        if cached.pods.version_differs(&key, version) {
            cached.pods.apply_listed(key, version, Arc::new(pod_snapshot(metadata)));
        } else {
            cached.pods.mark_listed(key);
        }
    }

    /// Stores a newer version of a pod, or removes a pod that is no longer tracked. Returns false if the
    /// pod is from a direct list that was overtaken: another relist has begun, or the namespace has stopped
    /// asking for sidecars in between, so that deletions of its pods were not noted.
    fn apply(&self, metadata: ObjectMeta, list: Option<ListStart>) -> bool {
        let (key, version) = (key_of(&metadata), version_of(&metadata));
        let is_tracked = self.is_tracked(&metadata);
        let mut cached = self.cached.write();
        let is_overtaken = |list: ListStart| {
            cached.pods.is_relisting()
                || cached.pods.relists() != list.relists
                || self.namespaces.opt_in(&key.namespace) != Some(list.opt_in)
        };
        if list.is_some_and(is_overtaken) {
            return false;
        }
        if !is_tracked {
            let removed = cached.pods.untrack(&key, version);
            drop(cached);
            if let Some(pod) = removed {
                self.changes.pod_changed(&pod);
            }
            return true;
        }
        if !cached.pods.is_newer_version(&key, version) {
            return true;
        }
        let snapshot = Arc::new(pod_snapshot(metadata));
        // Most changes of a pod, such as those of its status, concern nothing that is kept of it.
        let is_same = cached.pods.get(&key) == Some(&snapshot);
        let applied = cached.pods.apply(key, version, snapshot);
        drop(cached);
        if let Some(pod) = applied.filter(|_| !is_same) {
            self.changes.pod_changed(&pod);
        }
        true
    }

    fn remove(&self, metadata: &ObjectMeta) {
        let is_tracked = self.is_tracked(metadata);
        let mut cached = self.cached.write();
        let key = key_of(metadata);
        if cached.pods.get(&key).is_none() && !is_tracked {
            return;
        }
        let removed = cached.pods.remove(&key, version_of(metadata));
        drop(cached);
        if let Some(pod) = removed {
            self.changes.pod_changed(&pod);
        }
    }

    /// Lists the pods of namespaces that begin to ask for sidecars, and removes those of namespaces that
    /// no longer do.
    async fn track_namespaces(&self) {
        let mut version = self.namespaces.version();
        let mut backoff = WatchBackoff::default();
        loop {
            version.mark_unchanged();
            let opted_in = self.namespaces.opted_in();
            self.retain_opted_in(&opted_in);
            let next = self.cached.read().first_unlisted(&opted_in);
            let Some((namespace, opt_in)) = next else {
                // Cannot fail: the sender belongs to `self.namespaces`.
                let _ = version.changed().await;
                continue;
            };
            if self.cached.read().pods.is_relisting() {
                self.relisted.notified().await;
                continue;
            }
            if self.list_namespace(&namespace, opt_in).await {
                self.cached.write().listed_namespaces.insert(namespace, opt_in);
            } else {
                sleep(backoff.next()).await;
            }
        }
    }

    /// Removes the pods that were tracked only because their namespace asked for sidecars.
    fn retain_opted_in(&self, opted_in: &BTreeMap<String, OptIn>) {
        let mut cached = self.cached.write();
        cached.listed_namespaces.retain(|namespace, _| opted_in.contains_key(namespace));
        let is_unwanted = |pod: &PodSnapshot| {
            is_namespace_only(pod) && !opted_in.contains_key(&pod.key.namespace)
        };
        let removed = cached.pods.remove_where(is_unwanted);
        drop(cached);
        for pod in &removed {
            self.changes.pod_changed(pod);
        }
    }

    /// Lists the pods of a namespace. Returns whether the list is complete, and was not overtaken by
    /// something that may be past deletions that this list does not know of.
    async fn list_namespace(&self, namespace: &str, opt_in: OptIn) -> bool {
        let api: Api<PartialObjectMeta<Pod>> = Api::namespaced(self.client.clone(), namespace);
        let mut params = ListParams::default().fields(ACTIVE_PODS).limit(PAGE_SIZE);
        let start = ListStart { opt_in, relists: self.cached.read().pods.relists() };
        loop {
            let page = match timeout(REQUEST_TIMEOUT, api.list(&params)).await {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => {
                    debug!(namespace, "cannot list the pods of the namespace, retrying: {error}");
                    return false;
                }
                Err(_) => return false,
            };
            if !page.items.into_iter().all(|pod| self.apply(pod.metadata, Some(start))) {
                return false;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return true,
            }
        }
    }
}

impl PodLister for PodCache {
    fn all(&self) -> Vec<Arc<PodSnapshot>> {
        self.cached.read().pods.all().cloned().collect()
    }

    fn in_namespace(&self, namespace: &str) -> Vec<Arc<PodSnapshot>> {
        self.cached.read().pods.in_namespace(namespace).cloned().collect()
    }

    fn referencing(&self, trace_buffer: &ObjectKey) -> Vec<Arc<PodSnapshot>> {
        let name = trace_buffer.to_string();
        let naming_namespaces = self.namespaces.naming(trace_buffer);
        let uses = |pod: &&Arc<PodSnapshot>| {
            pod.inject.as_ref() == Some(&name)
                || injected_sidecar(pod)
                    .is_some_and(|injected| injected.trace_buffer == *trace_buffer)
                || naming_namespaces.contains(&pod.key.namespace)
        };
        self.cached.read().pods.all().filter(uses).cloned().collect()
    }

    fn sidecar_failure(&self, pod: &PodSnapshot) -> Option<Arc<SidecarFailure>> {
        self.sidecars.get(&pod.key, &pod.uid)
    }

    fn namespace(&self, name: &str) -> Arc<NamespaceFacts> {
        self.namespaces.get(name).unwrap_or_else(|| Arc::new(NamespaceFacts::unknown(name)))
    }
}
