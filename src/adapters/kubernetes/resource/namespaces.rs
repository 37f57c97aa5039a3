//! `spec.allowedNamespaces`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Which namespaces' pods may use a TraceBuffer.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::selector_matches_from())]
pub struct AllowedNamespacesSpec {
    /// Same: the namespace of this TraceBuffer. All: every namespace. Selector: its own namespace
    /// and those whose labels match selector. Default: Same.
    #[serde(default)]
    pub from: FromNamespaces,
    /// Selects namespaces by their labels. Required with from: Selector, must not be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::label_selector_schema")]
    pub selector: Option<LabelSelector>,
}

/// Which namespaces' pods may use a TraceBuffer.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FromNamespaces {
    /// The namespace of the TraceBuffer.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// The namespaces that the selector matches.
    Selector,
}
