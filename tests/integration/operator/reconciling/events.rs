use serde_json::json;

use super::harness::{
    EVENTS, TRACE_BUFFERS, TestOperator, change_spec, events, injected_pod_annotations,
    missing_pod_annotations, put_pod, shop_cluster, sleep_seconds,
};
use crate::support::api_server::{Fault, RequestMatcher, Verb};

#[tokio::test(start_paused = true)]
async fn pods_without_a_sidecar_cause_one_event_on_the_deployment() {
    let server = shop_cluster();
    put_pod(&server, "a", "web", &missing_pod_annotations());
    put_pod(&server, "b", "web", &missing_pod_annotations());
    let operator = TestOperator::start_leading(&server).await;
    put_pod(&server, "c", "web", &missing_pod_annotations());
    sleep_seconds(3000).await;

    assert_eq!(events(&server), ["Deployment/web MissingSidecar"]);
    let event = &server.all(EVENTS)[0];
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["action"], "WebhookNotCalled");
    assert_eq!(event["metadata"]["namespace"], "shop");
    assert_eq!(server.seen(Verb::Get, "replicasets.apps"), 1);
    drop(operator);
}

#[tokio::test(start_paused = true)]
async fn the_event_of_a_skipped_pod_repeats_the_message_of_the_webhook() {
    let server = shop_cluster();
    let skipped = json!({
        "tracebuffer.dev/inject": "true",
        "tracebuffer.dev/status": r#"{"skipped":"HostNetwork","message":"it is on the node's"}"#,
    });
    put_pod(&server, "a", "web", &skipped);
    let operator = TestOperator::start_leading(&server).await;

    let event = &server.all(EVENTS)[0];

    assert_eq!(events(&server), ["Deployment/web InjectionSkipped"]);
    assert_eq!(
        (&event["action"], &event["note"]),
        (&json!("HostNetwork"), &json!("it is on the node's"))
    );
    drop(operator);
}

#[tokio::test(start_paused = true)]
async fn two_causes_on_one_owner_are_two_events() {
    let server = shop_cluster();
    for (name, reason) in [("a", "HostNetwork"), ("b", "PortClash")] {
        let status = json!({ "skipped": reason, "message": "so" }).to_string();
        let annotations =
            json!({ "tracebuffer.dev/inject": "true", "tracebuffer.dev/status": status });
        put_pod(&server, name, "web", &annotations);
    }
    let operator = TestOperator::start_leading(&server).await;

    assert_eq!(server.all(EVENTS).len(), 2);
    drop(operator);
}

#[tokio::test(start_paused = true)]
async fn injected_outdated_and_deleted_each_cause_an_event() {
    let server = shop_cluster();
    let operator = TestOperator::start_leading(&server).await;

    put_pod(&server, "a", "web", &injected_pod_annotations(&operator));
    sleep_seconds(10).await;
    assert_eq!(events(&server), ["Deployment/web Injected"]);

    change_spec(&server, &json!({ "drainTimeout": "7s" }));
    sleep_seconds(10).await;
    assert_eq!(events(&server), ["Deployment/web Injected", "Deployment/web Outdated"]);

    let before = server.get("pods", "shop", "a");
    server.remove(TRACE_BUFFERS, "shop", "traces");
    sleep_seconds(20).await;
    assert!(events(&server).contains(&"Deployment/web TraceBufferDeleted".to_owned()));
    assert_eq!(server.get("pods", "shop", "a"), before, "running pods are not changed");
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_an_owner_gets_the_event_itself_and_a_terminating_namespace_is_no_failure() {
    let server = shop_cluster();
    server.script(RequestMatcher::to(Verb::Create, EVENTS).times(1), {
        let message = "events \"x\" is forbidden: unable to create new content in namespace shop \
                       because it is being terminated";
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden",
            "code": 403, "message": message,
        });
        Fault::Respond(403, status)
    });
    put_pod(&server, "a", "web", &missing_pod_annotations());
    let operator = TestOperator::start_leading(&server).await;
    assert_eq!(server.all(EVENTS).len(), 0);

    let alone = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "alone", "namespace": "shop", "annotations": missing_pod_annotations() },
        "spec": { "containers": [] }, "status": { "phase": "Running" },
    });
    server.put("pods", alone);
    sleep_seconds(10).await;

    assert_eq!(events(&server), ["Pod/alone MissingSidecar"]);
    drop(operator);
}

#[tokio::test(start_paused = true)]
async fn events_missed_during_an_outage_are_published_afterwards() {
    let server = shop_cluster();
    let operator = TestOperator::start_leading(&server).await;
    let refused = server.script(RequestMatcher::about(EVENTS), Fault::Refuse(500));
    put_pod(&server, "a", "web", &missing_pod_annotations());
    sleep_seconds(30).await;
    assert_eq!(server.all(EVENTS).len(), 0);

    server.lift(refused);
    sleep_seconds(30).await;

    assert_eq!(events(&server), ["Deployment/web MissingSidecar"]);
    drop(operator);
}
