//! Patches.

use serde_json::Value;

/// Applies a patch of this content type; `Err` has the reason why it cannot be applied.
pub(crate) fn apply_patch(
    object: &Value,
    patch: &[u8],
    content_type: &str,
) -> Result<Value, String> {
    let mut object = object.clone();
    if content_type == "application/json-patch+json" {
        let patch: json_patch::Patch =
            serde_json::from_slice(patch).map_err(|error| error.to_string())?;
        json_patch::patch(&mut object, &patch).map_err(|error| error.to_string())?;
        return Ok(object);
    }
    let patch: Value = serde_json::from_slice(patch).map_err(|error| error.to_string())?;
    json_patch::merge(&mut object, &patch);
    Ok(object)
}
