//! The Secret is deleted, or its leaf destroyed.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_is_recreated_and_the_served_leaf_stays_trusted() {
    let harness = Harness::settled().await;

    harness.cluster.tamper(|tls| *tls = None);
    sleep(30 * SECOND).await;

    let names = authorities(&harness.cluster.bundles()[0]);
    assert_eq!((names.len(), names[1].as_str()), (2, "A1"), "{names:?}");
    assert!(
        harness.cluster.stored_tls().unwrap().leaf.is_empty(),
        "API servers do not have the new authority yet"
    );
    sleep(MINUTE).await;
    assert_eq!(authority_of(&harness.cluster.stored_tls().unwrap().leaf).as_ref(), Some(&names[0]));
    sleep(2 * AUTHORITY_RETENTION).await;
    assert_eq!(authorities(&harness.cluster.bundles()[0]), names[..1]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_leaf_is_issued_again_at_once() {
    let harness = Harness::settled().await;

    harness.cluster.tamper(|tls| tls.as_mut().unwrap().leaf_key.clear());
    sleep(SECOND).await;

    assert_eq!(harness.leaf(), "L3");
    assert_eq!(harness.names()[0], ["A1"]);
}

/// Another replica takes over, which serves a leaf that API servers trust, or none.
fn take_over(harness: &Harness, serves: bool) -> watch::Sender<bool> {
    harness.leading.send_replace(false);
    let leading = watch::Sender::new(true);
    let Harness { cluster, clock, monitor, .. } = harness;
    start(FakeIssuer::after(100), cluster, clock, monitor, move || serves, leading.subscribe());
    leading
}

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_is_reissued_at_once_by_a_leader_that_serves_no_leaf() {
    let harness = Harness::settled().await;
    harness.leading.send_replace(false);
    harness.cluster.tamper(|tls| *tls = None);
    sleep(MINUTE).await;

    let _leading = take_over(&harness, false);
    sleep(SECOND).await;

    let stored = harness.cluster.stored_tls().unwrap();
    let names = authorities(&harness.cluster.bundles()[0]);
    assert_eq!((names.len(), names[1].as_str()), (2, "A1"), "{names:?}");
    assert_eq!(authority_of(&stored.leaf).as_ref(), Some(&names[0]));
    sleep(2 * AUTHORITY_RETENTION).await;
    assert_eq!(authorities(&harness.cluster.bundles()[0]), names[..1]);
}

/// The replica that began to replace a lost Secret is restarted, too.
#[tokio::test(start_paused = true)]
async fn a_later_leader_that_serves_no_leaf_ends_the_wait_of_one_that_did() {
    for (serves, ends_the_wait) in [(false, true), (true, false)] {
        let harness = Harness::settled().await;
        harness.cluster.tamper(|tls| *tls = None);
        sleep(20 * SECOND).await;
        assert!(harness.cluster.stored_tls().unwrap().leaf.is_empty());

        let _leading = take_over(&harness, serves);
        sleep(SECOND).await;

        let is_issued = !harness.cluster.stored_tls().unwrap().leaf.is_empty();
        assert_eq!(is_issued, ends_the_wait, "serves: {serves}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_requested_rotation_waits_whatever_its_leader_serves() {
    let harness = Harness::settled().await;
    let _leading = take_over(&harness, false);

    harness.request_rotation("now");
    sleep(55 * SECOND).await;
    assert_eq!(harness.leaf(), "L2");

    sleep(10 * SECOND).await;
    assert_ne!(harness.leaf(), "L2");
}
