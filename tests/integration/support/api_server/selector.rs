//! Label and field selectors.

use serde_json::Value;

/// Whether an object is selected; empty selectors select everything.
pub(crate) fn matches(labels: &str, fields: &str, object: &Value) -> bool {
    requirements(labels).all(|requirement| has_label(&requirement, object))
        && requirements(fields).all(|requirement| has_field(&requirement, object))
}

/// Splits at commas outside parentheses.
fn requirements(selector: &str) -> impl Iterator<Item = String> {
    let mut depth = 0;
    let mut found = vec![String::new()];
    for letter in selector.chars() {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        if letter == ',' && depth == 0 {
            found.push(String::new());
        } else {
            found.last_mut().unwrap().push(letter);
        }
    }
    found.into_iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn has_label(requirement: &str, object: &Value) -> bool {
    let label = |key: &str| object["metadata"]["labels"].get(key.trim()).and_then(Value::as_str);
    let is_one_of = |key: &str, values: &str| {
        let values = values.trim().trim_start_matches('(').trim_end_matches(')');
        label(key).is_some_and(|value| values.split(',').any(|other| other.trim() == value))
    };
    if let Some((key, values)) = requirement.split_once(" notin ") {
        !is_one_of(key, values)
    } else if let Some((key, values)) = requirement.split_once(" in ") {
        is_one_of(key, values)
    } else if let Some((key, value)) = requirement.split_once("!=") {
        label(key) != Some(value.trim())
    } else if let Some((key, value)) = requirement.split_once('=') {
        label(key) == Some(value.trim_start_matches('=').trim())
    } else if let Some(key) = requirement.strip_prefix('!') {
        label(key).is_none()
    } else {
        label(requirement).is_some()
    }
}

fn has_field(requirement: &str, object: &Value) -> bool {
    let field = |path: &str| {
        let value = path.split('.').fold(object, |value, part| &value[part]);
        value.as_str().unwrap_or_default().to_owned()
    };
    if let Some((path, value)) = requirement.split_once("!=") {
        field(path) != value
    } else {
        let (path, value) = requirement.split_once('=').unwrap();
        field(path) == value.trim_start_matches('=')
    }
}
