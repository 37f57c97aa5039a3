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

use super::failure::RbacRule;
use super::health::WatchHealth;
use super::meta::{key_of, slim, version_of};
use super::object_cache::ObjectCache;
use super::resilient_watch::{WatchTarget, watch_forever};
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::sidecar::{Sidecar, SidecarDefaults, trace_buffer_view};
use crate::domain::operator::injection::consent::AllowedNamespaces;
use crate::domain::operator::injection::trace_buffer_view::{TraceBufferLister, TraceBufferView};
use crate::domain::operator::object_key::ObjectKey;
use crate::ports::operator::catalog::UnknownNamespace;
use crate::ports::operator::pods::ChangeHandler;

const RULE: RbacRule =
    RbacRule { group: "tracebuffer.dev", resource: "tracebuffers", role: "ClusterRole" };
/// The longest a pod waits for a direct look.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

type Guarded = DeserializeGuard<TraceBuffer>;

/// A `TraceBuffer`, and what was made of it.
#[derive(Clone, Debug)]
pub struct CachedTraceBuffer {
    /// Its metadata, without managed fields.
    pub metadata: ObjectMeta,
    /// The object; `None` if it could not be read, and then the candidate says why.
    pub object: Option<Arc<TraceBuffer>>,
    /// What the decision needs of it.
    pub view: Arc<TraceBufferView<Sidecar>>,
}

/// The `TraceBuffer`s of the cluster; [`run`](Self::run) keeps them current.
pub struct TraceBufferCache {
    client: Client,
    defaults: SidecarDefaults,
    changes: Arc<dyn ChangeHandler>,
    health: Arc<WatchHealth>,
    objects: RwLock<ObjectCache<CachedTraceBuffer>>,
    refreshes: RefreshCoalescer,
}

impl TraceBufferCache {
    /// Knows nothing yet; tells `changes` what it learns.
    #[must_use]
    pub fn new(client: Client, defaults: SidecarDefaults, changes: Arc<dyn ChangeHandler>) -> Self {
        Self {
            client,
            defaults,
            changes,
            health: WatchHealth::new(),
            objects: RwLock::default(),
            refreshes: RefreshCoalescer::default(),
        }
    }

    /// Watches for ever, through outages of the API server.
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

    /// Returns the one of this name.
    #[must_use]
    pub fn entry(&self, key: &ObjectKey) -> Option<Arc<CachedTraceBuffer>> {
        self.objects.read().get(key).cloned()
    }

    /// Returns all of them, by namespace and name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<CachedTraceBuffer>> {
        self.objects.read().all().cloned().collect()
    }

    fn handle_event(&self, event: Event<Guarded>) {
        match event {
            Event::Init => self.objects.write().start_relist(),
            Event::InitApply(object) => self.list(object),
            Event::InitDone => {
                self.objects.write().finish_relist();
                self.health.set_synced();
                self.changes.resync();
            }
            Event::Apply(object) => self.apply(object),
            Event::Delete(object) => {
                let key = key_of(object.meta());
                let removed = self.objects.write().remove(&key, version_of(object.meta()));
                if removed.is_some() {
                    self.changes.trace_buffer_changed(&key);
                }
            }
        }
    }

    fn list(&self, object: Guarded) {
        let (key, version) = (key_of(object.meta()), version_of(object.meta()));
        if !self.objects.read().version_differs(&key, version) {
            return self.objects.write().mark_listed(key);
        }
        let entry = self.build_entry(&key, object);
        self.objects.write().apply_listed(key, version, entry);
    }

    fn apply(&self, object: Guarded) {
        let (key, version) = (key_of(object.meta()), version_of(object.meta()));
        if !self.objects.read().is_newer_version(&key, version) {
            return self.objects.write().mark_listed(key);
        }
        let entry = self.build_entry(&key, object);
        let news = self.objects.write().apply(key.clone(), version, entry);
        if news.is_some() {
            self.changes.trace_buffer_changed(&key);
        }
    }

    /// Makes the candidate anew only where more than the status has changed.
    fn build_entry(&self, key: &ObjectKey, object: Guarded) -> Arc<CachedTraceBuffer> {
        let mut object = match object.0 {
            Ok(object) => object,
            Err(invalid) => return Arc::new(malformed(key, invalid.metadata, &invalid.error)),
        };
        slim(&mut object.metadata);
        let known = self.entry(key).filter(|known| is_same_spec(known, &object.metadata));
        let view = match known {
            Some(known) => Arc::clone(&known.view),
            None => Arc::new(trace_buffer_view(&object, &self.defaults)),
        };
        let metadata = object.metadata.clone();
        Arc::new(CachedTraceBuffer { metadata, object: Some(Arc::new(object)), view })
    }

    /// Lists the `TraceBuffer`s of a namespace, and knows them when it ends. Takes a second at most.
    ///
    /// # Errors
    ///
    /// [`UnknownNamespace`] with what the API server says instead.
    pub async fn refresh(&self, namespace: &str) -> Result<(), UnknownNamespace> {
        let look = self.refreshes.coalesce(namespace, || self.list_namespace(namespace));
        let looked = timeout(REFRESH_TIMEOUT, look).await;
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

impl TraceBufferLister for TraceBufferCache {
    type Sidecar = Sidecar;

    fn get(&self, key: &ObjectKey) -> Option<Arc<TraceBufferView<Sidecar>>> {
        self.objects.read().get(key).map(|entry| Arc::clone(&entry.view))
    }

    fn names_in(&self, namespace: &str) -> Vec<String> {
        let mirror = self.objects.read();
        mirror.in_namespace(namespace).map(|entry| entry.view.key.name.clone()).collect()
    }
}

fn malformed(key: &ObjectKey, mut metadata: ObjectMeta, error: &str) -> CachedTraceBuffer {
    slim(&mut metadata);
    let why = format!("the object cannot be read as a TraceBuffer: {error}");
    let allowed_namespaces = AllowedNamespaces::Same;
    let refused = TraceBufferView { key: key.clone(), sidecar: Err(why), allowed_namespaces };
    CachedTraceBuffer { metadata, object: None, view: Arc::new(refused) }
}

fn is_same_spec(known: &CachedTraceBuffer, metadata: &ObjectMeta) -> bool {
    let known_as = &known.metadata;
    known.object.is_some()
        && known_as.uid == metadata.uid
        && known_as.generation == metadata.generation
        && metadata.generation.is_some()
}

/// Direct looks at namespaces: those who ask while one is under way share the next one.
#[derive(Default)]
struct RefreshCoalescer {
    /// Counts arrivals and starts, to tell which came first.
    ticks: AtomicU64,
    /// By namespace: the last look.
    latest: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Refresh>>>>,
}

/// A direct look at a namespace.
struct Refresh {
    /// The tick at which it started.
    started: u64,
    /// What came of it.
    result: Result<(), String>,
}

impl Default for Refresh {
    fn default() -> Self {
        Self { started: 0, result: Ok(()) }
    }
}

impl RefreshCoalescer {
    /// Looks, unless somebody else did and started after this call.
    async fn coalesce<F: Future<Output = Result<(), String>>>(
        &self,
        namespace: &str,
        look: impl FnOnce() -> F,
    ) -> Result<(), String> {
        let arrived = self.ticks.fetch_add(1, Ordering::Relaxed);
        let turn = Arc::clone(self.latest.lock().entry(namespace.to_owned()).or_default());
        let mut last = turn.lock().await;
        if last.started <= arrived {
            let started = self.ticks.fetch_add(1, Ordering::Relaxed);
            let result = look().await;
            *last = Refresh { started, result };
        }
        let result = last.result.clone();
        drop(last);
        drop(turn);
        self.latest.lock().retain(|_, turn| Arc::strong_count(turn) > 1);
        result
    }
}
