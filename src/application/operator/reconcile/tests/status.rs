use std::time::Duration;

use tokio::time::sleep;

use crate::application::operator::reconcile::fakes::{
    Harness, RecordedWrite, injected_pod, key, limits, missing_pod, seconds, secret, skipped_pod,
    snapshot, text,
};
use crate::domain::operator::injection::consent::AllowedNamespaces;
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::skip::SkipReason;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    DesiredSidecar, TraceBufferSnapshot,
};
use crate::domain::operator::reconcile::trace_buffer_status::{
    Condition, ConditionStatus, PodCounts, Status,
};
use crate::ports::operator::cluster::{ClusterError, LookupOutcome};
use crate::ports::operator::pods::ChangeHandler;
use crate::ports::operator::reconcile::ReconcileOutcome;

fn traces() -> ObjectKey {
    key("shop", "traces")
}

fn condition<'a>(status: &'a Status, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.type_ == kind).unwrap()
}

fn with_limits(max_bytes: u64) -> TraceBufferSnapshot {
    let desired = DesiredSidecar { hash: "h1".into(), limits: limits(max_bytes) };
    TraceBufferSnapshot { sidecar: Ok(desired), generation: 2, ..snapshot() }
}

#[tokio::test(start_paused = true)]
async fn the_status_counts_the_pods_that_use_the_trace_buffer_or_should() {
    let elsewhere = PodSnapshot { key: key("cart", "e"), ..injected_pod("e", "web-1", "h1") };
    let ending = PodSnapshot { is_terminating: true, ..injected_pod("f", "web-1", "h1") };
    let pods = [
        injected_pod("a", "web-1", "h1"),
        injected_pod("b", "web-1", "h0"),
        missing_pod("c", "job-1"),
        skipped_pod("d", "db-1", SkipReason::PortClash),
        skipped_pod("g", "db-1", SkipReason::OptedOut),
        elsewhere,
        ending,
    ];

    let harness = Harness::with_leader(&[snapshot()], &pods).await;

    let status = harness.cluster.status(&traces()).unwrap();
    let counts =
        PodCounts { total: 5, current: 2, outdated: 1, missing: 2, ..PodCounts::default() };
    assert_eq!(status.pods, counts);
    assert_eq!(condition(&status, "Ready").status, ConditionStatus::True);
    assert_eq!(harness.cluster.counts(&traces()), Some(counts));
}

#[tokio::test(start_paused = true)]
async fn pods_are_counted_by_the_trace_buffer_that_their_namespace_or_the_operator_names() {
    let default = key("platform", "all");
    let of =
        |namespace: &str| PodSnapshot { key: key(namespace, "a"), ..missing_pod("a", "web-1") };
    let platforms = TraceBufferSnapshot { key: default.clone(), ..snapshot() };
    let harness =
        Harness::with_leader(&[snapshot(), platforms], &[of("cart"), of("bank"), of("shop")]).await;
    let missing = |of: &ObjectKey| harness.cluster.counts(of).unwrap().missing;
    assert_eq!((missing(&traces()), missing(&default)), (1, 2));

    let trace_buffer = Some("shop/traces".into());
    harness
        .cluster
        .set_namespace(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown("cart") });
    seconds(5).await;

    assert_eq!((missing(&traces()), missing(&default)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_default_trace_buffer_makes_no_running_pod_outdated() {
    let harness = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;

    let trace_buffer = Some("platform/all".into());
    harness
        .cluster
        .set_namespace(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown("shop") });
    seconds(10).await;

    let counts = harness.cluster.counts(&traces()).unwrap();
    assert_eq!((counts.total, counts.current), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_status_is_correct_within_5_s_of_a_burst_of_pods_and_written_at_most_twice() {
    let harness = Harness::with_leader(&[snapshot()], &[]).await;
    harness.cluster.writes();

    for n in 0..1000 {
        harness.cluster.put_pod(injected_pod(&format!("p{n}"), "web-1", "h1"));
        sleep(Duration::from_millis(1)).await;
    }
    seconds(4).await;

    let written = harness.cluster.writes();
    let statuses =
        written.iter().filter(|write| matches!(write, RecordedWrite::Status(..))).count();
    assert!((1..=3).contains(&statuses), "{statuses} writes");
    assert_eq!(harness.cluster.status(&traces()).unwrap().pods.current, 1000);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_status_is_not_written_again() {
    let harness = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;
    assert_eq!(harness.cluster.writes().len(), 1);

    harness.cluster.queue.resync();
    seconds(3600).await;

    assert_eq!(harness.cluster.writes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_tampered_status_is_corrected_at_the_next_resync() {
    let harness = Harness::with_leader(&[snapshot()], &[]).await;
    harness.cluster.writes();

    harness.cluster.put_trace_buffer(snapshot());
    seconds(10).await;

    assert!(matches!(harness.cluster.writes().as_slice(), [RecordedWrite::Status(..)]));
}

#[tokio::test(start_paused = true)]
async fn the_trace_buffer_named_default_counts_the_pods_that_name_none() {
    let harness = Harness::with_leader(&[snapshot()], &[missing_pod("a", "web-1")]).await;
    assert_eq!(harness.cluster.status(&traces()).unwrap().pods.missing, 1);

    harness
        .cluster
        .put_trace_buffer(TraceBufferSnapshot { key: key("shop", "default"), ..snapshot() });
    seconds(3).await;

    assert_eq!(harness.cluster.status(&traces()).unwrap().pods.missing, 0);
    assert_eq!(harness.cluster.status(&key("shop", "default")).unwrap().pods.missing, 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_is_no_longer_counted() {
    let harness = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;

    harness.cluster.delete_pod("a");
    seconds(3).await;

    assert_eq!(harness.cluster.status(&traces()).unwrap().pods, PodCounts::default());
}

#[tokio::test(start_paused = true)]
async fn errors_are_reported_and_running_pods_are_not_changed() {
    let harness =
        Harness::with_leader(&[with_limits(50)], &[injected_pod("a", "web-1", "h1")]).await;
    harness.cluster.writes();

    let wrong = TraceBufferSnapshot { sidecar: Err("spec.a is wrong".into()), ..snapshot() };
    harness.cluster.put_trace_buffer(wrong);
    seconds(3).await;

    let status = harness.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "Accepted").message, "spec.a is wrong");
    assert_eq!(status.pods.current, 1);
    assert!(matches!(harness.cluster.writes().as_slice(), [RecordedWrite::Status(..)]));
}

#[tokio::test(start_paused = true)]
async fn running_pods_get_new_limits_up_to_the_memory_they_were_sized_for() {
    let harness = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;
    harness.cluster.writes();

    harness.cluster.put_trace_buffer(with_limits(40));
    seconds(3).await;
    assert_eq!(harness.cluster.writes()[0], RecordedWrite::Limits("a".into(), text(40)));
    assert_eq!(harness.cluster.status(&traces()).unwrap().pods.current, 1);

    harness.cluster.put_trace_buffer(with_limits(1000));
    seconds(3).await;
    assert!(harness.cluster.writes().contains(&RecordedWrite::Limits("a".into(), text(100))));
    assert_eq!(harness.cluster.status(&traces()).unwrap().pods.outdated, 1);
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_a_thousand_pods_do_not_delay_the_status() {
    let pods: Vec<_> = (0..1000).map(|n| injected_pod(&format!("p{n}"), "web-1", "h1")).collect();
    let harness = Harness::with_leader(&[snapshot()], &pods).await;
    harness.cluster.writes();

    harness.cluster.put_trace_buffer(with_limits(40));
    seconds(60).await;

    let writes = harness.cluster.writes();
    let status =
        writes.iter().position(|write| matches!(write, RecordedWrite::Status(..))).unwrap();
    assert!(status <= 64, "the status is write number {status}");
    let limits = writes.iter().filter(|write| matches!(write, RecordedWrite::Limits(..))).count();
    assert_eq!(limits, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_a_conflict_does_not_delay_the_others() {
    let pods = [injected_pod("a", "web-1", "h1"), injected_pod("b", "web-1", "h1")];
    let harness = Harness::with_leader(&[snapshot()], &pods).await;
    harness.cluster.writes();

    harness.cluster.fail_next_writes(&[ClusterError::Conflict]);
    harness.cluster.put_trace_buffer(with_limits(40));
    seconds(10).await;

    let writes = harness.cluster.writes();
    assert_eq!(writes[0], RecordedWrite::Limits("b".into(), text(40)));
    assert!(matches!(&writes[1], RecordedWrite::Status(..)));
    assert!(writes.contains(&RecordedWrite::Limits("a".into(), text(40))));
}

#[tokio::test(start_paused = true)]
async fn pods_whose_limits_are_rejected_delay_neither_others_nor_the_status() {
    let pods: Vec<_> = (0..200).map(|n| injected_pod(&format!("p{n:03}"), "web-1", "h1")).collect();
    let harness = Harness::with_leader(&[snapshot()], &pods).await;
    for n in 0..100 {
        harness.cluster.reject_limits(&format!("p{n:03}"));
    }
    harness.cluster.writes();

    harness.cluster.put_trace_buffer(with_limits(40));
    seconds(5).await;
    let status = harness.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "Reconciling").status, ConditionStatus::True);
    seconds(600).await;

    let writes = harness.cluster.writes();
    let limits = writes.iter().filter(|write| matches!(write, RecordedWrite::Limits(..))).count();
    assert_eq!(limits, 100);
    let status = harness.cluster.status(&traces()).unwrap();
    assert!(status.conditions.iter().all(|one| one.type_ != "Reconciling"), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_namespace_that_is_not_allowed_are_not_counted() {
    let foreign = PodSnapshot { key: key("cart", "e"), ..injected_pod("e", "web-1", "h1") };
    let allowed_namespaces = AllowedNamespaces::Same;
    let own = TraceBufferSnapshot { allowed_namespaces: allowed_namespaces.clone(), ..snapshot() };
    let harness = Harness::with_leader(&[own], &[foreign, injected_pod("a", "web-1", "h1")]).await;
    assert_eq!(harness.cluster.status(&traces()).unwrap().pods.total, 1);
    harness.cluster.writes();

    harness.cluster.put_trace_buffer(TraceBufferSnapshot { allowed_namespaces, ..with_limits(40) });
    seconds(60).await;

    let writes = harness.cluster.writes();
    let limits = writes.iter().filter(|write| matches!(write, RecordedWrite::Limits(..)));
    assert_eq!(limits.collect::<Vec<_>>(), [&RecordedWrite::Limits("a".into(), text(40))]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_retried_with_growing_delays() {
    let harness = Harness::with_leader(&[], &[]).await;
    harness.cluster.outcomes();

    harness.cluster.fail_next_writes(&vec![ClusterError::Failed("down".into()); 3]);
    harness.cluster.put_trace_buffer(snapshot());
    seconds(60).await;

    let failed = harness.cluster.outcomes();
    let failed = failed.iter().filter(|outcome| **outcome == ReconcileOutcome::Failed).count();
    assert_eq!(failed, 3);
    assert!(harness.cluster.status(&traces()).is_some());
}

#[tokio::test(start_paused = true)]
async fn references_are_looked_up_in_the_consenting_namespaces_of_the_pods() {
    let referring = TraceBufferSnapshot { references: vec![secret("token")], ..snapshot() };
    let elsewhere = PodSnapshot { key: key("cart", "e"), ..injected_pod("e", "web-1", "h1") };
    let harness = Harness::new();
    harness.cluster.set_lookup("shop", "token", LookupOutcome::Found);
    harness.cluster.set_lookup("cart", "token", LookupOutcome::NotFound);
    harness.cluster.put_trace_buffer(referring);
    harness.lead().await;
    let status = harness.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").status, ConditionStatus::True);

    harness.cluster.put_pod(elsewhere);
    seconds(5).await;
    let status = harness.cluster.status(&traces()).unwrap();
    assert_eq!(
        condition(&status, "ResolvedRefs").status,
        ConditionStatus::True,
        "references are not looked up in cart"
    );

    let trace_buffer = Some("shop/traces".into());
    harness
        .cluster
        .set_namespace(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown("cart") });
    seconds(5).await;
    let status = harness.cluster.status(&traces()).unwrap();
    let resolved = condition(&status, "ResolvedRefs");
    assert_eq!(resolved.status, ConditionStatus::False);
    assert_eq!(resolved.message, "spec.field: namespace cart has no Secret token");
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_looked_up_until_it_exists() {
    let harness = Harness::new();
    harness.cluster.set_lookup("shop", "token", LookupOutcome::NotFound);
    harness
        .cluster
        .put_trace_buffer(TraceBufferSnapshot { references: vec![secret("token")], ..snapshot() });
    harness.lead().await;
    let status = harness.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").status, ConditionStatus::False);

    harness.cluster.set_lookup("shop", "token", LookupOutcome::Found);
    seconds(35).await;

    let status = harness.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").status, ConditionStatus::True);
}

#[tokio::test(start_paused = true)]
async fn changes_of_pods_do_not_cause_reference_lookups() {
    let harness = Harness::new();
    harness.cluster.set_lookup("shop", "token", LookupOutcome::Forbidden);
    harness
        .cluster
        .put_trace_buffer(TraceBufferSnapshot { references: vec![secret("token")], ..snapshot() });
    harness.lead().await;
    let status = harness.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").status, ConditionStatus::Unknown);
    let before = harness.cluster.reads().0;

    for n in 0..15 {
        harness.cluster.put_pod(injected_pod(&format!("p{n}"), "web-1", "h1"));
        seconds(1).await;
    }

    assert!(harness.cluster.reads().0 <= before + 1);
}
