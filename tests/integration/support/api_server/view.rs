//! The objects as lists and watches show them.

use serde_json::{Value, json};

use super::request::ApiRequest;
use super::selector::matches;

/// Whether a list or watch includes this object.
pub(crate) fn is_selected(asked: &ApiRequest, object: &Value) -> bool {
    let is_there =
        asked.namespace.is_empty() || object["metadata"]["namespace"] == *asked.namespace;
    is_there && matches(asked.parameter("labelSelector"), asked.parameter("fieldSelector"), object)
}

/// Returns the whole object or only its metadata, as requested.
pub(crate) fn as_requested(asked: &ApiRequest, object: &Value) -> Value {
    if !asked.is_metadata_only || object.get("items").is_some() || object["kind"] == "Status" {
        return object.clone();
    }
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": object["metadata"],
    })
}
