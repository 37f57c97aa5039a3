//! The cache of pods, and of namespaces that opt in.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use tracebuffer::adapters::kubernetes::watch::{NamespaceCache, PodCache};
use tracebuffer::domain::operator::injection::pod_snapshot::Owner;
use tracebuffer::ports::operator::pods::PodLister;

use super::cluster::{RecordedChanges, key, namespace, pod, wait_until};
use crate::support::api_server::{ApiServer, Fault, RequestMatcher, Verb};

struct Harness {
    server: ApiServer,
    namespaces: Arc<NamespaceCache>,
    pods: Arc<PodCache>,
    changes: Arc<RecordedChanges>,
}

/// A server with the namespaces `shop`, which does not opt in, and `bank`, which does, and a pod with
/// and a pod without an annotation in each.
fn idle() -> Harness {
    let server = ApiServer::new();
    for (name, asks) in [("shop", false), ("bank", true)] {
        server.put("namespaces", namespace(name, asks));
        server.put("pods", pod(name, "blank", json!({})));
        server.put("pods", pod(name, "marked", json!({ "tracebuffer.dev/inject": "true" })));
    }
    let changes = RecordedChanges::new();
    let namespaces = Arc::new(NamespaceCache::new(server.client(), changes.clone()));
    let pods = PodCache::new(server.client(), Arc::clone(&namespaces), changes.clone());
    Harness { server, namespaces, pods: Arc::new(pods), changes }
}

/// The annotation of a pod with a sidecar from `shop/web`.
const INJECTED: &str = r#"{"injected":"shop/web","uid":"u","hash":"h","maxBytes":1048576}"#;

async fn running() -> Harness {
    let harness = idle();
    harness.run();
    wait_until("synced", || harness.pods.is_synced()).await;
    harness
}

/// The same after `shop` has opted in, while the list of its pods is under way.
async fn listing_slowly() -> Harness {
    let harness = running().await;
    let list = RequestMatcher::to(Verb::List, "pods").times(1);
    harness.server.script(list, Fault::DelayResponse(Duration::from_secs(20)));
    harness.server.put("namespaces", namespace("shop", true));
    wait_until("opted in", || harness.is_opted_in("shop")).await;
    sleep(Duration::from_secs(1)).await;
    harness
}

impl Harness {
    fn run(&self) {
        let (namespaces, pods) = (Arc::clone(&self.namespaces), Arc::clone(&self.pods));
        tokio::spawn(async move { namespaces.run().await });
        tokio::spawn(async move { pods.run().await });
    }

    fn is_opted_in(&self, namespace: &str) -> bool {
        self.pods.namespace(namespace).opted_in
    }

    fn names(&self, namespace: &str) -> Vec<String> {
        self.pods.in_namespace(namespace).iter().map(|pod| pod.key.name.clone()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn annotated_pods_are_cached_everywhere_and_other_pods_where_the_namespace_opts_in() {
    let harness = running().await;

    assert_eq!(harness.names("shop"), ["marked"]);
    assert_eq!(harness.names("bank"), ["blank", "marked"]);
    assert!(harness.is_opted_in("bank") && !harness.is_opted_in("shop"));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_contains_the_fields_that_the_reconciler_reads() {
    let harness = running().await;
    let mut object = pod(
        "shop",
        "web",
        json!({ "tracebuffer.dev/status": INJECTED, "tracebuffer.dev/limits": "max_spans=1" }),
    );
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    object["metadata"]["ownerReferences"] = json!([
        { "apiVersion": "v1", "kind": "Other", "name": "o", "uid": "0" },
        { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "1", "controller": true },
    ]);
    harness.server.put("pods", object);
    wait_until("known", || !harness.pods.referencing(&key("shop", "web")).is_empty()).await;

    let found = harness.pods.referencing(&key("shop", "web"));
    let [snapshot] = found.as_slice() else { panic!("{found:?}") };
    let owner = Owner {
        api_version: "apps/v1".into(),
        kind: "ReplicaSet".into(),
        name: "rs".into(),
        uid: "1".into(),
    };
    assert_eq!((&snapshot.key, &snapshot.owner), (&key("shop", "web"), &Some(owner)));
    assert_eq!(snapshot.limits.as_deref(), Some("max_spans=1"));
    assert!(
        snapshot.is_terminating && snapshot.uid.starts_with("uid-") && snapshot.inject.is_none()
    );
    assert!(harness.pods.referencing(&key("shop", "other")).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_or_loses_its_annotation_is_reported_and_removed() {
    let harness = running().await;
    harness.changes.take();
    let mut ended = harness.server.get("pods", "shop", "marked").unwrap();
    ended["status"]["phase"] = json!("Succeeded");
    harness.server.put("pods", ended);
    wait_until("gone", || harness.names("shop").is_empty()).await;
    assert_eq!(harness.changes.take(), ["pod shop/marked"]);

    harness.server.put("pods", pod("shop", "blank", json!({ "tracebuffer.dev/inject": "x" })));
    wait_until("known", || harness.names("shop") == ["blank"]).await;
    harness.server.put("pods", pod("shop", "blank", json!({})));
    wait_until("gone", || harness.names("shop").is_empty()).await;
    assert_eq!(harness.changes.take(), ["pod shop/blank", "pod shop/blank"]);
}

#[tokio::test(start_paused = true)]
async fn the_pods_of_a_namespace_are_listed_when_it_opts_in_and_removed_when_it_no_longer_does() {
    let harness = running().await;
    for number in 0..250 {
        harness.server.put("pods", pod("shop", &format!("many-{number}"), json!({})));
    }
    harness.changes.take();

    harness.server.put("namespaces", namespace("shop", true));
    wait_until("known", || harness.names("shop").len() == 252).await;
    wait_until("synced again", || harness.pods.is_synced()).await;
    assert_eq!(
        harness.changes.take().len(),
        252,
        "the namespace and every unannotated pod are reported"
    );

    harness.server.put("pods", pod("shop", "new", json!({})));
    wait_until("new ones too", || harness.names("shop").len() == 253).await;

    harness.server.put("namespaces", namespace("shop", false));
    wait_until("forgotten", || harness.names("shop") == ["marked"]).await;
    assert!(!harness.is_opted_in("shop"));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_whose_pods_cannot_be_listed_is_retried_and_not_synced_until_then() {
    let harness = running().await;
    let rule = harness.server.script(RequestMatcher::to(Verb::List, "pods"), Fault::Refuse(429));
    harness.server.put("namespaces", namespace("shop", true));
    wait_until("asks", || harness.is_opted_in("shop")).await;
    sleep(Duration::from_secs(20)).await;
    assert!(!harness.pods.is_synced());

    harness.server.lift(rule);
    wait_until("synced", || harness.pods.is_synced()).await;
    assert_eq!(harness.names("shop"), ["blank", "marked"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_pods_that_a_relist_overtakes_restores_no_deleted_pod() {
    let harness = listing_slowly().await;

    harness.server.remove("pods", "shop", "blank");
    harness.server.put("pods", pod("shop", "new", json!({})));
    harness.server.expire();

    wait_until("synced", || harness.pods.is_synced()).await;
    assert_eq!(harness.names("shop"), ["marked", "new"]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_opts_out_and_in_again_while_its_pods_are_listed_is_listed_again() {
    let harness = listing_slowly().await;

    harness.server.put("namespaces", namespace("shop", false));
    wait_until("opted out", || !harness.is_opted_in("shop")).await;
    harness.server.put("pods", pod("shop", "meanwhile", json!({})));
    harness.server.remove("pods", "shop", "blank");
    sleep(Duration::from_secs(1)).await;
    harness.server.put("namespaces", namespace("shop", true));

    wait_until("synced", || harness.is_opted_in("shop") && harness.pods.is_synced()).await;
    assert_eq!(harness.names("shop"), ["marked", "meanwhile"]);
}

#[tokio::test(start_paused = true)]
async fn changes_are_reported_after_the_history_expired() {
    let harness = running().await;
    let outage = harness.server.disconnect();
    harness.server.remove("pods", "bank", "marked");
    harness.server.remove("namespaces", "", "bank");
    harness.server.put("namespaces", namespace("shop", true));
    harness.server.expire();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(harness.names("bank"), ["blank", "marked"]);

    harness.server.lift(outage);
    wait_until("set right", || {
        harness.names("bank").is_empty() && harness.names("shop").len() == 2
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pods_are_listed_in_pages() {
    let harness = idle();
    for number in 0..250 {
        let marked = json!({ "tracebuffer.dev/inject": "true" });
        harness.server.put("pods", pod("shop", &format!("many-{number}"), marked));
    }
    harness.run();

    wait_until("synced", || harness.pods.is_synced()).await;
    assert_eq!(harness.names("shop").len(), 251);
    assert_eq!(
        harness.server.seen(Verb::List, "pods"),
        3 + 1 + 1,
        "three pages, `bank` and injected pods"
    );
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_watch_of_namespaces_names_the_missing_rule() {
    let harness = idle();
    harness.server.script(RequestMatcher::about("namespaces"), Fault::Refuse(403));
    harness.run();
    wait_until("failure", || harness.namespaces.failure().is_some()).await;

    let failure = harness.namespaces.failure().unwrap();
    assert!(failure.contains("resources: [\"namespaces\"], verbs: [list, watch]"), "{failure}");
    assert!(!harness.pods.is_synced());
}

#[tokio::test(start_paused = true)]
async fn the_pods_of_a_trace_buffer_are_those_built_from_it_and_those_that_name_it_in_full() {
    let harness = running().await;
    for (name, annotations) in [
        ("made", json!({ "tracebuffer.dev/status": INJECTED })),
        ("named", json!({ "tracebuffer.dev/inject": "shop/web" })),
        ("short", json!({ "tracebuffer.dev/inject": "web" })),
        ("other", json!({ "tracebuffer.dev/inject": "shop/webb" })),
    ] {
        harness.server.put("pods", pod("bank", name, annotations));
    }
    wait_until("known", || harness.names("bank").len() == 6).await;

    let names = |harness: &Harness| {
        let found = harness.pods.referencing(&key("shop", "web"));
        found.iter().map(|pod| pod.key.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&harness), ["made", "named"]);
    assert_eq!(harness.pods.all().len(), 7);

    let mut naming = namespace("shop", false);
    naming["metadata"]["annotations"] = json!({ "tracebuffer.dev/tracebuffer": "web" });
    harness.server.put("namespaces", naming);
    wait_until("named", || names(&harness) == ["made", "named", "marked"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_fields_that_are_not_cached_is_not_reported() {
    let harness = running().await;
    harness.changes.take();
    let mut changed = harness.server.get("pods", "shop", "marked").unwrap();
    changed["metadata"]["annotations"]["example.com/other"] = json!("1");
    changed["status"]["podIP"] = json!("10.0.0.1");
    harness.server.put("pods", changed.clone());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(harness.changes.take(), [""; 0]);

    let same = harness.server.get("pods", "shop", "marked").unwrap();
    changed["metadata"]["annotations"]["tracebuffer.dev/inject"] = json!("web");
    harness.server.put("pods", changed);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(harness.changes.take(), ["pod shop/marked"]);

    harness.server.send_event("pods", "MODIFIED", same);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(harness.changes.take(), [""; 0], "an older version that arrives late");
}

#[tokio::test(start_paused = true)]
async fn an_owner_with_fields_longer_than_kubernetes_allows_is_not_kept() {
    let harness = running().await;
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "1", "controller": true,
    });
    for (number, field) in ["apiVersion", "kind", "name", "uid"].into_iter().enumerate() {
        let mut object =
            pod("shop", &format!("p{number}"), json!({ "tracebuffer.dev/inject": "x" }));
        object["metadata"]["ownerReferences"] = json!([owner]);
        object["metadata"]["ownerReferences"][0][field] = json!("a".repeat(1000));
        harness.server.put("pods", object);
    }
    wait_until("known", || harness.names("shop").len() == 5).await;

    assert!(harness.pods.all().iter().all(|pod| pod.owner.is_none()));
}
