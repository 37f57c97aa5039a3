//! The pods, as a watch knows them: small records of those that matter.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ListParams, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::follow::{MAX_REQUEST, PAGE_SIZE, Pauses, Watched, follow};
use super::health::Health;
use super::meta::{key_of, version_of};
use super::mirror::Mirror;
use super::namespaces::Asking;
use super::record::{is_bare, is_marked, record_of};
use super::trouble::Rule;
use crate::adapters::kubernetes::names::{INJECT, INJECT_ENABLED};
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::pod_record::PodRecord;
use crate::domain::injection::status::PodStatus;
use crate::ports::pods::{Changes, Pods};

const PODS: Rule = Rule { group: "", resource: "pods" };
const NAMESPACES: Rule = Rule { group: "", resource: "namespaces" };
/// Pods that are over need no sidecar.
const NOT_OVER: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// The pods that carry a mark of tracebuffer, and all those of namespaces that ask for a sidecar in
/// every pod; [`run`](Self::run) keeps them current.
///
/// Of other pods nothing is kept. When a namespace begins to ask, its pods are listed once.
pub struct PodIndex {
    client: Client,
    changes: Arc<dyn Changes>,
    pods_health: Arc<Health>,
    namespaces_health: Arc<Health>,
    known: RwLock<Known>,
    /// Rung when a namespace's pods are to be listed.
    to_list: Notify,
}

#[derive(Default)]
struct Known {
    pods: Mirror<PodRecord>,
    asking: Asking,
}

impl Known {
    fn is_wanted(&self, metadata: &ObjectMeta) -> bool {
        is_marked(metadata)
            || metadata.namespace.as_ref().is_some_and(|namespace| self.asking.has(namespace))
    }

    /// Forgets the pods that mattered only because their namespace asked.
    fn forget_bare(&mut self, namespace: &str) -> Vec<Arc<PodRecord>> {
        self.pods.forget(|pod| pod.key.namespace == namespace && is_bare(pod))
    }
}

impl PodIndex {
    /// Knows nothing yet; tells `changes` what it learns.
    #[must_use]
    pub fn new(client: Client, changes: Arc<dyn Changes>) -> Self {
        Self {
            client,
            changes,
            pods_health: Health::new(),
            namespaces_health: Health::new(),
            known: RwLock::default(),
            to_list: Notify::new(),
        }
    }

    /// Watches for ever, through outages of the API server.
    pub async fn run(&self) {
        let pods = Watched {
            client: self.client.clone(),
            config: watcher::Config::default().fields(NOT_OVER),
            health: &self.pods_health,
            rule: PODS,
        };
        let namespaces = Watched {
            client: self.client.clone(),
            config: watcher::Config::default().labels(&format!("{INJECT}={INJECT_ENABLED}")),
            health: &self.namespaces_health,
            rule: NAMESPACES,
        };
        tokio::join!(
            follow(pods, |event| self.take_pod(event)),
            follow(namespaces, |event| self.take_namespace(event)),
            self.list_namespaces(),
        );
    }

    /// Returns whether everything was listed, and the pods of every namespace that asks.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.pods_health.is_synced()
            && self.namespaces_health.is_synced()
            && self.known.read().asking.is_all_listed()
    }

    /// Returns the time since the API server last gave a sign of life; about a minute at most while
    /// all is well.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.pods_health.age().max(self.namespaces_health.age())
    }

    /// Returns why a watch does not work just now, and what to do.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.pods_health.trouble().or_else(|| self.namespaces_health.trouble())
    }

    fn take_pod(&self, event: Event<PartialObjectMeta<Pod>>) {
        match event {
            Event::Init => self.known.write().pods.start_list(),
            Event::InitApply(pod) => self.list(pod.metadata),
            Event::InitDone => {
                self.known.write().pods.end_list();
                self.pods_health.set_synced();
                self.changes.everything();
            }
            Event::Apply(pod) => self.apply(pod.metadata),
            Event::Delete(pod) => self.remove(&pod.metadata),
        }
    }

    fn list(&self, metadata: ObjectMeta) {
        let mut known = self.known.write();
        if !known.is_wanted(&metadata) {
            return;
        }
        let (key, version) = (key_of(&metadata), version_of(&metadata));
        if known.pods.differs(&key, version) {
            known.pods.list(key, version, Arc::new(record_of(metadata)));
        } else {
            known.pods.seen(key);
        }
    }

    fn apply(&self, metadata: ObjectMeta) {
        let (key, version) = (key_of(&metadata), version_of(&metadata));
        let mut known = self.known.write();
        if !known.is_wanted(&metadata) {
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
        let mut known = self.known.write();
        let key = key_of(metadata);
        if known.pods.get(&key).is_none() && !known.is_wanted(metadata) {
            return;
        }
        let removed = known.pods.remove(&key, version_of(metadata));
        drop(known);
        if let Some(pod) = removed {
            self.changes.pod(&pod);
        }
    }

    fn take_namespace(&self, event: Event<PartialObjectMeta<Namespace>>) {
        match event {
            Event::Init => self.known.write().asking.start_list(),
            Event::InitApply(namespace) | Event::Apply(namespace) => {
                let is_new = self.known.write().asking.add(key_of(&namespace.metadata).name);
                if is_new {
                    self.to_list.notify_one();
                }
            }
            Event::InitDone => {
                let gone = self.known.write().asking.end_list();
                for namespace in &gone {
                    self.forget_bare(namespace);
                }
                self.namespaces_health.set_synced();
                self.changes.everything();
            }
            Event::Delete(namespace) => {
                let name = key_of(&namespace.metadata).name;
                self.known.write().asking.remove(&name);
                self.forget_bare(&name);
            }
        }
    }

    fn forget_bare(&self, namespace: &str) {
        let forgotten = self.known.write().forget_bare(namespace);
        for pod in &forgotten {
            self.changes.pod(pod);
        }
    }

    /// Lists the pods of namespaces that began to ask, for ever.
    async fn list_namespaces(&self) {
        let mut pauses = Pauses::default();
        loop {
            let next = self.known.read().asking.next_unlisted();
            let Some(namespace) = next else {
                self.to_list.notified().await;
                continue;
            };
            if self.list_namespace(&namespace).await {
                self.known.write().asking.set_listed(&namespace);
            } else {
                sleep(pauses.next()).await;
            }
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
        let uses = |pod: &&Arc<PodRecord>| {
            pod.inject.as_ref() == Some(&name)
                || matches!(&pod.status, Some(PodStatus::Injected(injected))
                    if injected.trace_buffer == *trace_buffer)
        };
        self.known.read().pods.all().filter(uses).cloned().collect()
    }

    fn namespace_asks(&self, namespace: &str) -> bool {
        self.known.read().asking.has(namespace)
    }
}
