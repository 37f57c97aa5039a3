//! `spec.sidecar`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// The sidecar's container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// How the sidecar stands in the pod. Native: as an init container that is always restarted, which
    /// starts before the application and ends after it (Kubernetes 1.29 or later). Container: as a
    /// plain container beside it. Auto: Native where the cluster can, Container elsewhere.
    /// Default: Auto.
    #[serde(default)]
    pub mode: Mode,
    /// Image of the sidecar. Default: the operator's own, which changes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = rules::image())]
    pub image: Option<String>,
    /// Secrets to pull the image with, in the pod's namespace. At most 16. Default: those of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub image_pull_secrets: Vec<SecretName>,
    /// What the sidecar asks of its node, and may use, as it is given here. Default: memory, requested
    /// and limited, of buffer.maxBytes and an eighth of it, twice receiver.maxRequestBytes, and 20Mi
    /// (64Mi in all by default; more with compression); cpu 10m requested; ephemeral-storage 16Mi
    /// requested, 256Mi limited. In a pod of class Guaranteed requests and limits are made equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Whether the application's containers are told to send their traces to the sidecar. IfUnset: a
    /// container gets OTEL_EXPORTER_OTLP_TRACES_ENDPOINT unless it sets that variable itself. Never:
    /// no container is touched. Default: IfUnset.
    #[serde(default)]
    pub application_environment: ApplicationEnvironment,
    /// What the sidecar runs as. It always passes the pod security level "restricted".
    #[serde(default)]
    pub security: Security,
}

/// A Secret in the pod's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretName {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::object_name())]
    pub name: String,
}

/// What the sidecar asks of its node, and may use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::request_within_limit("cpu"),
    validation = rules::request_within_limit("memory"),
    validation = rules::request_within_limit("ephemeral__dash__storage")
)]
pub struct Resources {
    /// What is set aside for the sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Amounts>,
    /// The most it may use. A memory limit must be at least buffer.maxBytes and 8Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Amounts>,
}

/// Amounts of what a node has.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Processors, such as 100m for a tenth of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::amount())]
    pub cpu: Option<Quantity>,
    /// Memory, such as 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::amount())]
    pub memory: Option<Quantity>,
    /// Space on the node's disk, for logs, such as 64Mi. A pod that exceeds a limit is evicted.
    #[serde(default, rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::amount())]
    pub ephemeral_storage: Option<Quantity>,
}

/// How the sidecar stands in the pod.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Native where the cluster has native sidecars, a plain container elsewhere.
    #[default]
    Auto,
    /// An init container that is always restarted: starts before and ends after the application.
    Native,
    /// A plain container beside the application.
    Container,
}

/// Whether the application's containers are told to send their traces to the sidecar.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplicationEnvironment {
    /// A container gets OTEL_EXPORTER_OTLP_TRACES_ENDPOINT unless it sets it itself.
    #[default]
    IfUnset,
    /// No container is touched.
    Never,
}

/// What the sidecar runs as.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::user_is_fixed_or_not())]
pub struct Security {
    /// Where the user and group ids come from. Fixed: from runAsUser. Platform: from the platform or
    /// the pod, as OpenShift wants it. Default: Fixed.
    #[serde(default)]
    pub user: UserFrom,
    /// User and group id of the sidecar with user: Fixed. 1 to 2147483647. Default: 65532.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: Option<i64>,
}

/// Where the user and group ids come from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserFrom {
    /// From runAsUser.
    #[default]
    Fixed,
    /// From the platform or the pod, as OpenShift wants it.
    Platform,
}
