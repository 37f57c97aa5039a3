//! The sidecar of a spec, and the errors of an invalid spec.

mod container;
mod contract;
mod hash;
mod header_errors;
mod headers;
mod validation_errors;

use serde_json::{Value, json};

use super::*;

/// Returns a `TraceBuffer` with `changes` merged into the smallest valid spec.
fn object(changes: &Value) -> TraceBuffer {
    let mut spec = json!({ "destination": { "endpoint": "http://collector.observability:4317" } });
    merge(&mut spec, changes);
    let metadata = json!({ "name": "default", "namespace": "shop", "uid": "u-1" });
    serde_json::from_value(json!({
        "apiVersion": "tracebuffer.dev/v1alpha1",
        "kind": "TraceBuffer",
        "metadata": metadata,
        "spec": spec,
    }))
    .unwrap()
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(into.entry(name).or_insert(Value::Null), change);
            }
        }
        (into, changes) => *into = changes.clone(),
    }
}

fn defaults() -> SidecarDefaults {
    SidecarDefaults {
        image: "registry.example/tracebuffer:0.1.0".into(),
        image_pull_policy: Some("IfNotPresent".into()),
        api_audiences: vec!["https://api.example".into()],
    }
}

fn built(changes: &Value) -> Sidecar {
    build(&object(changes), &defaults()).unwrap()
}
