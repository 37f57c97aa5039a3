//! `Ready` means that a pod that is created now gets its sidecar.

use serde_json::json;

use super::harness::{
    ENDPOINT_SLICES, TestOperator, WEBHOOK_CONFIGURATIONS, condition, endpoint_slice, shop_cluster,
    sleep_seconds, status, webhook_configuration,
};
use crate::support::api_server::{ApiServer, Fault, RequestMatcher};

/// The reason and the message of condition `Ready`.
fn ready(server: &ApiServer) -> (String, String) {
    let status = status(server);
    let ready = condition(&status, "Ready");
    let text = |field: &str| ready[field].as_str().unwrap().to_owned();
    (text("reason"), text("message"))
}

async fn leading(server: &ApiServer) -> TestOperator {
    let operator = TestOperator::start_leading(server).await;
    sleep_seconds(60).await;
    assert_eq!(ready(server).0, "Injecting");
    operator
}

/// Puts the objects through which the API server calls the webhook.
fn mend(server: &ApiServer) {
    server.put(WEBHOOK_CONFIGURATIONS, webhook_configuration(&["inject.tracebuffer.dev"]));
    server.put(ENDPOINT_SLICES, endpoint_slice(true));
}

/// Breaks the way to the webhook, expects `problem` to be told, mends it, and expects that, too.
async fn assert_told(break_it: impl FnOnce(&ApiServer), problem: &str) {
    let server = shop_cluster();
    let operator = leading(&server).await;

    break_it(&server);
    sleep_seconds(20).await;
    let (reason, message) = ready(&server);
    assert_eq!(reason, "WebhookUnavailable", "{problem}");
    assert!(message.ends_with(problem), "{message}");

    mend(&server);
    sleep_seconds(5).await;
    assert_eq!(ready(&server).0, "Injecting", "{problem}");
    drop(operator);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_gone_or_incomplete_is_told() {
    let remove = |server: &ApiServer| server.remove(WEBHOOK_CONFIGURATIONS, "", "tracebuffer");
    assert_told(remove, "MutatingWebhookConfiguration tracebuffer does not exist").await;

    let change = |server: &ApiServer| {
        server.put(WEBHOOK_CONFIGURATIONS, webhook_configuration(&["other"]));
    };
    let problem = "MutatingWebhookConfiguration tracebuffer has no entry inject.tracebuffer.dev";
    assert_told(change, problem).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_without_a_ready_endpoint_is_told() {
    let problem = "Service ops/tracebuffer-webhook has no ready endpoint";
    let remove =
        |server: &ApiServer| server.remove(ENDPOINT_SLICES, "ops", "tracebuffer-webhook-1");
    assert_told(remove, problem).await;

    let change = |server: &ApiServer| {
        server.put(ENDPOINT_SLICES, endpoint_slice(false));
    };
    assert_told(change, problem).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_of_another_namespace_or_a_url_is_not_judged() {
    for client_config in [
        json!({ "service": { "name": "webhook", "namespace": "elsewhere" } }),
        json!({ "url": "https://webhook.example" }),
    ] {
        let server = shop_cluster();
        let mut configuration = webhook_configuration(&["inject.tracebuffer.dev"]);
        configuration["webhooks"][0]["clientConfig"] = client_config;
        server.put(WEBHOOK_CONFIGURATIONS, configuration);
        server.remove(ENDPOINT_SLICES, "ops", "tracebuffer-webhook-1");

        drop(leading(&server).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_not_ready_for_a_moment_changes_no_status() {
    let server = shop_cluster();
    let operator = leading(&server).await;
    let before = status(&server);

    server.put(ENDPOINT_SLICES, endpoint_slice(false));
    sleep_seconds(6).await;
    server.put(ENDPOINT_SLICES, endpoint_slice(true));
    sleep_seconds(60).await;

    assert_eq!(status(&server), before);
    drop(operator);
}

#[tokio::test(start_paused = true)]
async fn what_the_operator_may_not_read_is_no_problem() {
    let server = shop_cluster();
    server.remove(ENDPOINT_SLICES, "ops", "tracebuffer-webhook-1");
    server.script(RequestMatcher::about(ENDPOINT_SLICES), Fault::Refuse(403));

    drop(leading(&server).await);
}
