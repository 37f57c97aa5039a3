//! The cache of namespaces: their labels, and the `TraceBuffer` that they name.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tracebuffer::adapters::kubernetes::watch::NamespaceCache;

use super::cluster::{RecordedChanges, namespace, wait_until};
use crate::support::api_server::{ApiServer, Fault, RequestMatcher, Verb};

struct Harness {
    server: ApiServer,
    index: Arc<NamespaceCache>,
    changes: Arc<RecordedChanges>,
}

impl Harness {
    /// A server with the namespace `shop`, and an empty cache.
    fn idle() -> Self {
        let server = ApiServer::new();
        server.put("namespaces", namespace("shop", false));
        let changes = RecordedChanges::new();
        let index = Arc::new(NamespaceCache::new(server.client(), changes.clone()));
        Self { server, index, changes }
    }

    async fn running() -> Self {
        let harness = Self::idle();
        let index = Arc::clone(&harness.index);
        tokio::spawn(async move { index.run().await });
        wait_until("synced", || harness.index.is_synced()).await;
        harness.changes.take();
        harness
    }
}

fn with_annotation(name: &str, key: &str, value: &str) -> Value {
    let mut object = namespace(name, false);
    object["metadata"]["annotations"] = json!({ key: value });
    object
}

#[tokio::test(start_paused = true)]
async fn labels_and_the_named_trace_buffer_are_cached_and_their_changes_reported() {
    let harness = Harness::running().await;
    let annotated = with_annotation("shop", "tracebuffer.dev/tracebuffer", "platform/shared");

    harness.server.put("namespaces", annotated);
    wait_until("reported", || !harness.changes.take().is_empty()).await;

    let facts = harness.index.get("shop").unwrap();
    assert_eq!(facts.trace_buffer.as_deref(), Some("platform/shared"));

    harness.server.put("namespaces", namespace("shop", true));
    wait_until("asks", || harness.index.get("shop").unwrap().opted_in).await;
    assert_eq!(
        harness.changes.take(),
        ["tb platform/shared", "ns shop"],
        "the previously named TraceBuffer is reported"
    );

    harness.server.remove("namespaces", "", "shop");
    wait_until("gone", || harness.index.get("shop").is_none()).await;
    assert_eq!(harness.changes.take(), ["ns shop"]);
}

#[tokio::test(start_paused = true)]
async fn other_changes_of_a_namespace_are_not_reported() {
    let harness = Harness::running().await;

    harness.server.put("namespaces", with_annotation("shop", "example.com/note", "7"));
    sleep(Duration::from_secs(5)).await;

    assert_eq!(harness.changes.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_not_cached_is_read_but_not_kept() {
    let harness = Harness::idle();

    let facts = harness.index.look_up("shop").await.unwrap();
    assert_eq!(facts.name, "shop");
    assert_eq!(harness.server.seen(Verb::Get, "namespaces"), 1);

    assert!(harness.index.get("shop").is_none(), "it may be deleted before the watch begins");
}

#[tokio::test(start_paused = true)]
async fn a_cached_namespace_costs_no_request() {
    let harness = Harness::running().await;

    harness.index.look_up("shop").await.unwrap();

    assert_eq!(harness.server.seen(Verb::Get, "namespaces"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_cannot_be_read_is_unknown_within_a_second() {
    let harness = Harness::idle();
    let absent = harness.index.look_up("bank").await.unwrap_err();
    assert!(absent.0.starts_with("namespace bank: "), "{}", absent.0);

    for (fault, part) in [
        (Fault::Refuse(403), "namespace shop: "),
        (Fault::Stall, "namespace shop: the API server did not answer within a second"),
    ] {
        let rule = harness.server.script(RequestMatcher::to(Verb::Get, "namespaces"), fault);
        let unknown = harness.index.look_up("shop").await.unwrap_err();
        assert!(unknown.0.starts_with(part), "{}", unknown.0);
        harness.server.lift(rule);
    }
}
