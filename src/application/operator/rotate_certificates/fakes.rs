//! A fake cluster, and certificates as text. Every call takes time on tokio's clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::domain::operator::rotation::{CertificateState, Leaf, Validity};
use crate::ports::clock::WallClock;
use crate::ports::operator::certificates::{
    AssignedPublisher, CaBundles, CertificateIssuer, CertificateMonitor, CertificateStore,
    Inspection, IssueError, Publication, StoreError, Versioned, WebhookTls,
};

/// The wall clock at the start of a test.
const TODAY: Duration = Duration::from_hours(24 * 20_000);

/// Follows the test's clock, and can jump.
#[derive(Clone)]
pub(crate) struct FakeWallClock {
    start: Instant,
    jump_seconds: Arc<AtomicI64>,
}

/// Certificates as text: the authority `A1 from until`, the leaf `L2 A1 from until name`; the key of
/// each is its name.
#[derive(Clone)]
pub(crate) struct FakeIssuer {
    pub(crate) host: &'static str,
    /// Leaves never have the webhook's names.
    pub(crate) never_matches: bool,
    made: Arc<AtomicU64>,
}

/// A write to the cluster.
#[derive(Clone, Debug)]
pub(crate) struct RecordedWrite {
    pub(crate) at: Duration,
    pub(crate) value: RecordedValue,
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

impl FakeIssuer {
    pub(crate) fn new() -> Self {
        Self { host: "webhook", never_matches: false, made: Arc::default() }
    }

    /// Creates an issuer whose leaves never have the webhook's names.
    pub(crate) fn that_never_matches() -> Self {
        Self { never_matches: true, ..Self::new() }
    }

    fn name(&self, letter: char) -> String {
        format!("{letter}{}", self.made.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Returns the names of the readable authorities in a bundle.
pub(crate) fn authorities(bundle: &[u8]) -> Vec<String> {
    lines(bundle).into_iter().map(|words| words[0].clone()).collect()
}

/// Returns the authority of a leaf, if the leaf is complete.
pub(crate) fn authority_of(leaf: &[u8]) -> Option<String> {
    let words = words(leaf);
    (words.len() == 5).then(|| words[1].clone())
}

fn words(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).split_whitespace().map(str::to_owned).collect()
}

fn lines(bundle: &[u8]) -> Vec<Vec<String>> {
    let mut found: Vec<_> = bundle.split(|byte| *byte == b'\n').map(words).collect();
    found.retain(|words| words.len() == 3 && words[0].starts_with('A'));
    found.dedup();
    found
}

fn text(lines: &[Vec<String>]) -> Vec<u8> {
    lines.iter().flat_map(|words| (words.join(" ") + "\n").into_bytes()).collect()
}

fn validity(from: &str, until: &str) -> Validity {
    let seconds = |text: &str| Duration::from_secs(text.parse().unwrap());
    Validity { not_before: seconds(from), not_after: seconds(until) }
}

impl CertificateIssuer for FakeIssuer {
    fn inspect(&self, tls: &WebhookTls) -> Inspection {
        let bundle = lines(&tls.bundle);
        let signer = bundle.iter().find(|words| words[0].as_bytes() == tls.authority_key);
        let leaf = words(&tls.leaf);
        let is_usable = leaf.len() == 5
            && leaf[0].as_bytes() == tls.leaf_key
            && bundle.iter().any(|words| words[0] == leaf[1]);
        Inspection {
            state: CertificateState {
                signer: signer.map(|words| validity(&words[1], &words[2])),
                leaf: is_usable.then(|| Leaf {
                    validity: validity(&leaf[2], &leaf[3]),
                    issued_by_signer: signer.is_some_and(|words| words[0] == leaf[1]),
                    names_match: leaf[4] == self.host && !self.never_matches,
                }),
                old_authorities: bundle.len() - usize::from(signer.is_some()),
                rotation_requested: tls.is_rotation_pending(),
            },
            bundle: text(&bundle),
            signer: signer.map_or_else(Vec::new, |words| text(std::slice::from_ref(words))),
        }
    }

    fn add_authority(
        &self,
        tls: &WebhookTls,
        validity: Validity,
    ) -> Result<WebhookTls, IssueError> {
        let name = self.name('A');
        let (from, until) = (validity.not_before.as_secs(), validity.not_after.as_secs());
        let older = text(&lines(&tls.bundle));
        Ok(WebhookTls {
            bundle: [format!("{name} {from} {until}\n").into_bytes(), older].concat(),
            authority_key: name.into_bytes(),
            rotation_handled: tls.rotation_requested.clone(),
            ..tls.clone()
        })
    }

    fn issue_leaf(&self, tls: &WebhookTls, validity: Validity) -> Result<WebhookTls, IssueError> {
        let name = self.name('L');
        let signer = String::from_utf8_lossy(&tls.authority_key);
        let (from, until) = (validity.not_before.as_secs(), validity.not_after.as_secs());
        Ok(WebhookTls {
            leaf: format!("{name} {signer} {from} {until} {}", self.host).into_bytes(),
            leaf_key: name.into_bytes(),
            ..tls.clone()
        })
    }
}

impl CaBundles for FakeIssuer {
    fn contains(&self, bundle: &[u8], part: &[u8]) -> bool {
        let (bundle, part) = (lines(bundle), lines(part));
        !part.is_empty() && part.iter().all(|words| bundle.contains(words))
    }

    fn intersects(&self, one: &[u8], other: &[u8]) -> bool {
        let other = lines(other);
        lines(one).iter().any(|words| other.contains(words))
    }

    fn merge(&self, first: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        let mut joined = lines(first);
        for words in others.iter().flat_map(|other| lines(other)) {
            if !joined.contains(&words) {
                joined.push(words);
            }
        }
        text(&joined)
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
        };
        let (state, changes) = (Mutex::new(state), watch::Sender::new(0));
        Arc::new(Self { start: Instant::now(), state, changes })
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
        self.writes.push(RecordedWrite { at: start.elapsed(), value: what });
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
            state.tls = Some(tls.clone());
            state.tls_version += 1;
            state.record_write(self.start, RecordedValue::Tls(tls.clone()));
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
