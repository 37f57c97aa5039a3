//! The `TraceBuffer`s, as a watch knows them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::api::{ListParams, ObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use parking_lot::{Mutex, RwLock};
use tokio::time::timeout;

use super::follow::{Watched, follow};
use super::health::Health;
use super::meta::{key_of, slim, version_of};
use super::mirror::Mirror;
use super::trouble::Rule;
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::sidecar::{Sidecar, SidecarDefaults, candidate};
use crate::domain::injection::candidate::{Candidate, ObjectKey, TraceBuffers};
use crate::domain::injection::consent::AllowedNamespaces;
use crate::ports::catalog::UnknownNamespace;
use crate::ports::pods::Changes;

const RULE: Rule = Rule { group: "tracebuffer.dev", resource: "tracebuffers" };
/// The longest a pod waits for a direct look.
const MAX_REFRESH: Duration = Duration::from_secs(1);

type Guarded = DeserializeGuard<TraceBuffer>;

/// A `TraceBuffer`, and what was made of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its metadata, without managed fields.
    pub metadata: ObjectMeta,
    /// The object; `None` if it could not be read, and then the candidate says why.
    pub object: Option<Arc<TraceBuffer>>,
    /// What the decision needs of it.
    pub candidate: Arc<Candidate<Sidecar>>,
}

/// The `TraceBuffer`s of the cluster; [`run`](Self::run) keeps them current.
pub struct TraceBufferCache {
    client: Client,
    defaults: SidecarDefaults,
    changes: Arc<dyn Changes>,
    health: Arc<Health>,
    mirror: RwLock<Mirror<Entry>>,
    refreshes: Refreshes,
}

impl TraceBufferCache {
    /// Knows nothing yet; tells `changes` what it learns.
    #[must_use]
    pub fn new(client: Client, defaults: SidecarDefaults, changes: Arc<dyn Changes>) -> Self {
        Self {
            client,
            defaults,
            changes,
            health: Health::new(),
            mirror: RwLock::default(),
            refreshes: Refreshes::default(),
        }
    }

    /// Watches for ever, through outages of the API server.
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

    /// Returns the one of this name.
    #[must_use]
    pub fn entry(&self, key: &ObjectKey) -> Option<Arc<Entry>> {
        self.mirror.read().get(key).cloned()
    }

    /// Returns all of them, by namespace and name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.mirror.read().all().cloned().collect()
    }

    fn take(&self, event: Event<Guarded>) {
        match event {
            Event::Init => self.mirror.write().start_list(),
            Event::InitApply(object) => self.list(object),
            Event::InitDone => {
                self.mirror.write().end_list();
                self.health.set_synced();
                self.changes.everything();
            }
            Event::Apply(object) => self.apply(object),
            Event::Delete(object) => {
                let key = key_of(object.meta());
                let removed = self.mirror.write().remove(&key, version_of(object.meta()));
                if removed.is_some() {
                    self.changes.trace_buffer(&key);
                }
            }
        }
    }

    fn list(&self, object: Guarded) {
        let (key, version) = (key_of(object.meta()), version_of(object.meta()));
        if !self.mirror.read().differs(&key, version) {
            return self.mirror.write().seen(key);
        }
        let entry = self.entry_of(&key, object);
        self.mirror.write().list(key, version, entry);
    }

    fn apply(&self, object: Guarded) {
        let (key, version) = (key_of(object.meta()), version_of(object.meta()));
        if !self.mirror.read().is_news(&key, version) {
            return self.mirror.write().seen(key);
        }
        let entry = self.entry_of(&key, object);
        let news = self.mirror.write().apply(key.clone(), version, entry);
        if news.is_some() {
            self.changes.trace_buffer(&key);
        }
    }

    /// Makes the candidate anew only where more than the status has changed.
    fn entry_of(&self, key: &ObjectKey, object: Guarded) -> Arc<Entry> {
        let mut object = match object.0 {
            Ok(object) => object,
            Err(invalid) => return Arc::new(malformed(key, invalid.metadata, &invalid.error)),
        };
        slim(&mut object.metadata);
        let known = self.entry(key).filter(|known| is_same_spec(known, &object.metadata));
        let candidate = match known {
            Some(known) => Arc::clone(&known.candidate),
            None => Arc::new(candidate(&object, &self.defaults)),
        };
        let metadata = object.metadata.clone();
        Arc::new(Entry { metadata, object: Some(Arc::new(object)), candidate })
    }

    /// Lists the `TraceBuffer`s of a namespace, and knows them when it ends. Takes a second at most.
    ///
    /// # Errors
    ///
    /// [`UnknownNamespace`] with what the API server says instead.
    pub async fn refresh(&self, namespace: &str) -> Result<(), UnknownNamespace> {
        let look = self.refreshes.once(namespace, || self.list_namespace(namespace));
        let looked = timeout(MAX_REFRESH, look).await;
        let looked = looked
            .unwrap_or_else(|_| Err("the API server did not answer within a second".to_owned()));
        looked.map_err(|why| {
            UnknownNamespace(format!(
                "cannot list the TraceBuffers of namespace {namespace}: {why}"
            ))
        })
    }

    async fn list_namespace(&self, namespace: &str) -> Result<(), String> {
        let api: Api<Guarded> = Api::namespaced(self.client.clone(), namespace);
        let list = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        list.items.into_iter().for_each(|object| self.apply(object));
        Ok(())
    }
}

impl TraceBuffers for TraceBufferCache {
    type Sidecar = Sidecar;

    fn get(&self, key: &ObjectKey) -> Option<Arc<Candidate<Sidecar>>> {
        self.mirror.read().get(key).map(|entry| Arc::clone(&entry.candidate))
    }

    fn names_in(&self, namespace: &str) -> Vec<String> {
        let mirror = self.mirror.read();
        mirror.in_namespace(namespace).map(|entry| entry.candidate.key.name.clone()).collect()
    }
}

fn malformed(key: &ObjectKey, mut metadata: ObjectMeta, error: &str) -> Entry {
    slim(&mut metadata);
    let why = format!("the object cannot be read as a TraceBuffer: {error}");
    let allowed_namespaces = AllowedNamespaces::Same;
    let refused = Candidate { key: key.clone(), sidecar: Err(why), allowed_namespaces };
    Entry { metadata, object: None, candidate: Arc::new(refused) }
}

fn is_same_spec(known: &Entry, metadata: &ObjectMeta) -> bool {
    let known_as = &known.metadata;
    known.object.is_some()
        && known_as.uid == metadata.uid
        && known_as.generation == metadata.generation
        && metadata.generation.is_some()
}

/// Direct looks at namespaces: those who ask while one is under way share the next one.
#[derive(Default)]
struct Refreshes {
    /// Counts arrivals and starts, to tell which came first.
    ticks: AtomicU64,
    /// By namespace: the last look.
    looks: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Look>>>>,
}

/// A direct look at a namespace.
struct Look {
    /// The tick at which it started.
    started: u64,
    /// What came of it.
    result: Result<(), String>,
}

impl Default for Look {
    fn default() -> Self {
        Self { started: 0, result: Ok(()) }
    }
}

impl Refreshes {
    /// Looks, unless somebody else did and started after this call.
    async fn once<F: Future<Output = Result<(), String>>>(
        &self,
        namespace: &str,
        look: impl FnOnce() -> F,
    ) -> Result<(), String> {
        let arrived = self.ticks.fetch_add(1, Ordering::Relaxed);
        let turn = Arc::clone(self.looks.lock().entry(namespace.to_owned()).or_default());
        let mut last = turn.lock().await;
        if last.started <= arrived {
            let started = self.ticks.fetch_add(1, Ordering::Relaxed);
            let result = look().await;
            *last = Look { started, result };
        }
        let result = last.result.clone();
        drop(last);
        drop(turn);
        self.looks.lock().retain(|_, turn| Arc::strong_count(turn) > 1);
        result
    }
}
