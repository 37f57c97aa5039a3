//! A fake cluster. Every call takes time on tokio's clock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

pub(crate) use self::issuer::{FakeIssuer, authorities, authority_of};
use crate::ports::clock::WallClock;
use crate::ports::operator::certificates::{
    AssignedPublisher, CertificateIssuer, CertificateMonitor, CertificateStore, Publication,
    StoreError, Versioned, WebhookTls,
};

mod issuer;

/// The wall clock at the start of a test.
const TODAY: Duration = Duration::from_hours(24 * 20_000);

/// Follows the test's clock, and can jump.
#[derive(Clone)]
pub(crate) struct FakeWallClock {
    start: Instant,
    jump_seconds: Arc<AtomicI64>,
}

/// A write to the cluster.
#[derive(Clone, Debug)]
pub(crate) struct RecordedWrite {
    pub(crate) at: Duration,
    pub(crate) value: RecordedValue,
    /// The Secret had a usable leaf before.
    pub(crate) replaces_leaf: bool,
    /// Every replica that was announced served a leaf.
    pub(crate) is_served_by_all: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordedValue {
    Tls(WebhookTls),
    /// True if an operator published it, false if another client did.
    Published(Vec<Vec<u8>>, bool),
}

/// The modes of an operator that issues certificates itself, and of one with a supplied certificate.
pub(crate) const SELF_MANAGED: &str = "self";
pub(crate) const EXISTING_SECRET: &str = "existingSecret";

/// The cluster as seen by an operator with a supplied certificate, which has its own Secret.
pub(crate) struct ExistingSecretStore(pub(crate) Arc<FakeCluster>);

/// A Secret and a webhook's configuration of two entries.
pub(crate) struct FakeCluster {
    start: Instant,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

struct State {
    tls: Option<WebhookTls>,
    /// The other operator's Secret.
    existing_secret: Option<WebhookTls>,
    /// The publisher that the chart selects, and the one that published last.
    assigned_publisher: Option<&'static str>,
    last_publisher: Option<&'static str>,
    bundles: Option<Vec<Vec<u8>>>,
    tls_version: u64,
    version: u64,
    generation: u64,
    writes: Vec<RecordedWrite>,
    failures: VecDeque<StoreError>,
    /// How long each half of a call takes, in turn.
    latencies: Vec<Duration>,
    calls: usize,
    /// Whether each replica serves a leaf.
    serving: Vec<Weak<AtomicBool>>,
}

/// Records the reports.
#[derive(Default)]
pub(crate) struct RecordingMonitor {
    pub(crate) expiry: Mutex<Option<(Duration, Duration)>>,
    pub(crate) failures: AtomicU64,
}

impl FakeWallClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), jump_seconds: Arc::default() }
    }

    pub(crate) fn jump(&self, seconds: i64) {
        self.jump_seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl WallClock for FakeWallClock {
    fn now(&self) -> Duration {
        let now = TODAY + self.start.elapsed();
        let jump = self.jump_seconds.load(Ordering::Relaxed);
        let size = Duration::from_secs(jump.unsigned_abs());
        if jump < 0 { now.saturating_sub(size) } else { now + size }
    }
}

impl FakeCluster {
    /// Creates a cluster with a configuration without bundles and nothing else.
    pub(crate) fn new() -> Arc<Self> {
        let state = State {
            tls: None,
            existing_secret: None,
            assigned_publisher: None,
            last_publisher: None,
            bundles: Some(vec![vec![], vec![]]),
            tls_version: 0,
            version: 0,
            generation: 0,
            writes: vec![],
            failures: VecDeque::new(),
            latencies: vec![Duration::from_millis(1)],
            calls: 0,
            serving: vec![],
        };
        let (state, changes) = (Mutex::new(state), watch::Sender::new(0));
        Arc::new(Self { start: Instant::now(), state, changes })
    }

    /// Announces a replica, which tells by this whether it serves a leaf.
    pub(crate) fn serving(&self) -> Arc<AtomicBool> {
        let serving = Arc::default();
        self.state.lock().serving.push(Arc::downgrade(&serving));
        serving
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Lets the halves of the calls take this long, in turn.
    pub(crate) fn set_latencies(&self, latencies: Vec<Duration>) {
        self.state.lock().latencies = latencies;
    }

    /// Lets the next calls fail with these errors.
    pub(crate) fn fail_next(&self, errors: impl IntoIterator<Item = StoreError>) {
        self.state.lock().failures.extend(errors);
    }

    pub(crate) fn stored_tls(&self) -> Option<WebhookTls> {
        self.state.lock().tls.clone()
    }

    pub(crate) fn bundles(&self) -> Vec<Vec<u8>> {
        self.state.lock().bundles.clone().unwrap_or_default()
    }

    /// Returns all writes so far.
    pub(crate) fn writes(&self) -> Vec<RecordedWrite> {
        self.state.lock().writes.clone()
    }

    /// Changes the Secret as another client.
    pub(crate) fn tamper(&self, change: impl FnOnce(&mut Option<WebhookTls>)) {
        let mut state = self.state.lock();
        change(&mut state.tls);
        state.tls_version += 1;
        drop(state);
        self.notify_change();
    }

    /// Supplies the operator that uses an existing Secret with these authorities and a certificate.
    pub(crate) fn set_existing_secret(&self, bundle: &str) {
        let supplied = WebhookTls { bundle: bundle.as_bytes().to_vec(), ..WebhookTls::default() };
        self.state.lock().existing_secret = Some(supplied);
        self.notify_change();
    }

    /// Selects the operator that publishes, as the chart does.
    pub(crate) fn assign_publisher(&self, who: &'static str) {
        let mut state = self.state.lock();
        state.assigned_publisher = Some(who);
        state.version += 1;
        drop(state);
        self.notify_change();
    }

    /// Changes the bundles of the configuration as another client.
    pub(crate) fn overwrite_bundles(&self, bundles: Option<Vec<Vec<u8>>>) {
        let mut state = self.state.lock();
        state.version += 1;
        state.generation += 1;
        state.bundles.clone_from(&bundles);
        state
            .record_write(self.start, RecordedValue::Published(bundles.unwrap_or_default(), false));
        drop(state);
        self.notify_change();
    }

    /// Changes a label of the configuration as another client.
    pub(crate) fn touch_configuration(&self) {
        self.state.lock().version += 1;
        self.notify_change();
    }

    fn notify_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    async fn read_publication_as(
        &self,
        who: &'static str,
    ) -> Result<Option<Versioned<Publication>>, StoreError> {
        self.call(|state| {
            let (version, generation) = (state.version.to_string(), state.generation.to_string());
            let assigned_publisher = match state.assigned_publisher {
                None => AssignedPublisher::Unassigned,
                Some(asked) if asked == who => AssignedPublisher::Us,
                Some(_) => AssignedPublisher::Other,
            };
            let published_by_other = assigned_publisher != AssignedPublisher::Unassigned
                && state.last_publisher != Some(who);
            let publication = |bundles| Publication {
                bundles,
                generation,
                assigned_publisher,
                published_by_other,
            };
            let bundles = state.bundles.clone();
            Ok(bundles.map(|bundles| Versioned { value: publication(bundles), version }))
        })
        .await
    }

    async fn publish_as(
        &self,
        who: &'static str,
        bundle: &[u8],
        published: &Versioned<Publication>,
    ) -> Result<(), StoreError> {
        self.call(|state| {
            if state.version.to_string() != published.version {
                return Err(StoreError::Conflict);
            }
            let bundles = vec![bundle.to_vec(); published.value.bundles.len()];
            state.version += 1;
            state.generation += 1;
            state.last_publisher = Some(who);
            state.bundles = Some(bundles.clone());
            state.record_write(self.start, RecordedValue::Published(bundles, true));
            self.notify_change();
            Ok(())
        })
        .await
    }

    async fn call<T>(
        &self,
        call: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.pause().await;
        let done = {
            let mut state = self.state.lock();
            match state.failures.pop_front() {
                Some(refusal) => Err(refusal),
                None => call(&mut state),
            }
        };
        self.pause().await;
        done
    }

    async fn pause(&self) {
        let latency = {
            let mut state = self.state.lock();
            state.calls += 1;
            state.latencies[state.calls % state.latencies.len()]
        };
        sleep(latency).await;
    }
}

impl State {
    fn record_write(&mut self, start: Instant, what: RecordedValue) {
        let is_usable = |tls: &WebhookTls| FakeIssuer::new().inspect(tls).state.leaf.is_some();
        let replaces_leaf = self.tls.as_ref().is_some_and(is_usable);
        let mut alive = self.serving.iter().filter_map(Weak::upgrade);
        let is_served_by_all = alive.all(|serving| serving.load(Ordering::Relaxed));
        let at = start.elapsed();
        self.writes.push(RecordedWrite { at, value: what, replaces_leaf, is_served_by_all });
    }
}

impl CertificateStore for Arc<FakeCluster> {
    async fn read_tls(&self) -> Result<Option<Versioned<WebhookTls>>, StoreError> {
        self.call(|state| {
            let version = state.tls_version.to_string();
            Ok(state.tls.clone().map(|value| Versioned { value, version }))
        })
        .await
    }

    async fn write_tls(&self, tls: &WebhookTls, version: Option<&str>) -> Result<(), StoreError> {
        self.call(|state| {
            let current = state.tls.is_some().then(|| state.tls_version.to_string());
            if current.as_deref() != version {
                return Err(StoreError::Conflict);
            }
            state.record_write(self.start, RecordedValue::Tls(tls.clone()));
            state.tls = Some(tls.clone());
            state.tls_version += 1;
            self.notify_change();
            Ok(())
        })
        .await
    }

    async fn read_publication(&self) -> Result<Option<Versioned<Publication>>, StoreError> {
        self.read_publication_as(SELF_MANAGED).await
    }

    async fn publish(
        &self,
        bundle: &[u8],
        published: &Versioned<Publication>,
    ) -> Result<(), StoreError> {
        self.publish_as(SELF_MANAGED, bundle, published).await
    }

    fn publication_location(&self) -> String {
        "MutatingWebhookConfiguration tracebuffer".to_owned()
    }

    fn tls_location(&self) -> String {
        "Secret own".to_owned()
    }
}

impl CertificateStore for ExistingSecretStore {
    async fn read_tls(&self) -> Result<Option<Versioned<WebhookTls>>, StoreError> {
        let read = |state: &mut State| {
            Ok(state
                .existing_secret
                .clone()
                .map(|value| Versioned { value, version: String::new() }))
        };
        self.0.call(read).await
    }

    async fn write_tls(&self, _tls: &WebhookTls, _version: Option<&str>) -> Result<(), StoreError> {
        panic!("this operator does not write its Secret");
    }

    async fn read_publication(&self) -> Result<Option<Versioned<Publication>>, StoreError> {
        self.0.read_publication_as(EXISTING_SECRET).await
    }

    async fn publish(
        &self,
        bundle: &[u8],
        published: &Versioned<Publication>,
    ) -> Result<(), StoreError> {
        self.0.publish_as(EXISTING_SECRET, bundle, published).await
    }

    fn publication_location(&self) -> String {
        self.0.publication_location()
    }

    fn tls_location(&self) -> String {
        "Secret given".to_owned()
    }
}

impl CertificateMonitor for RecordingMonitor {
    fn stored(&self, authority_until: Duration, leaf_until: Duration) {
        *self.expiry.lock() = Some((authority_until, leaf_until));
    }

    fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    fn leadership_lost(&self) {
        *self.expiry.lock() = None;
    }
}
