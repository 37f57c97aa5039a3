use std::time::Duration;

use tokio::time::sleep;

use crate::application::operator::reconcile::fakes::{
    Harness, RecordedWrite, injected_pod, key, limits, missing_pod, skipped_pod, snapshot,
};
use crate::domain::operator::injection::consent::AllowedNamespaces;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::skip::SkipReason;
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    DesiredSidecar, TraceBufferSnapshot,
};
use crate::ports::operator::cluster::ClusterError;
use crate::ports::operator::pods::ChangeHandler;

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

fn event(workload: &str, reason: &'static str, cause: &str) -> (String, &'static str, String) {
    (workload.to_owned(), reason, cause.to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_told_once_of_each_cause_however_many_pods() {
    let pods = [
        missing_pod("a", "web-1"),
        missing_pod("b", "web-1"),
        missing_pod("c", "web-2"),
        skipped_pod("d", "db-1", SkipReason::PortClash),
        skipped_pod("e", "db-1", SkipReason::HostNetwork),
        skipped_pod("f", "db-1", SkipReason::OptedOut),
    ];

    let stage = Harness::with_leader(&[snapshot()], &pods).await;
    seconds(1200).await;

    let expected = [
        event("db", "InjectionSkipped", "HostNetwork"),
        event("db", "InjectionSkipped", "PortClash"),
        event("web", "MissingSidecar", "WebhookNotCalled"),
    ];
    assert_eq!(stage.cluster.events(), expected);
    let by_cause = stage.cluster.missing_pods_by_reason();
    let expected = [("HostNetwork", 1), ("PortClash", 1), ("WebhookNotCalled", 3)];
    assert_eq!(by_cause.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_promised_a_change_that_the_namespace_may_no_longer_have() {
    let foreign = PodSnapshot { key: key("cart", "e"), ..injected_pod("e", "web-1", "h0") };
    let outdated = |told: Vec<(String, &'static str, String)>| {
        told.iter().filter(|(_, reason, _)| *reason == "Outdated").count()
    };
    let stage = Harness::with_leader(&[snapshot()], std::slice::from_ref(&foreign)).await;
    seconds(600).await;
    assert_eq!(outdated(stage.cluster.events()), 1);

    let own = TraceBufferSnapshot { allowed_namespaces: AllowedNamespaces::Same, ..snapshot() };
    let stage = Harness::with_leader(&[own], &[foreign]).await;
    seconds(600).await;
    assert_eq!(outdated(stage.cluster.events()), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_for_an_owner_whose_uid_a_pod_of_another_namespace_has_made_up() {
    let forged = PodSnapshot { key: key("cart", "f"), ..missing_pod("f", "web-1") };
    let stage = Harness::with_leader(&[snapshot()], &[forged]).await;
    seconds(10).await;
    assert_eq!(stage.cluster.events().len(), 1);

    stage.cluster.put_pod(missing_pod("a", "web-1"));
    seconds(10).await;

    assert_eq!(stage.cluster.events(), [event("web", "MissingSidecar", "WebhookNotCalled")]);
}

#[tokio::test(start_paused = true)]
async fn a_bare_pod_is_told_of_after_some_seconds_only() {
    let stage = Harness::with_leader(&[snapshot()], &[]).await;

    stage.cluster.put_pod(missing_pod("a", "web-1"));
    seconds(2).await;
    assert_eq!(stage.cluster.events(), []);
    seconds(2).await;

    assert_eq!(stage.cluster.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bare_pod_that_is_gone_again_is_not_worth_a_word() {
    let stage = Harness::with_leader(&[snapshot()], &[]).await;

    stage.cluster.put_pod(missing_pod("a", "web-1"));
    seconds(1).await;
    stage.cluster.delete_pod("a");
    seconds(10).await;

    assert_eq!(stage.cluster.events(), []);
    assert!(stage.cluster.missing_pods_by_reason().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_asks_finds_its_bare_pods() {
    let silent = PodSnapshot { inject: None, ..missing_pod("a", "web-1") };
    let stage = Harness::with_leader(&[snapshot()], &[silent]).await;
    assert_eq!(stage.cluster.events(), []);

    stage.cluster.opt_in_namespace("shop");
    seconds(10).await;

    assert_eq!(stage.cluster.events(), [event("web", "MissingSidecar", "WebhookNotCalled")]);
}

#[tokio::test(start_paused = true)]
async fn pods_of_excluded_namespaces_are_told_so_as_the_webhook_is_never_asked() {
    let stage = Harness::new();
    stage
        .cluster
        .put_pod(PodSnapshot { key: key("kube-system", "a"), ..missing_pod("a", "dns-1") });
    stage.lead().await;

    assert_eq!(stage.cluster.events(), [event("dns", "InjectionSkipped", "ExcludedNamespace")]);
    assert!(stage.cluster.missing_pods_by_reason().is_empty(), "nothing is missing there");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_asks_where_there_is_no_trace_buffer_is_told_of_too() {
    let pods = [
        skipped_pod("a", "web-1", SkipReason::NoTraceBuffer),
        PodSnapshot {
            inject: Some("?".into()),
            ..skipped_pod("b", "db-1", SkipReason::InvalidAnnotation)
        },
    ];

    let stage = Harness::with_leader(&[], &pods).await;

    let expected = [
        event("db", "InjectionSkipped", "InvalidAnnotation"),
        event("web", "InjectionSkipped", "NoTraceBuffer"),
    ];
    assert_eq!(stage.cluster.events(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_first_injected_pod_of_an_owner_is_told_of_but_not_those_of_before() {
    let stage = Harness::with_leader(&[snapshot()], &[injected_pod("a", "old-1", "h1")]).await;
    assert_eq!(stage.cluster.events(), []);

    stage.cluster.put_pod(injected_pod("b", "new-1", "h1"));
    stage.cluster.put_pod(injected_pod("c", "new-1", "h1"));
    stage.cluster.put_pod(injected_pod("d", "old-1", "h1"));
    seconds(10).await;

    assert_eq!(stage.cluster.events(), [event("new", "Injected", "h1")]);
}

#[tokio::test(start_paused = true)]
async fn owners_of_outdated_pods_are_told_once_for_each_change() {
    let stage = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;

    for hash in ["h2", "h3"] {
        let needs = DesiredSidecar { hash: hash.into(), limits: limits(100) };
        stage.cluster.put_trace_buffer(TraceBufferSnapshot { sidecar: Ok(needs), ..snapshot() });
        seconds(30).await;
        let cause = format!("Changed-{hash}");
        assert_eq!(stage.cluster.events(), [event("web", "Outdated", &cause)]);
    }
}

#[tokio::test(start_paused = true)]
async fn owners_are_told_that_their_trace_buffer_is_deleted_and_pods_are_left_alone() {
    let pods = [injected_pod("a", "web-1", "h1"), injected_pod("b", "web-1", "h1")];
    let stage = Harness::with_leader(&[snapshot()], &pods).await;
    stage.cluster.writes();

    stage.cluster.delete_trace_buffer(&key("shop", "traces"));
    seconds(3).await;
    assert_eq!(stage.cluster.writes(), [], "it may come back at once");
    seconds(1200).await;

    let only = RecordedWrite::Event("web".into(), "TraceBufferDeleted", "shop/traces".into());
    assert_eq!(stage.cluster.writes(), [only]);
    assert_eq!(stage.cluster.counts(&key("shop", "traces")), None);
}

#[tokio::test(start_paused = true)]
async fn a_trace_buffer_deleted_while_nobody_led_is_told_of_by_the_next_leader() {
    let stage = Harness::with_leader(&[], &[injected_pod("a", "web-1", "h1")]).await;

    assert_eq!(stage.cluster.events(), [event("web", "TraceBufferDeleted", "shop/traces")]);
}

#[tokio::test(start_paused = true)]
async fn a_trace_buffer_that_is_made_anew_at_once_is_no_deletion() {
    let stage = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;

    stage.cluster.delete_trace_buffer(&key("shop", "traces"));
    seconds(3).await;
    stage.cluster.put_trace_buffer(TraceBufferSnapshot { uid: "u2".into(), ..snapshot() });
    seconds(600).await;

    assert_eq!(stage.cluster.events(), []);
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_could_not_be_given_is_given_later() {
    let stage = Harness::with_leader(&[], &[]).await;

    stage.cluster.fail_next_writes(&[
        ClusterError::Failed("down".into()),
        ClusterError::Failed("down".into()),
    ]);
    stage.cluster.put_pod(skipped_pod("a", "web-1", SkipReason::NoTraceBuffer));
    seconds(30).await;

    assert_eq!(stage.cluster.events(), [event("web", "InjectionSkipped", "NoTraceBuffer")]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_notices_is_spread_over_time() {
    let stage = Harness::with_leader(&[], &[]).await;
    let owner = |n| format!("w{n}-1");

    for n in 0..200 {
        stage.cluster.put_pod(skipped_pod(&format!("p{n}"), &owner(n), SkipReason::NoTraceBuffer));
    }
    sleep(Duration::from_millis(3500)).await;
    assert_eq!(stage.cluster.events().len(), 50);
    seconds(10).await;

    assert_eq!(stage.cluster.events().len(), 150);
}

#[tokio::test(start_paused = true)]
async fn the_many_owners_of_a_deleted_trace_buffer_are_told_over_time() {
    let owner = |n| format!("w{n}-1");
    let pods: Vec<_> = (0..200).map(|n| injected_pod(&format!("p{n}"), &owner(n), "h1")).collect();
    let stage = Harness::with_leader(&[snapshot()], &pods).await;
    stage.cluster.writes();

    stage.cluster.delete_trace_buffer(&key("shop", "traces"));
    sleep(Duration::from_millis(5500)).await;
    assert_eq!(stage.cluster.events().len(), 50);
    seconds(30).await;

    assert_eq!(stage.cluster.events().len(), 150);
}

#[tokio::test(start_paused = true)]
async fn new_pods_of_a_cron_job_say_nothing_new_within_an_hour() {
    let stage = Harness::with_leader(&[], &[]).await;

    for minute in 0..61 {
        let name = format!("p{minute}");
        let owner = format!("cron-{minute}");
        stage.cluster.put_pod(skipped_pod(&name, &owner, SkipReason::NoTraceBuffer));
        seconds(30).await;
        stage.cluster.delete_pod(&name);
        seconds(30).await;
    }
    stage.cluster.queue.resync();
    seconds(10).await;

    assert_eq!(stage.cluster.events().len(), 2);
}
