use std::time::Duration;

use tokio::time::sleep;

use crate::application::reconcile::fakes::{
    Stage, Write, bare, declared, injected, key, limits, secret, skipped, text,
};
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::consent::AllowedNamespaces;
use crate::domain::injection::facts::NamespaceFacts;
use crate::domain::injection::pod_record::PodRecord;
use crate::domain::injection::skip::SkipReason;
use crate::domain::operating::conditions::{Condition, Status, Truth};
use crate::domain::operating::declared::{Declared, Needs};
use crate::domain::operating::standing::PodCounts;
use crate::ports::cluster::{ClusterError, Lookup};
use crate::ports::operation::ReconcileOutcome;
use crate::ports::pods::Changes;

fn traces() -> ObjectKey {
    key("shop", "traces")
}

fn condition<'a>(status: &'a Status, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.kind == kind).unwrap()
}

fn with_limits(max_bytes: u64) -> Declared {
    let needs = Needs { hash: "h1".into(), limits: limits(max_bytes) };
    Declared { sidecar: Ok(needs), generation: 2, ..declared() }
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_status_counts_the_pods_that_use_it_or_should() {
    let elsewhere = PodRecord { key: key("cart", "e"), ..injected("e", "web-1", "h1") };
    let ending = PodRecord { is_ending: true, ..injected("f", "web-1", "h1") };
    let pods = [
        injected("a", "web-1", "h1"),
        injected("b", "web-1", "h0"),
        bare("c", "job-1"),
        skipped("d", "db-1", SkipReason::PortClash),
        skipped("g", "db-1", SkipReason::OptedOut),
        elsewhere,
        ending,
    ];

    let stage = Stage::led(&[declared()], &pods).await;

    let status = stage.cluster.status(&traces()).unwrap();
    let counts = PodCounts { total: 5, current: 2, outdated: 1, missing: 2 };
    assert_eq!(status.pods, counts);
    assert_eq!(condition(&status, "Ready").truth, Truth::True);
    assert_eq!(stage.cluster.counts(&traces()), Some(counts));
}

#[tokio::test(start_paused = true)]
async fn pods_that_their_namespace_or_the_operator_sends_elsewhere_are_counted_there() {
    let default = key("platform", "all");
    let of = |namespace: &str| PodRecord { key: key(namespace, "a"), ..bare("a", "web-1") };
    let platforms = Declared { key: default.clone(), ..declared() };
    let stage = Stage::led(&[declared(), platforms], &[of("cart"), of("bank"), of("shop")]).await;
    let missing = |of: &ObjectKey| stage.cluster.counts(of).unwrap().missing;
    assert_eq!((missing(&traces()), missing(&default)), (1, 2));

    let trace_buffer = Some("shop/traces".into());
    stage.cluster.set_namespace(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown("cart") });
    seconds(5).await;

    assert_eq!((missing(&traces()), missing(&default)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn another_default_makes_no_running_pod_outdated() {
    let stage = Stage::led(&[declared()], &[injected("a", "web-1", "h1")]).await;

    let trace_buffer = Some("platform/all".into());
    stage.cluster.set_namespace(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown("shop") });
    seconds(10).await;

    let counts = stage.cluster.counts(&traces()).unwrap();
    assert_eq!((counts.total, counts.current), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_status_is_true_within_5_s_of_a_burst_of_pods_and_written_once_or_twice() {
    let stage = Stage::led(&[declared()], &[]).await;
    stage.cluster.writes();

    for n in 0..1000 {
        stage.cluster.put(injected(&format!("p{n}"), "web-1", "h1"));
        sleep(Duration::from_millis(1)).await;
    }
    seconds(4).await;

    let written = stage.cluster.writes();
    let statuses = written.iter().filter(|write| matches!(write, Write::Status(..))).count();
    assert!((1..=3).contains(&statuses), "{statuses} writes");
    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.current, 1000);
}

#[tokio::test(start_paused = true)]
async fn what_is_true_already_is_not_written_again() {
    let stage = Stage::led(&[declared()], &[injected("a", "web-1", "h1")]).await;
    assert_eq!(stage.cluster.writes().len(), 1);

    stage.cluster.queue.everything();
    seconds(3600).await;

    assert_eq!(stage.cluster.writes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_somebody_broke_is_mended_at_the_next_resync() {
    let stage = Stage::led(&[declared()], &[]).await;
    stage.cluster.writes();

    stage.cluster.declare(declared());
    seconds(10).await;

    assert!(matches!(stage.cluster.writes().as_slice(), [Write::Status(..)]));
}

#[tokio::test(start_paused = true)]
async fn a_second_trace_buffer_takes_the_pods_that_name_none() {
    let stage = Stage::led(&[declared()], &[bare("a", "web-1")]).await;
    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.missing, 1);

    stage.cluster.declare(Declared { key: key("shop", "default"), ..declared() });
    seconds(3).await;

    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.missing, 0);
    assert_eq!(stage.cluster.status(&key("shop", "default")).unwrap().pods.missing, 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_is_no_longer_counted() {
    let stage = Stage::led(&[declared()], &[injected("a", "web-1", "h1")]).await;

    stage.cluster.remove("a");
    seconds(3).await;

    assert_eq!(stage.cluster.status(&traces()).unwrap().pods, PodCounts::default());
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_told_and_running_pods_left_as_they_are() {
    let stage = Stage::led(&[with_limits(50)], &[injected("a", "web-1", "h1")]).await;
    stage.cluster.writes();

    let wrong = Declared { sidecar: Err("spec.a is wrong".into()), ..declared() };
    stage.cluster.declare(wrong);
    seconds(3).await;

    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "Accepted").message, "spec.a is wrong");
    assert_eq!(status.pods.current, 1);
    assert!(matches!(stage.cluster.writes().as_slice(), [Write::Status(..)]));
}

#[tokio::test(start_paused = true)]
async fn running_pods_follow_new_limits_up_to_the_memory_they_were_made_for() {
    let stage = Stage::led(&[declared()], &[injected("a", "web-1", "h1")]).await;
    stage.cluster.writes();

    stage.cluster.declare(with_limits(40));
    seconds(3).await;
    assert_eq!(stage.cluster.writes()[0], Write::Limits("a".into(), text(40)));
    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.current, 1);

    stage.cluster.declare(with_limits(1000));
    seconds(3).await;
    assert!(stage.cluster.writes().contains(&Write::Limits("a".into(), text(100))));
    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.outdated, 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_limits_do_not_keep_the_status_waiting() {
    let pods: Vec<_> = (0..1000).map(|n| injected(&format!("p{n}"), "web-1", "h1")).collect();
    let stage = Stage::led(&[declared()], &pods).await;
    stage.cluster.writes();

    stage.cluster.declare(with_limits(40));
    seconds(60).await;

    let writes = stage.cluster.writes();
    let status = writes.iter().position(|write| matches!(write, Write::Status(..))).unwrap();
    assert!(status <= 64, "the status is write {status}");
    let limits = writes.iter().filter(|write| matches!(write, Write::Limits(..))).count();
    assert_eq!(limits, 1000);
}

#[tokio::test(start_paused = true)]
async fn one_pod_that_changed_meanwhile_keeps_no_other_waiting() {
    let pods = [injected("a", "web-1", "h1"), injected("b", "web-1", "h1")];
    let stage = Stage::led(&[declared()], &pods).await;
    stage.cluster.writes();

    stage.cluster.fail(&[ClusterError::Conflict]);
    stage.cluster.declare(with_limits(40));
    seconds(10).await;

    let writes = stage.cluster.writes();
    assert_eq!(writes[0], Write::Limits("b".into(), text(40)));
    assert!(matches!(&writes[1], Write::Status(..)));
    assert!(writes.contains(&Write::Limits("a".into(), text(40))));
}

#[tokio::test(start_paused = true)]
async fn pods_that_refuse_their_limits_keep_neither_others_nor_the_status_waiting() {
    let pods: Vec<_> = (0..200).map(|n| injected(&format!("p{n:03}"), "web-1", "h1")).collect();
    let stage = Stage::led(&[declared()], &pods).await;
    for n in 0..100 {
        stage.cluster.let_refuse_limits(&format!("p{n:03}"));
    }
    stage.cluster.writes();

    stage.cluster.declare(with_limits(40));
    seconds(5).await;
    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "Reconciling").truth, Truth::True);
    seconds(600).await;

    let writes = stage.cluster.writes();
    let limits = writes.iter().filter(|write| matches!(write, Write::Limits(..))).count();
    assert_eq!(limits, 100);
    let status = stage.cluster.status(&traces()).unwrap();
    assert!(status.conditions.iter().all(|one| one.kind != "Reconciling"), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_namespace_that_it_does_not_allow_are_none_of_its_own() {
    let foreign = PodRecord { key: key("cart", "e"), ..injected("e", "web-1", "h1") };
    let allowed_namespaces = AllowedNamespaces::Same;
    let own = Declared { allowed_namespaces: allowed_namespaces.clone(), ..declared() };
    let stage = Stage::led(&[own], &[foreign, injected("a", "web-1", "h1")]).await;
    assert_eq!(stage.cluster.status(&traces()).unwrap().pods.total, 1);
    stage.cluster.writes();

    stage.cluster.declare(Declared { allowed_namespaces, ..with_limits(40) });
    seconds(60).await;

    let writes = stage.cluster.writes();
    let limits = writes.iter().filter(|write| matches!(write, Write::Limits(..)));
    assert_eq!(limits.collect::<Vec<_>>(), [&Write::Limits("a".into(), text(40))]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_tried_again_ever_more_slowly() {
    let stage = Stage::led(&[], &[]).await;
    stage.cluster.outcomes();

    stage.cluster.fail(&vec![ClusterError::Failed("down".into()); 3]);
    stage.cluster.declare(declared());
    seconds(60).await;

    let failed = stage.cluster.outcomes();
    let failed = failed.iter().filter(|outcome| **outcome == ReconcileOutcome::Failed).count();
    assert_eq!(failed, 3);
    assert!(stage.cluster.status(&traces()).is_some());
}

#[tokio::test(start_paused = true)]
async fn references_are_looked_for_in_the_namespaces_of_the_pods_that_consent() {
    let referring = Declared { references: vec![secret("token")], ..declared() };
    let elsewhere = PodRecord { key: key("cart", "e"), ..injected("e", "web-1", "h1") };
    let stage = Stage::new();
    stage.cluster.set_lookup("shop", "token", Lookup::Found);
    stage.cluster.set_lookup("cart", "token", Lookup::Absent);
    stage.cluster.declare(referring);
    stage.lead().await;
    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").truth, Truth::True);

    stage.cluster.put(elsewhere);
    seconds(5).await;
    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").truth, Truth::True, "nobody looks into cart");

    let trace_buffer = Some("shop/traces".into());
    stage.cluster.set_namespace(NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown("cart") });
    seconds(5).await;
    let status = stage.cluster.status(&traces()).unwrap();
    let resolved = condition(&status, "ResolvedRefs");
    assert_eq!(resolved.truth, Truth::False);
    assert_eq!(resolved.message, "spec.field: namespace cart has no Secret token");
}

#[tokio::test(start_paused = true)]
async fn an_absent_secret_is_looked_for_until_it_is_there() {
    let stage = Stage::new();
    stage.cluster.set_lookup("shop", "token", Lookup::Absent);
    stage.cluster.declare(Declared { references: vec![secret("token")], ..declared() });
    stage.lead().await;
    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").truth, Truth::False);

    stage.cluster.set_lookup("shop", "token", Lookup::Found);
    seconds(35).await;

    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").truth, Truth::True);
}

#[tokio::test(start_paused = true)]
async fn pods_that_come_and_go_do_not_make_references_be_looked_up_each_time() {
    let stage = Stage::new();
    stage.cluster.set_lookup("shop", "token", Lookup::NotAllowed);
    stage.cluster.declare(Declared { references: vec![secret("token")], ..declared() });
    stage.lead().await;
    let status = stage.cluster.status(&traces()).unwrap();
    assert_eq!(condition(&status, "ResolvedRefs").truth, Truth::Unknown);
    let before = stage.cluster.reads().0;

    for n in 0..15 {
        stage.cluster.put(injected(&format!("p{n}"), "web-1", "h1"));
        seconds(1).await;
    }

    assert!(stage.cluster.reads().0 <= before + 1);
}
