//! `status`: the state that the operator observed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::operator::reconcile::conditions::{PENDING_REASON, REQUIRED_CONDITIONS};

/// Most recently observed state of the TraceBuffer. Written by the operator.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = pending_status()))]
pub struct TraceBufferStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the TraceBuffer. Accepted: the spec is valid. ResolvedRefs: the Secrets and
    /// ConfigMaps that the spec refers to exist, as far as the operator is allowed to read them.
    /// Ready: a pod that is created now gets the sidecar. RolledOut (present only with rollout.strategy
    /// OnChange): no workload is left to be restarted. Stalled (present only while True): the spec has
    /// errors that must be fixed before the operator can proceed. Reconciling (present only while
    /// True): the operator is applying new buffer limits to running pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Counts of pods that use, or should use, this TraceBuffer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodCounts>,
}

/// Counts of pods that use, or should use, a TraceBuffer.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    /// Total number of pods: current, outdated, missing and failing.
    pub total: i32,
    /// Number of pods whose sidecar runs and matches the spec.
    pub current: i32,
    /// Number of pods that must be recreated for a change to take effect in their sidecar.
    pub outdated: i32,
    /// Number of pods that ask for a sidecar but do not have one.
    pub missing: i32,
    /// Number of pods whose sidecar does not run, for example because its image cannot be pulled.
    #[serde(default)]
    pub failing: i32,
    /// Number of pods, included in the others, in which the environment of a container keeps its traces
    /// from the sidecar.
    #[serde(default)]
    pub bypassing: i32,
}

/// Returns the status of an object that the operator has not processed yet. Without conditions,
/// tools such as kstatus would report the object as ready; Gateway API has the same default.
fn pending_status() -> Value {
    let condition = |kind: &str| {
        json!({
            "type": kind,
            "status": "Unknown",
            "reason": PENDING_REASON,
            "message": "Waiting for the operator",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        })
    };
    json!({ "conditions": REQUIRED_CONDITIONS.map(condition) })
}

/// Returns the schema of a list of `metav1.Condition`, with the bounds of apimachinery.
fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    let item = json_schema!({
        "description": "One aspect of the current state of the TraceBuffer.",
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {
                "description": "Last time the condition transitioned from one status to another.",
                "type": "string",
                "format": "date-time",
            },
            "message": {
                "description": "Human-readable message with details about the transition.",
                "type": "string",
                "maxLength": 32768,
            },
            "observedGeneration": {
                "description": "Generation of the spec that the condition was set for.",
                "type": "integer",
                "format": "int64",
                "minimum": 0,
            },
            "reason": {
                "description": "Machine-readable reason for the last transition.",
                "type": "string",
                "minLength": 1,
                "maxLength": 1024,
                "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            },
            "status": {
                "description": "Status of the condition: True, False or Unknown.",
                "type": "string",
                "enum": ["True", "False", "Unknown"],
            },
            "type": {
                "description": "Type of the condition, such as Ready.",
                "type": "string",
                "maxLength": 316,
                "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
            },
        },
    });
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}
