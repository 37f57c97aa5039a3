//! The custom resource `TraceBuffer` (`tracebuffer.dev/v1alpha1`), from which the CRD is generated.
//!
//! `kubectl explain` prints the doc comments of the fields.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each type into a function, where it is unreachable"
)]
#![expect(
    clippy::doc_link_with_quotes,
    clippy::doc_markdown,
    rustdoc::bare_urls,
    reason = "`kubectl explain` prints plain text, not Markdown"
)]

mod application;
mod crd;
mod destination;
mod duration;
mod header;
mod namespaces;
mod reference;
mod rules;
mod sidecar;
mod status;
mod tls;
pub mod validation;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use application::{ApplicationSpec, ResourceAttributes};
pub use crd::crd_json;
pub use destination::{
    BatchSpec, CompressionSpec, DestinationProxy, DestinationSpec, ProtocolSpec,
};
pub use duration::{DurationString, InvalidDuration};
pub use header::{
    DestinationHeader, FieldReference, HeaderSource, MAX_HEADER_NAME, ServiceAccountToken,
};
pub use namespaces::{AllowedNamespacesSpec, FromNamespaces};
pub use reference::{KeyReference, SecretReference};
pub use sidecar::{
    ApplicationEnvironment, ResourceAmounts, SidecarModeSpec, SidecarResources,
    SidecarSecurityContext, SidecarSpec,
};
pub use status::{PodCounts, TraceBufferStatus};
pub use tls::{CaSource, DestinationTls, MAX_SERVER_NAME};

/// Specification of the sidecar that buffers the traces of a pod and forwards them.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "tracebuffer.dev",
    version = "v1alpha1",
    kind = "TraceBuffer",
    shortname = "tb",
    category = "observability",
    namespaced,
    doc = "Describes a sidecar that receives the traces of a pod, buffers them, and forwards them to a backend. The sidecar is injected into pods with the annotation tracebuffer.dev/inject.",
    status = "TraceBufferStatus",
    derive = "PartialEq",
    validation = rules::name_is_not_reserved(),
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether new pods get the sidecar",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        description = "URL of the backend",
        json_path = ".spec.destination.endpoint"
    ),
    printcolumn(
        name = "Pods",
        type_ = "integer",
        description = "Number of pods that have or should have the sidecar",
        json_path = ".status.pods.total"
    ),
    printcolumn(
        name = "Outdated",
        type_ = "integer",
        description = "Number of pods that must be recreated for a change to take effect",
        json_path = ".status.pods.outdated"
    ),
    printcolumn(
        name = "Missing",
        type_ = "integer",
        description = "Number of pods that should have the sidecar but do not have it",
        json_path = ".status.pods.missing"
    ),
    printcolumn(
        name = "Failing",
        type_ = "integer",
        description = "Number of pods whose sidecar does not run",
        json_path = ".status.pods.failing"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        description = "Whether the spec is valid",
        json_path = r#".status.conditions[?(@.type=="Accepted")].status"#,
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "Reason of condition Ready",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(
        name = "Bypassing",
        type_ = "integer",
        description = "Number of pods in which a container's traces do not reach the sidecar",
        json_path = ".status.pods.bypassing",
        priority = 1
    ),
    printcolumn(
        name = "Max-Spans",
        type_ = "integer",
        description = "Maximum number of buffered spans, per pod",
        json_path = ".spec.buffer.maxSpans",
        priority = 1
    ),
    printcolumn(
        name = "Max-Bytes",
        type_ = "string",
        description = "Maximum memory for buffered spans, per pod",
        json_path = ".spec.buffer.maxBytes",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::request_fits_buffer())]
pub struct TraceBufferSpec {
    /// Limits of the buffer. The limit that is reached first applies.
    #[serde(default)]
    pub buffer: BufferSpec,
    /// Backend that receives the traces, and how they are sent to it.
    pub destination: DestinationSpec,
    /// Ports of the sidecar, and the maximum sizes of a received request and of its head.
    #[serde(default)]
    pub receiver: ReceiverSpec,
    /// Settings of the sidecar container.
    #[serde(default)]
    pub sidecar: SidecarSpec,
    /// What the application's containers are told about themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationSpec>,
    /// Namespaces whose pods may use this TraceBuffer. A pod in another namespace uses it if the
    /// pod's annotation tracebuffer.dev/inject is NAMESPACE/NAME, if its Namespace's annotation
    /// tracebuffer.dev/tracebuffer is NAMESPACE/NAME, or if this TraceBuffer is the operator's
    /// default. References to Secrets and ConfigMaps are always resolved in the pod's namespace. In
    /// namespaces other than that of this TraceBuffer, references and restarts require that the
    /// Namespace's annotation tracebuffer.dev/tracebuffer names this TraceBuffer.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespacesSpec,
    /// Restarts of workloads after a change that takes effect only in new pods.
    #[serde(default)]
    pub rollout: RolloutSpec,
    /// Maximum time to send the remaining spans after SIGTERM. Should be less than the pod's
    /// terminationGracePeriodSeconds. Must be in the range 0s to 1h. Default: 25s.
    #[serde(default = "default_drain_timeout")]
    #[x_kube(validation = rules::duration("0s", "1h"))]
    pub drain_timeout: DurationString,
}

/// Limits of the buffer. The limit that is reached first applies.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BufferSpec {
    /// Maximum number of buffered spans, per pod. A change takes effect in running pods within
    /// seconds. Must be in the range 1 to 1000000000. Default: 50000.
    #[serde(default = "default_max_spans")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_spans: i64,
    /// Maximum memory for buffered spans, per pod, as a quantity such as 32Mi. A change takes effect
    /// in running pods within seconds, up to the memory that they were created with. Must be in the
    /// range 64Ki to 64Gi. Default: 32Mi.
    #[serde(default = "default_max_bytes")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::quantity("64Ki", "64Gi", "32Mi"))]
    pub max_bytes: Quantity,
    /// Age at which an unsent span is dropped, as a duration such as 1h. A change takes effect in
    /// running pods within seconds. Must be in the range 100ms to 720h. Default: unset; spans are
    /// kept until the buffer is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration("100ms", "720h"))]
    pub max_age: Option<DurationString>,
    /// Policy for new spans when the buffer is full. DropOldest: the oldest spans are dropped to make
    /// room. Reject: the new spans are rejected, and the application may retry. Default: DropOldest.
    #[serde(default)]
    pub overflow: OverflowPolicySpec,
}

/// Policy for new spans when the buffer is full.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverflowPolicySpec {
    /// The oldest spans are dropped to make room.
    #[default]
    DropOldest,
    /// The new spans are rejected, and the application may retry.
    Reject,
}

/// Ports of the sidecar, and the maximum sizes of a received request and of its head.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::ports_differ())]
pub struct ReceiverSpec {
    /// Port for OTLP on the pod's loopback address, usually used for gRPC; HTTP is also accepted.
    /// Must be in the range 1 to 65535. Default: 4317.
    #[schemars(range(min = 1, max = 65_535))]
    #[serde(default = "default_grpc_port")]
    pub grpc_port: i32,
    /// Port for OTLP on the pod's loopback address, usually used for HTTP; gRPC is also accepted.
    /// Must be in the range 1 to 65535. Default: 4318.
    #[schemars(range(min = 1, max = 65_535))]
    #[serde(default = "default_http_port")]
    pub http_port: i32,
    /// Port for health checks and metrics on the pod's IP address. Must be in the range 1 to 65535.
    /// Default: 9417.
    #[schemars(range(min = 1, max = 65_535))]
    #[serde(default = "default_admin_port")]
    pub admin_port: i32,
    /// Maximum size of a received request after decompression, as a quantity. Must be in the range
    /// 1Ki to 64Mi, and at most buffer.maxBytes. Default: 4Mi, or buffer.maxBytes if that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::quantity("1Ki", "64Mi", "32Mi"))]
    pub max_request_bytes: Option<Quantity>,
    /// Maximum size of the head of a received request, as a quantity. Large tokens, and headers of a
    /// service mesh or proxy, can exceed the default. HTTP/2 counts 32 bytes more per header, and
    /// HTTP/1.1 always allows 8Ki. Must be in the range 4Ki to 64Ki. Default: 8Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::quantity("4Ki", "64Ki", "16Ki"))]
    pub max_head_bytes: Option<Quantity>,
}

/// Restarts of workloads after a change that takes effect only in new pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// Strategy for workloads (Deployments, StatefulSets, DaemonSets) with outdated pods. None: they
    /// are not restarted; a change takes effect when a pod is recreated. OnChange: they are restarted
    /// as by kubectl rollout restart, at most maxConcurrent at a time; in another namespace only if
    /// the Namespace's annotation tracebuffer.dev/tracebuffer names this TraceBuffer. Default: None.
    #[serde(default)]
    pub strategy: RolloutStrategy,
    /// Maximum number of workloads restarted at the same time. Must be in the range 1 to 100.
    /// Default: 1.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: i32,
    /// Delay between the completion of one workload's restart and the start of the next. Must be in
    /// the range 0s to 24h. Default: 10s.
    #[x_kube(validation = rules::duration("0s", "24h"))]
    #[serde(default = "default_interval")]
    pub interval: DurationString,
}

/// Strategy for workloads with outdated pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RolloutStrategy {
    /// Workloads are not restarted; a change takes effect when a pod is recreated.
    #[default]
    None,
    /// Workloads are restarted as by kubectl rollout restart, at most maxConcurrent at a time.
    OnChange,
}

impl TraceBufferSpec {
    /// Creates a spec that sends traces to `endpoint`, with default settings.
    #[must_use]
    pub fn with_endpoint(endpoint: impl Into<String>) -> Self {
        Self {
            buffer: BufferSpec::default(),
            destination: DestinationSpec::with_endpoint(endpoint),
            receiver: ReceiverSpec::default(),
            sidecar: SidecarSpec::default(),
            application: None,
            allowed_namespaces: AllowedNamespacesSpec::default(),
            rollout: RolloutSpec::default(),
            drain_timeout: default_drain_timeout(),
        }
    }
}

fn default_drain_timeout() -> DurationString {
    DurationString("25s".into())
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

fn default_interval() -> DurationString {
    DurationString("10s".into())
}

impl Default for BufferSpec {
    fn default() -> Self {
        Self {
            max_spans: default_max_spans(),
            max_bytes: default_max_bytes(),
            max_age: None,
            overflow: OverflowPolicySpec::default(),
        }
    }
}

impl Default for ReceiverSpec {
    fn default() -> Self {
        Self {
            grpc_port: default_grpc_port(),
            http_port: default_http_port(),
            admin_port: default_admin_port(),
            max_request_bytes: None,
            max_head_bytes: None,
        }
    }
}

impl Default for RolloutSpec {
    fn default() -> Self {
        Self {
            strategy: RolloutStrategy::default(),
            max_concurrent: default_max_concurrent(),
            interval: default_interval(),
        }
    }
}
