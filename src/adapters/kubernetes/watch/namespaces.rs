//! A cache of the namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use super::failure::RbacRule;
use super::health::WatchHealth;
use super::meta::{key_of, version_of};
use super::object_cache::ObjectCache;
use super::resilient_watch::{WatchTarget, watch_forever};
use crate::adapters::kubernetes::namespace::{misconfiguration, namespace_facts};
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::object_key::ObjectKey;
use crate::ports::operator::catalog::UnknownNamespace;
use crate::ports::operator::pods::ChangeHandler;

const RULE: RbacRule = RbacRule { group: "", resource: "namespaces", role: "ClusterRole" };
/// The maximum time that an admission request waits for a direct lookup of its namespace.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// The labels of all namespaces, and the annotation in which they name a `TraceBuffer`.
/// [`run`](Self::run) keeps the cache current.
pub struct NamespaceCache {
    client: Client,
    changes: Arc<dyn ChangeHandler>,
    health: Arc<WatchHealth>,
    objects: RwLock<ObjectCache<CachedNamespace>>,
    opt_ins: AtomicU64,
    /// Increases with each change.
    version: watch::Sender<u64>,
}

struct CachedNamespace {
    facts: Arc<NamespaceFacts>,
    opt_in: OptIn,
}

/// Identifies one of the times at which a namespace began to ask for sidecars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OptIn(u64);

impl NamespaceCache {
    /// Creates an empty cache that reports changes to `changes`.
    #[must_use]
    pub fn new(client: Client, changes: Arc<dyn ChangeHandler>) -> Self {
        Self {
            client,
            changes,
            health: WatchHealth::new(),
            objects: RwLock::default(),
            opt_ins: AtomicU64::new(0),
            version: watch::Sender::new(0),
        }
    }

    /// Watches indefinitely, through outages of the API server.
    pub async fn run(&self) {
        let watched = WatchTarget {
            client: self.client.clone(),
            config: watcher::Config::default(),
            health: &self.health,
            rule: RULE,
        };
        watch_forever(watched, |event| self.handle_event(event)).await;
    }

    /// Returns whether all namespaces were listed once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.health.is_synced()
    }

    /// Returns the time since the API server last responded; at most about a minute while the watch
    /// works.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.health.age()
    }

    /// Returns why the watch currently fails, with the remedy, or `None` while it works.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.health.failure()
    }

    /// Returns a namespace from the cache.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<NamespaceFacts>> {
        self.objects.read().get(&key(name)).map(|cached| Arc::clone(&cached.facts))
    }

    /// Returns a namespace from the cache, or else from the API server, within a second.
    ///
    /// # Errors
    ///
    /// [`UnknownNamespace`] with the failure of the request.
    pub async fn look_up(&self, name: &str) -> Result<Arc<NamespaceFacts>, UnknownNamespace> {
        if let Some(cached) = self.get(name) {
            return Ok(cached);
        }
        let unknown = |reason: &str| UnknownNamespace(format!("namespace {name}: {reason}"));
        let api: Api<Namespace> = Api::all(self.client.clone());
        match timeout(LOOKUP_TIMEOUT, api.get_metadata(name)).await {
            // Not cached: if it is deleted, the watch might never report it.
            Ok(Ok(found)) => Ok(Arc::new(namespace_facts(&found.metadata))),
            Ok(Err(error)) => Err(unknown(&error.to_string())),
            Err(_) => Err(unknown("the API server did not answer within a second")),
        }
    }

    /// Returns the namespaces that ask for a sidecar in every pod.
    pub(super) fn opted_in(&self) -> BTreeMap<String, OptIn> {
        let objects = self.objects.read();
        let opted_in = objects.all().filter(|cached| cached.facts.opted_in);
        opted_in.map(|cached| (cached.facts.name.clone(), cached.opt_in)).collect()
    }

    /// Returns since when a namespace asks for a sidecar in every pod; `None` if it does not.
    pub(super) fn opt_in(&self, name: &str) -> Option<OptIn> {
        let objects = self.objects.read();
        objects.get(&key(name)).filter(|cached| cached.facts.opted_in).map(|cached| cached.opt_in)
    }

    /// Returns whether a namespace asks for a sidecar in every pod.
    pub(super) fn is_opted_in(&self, name: &str) -> bool {
        self.opt_in(name).is_some()
    }

    /// Returns the names of the namespaces whose annotation names `trace_buffer`.
    pub(super) fn naming(&self, trace_buffer: &ObjectKey) -> BTreeSet<String> {
        let objects = self.objects.read();
        objects
            .all()
            .map(|cached| &cached.facts)
            .filter(|facts| facts.names_trace_buffer(trace_buffer))
            .map(|facts| facts.name.clone())
            .collect()
    }

    /// Returns a counter that increases with each change.
    pub(super) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn handle_event(&self, event: Event<PartialObjectMeta<Namespace>>) {
        match event {
            Event::Init => self.objects.write().start_relist(),
            Event::InitApply(namespace) => {
                let metadata = &namespace.metadata;
                let (key, facts) = (key_of(metadata), Arc::new(namespace_facts(metadata)));
                if self.get(&facts.name).as_ref() != Some(&facts) {
                    warn_if_misconfigured(metadata);
                }
                let mut objects = self.objects.write();
                let namespace = self.successor(objects.get(&key), facts);
                objects.apply_listed(key, version_of(metadata), namespace);
            }
            Event::InitDone => {
                self.objects.write().finish_relist();
                self.health.set_synced();
                self.bump();
                self.changes.resync();
            }
            Event::Apply(namespace) => self.apply(&namespace.metadata),
            Event::Delete(namespace) => {
                let (key, version) = (key_of(&namespace.metadata), version_of(&namespace.metadata));
                let removed = self.objects.write().remove(&key, version);
                if let Some(removed) = removed {
                    self.notify(&key.name, Some(&removed.facts));
                }
            }
        }
    }

    /// Reports a change only if it concerns the cached facts; most changes of a namespace do not.
    fn apply(&self, metadata: &ObjectMeta) {
        let (key, facts) = (key_of(metadata), Arc::new(namespace_facts(metadata)));
        let mut objects = self.objects.write();
        let cached = objects.get(&key).cloned();
        let is_same = cached.as_ref().is_some_and(|cached| cached.facts == facts);
        let namespace = self.successor(cached.as_ref(), facts);
        let applied = objects.apply(key.clone(), version_of(metadata), namespace);
        drop(objects);
        if applied.is_some() && !is_same {
            warn_if_misconfigured(metadata);
            self.notify(&key.name, cached.as_ref().map(|cached| &*cached.facts));
        }
    }

    /// Returns the next state of a namespace. If it begins to ask for sidecars, its pods have to be listed,
    /// even if it asked before as well: changes of its pods in between were not kept.
    fn successor(
        &self,
        cached: Option<&Arc<CachedNamespace>>,
        facts: Arc<NamespaceFacts>,
    ) -> Arc<CachedNamespace> {
        let opt_in = match cached {
            Some(cached) if cached.facts.opted_in => cached.opt_in,
            _ => OptIn(self.opt_ins.fetch_add(1, Ordering::Relaxed)),
        };
        Arc::new(CachedNamespace { facts, opt_in })
    }

    /// Reports a change, also for the `TraceBuffer` that the namespace named before, which may have
    /// lost pods by it.
    fn notify(&self, name: &str, previous: Option<&NamespaceFacts>) {
        self.bump();
        if let Some(key) = previous.and_then(|facts| facts.named_trace_buffer().ok().flatten()) {
            self.changes.trace_buffer_changed(&key);
        }
        self.changes.namespace_changed(name);
    }

    fn bump(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

fn warn_if_misconfigured(metadata: &ObjectMeta) {
    if let Some(error) = misconfiguration(metadata) {
        let namespace = metadata.name.as_deref().unwrap_or_default();
        warn!(namespace, "{error}");
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: String::new(), name: name.to_owned() }
}
