use serde_json::json;
use tracebuffer::domain::operator::object_key::ObjectKey;
use tracebuffer::domain::operator::reconcile::trace_buffer_status::Status;
use tracebuffer::ports::operator::cluster::{Cluster, ClusterError};

use super::harness::{
    TRACE_BUFFERS, TestOperator, change_spec, condition, injected_pod_annotations,
    missing_pod_annotations, put_pod, shop_cluster, sleep_seconds, status, trace_buffer,
};
use crate::support::api_server::{ApiServer, Fault, RequestMatcher, Verb};

fn traces() -> ObjectKey {
    ObjectKey { namespace: "shop".into(), name: "traces".into() }
}

#[tokio::test(start_paused = true)]
async fn the_status_has_conditions_and_counts() {
    let server = shop_cluster();
    let operator = TestOperator::start_leading(&server).await;
    put_pod(&server, "a", "web", &injected_pod_annotations(&operator));
    put_pod(&server, "b", "web", &missing_pod_annotations());
    sleep_seconds(5).await;

    let status = status(&server);

    assert_eq!(status["observedGeneration"], 1);
    let counts = json!({
        "total": 2, "current": 1, "outdated": 0, "missing": 1, "failing": 0, "bypassing": 0,
    });
    assert_eq!(status["pods"], counts);
    for kind in ["Accepted", "ResolvedRefs", "Ready"] {
        assert_eq!(condition(&status, kind)["status"], "True", "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_steady_cluster_is_not_written_to() {
    let server = shop_cluster();
    let operator = TestOperator::start_leading(&server).await;
    put_pod(&server, "a", "web", &injected_pod_annotations(&operator));
    sleep_seconds(10).await;
    let before = server.seen(Verb::Patch, TRACE_BUFFERS);

    sleep_seconds(3600).await;

    assert_eq!(server.seen(Verb::Patch, TRACE_BUFFERS), before);
    assert_eq!(server.seen(Verb::Patch, "pods"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_updates_the_status_and_transition_times_only_with_the_conditions() {
    let server = shop_cluster();
    let operator = TestOperator::start_leading(&server).await;
    put_pod(&server, "a", "web", &injected_pod_annotations(&operator));
    sleep_seconds(5).await;
    let before = status(&server);

    change_spec(&server, &json!({ "drainTimeout": "7s" }));
    sleep_seconds(5).await;

    let after = status(&server);
    assert_eq!(after["observedGeneration"], 2);
    assert_eq!(after["pods"]["outdated"], 1);
    assert_eq!(
        condition(&after, "Ready")["lastTransitionTime"],
        condition(&before, "Ready")["lastTransitionTime"]
    );
}

#[tokio::test(start_paused = true)]
async fn references_are_looked_up_only_where_that_is_allowed() {
    let server = shop_cluster();
    let token = json!({ "name": "token", "key": "k" });
    let headers = json!([{ "name": "a", "valueFrom": { "secretKeyRef": token } }]);
    let destination = json!({ "endpoint": "https://collector:4317", "headers": headers });
    change_spec(&server, &json!({ "destination": destination }));

    let trusting = TestOperator::start(&server, false).await;
    trusting.set_leading(true).await;
    assert_eq!(condition(&status(&server), "ResolvedRefs")["status"], "Unknown");
    assert_eq!(server.seen(Verb::Get, "secrets"), 0);
    drop(trusting);

    let verifying = TestOperator::start_leading(&server).await;
    let resolved = condition(&status(&server), "ResolvedRefs");
    assert_eq!(resolved["status"], "False");
    let message =
        "spec.destination.headers[0].valueFrom.secretKeyRef: namespace shop has no Secret token";
    assert_eq!(resolved["message"], message);

    server.put("secrets", json!({ "metadata": { "name": "token", "namespace": "shop" } }));
    sleep_seconds(40).await;
    assert_eq!(condition(&status(&server), "ResolvedRefs")["status"], "True");

    server.script(RequestMatcher::to(Verb::Get, "secrets"), Fault::Refuse(403));
    sleep_seconds(600).await;
    assert_eq!(condition(&status(&server), "ResolvedRefs")["status"], "Unknown");
    drop(verifying);
}

#[tokio::test(start_paused = true)]
async fn the_status_of_a_former_leader_is_rejected() {
    let server = shop_cluster();
    let operator = TestOperator::start_leading(&server).await;
    let observed = operator.cluster.trace_buffer(&traces()).unwrap();
    operator.set_leading(false).await;

    change_spec(&server, &json!({ "drainTimeout": "7s" }));
    let written = operator.cluster.write_status(&observed, &Status::default()).await;

    assert_eq!(written, Err(ClusterError::Conflict));
}

#[tokio::test(start_paused = true)]
async fn a_status_based_on_a_deleted_trace_buffer_is_not_written_to_its_successor() {
    let server = shop_cluster();
    let operator = TestOperator::start_leading(&server).await;
    let mut observed = operator.cluster.trace_buffer(&traces()).unwrap().as_ref().clone();
    operator.set_leading(false).await;

    server.remove(TRACE_BUFFERS, "shop", "traces");
    server.put(TRACE_BUFFERS, trace_buffer(&json!({})));
    let created = server.get(TRACE_BUFFERS, "shop", "traces").unwrap();
    observed.resource_version = created["metadata"]["resourceVersion"].as_str().unwrap().into();
    let written = operator.cluster.write_status(&observed, &Status::default()).await;

    assert_eq!(written, Err(ClusterError::Conflict));
}

#[tokio::test(start_paused = true)]
async fn two_leaders_converge_on_a_correct_status_without_endless_writes() {
    let server = shop_cluster();
    let first = TestOperator::start_leading(&server).await;
    let second = TestOperator::start_leading(&server).await;
    put_pod(&server, "a", "web", &injected_pod_annotations(&first));
    sleep_seconds(30).await;
    let before = server.seen(Verb::Patch, TRACE_BUFFERS);

    sleep_seconds(3600).await;

    assert_eq!(status(&server)["pods"]["current"], 1);
    assert_eq!(server.seen(Verb::Patch, TRACE_BUFFERS), before);
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_write_is_retried_slowly_until_it_is_allowed() {
    let server = shop_cluster();
    let refused = server.script(RequestMatcher::to(Verb::Patch, TRACE_BUFFERS), Fault::Refuse(403));
    let operator = TestOperator::start_leading(&server).await;
    sleep_seconds(600).await;
    let tries = server.seen(Verb::Patch, TRACE_BUFFERS);
    assert!((10..200).contains(&tries), "{tries} tries");

    server.lift(refused);
    sleep_seconds(15).await;

    assert_eq!(status(&server)["observedGeneration"], 1);
    drop(operator);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_response_times_out() {
    let server = shop_cluster();
    server.script(RequestMatcher::to(Verb::Patch, TRACE_BUFFERS).times(2), Fault::Stall);
    let operator = TestOperator::start_leading(&server).await;

    sleep_seconds(40).await;

    assert_eq!(status(&server)["observedGeneration"], 1);
    drop(operator);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_object_is_rejected_and_not_written_repeatedly() {
    let server = ApiServer::new();
    let object = trace_buffer(&json!({ "receiver": { "grpcPort": "many" } }));
    server.put(TRACE_BUFFERS, object);
    let operator = TestOperator::start_leading(&server).await;
    sleep_seconds(60).await;
    let version = || server.get(TRACE_BUFFERS, "shop", "traces").unwrap()["metadata"].clone();
    let before = version();
    assert_eq!(condition(&status(&server), "Accepted")["status"], "False");

    sleep_seconds(1200).await;

    assert_eq!(version(), before);
    drop(operator);
}
