//! `spec.destination`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Time;

/// Where traces are sent, and how.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// URL such as http://collector.observability:4317; https encrypts. A path is used as it is with protocol HttpProtobuf.
    pub endpoint: String,
    /// Transport.
    #[serde(default)]
    pub protocol: Protocol,
    /// How requests are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Headers added to every request, such as authorization.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<DestinationHeader>,
    /// Certificates, for an https endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<DestinationTls>,
    /// Longest wait for one answer, connecting included. 100ms to 5m. Default: 10s.
    #[serde(default = "default_timeout")]
    pub timeout: Time,
    /// How spans are put together into requests.
    #[serde(default)]
    pub batch: Batch,
    /// Requests on their way at the same time; more than 1 gives up their order. 1 to 64. Default: 1.
    #[serde(default = "default_concurrency")]
    pub concurrency: i32,
}

/// Transport to the destination.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    #[default]
    Grpc,
    /// OTLP/HTTP with protobuf.
    HttpProtobuf,
}

/// How requests are compressed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// With gzip.
    Gzip,
    /// With zstd.
    Zstd,
}

/// One header: a value, or a key of a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DestinationHeader {
    /// Name of the header.
    pub name: String,
    /// Its value; anyone who can read the pod can read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The key of a Secret, in the pod's namespace, that holds its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
}

/// A key of a Secret or ConfigMap in the pod's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeyReference {
    /// Name of the object.
    pub name: String,
    /// Key in it.
    pub key: String,
}

/// Certificates for the connection to the destination.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DestinationTls {
    /// Key of a ConfigMap with the PEM authorities to trust instead of the built-in ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_ref: Option<KeyReference>,
    /// Key of a Secret with the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<KeyReference>,
    /// Name of a Secret of type kubernetes.io/tls with the certificate shown to the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_name: Option<String>,
}

/// How spans are put together into requests.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Most spans in one request; never more than a quarter of buffer.maxSpans. 1 to 1000000. Default: 8192.
    #[serde(default = "default_max_spans")]
    pub max_spans: i64,
    /// Largest request, uncompressed; never more than a quarter of buffer.maxBytes. 1Ki to 64Mi. Default: 3584Ki.
    #[serde(default = "default_max_bytes")]
    pub max_bytes: Quantity,
    /// How long a span waits for others to share its request. 0s to 1m. Default: 200ms.
    #[serde(default = "default_linger")]
    pub linger: Time,
}

impl Destination {
    /// Creates a destination of which only the address is given.
    #[must_use]
    pub fn at(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            protocol: Protocol::default(),
            compression: Compression::default(),
            headers: Vec::new(),
            tls: None,
            timeout: default_timeout(),
            batch: Batch::default(),
            concurrency: default_concurrency(),
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            max_spans: default_max_spans(),
            max_bytes: default_max_bytes(),
            linger: default_linger(),
        }
    }
}

fn default_timeout() -> Time {
    Time("10s".into())
}

const fn default_concurrency() -> i32 {
    1
}

const fn default_max_spans() -> i64 {
    8_192
}

fn default_max_bytes() -> Quantity {
    Quantity("3584Ki".into())
}

fn default_linger() -> Time {
    Time("200ms".into())
}
