use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::sidecar::{SidecarDefaults, trace_buffer_view};
use crate::domain::operator::injection::facts::NamespaceFacts;

fn snapshot_from(spec: &Value) -> TraceBufferSnapshot {
    let object: TraceBuffer = serde_json::from_value(json!({
        "apiVersion": "tracebuffer.dev/v1alpha1", "kind": "TraceBuffer",
        "metadata": {
            "name": "traces", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
            "generation": 3,
        },
        "spec": spec,
    }))
    .unwrap();
    let defaults = SidecarDefaults { image: "tracebuffer:1".into(), ..SidecarDefaults::unknown() };
    snapshot(&CachedTraceBuffer {
        metadata: object.metadata.clone(),
        view: Arc::new(trace_buffer_view(&object, &defaults)),
        object: Some(Arc::new(object)),
    })
}

fn destination() -> Value {
    json!({ "endpoint": "https://collector:4317" })
}

#[test]
fn the_snapshot_has_name_uid_version_and_generation() {
    let snapshot = snapshot_from(&json!({ "destination": destination() }));

    assert_eq!(snapshot.key.to_string(), "shop/traces");
    let versions = (snapshot.uid.as_str(), snapshot.resource_version.as_str(), snapshot.generation);
    assert_eq!(versions, ("u1", "7", 3));
    assert_eq!(snapshot.status, None);
    let limits = snapshot.sidecar.unwrap().limits;
    assert_eq!(limits.max_bytes.get(), 32 << 20);
}

#[test]
fn a_rollout_policy_exists_only_with_the_on_change_strategy() {
    let spec = |strategy: &str| {
        let rollout = json!({ "strategy": strategy, "maxConcurrent": 3, "interval": "1m" });
        snapshot_from(&json!({ "destination": destination(), "rollout": rollout })).rollout
    };

    assert_eq!(spec("None"), None);
    let policy = RolloutPolicy { max_concurrent: 3, interval: Duration::from_mins(1) };
    assert_eq!(spec("OnChange"), Some(policy));
}

#[test]
fn every_field_that_names_a_secret_or_config_map_is_a_reference() {
    let mut destination = destination();
    let key = |name: &str| json!({ "name": name, "key": "k" });
    destination["headers"] = json!([
        { "name": "a", "value": "plain" },
        { "name": "b", "valueFrom": { "secretKeyRef": key("token") } },
        { "name": "c", "valueFrom": { "configMapKeyRef": key("tenants") } },
        { "name": "d", "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } } },
    ]);
    destination["tls"] = json!({
        "ca": { "configMapKeyRef": key("ca") },
        "clientCertificateSecretRef": { "name": "client" },
    });
    let sidecar = json!({ "imagePullSecrets": [{ "name": "pull" }] });

    let snapshot = snapshot_from(&json!({ "destination": destination, "sidecar": sidecar }));

    let found: Vec<_> = snapshot
        .references
        .iter()
        .map(|one| format!("{} {} {}", one.field, one.kind.as_str(), one.name))
        .collect();
    assert_eq!(
        found,
        [
            "spec.destination.headers[1].valueFrom.secretKeyRef Secret token",
            "spec.destination.headers[2].valueFrom.configMapKeyRef ConfigMap tenants",
            "spec.destination.tls.ca.configMapKeyRef ConfigMap ca",
            "spec.destination.tls.clientCertificateSecretRef Secret client",
            "spec.sidecar.imagePullSecrets[0] Secret pull",
        ]
    );
}

#[test]
fn allowed_namespaces_and_references_decide_which_owners_may_be_restarted() {
    let spec = |headers: Value| {
        let mut destination = destination();
        destination["headers"] = headers;
        snapshot_from(&json!({
            "destination": destination, "allowedNamespaces": { "from": "All" },
        }))
    };
    let plain = spec(json!([]));
    let token = spec(json!([{
        "name": "authorization",
        "valueFrom": { "serviceAccountToken": { "audience": "traces" } },
    }]));
    let named = NamespaceFacts {
        trace_buffer: Some("shop/traces".into()),
        ..NamespaceFacts::unknown("cart")
    };

    assert!(plain.may_restart_in(&named));
    assert!(!plain.may_restart_in(&NamespaceFacts::unknown("cart")));
    assert!(!token.may_restart_in(&named));
    assert!(token.may_restart_in(&NamespaceFacts::unknown("shop")));
}

#[test]
fn validation_errors_are_passed_on() {
    let snapshot = snapshot_from(&json!({ "destination": { "endpoint": "nowhere" } }));

    assert!(snapshot.sidecar.unwrap_err().contains("spec.destination.endpoint"));
}
