//! `spec.destination`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DestinationHeader, DestinationTls, DurationString, rules};
use crate::adapters::messaging::notation::endpoint::Protocol;

/// Backend that receives the traces, and how they are sent to it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::path_fits_protocol(), validation = rules::tls_is_for_https())]
pub struct DestinationSpec {
    /// URL of the backend, such as http://collector.observability:4317. The scheme https:// enables
    /// TLS. The port defaults to 443 for https://, and to 4317 (GRPC) or 4318 (HTTPProtobuf) for
    /// http://. A path is allowed only with protocol HTTPProtobuf, and defaults to /v1/traces. At most
    /// 2048 characters. Required.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = rules::endpoint())]
    pub endpoint: String,
    /// Transport protocol. GRPC: OTLP/gRPC. HTTPProtobuf: OTLP/HTTP with protobuf. Default: GRPC.
    #[serde(default)]
    pub protocol: ProtocolSpec,
    /// Compression of request bodies: None, Gzip or Zstd. Default: None.
    #[serde(default)]
    pub compression: CompressionSpec,
    /// Headers added to every request, such as authorization. At most 32 headers. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    #[x_kube(validation = rules::headers_differ())]
    pub headers: Vec<DestinationHeader>,
    /// TLS settings of an https:// endpoint. A missing or invalid certificate does not prevent the
    /// pod from starting: the sidecar keeps buffering, logs the problem, and reads the file again
    /// when it changes. Default: public certificate authorities are trusted, and no client
    /// certificate is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<DestinationTls>,
    /// Maximum duration of one request, including connecting. Must be in the range 100ms to 5m.
    /// Default: 10s.
    #[x_kube(validation = rules::duration("100ms", "5m"))]
    #[serde(default = "default_timeout")]
    pub timeout: DurationString,
    /// Age at which a connection is replaced by a new one before the next request, give or take a
    /// fifth, so that load spreads over new servers and a name that moves is followed. 0s keeps
    /// connections. Must be in the range 0s to 24h. Default: 5m.
    #[x_kube(validation = rules::duration("0s", "24h"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_max_age: Option<DurationString>,
    /// HTTP proxy through which the backend is reached. Default: none, unless the pod has proxy
    /// variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<DestinationProxy>,
    /// How spans are grouped into requests.
    #[serde(default)]
    pub batch: BatchSpec,
    /// Maximum number of concurrent requests. The order of spans is preserved only with 1. Must be in
    /// the range 1 to 64. Default: 1.
    #[schemars(range(min = 1, max = 64))]
    #[serde(default = "default_concurrency")]
    pub concurrency: i32,
}

/// HTTP proxy through which the backend is reached, by CONNECT.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DestinationProxy {
    /// URL of the proxy, such as http://proxy.corp.example:3128, without credentials. The scheme
    /// https:// encrypts the connection to the proxy itself. The port defaults to that of the scheme.
    /// What is sent to an http:// endpoint is readable by the proxy. At most 2048 characters.
    /// Required.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = rules::proxy_url())]
    pub url: String,
}

/// Transport protocol to the destination.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProtocolSpec {
    /// OTLP/gRPC.
    #[default]
    #[serde(rename = "GRPC")]
    Grpc,
    /// OTLP/HTTP with protobuf.
    #[serde(rename = "HTTPProtobuf")]
    HttpProtobuf,
}

/// Compression of request bodies.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompressionSpec {
    /// Uncompressed.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// zstd (RFC 8878).
    Zstd,
}

/// How spans are grouped into requests.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BatchSpec {
    /// Maximum number of spans in one request. If greater than a quarter of buffer.maxSpans, that
    /// quarter is used. Must be in the range 1 to 1000000. Default: 8192.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default = "default_max_spans")]
    pub max_spans: i64,
    /// Maximum size of one request before compression, as a quantity. If greater than a quarter of
    /// buffer.maxBytes, that quarter is used. Must be in the range 1Ki to 64Mi. Default: 3584Ki.
    #[serde(default = "default_max_bytes")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::quantity("1Ki", "64Mi", "32Mi"))]
    pub max_bytes: Quantity,
    /// Maximum time that a span waits for other spans to be sent in the same request. Must be in the
    /// range 0s to 1m. Default: 200ms.
    #[x_kube(validation = rules::duration("0s", "1m"))]
    #[serde(default = "default_linger")]
    pub linger: DurationString,
}

impl DestinationSpec {
    /// Creates a destination with default settings.
    #[must_use]
    pub fn with_endpoint(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            protocol: ProtocolSpec::default(),
            compression: CompressionSpec::default(),
            headers: Vec::new(),
            tls: None,
            timeout: default_timeout(),
            connection_max_age: None,
            proxy: None,
            batch: BatchSpec::default(),
            concurrency: default_concurrency(),
        }
    }
}

impl From<ProtocolSpec> for Protocol {
    fn from(protocol: ProtocolSpec) -> Self {
        match protocol {
            ProtocolSpec::Grpc => Self::Grpc,
            ProtocolSpec::HttpProtobuf => Self::Http,
        }
    }
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self {
            max_spans: default_max_spans(),
            max_bytes: default_max_bytes(),
            linger: default_linger(),
        }
    }
}

fn default_timeout() -> DurationString {
    DurationString("10s".into())
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

fn default_linger() -> DurationString {
    DurationString("200ms".into())
}
