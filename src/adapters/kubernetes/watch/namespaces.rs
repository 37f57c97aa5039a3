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

use super::follow::{Watched, follow};
use super::health::Health;
use super::meta::{key_of, version_of};
use super::mirror::Mirror;
use super::trouble::Rule;
use crate::adapters::kubernetes::namespace::{mistake, namespace_facts};
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::facts::NamespaceFacts;
use crate::ports::catalog::UnknownNamespace;
use crate::ports::pods::Changes;

const RULE: Rule = Rule { group: "", resource: "namespaces" };
/// The longest a pod waits for a direct look at its namespace.
const MAX_LOOK: Duration = Duration::from_secs(1);

/// The labels of all namespaces, and the annotation by which they name a `TraceBuffer`;
/// [`run`](Self::run) keeps them current.
pub struct NamespaceIndex {
    client: Client,
    changes: Arc<dyn Changes>,
    health: Arc<Health>,
    mirror: RwLock<Mirror<NamespaceFacts>>,
    /// Rises with every change.
    version: watch::Sender<u64>,
}

impl NamespaceIndex {
    /// Knows nothing yet; tells `changes` what it learns.
    #[must_use]
    pub fn new(client: Client, changes: Arc<dyn Changes>) -> Self {
        Self {
            client,
            changes,
            health: Health::new(),
            mirror: RwLock::default(),
            version: watch::Sender::new(0),
        }
    }

    /// Watches indefinitely, through outages of the API server.
    pub async fn run(&self) {
        let watched = Watched {
            client: self.client.clone(),
            config: watcher::Config::default(),
            health: &self.health,
            rule: RULE,
        };
        follow(watched, |event| self.take(event)).await;
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
    pub fn trouble(&self) -> Option<String> {
        self.health.trouble()
    }

    /// Returns what is known of a namespace.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<NamespaceFacts>> {
        self.mirror.read().get(&key(name)).cloned()
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
        match timeout(MAX_LOOK, api.get_metadata(name)).await {
            Ok(Ok(found)) => {
                self.apply(&found.metadata);
                self.get(name).ok_or_else(|| unknown("it is gone"))
            }
            Ok(Err(error)) => Err(unknown(&error.to_string())),
            Err(_) => Err(unknown("the API server did not answer within a second")),
        }
    }

    /// Returns the names of those that ask for a sidecar in every pod.
    pub(super) fn asking(&self) -> BTreeSet<String> {
        let mirror = self.mirror.read();
        mirror.all().filter(|one| one.asks).map(|one| one.name.clone()).collect()
    }

    /// Returns whether one asks for a sidecar in every pod.
    pub(super) fn asks(&self, name: &str) -> bool {
        self.mirror.read().get(&key(name)).is_some_and(|known| known.asks)
    }

    /// Returns the names of those whose annotation names `trace_buffer`.
    pub(super) fn naming(&self, trace_buffer: &ObjectKey) -> BTreeSet<String> {
        let mirror = self.mirror.read();
        mirror.all().filter(|one| one.names(trace_buffer)).map(|one| one.name.clone()).collect()
    }

    /// Returns a counter that rises with every change.
    pub(super) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn take(&self, event: Event<PartialObjectMeta<Namespace>>) {
        match event {
            Event::Init => self.mirror.write().start_list(),
            Event::InitApply(namespace) => {
                let metadata = &namespace.metadata;
                let facts = Arc::new(namespace_facts(metadata));
                if self.get(&facts.name).as_ref() != Some(&facts) {
                    warn_of_mistake(metadata);
                }
                self.mirror.write().list(key_of(metadata), version_of(metadata), facts);
            }
            Event::InitDone => {
                self.mirror.write().end_list();
                self.health.set_synced();
                self.bump();
                self.changes.everything();
            }
            Event::Apply(namespace) => self.apply(&namespace.metadata),
            Event::Delete(namespace) => {
                let (key, version) = (key_of(&namespace.metadata), version_of(&namespace.metadata));
                let removed = self.mirror.write().remove(&key, version);
                if removed.is_some() {
                    self.tell(&key.name, removed);
                }
            }
        }
    }

    /// Most changes of a Namespace are of no interest.
    fn apply(&self, metadata: &ObjectMeta) {
        let (key, facts) = (key_of(metadata), Arc::new(namespace_facts(metadata)));
        let mut mirror = self.mirror.write();
        let known = mirror.get(&key).cloned();
        let is_same = known.as_ref() == Some(&facts);
        let news = mirror.apply(key.clone(), version_of(metadata), facts);
        drop(mirror);
        if news.is_some() && !is_same {
            warn_of_mistake(metadata);
            self.tell(&key.name, known);
        }
    }

    /// Tells of a change; whoever was named before may have lost pods by it.
    fn tell(&self, name: &str, before: Option<Arc<NamespaceFacts>>) {
        self.bump();
        if let Some(key) = before.and_then(|facts| facts.named().ok().flatten()) {
            self.changes.trace_buffer(&key);
        }
        self.changes.namespace(name);
    }

    fn bump(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

fn warn_of_mistake(metadata: &ObjectMeta) {
    if let Some(mistake) = mistake(metadata) {
        let namespace = metadata.name.as_deref().unwrap_or_default();
        warn!(namespace, "{mistake}");
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: String::new(), name: name.to_owned() }
}
