//! The scripted API server behaves like a real one where other tests depend on it.

use std::time::Duration;

use crate::support::api_server::{ApiServer, Fault, RequestMatcher, Verb};
use futures_util::{StreamExt, TryStreamExt, pin_mut};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::core::{PartialObjectMeta, WatchEvent};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::timeout;

fn pod(name: &str, phase: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "shop" },
        "spec": { "containers": [] }, "status": { "phase": phase },
    })
}

fn code<T>(result: Result<T, kube::Error>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        Err(_) => u16::MAX,
        Ok(_) => 0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_with_an_old_version_conflicts_and_one_with_the_current_version_does_not() {
    let server = ApiServer::new();
    let leases: Api<Lease> = Api::namespaced(server.client(), "ops");
    let lease: Lease = serde_json::from_value(json!({ "metadata": { "name": "l" } })).unwrap();
    let created = leases.create(&PostParams::default(), &lease).await.unwrap();
    assert_eq!(code(leases.create(&PostParams::default(), &lease).await), 409);

    let mut first = created.clone();
    first.spec.get_or_insert_default().holder_identity = Some("a".into());
    leases.replace("l", &PostParams::default(), &first).await.unwrap();
    let mut second = created;
    second.spec.get_or_insert_default().holder_identity = Some("b".into());

    assert_eq!(code(leases.replace("l", &PostParams::default(), &second).await), 409);
    second.metadata.resource_version = leases.get("l").await.unwrap().resource_version();
    assert_eq!(code(leases.replace("l", &PostParams::default(), &second).await), 0);
}

#[tokio::test(start_paused = true)]
async fn patches_merge_and_apply_creates_missing_objects() {
    let server = ApiServer::new();
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "ops");
    let apply = Patch::Apply(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" }, "data": { "a": "1" },
    }));
    maps.patch("m", &PatchParams::apply("test"), &apply).await.unwrap();
    let merge = Patch::Merge(json!({ "data": { "b": "2" } }));
    let merged = maps.patch("m", &PatchParams::default(), &merge).await.unwrap();
    assert_eq!(merged.data.unwrap().len(), 2);

    let stale = Patch::Merge(json!({ "metadata": { "resourceVersion": "1" } }));
    assert_eq!(code(maps.patch("m", &PatchParams::default(), &stale).await), 409);
}

#[tokio::test(start_paused = true)]
async fn the_status_changes_only_through_its_subresource() {
    let server = ApiServer::new();
    server.put("pods", pod("web", "Pending"));
    let pods: Api<Pod> = Api::namespaced(server.client(), "shop");
    let patch = Patch::Merge(json!({
        "metadata": { "labels": { "a": "b" } }, "status": { "phase": "Running" },
    }));

    let whole = pods.patch("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(whole.status.unwrap().phase.as_deref(), Some("Pending"));
    let status = pods.patch_status("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(status.status.unwrap().phase.as_deref(), Some("Running"));
    assert_eq!(server.get("pods", "shop", "web").unwrap()["metadata"]["labels"]["a"], "b");
}

#[tokio::test(start_paused = true)]
async fn a_list_is_paged_contains_metadata_and_expires() {
    let server = ApiServer::new();
    for name in ["a", "b", "c"] {
        server.put("pods", pod(name, "Running"));
    }
    server.put("pods", pod("over", "Succeeded"));
    let pods: Api<PartialObjectMeta<Pod>> = Api::all(server.client());
    let params = ListParams::default().limit(2).fields("status.phase!=Succeeded");

    let first = pods.list(&params).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    let second = pods.list(&params.clone().continue_token(&token)).await.unwrap();
    assert_eq!((first.items.len(), second.items.len()), (2, 1));

    server.expire();
    assert_eq!(code(pods.list(&params.continue_token(&token)).await), 410);
}

#[tokio::test(start_paused = true)]
async fn a_watch_reports_changes_of_its_selection_and_fails_for_an_expired_version() {
    let server = ApiServer::new();
    let start = server.put("pods", pod("web", "Pending"));
    server.put("pods", pod("web", "Running"));
    server.put("pods", pod("web", "Succeeded"));
    let pods: Api<PartialObjectMeta<Pod>> = Api::all(server.client());
    let params = WatchParams::default().fields("status.phase!=Succeeded").timeout(10);

    let events = pods.watch(&params, &start.to_string()).await.unwrap();
    let kinds: Vec<_> = events.map_ok(|event| format!("{event:?}")).try_collect().await.unwrap();
    assert_eq!(kinds, ["Modified event", "Deleted event"]);

    server.expire();
    let events = pods.watch(&params, &start.to_string()).await.unwrap();
    pin_mut!(events);
    let Some(Ok(WatchEvent::Error(status))) = events.next().await else { panic!("no error") };
    assert_eq!(status.code, 410);
}

#[tokio::test(start_paused = true)]
async fn rules_apply_as_often_as_set_and_the_newest_takes_precedence() {
    let server = ApiServer::new();
    server.put("pods", pod("web", "Running"));
    let pods: Api<Pod> = Api::namespaced(server.client(), "shop");
    server.script(RequestMatcher::any(), Fault::Refuse(503));
    server.script(RequestMatcher::to(Verb::Get, "pods").times(1), Fault::Refuse(429));

    assert_eq!(code(pods.get("web").await), 429);
    assert_eq!(code(pods.get("web").await), 503);
    assert_eq!(server.seen(Verb::Get, "pods"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_with_a_lost_response_is_executed_and_a_lost_request_is_not() {
    let server = ApiServer::new();
    server.put("pods", pod("a", "Running"));
    server.put("pods", pod("b", "Running"));
    let pods: Api<Pod> = Api::namespaced(server.client(), "shop");
    let delete = |name| {
        let pods = pods.clone();
        async move { pods.delete(name, &DeleteParams::default()).await.map(drop) }
    };

    server.script(RequestMatcher::to(Verb::Delete, "pods").times(1), Fault::DropResponse);
    assert!(delete("a").await.is_err());
    let outage = server.disconnect();
    assert!(delete("b").await.is_err());
    server.lift(outage);
    assert_eq!(server.all("pods").len(), 1);

    server.script(RequestMatcher::to(Verb::Delete, "pods").times(1), Fault::Stall);
    assert!(timeout(Duration::from_secs(9), delete("b")).await.is_err());
}
