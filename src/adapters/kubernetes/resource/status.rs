//! `status`: what the operator observed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::operator::reconcile::conditions::{PENDING_REASON, REQUIRED_CONDITIONS};

/// What the operator observed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = pending()))]
pub struct TraceBufferStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted: the spec is valid. ResolvedRefs: the Secrets and ConfigMaps that the spec refers to
    /// exist, if the operator is allowed to read them. Ready: new pods get the sidecar. Stalled, only
    /// while True: the spec has errors that only its author can fix. Reconciling, only while True:
    /// the operator is propagating new buffer limits to
    /// running pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Numbers of pods that use, or should use, this TraceBuffer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodCounts>,
}

/// Numbers of pods that use, or should use, a TraceBuffer.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    /// All pods: current, outdated and missing.
    pub total: i32,
    /// Pods whose sidecar is as the spec says.
    pub current: i32,
    /// Pods whose sidecar predates a change that needs new pods.
    pub outdated: i32,
    /// Pods that ask for a sidecar and have none.
    pub missing: i32,
}

/// The status of an object that the operator has not seen yet, as Gateway API has it: without it a
/// tool that waits would take the object for ready.
fn pending() -> Value {
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

/// The schema of a list of upstream's `Condition`, with upstream's bounds.
fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    let item = json_schema!({
        "description": "One aspect of the current state of this resource.",
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {
                "description": "When the condition last changed from one status to another.",
                "type": "string",
                "format": "date-time",
            },
            "message": {
                "description": "Human-readable details about the transition.",
                "type": "string",
                "maxLength": 32768,
            },
            "observedGeneration": {
                "description": "Generation of the spec that the condition describes.",
                "type": "integer",
                "format": "int64",
                "minimum": 0,
            },
            "reason": {
                "description": "Machine-readable reason of the last transition.",
                "type": "string",
                "minLength": 1,
                "maxLength": 1024,
                "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            },
            "status": {
                "description": "Whether the condition holds.",
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
