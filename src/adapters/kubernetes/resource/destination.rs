//! `spec.destination`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Time, rules};

/// Where traces are sent, and how.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::path_fits_protocol(), validation = rules::tls_is_for_https())]
pub struct Destination {
    /// URL such as http://collector.observability:4317. https encrypts. Without a port, 4317 or 4318 is
    /// used, as the protocol has it; a path is allowed with protocol HttpProtobuf only, where
    /// /v1/traces is added to a URL that has none. At most 2048 characters. Required.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = rules::endpoint())]
    pub endpoint: String,
    /// Transport. Grpc: OTLP/gRPC. HttpProtobuf: OTLP/HTTP with protobuf. Default: Grpc.
    #[serde(default)]
    pub protocol: Protocol,
    /// How requests are compressed: None, Gzip or Zstd. Default: None.
    #[serde(default)]
    pub compression: Compression,
    /// Headers added to every request, such as authorization. At most 32. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    #[x_kube(validation = rules::headers_differ())]
    pub headers: Vec<DestinationHeader>,
    /// Certificates, for an https endpoint. What is missing or wrong there never keeps a pod from
    /// starting: the sidecar buffers, says so, and reads it again when it changes. Default: the
    /// public authorities are trusted, and no certificate is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<DestinationTls>,
    /// Longest wait for one answer, connecting included. A duration from 100ms to 5m. Default: 10s.
    #[x_kube(validation = rules::duration("100ms", "5m"))]
    #[serde(default = "default_timeout")]
    pub timeout: Time,
    /// How spans are put together into requests.
    #[serde(default)]
    pub batch: Batch,
    /// Requests on their way at the same time; more than 1 gives up their order. 1 to 64. Default: 1.
    #[schemars(range(min = 1, max = 64))]
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
#[x_kube(validation = rules::one_value())]
pub struct DestinationHeader {
    /// Name of the header, whatever its case: letters, digits, '-', '_' and '.'. At most 128
    /// characters.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = rules::header_name())]
    pub name: String,
    /// Its value in printable ASCII, which anyone who can read the pod can read. At most 4096
    /// characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = rules::header_value())]
    pub value: Option<String>,
    /// The key of a Secret, in the pod's namespace, that holds its whole value. The value is read again
    /// when it changes, and appears neither in the pod nor in its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
}

/// A key of a Secret or ConfigMap in the pod's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeyReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::object_name())]
    pub name: String,
    /// Key in it.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::key())]
    pub key: String,
}

/// Certificates for the connection to the destination.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::one_authority())]
pub struct DestinationTls {
    /// Key of a ConfigMap, in the pod's namespace, with the PEM certificates of the authorities to trust
    /// instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_ref: Option<KeyReference>,
    /// Key of a Secret with the same; set only one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<KeyReference>,
    /// Name of a Secret of type kubernetes.io/tls, in the pod's namespace, with the certificate shown
    /// to the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::object_name())]
    pub client_secret_name: Option<String>,
}

/// How spans are put together into requests.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Most spans in one request; never more than a quarter of buffer.maxSpans. 1 to 1000000.
    /// Default: 8192.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default = "default_max_spans")]
    pub max_spans: i64,
    /// Largest request, uncompressed, as a quantity; never more than a quarter of buffer.maxBytes.
    /// 1Ki to 64Mi. Default: 3584Ki.
    #[serde(default = "default_max_bytes")]
    #[schemars(schema_with = "rules::quantity_schema")]
    #[x_kube(validation = rules::quantity("1Ki", "64Mi"))]
    pub max_bytes: Quantity,
    /// How long a span waits for others to share its request. A duration from 0s to 1m. Default: 200ms.
    #[x_kube(validation = rules::duration("0s", "1m"))]
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
