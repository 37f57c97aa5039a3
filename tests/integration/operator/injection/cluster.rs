//! A simulated cluster with a few `TraceBuffer`s, which injects pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use json_patch::{Patch, PatchOperation};
use serde_json::{Value, json};
use tracebuffer::adapters::kubernetes::pod::{
    Admission, InjectionOutcome, apply_decision, pod_facts,
};
use tracebuffer::adapters::kubernetes::resource::TraceBuffer;
use tracebuffer::adapters::kubernetes::sidecar::{Sidecar, SidecarDefaults, trace_buffer_view};
use tracebuffer::domain::operator::injection::decide::decide;
use tracebuffer::domain::operator::injection::facts::{ClusterFacts, NamespaceFacts};
use tracebuffer::domain::operator::injection::trace_buffer_view::TraceBufferView;

/// The namespace of every pod.
pub(crate) const NAMESPACE: &str = "shop";

/// The members of a pod that belong to tracebuffer, which a patch may replace.
const OWN_MEMBERS: [&str; 3] = [
    "/metadata/annotations/tracebuffer.dev~1status",
    "/metadata/annotations/tracebuffer.dev~1limits",
    "/metadata/labels/tracebuffer.dev~1injected",
];

/// A cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) trace_buffers: Vec<Arc<TraceBufferView<Sidecar>>>,
}

/// An admitted pod.
pub(crate) struct AdmittedPod {
    pub(crate) pod: Value,
    pub(crate) warnings: Vec<String>,
    pub(crate) outcome: InjectionOutcome,
}

impl Cluster {
    /// Admits `pod`, and asserts that no part of it is lost.
    pub(crate) fn admit(&self, pod: &Value) -> AdmittedPod {
        let cluster =
            ClusterFacts { operator_namespace: "operator".into(), ..ClusterFacts::default() };
        let labels = BTreeMap::from([("team".to_owned(), "checkout".to_owned())]);
        let namespace =
            NamespaceFacts { labels: Some(labels), ..NamespaceFacts::unknown(NAMESPACE) };
        let facts = pod_facts(pod).expect("a valid pod");
        let decision = decide(&facts, &namespace, &cluster, &self.trace_buffers);
        let Admission { patch, warnings, outcome } = apply_decision(pod, &decision);
        AdmittedPod { pod: apply_additions(pod, &patch), warnings, outcome }
    }
}

/// Builds a `TraceBuffer` from its spec, with a default destination.
pub(crate) fn trace_buffer(
    namespace: &str,
    name: &str,
    mut spec: Value,
) -> Arc<TraceBufferView<Sidecar>> {
    let spec_map = spec.as_object_mut().expect("a spec is a map");
    spec_map
        .entry("destination")
        .or_insert(json!({"endpoint": "http://collector.observability:4317"}));
    let object = json!({
        "apiVersion": "tracebuffer.dev/v1alpha1",
        "kind": "TraceBuffer",
        "metadata": {"namespace": namespace, "name": name, "uid": "00000000-0000-4000-8000-000000000001"},
        "spec": spec,
    });
    let object: TraceBuffer = serde_json::from_value(object).expect("a valid TraceBuffer");
    let defaults = SidecarDefaults { image: "tracebuffer:1".into(), ..SidecarDefaults::unknown() };
    Arc::new(trace_buffer_view(&object, &defaults))
}

/// Applies a patch, and asserts that every operation adds a value or replaces one of tracebuffer.
fn apply_additions(pod: &Value, additions: &Patch) -> Value {
    let mut patched = pod.clone();
    for operation in &additions.0 {
        assert!(matches!(operation, PatchOperation::Add(_)), "not an addition: {operation}");
        let path = operation.path().as_str();
        let (parent, last) = path.rsplit_once('/').expect("a path below the pod");
        let parent = patched.pointer(parent).expect("the parent exists");
        let is_new = parent.is_array() || patched.pointer(path).is_none_or(Value::is_null);
        assert!(is_new || OWN_MEMBERS.contains(&path), "{path} is replaced");
        assert!(!parent.is_array() || last == "-" || last.parse::<usize>().is_ok());
        let one = Patch(vec![operation.clone()]);
        json_patch::patch(&mut patched, &one).expect("the operation applies");
    }
    assert_survives(pod, &patched, "");
    patched
}

/// Asserts that `new` contains every value of `old`; arrays keep their order and may have more items.
fn assert_survives(old: &Value, new: &Value, path: &str) {
    match (old, new) {
        (Value::Null, _) => {}
        (Value::Object(members), Value::Object(_)) => {
            for (key, value) in members {
                let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
                if !OWN_MEMBERS.contains(&path.as_str()) {
                    assert_survives(value, new.get(key).unwrap_or(&Value::Null), &path);
                }
            }
        }
        (Value::Array(items), Value::Array(now)) => {
            let mut rest = now.iter();
            for item in items {
                assert!(rest.any(|one| survives(item, one)), "{path} lost {item}");
            }
        }
        _ => assert_eq!(old, new, "{path}"),
    }
}

/// Returns whether `new` has every value of `old`.
fn survives(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Null, _) => true,
        (Value::Object(members), Value::Object(now)) => {
            members.iter().all(|(key, value)| survives(value, now.get(key).unwrap_or(&Value::Null)))
        }
        (Value::Array(items), Value::Array(now)) => {
            let mut rest = now.iter();
            items.iter().all(|item| rest.any(|one| survives(item, one)))
        }
        _ => old == new,
    }
}
