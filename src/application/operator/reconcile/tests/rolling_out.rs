use std::time::Duration;

use crate::application::operator::reconcile::fakes::{
    FakeCluster, Harness, injected_pod, key, restarting, seconds, workload_status,
};
use crate::domain::operator::injection::consent::{AllowedNamespaces, CredentialUse};
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::reconcile::rollout::RolloutProgress::{Complete, Failed, Progressing};
use crate::domain::operator::reconcile::rollout::WorkloadStatus;
use crate::domain::operator::reconcile::trace_buffer_snapshot::TraceBufferSnapshot;
use crate::domain::operator::reconcile::trace_buffer_status::PodCounts;
use crate::ports::operator::cluster::ClusterError;

const REVISION: &str = "h2-100";

/// `shop/traces` with this hash, with 20 s between restarts.
fn with_hash(hash: &str) -> TraceBufferSnapshot {
    restarting(hash, Duration::from_secs(20))
}

/// A cluster in which the owners `a` and `b` have outdated pods.
async fn two_owners() -> Harness {
    let pods = [injected_pod("a1", "a-1", "h1"), injected_pod("b1", "b-1", "h1")];
    let harness = Harness::with_leader(&[with_hash("h1")], &pods).await;
    harness.cluster.set_workload("a", workload_status(None, Complete));
    harness.cluster.set_workload("b", workload_status(None, Complete));
    assert_eq!(harness.cluster.restarts(), []);
    harness
}

fn complete(cluster: &FakeCluster, owner: &str) {
    cluster.delete_pod(&format!("{owner}1"));
    cluster.put_pod(injected_pod(&format!("{owner}2"), &format!("{owner}-2"), "h2"));
    cluster.set_workload(owner, workload_status(Some(REVISION), Complete));
}

fn restart(owner: &str) -> (String, String) {
    (owner.to_owned(), REVISION.to_owned())
}

#[tokio::test(start_paused = true)]
async fn owners_are_restarted_one_after_another_at_the_set_interval() {
    let harness = two_owners().await;

    harness.cluster.put_trace_buffer(with_hash("h2"));
    seconds(30).await;
    assert_eq!(harness.cluster.restarts(), [restart("a")], "b waits for a");
    complete(&harness.cluster, "a");
    seconds(18).await;
    assert_eq!(harness.cluster.restarts(), [], "b waits for the pause");
    seconds(8).await;
    assert_eq!(harness.cluster.restarts(), [restart("b")]);
    complete(&harness.cluster, "b");
    seconds(600).await;

    assert_eq!(harness.cluster.restarts(), []);
    let counts = PodCounts { total: 2, current: 2, ..PodCounts::default() };
    assert_eq!(harness.cluster.status(&key("shop", "traces")).unwrap().pods, counts);
}

#[tokio::test(start_paused = true)]
async fn without_the_strategy_nothing_is_restarted() {
    let harness = two_owners().await;

    harness.cluster.put_trace_buffer(TraceBufferSnapshot { rollout: None, ..with_hash("h2") });
    seconds(600).await;

    assert_eq!(harness.cluster.restarts(), []);
}

#[tokio::test(start_paused = true)]
async fn a_failed_restart_halts_the_rollout_until_the_next_change() {
    let harness = two_owners().await;

    harness.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    harness.cluster.set_workload("a", workload_status(Some(REVISION), Failed("crashes".into())));
    seconds(600).await;
    let events = harness.cluster.events();
    let halted: Vec<_> =
        events.iter().filter(|(_, reason, _)| *reason == "RolloutHalted").collect();
    assert_eq!(halted, [&("a".to_owned(), "RolloutHalted", REVISION.to_owned())]);
    assert_eq!(harness.cluster.restarts(), []);

    harness.cluster.put_trace_buffer(with_hash("h3"));
    seconds(5).await;

    assert_eq!(harness.cluster.restarts(), [("a".to_owned(), "h3-100".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_restart_was_reverted_is_not_restarted_again_for_the_same_change() {
    let harness = two_owners().await;
    harness.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    assert_eq!(harness.cluster.restarts(), [restart("a")]);

    harness.cluster.set_workload("a", workload_status(None, Complete));
    seconds(600).await;

    assert_eq!(harness.cluster.restarts(), [restart("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_continues_the_rollout() {
    let harness = two_owners().await;
    harness.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    assert_eq!(harness.cluster.restarts(), [restart("a")]);

    harness.leading.send(false).unwrap();
    seconds(5).await;
    harness.lead().await;
    seconds(60).await;

    assert_eq!(harness.cluster.restarts(), [], "a is still in progress");
}

#[tokio::test(start_paused = true)]
async fn owners_of_another_namespace_are_restarted_only_with_its_consent() {
    let foreign = PodSnapshot { key: key("cart", "c1"), ..injected_pod("c1", "c-1", "h1") };
    let harness = Harness::with_leader(&[with_hash("h1")], &[foreign]).await;
    let inject = Some("shop/traces".into());
    harness.cluster.set_workload("c", WorkloadStatus { inject, ..workload_status(None, Complete) });

    harness.cluster.put_trace_buffer(with_hash("h2"));
    seconds(60).await;
    assert_eq!(harness.cluster.restarts(), []);
    let counts = harness.cluster.counts(&key("shop", "traces")).unwrap();
    assert_eq!((counts.total, counts.outdated), (1, 1));

    let trace_buffer = Some("shop/traces".into());
    harness
        .cluster
        .set_namespace(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown("cart") });
    seconds(60).await;
    assert_eq!(harness.cluster.restarts(), [restart("c")]);
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_new_pods_would_not_get_the_sidecar_is_not_restarted() {
    let asks = |inject: Option<&str>| WorkloadStatus {
        inject: inject.map(str::to_owned),
        ..workload_status(None, Complete)
    };
    let named = |trace_buffer: &str| NamespaceFacts {
        trace_buffer: Some(trace_buffer.into()),
        ..NamespaceFacts::unknown("cart")
    };
    let in_full = Some("shop/traces");
    let foreign = |change: &dyn Fn(&mut TraceBufferSnapshot)| {
        let mut snapshot = with_hash("h2");
        change(&mut snapshot);
        snapshot
    };
    let same: &dyn Fn(&mut TraceBufferSnapshot) = &|_| {};
    for (why, seen, namespace, change, is_restarted) in [
        ("it would", asks(in_full), named("shop/traces"), same, true),
        ("its template asks for none", asks(None), named("shop/traces"), same, false),
        ("its template opts out", asks(Some("false")), named("shop/traces"), same, false),
        ("its template names another", asks(Some("other")), named("shop/traces"), same, false),
        ("the namespace names another", asks(Some("true")), named("shop/other"), same, false),
        (
            "the namespace is no longer allowed",
            asks(in_full),
            named("shop/traces"),
            &|snapshot| snapshot.allowed_namespaces = AllowedNamespaces::Same,
            false,
        ),
        (
            "it now passes on the pod's identity",
            asks(in_full),
            named("shop/traces"),
            &|snapshot| snapshot.credentials = CredentialUse::ServiceAccountToken,
            false,
        ),
    ] {
        let pod = PodSnapshot { key: key("cart", "c1"), ..injected_pod("c1", "c-1", "h1") };
        let harness = Harness::with_leader(&[with_hash("h1")], &[pod]).await;
        harness.cluster.set_namespace(namespace);
        harness.cluster.set_workload("c", seen);

        harness.cluster.put_trace_buffer(foreign(change));
        seconds(60).await;

        assert_eq!(!harness.cluster.restarts().is_empty(), is_restarted, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_cannot_be_restarted_is_checked_rarely() {
    let harness = two_owners().await;
    harness.cluster.set_workload("a", workload_status(None, Progressing));
    harness.cluster.set_workload("b", workload_status(None, Progressing));

    harness.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    let before = harness.cluster.reads().1;
    seconds(300).await;

    let reads = harness.cluster.reads().1 - before;
    assert!(reads <= 2 * 12, "{reads} reads");
    assert_eq!(harness.cluster.restarts(), []);
}

#[tokio::test(start_paused = true)]
async fn a_finished_rollout_causes_no_requests() {
    let harness = two_owners().await;
    harness.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    complete(&harness.cluster, "a");
    seconds(30).await;
    complete(&harness.cluster, "b");
    seconds(60).await;
    let before = harness.cluster.reads().1;

    seconds(3600).await;

    assert_eq!(harness.cluster.reads().1, before);
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_restarted_once_for_a_change_even_if_writes_fail() {
    for failure in [
        ClusterError::Conflict,
        ClusterError::NotFound,
        ClusterError::Failed("the API server is unavailable".into()),
    ] {
        for before in 0..6 {
            let harness = two_owners().await;
            harness.cluster.fail_next_writes(&vec![failure.clone(); before]);

            harness.cluster.put_trace_buffer(with_hash("h2"));
            seconds(600).await;

            assert_eq!(harness.cluster.restarts(), [restart("a")], "{before} times {failure:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_deleted_during_its_restart_does_not_delay_the_others() {
    let harness = two_owners().await;
    harness.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    assert_eq!(harness.cluster.restarts(), [restart("a")]);

    harness.cluster.delete_workload("a");
    harness.cluster.delete_pod("a1");
    seconds(60).await;

    assert_eq!(harness.cluster.restarts(), [restart("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_an_owner_stays_outdated_and_does_not_delay_others() {
    let harness = two_owners().await;
    harness.cluster.put_pod(PodSnapshot { owner: None, ..injected_pod("alone", "alone-1", "h1") });

    harness.cluster.put_trace_buffer(with_hash("h2"));
    seconds(30).await;

    assert_eq!(harness.cluster.restarts(), [restart("a")]);
    let counts = harness.cluster.counts(&key("shop", "traces")).unwrap();
    assert_eq!((counts.total, counts.outdated), (3, 3));
}
