//! Events in any order: leaders that change, overlap and crash between two writes, clocks that
//! jump, requested rotations, and tools that revert writes.

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::task::JoinSet;

use super::*;

/// Maximum duration of each half of a call.
const MAX_LATENCY_MILLIS: u64 = 3_000;
/// Another client may change what a leader has read before the leader writes.
const READ_TO_WRITE_WINDOW: Duration = Duration::from_secs(20);
/// Longer than a replica needs to serve what is stored.
const REPLICA_LAG: Duration = Duration::from_mins(9);

#[derive(Clone, Debug)]
enum Disturbance {
    /// A replica starts or stops leading; the other one may lead too.
    Lead(usize, bool),
    /// A replica crashes at any point and starts again.
    Crash(usize),
    Jump(usize, i64),
    Rotate,
    /// Another client removes the bundle from a consistent cluster.
    Unpublish,
    /// Another client destroys a part of a consistent Secret.
    Destroy(u8),
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    let replica = 0..2_usize;
    prop_oneof![
        3 => (replica.clone(), any::<bool>()).prop_map(|(who, leads)| Disturbance::Lead(who, leads)),
        2 => replica.clone().prop_map(Disturbance::Crash),
        1 => (replica, -400..400_i64).prop_map(|(who, days)| Disturbance::Jump(who, days * 86_400)),
        3 => Just(Disturbance::Rotate),
        1 => Just(Disturbance::Unpublish),
        1 => (0..5_u8).prop_map(Disturbance::Destroy),
    ]
}

/// The pause before each disturbance, in seconds: within a step, within the overlap, or beyond it.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![0..5_u64, 0..90_u64, 300..2_000_u64]
}

struct Replica {
    clock: FakeWallClock,
    leading: watch::Sender<bool>,
    tasks: JoinSet<()>,
    issuer: FakeIssuer,
}

impl Replica {
    fn start(cluster: &Arc<FakeCluster>, issuer: &FakeIssuer, leads: bool) -> Self {
        let (clock, leading) = (FakeWallClock::new(), watch::Sender::new(leads));
        let tasks = Self::spawn(cluster, issuer, &clock, &leading);
        Self { clock, leading, tasks, issuer: issuer.clone() }
    }

    fn spawn(
        cluster: &Arc<FakeCluster>,
        issuer: &FakeIssuer,
        clock: &FakeWallClock,
        leading: &watch::Sender<bool>,
    ) -> JoinSet<()> {
        let (clocks, monitor) = ((FakeClock::new(), clock.clone()), Arc::default());
        let (store, issuer) = (Arc::clone(cluster), issuer.clone());
        let serving = cluster.serving();
        let serves = {
            let serving = Arc::clone(&serving);
            move || serving.load(Ordering::Relaxed)
        };
        let rotator: CertificateRotator<_, _, RecordingMonitor, _, _> =
            CertificateRotator::new(issuer, store, monitor, clocks, serves, || 77_777_777);
        let (leading, changes) = (leading.subscribe(), cluster.changes());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_stored(Arc::clone(cluster), serving));
        tasks.spawn(async move { rotator.run(leading, changes).await });
        tasks
    }

    fn crash(&mut self, cluster: &Arc<FakeCluster>) {
        // What the process served ends with it.
        self.tasks = Self::spawn(cluster, &self.issuer, &self.clock, &self.leading);
    }
}

/// Serves a leaf from when one is stored.
async fn serve_stored(cluster: Arc<FakeCluster>, serving: Arc<AtomicBool>) {
    let mut changes = cluster.changes();
    while !is_usable(cluster.stored_tls().as_ref()) && changes.changed().await.is_ok() {}
    serving.store(true, Ordering::Relaxed);
    std::future::pending::<()>().await;
}

fn is_usable(tls: Option<&WebhookTls>) -> bool {
    tls.is_some_and(|tls| FakeIssuer::new().inspect(tls).state.leaf.is_some())
}

fn disturb(what: &Disturbance, cluster: &Arc<FakeCluster>, replicas: &mut [Replica], count: usize) {
    match *what {
        Disturbance::Lead(who, leads) => drop(replicas[who].leading.send_replace(leads)),
        Disturbance::Crash(who) => replicas[who].crash(cluster),
        Disturbance::Jump(who, seconds) => replicas[who].clock.jump(seconds),
        Disturbance::Rotate => cluster.tamper(|tls| {
            if let Some(tls) = tls {
                tls.rotation_requested = Some(count.to_string());
            }
        }),
        Disturbance::Unpublish if is_consistent(cluster) => {
            cluster.overwrite_bundles(Some(vec![vec![], b"A99 1 2\n".to_vec()]));
        }
        Disturbance::Destroy(part) if is_consistent(cluster) => {
            cluster.tamper(|tls| destroy(part, tls));
        }
        Disturbance::Unpublish | Disturbance::Destroy(_) => {}
    }
}

fn destroy(part: u8, whole: &mut Option<WebhookTls>) {
    let Some(tls) = whole else { return };
    match part {
        0 => *whole = None,
        1 => tls.bundle = b"garbage".to_vec(),
        2 => tls.authority_key.clear(),
        3 => tls.leaf = b"half a le".to_vec(),
        _ => tls.leaf_key.clear(),
    }
}

/// Returns whether the stored certificates are readable and published. Only then another client
/// breaks a part of them.
fn is_consistent(cluster: &FakeCluster) -> bool {
    let Some(stored) = cluster.stored_tls() else { return false };
    let found = FakeIssuer::new().inspect(&stored);
    let published = cluster.bundles();
    found.state.leaf.is_some()
        && found.state.signer.is_some()
        && published.iter().all(|bundle| *bundle == found.bundle)
}

/// Asserts the invariants at every write of a history.
pub(super) fn assert_invariants(cluster: &FakeCluster) {
    let writes = cluster.writes();
    let mut leaves: Vec<(Duration, String)> = vec![];
    for (index, write) in writes.iter().enumerate() {
        let before = &writes[..index];
        match &write.value {
            RecordedValue::Tls(tls) => {
                let Some(authority) = authority_of(&tls.leaf) else { continue };
                let last = leaves.last().map(|(_, last)| last.clone());
                if last.as_ref() != Some(&authority) {
                    // The leader may be the one that serves none.
                    let is_outage = !write.replaces_leaf && !write.is_served_by_all;
                    assert_propagated(before, write.at, &authority, last.is_none() || is_outage);
                }
                leaves.push((write.at, authority));
            }
            RecordedValue::Published(bundles, true) => {
                let current = leaves.len().saturating_sub(1);
                for (number, (_, authority)) in leaves.iter().enumerate() {
                    let replaced = leaves.get(number + 1).map(|(at, _)| *at);
                    let is_served =
                        number == current || replaced.is_some_and(|at| write.at < at + REPLICA_LAG);
                    assert!(
                        !is_served || is_everywhere(bundles, authority),
                        "at {:?}: {authority} is served and not published: {:#?}",
                        write.at,
                        describe(&writes),
                    );
                }
            }
            RecordedValue::Published(_, false) => {}
        }
    }
}

/// Asserts that an authority has been published for the overlap when a leaf of it is stored. For a
/// leaf that replaces none while a replica serves none, such as the very first, it only needs to be published.
fn assert_propagated(before: &[RecordedWrite], now: Duration, authority: &str, is_urgent: bool) {
    let until = now.saturating_sub(READ_TO_WRITE_WINDOW);
    let from = if is_urgent { now } else { now.saturating_sub(PROPAGATION_DELAY) };
    let published: Vec<_> = before
        .iter()
        .filter_map(|write| match &write.value {
            RecordedValue::Published(bundles, _) => Some((write.at, bundles)),
            RecordedValue::Tls(_) => None,
        })
        .collect();
    for (index, (at, bundles)) in published.iter().enumerate() {
        let end = published.get(index + 1).map_or(now, |(at, _)| *at);
        let counts = end > from && (*at < until || is_urgent);
        assert!(
            !counts || is_everywhere(bundles, authority),
            "a leaf of {authority} at {now:?}: not published between {at:?} and {end:?}: {:#?}",
            describe(before),
        );
    }
    assert!(!published.is_empty(), "a leaf of {authority} before anything was published");
}

fn is_everywhere(bundles: &[Vec<u8>], authority: &str) -> bool {
    bundles.iter().all(|bundle| authorities(bundle).iter().any(|name| name == authority))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_authority_of_the_served_leaf_is_always_published_and_has_propagated(
        disturbances in vec((pause(), disturbance()), 1..40),
        latencies in vec(0..MAX_LATENCY_MILLIS, 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (cluster, issuer) = (FakeCluster::new(), FakeIssuer::new());
            cluster.set_latencies(latencies.into_iter().map(Duration::from_millis).collect());
            let mut replicas =
                [Replica::start(&cluster, &issuer, true), Replica::start(&cluster, &issuer, false)];
            for (count, (pause, what)) in disturbances.iter().enumerate() {
                sleep(Duration::from_secs(*pause)).await;
                disturb(what, &cluster, &mut replicas, count);
            }
            assert_invariants(&cluster);
            // With one leader and no further disturbances, the cluster becomes consistent.
            replicas[0].leading.send_replace(true);
            replicas[1].leading.send_replace(false);
            sleep(Duration::from_hours(2)).await;
            assert!(is_consistent(&cluster), "{:#?}", describe(&cluster.writes()));
            assert_invariants(&cluster);
        });
    }
}
