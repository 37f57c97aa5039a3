//! The pods, and the namespaces that ask for all of theirs.

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
    index: Arc<PodCache>,
    heard: Arc<RecordedChanges>,
}

/// A server with the namespaces `shop`, which does not ask, and `bank`, which does, and a bare and
/// an annotated pod in each.
fn idle() -> Harness {
    let server = ApiServer::new();
    for (name, asks) in [("shop", false), ("bank", true)] {
        server.put("namespaces", namespace(name, asks));
        server.put("pods", pod(name, "bare", json!({})));
        server.put("pods", pod(name, "marked", json!({ "tracebuffer.dev/inject": "true" })));
    }
    let heard = RecordedChanges::new();
    let namespaces = Arc::new(NamespaceCache::new(server.client(), heard.clone()));
    let index = PodCache::new(server.client(), Arc::clone(&namespaces), heard.clone());
    Harness { server, namespaces, index: Arc::new(index), heard }
}

/// The annotation of a pod with a sidecar from `shop/web`.
const INJECTED: &str = r#"{"injected":"shop/web","uid":"u","hash":"h","maxBytes":1048576}"#;

async fn running() -> Harness {
    let scene = idle();
    scene.run();
    wait_until("synced", || scene.index.is_synced()).await;
    scene
}

impl Harness {
    fn run(&self) {
        let (namespaces, index) = (Arc::clone(&self.namespaces), Arc::clone(&self.index));
        tokio::spawn(async move { namespaces.run().await });
        tokio::spawn(async move { index.run().await });
    }

    fn asks(&self, namespace: &str) -> bool {
        self.index.namespace(namespace).opted_in
    }

    fn names(&self, namespace: &str) -> Vec<String> {
        self.index.in_namespace(namespace).iter().map(|pod| pod.key.name.clone()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn marked_pods_are_known_everywhere_and_bare_ones_where_the_namespace_asks() {
    let scene = running().await;

    assert_eq!(scene.names("shop"), ["marked"]);
    assert_eq!(scene.names("bank"), ["bare", "marked"]);
    assert!(scene.asks("bank") && !scene.asks("shop"));
}

#[tokio::test(start_paused = true)]
async fn a_record_has_what_the_controller_looks_at() {
    let scene = running().await;
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
    scene.server.put("pods", object);
    wait_until("known", || !scene.index.referencing(&key("shop", "web")).is_empty()).await;

    let found = scene.index.referencing(&key("shop", "web"));
    let [record] = found.as_slice() else { panic!("{found:?}") };
    let owner = Owner {
        api_version: "apps/v1".into(),
        kind: "ReplicaSet".into(),
        name: "rs".into(),
        uid: "1".into(),
    };
    assert_eq!((&record.key, &record.owner), (&key("shop", "web"), &Some(owner)));
    assert_eq!(record.limits.as_deref(), Some("max_spans=1"));
    assert!(record.is_terminating && record.uid.starts_with("uid-") && record.inject.is_none());
    assert!(scene.index.referencing(&key("shop", "other")).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_or_loses_its_mark_is_told_and_forgotten() {
    let scene = running().await;
    scene.heard.take();
    let mut over = scene.server.get("pods", "shop", "marked").unwrap();
    over["status"]["phase"] = json!("Succeeded");
    scene.server.put("pods", over);
    wait_until("gone", || scene.names("shop").is_empty()).await;
    assert_eq!(scene.heard.take(), ["pod shop/marked"]);

    scene.server.put("pods", pod("shop", "bare", json!({ "tracebuffer.dev/inject": "x" })));
    wait_until("known", || scene.names("shop") == ["bare"]).await;
    scene.server.put("pods", pod("shop", "bare", json!({})));
    wait_until("gone", || scene.names("shop").is_empty()).await;
    assert_eq!(scene.heard.take(), ["pod shop/bare", "pod shop/bare"]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_begins_to_ask_makes_its_pods_known_and_one_that_stops_forgets_them() {
    let scene = running().await;
    for number in 0..250 {
        scene.server.put("pods", pod("shop", &format!("many-{number}"), json!({})));
    }
    scene.heard.take();

    scene.server.put("namespaces", namespace("shop", true));
    wait_until("known", || scene.names("shop").len() == 252).await;
    wait_until("synced again", || scene.index.is_synced()).await;
    assert_eq!(scene.heard.take().len(), 252, "the namespace and every bare pod are told");

    scene.server.put("pods", pod("shop", "new", json!({})));
    wait_until("new ones too", || scene.names("shop").len() == 253).await;

    scene.server.put("namespaces", namespace("shop", false));
    wait_until("forgotten", || scene.names("shop") == ["marked"]).await;
    assert!(!scene.asks("shop"));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_whose_pods_cannot_be_listed_is_tried_again_and_not_synced_until_then() {
    let scene = running().await;
    let rule = scene.server.script(RequestMatcher::to(Verb::List, "pods"), Fault::Refuse(429));
    scene.server.put("namespaces", namespace("shop", true));
    wait_until("asks", || scene.asks("shop")).await;
    sleep(Duration::from_secs(20)).await;
    assert!(!scene.index.is_synced());

    scene.server.lift(rule);
    wait_until("synced", || scene.index.is_synced()).await;
    assert_eq!(scene.names("shop"), ["bare", "marked"]);
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_history_expired_is_set_right() {
    let scene = running().await;
    let away = scene.server.disconnect();
    scene.server.remove("pods", "bank", "marked");
    scene.server.remove("namespaces", "", "bank");
    scene.server.put("namespaces", namespace("shop", true));
    scene.server.expire();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(scene.names("bank"), ["bare", "marked"]);

    scene.server.lift(away);
    wait_until("set right", || scene.names("bank").is_empty() && scene.names("shop").len() == 2)
        .await;
}

#[tokio::test(start_paused = true)]
async fn pods_are_listed_in_pages() {
    let scene = idle();
    for number in 0..250 {
        let marked = json!({ "tracebuffer.dev/inject": "true" });
        scene.server.put("pods", pod("shop", &format!("many-{number}"), marked));
    }
    scene.run();

    wait_until("synced", || scene.index.is_synced()).await;
    assert_eq!(scene.names("shop").len(), 251);
    assert_eq!(scene.server.seen(Verb::List, "pods"), 3 + 1, "three pages, and `bank`");
}

#[tokio::test(start_paused = true)]
async fn forbidden_namespaces_are_named() {
    let scene = idle();
    scene.server.script(RequestMatcher::about("namespaces"), Fault::Refuse(403));
    scene.run();
    wait_until("trouble", || scene.index.failure().is_some()).await;

    let trouble = scene.index.failure().unwrap();
    assert!(trouble.contains("resources: [\"namespaces\"], verbs: [list, watch]"), "{trouble}");
    assert!(!scene.index.is_synced());
}

#[tokio::test(start_paused = true)]
async fn a_trace_buffer_is_used_by_those_made_from_it_and_those_that_name_it_in_full() {
    let scene = running().await;
    for (name, annotations) in [
        ("made", json!({ "tracebuffer.dev/status": INJECTED })),
        ("named", json!({ "tracebuffer.dev/inject": "shop/web" })),
        ("short", json!({ "tracebuffer.dev/inject": "web" })),
        ("other", json!({ "tracebuffer.dev/inject": "shop/webb" })),
    ] {
        scene.server.put("pods", pod("bank", name, annotations));
    }
    wait_until("known", || scene.names("bank").len() == 6).await;

    let names = |scene: &Harness| {
        let found = scene.index.referencing(&key("shop", "web"));
        found.iter().map(|pod| pod.key.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&scene), ["made", "named"]);
    assert_eq!(scene.index.all().len(), 7);

    let mut naming = namespace("shop", false);
    naming["metadata"]["annotations"] = json!({ "tracebuffer.dev/tracebuffer": "web" });
    scene.server.put("namespaces", naming);
    wait_until("named", || names(&scene) == ["made", "named", "marked"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_nothing_that_is_kept_is_not_reported() {
    let scene = running().await;
    scene.heard.take();
    let mut changed = scene.server.get("pods", "shop", "marked").unwrap();
    changed["metadata"]["annotations"]["example.com/other"] = json!("1");
    changed["status"]["podIP"] = json!("10.0.0.1");
    scene.server.put("pods", changed.clone());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.heard.take(), [""; 0]);

    let same = scene.server.get("pods", "shop", "marked").unwrap();
    changed["metadata"]["annotations"]["tracebuffer.dev/inject"] = json!("web");
    scene.server.put("pods", changed);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.heard.take(), ["pod shop/marked"]);

    scene.server.send_event("pods", "MODIFIED", same);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.heard.take(), [""; 0], "an older version that arrives late");
}

#[tokio::test(start_paused = true)]
async fn an_owner_with_fields_longer_than_kubernetes_allows_is_not_kept() {
    let scene = running().await;
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "1", "controller": true,
    });
    for (number, field) in ["apiVersion", "kind", "name", "uid"].into_iter().enumerate() {
        let mut object =
            pod("shop", &format!("p{number}"), json!({ "tracebuffer.dev/inject": "x" }));
        object["metadata"]["ownerReferences"] = json!([owner]);
        object["metadata"]["ownerReferences"][0][field] = json!("a".repeat(1000));
        scene.server.put("pods", object);
    }
    wait_until("known", || scene.names("shop").len() == 5).await;

    assert!(scene.index.all().iter().all(|pod| pod.owner.is_none()));
}
