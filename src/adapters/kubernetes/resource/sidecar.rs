//! `spec.sidecar`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretReference, rules};

/// Settings of the sidecar's container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SidecarSpec {
    /// How the sidecar runs in the pod. Native: as an init container with restartPolicy Always,
    /// which starts before the application and stops after it. Container: as a plain container
    /// beside the application; a pod that runs to completion then gets none. Default: Native.
    #[serde(default)]
    pub mode: SidecarModeSpec,
    /// Image of the sidecar. Default: the operator's own, which changes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = rules::image())]
    pub image: Option<String>,
    /// Secrets in the pod's namespace to pull the image with. At most 16. Default: those of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub image_pull_secrets: Vec<SecretReference>,
    /// Resource requests and limits of the sidecar container, used verbatim. Default: memory,
    /// requested and limited, of buffer.maxBytes and an eighth of it, twice receiver.maxRequestBytes,
    /// and 20Mi (64Mi in all by default; more with compression); cpu 10m requested; ephemeral-storage
    /// 16Mi requested, 256Mi limited. In a pod of class Guaranteed requests and limits are made
    /// equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<SidecarResources>,
    /// Whether the application's containers are configured to send their traces to the sidecar.
    /// IfUnset: a container gets OTEL_EXPORTER_OTLP_TRACES_ENDPOINT unless it sets that variable
    /// itself. Never: containers are left unchanged. Default: IfUnset.
    #[serde(default)]
    pub application_environment: ApplicationEnvironment,
    /// User and group of the sidecar container. Everything else of its security context, such as
    /// runAsNonRoot, is fixed and passes the pod security level "restricted". If unset, user and
    /// group are 65532. If set, it replaces that default whole: an empty object leaves both to the
    /// pod or the platform, as OpenShift requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SidecarSecurityContext>,
}

/// User and group of the sidecar container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SidecarSecurityContext {
    /// User ID of the sidecar; never 0. 1 to 2147483647. If unset, it is left to the pod or the
    /// platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: Option<i64>,
    /// Group ID of the sidecar. 1 to 2147483647. Default: the same as runAsUser.
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
    /// Minimum resources that the scheduler reserves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
    /// Maximum resources the container may use. The memory limit must be at least buffer.maxBytes
    /// plus 8Mi.
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
    /// Space on the node's disk, for logs, such as 64Mi. The kubelet evicts a pod that exceeds its
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
    /// As a plain container beside the application.
    Container,
}

/// Whether the application's containers are configured to send their traces to the sidecar.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplicationEnvironment {
    /// A container gets OTEL_EXPORTER_OTLP_TRACES_ENDPOINT unless it sets it itself.
    #[default]
    IfUnset,
    /// Containers are left unchanged.
    Never,
}
