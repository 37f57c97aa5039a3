//! Publishing in a fake cluster, on paused time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::super::rotate_certificates::fakes::{
    EXISTING_SECRET, ExistingSecretStore, FakeCluster, FakeIssuer, RecordedValue, RecordedWrite,
    RecordingMonitor, authorities,
};
use super::*;
use crate::application::testing::{CapturedLog, FakeClock};
use crate::ports::operator::certificates::{Versioned, WebhookTls};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Starts a replica in a cluster.
fn start(cluster: &Arc<FakeCluster>) -> Arc<RecordingMonitor> {
    let monitor = Arc::<RecordingMonitor>::default();
    let store = ExistingSecretStore(Arc::clone(cluster));
    let publisher = AuthorityPublisher::new(
        FakeIssuer::new(),
        store,
        Arc::clone(&monitor),
        FakeClock::new(),
        || 7_777_777_777,
    );
    let changes = cluster.changes();
    tokio::spawn(async move { publisher.run(changes).await });
    monitor
}

/// A cluster where `A1` is supplied and published.
async fn settled() -> Arc<FakeCluster> {
    let cluster = FakeCluster::new();
    cluster.assign_publisher(EXISTING_SECRET);
    cluster.set_existing_secret("A1 1 2\n");
    start(&cluster);
    sleep(SECOND).await;
    cluster
}

fn names(cluster: &FakeCluster) -> Vec<Vec<String>> {
    cluster.bundles().iter().map(|bundle| authorities(bundle)).collect()
}

#[tokio::test(start_paused = true)]
async fn supplied_authorities_are_published_everywhere_and_written_once() {
    let cluster = settled().await;
    assert_eq!(names(&cluster), [["A1"], ["A1"]]);

    sleep(Duration::from_hours(24)).await;

    assert_eq!(cluster.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_authority_stays_published_for_ten_minutes() {
    let cluster = settled().await;

    cluster.set_existing_secret("A2 1 2\n");
    sleep(SECOND).await;
    assert_eq!(names(&cluster), [["A2", "A1"], ["A2", "A1"]]);
    sleep(9 * MINUTE).await;
    assert_eq!(names(&cluster), [["A2", "A1"], ["A2", "A1"]]);
    sleep(MINUTE).await;

    assert_eq!(names(&cluster), [["A2"], ["A2"]]);
}

#[tokio::test(start_paused = true)]
async fn a_removed_bundle_is_restored_within_a_second() {
    let cluster = settled().await;
    for wrong in [vec![vec![], vec![]], vec![b"A1 1 2\n".to_vec(), vec![]]] {
        cluster.overwrite_bundles(Some(wrong));

        sleep(SECOND).await;

        assert_eq!(names(&cluster), [["A1"], ["A1"]]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_a_tool_keeps_removing_is_written_at_a_decreasing_rate() {
    let cluster = settled().await;
    let tool = tokio::spawn({
        let cluster = Arc::clone(&cluster);
        async move {
            loop {
                sleep(SECOND / 50).await;
                if cluster.bundles() != [b"", b""] {
                    cluster.overwrite_bundles(Some(vec![vec![], vec![]]));
                }
            }
        }
    });
    sleep(10 * MINUTE).await;
    let is_ours =
        |write: &&RecordedWrite| !matches!(write.value, RecordedValue::Published(_, false));
    let writes = cluster.writes().iter().filter(is_ours).count();
    assert!((10..150).contains(&writes), "{writes}");

    tool.abort();
    sleep(15 * SECOND).await;
    assert_eq!(names(&cluster), [["A1"], ["A1"]]);
}

#[tokio::test(start_paused = true)]
async fn replicas_with_different_secrets_do_not_remove_each_others_authorities_at_once() {
    let cluster = settled().await;
    let (old, monitor) =
        (ExistingSecretStore(Arc::clone(&cluster)), Arc::<RecordingMonitor>::default());
    let stale = StaleStore(old);
    let publisher =
        AuthorityPublisher::new(FakeIssuer::new(), stale, monitor, FakeClock::new(), || 1);
    let changes = cluster.changes();
    tokio::spawn(async move { publisher.run(changes).await });

    sleep(9 * MINUTE).await;
    let writes = cluster.writes().len();

    assert_eq!(writes, 2, "each published once");
    for mut bundle in names(&cluster) {
        bundle.sort();
        assert_eq!(bundle, ["A1", "A9"]);
    }
}

/// A store that returns another Secret than the cluster has.
struct StaleStore(ExistingSecretStore);

impl CertificateStore for StaleStore {
    async fn read_tls(&self) -> Result<Option<Versioned<WebhookTls>>, StoreError> {
        let value = WebhookTls { bundle: b"A9 1 2\n".to_vec(), ..WebhookTls::default() };
        Ok(Some(Versioned { value, version: String::new() }))
    }

    async fn write_tls(&self, tls: &WebhookTls, version: Option<&str>) -> Result<(), StoreError> {
        self.0.write_tls(tls, version).await
    }

    async fn read_publication(&self) -> Result<Option<Versioned<Publication>>, StoreError> {
        self.0.read_publication().await
    }

    async fn publish(
        &self,
        bundle: &[u8],
        published: &Versioned<Publication>,
    ) -> Result<(), StoreError> {
        self.0.publish(bundle, published).await
    }

    fn publication_location(&self) -> String {
        self.0.publication_location()
    }

    fn tls_location(&self) -> String {
        self.0.tls_location()
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_or_authority_is_logged_once_with_the_remedy_and_counted() {
    for (supplied, expected) in [
        (None, "there is no Secret given: create it, or correct certificates.secretName"),
        (Some("garbage\n"), "Secret given has no authority: add it as ca.crt, or set"),
    ] {
        let (log, _guard) = CapturedLog::start();
        let cluster = FakeCluster::new();
        if let Some(supplied) = supplied {
            cluster.set_existing_secret(supplied);
        }
        let monitor = start(&cluster);
        sleep(MINUTE).await;
        let lines = log.lines();
        assert_eq!(lines.iter().filter(|line| line.contains(expected)).count(), 1, "{lines:?}");
        assert!(monitor.failures.load(Ordering::Relaxed) > 1);

        cluster.set_existing_secret("A1 1 2\n");
        sleep(SECOND).await;

        assert_eq!(names(&cluster), [["A1"], ["A1"]]);
    }
}
