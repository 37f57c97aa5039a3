//! `spec.application`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the application's containers are told about themselves.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSpec {
    /// Whether the application's containers get OTEL_RESOURCE_ATTRIBUTES with the names of
    /// Kubernetes: k8s.namespace.name, k8s.pod.name, k8s.pod.uid, k8s.node.name,
    /// k8s.container.name, and k8s.deployment.name, k8s.statefulset.name, k8s.daemonset.name or
    /// k8s.job.name. IfUnset: it is set in each container that does not set that variable itself and
    /// has no envFrom. Never: the containers are not changed. Default: Never.
    #[serde(default)]
    pub resource_attributes: ResourceAttributes,
}

/// Whether the application's containers get resource attributes with the names of Kubernetes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResourceAttributes {
    /// OTEL_RESOURCE_ATTRIBUTES is set in each container that does not set it itself and has no
    /// envFrom.
    IfUnset,
    /// The containers are not changed.
    #[default]
    Never,
}
