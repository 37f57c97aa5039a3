use std::time::Duration;

use tokio::time::sleep;

use crate::application::operator::reconcile::fakes::{
    FakeCluster, Harness, injected_pod, key, limits, snapshot, workload_status,
};
use crate::domain::operator::injection::consent::{AllowedNamespaces, CredentialUse};
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::reconcile::rollout::RolloutProgress::{Complete, Failed, Progressing};
use crate::domain::operator::reconcile::rollout::WorkloadStatus;
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    DesiredSidecar, RolloutPolicy, TraceBufferSnapshot,
};
use crate::domain::operator::reconcile::trace_buffer_status::PodCounts;
use crate::ports::operator::cluster::ClusterError;

const REVISION: &str = "h2-100";

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// `shop/traces` with this hash, which restarts one owner at a time with 20 s between them.
fn with_hash(hash: &str) -> TraceBufferSnapshot {
    let pace = RolloutPolicy { max_concurrent: 1, interval: Duration::from_secs(20) };
    let needs = DesiredSidecar { hash: hash.into(), limits: limits(100) };
    TraceBufferSnapshot { sidecar: Ok(needs), rollout: Some(pace), ..snapshot() }
}

/// A cluster in which the owners `a` and `b` have outdated pods.
async fn two_owners() -> Harness {
    let pods = [injected_pod("a1", "a-1", "h1"), injected_pod("b1", "b-1", "h1")];
    let stage = Harness::with_leader(&[with_hash("h1")], &pods).await;
    stage.cluster.set_workload("a", workload_status(None, Complete));
    stage.cluster.set_workload("b", workload_status(None, Complete));
    assert_eq!(stage.cluster.restarts(), []);
    stage
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
async fn owners_are_restarted_one_after_another_with_a_pause_between() {
    let stage = two_owners().await;

    stage.cluster.put_trace_buffer(with_hash("h2"));
    seconds(30).await;
    assert_eq!(stage.cluster.restarts(), [restart("a")], "b waits for a");
    complete(&stage.cluster, "a");
    seconds(18).await;
    assert_eq!(stage.cluster.restarts(), [], "b waits for the pause");
    seconds(8).await;
    assert_eq!(stage.cluster.restarts(), [restart("b")]);
    complete(&stage.cluster, "b");
    seconds(600).await;

    assert_eq!(stage.cluster.restarts(), []);
    let counts = PodCounts { total: 2, current: 2, ..PodCounts::default() };
    assert_eq!(stage.cluster.status(&key("shop", "traces")).unwrap().pods, counts);
}

#[tokio::test(start_paused = true)]
async fn without_the_strategy_nothing_is_restarted() {
    let stage = two_owners().await;

    stage.cluster.put_trace_buffer(TraceBufferSnapshot { rollout: None, ..with_hash("h2") });
    seconds(600).await;

    assert_eq!(stage.cluster.restarts(), []);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_up_halts_the_others_until_the_next_change() {
    let stage = two_owners().await;

    stage.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    stage.cluster.set_workload("a", workload_status(Some(REVISION), Failed("crashes".into())));
    seconds(600).await;
    let told = stage.cluster.events();
    let halted: Vec<_> = told.iter().filter(|(_, reason, _)| *reason == "RolloutHalted").collect();
    assert_eq!(halted, [&("a".to_owned(), "RolloutHalted", REVISION.to_owned())]);
    assert_eq!(stage.cluster.restarts(), []);

    stage.cluster.put_trace_buffer(with_hash("h3"));
    seconds(5).await;

    assert_eq!(stage.cluster.restarts(), [("a".to_owned(), "h3-100".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_restarted_again_for_a_change_that_was_taken_back() {
    let stage = two_owners().await;
    stage.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    assert_eq!(stage.cluster.restarts(), [restart("a")]);

    stage.cluster.set_workload("a", workload_status(None, Complete));
    seconds(600).await;

    assert_eq!(stage.cluster.restarts(), [restart("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_goes_on_where_the_old_one_was() {
    let stage = two_owners().await;
    stage.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    assert_eq!(stage.cluster.restarts(), [restart("a")]);

    stage.leading.send(false).unwrap();
    seconds(5).await;
    stage.lead().await;
    seconds(60).await;

    assert_eq!(stage.cluster.restarts(), [], "a is still on its way");
}

#[tokio::test(start_paused = true)]
async fn owners_of_another_namespace_are_restarted_only_with_its_consent() {
    let foreign = PodSnapshot { key: key("cart", "c1"), ..injected_pod("c1", "c-1", "h1") };
    let stage = Harness::with_leader(&[with_hash("h1")], &[foreign]).await;
    let inject = Some("shop/traces".into());
    stage.cluster.set_workload("c", WorkloadStatus { inject, ..workload_status(None, Complete) });

    stage.cluster.put_trace_buffer(with_hash("h2"));
    seconds(60).await;
    assert_eq!(stage.cluster.restarts(), []);
    let counts = stage.cluster.counts(&key("shop", "traces")).unwrap();
    assert_eq!((counts.total, counts.outdated), (1, 1));

    let trace_buffer = Some("shop/traces".into());
    stage.cluster.set_namespace(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown("cart") });
    seconds(60).await;
    assert_eq!(stage.cluster.restarts(), [restart("c")]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_restarted_whose_new_pods_would_not_have_its_sidecar() {
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
        let mut declared = with_hash("h2");
        change(&mut declared);
        declared
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
            &|declared| declared.allowed_namespaces = AllowedNamespaces::Same,
            false,
        ),
        (
            "it hands out the pod's identity now",
            asks(in_full),
            named("shop/traces"),
            &|declared| declared.credentials = CredentialUse::ServiceAccountToken,
            false,
        ),
    ] {
        let pod = PodSnapshot { key: key("cart", "c1"), ..injected_pod("c1", "c-1", "h1") };
        let stage = Harness::with_leader(&[with_hash("h1")], &[pod]).await;
        stage.cluster.set_namespace(namespace);
        stage.cluster.set_workload("c", seen);

        stage.cluster.put_trace_buffer(foreign(change));
        seconds(60).await;

        assert_eq!(!stage.cluster.restarts().is_empty(), is_restarted, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_restarted_is_looked_at_seldom() {
    let stage = two_owners().await;
    stage.cluster.set_workload("a", workload_status(None, Progressing));
    stage.cluster.set_workload("b", workload_status(None, Progressing));

    stage.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    let before = stage.cluster.reads().1;
    seconds(300).await;

    let looks = stage.cluster.reads().1 - before;
    assert!(looks <= 2 * 12, "{looks} looks");
    assert_eq!(stage.cluster.restarts(), []);
}

#[tokio::test(start_paused = true)]
async fn a_finished_rollout_costs_nothing() {
    let stage = two_owners().await;
    stage.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    complete(&stage.cluster, "a");
    seconds(30).await;
    complete(&stage.cluster, "b");
    seconds(60).await;
    let before = stage.cluster.reads().1;

    seconds(3600).await;

    assert_eq!(stage.cluster.reads().1, before);
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_the_writes_an_owner_is_restarted_once_for_a_change() {
    for failure in [
        ClusterError::Conflict,
        ClusterError::NotFound,
        ClusterError::Failed("the API server is away".into()),
    ] {
        for before in 0..6 {
            let stage = two_owners().await;
            stage.cluster.fail_next_writes(&vec![failure.clone(); before]);

            stage.cluster.put_trace_buffer(with_hash("h2"));
            seconds(600).await;

            assert_eq!(stage.cluster.restarts(), [restart("a")], "{before} times {failure:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_is_deleted_on_its_way_keeps_nobody_waiting() {
    let stage = two_owners().await;
    stage.cluster.put_trace_buffer(with_hash("h2"));
    seconds(5).await;
    assert_eq!(stage.cluster.restarts(), [restart("a")]);

    stage.cluster.delete_workload("a");
    stage.cluster.delete_pod("a1");
    seconds(60).await;

    assert_eq!(stage.cluster.restarts(), [restart("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_an_owner_stays_outdated_and_stops_nobody() {
    let stage = two_owners().await;
    stage.cluster.put_pod(PodSnapshot { owner: None, ..injected_pod("alone", "alone-1", "h1") });

    stage.cluster.put_trace_buffer(with_hash("h2"));
    seconds(30).await;

    assert_eq!(stage.cluster.restarts(), [restart("a")]);
    let counts = stage.cluster.counts(&key("shop", "traces")).unwrap();
    assert_eq!((counts.total, counts.outdated), (3, 3));
}
