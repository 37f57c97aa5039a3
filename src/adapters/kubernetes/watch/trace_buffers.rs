//! A cache of the `TraceBuffer`s.

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
/// The maximum time that an admission request waits for a direct list.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

type Guarded = DeserializeGuard<TraceBuffer>;

/// A `TraceBuffer` and what was derived from it.
#[derive(Clone, Debug)]
pub struct CachedTraceBuffer {
    /// The metadata, without managed fields.
    pub metadata: ObjectMeta,
    /// The object; `None` if it could not be parsed, and then `view` contains the error.
    pub object: Option<Arc<TraceBuffer>>,
    /// The `TraceBuffer` as the injection decision sees it.
    pub view: Arc<TraceBufferView<Sidecar>>,
}

/// The `TraceBuffer`s of the cluster. [`run`](Self::run) keeps the cache current.
pub struct TraceBufferCache {
    client: Client,
    defaults: SidecarDefaults,
    changes: Arc<dyn ChangeHandler>,
    health: Arc<WatchHealth>,
    objects: RwLock<ObjectCache<CachedTraceBuffer>>,
    refreshes: RefreshCoalescer,
}

impl TraceBufferCache {
    /// Creates an empty cache that reports changes to `changes`.
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

    /// Returns whether all `TraceBuffer`s were listed once.
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

    /// Returns the `TraceBuffer` with this key.
    #[must_use]
    pub fn entry(&self, key: &ObjectKey) -> Option<Arc<CachedTraceBuffer>> {
        self.objects.read().get(key).cloned()
    }

    /// Returns all `TraceBuffer`s, ordered by namespace and name.
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
            Event::Apply(object) => _ = self.apply(object, None),
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

    /// Stores a newer version of an object. Returns false if the object is from a direct list that began
    /// after `relists` relists, and another relist has completed since.
    fn apply(&self, object: Guarded, relists: Option<u64>) -> bool {
        let (key, version) = (key_of(object.meta()), version_of(object.meta()));
        if !self.objects.read().is_newer_version(&key, version) {
            return true;
        }
        let entry = self.build_entry(&key, object);
        let mut objects = self.objects.write();
        if relists.is_some_and(|relists| relists != objects.relists()) {
            return false;
        }
        let has_same_view =
            objects.get(&key).is_some_and(|cached| Arc::ptr_eq(&cached.view, &entry.view));
        let applied = objects.apply(key.clone(), version, entry);
        drop(objects);
        match (applied.is_some(), has_same_view) {
            (false, _) => {}
            (true, true) => self.changes.trace_buffer_status_changed(&key),
            (true, false) => self.changes.trace_buffer_changed(&key),
        }
        true
    }

    /// Builds a new view only if the spec has changed.
    fn build_entry(&self, key: &ObjectKey, object: Guarded) -> Arc<CachedTraceBuffer> {
        let mut object = match object.0 {
            Ok(object) => object,
            Err(invalid) => return Arc::new(malformed(key, invalid.metadata, &invalid.error)),
        };
        slim(&mut object.metadata);
        let cached = self.entry(key).filter(|cached| is_same_spec(cached, &object.metadata));
        let view = match cached {
            Some(cached) => Arc::clone(&cached.view),
            None => Arc::new(trace_buffer_view(&object, &self.defaults)),
        };
        let metadata = object.metadata.clone();
        Arc::new(CachedTraceBuffer { metadata, object: Some(Arc::new(object)), view })
    }

    /// Lists the `TraceBuffer`s of a namespace, and stores them in the cache. Takes a second at most.
    ///
    /// # Errors
    ///
    /// [`UnknownNamespace`] with the failure of the request.
    pub async fn refresh(&self, namespace: &str) -> Result<(), UnknownNamespace> {
        let list = self.refreshes.coalesce(namespace, || self.list_namespace(namespace));
        let result = timeout(REFRESH_TIMEOUT, list).await;
        let result = result
            .unwrap_or_else(|_| Err("the API server did not answer within a second".to_owned()));
        result.map_err(|error| {
            UnknownNamespace(format!(
                "cannot list the TraceBuffers of namespace {namespace}: {error}"
            ))
        })
    }

    async fn list_namespace(&self, namespace: &str) -> Result<(), String> {
        let api: Api<Guarded> = Api::namespaced(self.client.clone(), namespace);
        loop {
            let relists = self.objects.read().relists();
            let list = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            if list.items.into_iter().all(|object| self.apply(object, Some(relists))) {
                return Ok(());
            }
        }
    }
}

impl TraceBufferLister for TraceBufferCache {
    type Sidecar = Sidecar;

    fn get(&self, key: &ObjectKey) -> Option<Arc<TraceBufferView<Sidecar>>> {
        self.objects.read().get(key).map(|entry| Arc::clone(&entry.view))
    }

    fn names_in(&self, namespace: &str) -> Vec<String> {
        let objects = self.objects.read();
        objects.in_namespace(namespace).map(|entry| entry.view.key.name.clone()).collect()
    }
}

fn malformed(key: &ObjectKey, mut metadata: ObjectMeta, error: &str) -> CachedTraceBuffer {
    slim(&mut metadata);
    let error = format!("the object cannot be read as a TraceBuffer: {error}");
    let allowed_namespaces = AllowedNamespaces::Same;
    let view = TraceBufferView { key: key.clone(), sidecar: Err(error), allowed_namespaces };
    CachedTraceBuffer { metadata, object: None, view: Arc::new(view) }
}

fn is_same_spec(cached: &CachedTraceBuffer, metadata: &ObjectMeta) -> bool {
    cached.object.is_some()
        && cached.metadata.uid == metadata.uid
        && cached.metadata.generation == metadata.generation
        && metadata.generation.is_some()
}

/// Coalesces direct lists: the calls that arrive during a list share the next one.
#[derive(Default)]
struct RefreshCoalescer {
    /// Counts calls and starts of lists, to determine their order.
    ticks: AtomicU64,
    /// The last list, by namespace.
    latest: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Refresh>>>>,
}

/// A direct list of a namespace.
struct Refresh {
    /// The tick at which the list started.
    started: u64,
    /// The result of the list.
    result: Result<(), String>,
}

impl Default for Refresh {
    fn default() -> Self {
        Self { started: 0, result: Ok(()) }
    }
}

impl RefreshCoalescer {
    /// Calls `list`, unless another call started a list after this one arrived.
    async fn coalesce<F: Future<Output = Result<(), String>>>(
        &self,
        namespace: &str,
        list: impl FnOnce() -> F,
    ) -> Result<(), String> {
        let arrived = self.ticks.fetch_add(1, Ordering::Relaxed);
        let refresh = Arc::clone(self.latest.lock().entry(namespace.to_owned()).or_default());
        let mut refreshed = refresh.lock().await;
        if refreshed.started <= arrived {
            let started = self.ticks.fetch_add(1, Ordering::Relaxed);
            let result = list().await;
            *refreshed = Refresh { started, result };
        }
        let result = refreshed.result.clone();
        drop(refreshed);
        drop(refresh);
        self.latest.lock().retain(|_, refresh| Arc::strong_count(refresh) > 1);
        result
    }
}
