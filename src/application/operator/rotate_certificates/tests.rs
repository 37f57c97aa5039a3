//! Certificate rotation in a fake cluster, on paused time.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::fakes::{
    FakeCluster, FakeIssuer, FakeWallClock, RecordedValue, RecordedWrite, RecordingMonitor,
    authorities, authority_of,
};
use super::*;
use crate::application::testing::{CapturedLog, FakeClock};
use crate::domain::operator::rotation::{AUTHORITY_RETENTION, PROPAGATION_DELAY, Validity};

mod any_order;
mod lost_leaf;
mod takeover;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// One replica and its cluster.
struct Harness {
    cluster: Arc<FakeCluster>,
    clock: FakeWallClock,
    monitor: Arc<RecordingMonitor>,
    leading: watch::Sender<bool>,
    rotator: JoinHandle<()>,
}

impl Harness {
    /// A leader and an empty cluster.
    fn leading() -> Self {
        Self::new(FakeCluster::new(), true)
    }

    fn new(cluster: Arc<FakeCluster>, leads: bool) -> Self {
        Self::with_issuer(FakeIssuer::new(), cluster, leads)
    }

    fn with_issuer(issuer: FakeIssuer, cluster: Arc<FakeCluster>, leads: bool) -> Self {
        let clock = FakeWallClock::new();
        let monitor = Arc::new(RecordingMonitor::default());
        let leading = watch::Sender::new(leads);
        let rotator = start(issuer, &cluster, &clock, &monitor, || true, leading.subscribe());
        Self { cluster, clock, monitor, leading, rotator }
    }

    /// A leader that has issued and published its certificates.
    async fn settled() -> Self {
        let harness = Self::leading();
        sleep(2 * MINUTE).await;
        harness
    }

    fn names(&self) -> Vec<Vec<String>> {
        self.cluster.bundles().iter().map(|bundle| authorities(bundle)).collect()
    }

    fn leaf(&self) -> String {
        String::from_utf8(self.cluster.stored_tls().unwrap().leaf_key).unwrap()
    }

    fn request_rotation(&self, value: &str) {
        let value = Some(value.to_owned());
        self.cluster.tamper(|tls| tls.as_mut().unwrap().rotation_requested = value);
    }
}

fn start(
    issuer: FakeIssuer,
    cluster: &Arc<FakeCluster>,
    clock: &FakeWallClock,
    monitor: &Arc<RecordingMonitor>,
    serves: impl Fn() -> bool + Send + Sync + 'static,
    leading: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let clocks = (FakeClock::new(), clock.clone());
    let (store, monitor) = (Arc::clone(cluster), Arc::clone(monitor));
    let rotator =
        CertificateRotator::new(issuer, store, monitor, clocks, serves, || 10_000_000_000);
    let changes = cluster.changes();
    tokio::spawn(async move { rotator.run(leading, changes).await })
}

/// Describes writes, such as `bundle A1`, `published A1` or `leaf L2 of A1`.
fn describe(writes: &[RecordedWrite]) -> Vec<String> {
    let mut leaf = vec![];
    let mut describe_one = |write: &RecordedWrite| match &write.value {
        RecordedValue::Published(bundles, _) => {
            format!("published {}", authorities(&bundles[0]).join(" "))
        }
        RecordedValue::Tls(tls) if tls.leaf == leaf => {
            format!("bundle {}", authorities(&tls.bundle).join(" "))
        }
        RecordedValue::Tls(tls) => {
            leaf.clone_from(&tls.leaf);
            let name = String::from_utf8_lossy(&tls.leaf_key);
            format!("leaf {name} of {}", authority_of(&leaf).unwrap())
        }
    };
    writes.iter().map(&mut describe_one).collect()
}

#[tokio::test(start_paused = true)]
async fn on_a_new_install_the_authority_is_stored_then_published_then_the_leaf_is_stored() {
    let harness = Harness::settled().await;

    assert_eq!(describe(&harness.cluster.writes()), ["bundle A1", "published A1", "leaf L2 of A1"]);
    assert_eq!(harness.names(), [["A1"], ["A1"]]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_in_the_steady_state() {
    let harness = Harness::settled().await;

    sleep(19 * DAY).await;

    assert_eq!(harness.cluster.writes().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_removed_or_changed_bundle_is_restored_within_a_second() {
    let harness = Harness::settled().await;
    let expected = harness.cluster.bundles();
    for wrong in [
        vec![vec![], vec![]],
        vec![expected[0].clone(), vec![]],
        vec![b"A9 1 2\n".to_vec(), expected[0].clone()],
        vec![[&expected[0][..], b"A9 1 2\n"].concat(), expected[0].clone()],
    ] {
        harness.cluster.overwrite_bundles(Some(wrong));

        sleep(SECOND).await;

        assert_eq!(harness.cluster.bundles(), expected);
    }
    assert_eq!(harness.leaf(), "L2", "the leaf is kept");
}

#[tokio::test(start_paused = true)]
async fn a_leaf_that_never_matches_is_written_at_a_decreasing_rate() {
    let issuer = FakeIssuer::that_never_matches();
    let harness = Harness::with_issuer(issuer, FakeCluster::new(), true);

    sleep(10 * MINUTE).await;

    let writes = harness.cluster.writes().len();
    assert!((10..100).contains(&writes), "{writes}");
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_a_tool_keeps_removing_is_written_at_a_decreasing_rate() {
    let harness = Harness::settled().await;
    let cluster = Arc::clone(&harness.cluster);
    let tool = tokio::spawn(async move {
        loop {
            sleep(SECOND / 50).await;
            if cluster.bundles() != [b"", b""] {
                cluster.overwrite_bundles(Some(vec![vec![], vec![]]));
            }
        }
    });
    sleep(10 * MINUTE).await;
    let is_ours =
        |write: &&RecordedWrite| !matches!(write.value, RecordedValue::Published(_, false));
    let writes = harness.cluster.writes().iter().filter(is_ours).count();
    assert!((10..150).contains(&writes), "{writes}");

    tool.abort();
    sleep(15 * SECOND).await;
    assert_eq!(harness.names(), [["A1"], ["A1"]]);
}

#[tokio::test(start_paused = true)]
async fn changes_do_not_retry_a_failing_write_more_than_twice_a_second() {
    let cluster = FakeCluster::new();
    cluster.fail_next(std::iter::repeat_n(StoreError::Failed("no way".to_owned()), 100_000));
    let harness = Harness::new(Arc::clone(&cluster), true);
    for _ in 0..6_000 {
        sleep(SECOND / 100).await;
        cluster.touch_configuration();
    }

    let failures = harness.monitor.failures.load(Ordering::Relaxed);
    assert!((10..130).contains(&failures), "{failures}");
}

#[tokio::test(start_paused = true)]
async fn a_leaf_is_renewed_after_twenty_days_by_the_same_authority() {
    let harness = Harness::settled().await;

    sleep(20 * DAY).await;

    assert_eq!(describe(&harness.cluster.writes())[3..], ["leaf L3 of A1"]);
}

#[tokio::test(start_paused = true)]
async fn an_authority_is_replaced_in_steps_with_an_overlap() {
    let harness = Harness::settled().await;
    harness.request_rotation("2026-11-24");
    sleep(Duration::from_hours(1)).await;

    let writes = &harness.cluster.writes()[3..];

    let steps = ["bundle A3 A1", "published A3 A1", "leaf L4 of A3", "bundle A3", "published A3"];
    let names = describe(&harness.cluster.writes());
    assert_eq!(names[3..], steps);
    let waited = |from: usize, to: usize| writes[to].at.saturating_sub(writes[from].at);
    assert!(waited(1, 2) >= PROPAGATION_DELAY, "API servers have A3 before its leaf is issued");
    assert!(waited(1, 2) < PROPAGATION_DELAY + SECOND);
    assert!(waited(2, 3) >= AUTHORITY_RETENTION, "replicas no longer serve A1's leaf");
}

#[tokio::test(start_paused = true)]
async fn an_old_authority_is_replaced_without_a_request() {
    let harness = Harness::settled().await;

    sleep(244 * DAY).await;

    let newest = harness.names()[0][0].clone();
    assert_ne!(newest, "A1");
    let newest_only = std::slice::from_ref(&newest);
    assert!(harness.names().iter().all(|names| names == newest_only));
    assert_eq!(authority_of(&harness.cluster.stored_tls().unwrap().leaf), Some(newest));
}

#[tokio::test(start_paused = true)]
async fn each_new_value_of_the_annotation_rotates_once() {
    let harness = Harness::settled().await;
    for (value, authorities) in [("a", 2), ("a", 2), ("b", 3)] {
        harness.request_rotation(value);
        sleep(Duration::from_hours(1)).await;

        let written = describe(&harness.cluster.writes());
        let bundles = written.iter().filter(|line| line.starts_with("leaf")).count();
        assert_eq!(bundles, authorities, "{value}: {written:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_overlap_restarts_if_the_bundle_was_removed_meanwhile() {
    let harness = Harness::settled().await;
    harness.request_rotation("now");
    sleep(50 * SECOND).await;
    harness.cluster.overwrite_bundles(Some(vec![vec![], vec![]]));

    sleep(55 * SECOND).await;
    assert_eq!(harness.leaf(), "L2");
    sleep(10 * SECOND).await;
    assert_eq!(harness.leaf(), "L4");
}

#[tokio::test(start_paused = true)]
async fn a_label_on_the_configuration_does_not_delay_a_rotation() {
    let harness = Harness::settled().await;
    harness.request_rotation("now");
    for _ in 0..6 {
        sleep(10 * SECOND).await;
        harness.cluster.touch_configuration();
    }

    sleep(SECOND).await;

    assert_eq!(harness.leaf(), "L4");
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_wall_clock_shortens_no_overlap() {
    let harness = Harness::settled().await;
    harness.request_rotation("now");
    sleep(SECOND).await;

    harness.clock.jump(3600);
    sleep(55 * SECOND).await;
    assert_eq!(harness.leaf(), "L2");
    sleep(10 * SECOND).await;
    assert_eq!(harness.leaf(), "L4");
}

#[tokio::test(start_paused = true)]
async fn jumps_of_the_clock_by_years_leave_valid_certificates_and_no_shortened_overlap() {
    let harness = Harness::settled().await;
    for jump in [3 * 365 * 86_400, -3 * 365 * 86_400, -40 * 86_400] {
        harness.clock.jump(jump);
        sleep(Duration::from_hours(1)).await;

        let found = FakeIssuer::new().inspect(&harness.cluster.stored_tls().unwrap()).state;
        let now = harness.clock.now();
        let is_valid = |v: Validity| v.not_before <= now && now < v.not_after;
        assert!(is_valid(found.signer.unwrap()) && is_valid(found.leaf.unwrap().validity));
        assert_eq!((found.old_authorities, found.leaf.unwrap().issued_by_signer), (0, true));
    }
    any_order::assert_invariants(&harness.cluster);
}

#[tokio::test(start_paused = true)]
async fn a_lost_authority_key_causes_a_rotation_with_overlap() {
    let harness = Harness::settled().await;

    harness.cluster.tamper(|tls| tls.as_mut().unwrap().authority_key = b"half a k".to_vec());
    sleep(30 * SECOND).await;

    assert_eq!(harness.names()[0], ["A3", "A1"]);
    assert_eq!(harness.leaf(), "L2");
    sleep(MINUTE).await;
    assert_eq!(harness.leaf(), "L4");
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_writes() {
    let harness = Harness::new(FakeCluster::new(), false);
    sleep(DAY).await;
    assert!(harness.cluster.writes().is_empty());

    harness.leading.send_replace(true);
    sleep(SECOND).await;
    assert_eq!(harness.cluster.writes().len(), 3);

    harness.leading.send_replace(false);
    sleep(SECOND).await;
    harness.cluster.overwrite_bundles(Some(vec![vec![], vec![]]));
    sleep(DAY).await;
    assert_eq!(harness.names(), [[""; 0], [""; 0]]);

    harness.leading.send_replace(true);
    sleep(SECOND).await;
    assert_eq!(harness.names(), [["A1"], ["A1"]]);
}

#[tokio::test(start_paused = true)]
async fn the_rotator_ends_when_the_election_ends() {
    let Harness { leading, rotator, .. } = Harness::settled().await;

    drop(leading);

    tokio::time::timeout(SECOND, rotator).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_conflict_causes_a_new_read_and_is_no_failure() {
    let cluster = FakeCluster::new();
    cluster.fail_next([StoreError::Conflict, StoreError::Conflict]);

    let harness = Harness::new(cluster, true);
    sleep(SECOND).await;

    assert_eq!(harness.names(), [["A1"], ["A1"]]);
    assert_eq!(harness.monitor.failures.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_logged_once_counted_each_time_and_retried_at_a_decreasing_rate() {
    let (log, _guard) = CapturedLog::start();
    let cluster = FakeCluster::new();
    cluster.fail_next(std::iter::repeat_n(StoreError::Failed("no way".to_owned()), 30));

    let harness = Harness::new(cluster, true);
    sleep(MINUTE).await;

    let failures = harness.monitor.failures.load(Ordering::Relaxed);
    assert!((10..30).contains(&failures), "{failures}");
    let lines = log.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("no way")).count(), 1, "{lines:?}");
    sleep(5 * MINUTE).await;
    assert_eq!(harness.names(), [["A1"], ["A1"]]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_configuration_is_logged_and_used_once_it_exists() {
    let (log, _guard) = CapturedLog::start();
    let cluster = FakeCluster::new();
    cluster.overwrite_bundles(None);
    let harness = Harness::new(Arc::clone(&cluster), true);
    sleep(MINUTE).await;
    let lines = log.lines();
    assert!(
        lines[0].contains("there is no MutatingWebhookConfiguration tracebuffer: install"),
        "{lines:?}"
    );

    cluster.overwrite_bundles(Some(vec![vec![]]));
    sleep(SECOND).await;

    assert_eq!(harness.names(), [["A1"]]);
}

#[tokio::test(start_paused = true)]
async fn the_monitor_gets_the_expiry_of_the_certificates() {
    let harness = Harness::settled().await;

    let (authority, leaf) = harness.monitor.expiry.lock().unwrap();

    let left =
        |until: Duration| until.saturating_sub(harness.clock.now()).as_secs().div_ceil(86_400);
    assert_eq!((left(authority), left(leaf)), (365, 30));
}

#[tokio::test(start_paused = true)]
async fn the_monitor_forgets_the_expiry_when_leadership_is_lost() {
    let harness = Harness::settled().await;
    assert!(harness.monitor.expiry.lock().is_some());

    harness.leading.send_replace(false);
    sleep(SECOND).await;

    assert_eq!(*harness.monitor.expiry.lock(), None);
}

#[tokio::test(start_paused = true)]
async fn the_monitor_forgets_the_expiry_when_the_rotator_is_stopped_while_it_leads() {
    let harness = Harness::settled().await;
    assert!(harness.monitor.expiry.lock().is_some());

    harness.rotator.abort();
    sleep(SECOND).await;

    assert_eq!(*harness.monitor.expiry.lock(), None);
}

#[tokio::test(start_paused = true)]
async fn the_rotation_steps_are_logged_in_order() {
    let (log, _guard) = CapturedLog::start();
    let _harness = Harness::settled().await;

    let lines = log.lines();
    for (line, text) in lines.iter().zip(["authority", "published the", "certificate"]) {
        assert!(line.contains(text), "{lines:?}");
    }
    assert_eq!(lines.len(), 3, "{lines:?}");
}
