//! A cluster with operators.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracebuffer::adapters::kubernetes::controller::{KubeCaches, KubeCluster};
use tracebuffer::adapters::kubernetes::pod::status::to_annotation;
use tracebuffer::adapters::kubernetes::sidecar::SidecarDefaults;
use tracebuffer::adapters::kubernetes::watch::{
    NamespaceCache, PodCache, TraceBufferCache, WebhookObjectNames, WebhookWatch,
};
use tracebuffer::application::operator::reconcile::queue::WorkQueue;
use tracebuffer::application::operator::reconcile::{ReconcileContext, Reconciler};
use tracebuffer::domain::limits_text;
use tracebuffer::domain::operator::injection::facts::ClusterFacts;
use tracebuffer::domain::operator::injection::status::{InjectedSidecar, InjectionStatus};
use tracebuffer::domain::operator::object_key::ObjectKey;
use tracebuffer::domain::operator::reconcile::trace_buffer_status::PodCounts;
use tracebuffer::ports::operator::reconcile::{ReconcileMonitor, ReconcileOutcome};

use crate::support::api_server::ApiServer;

pub(crate) const TRACE_BUFFERS: &str = "tracebuffers.tracebuffer.dev";
pub(crate) const DEPLOYMENTS: &str = "deployments.apps";
pub(crate) const WEBHOOK_CONFIGURATIONS: &str =
    "mutatingwebhookconfigurations.admissionregistration.k8s.io";
pub(crate) const ENDPOINT_SLICES: &str = "endpointslices.discovery.k8s.io";
pub(crate) const EVENTS: &str = "events.events.k8s.io";

/// One replica, with its caches and its reconciler.
pub(crate) struct TestOperator {
    pub(crate) cluster: Arc<KubeCluster>,
    pub(crate) trace_buffers: Arc<TraceBufferCache>,
    leading: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

struct NoopMonitor;

impl ReconcileMonitor for NoopMonitor {
    fn reconciled(&self, _: ReconcileOutcome, _: Duration) {}

    fn pod_counts(&self, _: &ObjectKey, _: Option<PodCounts>) {}

    fn missing_pods(&self, _: &BTreeMap<&'static str, u64>) {}

    fn leadership_lost(&self) {}
}

impl Drop for TestOperator {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl TestOperator {
    /// Starts a replica that is synced and does not lead.
    pub(crate) async fn start(server: &ApiServer, may_look_up: bool) -> Self {
        let queue = Arc::new(WorkQueue::default());
        let defaults =
            SidecarDefaults { image: "tracebuffer:1".into(), ..SidecarDefaults::unknown() };
        let caches = TraceBufferCache::new(server.client(), defaults, queue.clone());
        let trace_buffers = Arc::new(caches);
        let namespaces = Arc::new(NamespaceCache::new(server.client(), queue.clone()));
        let pods = PodCache::new(server.client(), Arc::clone(&namespaces), queue.clone());
        let pods = Arc::new(pods);
        let names =
            WebhookObjectNames { configuration: "tracebuffer".into(), namespace: "ops".into() };
        let webhook = WebhookWatch::new(server.client(), names, queue.clone(), |_| None);
        let webhook = Arc::new(webhook);
        let cluster = Arc::new(KubeCluster::new(
            server.client(),
            KubeCaches {
                trace_buffers: Arc::clone(&trace_buffers),
                pods: Arc::clone(&pods),
                webhook: Arc::clone(&webhook),
            },
            may_look_up,
            "operator-0",
        ));
        let reconciler = Reconciler::new(ReconcileContext {
            cluster: Arc::clone(&cluster),
            pods: Arc::clone(&pods),
            queue,
            monitor: Arc::new(NoopMonitor),
            facts: ClusterFacts { operator_namespace: "ops".into(), ..ClusterFacts::default() },
            random: || 5_000_000_000,
        });
        let (leading, is_leading) = watch::channel(false);
        let tasks = vec![
            tokio::spawn({
                let trace_buffers = Arc::clone(&trace_buffers);
                async move { trace_buffers.run().await }
            }),
            tokio::spawn(async move { namespaces.run().await }),
            tokio::spawn(async move { pods.run().await }),
            tokio::spawn(async move { webhook.run().await }),
            tokio::spawn(async move { reconciler.run(is_leading).await }),
        ];
        let operator = Self { cluster, trace_buffers, leading, tasks };
        sleep_seconds(2).await;
        operator
    }

    /// Starts a leader that may look up references.
    pub(crate) async fn start_leading(server: &ApiServer) -> Self {
        let operator = Self::start(server, true).await;
        operator.set_leading(true).await;
        operator
    }

    pub(crate) async fn set_leading(&self, leads: bool) {
        self.leading.send(leads).unwrap();
        sleep_seconds(10).await;
    }
}

pub(crate) async fn sleep_seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// Returns a server with `shop/traces` and the Deployment `shop/web` over the `ReplicaSet` `web-1`.
pub(crate) fn shop_cluster() -> ApiServer {
    let server = ApiServer::new();
    server.put(TRACE_BUFFERS, trace_buffer(&json!({})));
    server.put(WEBHOOK_CONFIGURATIONS, webhook_configuration(&["inject.tracebuffer.dev"]));
    server.put(ENDPOINT_SLICES, endpoint_slice(true));
    put_deployment(&server, "web");
    server
}

/// The webhook's configuration with these entries.
pub(crate) fn webhook_configuration(entries: &[&str]) -> Value {
    let entry = |name: &&str| {
        json!({
            "name": name, "admissionReviewVersions": ["v1"],
            "clientConfig": { "service": { "name": "tracebuffer-webhook", "namespace": "ops" } },
            "sideEffects": "None",
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": "tracebuffer" },
        "webhooks": entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

/// A slice of the webhook's Service with one endpoint.
pub(crate) fn endpoint_slice(is_ready: bool) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "tracebuffer-webhook-1", "namespace": "ops",
            "labels": { "kubernetes.io/service-name": "tracebuffer-webhook" },
        },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": { "ready": is_ready } }],
    })
}

pub(crate) fn trace_buffer(spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "tracebuffer.dev/v1alpha1", "kind": "TraceBuffer",
        "metadata": { "name": "traces", "namespace": "shop" },
        "spec": { "destination": { "endpoint": "http://collector:4317" } },
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

/// Changes the spec as a user does.
pub(crate) fn change_spec(server: &ApiServer, spec: &Value) {
    let mut object = server.get(TRACE_BUFFERS, "shop", "traces").unwrap();
    object["spec"] = trace_buffer(spec)["spec"].clone();
    server.put(TRACE_BUFFERS, object);
}

/// Puts a Deployment that is complete, and its `ReplicaSet`.
pub(crate) fn put_deployment(server: &ApiServer, name: &str) {
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "replicas": 1, "selector": {}, "template": { "metadata": { "annotations": missing_pod_annotations() } } },
        "status": {
            "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1,
        },
    });
    server.put(DEPLOYMENTS, object);
    let uid = uid(server, DEPLOYMENTS, name);
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid,
        "controller": true,
    });
    let object = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{name}-1"), "namespace": "shop", "ownerReferences": [owner],
        },
    });
    server.put("replicasets.apps", object);
}

pub(crate) fn uid(server: &ApiServer, resource: &str, name: &str) -> Value {
    server.get(resource, "shop", name).unwrap()["metadata"]["uid"].clone()
}

/// Puts a pod of the `ReplicaSet` `<deployment>-1` with these annotations.
pub(crate) fn put_pod(server: &ApiServer, name: &str, deployment: &str, annotations: &Value) {
    let replica_set = format!("{deployment}-1");
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replica_set,
        "uid": uid(server, "replicasets.apps", &replica_set), "controller": true,
    });
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "ownerReferences": [owner],
            "annotations": annotations,
        },
        "spec": { "containers": [] }, "status": { "phase": "Running" },
    });
    server.put("pods", object);
}

/// The annotations of a pod with a current sidecar of `shop/traces`.
pub(crate) fn injected_pod_annotations(operator: &TestOperator) -> Value {
    let key = ObjectKey { namespace: "shop".into(), name: "traces".into() };
    let entry = operator.trace_buffers.entry(&key).unwrap();
    let sidecar = entry.view.sidecar.as_ref().unwrap();
    let status = InjectionStatus::Injected(InjectedSidecar {
        trace_buffer: key,
        uid: sidecar.uid.clone(),
        hash: sidecar.hash.clone(),
        max_bytes: sidecar.limits.max_bytes.get(),
        is_bypassed: false,
        warnings: vec![],
    });
    json!({
        "tracebuffer.dev/inject": "true",
        "tracebuffer.dev/status": to_annotation(&status),
        "tracebuffer.dev/limits": limits_text::to_file(&sidecar.limits),
    })
}

/// The annotations of a missing pod for which the webhook was not called.
pub(crate) fn missing_pod_annotations() -> Value {
    json!({ "tracebuffer.dev/inject": "true" })
}

pub(crate) fn status(server: &ApiServer) -> Value {
    server.get(TRACE_BUFFERS, "shop", "traces").unwrap()["status"].clone()
}

pub(crate) fn condition(status: &Value, kind: &str) -> Value {
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == kind).unwrap().clone()
}

/// Returns kind and name of the object of each event, and its reason.
pub(crate) fn events(server: &ApiServer) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = server.all(EVENTS);
    let mut events: Vec<_> = all
        .iter()
        .map(|event| {
            let about = &event["regarding"];
            let (kind, name) = (text(&about["kind"]), text(&about["name"]));
            format!("{kind}/{name} {}", text(&event["reason"]))
        })
        .collect();
    events.sort();
    events
}
