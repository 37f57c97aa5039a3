//! The objects as lists and watches show them.

use serde_json::{Value, json};

use super::request::ApiRequest;
use super::selector::matches;

/// Whether a list or watch includes this object.
pub(crate) fn is_selected(request: &ApiRequest, object: &Value) -> bool {
    let is_there =
        request.namespace.is_empty() || object["metadata"]["namespace"] == *request.namespace;
    is_there
        && matches(request.parameter("labelSelector"), request.parameter("fieldSelector"), object)
}

/// Returns the whole object or only its metadata, as requested.
pub(crate) fn as_requested(request: &ApiRequest, object: &Value) -> Value {
    if !request.is_metadata_only || object.get("items").is_some() || object["kind"] == "Status" {
        return object.clone();
    }
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": object["metadata"],
    })
}
