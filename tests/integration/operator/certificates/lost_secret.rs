//! The Secret of the certificates is deleted.

use super::*;

#[tokio::test(start_paused = true)]
async fn after_all_replicas_have_restarted_they_are_trusted_within_a_second() {
    let mut harness = Harness::new();
    harness.leader();
    sleep(120 * SECOND).await;
    harness.tasks.abort_all();
    harness.api.remove("secrets", NAMESPACE, SECRET);

    let replicas = [harness.leader(), harness.replica()];
    sleep(SECOND).await;

    assert!(replicas.iter().all(|served| served.is_trusted()));
    assert_eq!(harness.trusted(), 2, "a replica that was missed would still be trusted");
    sleep(620 * SECOND).await;
    assert!(replicas.iter().all(|served| served.is_trusted()));
    assert_eq!(harness.trusted(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_serves_waits_until_api_servers_trust_the_new_authority() {
    let mut harness = Harness::new();
    let (leader, replica) = (harness.leader(), harness.replica());
    sleep(120 * SECOND).await;

    harness.api.remove("secrets", NAMESPACE, SECRET);
    for _ in 0..59 {
        sleep(SECOND).await;
        assert!(harness.secret()["data"]["tls.crt"].as_str().is_none_or(str::is_empty));
        assert!(leader.is_trusted() && replica.is_trusted());
    }

    sleep(3 * SECOND).await;
    assert!(!harness.secret()["data"]["tls.crt"].as_str().unwrap().is_empty());
}

/// The leader was restarted, another replica was not, and must not notice.
#[tokio::test(start_paused = true)]
async fn a_replica_that_still_serves_takes_the_new_certificate_only_once_it_is_trusted() {
    let mut harness = Harness::new();
    let lost = made_at(SystemWallClock.now().saturating_sub(Duration::from_hours(24)));
    harness.give(SECRET, &lost, true);
    harness.inject(&lost);
    let replica = harness.replica();
    sleep(SECOND).await;
    assert!(replica.is_trusted());
    let before = replica.valid_until();
    harness.api.remove("secrets", NAMESPACE, SECRET);
    sleep(SECOND).await;

    let leader = harness.leader();
    let mut kept = 0;
    for _ in 0..20 {
        sleep(SECOND).await;
        assert!(replica.is_trusted() && leader.is_trusted());
        kept += u32::from(replica.valid_until() == before);
    }

    assert!((10..=16).contains(&kept), "{kept}");
    assert_eq!(replica.valid_until(), leader.valid_until());
}
