use std::time::Duration;

use tokio::time::sleep;

use crate::application::operator::reconcile::fakes::{
    Harness, RecordedWrite, injected_pod, key, limits, missing_pod, secret, skipped_pod, snapshot,
    text,
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
    let needs = DesiredSidecar { hash: "h1".into(), limits: limits(max_bytes) };
    TraceBufferSnapshot { sidecar: Ok(needs), generation: 2, ..snapshot() }
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_status_counts_the_pods_that_use_it_or_should() {
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

    let stage = Harness::with_leader(&[snapshot()], &pods).await;

    let status = stage.cluster.status(&traces()).unwrap();
    let counts = PodCounts { total: 5, current: 2, outdated: 1, missing: 2 };
    assert_eq!(status.pods, counts);
    assert_eq!(condition(&status, "Ready").status, ConditionStatus::True);
    assert_eq!(stage.cluster.counts(&traces()), Some(counts));
}

#[tokio::test(start_paused = true)]
async fn pods_that_their_namespace_or_the_operator_sends_elsewhere_are_counted_there() {
    let default = key("platform", "all");
    let of =
        |namespace: &str| PodSnapshot { key: key(namespace, "a"), ..missing_pod("a", "web-1") };
    let platforms = TraceBufferSnapshot { key: default.clone(), ..snapshot() };
    let stage =
        Harness::with_leader(&[snapshot(), platforms], &[of("cart"), of("bank"), of("shop")]).await;
    let missing = |of: &ObjectKey| stage.cluster.counts(of).unwrap().missing;
    assert_eq!((missing(&traces()), missing(&default)), (1, 2));

    let trace_buffer = Some("shop/traces".into());
    stage.cluster.set_namespace(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown("cart") });
    seconds(5).await;

    assert_eq!((missing(&traces()), missing(&default)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn another_default_makes_no_running_pod_outdated() {
    let stage = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;

    let trace_buffer = Some("platform/all".into());
    stage.cluster.set_namespace(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown("shop") });
    seconds(10).await;

    let counts = stage.cluster.counts(&traces()).unwrap();
    assert_eq!((counts.total, counts.current), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_status_is_true_within_5_s_of_a_burst_of_pods_and_written_once_or_twice() {
    let stage = Harness::with_leader(&[snapshot()], &[]).await;
    stage.cluster.writes();

    for n in 0..1000 {
        stage.cluster.put_pod(injected_pod(&format!("p{n}"), "web-1", "h1"));
        sleep(Duration::from_millis(1)).await;
    }
    seconds(4).await;

    let written = stage.cluster.writes();
    let statuses =
        written.iter().filter(|write| matches!(write, RecordedWrite::Status(..))).count();
    assert!((1..=3).contains(&statuses), "{statuses} writes");
    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.current, 1000);
}

#[tokio::test(start_paused = true)]
async fn what_is_true_already_is_not_written_again() {
    let stage = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;
    assert_eq!(stage.cluster.writes().len(), 1);

    stage.cluster.queue.resync();
    seconds(3600).await;

    assert_eq!(stage.cluster.writes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_somebody_broke_is_mended_at_the_next_resync() {
    let stage = Harness::with_leader(&[snapshot()], &[]).await;
    stage.cluster.writes();

    stage.cluster.put_trace_buffer(snapshot());
    seconds(10).await;

    assert!(matches!(stage.cluster.writes().as_slice(), [RecordedWrite::Status(..)]));
}

#[tokio::test(start_paused = true)]
async fn a_second_trace_buffer_takes_the_pods_that_name_none() {
    let stage = Harness::with_leader(&[snapshot()], &[missing_pod("a", "web-1")]).await;
    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.missing, 1);

    stage
        .cluster
        .put_trace_buffer(TraceBufferSnapshot { key: key("shop", "default"), ..snapshot() });
    seconds(3).await;

    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.missing, 0);
    assert_eq!(stage.cluster.status(&key("shop", "default")).unwrap().pods.missing, 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_is_no_longer_counted() {
    let stage = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;

    stage.cluster.delete_pod("a");
    seconds(3).await;

    assert_eq!(stage.cluster.status(&traces()).unwrap().pods, PodCounts::default());
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_told_and_running_pods_left_as_they_are() {
    let stage = Harness::with_leader(&[with_limits(50)], &[injected_pod("a", "web-1", "h1")]).await;
    stage.cluster.writes();

    let wrong = TraceBufferSnapshot { sidecar: Err("spec.a is wrong".into()), ..snapshot() };
    stage.cluster.put_trace_buffer(wrong);
    seconds(3).await;

    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "Accepted").message, "spec.a is wrong");
    assert_eq!(status.pods.current, 1);
    assert!(matches!(stage.cluster.writes().as_slice(), [RecordedWrite::Status(..)]));
}

#[tokio::test(start_paused = true)]
async fn running_pods_follow_new_limits_up_to_the_memory_they_were_made_for() {
    let stage = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;
    stage.cluster.writes();

    stage.cluster.put_trace_buffer(with_limits(40));
    seconds(3).await;
    assert_eq!(stage.cluster.writes()[0], RecordedWrite::Limits("a".into(), text(40)));
    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.current, 1);

    stage.cluster.put_trace_buffer(with_limits(1000));
    seconds(3).await;
    assert!(stage.cluster.writes().contains(&RecordedWrite::Limits("a".into(), text(100))));
    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.outdated, 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_limits_do_not_keep_the_status_waiting() {
    let pods: Vec<_> = (0..1000).map(|n| injected_pod(&format!("p{n}"), "web-1", "h1")).collect();
    let stage = Harness::with_leader(&[snapshot()], &pods).await;
    stage.cluster.writes();

    stage.cluster.put_trace_buffer(with_limits(40));
    seconds(60).await;

    let writes = stage.cluster.writes();
    let status =
        writes.iter().position(|write| matches!(write, RecordedWrite::Status(..))).unwrap();
    assert!(status <= 64, "the status is write {status}");
    let limits = writes.iter().filter(|write| matches!(write, RecordedWrite::Limits(..))).count();
    assert_eq!(limits, 1000);
}

#[tokio::test(start_paused = true)]
async fn one_pod_that_changed_meanwhile_keeps_no_other_waiting() {
    let pods = [injected_pod("a", "web-1", "h1"), injected_pod("b", "web-1", "h1")];
    let stage = Harness::with_leader(&[snapshot()], &pods).await;
    stage.cluster.writes();

    stage.cluster.fail_next_writes(&[ClusterError::Conflict]);
    stage.cluster.put_trace_buffer(with_limits(40));
    seconds(10).await;

    let writes = stage.cluster.writes();
    assert_eq!(writes[0], RecordedWrite::Limits("b".into(), text(40)));
    assert!(matches!(&writes[1], RecordedWrite::Status(..)));
    assert!(writes.contains(&RecordedWrite::Limits("a".into(), text(40))));
}

#[tokio::test(start_paused = true)]
async fn pods_that_refuse_their_limits_keep_neither_others_nor_the_status_waiting() {
    let pods: Vec<_> = (0..200).map(|n| injected_pod(&format!("p{n:03}"), "web-1", "h1")).collect();
    let stage = Harness::with_leader(&[snapshot()], &pods).await;
    for n in 0..100 {
        stage.cluster.reject_limits(&format!("p{n:03}"));
    }
    stage.cluster.writes();

    stage.cluster.put_trace_buffer(with_limits(40));
    seconds(5).await;
    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "Reconciling").status, ConditionStatus::True);
    seconds(600).await;

    let writes = stage.cluster.writes();
    let limits = writes.iter().filter(|write| matches!(write, RecordedWrite::Limits(..))).count();
    assert_eq!(limits, 100);
    let status = stage.cluster.status(&traces()).unwrap();
    assert!(status.conditions.iter().all(|one| one.type_ != "Reconciling"), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_namespace_that_it_does_not_allow_are_none_of_its_own() {
    let foreign = PodSnapshot { key: key("cart", "e"), ..injected_pod("e", "web-1", "h1") };
    let allowed_namespaces = AllowedNamespaces::Same;
    let own = TraceBufferSnapshot { allowed_namespaces: allowed_namespaces.clone(), ..snapshot() };
    let stage = Harness::with_leader(&[own], &[foreign, injected_pod("a", "web-1", "h1")]).await;
    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.total, 1);
    stage.cluster.writes();

    stage.cluster.put_trace_buffer(TraceBufferSnapshot { allowed_namespaces, ..with_limits(40) });
    seconds(60).await;

    let writes = stage.cluster.writes();
    let limits = writes.iter().filter(|write| matches!(write, RecordedWrite::Limits(..)));
    assert_eq!(limits.collect::<Vec<_>>(), [&RecordedWrite::Limits("a".into(), text(40))]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_tried_again_ever_more_slowly() {
    let stage = Harness::with_leader(&[], &[]).await;
    stage.cluster.outcomes();

    stage.cluster.fail_next_writes(&vec![ClusterError::Failed("down".into()); 3]);
    stage.cluster.put_trace_buffer(snapshot());
    seconds(60).await;

    let failed = stage.cluster.outcomes();
    let failed = failed.iter().filter(|outcome| **outcome == ReconcileOutcome::Failed).count();
    assert_eq!(failed, 3);
    assert!(stage.cluster.status(&traces()).is_some());
}

#[tokio::test(start_paused = true)]
async fn references_are_looked_for_in_the_namespaces_of_the_pods_that_consent() {
    let referring = TraceBufferSnapshot { references: vec![secret("token")], ..snapshot() };
    let elsewhere = PodSnapshot { key: key("cart", "e"), ..injected_pod("e", "web-1", "h1") };
    let stage = Harness::new();
    stage.cluster.set_lookup("shop", "token", LookupOutcome::Found);
    stage.cluster.set_lookup("cart", "token", LookupOutcome::NotFound);
    stage.cluster.put_trace_buffer(referring);
    stage.lead().await;
    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").status, ConditionStatus::True);

    stage.cluster.put_pod(elsewhere);
    seconds(5).await;
    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(
        condition(&status, "ResolvedRefs").status,
        ConditionStatus::True,
        "nobody looks into cart"
    );

    let trace_buffer = Some("shop/traces".into());
    stage.cluster.set_namespace(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown("cart") });
    seconds(5).await;
    let status = stage.cluster.status(&traces()).unwrap();
    let resolved = condition(&status, "ResolvedRefs");
    assert_eq!(resolved.status, ConditionStatus::False);
    assert_eq!(resolved.message, "spec.field: namespace cart has no Secret token");
}

#[tokio::test(start_paused = true)]
async fn an_absent_secret_is_looked_for_until_it_is_there() {
    let stage = Harness::new();
    stage.cluster.set_lookup("shop", "token", LookupOutcome::NotFound);
    stage
        .cluster
        .put_trace_buffer(TraceBufferSnapshot { references: vec![secret("token")], ..snapshot() });
    stage.lead().await;
    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").status, ConditionStatus::False);

    stage.cluster.set_lookup("shop", "token", LookupOutcome::Found);
    seconds(35).await;

    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").status, ConditionStatus::True);
}

#[tokio::test(start_paused = true)]
async fn pods_that_come_and_go_do_not_make_references_be_looked_up_each_time() {
    let stage = Harness::new();
    stage.cluster.set_lookup("shop", "token", LookupOutcome::Forbidden);
    stage
        .cluster
        .put_trace_buffer(TraceBufferSnapshot { references: vec![secret("token")], ..snapshot() });
    stage.lead().await;
    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").status, ConditionStatus::Unknown);
    let before = stage.cluster.reads().0;

    for n in 0..15 {
        stage.cluster.put_pod(injected_pod(&format!("p{n}"), "web-1", "h1"));
        seconds(1).await;
    }

    assert!(stage.cluster.reads().0 <= before + 1);
}
