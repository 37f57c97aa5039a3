//! A healthy installation, for tests that break one part each.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::PartialObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::check_input::CheckInput;
use super::fetched::Fetched;
use super::operator::OperatorObjects;
use crate::adapters::kubernetes::certificates::RcgenIssuer;
use crate::adapters::kubernetes::names::WEBHOOK_ENTRY;
use crate::adapters::kubernetes::resource::{TraceBuffer, crd_json};
use crate::adapters::kubernetes::sidecar::{SidecarDefaults, build};
use crate::domain::limits_text;
use crate::domain::operator::rotation::Validity;
use crate::ports::operator::certificates::{CertificateIssuer, WebhookTls};

/// Seconds since 1970.
pub(super) const NOW: i64 = 2_000_000_000;
pub(super) const DAY: i64 = 86_400;
pub(super) const IMAGE: &str = "example/tracebuffer:1";

pub(super) fn from_json<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

/// A new authority and a leaf, both of which expire at `ends`.
pub(super) fn webhook_tls(ends: i64) -> WebhookTls {
    let time = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap());
    let validity = Validity { not_before: time(ends - 365 * DAY), not_after: time(ends) };
    let authority = RcgenIssuer::new("tracebuffer-webhook.tracing.svc");
    let tls = authority.add_authority(&WebhookTls::default(), validity).unwrap();
    authority.issue_leaf(&tls, validity).unwrap()
}

pub(super) fn trace_buffer() -> TraceBuffer {
    from_json(json!({
        "apiVersion": "tracebuffer.dev/v1alpha1", "kind": "TraceBuffer",
        "metadata": {"namespace": "shop", "name": "default", "uid": "u-1", "generation": 2},
        "spec": {"destination": {"endpoint": "http://collector:4317"}},
        "status": {"observedGeneration": 2, "conditions": [
            condition("Accepted", "True", ""), condition("Ready", "True", ""),
        ]},
    }))
}

pub(super) fn condition(kind: &str, status: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "message": message, "reason": "Because",
        "lastTransitionTime": "2030-01-01T00:00:00Z",
    })
}

/// The annotations of a pod with a current sidecar of that `TraceBuffer`.
pub(super) fn injected_annotations() -> Value {
    let defaults = SidecarDefaults { image: IMAGE.to_owned(), ..SidecarDefaults::unknown() };
    let sidecar = build(&trace_buffer(), &defaults).unwrap();
    let status = json!({
        "injected": "shop/default", "uid": "u-1", "hash": sidecar.hash,
        "maxBytes": sidecar.limits.max_bytes,
    });
    json!({
        "tracebuffer.dev/inject": "true",
        "tracebuffer.dev/status": status.to_string(),
        "tracebuffer.dev/limits": limits_text::to_file(&sidecar.limits),
    })
}

pub(super) fn pod_metadata(name: &str, annotations: &Value) -> PartialObjectMeta<Pod> {
    from_json(json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {"namespace": "shop", "name": name, "annotations": annotations},
    }))
}

pub(super) fn injected_pod(name: &str, image: &str) -> Pod {
    from_json(json!({
        "metadata": {
            "namespace": "shop", "name": name, "annotations": injected_annotations(),
            "labels": {"tracebuffer.dev/injected": "true"},
            "creationTimestamp": "2031-01-01T00:00:00Z",
        },
        "spec": {
            "initContainers": [{"name": "tracebuffer", "image": image, "restartPolicy": "Always"}],
            "containers": [{"name": "app", "image": "app"}],
        },
        "status": {"initContainerStatuses": [{
            "name": "tracebuffer", "image": image, "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {}},
        }]},
    }))
}

pub(super) fn operator_objects(tls: &WebhookTls) -> OperatorObjects {
    let bundle = k8s_openapi::ByteString(tls.bundle.clone());
    OperatorObjects {
        webhook_configuration: Fetched::Found(from_json(json!({
            "metadata": {"name": "tracebuffer", "creationTimestamp": "2030-01-01T00:00:00Z"},
            "webhooks": [{
                "name": WEBHOOK_ENTRY, "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": {
                    "caBundle": bundle,
                    "service": {"name": "tracebuffer-webhook", "namespace": "tracing"},
                },
                "namespaceSelector": {"matchExpressions": [{
                    "key": "kubernetes.io/metadata.name", "operator": "NotIn",
                    "values": ["kube-system", "tracing"],
                }]},
            }],
        }))),
        deployment: Fetched::Found(from_json(json!({
            "metadata": {
                "namespace": "tracing", "name": "tracebuffer",
                "labels": {"app.kubernetes.io/version": env!("CARGO_PKG_VERSION")},
            },
            "spec": {"replicas": 2, "selector": {}, "template": {"spec": {"containers": [{
                "name": "operator",
                "env": [{"name": "TRACEBUFFER_SIDECAR_IMAGE", "value": IMAGE}],
            }]}}},
            "status": {"readyReplicas": 2, "conditions": [
                {"type": "Available", "status": "True", "lastTransitionTime": "2030-01-01T00:00:00Z"},
            ]},
        }))),
        namespace: "tracing".to_owned(),
    }
}

pub(super) fn healthy_installation() -> CheckInput {
    let tls = webhook_tls(NOW + 60 * DAY);
    let data = |pem: &[u8]| k8s_openapi::ByteString(pem.to_vec());
    let mut crd = crd_json();
    crd["status"] = json!({"conditions": [condition("Established", "True", "")]});
    CheckInput {
        now: NOW,
        version: Fetched::Found((1, 36, "v1.36.0".to_owned())),
        crd: Fetched::Found(from_json(crd)),
        operator: operator_objects(&tls),
        certificate_secret: Fetched::Found(from_json(json!({
            "metadata": {"namespace": "tracing", "name": "tracebuffer-webhook-tls"},
            "data": {"ca.crt": data(&tls.bundle), "tls.crt": data(&tls.leaf)},
        }))),
        dry_run: ("shop".to_owned(), Fetched::Found(injected_pod("probe", IMAGE))),
        trace_buffers: Fetched::Found(vec![trace_buffer()]),
        namespaces: vec![],
        is_single_namespace: false,
        pods: Fetched::Found(vec![pod_metadata("a", &injected_annotations())]),
        injected_pods: Fetched::Found(vec![injected_pod("a", IMAGE)]),
    }
}
