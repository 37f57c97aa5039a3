//! Validates a document against the schema of the CRD: known fields, types, required fields.

use serde_json::{Map, Value};

use super::node::{Content, Node};
use crate::adapters::kubernetes::resource::validation::FieldError;

/// The maximum edit distance at which a known name is suggested.
const MAX_EDIT_DISTANCE: usize = 3;

/// Validates `node` at `path` against a schema of the CRD.
pub(super) fn validate(node: &Node, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut add_error =
        |message: String| errors.push(FieldError { field: path.to_owned(), message });
    match &node.content {
        // For the API server null means absent.
        Content::Scalar(Value::Null) => {}
        content if !has_type(content, schema) => {
            add_error(format!(
                "must be {}; it is {}",
                describe_expected(schema),
                describe_found(content)
            ));
        }
        Content::Scalar(value) => {
            let allowed = schema.get("enum").and_then(Value::as_array);
            if allowed.is_some_and(|allowed| !allowed.contains(value)) {
                add_error(format!("must be {}; it is {value}", describe_expected(schema)));
            }
        }
        Content::Sequence(elements) => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            for (index, element) in elements.iter().enumerate() {
                validate(element, items, &format!("{path}[{index}]"), errors);
            }
        }
        Content::Mapping(fields) => {
            if let Some(known) = schema.get("properties").and_then(Value::as_object) {
                validate_fields(fields, known, path, errors);
                validate_required(node, schema, path, errors);
            } else if let Some(values) = schema.get("additionalProperties") {
                for (name, value) in fields {
                    validate(value, values, &format!("{path}.{name}"), errors);
                }
            }
        }
    }
}

fn validate_fields(
    fields: &[(String, Node)],
    known: &Map<String, Value>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    for (name, node) in fields {
        let field = format!("{path}.{name}");
        match known.get(name) {
            Some(schema) => validate(node, schema, &field, errors),
            None => {
                errors.push(FieldError { field, message: unknown_field_message(name, known) });
            }
        }
    }
}

fn validate_required(node: &Node, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in names.filter_map(Value::as_str) {
        let is_set = |node: &Node| !matches!(node.content, Content::Scalar(Value::Null));
        if !node.field(name).is_some_and(is_set) {
            errors.push(FieldError {
                field: format!("{path}.{name}"),
                message: "must be set".into(),
            });
        }
    }
}

fn unknown_field_message(name: &str, known: &Map<String, Value>) -> String {
    let nearest = known.keys().min_by_key(|candidate| edit_distance(name, candidate));
    if let Some(nearest) =
        nearest.filter(|candidate| edit_distance(name, candidate) <= MAX_EDIT_DISTANCE)
    {
        return format!("is not a known field; did you mean {nearest}?");
    }
    let names: Vec<_> = known.keys().map(String::as_str).collect();
    format!("is not a known field; the fields are {}", names.join(", "))
}

fn has_type(content: &Content, schema: &Value) -> bool {
    if schema.get("x-kubernetes-int-or-string").is_some() {
        let is_either = |value: &Value| value.is_string() || value.is_i64() || value.is_u64();
        return matches!(content, Content::Scalar(value) if is_either(value));
    }
    match (schema.get("type").and_then(Value::as_str), content) {
        (Some("object"), content) => matches!(content, Content::Mapping(_)),
        (Some("array"), content) => matches!(content, Content::Sequence(_)),
        (Some("string"), Content::Scalar(value)) => value.is_string(),
        (Some("integer"), Content::Scalar(value)) => value.is_i64() || value.is_u64(),
        (Some("boolean"), Content::Scalar(value)) => value.is_boolean(),
        (Some("string" | "integer" | "boolean"), _) => false,
        (_, _) => true,
    }
}

fn describe_expected(schema: &Value) -> String {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
        return format!("one of {}", words.join(", "));
    }
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return "a quantity such as 32Mi".into();
    }
    match schema.get("type").and_then(Value::as_str).unwrap_or_default() {
        "array" => "an array".into(),
        "object" => "an object".into(),
        "integer" => "a whole number".into(),
        "boolean" => "true or false".into(),
        _ => "a string, quoted if it looks like another type".into(),
    }
}

/// Describes a value without showing a string, which may be a misplaced secret.
fn describe_found(content: &Content) -> String {
    match content {
        Content::Mapping(_) => "an object".into(),
        Content::Sequence(_) => "an array".into(),
        Content::Scalar(Value::String(_)) => "a string".into(),
        Content::Scalar(value) => value.to_string(),
    }
}

/// Returns the Levenshtein distance of two names, ignoring case.
fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.to_lowercase().chars().enumerate() {
        let mut next = vec![index + 1];
        for (candidate, pair) in other.iter().zip(row.windows(2)) {
            let (Some(diagonal), Some(above)) = (pair.first(), pair.last()) else { continue };
            let left = next.last().copied().unwrap_or_default();
            let substituted = diagonal + usize::from(*candidate != letter);
            next.push(substituted.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_insertions_deletions_and_substitutions() {
        for (one, other, expected) in [
            ("buffer", "buffer", 0),
            ("bufer", "buffer", 1),
            ("maxspans", "maxSpans", 0),
            ("maxSpan", "maxSpans", 1),
            ("endpiont", "endpoint", 2),
            ("", "abc", 3),
            ("abc", "", 3),
        ] {
            assert_eq!(edit_distance(one, other), expected, "{one} {other}");
        }
    }
}
