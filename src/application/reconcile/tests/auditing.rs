use std::time::Duration;

use tokio::time::sleep;

use crate::application::reconcile::fakes::{
    Stage, Write, bare, declared, injected, key, limits, skipped,
};
use crate::domain::injection::consent::AllowedNamespaces;
use crate::domain::injection::pod_record::PodRecord;
use crate::domain::injection::skip::SkipReason;
use crate::domain::operating::declared::{Declared, Needs};
use crate::ports::cluster::ClusterError;
use crate::ports::pods::Changes;

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

fn told(workload: &str, reason: &'static str, cause: &str) -> (String, &'static str, String) {
    (workload.to_owned(), reason, cause.to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_told_once_of_each_cause_however_many_pods() {
    let pods = [
        bare("a", "web-1"),
        bare("b", "web-1"),
        bare("c", "web-2"),
        skipped("d", "db-1", SkipReason::PortClash),
        skipped("e", "db-1", SkipReason::HostNetwork),
        skipped("f", "db-1", SkipReason::OptedOut),
    ];

    let stage = Stage::led(&[declared()], &pods).await;
    seconds(1200).await;

    let expected = [
        told("db", "InjectionSkipped", "HostNetwork"),
        told("db", "InjectionSkipped", "PortClash"),
        told("web", "MissingSidecar", "WebhookNotCalled"),
    ];
    assert_eq!(stage.cluster.told(), expected);
    let by_cause = stage.cluster.uninjected_by_cause();
    let expected = [("HostNetwork", 1), ("PortClash", 1), ("WebhookNotCalled", 3)];
    assert_eq!(by_cause.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_promised_a_change_that_the_namespace_may_no_longer_have() {
    let foreign = PodRecord { key: key("cart", "e"), ..injected("e", "web-1", "h0") };
    let outdated = |told: Vec<(String, &'static str, String)>| {
        told.iter().filter(|(_, reason, _)| *reason == "Outdated").count()
    };
    let stage = Stage::led(&[declared()], std::slice::from_ref(&foreign)).await;
    seconds(600).await;
    assert_eq!(outdated(stage.cluster.told()), 1);

    let own = Declared { allowed_namespaces: AllowedNamespaces::Same, ..declared() };
    let stage = Stage::led(&[own], &[foreign]).await;
    seconds(600).await;
    assert_eq!(outdated(stage.cluster.told()), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_for_an_owner_whose_uid_a_pod_of_another_namespace_has_made_up() {
    let forged = PodRecord { key: key("cart", "f"), ..bare("f", "web-1") };
    let stage = Stage::led(&[declared()], &[forged]).await;
    seconds(10).await;
    assert_eq!(stage.cluster.told().len(), 1);

    stage.cluster.put(bare("a", "web-1"));
    seconds(10).await;

    assert_eq!(stage.cluster.told(), [told("web", "MissingSidecar", "WebhookNotCalled")]);
}

#[tokio::test(start_paused = true)]
async fn a_bare_pod_is_told_of_after_some_seconds_only() {
    let stage = Stage::led(&[declared()], &[]).await;

    stage.cluster.put(bare("a", "web-1"));
    seconds(2).await;
    assert_eq!(stage.cluster.told(), []);
    seconds(2).await;

    assert_eq!(stage.cluster.told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bare_pod_that_is_gone_again_is_not_worth_a_word() {
    let stage = Stage::led(&[declared()], &[]).await;

    stage.cluster.put(bare("a", "web-1"));
    seconds(1).await;
    stage.cluster.remove("a");
    seconds(10).await;

    assert_eq!(stage.cluster.told(), []);
    assert!(stage.cluster.uninjected_by_cause().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_asks_finds_its_bare_pods() {
    let silent = PodRecord { inject: None, ..bare("a", "web-1") };
    let stage = Stage::led(&[declared()], &[silent]).await;
    assert_eq!(stage.cluster.told(), []);

    stage.cluster.let_namespace_ask("shop");
    seconds(10).await;

    assert_eq!(stage.cluster.told(), [told("web", "MissingSidecar", "WebhookNotCalled")]);
}

#[tokio::test(start_paused = true)]
async fn pods_of_excluded_namespaces_are_told_so_as_the_webhook_is_never_asked() {
    let stage = Stage::new();
    stage.cluster.put(PodRecord { key: key("kube-system", "a"), ..bare("a", "dns-1") });
    stage.lead().await;

    assert_eq!(stage.cluster.told(), [told("dns", "InjectionSkipped", "ExcludedNamespace")]);
    assert!(stage.cluster.uninjected_by_cause().is_empty(), "nothing is missing there");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_asks_where_there_is_no_trace_buffer_is_told_of_too() {
    let pods = [
        skipped("a", "web-1", SkipReason::NoTraceBuffer),
        PodRecord {
            inject: Some("?".into()),
            ..skipped("b", "db-1", SkipReason::InvalidAnnotation)
        },
    ];

    let stage = Stage::led(&[], &pods).await;

    let expected = [
        told("db", "InjectionSkipped", "InvalidAnnotation"),
        told("web", "InjectionSkipped", "NoTraceBuffer"),
    ];
    assert_eq!(stage.cluster.told(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_first_injected_pod_of_an_owner_is_told_of_but_not_those_of_before() {
    let stage = Stage::led(&[declared()], &[injected("a", "old-1", "h1")]).await;
    assert_eq!(stage.cluster.told(), []);

    stage.cluster.put(injected("b", "new-1", "h1"));
    stage.cluster.put(injected("c", "new-1", "h1"));
    stage.cluster.put(injected("d", "old-1", "h1"));
    seconds(10).await;

    assert_eq!(stage.cluster.told(), [told("new", "Injected", "h1")]);
}

#[tokio::test(start_paused = true)]
async fn owners_of_outdated_pods_are_told_once_for_each_change() {
    let stage = Stage::led(&[declared()], &[injected("a", "web-1", "h1")]).await;

    for hash in ["h2", "h3"] {
        let needs = Needs { hash: hash.into(), limits: limits(100) };
        stage.cluster.declare(Declared { sidecar: Ok(needs), ..declared() });
        seconds(30).await;
        let cause = format!("Changed-{hash}");
        assert_eq!(stage.cluster.told(), [told("web", "Outdated", &cause)]);
    }
}

#[tokio::test(start_paused = true)]
async fn owners_are_told_that_their_trace_buffer_is_deleted_and_pods_are_left_alone() {
    let pods = [injected("a", "web-1", "h1"), injected("b", "web-1", "h1")];
    let stage = Stage::led(&[declared()], &pods).await;
    stage.cluster.writes();

    stage.cluster.delete(&key("shop", "traces"));
    seconds(3).await;
    assert_eq!(stage.cluster.writes(), [], "it may come back at once");
    seconds(1200).await;

    let only = Write::Told("web".into(), "TraceBufferDeleted", "shop/traces".into());
    assert_eq!(stage.cluster.writes(), [only]);
    assert_eq!(stage.cluster.counts(&key("shop", "traces")), None);
}

#[tokio::test(start_paused = true)]
async fn a_trace_buffer_deleted_while_nobody_led_is_told_of_by_the_next_leader() {
    let stage = Stage::led(&[], &[injected("a", "web-1", "h1")]).await;

    assert_eq!(stage.cluster.told(), [told("web", "TraceBufferDeleted", "shop/traces")]);
}

#[tokio::test(start_paused = true)]
async fn a_trace_buffer_that_is_made_anew_at_once_is_no_deletion() {
    let stage = Stage::led(&[declared()], &[injected("a", "web-1", "h1")]).await;

    stage.cluster.delete(&key("shop", "traces"));
    seconds(3).await;
    stage.cluster.declare(Declared { uid: "u2".into(), ..declared() });
    seconds(600).await;

    assert_eq!(stage.cluster.told(), []);
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_could_not_be_given_is_given_later() {
    let stage = Stage::led(&[], &[]).await;

    stage.cluster.fail(&[ClusterError::Failed("down".into()), ClusterError::Failed("down".into())]);
    stage.cluster.put(skipped("a", "web-1", SkipReason::NoTraceBuffer));
    seconds(30).await;

    assert_eq!(stage.cluster.told(), [told("web", "InjectionSkipped", "NoTraceBuffer")]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_notices_is_spread_over_time() {
    let stage = Stage::led(&[], &[]).await;
    let owner = |n| format!("w{n}-1");

    for n in 0..200 {
        stage.cluster.put(skipped(&format!("p{n}"), &owner(n), SkipReason::NoTraceBuffer));
    }
    sleep(Duration::from_millis(3500)).await;
    assert_eq!(stage.cluster.told().len(), 50);
    seconds(10).await;

    assert_eq!(stage.cluster.told().len(), 150);
}

#[tokio::test(start_paused = true)]
async fn the_many_owners_of_a_deleted_trace_buffer_are_told_over_time() {
    let owner = |n| format!("w{n}-1");
    let pods: Vec<_> = (0..200).map(|n| injected(&format!("p{n}"), &owner(n), "h1")).collect();
    let stage = Stage::led(&[declared()], &pods).await;
    stage.cluster.writes();

    stage.cluster.delete(&key("shop", "traces"));
    sleep(Duration::from_millis(5500)).await;
    assert_eq!(stage.cluster.told().len(), 50);
    seconds(30).await;

    assert_eq!(stage.cluster.told().len(), 150);
}

#[tokio::test(start_paused = true)]
async fn new_pods_of_a_cron_job_say_nothing_new_within_an_hour() {
    let stage = Stage::led(&[], &[]).await;

    for minute in 0..61 {
        let name = format!("p{minute}");
        let owner = format!("cron-{minute}");
        stage.cluster.put(skipped(&name, &owner, SkipReason::NoTraceBuffer));
        seconds(30).await;
        stage.cluster.remove(&name);
        seconds(30).await;
    }
    stage.cluster.queue.everything();
    seconds(10).await;

    assert_eq!(stage.cluster.told().len(), 2);
}
