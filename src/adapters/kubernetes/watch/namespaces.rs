//! The namespaces, as a watch knows them.

use std::collections::BTreeSet;
use std::sync::Arc;
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
/// The longest a pod waits for a direct look at its namespace.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// The labels of all namespaces, and the annotation by which they name a `TraceBuffer`;
/// [`run`](Self::run) keeps them current.
pub struct NamespaceCache {
    client: Client,
    changes: Arc<dyn ChangeHandler>,
    health: Arc<WatchHealth>,
    objects: RwLock<ObjectCache<NamespaceFacts>>,
    /// Rises with every change.
    version: watch::Sender<u64>,
}

impl NamespaceCache {
    /// Knows nothing yet; tells `changes` what it learns.
    #[must_use]
    pub fn new(client: Client, changes: Arc<dyn ChangeHandler>) -> Self {
        Self {
            client,
            changes,
            health: WatchHealth::new(),
            objects: RwLock::default(),
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

    /// Returns whether all were listed once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.health.is_synced()
    }

    /// Returns the time since the API server last gave a sign of life; about a minute at most while
    /// all is well.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.health.age()
    }

    /// Returns why the watch does not work just now, and what to do.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.health.failure()
    }

    /// Returns what is known of a namespace.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<NamespaceFacts>> {
        self.objects.read().get(&key(name)).cloned()
    }

    /// Returns what is known of a namespace, or else what the API server says, within a second.
    ///
    /// # Errors
    ///
    /// [`UnknownNamespace`] with what the API server says instead.
    pub async fn look_up(&self, name: &str) -> Result<Arc<NamespaceFacts>, UnknownNamespace> {
        if let Some(known) = self.get(name) {
            return Ok(known);
        }
        let unknown = |why: &str| UnknownNamespace(format!("namespace {name}: {why}"));
        let api: Api<Namespace> = Api::all(self.client.clone());
        match timeout(LOOKUP_TIMEOUT, api.get_metadata(name)).await {
            Ok(Ok(found)) => {
                self.apply(&found.metadata);
                self.get(name).ok_or_else(|| unknown("it is gone"))
            }
            Ok(Err(error)) => Err(unknown(&error.to_string())),
            Err(_) => Err(unknown("the API server did not answer within a second")),
        }
    }

    /// Returns the names of those that ask for a sidecar in every pod.
    pub(super) fn opted_in(&self) -> BTreeSet<String> {
        let mirror = self.objects.read();
        mirror.all().filter(|one| one.opted_in).map(|one| one.name.clone()).collect()
    }

    /// Returns whether one asks for a sidecar in every pod.
    pub(super) fn is_opted_in(&self, name: &str) -> bool {
        self.objects.read().get(&key(name)).is_some_and(|known| known.opted_in)
    }

    /// Returns the names of those whose annotation names `trace_buffer`.
    pub(super) fn naming(&self, trace_buffer: &ObjectKey) -> BTreeSet<String> {
        let mirror = self.objects.read();
        mirror
            .all()
            .filter(|one| one.names_trace_buffer(trace_buffer))
            .map(|one| one.name.clone())
            .collect()
    }

    /// Returns a counter that rises with every change.
    pub(super) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn handle_event(&self, event: Event<PartialObjectMeta<Namespace>>) {
        match event {
            Event::Init => self.objects.write().start_relist(),
            Event::InitApply(namespace) => {
                let metadata = &namespace.metadata;
                let facts = Arc::new(namespace_facts(metadata));
                if self.get(&facts.name).as_ref() != Some(&facts) {
                    warn_if_misconfigured(metadata);
                }
                self.objects.write().apply_listed(key_of(metadata), version_of(metadata), facts);
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
                if removed.is_some() {
                    self.notify(&key.name, removed);
                }
            }
        }
    }

    /// Most changes of a Namespace are of no interest.
    fn apply(&self, metadata: &ObjectMeta) {
        let (key, facts) = (key_of(metadata), Arc::new(namespace_facts(metadata)));
        let mut mirror = self.objects.write();
        let known = mirror.get(&key).cloned();
        let is_same = known.as_ref() == Some(&facts);
        let news = mirror.apply(key.clone(), version_of(metadata), facts);
        drop(mirror);
        if news.is_some() && !is_same {
            warn_if_misconfigured(metadata);
            self.notify(&key.name, known);
        }
    }

    /// Tells of a change; whoever was named before may have lost pods by it.
    fn notify(&self, name: &str, before: Option<Arc<NamespaceFacts>>) {
        self.bump();
        if let Some(key) = before.and_then(|facts| facts.named_trace_buffer().ok().flatten()) {
            self.changes.trace_buffer_changed(&key);
        }
        self.changes.namespace_changed(name);
    }

    fn bump(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

fn warn_if_misconfigured(metadata: &ObjectMeta) {
    if let Some(mistake) = misconfiguration(metadata) {
        let namespace = metadata.name.as_deref().unwrap_or_default();
        warn!(namespace, "{mistake}");
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: String::new(), name: name.to_owned() }
}
