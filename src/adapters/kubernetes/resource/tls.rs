//! `spec.destination.tls`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{KeyReference, SecretReference, rules};

/// Maximum length of a DNS name, in characters.
pub const MAX_SERVER_NAME: usize = 253;

/// TLS settings of the connection to the destination.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::some_authority_is_trusted())]
pub struct DestinationTls {
    /// Source of the trusted certificate authorities, in PEM format, in the pod's namespace. Exactly
    /// one field must be set. Default: the public certificate authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaSource>,
    /// Whether the public certificate authorities, which are built into the sidecar's image, are
    /// trusted. Default: true if ca is unset, false if ca is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_system_roots: Option<bool>,
    /// Secret of type kubernetes.io/tls in the pod's namespace that contains the client certificate
    /// and its key. Default: no client certificate is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<SecretReference>,
    /// Name that the destination's certificate must be valid for. Also sent as SNI. At most 253
    /// characters. Default: the host of endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SERVER_NAME))]
    #[x_kube(validation = rules::server_name())]
    pub server_name: Option<String>,
}

/// Source of certificates, in the pod's namespace. Exactly one field must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::one_certificate_source())]
pub struct CaSource {
    /// Key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
    /// Key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
}
