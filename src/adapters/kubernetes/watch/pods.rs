//! The pods, as a watch knows them: small records of those that matter.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use parking_lot::RwLock;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::follow::{MAX_REQUEST, PAGE_SIZE, Pauses, Watched, follow};
use super::health::Health;
use super::meta::{key_of, version_of};
use super::mirror::Mirror;
use super::namespaces::NamespaceIndex;
use super::record::{is_bare, is_marked, record_of};
use super::trouble::Rule;
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::facts::NamespaceFacts;
use crate::domain::injection::pod_record::PodRecord;
use crate::domain::injection::status::PodStatus;
use crate::ports::pods::{Changes, Pods};

const PODS: Rule = Rule { group: "", resource: "pods" };
/// Pods that are over need no sidecar.
const NOT_OVER: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// The pods that carry a mark of tracebuffer, and all those of namespaces that ask for a sidecar in
/// every pod; [`run`](Self::run) keeps them current.
///
/// Of other pods nothing is kept. When a namespace begins to ask, its pods are listed once.
pub struct PodIndex {
    client: Client,
    changes: Arc<dyn Changes>,
    namespaces: Arc<NamespaceIndex>,
    health: Arc<Health>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    pods: Mirror<PodRecord>,
    /// The namespaces that ask and whose pods were listed: the pods of a namespace that did not ask
    /// were not kept.
    listed: BTreeSet<String>,
}

impl PodIndex {
    /// Knows nothing yet; tells `changes` what it learns. Others keep `namespaces` current.
    #[must_use]
    pub fn new(client: Client, namespaces: Arc<NamespaceIndex>, changes: Arc<dyn Changes>) -> Self {
        Self { client, changes, namespaces, health: Health::new(), known: RwLock::default() }
    }

    /// Watches indefinitely, through outages of the API server.
    pub async fn run(&self) {
        let pods = Watched {
            client: self.client.clone(),
            config: watcher::Config::default().fields(NOT_OVER),
            health: &self.health,
            rule: PODS,
        };
        tokio::join!(follow(pods, |event| self.take_pod(event)), self.follow_namespaces());
    }

    /// Returns whether everything was listed, and the pods of every namespace that asks.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.health.is_synced()
            && self.namespaces.is_synced()
            && self.namespaces.asking().is_subset(&self.known.read().listed)
    }

    /// Returns the time since the API server last gave a sign of life; about a minute at most while
    /// all is well.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.health.age().max(self.namespaces.age())
    }

    /// Returns why a watch does not work just now, and what to do.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.health.trouble().or_else(|| self.namespaces.trouble())
    }

    fn is_wanted(&self, metadata: &ObjectMeta) -> bool {
        is_marked(metadata)
            || metadata.namespace.as_ref().is_some_and(|namespace| self.namespaces.asks(namespace))
    }

    fn take_pod(&self, event: Event<PartialObjectMeta<Pod>>) {
        match event {
            Event::Init => self.known.write().pods.start_list(),
            Event::InitApply(pod) => self.list(pod.metadata),
            Event::InitDone => {
                self.known.write().pods.end_list();
                self.health.set_synced();
                self.changes.everything();
            }
            Event::Apply(pod) => self.apply(pod.metadata),
            Event::Delete(pod) => self.remove(&pod.metadata),
        }
    }

    fn list(&self, metadata: ObjectMeta) {
        if !self.is_wanted(&metadata) {
            return;
        }
        let mut known = self.known.write();
        let (key, version) = (key_of(&metadata), version_of(&metadata));
        if known.pods.differs(&key, version) {
            known.pods.list(key, version, Arc::new(record_of(metadata)));
        } else {
            known.pods.seen(key);
        }
    }

    fn apply(&self, metadata: ObjectMeta) {
        let (key, version) = (key_of(&metadata), version_of(&metadata));
        let is_wanted = self.is_wanted(&metadata);
        let mut known = self.known.write();
        if !is_wanted {
            let removed = known.pods.ignore(&key, version);
            drop(known);
            if let Some(pod) = removed {
                self.changes.pod(&pod);
            }
            return;
        }
        if !known.pods.is_news(&key, version) {
            return;
        }
        let record = Arc::new(record_of(metadata));
        let news = known.pods.apply(key, version, record);
        drop(known);
        if let Some(pod) = news {
            self.changes.pod(&pod);
        }
    }

    fn remove(&self, metadata: &ObjectMeta) {
        let is_wanted = self.is_wanted(metadata);
        let mut known = self.known.write();
        let key = key_of(metadata);
        if known.pods.get(&key).is_none() && !is_wanted {
            return;
        }
        let removed = known.pods.remove(&key, version_of(metadata));
        drop(known);
        if let Some(pod) = removed {
            self.changes.pod(&pod);
        }
    }

    /// Lists the pods of namespaces that begin to ask, and forgets those of namespaces that cease to.
    async fn follow_namespaces(&self) {
        let mut version = self.namespaces.version();
        let mut pauses = Pauses::default();
        loop {
            version.mark_unchanged();
            let asking = self.namespaces.asking();
            self.forget_all_but(&asking);
            let next = asking.difference(&self.known.read().listed).next().cloned();
            let Some(namespace) = next else {
                // Its sender lives as long as the index.
                let _ = version.changed().await;
                continue;
            };
            if self.list_namespace(&namespace).await {
                self.known.write().listed.insert(namespace);
            } else {
                sleep(pauses.next()).await;
            }
        }
    }

    /// Forgets the pods that mattered only because their namespace asked.
    fn forget_all_but(&self, asking: &BTreeSet<String>) {
        let mut known = self.known.write();
        known.listed.retain(|namespace| asking.contains(namespace));
        let is_unwanted = |pod: &PodRecord| is_bare(pod) && !asking.contains(&pod.key.namespace);
        let forgotten = known.pods.forget(is_unwanted);
        drop(known);
        for pod in &forgotten {
            self.changes.pod(pod);
        }
    }

    /// Returns whether all were listed.
    async fn list_namespace(&self, namespace: &str) -> bool {
        let api: Api<PartialObjectMeta<Pod>> = Api::namespaced(self.client.clone(), namespace);
        let mut params = ListParams::default().fields(NOT_OVER).limit(PAGE_SIZE);
        loop {
            let page = match timeout(MAX_REQUEST, api.list(&params)).await {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => {
                    debug!(namespace, "cannot list its pods, retrying: {error}");
                    return false;
                }
                Err(_) => return false,
            };
            page.items.into_iter().for_each(|pod| self.apply(pod.metadata));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return true,
            }
        }
    }
}

impl Pods for PodIndex {
    fn all(&self) -> Vec<Arc<PodRecord>> {
        self.known.read().pods.all().cloned().collect()
    }

    fn in_namespace(&self, namespace: &str) -> Vec<Arc<PodRecord>> {
        self.known.read().pods.in_namespace(namespace).cloned().collect()
    }

    fn using(&self, trace_buffer: &ObjectKey) -> Vec<Arc<PodRecord>> {
        let name = trace_buffer.to_string();
        let naming = self.namespaces.naming(trace_buffer);
        let uses = |pod: &&Arc<PodRecord>| {
            pod.inject.as_ref() == Some(&name)
                || matches!(&pod.status, Some(PodStatus::Injected(injected))
                    if injected.trace_buffer == *trace_buffer)
                || naming.contains(&pod.key.namespace)
        };
        self.known.read().pods.all().filter(uses).cloned().collect()
    }

    fn namespace(&self, name: &str) -> Arc<NamespaceFacts> {
        self.namespaces.get(name).unwrap_or_else(|| Arc::new(NamespaceFacts::unknown(name)))
    }
}
