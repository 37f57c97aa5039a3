//! The controller as a process, against an API server on a port.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::api_server::ApiServer;
use crate::support::process::{BINARY, POLL_INTERVAL, Process, WAIT_TIMEOUT, free_addresses};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

const HOST: &str = "tracebuffer-webhook.tracing.svc";
const CONFIGURATIONS: &str = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
const TRACE_BUFFERS: &str = "tracebuffers.tracebuffer.dev";
const LEASES: &str = "leases.coordination.k8s.io";

/// A controller and its cluster.
struct Harness {
    api: ApiServer,
    controller: Process,
    webhook: SocketAddr,
    /// Contains the kubeconfig.
    _folder: TempDir,
}

impl Harness {
    /// Starts a controller in a cluster with a `TraceBuffer` and a missing pod.
    async fn start() -> Self {
        Self::start_in(ApiServer::new()).await
    }

    async fn start_in(api: ApiServer) -> Self {
        api.put(CONFIGURATIONS, configuration());
        api.put("namespaces", json!({"metadata": {"name": "shop"}}));
        api.put(TRACE_BUFFERS, trace_buffer());
        api.put("pods", pod("old"));
        let folder = tempfile::tempdir().unwrap();
        let path = api.kubeconfig(folder.path()).await;
        loop {
            let [webhook, admin] = free_addresses();
            let mut command = controller();
            command
                .env("KUBECONFIG", &path)
                .env("TRACEBUFFER_WEBHOOK_ADDR", webhook.to_string())
                .env("TRACEBUFFER_ADMIN_ADDR", admin.to_string());
            let mut controller = Process::spawn(command, admin);
            if controller.wait_until_listening().await {
                return Self { api, controller, webhook, _folder: folder };
            }
            let log = controller.log();
            assert!(log.contains("the port is taken"), "it did not start:\n{log}");
        }
    }

    /// Waits until `is_true` returns true.
    async fn until(&self, what: &str, is_true: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !is_true().await {
            assert!(
                started.elapsed() < WAIT_TIMEOUT,
                "not in time: {what}:\n{}",
                self.controller.log()
            );
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn ready(&self) {
        self.until("ready", async || self.controller.get_admin("/ready").await.0 == 200).await;
    }

    fn status(&self) -> Value {
        self.api.get(TRACE_BUFFERS, "shop", "default").unwrap()["status"].clone()
    }

    /// Calls the webhook as an API server that trusts only the `caBundle`.
    async fn review(&self, pod: &Value) -> Value {
        let found = self.api.get(CONFIGURATIONS, "", "tracebuffer").unwrap();
        let bundle = found["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap();
        let stream = TcpStream::connect(self.webhook).await.unwrap();
        let connector = trusting(&BASE64_STANDARD.decode(bundle).unwrap());
        let stream = connector.connect(HOST.try_into().unwrap(), stream).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("/inject")
            .header("host", HOST)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(admission_review(pod).to_string())))
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()["response"].take()
    }
}

/// Returns the command of a controller, without ports and cluster.
fn controller() -> Command {
    let mut command = Command::new(BINARY);
    command
        .arg("controller")
        .env("TRACEBUFFER_NAMESPACE", "tracing")
        .env("TRACEBUFFER_POD_NAME", "operator-0")
        .env("TRACEBUFFER_SIDECAR_IMAGE", "registry.example/tracebuffer:1")
        .env("TRACEBUFFER_LINGER_AFTER_STOP", "0s");
    command
}

fn trusting(authorities: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(authorities) {
        roots.add(authority.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config).into()
}

fn configuration() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "tracebuffer"},
        "webhooks": [{
            "name": "inject.tracebuffer.dev",
            "clientConfig": {"service": {
                "name": "tracebuffer-webhook", "namespace": "tracing", "path": "/inject",
            }},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    })
}

fn trace_buffer() -> Value {
    json!({
        "apiVersion": "tracebuffer.dev/v1alpha1",
        "kind": "TraceBuffer",
        "metadata": {"name": "default", "namespace": "shop", "uid": "tb-1", "generation": 1},
        "spec": {"destination": {"endpoint": "http://collector.observability:4317"}},
    })
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": format!("pod-{name}"),
            "annotations": {"tracebuffer.dev/inject": "true"},
        },
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        "status": {"phase": "Running"},
    })
}

fn admission_review(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "review-1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {},
            "object": pod,
        },
    })
}

#[tokio::test]
async fn a_controller_ignores_signals_that_mean_nothing_and_ends_in_order_at_a_terminal_one() {
    for signal in [Signal::HUP, Signal::QUIT] {
        let harness = Harness::start().await;
        harness.ready().await;
        for ignored in [Signal::USR1, Signal::USR2, Signal::ALARM] {
            harness.controller.signal(ignored);
        }

        harness.controller.signal(signal);
        let ended = harness.controller.wait_for_exit().await;

        assert_eq!(ended.code, Some(0), "{signal:?}: {}", ended.log);
        assert!(ended.log.contains("INFO ended"), "{}", ended.log);
    }
}

#[tokio::test]
async fn a_controller_leads_trusts_injects_and_reports() {
    let harness = Harness::start().await;
    harness.ready().await;

    let response = harness.review(&pod("new")).await;

    assert_eq!(response["uid"], "review-1");
    assert_eq!(response["allowed"], true);
    let patch = BASE64_STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    let patch = String::from_utf8(patch).unwrap();
    assert!(patch.contains("registry.example/tracebuffer:1"), "{patch}");
    harness.until("missing", async || harness.status()["pods"]["missing"] == 1).await;
    let conditions = harness.status()["conditions"].as_array().unwrap().clone();
    assert!(conditions.iter().any(|one| one["type"] == "Accepted" && one["status"] == "True"));
    let metrics = harness.controller.metrics().await;
    let injected = [("outcome", "injected")];
    assert_eq!(metrics.sum::<u64>("tracebuffer_admission_requests_total", &injected), 1);
    assert_eq!(metrics.sum::<u64>("tracebuffer_uninjected_pods", &[]), 1);
    assert_eq!(metrics.sum::<u64>("tracebuffer_leader", &[]), 1);
}

/// A lease that another operator holds and keeps renewing.
fn keep_leading(api: &ApiServer) {
    let api = api.clone();
    tokio::spawn(async move {
        for second in 0.. {
            let renewed = format!("2026-01-01T00:{:02}:{:02}.000000Z", second / 60, second % 60);
            api.put(
                LEASES,
                json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": "tracebuffer", "namespace": "tracing"},
                    "spec": {
                        "holderIdentity": "old-operator_1", "leaseDurationSeconds": 15,
                        "renewTime": renewed,
                    },
                }),
            );
            sleep(Duration::from_secs(1)).await;
        }
    });
}

#[tokio::test]
async fn a_controller_has_its_certificate_while_an_operator_that_issues_none_leads() {
    let api = ApiServer::new();
    keep_leading(&api);

    let harness = Harness::start_in(api).await;

    harness.ready().await;
    assert_eq!(harness.review(&pod("new")).await["allowed"], true);
    let metrics = harness.controller.metrics().await;
    assert_eq!(metrics.sum::<u64>("tracebuffer_leader", &[]), 0);
}

#[tokio::test]
async fn a_controller_that_is_asked_to_stop_releases_the_lease() {
    let harness = Harness::start().await;
    harness.ready().await;
    let holder = || {
        let lease = harness.api.get(LEASES, "tracing", "tracebuffer").unwrap();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    };
    assert!(holder().starts_with("operator-0_"), "{}", holder());

    harness.controller.terminate();
    let ended = harness.controller.wait_for_exit().await;

    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let lease = harness.api.get(LEASES, "tracing", "tracebuffer").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"].as_str().unwrap_or_default(), "", "{lease}");
}

#[tokio::test]
async fn a_controller_without_a_cluster_ends_with_a_remedy() {
    let [admin] = free_addresses();
    let mut command = controller();
    command.env("KUBECONFIG", "/nowhere/kubeconfig").env("HOME", "/nowhere");

    let ended = Process::spawn(command, admin).wait_for_exit().await;

    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(ended.log.contains("run in a pod, or set KUBECONFIG"), "{}", ended.log);
}
