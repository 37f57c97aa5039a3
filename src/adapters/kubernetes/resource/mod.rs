//! The custom resource `TraceBuffer` (`tracebuffer.dev/v1alpha1`), from which the CRD is generated.
//!
//! Doc comments are what `kubectl explain` prints.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each type into a function, where nothing can reach it"
)]

mod destination;
pub mod mistakes;
mod status;
mod time;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use destination::{
    Batch, Compression, Destination, DestinationHeader, DestinationTls, KeyReference, Protocol,
};
pub use status::{PodCounts, TraceBufferStatus};
pub use time::Time;

/// Describes the sidecar that buffers the traces of a pod and forwards them.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "tracebuffer.dev",
    version = "v1alpha1",
    kind = "TraceBuffer",
    shortname = "tb",
    category = "observability",
    namespaced,
    status = "TraceBufferStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct TraceBufferSpec {
    /// What the sidecar keeps, and what it does when that is too much.
    #[serde(default)]
    pub buffer: Buffer,
    /// Where traces are sent.
    pub destination: Destination,
    /// What the sidecar listens on.
    #[serde(default)]
    pub receiver: Receiver,
    /// The container itself.
    #[serde(default)]
    pub sidecar: Sidecar,
    /// Other namespaces whose pods may use this TraceBuffer by naming it as `namespace/name`;
    /// `*` is every namespace. Its Secret and ConfigMap references are looked up in the pod's
    /// namespace. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_namespaces: Vec<String>,
    /// Whether pods are restarted when a change needs it.
    #[serde(default)]
    pub rollout: Rollout,
    /// Longest time between the signal to stop and the end of the sidecar, as it sends what is
    /// left. Keep it below the pod's terminationGracePeriodSeconds. 0s to 1h. Default: 25s.
    #[serde(default = "default_drain_timeout")]
    pub drain_timeout: Time,
}

/// Limits of the buffer. Whichever is reached first counts; then the oldest spans are dropped.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Buffer {
    /// Most spans held. 1 to 1000000000. Default: 50000. Running pods follow a change at once.
    #[serde(default = "default_max_spans")]
    pub max_spans: i64,
    /// Most memory held by spans, as a quantity such as 32Mi. 64Ki to 64Gi. Default: 32Mi.
    #[serde(default = "default_max_bytes")]
    pub max_bytes: Quantity,
    /// Age at which a span is dropped unsent, such as 1h. 100ms to 720h. Unset: kept until room is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Time>,
    /// What a full buffer does with new spans.
    #[serde(default)]
    pub overflow: Overflow,
}

/// What a full buffer does with new spans.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest spans are dropped for them.
    #[default]
    DropOldest,
    /// They are refused, and the application may try again.
    Reject,
}

/// Ports of the sidecar on the pod's loopback, and what may arrive there.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Receiver {
    /// Port for OTLP, usually over gRPC. 1 to 65535. Default: 4317.
    #[serde(default = "default_grpc_port")]
    pub grpc_port: i32,
    /// Port for OTLP, usually over HTTP. 1 to 65535. Default: 4318.
    #[serde(default = "default_http_port")]
    pub http_port: i32,
    /// Port for health and metrics, on the pod's address. 1 to 65535. Default: 9417.
    #[serde(default = "default_admin_port")]
    pub admin_port: i32,
    /// Largest request received, decompressed. 1Ki to 64Mi, at most buffer.maxBytes. Default: 4Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_request_bytes: Option<Quantity>,
}

/// The sidecar's container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// How the sidecar stands in the pod.
    #[serde(default)]
    pub mode: Mode,
    /// Image of the sidecar. Default: the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Secrets, in the pod's namespace, to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<SecretName>,
    /// Requests and limits of the sidecar. Default: derived from the buffer's limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Whether the application's containers are told to send their traces to the sidecar.
    #[serde(default)]
    pub application_environment: ApplicationEnvironment,
    /// What the sidecar runs as.
    #[serde(default)]
    pub security: Security,
}

/// A Secret in the pod's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretName {
    /// Name of the Secret.
    pub name: String,
}

/// What the sidecar asks of its node, and may use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is set aside for the sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Amounts>,
    /// The most it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Amounts>,
}

/// Amounts of what a node has.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Processors, such as 100m for a tenth of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory, such as 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Space on the node's disk, such as 64Mi.
    #[serde(default, rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
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
pub struct Security {
    /// Where the user and group ids come from.
    #[serde(default)]
    pub user: UserFrom,
    /// User and group id of the sidecar with user: Fixed. 1 to 2147483647. Default: 65532.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// Whether and how fast pods are restarted when a change needs it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// When owners of outdated pods are restarted.
    #[serde(default)]
    pub strategy: RolloutStrategy,
    /// Owners restarted at the same time. 1 to 100. Default: 1.
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: i32,
    /// Pause after an owner has completed. 0s to 24h. Default: 10s.
    #[serde(default = "default_pause")]
    pub pause: Time,
}

/// When owners of outdated pods are restarted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RolloutStrategy {
    /// Never; pods take up the change when they are next created.
    #[default]
    None,
    /// As `kubectl rollout restart` would, one after another.
    OnChange,
}

impl TraceBufferSpec {
    /// Creates a spec that says where traces are sent, and leaves all else as it is by default.
    #[must_use]
    pub fn sending_to(endpoint: impl Into<String>) -> Self {
        Self {
            buffer: Buffer::default(),
            destination: Destination::at(endpoint),
            receiver: Receiver::default(),
            sidecar: Sidecar::default(),
            allowed_namespaces: Vec::new(),
            rollout: Rollout::default(),
            drain_timeout: default_drain_timeout(),
        }
    }
}

fn default_drain_timeout() -> Time {
    Time("25s".into())
}

const fn default_max_spans() -> i64 {
    50_000
}

fn default_max_bytes() -> Quantity {
    Quantity("32Mi".into())
}

const fn default_grpc_port() -> i32 {
    4317
}

const fn default_http_port() -> i32 {
    4318
}

const fn default_admin_port() -> i32 {
    9417
}

const fn default_max_concurrent() -> i32 {
    1
}

fn default_pause() -> Time {
    Time("10s".into())
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            max_spans: default_max_spans(),
            max_bytes: default_max_bytes(),
            max_age: None,
            overflow: Overflow::default(),
        }
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self {
            grpc_port: default_grpc_port(),
            http_port: default_http_port(),
            admin_port: default_admin_port(),
            max_request_bytes: None,
        }
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            strategy: RolloutStrategy::default(),
            max_concurrent: default_max_concurrent(),
            pause: default_pause(),
        }
    }
}
