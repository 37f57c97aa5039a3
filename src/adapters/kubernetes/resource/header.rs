//! `spec.destination.headers`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{KeyReference, rules};

/// Maximum length of a header name, in characters. The name is also part of a file name.
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
    /// Name of the header, case-insensitive. May contain letters, digits, '-', '_' and '.'. At most
    /// 128 characters.
    #[schemars(length(min = 1, max = MAX_HEADER_NAME))]
    #[x_kube(validation = rules::header_name())]
    pub name: String,
    /// Literal value, in printable ASCII. Visible to everyone who can read the pod; use valueFrom for
    /// credentials. At most 4096 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = rules::header_value())]
    pub value: Option<String>,
    /// Source of the value, resolved in the pod's namespace. Cannot be used with value. Exactly one
    /// field must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderSource>,
    /// Text prepended to the value of valueFrom, such as "Bearer ". At most 256 characters.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = rules::header_prefix())]
    pub prefix: Option<String>,
    /// Whether requests are sent without the header while the value of valueFrom is missing or empty.
    /// If false, requests wait until the value exists. The pod starts in either case. Cannot be used
    /// with serviceAccountToken. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Source of a header's value. Exactly one field must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::one_source())]
pub struct HeaderSource {
    /// Key of a Secret in the pod's namespace. A change of the Secret takes effect without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
    /// Key of a ConfigMap in the pod's namespace. A change of the ConfigMap takes effect without a
    /// restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
    /// Token of the pod's service account, issued for an audience and renewed by the kubelet.
    /// Available only to pods in the namespace of this TraceBuffer. Unlike the other sources, a token
    /// can prevent a pod from starting: the kubelet waits until the API server has issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_token: Option<ServiceAccountToken>,
    /// Field of the pod, such as its namespace or a label. Fields other than labels and annotations
    /// always have a value; optional has no effect on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldReference>,
}

/// A token of the pod's service account.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountToken {
    /// Audience of the token: identifies the destination that verifies it. Audiences of the API
    /// server are rejected, because the destination could use such a token to act as the pod in the
    /// cluster. At most 256 characters. Required.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = rules::audience())]
    pub audience: String,
    /// Requested lifetime of the token, in seconds. The kubelet renews the token after 80 percent of
    /// it. Must be in the range 600 to 4294967296. Default: 3600.
    // No default in the schema: client-side apply sees a default within a list as a change.
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
    /// status.hostIP. A change of a label or annotation takes effect without a restart.
    #[schemars(length(min = 1, max = 384))]
    #[x_kube(validation = rules::field_path())]
    pub field_path: String,
}
