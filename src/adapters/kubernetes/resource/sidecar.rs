//! `spec.sidecar`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretReference, rules};

/// Settings of the sidecar container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SidecarSpec {
    /// How the sidecar runs in the pod. Native: as an init container with restartPolicy Always,
    /// which starts before the application and stops after it. Container: as a regular container; a
    /// pod that runs to completion then gets no sidecar. Default: Native.
    #[serde(default)]
    pub mode: SidecarModeSpec,
    /// Image of the sidecar. Default: the image configured in the operator, which changes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = rules::image())]
    pub image: Option<String>,
    /// Secrets in the pod's namespace for pulling the image. At most 16 Secrets. Default: the
    /// imagePullSecrets of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub image_pull_secrets: Vec<SecretReference>,
    /// Resource requests and limits of the sidecar container, used verbatim. Default: memory
    /// request and limit: buffer.maxBytes, plus an eighth of it, plus twice
    /// receiver.maxRequestBytes, plus 20Mi (64Mi in total by default; more with compression, or
    /// with receiver.maxHeadBytes above 8Ki); cpu request: 10m; ephemeral-storage request: 16Mi,
    /// and limit: 256Mi if another container of the pod has such a limit. In a pod of QoS class
    /// Guaranteed, requests and limits are made equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<SidecarResources>,
    /// Whether the application's containers are configured to send their traces to the sidecar.
    /// IfUnset: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set in each container that sets neither that
    /// variable nor one that keeps its exporter from using it, such as a certificate. Never: the containers are not changed. Default: IfUnset.
    #[serde(default)]
    pub application_environment: ApplicationEnvironment,
    /// User and group of the sidecar container. The other fields of its security context, such as
    /// runAsNonRoot, are fixed and comply with the Pod Security Standard "restricted". If unset,
    /// user and group are 65532, or the user is that of all other containers of the pod if they
    /// have one in common other than root. If set, the object replaces that default entirely: an empty object leaves
    /// both to the pod or the platform, as OpenShift requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SidecarSecurityContext>,
}

/// User and group of the sidecar container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SidecarSecurityContext {
    /// User ID of the sidecar. Must be in the range 1 to 2147483647. If unset, the user ID is left to
    /// the pod or the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: Option<i64>,
    /// Group ID of the sidecar. Must be in the range 1 to 2147483647. Default: the value of runAsUser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_group: Option<i64>,
}

/// Resource requests and limits of the sidecar container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::request_within_limit("cpu"),
    validation = rules::request_within_limit("memory"),
    validation = rules::request_within_limit("ephemeral__dash__storage")
)]
pub struct SidecarResources {
    /// Resources that the scheduler reserves for the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
    /// Maximum resources that the container may use. The memory limit must be at least
    /// buffer.maxBytes plus 8Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceAmounts>,
}

/// Amounts of compute resources.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResourceAmounts {
    /// CPU, such as 100m for a tenth of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::non_negative_quantity())]
    pub cpu: Option<Quantity>,
    /// Memory, such as 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::non_negative_quantity())]
    pub memory: Option<Quantity>,
    /// Disk space on the node, for logs, such as 64Mi. The kubelet evicts a pod that exceeds its
    /// limit.
    #[serde(default, rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::non_negative_quantity())]
    pub ephemeral_storage: Option<Quantity>,
}

/// How the sidecar runs in the pod.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SidecarModeSpec {
    /// As an init container with restartPolicy Always.
    #[default]
    Native,
    /// As a regular container.
    Container,
}

/// Whether the application's containers are configured to send their traces to the sidecar.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplicationEnvironment {
    /// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set in each container that does not set it itself.
    #[default]
    IfUnset,
    /// The containers are not changed.
    Never,
}
