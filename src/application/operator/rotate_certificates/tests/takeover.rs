//! The publisher changes between two operators and back, as with `helm upgrade`.

use super::super::super::publish_authorities::AuthorityPublisher;
use super::super::fakes::{EXISTING_SECRET, ExistingSecretStore, SELF_MANAGED};
use super::*;

/// Both operators run, as during a rolling update; the chart selects one of them to publish.
struct Takeover {
    harness: Harness,
    publisher: JoinHandle<()>,
}

impl Takeover {
    async fn settled(who: &'static str) -> Self {
        let cluster = FakeCluster::new();
        cluster.set_existing_secret("A100 1 2\n");
        cluster.assign_publisher(who);
        let store = ExistingSecretStore(Arc::clone(&cluster));
        let (issuer, monitor) = (FakeIssuer::new(), Arc::<RecordingMonitor>::default());
        let publisher =
            AuthorityPublisher::new(issuer, store, monitor, FakeClock::new(), || 7_777_777_777);
        let changes = cluster.changes();
        let publisher = tokio::spawn(async move { publisher.run(changes).await });
        let harness = Harness::new(cluster, true);
        sleep(2 * MINUTE).await;
        Self { harness, publisher }
    }

    async fn assign_publisher(&self, who: &'static str) {
        self.harness.cluster.assign_publisher(who);
        sleep(SECOND).await;
    }

    /// Asserts that these authorities are published, in any order.
    fn assert_published(&self, names: &[&str], when: &str) {
        for mut found in self.harness.names() {
            found.sort();
            assert_eq!(found, names, "{when}: {:?}", describe(&self.harness.cluster.writes()));
        }
    }
}

impl Drop for Takeover {
    fn drop(&mut self) {
        self.publisher.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_operator_that_is_not_the_publisher_writes_nothing() {
    let supplied = Takeover::settled(EXISTING_SECRET).await;
    supplied.assert_published(&["A100"], "supplied");
    assert_eq!(supplied.harness.cluster.stored_tls(), None);

    let own = Takeover::settled(SELF_MANAGED).await;
    own.assert_published(&["A1"], "own");
}

#[tokio::test(start_paused = true)]
async fn from_self_managed_to_supplied_both_are_trusted_for_ten_minutes() {
    let change = Takeover::settled(SELF_MANAGED).await;

    change.assign_publisher(EXISTING_SECRET).await;
    change.assert_published(&["A1", "A100"], "at once");
    sleep(9 * MINUTE).await;
    change.assert_published(&["A1", "A100"], "after nine minutes");
    sleep(2 * MINUTE).await;

    change.assert_published(&["A100"], "in the end");
    assert_eq!(change.harness.leaf(), "L2", "the self-managed Secret is unchanged");
}

#[tokio::test(start_paused = true)]
async fn from_supplied_to_self_managed_both_are_trusted_for_ten_minutes() {
    let change = Takeover::settled(EXISTING_SECRET).await;

    change.assign_publisher(SELF_MANAGED).await;
    change.assert_published(&["A1", "A100"], "at once");
    assert_eq!(change.harness.leaf(), "L2");
    sleep(9 * MINUTE).await;
    change.assert_published(&["A1", "A100"], "after nine minutes");
    sleep(2 * MINUTE).await;

    change.assert_published(&["A1"], "in the end");
    assert_eq!(change.harness.leaf(), "L2");
}

#[tokio::test(start_paused = true)]
async fn switching_back_and_forth_removes_no_authority() {
    let change = Takeover::settled(SELF_MANAGED).await;
    for who in [EXISTING_SECRET, SELF_MANAGED, EXISTING_SECRET, SELF_MANAGED] {
        change.assign_publisher(who).await;
        change.assert_published(&["A1", "A100"], who);
        sleep(MINUTE).await;
        change.assert_published(&["A1", "A100"], who);
    }

    sleep(5 * MINUTE).await;
    change.assert_published(&["A1", "A100"], "the ten minutes start at the last change");
    sleep(10 * MINUTE).await;
    change.assert_published(&["A1"], "in the end");
}

#[tokio::test(start_paused = true)]
async fn an_authority_published_by_another_tool_stays_for_ten_minutes_too() {
    let change = Takeover::settled(SELF_MANAGED).await;
    // cert-manager's injector replaces the whole bundle.
    change.harness.cluster.assign_publisher("certManager");
    change.harness.cluster.overwrite_bundles(Some(vec![b"A200 1 2\n".to_vec(); 2]));
    sleep(MINUTE).await;
    change.assert_published(&["A200"], "neither operator publishes");

    change.assign_publisher(SELF_MANAGED).await;

    change.assert_published(&["A1", "A200"], "at once");
    sleep(11 * MINUTE).await;
    change.assert_published(&["A1"], "in the end");
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_expired_meanwhile_is_replaced_and_its_leaf_stored_first() {
    let change = Takeover::settled(SELF_MANAGED).await;
    change.assign_publisher(EXISTING_SECRET).await;
    sleep(400 * DAY).await;

    change.assign_publisher(SELF_MANAGED).await;

    change.assert_published(&["A1", "A100", "A3"], "at once");
    assert_eq!(
        authority_of(&change.harness.cluster.stored_tls().unwrap().leaf).as_deref(),
        Some("A3")
    );
    sleep(20 * MINUTE).await;
    change.assert_published(&["A3"], "in the end");
}
