//! `spec.allowedNamespaces`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Namespaces whose pods may use a TraceBuffer.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::selector_matches_from())]
pub struct AllowedNamespacesSpec {
    /// Namespaces that are allowed. Same: the namespace of this TraceBuffer. All: all namespaces.
    /// Selector: the namespace of this TraceBuffer and those that selector matches. Default: Same.
    #[serde(default)]
    pub from: FromNamespaces,
    /// Label selector for namespaces. Required and not empty if from is Selector, otherwise must be
    /// unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::label_selector_schema")]
    pub selector: Option<LabelSelector>,
}

/// Namespaces whose pods may use a TraceBuffer.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FromNamespaces {
    /// The namespace of the TraceBuffer.
    #[default]
    Same,
    /// All namespaces.
    All,
    /// The namespace of the TraceBuffer and those that the selector matches.
    Selector,
}
