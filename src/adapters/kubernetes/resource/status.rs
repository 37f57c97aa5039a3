//! `status`: what the controller found.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What the controller found.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TraceBufferStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted: the spec makes sense. ResolvedRefs: the Secrets and ConfigMaps it names exist, as far
    /// as the operator may look. Ready: new pods get the sidecar.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The pods that use, or should use, this TraceBuffer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodCounts>,
}

/// Pods that use, or should use, a TraceBuffer, counted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    /// All of them: current, outdated and missing.
    pub total: i32,
    /// Their sidecar is as the spec says.
    pub current: i32,
    /// Their sidecar is from before a change that needs a restart.
    pub outdated: i32,
    /// They ask for a sidecar and have none.
    pub missing: i32,
}
