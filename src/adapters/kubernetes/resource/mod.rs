//! The custom resource `TraceBuffer` (`tracebuffer.dev/v1alpha1`), from which the CRD is generated.
//!
//! Doc comments are what `kubectl explain` prints.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each type into a function, where nothing can reach it"
)]
#![expect(clippy::duplicated_attributes, reason = "each printer column has attributes of its own")]
#![expect(
    clippy::doc_markdown,
    rustdoc::bare_urls,
    reason = "what `kubectl explain` prints is no Markdown"
)]

mod container;
mod destination;
mod manifest;
pub mod mistakes;
mod rules;
mod status;
mod time;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use container::{
    Amounts, ApplicationEnvironment, Mode, Resources, SecretName, Security, Sidecar, UserFrom,
};
pub use destination::{
    Batch, Compression, Destination, DestinationHeader, DestinationTls, KeyReference, Protocol,
};
pub use manifest::manifest;
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
    doc = "Describes a sidecar that receives the traces of a pod, buffers them, and sends them on. Pods that have the annotation tracebuffer.dev/inject get one.",
    status = "TraceBufferStatus",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether new pods get the sidecar",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        description = "Where traces are sent",
        json_path = ".spec.destination.endpoint"
    ),
    printcolumn(
        name = "Pods",
        type_ = "integer",
        description = "Pods that have the sidecar, or should have it",
        json_path = ".status.pods.total"
    ),
    printcolumn(
        name = "Outdated",
        type_ = "integer",
        description = "Pods whose sidecar is from before a change that needs a restart",
        json_path = ".status.pods.outdated"
    ),
    printcolumn(
        name = "Missing",
        type_ = "integer",
        description = "Pods that should have the sidecar and have none",
        json_path = ".status.pods.missing"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        description = "Whether the spec makes sense",
        json_path = r#".status.conditions[?(@.type=="Accepted")].status"#,
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "Why it is ready or not",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(
        name = "Max-Spans",
        type_ = "integer",
        description = "Most spans held in each pod",
        json_path = ".spec.buffer.maxSpans",
        priority = 1
    ),
    printcolumn(
        name = "Max-Bytes",
        type_ = "string",
        description = "Most memory held by spans in each pod",
        json_path = ".spec.buffer.maxBytes",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::request_fits())]
pub struct TraceBufferSpec {
    /// What the sidecar keeps, and what it does when that is too much. Whichever limit is reached
    /// first counts.
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
    /// Other namespaces whose pods may use this TraceBuffer, by the annotation
    /// tracebuffer.dev/inject: namespace/name; * is every namespace. Its references to Secrets and
    /// ConfigMaps are looked up in the pod's namespace. At most 256. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 63)),
        extend("x-kubernetes-list-type" = "set")
    )]
    #[x_kube(validation = rules::namespaces())]
    pub allowed_namespaces: Vec<String>,
    /// Whether pods are restarted when a change needs it.
    #[serde(default)]
    pub rollout: Rollout,
    /// Longest time between the signal to stop and the end of the sidecar, as it sends what is
    /// left. Keep it below the pod's terminationGracePeriodSeconds. A duration from 0s to 1h.
    /// Default: 25s.
    #[serde(default = "default_drain_timeout")]
    #[x_kube(validation = rules::duration("0s", "1h"))]
    pub drain_timeout: Time,
}

/// Limits of the buffer. Whichever is reached first counts; then the oldest spans are dropped.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Buffer {
    /// Most spans held in each pod. 1 to 1000000000. Running pods follow a change within seconds.
    /// Default: 50000.
    #[serde(default = "default_max_spans")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_spans: i64,
    /// Most memory held by spans in each pod, as a quantity such as 32Mi. 64Ki to 64Gi. Running pods
    /// follow a change within seconds, but never beyond what their memory was made for.
    /// Default: 32Mi.
    #[serde(default = "default_max_bytes")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::quantity("64Ki", "64Gi"))]
    pub max_bytes: Quantity,
    /// Age at which a span is dropped unsent, as a duration such as 1h. 100ms to 720h. Running pods
    /// follow a change within seconds. Default: unset, which keeps spans until room is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration("100ms", "720h"))]
    pub max_age: Option<Time>,
    /// What a full buffer does with new spans. DropOldest: the oldest spans are dropped for them.
    /// Reject: they are refused, and the application may try again. Default: DropOldest.
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
#[x_kube(validation = rules::ports_differ())]
pub struct Receiver {
    /// Port for OTLP on the pod's loopback, usually over gRPC; HTTP is understood too. 1 to 65535.
    /// Default: 4317.
    #[schemars(range(min = 1, max = 65_535))]
    #[serde(default = "default_grpc_port")]
    pub grpc_port: i32,
    /// Port for OTLP on the pod's loopback, usually over HTTP; gRPC is understood too. 1 to 65535.
    /// Default: 4318.
    #[schemars(range(min = 1, max = 65_535))]
    #[serde(default = "default_http_port")]
    pub http_port: i32,
    /// Port for health and metrics, on the pod's address. 1 to 65535. Default: 9417.
    #[schemars(range(min = 1, max = 65_535))]
    #[serde(default = "default_admin_port")]
    pub admin_port: i32,
    /// Largest request received, decompressed, as a quantity. 1Ki to 64Mi, at most buffer.maxBytes.
    /// Default: 4Mi, or buffer.maxBytes where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::quantity("1Ki", "64Mi"))]
    pub max_request_bytes: Option<Quantity>,
}

/// Whether and how fast pods are restarted when a change needs it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// When owners of outdated pods (Deployments, StatefulSets, DaemonSets) are restarted. None:
    /// never; pods take up the change when they are next created. OnChange: as kubectl rollout restart
    /// would, a few owners at a time. Default: None.
    #[serde(default)]
    pub strategy: RolloutStrategy,
    /// Owners restarted at the same time. 1 to 100. Default: 1.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: i32,
    /// Pause after an owner has completed, before the next. A duration from 0s to 24h. Default: 10s.
    #[x_kube(validation = rules::duration("0s", "24h"))]
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
