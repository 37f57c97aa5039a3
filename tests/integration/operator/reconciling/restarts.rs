use serde_json::{Value, json};
use tracebuffer::domain::operator::injection::pod_snapshot::{Owner, PodSnapshot};
use tracebuffer::domain::operator::object_key::ObjectKey;
use tracebuffer::domain::operator::reconcile::rollout::RolloutProgress;
use tracebuffer::ports::operator::cluster::{Cluster, ClusterError, Workload};

use super::harness::{
    DEPLOYMENTS, TestOperator, change_spec, events, injected_pod_annotations, put_deployment,
    put_pod, shop_cluster, sleep_seconds, uid,
};
use crate::support::api_server::{ApiServer, Fault, RequestMatcher, Verb};

const ROLLOUT: &str = "tracebuffer.dev/rollout";

fn on_change(drain: &str) -> Value {
    json!({ "drainTimeout": drain, "rollout": { "strategy": "OnChange", "interval": "0s" } })
}

fn revision(server: &ApiServer, name: &str) -> Option<String> {
    let object = server.get(DEPLOYMENTS, "shop", name).unwrap();
    let template = &object["spec"]["template"]["metadata"]["annotations"][ROLLOUT];
    assert_eq!(object["metadata"]["annotations"][ROLLOUT], *template);
    template.as_str().map(str::to_owned)
}

/// Completes the rollout of a Deployment, as its controller does.
fn complete(server: &ApiServer, name: &str, operator: &TestOperator) {
    let mut object = server.get(DEPLOYMENTS, "shop", name).unwrap();
    object["status"]["observedGeneration"] = object["metadata"]["generation"].clone();
    server.put(DEPLOYMENTS, object);
    put_pod(server, name, name, &injected_pod_annotations(operator));
}

/// Returns the workload `web` of this kind.
fn workload(server: &ApiServer, kind: &str, resource: &str) -> Workload {
    let object = Owner {
        api_version: "apps/v1".into(),
        kind: kind.into(),
        name: "web".into(),
        uid: uid(server, resource, "web").as_str().unwrap().into(),
    };
    Workload { namespace: "shop".into(), object }
}

async fn two_deployments() -> (ApiServer, TestOperator) {
    let server = shop_cluster();
    put_deployment(&server, "api");
    change_spec(&server, &on_change("5s"));
    let operator = TestOperator::start_leading(&server).await;
    for name in ["api", "web"] {
        put_pod(&server, name, name, &injected_pod_annotations(&operator));
    }
    sleep_seconds(10).await;
    assert_eq!((revision(&server, "api"), revision(&server, "web")), (None, None));
    (server, operator)
}

#[tokio::test(start_paused = true)]
async fn owners_are_restarted_by_their_template_one_after_another() {
    let (server, operator) = two_deployments().await;

    change_spec(&server, &on_change("6s"));
    sleep_seconds(60).await;
    assert!(revision(&server, "api").is_some());
    assert_eq!(revision(&server, "web"), None, "web waits for api");

    complete(&server, "api", &operator);
    sleep_seconds(10).await;
    assert_eq!(revision(&server, "web"), revision(&server, "api"));

    complete(&server, "web", &operator);
    sleep_seconds(600).await;
    assert_eq!(server.seen(Verb::Patch, DEPLOYMENTS), 2);
    assert!(events(&server).contains(&"Deployment/api Restarted".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_restarts_no_owner_twice() {
    let (server, operator) = two_deployments().await;
    change_spec(&server, &on_change("6s"));
    sleep_seconds(10).await;
    operator.set_leading(false).await;

    let next = TestOperator::start_leading(&server).await;
    sleep_seconds(60).await;

    assert_eq!(server.seen(Verb::Patch, DEPLOYMENTS), 1);
    assert_eq!(revision(&server, "web"), None);
    drop(next);
}

#[tokio::test(start_paused = true)]
async fn a_restart_based_on_an_outdated_status_is_rejected() {
    let (server, operator) = two_deployments().await;
    let workload = workload(&server, "Deployment", DEPLOYMENTS);
    let observed = operator.cluster.get_workload(&workload).await.unwrap().unwrap();

    let mut changed = server.get(DEPLOYMENTS, "shop", "web").unwrap();
    changed["spec"]["replicas"] = json!(2);
    server.put(DEPLOYMENTS, changed);
    let restarted = operator.cluster.restart(&workload, &observed, "m").await;

    assert_eq!(restarted, Err(ClusterError::Conflict));
    assert_eq!(revision(&server, "web"), None);
}

#[tokio::test(start_paused = true)]
async fn without_permission_to_restart_the_error_names_the_chart_value_to_set() {
    let (server, operator) = two_deployments().await;
    server.script(RequestMatcher::to(Verb::Patch, DEPLOYMENTS), Fault::Refuse(403));
    let workload = workload(&server, "Deployment", DEPLOYMENTS);
    let observed = operator.cluster.get_workload(&workload).await.unwrap().unwrap();

    let error = operator.cluster.restart(&workload, &observed, "m").await.unwrap_err().to_string();

    assert!(error.starts_with("cannot restart Deployment shop/web: "), "{error}");
    assert!(error.contains("rollouts.enabled"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_owner_forged_by_a_pod_does_not_affect_another_namespace() {
    let (server, operator) = two_deployments().await;
    let own = pod("shop", "apps/v1", "ReplicaSet", &uid(&server, "replicasets.apps", "web-1"));
    let found = operator.cluster.workload_of(&own).await.unwrap();
    assert_eq!((found.namespace.as_str(), found.object.name.as_str()), ("shop", "web"));

    for (api_version, kind) in [("apps/v1", "ReplicaSet"), ("bogus/v1", "Foo")] {
        let uid = &own.owner.as_ref().unwrap().uid;
        let forged = pod("cart", api_version, kind, &json!(uid));
        match operator.cluster.workload_of(&forged).await {
            Ok(found) => assert_eq!(found.namespace, "cart"),
            Err(error) => assert_eq!(error, ClusterError::NotFound),
        }
    }
}

/// Returns a pod with an owner reference to this controller.
fn pod(namespace: &str, api_version: &str, kind: &str, uid: &Value) -> PodSnapshot {
    let owner = Owner {
        api_version: api_version.into(),
        kind: kind.into(),
        name: "web-1".into(),
        uid: uid.as_str().unwrap().into(),
    };
    PodSnapshot {
        key: ObjectKey { namespace: namespace.into(), name: "p".into() },
        uid: "u".into(),
        owner: Some(owner),
        inject: Some("true".into()),
        status: None,
        limits: None,
        is_terminating: false,
    }
}

#[tokio::test(start_paused = true)]
async fn other_supported_kinds_are_restarted_too_and_unsupported_ones_are_not() {
    let (server, operator) = two_deployments().await;
    for (kind, resource) in [("StatefulSet", "statefulsets.apps"), ("DaemonSet", "daemonsets.apps")]
    {
        server.put(
            resource,
            json!({
                "apiVersion": "apps/v1", "kind": kind,
                "metadata": { "name": "web", "namespace": "shop" },
                "spec": {
                    "replicas": 1, "selector": {}, "serviceName": "web",
                    "template": { "metadata": {} },
                },
                "status": {
                    "observedGeneration": 1, "replicas": 1, "readyReplicas": 1,
                    "currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 0,
                    "numberReady": 1, "numberAvailable": 1, "updatedNumberScheduled": 1,
                },
            }),
        );
        let workload = workload(&server, kind, resource);
        let observed = operator.cluster.get_workload(&workload).await.unwrap().unwrap();
        assert_eq!(
            (&observed.progress, &observed.revision),
            (&RolloutProgress::Complete, &None),
            "{kind}"
        );

        operator.cluster.restart(&workload, &observed, "m").await.unwrap();

        let object = server.get(resource, "shop", "web").unwrap();
        assert_eq!(object["spec"]["template"]["metadata"]["annotations"][ROLLOUT], "m");
        let observed = operator.cluster.get_workload(&workload).await.unwrap().unwrap();
        assert_eq!(observed.revision.as_deref(), Some("m"), "{kind}");
    }
    let job = workload(&server, "Job", DEPLOYMENTS);
    assert_eq!(operator.cluster.get_workload(&job).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_workload_created_again_under_the_same_name_is_not_restarted() {
    let (server, operator) = two_deployments().await;
    let mut workload = workload(&server, "Deployment", DEPLOYMENTS);
    workload.object.uid = "another".into();

    assert_eq!(operator.cluster.get_workload(&workload).await, Err(ClusterError::NotFound));
}
