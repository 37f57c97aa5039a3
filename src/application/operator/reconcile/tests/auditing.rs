use std::time::Duration;

use tokio::time::sleep;

use crate::application::operator::reconcile::fakes::{
    Harness, RecordedWrite, injected_pod, key, limits, missing_pod, seconds, skipped_pod, snapshot,
};
use crate::domain::operator::injection::consent::AllowedNamespaces;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::skip::SkipReason;
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    DesiredSidecar, TraceBufferSnapshot,
};
use crate::ports::operator::cluster::ClusterError;
use crate::ports::operator::pods::ChangeHandler;

fn event(workload: &str, reason: &'static str, dedup_key: &str) -> (String, &'static str, String) {
    (workload.to_owned(), reason, dedup_key.to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_owner_gets_one_event_for_each_reason_however_many_pods_it_has() {
    let pods = [
        missing_pod("a", "web-1"),
        missing_pod("b", "web-1"),
        missing_pod("c", "web-2"),
        skipped_pod("d", "db-1", SkipReason::PortClash),
        skipped_pod("e", "db-1", SkipReason::HostNetwork),
        skipped_pod("f", "db-1", SkipReason::OptedOut),
    ];

    let harness = Harness::with_leader(&[snapshot()], &pods).await;
    seconds(1200).await;

    let expected = [
        event("db", "InjectionSkipped", "HostNetwork"),
        event("db", "InjectionSkipped", "PortClash"),
        event("web", "MissingSidecar", "WebhookNotCalled"),
    ];
    assert_eq!(harness.cluster.events(), expected);
    let by_reason = harness.cluster.missing_pods_by_reason();
    let expected = [("HostNetwork", 1), ("PortClash", 1), ("WebhookNotCalled", 3)];
    assert_eq!(by_reason.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn no_outdated_event_is_published_in_a_namespace_that_is_no_longer_allowed() {
    let foreign = PodSnapshot { key: key("cart", "e"), ..injected_pod("e", "web-1", "h0") };
    let outdated = |events: Vec<(String, &'static str, String)>| {
        events.iter().filter(|(_, reason, _)| *reason == "Outdated").count()
    };
    let harness = Harness::with_leader(&[snapshot()], std::slice::from_ref(&foreign)).await;
    seconds(600).await;
    assert_eq!(outdated(harness.cluster.events()), 1);

    let own = TraceBufferSnapshot { allowed_namespaces: AllowedNamespaces::Same, ..snapshot() };
    let harness = Harness::with_leader(&[own], &[foreign]).await;
    seconds(600).await;
    assert_eq!(outdated(harness.cluster.events()), 0);
}

#[tokio::test(start_paused = true)]
async fn an_owner_uid_forged_in_another_namespace_suppresses_no_event() {
    let forged = PodSnapshot { key: key("cart", "f"), ..missing_pod("f", "web-1") };
    let harness = Harness::with_leader(&[snapshot()], &[forged]).await;
    seconds(10).await;
    assert_eq!(harness.cluster.events().len(), 1);

    harness.cluster.put_pod(missing_pod("a", "web-1"));
    seconds(10).await;

    assert_eq!(harness.cluster.events(), [event("web", "MissingSidecar", "WebhookNotCalled")]);
}

#[tokio::test(start_paused = true)]
async fn the_event_for_a_missing_sidecar_is_published_after_some_seconds_only() {
    let harness = Harness::with_leader(&[snapshot()], &[]).await;

    harness.cluster.put_pod(missing_pod("a", "web-1"));
    seconds(2).await;
    assert_eq!(harness.cluster.events(), []);
    seconds(2).await;

    assert_eq!(harness.cluster.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_a_sidecar_that_is_deleted_soon_causes_no_event() {
    let harness = Harness::with_leader(&[snapshot()], &[]).await;

    harness.cluster.put_pod(missing_pod("a", "web-1"));
    seconds(1).await;
    harness.cluster.delete_pod("a");
    seconds(10).await;

    assert_eq!(harness.cluster.events(), []);
    assert!(harness.cluster.missing_pods_by_reason().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_pods_of_a_namespace_that_opts_in_are_missing_their_sidecars() {
    let silent = PodSnapshot { inject: None, ..missing_pod("a", "web-1") };
    let harness = Harness::with_leader(&[snapshot()], &[silent]).await;
    assert_eq!(harness.cluster.events(), []);

    harness.cluster.opt_in_namespace("shop");
    seconds(10).await;

    assert_eq!(harness.cluster.events(), [event("web", "MissingSidecar", "WebhookNotCalled")]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_in_an_excluded_namespace_gets_an_event_although_the_webhook_is_not_called() {
    let harness = Harness::new();
    harness
        .cluster
        .put_pod(PodSnapshot { key: key("kube-system", "a"), ..missing_pod("a", "dns-1") });
    harness.lead().await;

    assert_eq!(harness.cluster.events(), [event("dns", "InjectionSkipped", "ExcludedNamespace")]);
    assert!(harness.cluster.missing_pods_by_reason().is_empty(), "nothing is missing there");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_uses_no_trace_buffer_gets_an_event_too() {
    let pods = [
        skipped_pod("a", "web-1", SkipReason::NoTraceBuffer),
        PodSnapshot {
            inject: Some("?".into()),
            ..skipped_pod("b", "db-1", SkipReason::InvalidAnnotation)
        },
    ];

    let harness = Harness::with_leader(&[], &pods).await;

    let expected = [
        event("db", "InjectionSkipped", "InvalidAnnotation"),
        event("web", "InjectionSkipped", "NoTraceBuffer"),
    ];
    assert_eq!(harness.cluster.events(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_first_injected_pod_of_an_owner_causes_an_event_but_earlier_pods_do_not() {
    let harness = Harness::with_leader(&[snapshot()], &[injected_pod("a", "old-1", "h1")]).await;
    assert_eq!(harness.cluster.events(), []);

    harness.cluster.put_pod(injected_pod("b", "new-1", "h1"));
    harness.cluster.put_pod(injected_pod("c", "new-1", "h1"));
    harness.cluster.put_pod(injected_pod("d", "old-1", "h1"));
    seconds(10).await;

    assert_eq!(harness.cluster.events(), [event("new", "Injected", "h1")]);
}

#[tokio::test(start_paused = true)]
async fn owners_of_outdated_pods_get_one_event_for_each_change() {
    let harness = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;

    for hash in ["h2", "h3"] {
        let desired = DesiredSidecar { hash: hash.into(), limits: limits(100) };
        harness
            .cluster
            .put_trace_buffer(TraceBufferSnapshot { sidecar: Ok(desired), ..snapshot() });
        seconds(30).await;
        let dedup_key = format!("Changed-{hash}");
        assert_eq!(harness.cluster.events(), [event("web", "Outdated", &dedup_key)]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_deletion_of_a_trace_buffer_causes_an_event_and_no_change_of_pods() {
    let pods = [injected_pod("a", "web-1", "h1"), injected_pod("b", "web-1", "h1")];
    let harness = Harness::with_leader(&[snapshot()], &pods).await;
    harness.cluster.writes();

    harness.cluster.delete_trace_buffer(&key("shop", "traces"));
    seconds(3).await;
    assert_eq!(harness.cluster.writes(), [], "it may be created again soon");
    seconds(1200).await;

    let only = RecordedWrite::Event("web".into(), "TraceBufferDeleted", "shop/traces".into());
    assert_eq!(harness.cluster.writes(), [only]);
    assert_eq!(harness.cluster.counts(&key("shop", "traces")), None);
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_publishes_the_deletion_of_a_trace_buffer() {
    let harness = Harness::with_leader(&[], &[injected_pod("a", "web-1", "h1")]).await;

    assert_eq!(harness.cluster.events(), [event("web", "TraceBufferDeleted", "shop/traces")]);
}

#[tokio::test(start_paused = true)]
async fn a_trace_buffer_that_is_created_again_soon_counts_as_not_deleted() {
    let harness = Harness::with_leader(&[snapshot()], &[injected_pod("a", "web-1", "h1")]).await;

    harness.cluster.delete_trace_buffer(&key("shop", "traces"));
    seconds(3).await;
    harness.cluster.put_trace_buffer(TraceBufferSnapshot { uid: "u2".into(), ..snapshot() });
    seconds(600).await;

    assert_eq!(harness.cluster.events(), []);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_could_not_be_published_is_published_later() {
    let harness = Harness::with_leader(&[], &[]).await;

    harness.cluster.fail_next_writes(&[
        ClusterError::Failed("down".into()),
        ClusterError::Failed("down".into()),
    ]);
    harness.cluster.put_pod(skipped_pod("a", "web-1", SkipReason::NoTraceBuffer));
    seconds(30).await;

    assert_eq!(harness.cluster.events(), [event("web", "InjectionSkipped", "NoTraceBuffer")]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_events_is_spread_over_time() {
    let harness = Harness::with_leader(&[], &[]).await;
    let owner = |n| format!("w{n}-1");

    for n in 0..200 {
        harness.cluster.put_pod(skipped_pod(
            &format!("p{n}"),
            &owner(n),
            SkipReason::NoTraceBuffer,
        ));
    }
    sleep(Duration::from_millis(3500)).await;
    assert_eq!(harness.cluster.events().len(), 50);
    seconds(10).await;

    assert_eq!(harness.cluster.events().len(), 150);
}

#[tokio::test(start_paused = true)]
async fn the_events_for_many_owners_of_a_deleted_trace_buffer_are_spread_over_time() {
    let owner = |n| format!("w{n}-1");
    let pods: Vec<_> = (0..200).map(|n| injected_pod(&format!("p{n}"), &owner(n), "h1")).collect();
    let harness = Harness::with_leader(&[snapshot()], &pods).await;
    harness.cluster.writes();

    harness.cluster.delete_trace_buffer(&key("shop", "traces"));
    sleep(Duration::from_millis(5500)).await;
    assert_eq!(harness.cluster.events().len(), 50);
    seconds(30).await;

    assert_eq!(harness.cluster.events().len(), 150);
}

#[tokio::test(start_paused = true)]
async fn new_pods_of_a_cron_job_cause_no_new_event_within_an_hour() {
    let harness = Harness::with_leader(&[], &[]).await;

    for minute in 0..61 {
        let name = format!("p{minute}");
        let owner = format!("cron-{minute}");
        harness.cluster.put_pod(skipped_pod(&name, &owner, SkipReason::NoTraceBuffer));
        seconds(30).await;
        harness.cluster.delete_pod(&name);
        seconds(30).await;
    }
    harness.cluster.queue.resync();
    seconds(10).await;

    assert_eq!(harness.cluster.events().len(), 2);
}
