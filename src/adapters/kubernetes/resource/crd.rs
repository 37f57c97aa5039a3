//! The CRD as it is installed.

use kube::CustomResourceExt;
use serde_json::Value;

use super::TraceBuffer;

/// Returns the `CustomResourceDefinition` of `TraceBuffer`.
#[must_use]
pub fn crd_json() -> Value {
    // Only a map without text for keys could fail.
    let mut crd = serde_json::to_value(TraceBuffer::crd()).unwrap_or_default();
    normalize(&mut crd);
    // Whatever order serde_json is built to keep.
    crd.sort_all_objects();
    crd
}

/// Makes the schema say what is meant. A field that may be left out is no field that may be null:
/// where it is not nullable, the API server takes null for absent and puts the default there, and so
/// nobody has to read null. Descriptions flow, and whole numbers are written as such.
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
            if let Some(whole) = number.as_f64().and_then(as_integer) {
                *number = whole.into();
            }
        }
        _ => {}
    }
}

fn as_integer(number: f64) -> Option<i64> {
    // Exact: every bound in the schema is far below 2^53.
    let text = format!("{number:.0}");
    let whole = text.parse().ok()?;
    (format!("{number}") == text).then_some(whole)
}
