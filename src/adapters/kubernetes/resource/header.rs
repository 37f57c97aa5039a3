//! `spec.destination.headers`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{KeyReference, rules};

/// Maximum characters of a header's name, which is also part of a file's name.
pub const MAX_HEADER_NAME: usize = 128;

/// A request header: a literal value, or the source of one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::value_or_source(),
    validation = rules::prefix_and_optional_need_source(),
    validation = rules::token_is_required()
)]
pub struct DestinationHeader {
    /// Name of the header, case-insensitive: letters, digits, '-', '_' and '.'. At most 128
    /// characters.
    #[schemars(length(min = 1, max = MAX_HEADER_NAME))]
    #[x_kube(validation = rules::header_name())]
    pub name: String,
    /// Literal value in printable ASCII. Anyone who can read the pod can read it; use valueFrom for
    /// credentials. At most 4096 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = rules::header_value())]
    pub value: Option<String>,
    /// Source of the value, resolved in the pod's namespace. Cannot be used with value. Exactly one
    /// field must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderSource>,
    /// Text put before the value of valueFrom, such as "Bearer ". At most 256 characters.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = rules::header_prefix())]
    pub prefix: Option<String>,
    /// What to do while the value of valueFrom is missing or empty. true: requests are sent without
    /// the header. false: requests wait until it is there. The pod starts in either case. Cannot be
    /// used with serviceAccountToken. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Source of a header's value. Exactly one field must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::one_source())]
pub struct HeaderSource {
    /// Key of a Secret in the pod's namespace. A changed Secret is used without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
    /// Key of a ConfigMap in the pod's namespace. A changed ConfigMap is used without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
    /// Token of the pod's service account, issued for an audience and renewed by the kubelet. Only
    /// for pods in the namespace of this TraceBuffer. Unlike every other source, it can keep a pod
    /// from starting: the kubelet waits until the API server has issued the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_token: Option<ServiceAccountToken>,
    /// Field of the pod, such as its namespace or a label. Fields other than labels and annotations
    /// are always set; optional has no effect on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldReference>,
}

/// A token of the pod's service account.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountToken {
    /// Audience of the token: the destination that verifies it. An audience of the API server is
    /// refused, because it would hand the pod's identity in the cluster to the destination. At most
    /// 256 characters. Required.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = rules::audience())]
    pub audience: String,
    /// Requested lifetime of the token in seconds; the kubelet renews it at 80 percent of that.
    /// 600 to 4294967296. Default: 3600.
    // Without a default in the schema: one inside of a list makes client-side apply see a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 600, max = 4_294_967_296_i64))]
    pub expiration_seconds: Option<i64>,
}

/// A field of the pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct FieldReference {
    /// Path of the field: metadata.name, metadata.namespace, metadata.uid, metadata.labels['KEY'],
    /// metadata.annotations['KEY'], spec.nodeName, spec.serviceAccountName, status.podIP or
    /// status.hostIP. A changed label or annotation is used without a restart.
    #[schemars(length(min = 1, max = 384))]
    #[x_kube(validation = rules::field_path())]
    pub field_path: String,
}
