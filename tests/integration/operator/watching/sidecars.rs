//! Which sidecars do not run.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tracebuffer::adapters::kubernetes::watch::{NamespaceCache, PodCache};
use tracebuffer::domain::operator::injection::pod_snapshot::PodSnapshot;
use tracebuffer::ports::operator::pods::PodLister;

use super::cluster::{RecordedChanges, key, pod, wait_until};
use crate::support::api_server::{ApiServer, Verb};

const INJECTED: &str = r#"{"injected":"shop/web","uid":"u","hash":"h","maxBytes":1048576}"#;

/// An injected pod whose sidecar is in this state.
fn injected_pod(name: &str, state: &Value) -> Value {
    let annotations =
        json!({ "tracebuffer.dev/inject": "true", "tracebuffer.dev/status": INJECTED });
    let mut pod = pod("shop", name, annotations);
    pod["metadata"]["labels"] = json!({ "tracebuffer.dev/injected": "true" });
    let container = |name: &str, state: &Value| {
        json!({
            "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": state,
        })
    };
    // The application's own failures are not those of the sidecar.
    let app = json!({ "waiting": { "reason": "ErrImagePull" } });
    pod["status"]["initContainerStatuses"] = json!([container("tracebuffer", state)]);
    pod["status"]["containerStatuses"] = json!([container("app", &app)]);
    pod
}

fn waiting(reason: &str) -> Value {
    json!({ "waiting": { "reason": reason, "message": "so" } })
}

fn running() -> Value {
    json!({ "running": {} })
}

struct Watched {
    server: ApiServer,
    pods: Arc<PodCache>,
    changes: Arc<RecordedChanges>,
}

impl Watched {
    /// A synced cache of the pods `a`, whose sidecar runs, and `b`, whose sidecar crashes.
    async fn start() -> Self {
        let server = ApiServer::new();
        server.put("pods", injected_pod("a", &running()));
        server.put("pods", injected_pod("b", &waiting("CrashLoopBackOff")));
        let changes = RecordedChanges::new();
        let namespaces = Arc::new(NamespaceCache::new(server.client(), changes.clone()));
        let pods = PodCache::new(server.client(), Arc::clone(&namespaces), changes.clone());
        let pods = Arc::new(pods);
        tokio::spawn(async move { namespaces.run().await });
        tokio::spawn({
            let pods = Arc::clone(&pods);
            async move { pods.run().await }
        });
        let watched = Self { server, pods, changes };
        wait_until("synced", || watched.pods.is_synced()).await;
        watched.changes.take();
        watched
    }

    /// The kubelet's reason for which the sidecar of a pod does not run.
    fn reason(&self, name: &str) -> Option<String> {
        let all = self.pods.all();
        let pod = all.iter().find(|pod| pod.key == key("shop", name))?;
        self.pods.sidecar_failure(pod).map(|failure| failure.reason.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_fails_from_the_first_report_of_the_kubelet_to_the_last() {
    let watched = Watched::start().await;
    assert_eq!(watched.reason("a"), None);
    assert_eq!(watched.reason("b").as_deref(), Some("CrashLoopBackOff"));

    watched.server.put("pods", injected_pod("a", &waiting("ErrImagePull")));
    watched.server.put("pods", injected_pod("b", &running()));
    sleep(Duration::from_secs(1)).await;

    assert_eq!(watched.reason("a").as_deref(), Some("ErrImagePull"));
    assert_eq!(watched.reason("b"), None);
    assert_eq!(watched.changes.take(), ["pod shop/a", "pod shop/b"]);

    watched.server.put("pods", injected_pod("a", &waiting("ErrImagePull")));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(watched.changes.take(), Vec::<String>::new(), "the same state is no change");
}

#[tokio::test(start_paused = true)]
async fn a_change_during_an_outage_is_found_when_pods_are_listed_again() {
    let watched = Watched::start().await;
    let outage = watched.server.disconnect();
    watched.server.put("pods", injected_pod("a", &waiting("ErrImagePull")));
    watched.server.remove("pods", "shop", "b");
    watched.server.expire();
    sleep(Duration::from_mins(2)).await;
    watched.server.lift(outage);

    wait_until("listed", || watched.reason("a").is_some()).await;

    assert_eq!(watched.reason("b"), None);
    assert!(watched.changes.take().contains(&"everything".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_later_pod_of_the_same_name_does_not_inherit_the_failure() {
    let watched = Watched::start().await;
    let all = watched.pods.all();
    let earlier = all.iter().find(|pod| pod.key == key("shop", "b")).unwrap();
    let later = PodSnapshot { uid: "another".into(), ..(**earlier).clone() };

    assert!(watched.pods.sidecar_failure(earlier).is_some());
    assert!(watched.pods.sidecar_failure(&later).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_longer_pause_between_restarts_is_no_change() {
    let watched = Watched::start().await;
    for seconds in [10, 20, 40] {
        let message = format!("back-off {seconds}s restarting failed container");
        let state = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": message } });
        watched.server.put("pods", injected_pod("b", &state));
        sleep(Duration::from_secs(1)).await;
    }

    assert_eq!(watched.changes.take(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn only_pods_with_the_label_are_read_in_full() {
    let watched = Watched::start().await;
    assert_eq!(watched.server.seen(Verb::List, "pods"), 2, "by their metadata, and injected ones");

    let mut unlabelled = injected_pod("c", &waiting("ErrImagePull"));
    unlabelled["metadata"]["labels"] = json!({});
    watched.server.put("pods", unlabelled);
    sleep(Duration::from_secs(1)).await;

    assert!(watched.pods.all().iter().any(|pod| pod.key == key("shop", "c")));
    assert_eq!(watched.reason("c"), None);
}

/// The state of a container that ended with this termination message.
fn ended(message: &str) -> Value {
    json!({ "terminated": { "exitCode": 0, "message": message } })
}

#[tokio::test(start_paused = true)]
async fn what_a_sidecar_lost_is_reported_when_it_ends_also_with_its_pod() {
    let watched = Watched::start().await;
    let lossy = r#"{"received":9,"delivered":2,"lost":{"overflow":3,"shutdown":4}}"#;

    watched.server.put("pods", injected_pod("a", &ended(lossy)));
    let mut completed = injected_pod("b", &ended(lossy));
    completed["status"]["phase"] = "Succeeded".into();
    watched.server.put("pods", completed);
    sleep(Duration::from_secs(1)).await;

    let mut changes = watched.changes.take();
    changes.retain(|change| change.starts_with("lost"));
    assert_eq!(
        changes,
        ["lost shop/a: overflow 3, shutdown 4", "lost shop/b: overflow 3, shutdown 4"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_lost_nothing_or_whose_message_is_no_ledger_is_not_reported() {
    let watched = Watched::start().await;

    for message in [r#"{"received":9,"delivered":9,"lost":{}}"#, "it hung", "{}", ""] {
        watched.server.put("pods", injected_pod("a", &ended(message)));
        sleep(Duration::from_secs(1)).await;
    }

    assert_eq!(watched.changes.take(), Vec::<String>::new());
}
