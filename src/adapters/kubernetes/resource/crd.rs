//! The `CustomResourceDefinition` in the form that is installed.

use kube::CustomResourceExt;
use serde_json::Value;

use super::TraceBuffer;

/// Returns the `CustomResourceDefinition` of `TraceBuffer`.
#[must_use]
pub fn crd_json() -> Value {
    // Only maps with keys other than strings cannot be serialized.
    let mut crd = serde_json::to_value(TraceBuffer::crd()).unwrap_or_default();
    normalize(&mut crd);
    // The order must not depend on the features of serde_json.
    crd.sort_all_objects();
    crd
}

/// Removes artifacts of schemars from the schema: `nullable`, line breaks in descriptions, and
/// integers written as floating-point numbers.
///
/// An optional field must not be nullable: the API server then treats null as unset and applies the
/// default, so that no reader has to handle null.
fn normalize(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, member| name != "nullable" || !member.is_boolean());
            for (name, member) in members.iter_mut() {
                match member {
                    Value::String(text) if name == "description" => *text = text.replace('\n', " "),
                    _ => normalize(member),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(normalize),
        Value::Number(number) => {
            if let Some(integer) = number.as_f64().and_then(as_integer) {
                *number = integer.into();
            }
        }
        _ => {}
    }
}

fn as_integer(number: f64) -> Option<i64> {
    // Bounds in the schema are far below 2^53, so that the conversion is exact.
    let text = format!("{number:.0}");
    let integer = text.parse().ok()?;
    (format!("{number}") == text).then_some(integer)
}
