use serde_json::{Value, json};
use tracebuffer::domain::operator::injection::pod_snapshot::PodSnapshot;
use tracebuffer::domain::operator::object_key::ObjectKey;
use tracebuffer::ports::operator::cluster::{Cluster, ClusterError};

use super::harness::{
    TestOperator, change_spec, injected_pod_annotations, put_pod, shop_cluster, sleep_seconds,
    status,
};
use crate::support::api_server::{ApiServer, Fault, RequestMatcher, Verb};

fn limits(server: &ApiServer, pod: &str) -> Value {
    let pod = server.get("pods", "shop", pod).unwrap();
    pod["metadata"]["annotations"]["tracebuffer.dev/limits"].clone()
}

/// A snapshot of pod `shop/a` with this UID and `limits` in its annotation.
fn snapshot(uid: &str, limits: &str) -> PodSnapshot {
    PodSnapshot {
        key: ObjectKey { namespace: "shop".into(), name: "a".into() },
        uid: uid.into(),
        owner: None,
        inject: None,
        status: None,
        limits: Some(limits.into()),
        is_terminating: false,
    }
}

/// Returns the UID of a pod, and the limits it has.
fn uid_and_limits(server: &ApiServer, pod: &str) -> (String, String) {
    let stored = server.get("pods", "shop", pod).unwrap();
    let uid = stored["metadata"]["uid"].as_str().unwrap().to_owned();
    (uid, limits(server, pod).as_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn running_pods_get_new_limits_and_stay_current() {
    let server = shop_cluster();
    let operator = TestOperator::start_leading(&server).await;
    put_pod(&server, "a", "web", &injected_pod_annotations(&operator));
    sleep_seconds(5).await;

    let buffer = json!({ "maxSpans": 1000, "maxBytes": "16Mi", "maxAge": "1h" });
    change_spec(&server, &json!({ "buffer": buffer }));
    sleep_seconds(5).await;

    assert_eq!(limits(&server, "a"), "max_spans=1000\nmax_bytes=16777216\nmax_age=1h\n");
    assert_eq!(status(&server)["pods"]["current"], 1);
    assert_eq!(server.seen(Verb::Patch, "pods"), 1);
}

#[tokio::test(start_paused = true)]
async fn max_bytes_never_exceeds_the_value_that_the_sidecars_memory_was_sized_for() {
    let server = shop_cluster();
    let operator = TestOperator::start_leading(&server).await;
    put_pod(&server, "a", "web", &injected_pod_annotations(&operator));
    sleep_seconds(5).await;

    change_spec(&server, &json!({ "buffer": { "maxSpans": 1000, "maxBytes": "1Gi" } }));
    sleep_seconds(5).await;

    assert_eq!(limits(&server, "a"), "max_spans=1000\nmax_bytes=33554432\nmax_age=none\n");
    assert_eq!(status(&server)["pods"]["outdated"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_stale_leader_can_neither_restore_old_limits_nor_write_to_a_new_pod_of_that_name() {
    let server = shop_cluster();
    let operator = TestOperator::start(&server, true).await;
    put_pod(&server, "a", "web", &injected_pod_annotations(&operator));
    let (uid, current) = uid_and_limits(&server, "a");
    let cluster = &operator.cluster;

    assert_eq!(cluster.set_limits(&snapshot(&uid, &current), "new").await, Ok(()));
    let stale = cluster.set_limits(&snapshot(&uid, &current), "old").await;
    assert_eq!(stale, Err(ClusterError::Conflict));
    let other = cluster.set_limits(&snapshot("other", "new"), "old").await;
    assert_eq!(other, Err(ClusterError::Conflict));

    assert_eq!(limits(&server, "a"), "new");
    server.remove("pods", "shop", "a");
    let gone = cluster.set_limits(&snapshot(&uid, "new"), "old").await;
    assert_eq!(gone, Err(ClusterError::NotFound));
}

#[tokio::test(start_paused = true)]
async fn limits_denied_by_an_admission_policy_are_a_failure_that_names_the_pod() {
    let server = shop_cluster();
    let operator = TestOperator::start(&server, true).await;
    put_pod(&server, "a", "web", &injected_pod_annotations(&operator));
    let (uid, current) = uid_and_limits(&server, "a");
    let denial = server.script(RequestMatcher::to(Verb::Patch, "pods"), Fault::Refuse(422));
    let cluster = &operator.cluster;

    let denied = cluster.set_limits(&snapshot(&uid, &current), "new").await;
    let stale = cluster.set_limits(&snapshot(&uid, "old"), "new").await;
    let other = cluster.set_limits(&snapshot("other", &current), "new").await;
    server.script(RequestMatcher::to(Verb::Get, "pods").times(1), Fault::Refuse(500));
    let unknown = cluster.set_limits(&snapshot(&uid, "old"), "new").await;

    for failure in [denied, unknown] {
        let Err(ClusterError::Failed(reason)) = failure else { panic!("{failure:?}") };
        assert!(reason.contains("shop/a") && reason.contains("the script answers 422"), "{reason}");
    }
    assert_eq!((stale, other), (Err(ClusterError::Conflict), Err(ClusterError::Conflict)));
    server.lift(denial);
    assert_eq!(cluster.set_limits(&snapshot(&uid, &current), "new").await, Ok(()));
}
