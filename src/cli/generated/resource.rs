//! The reference of `TraceBuffer`, in Markdown, from its schema.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::adapters::kubernetes::resource::crd_json;

const HEAD: &str = "\
# Configuration of a TraceBuffer

<!-- Made from the CRD: `UPDATE=1 cargo test --test integration crd` -->

All fields of a `TraceBuffer` (`tracebuffer.dev/v1alpha1`); `kubectl explain tb.spec --recursive` shows
the same. Only `spec.destination.endpoint` is required:

```yaml
apiVersion: tracebuffer.dev/v1alpha1
kind: TraceBuffer
metadata:
  name: default
spec:
  destination:
    endpoint: http://collector.observability:4317
```

More are in [examples](examples/). `tracebuffer analyze -f FILE` reports errors and doubtful values before
you apply a TraceBuffer. Annotations and labels are in [reference.md](reference.md), the settings of
`tracebuffer receiver` alone in [receiver.md](receiver.md).

Quantities are those of Kubernetes (`32Mi`, `1.5Gi`, `1e6`). Durations follow
[GEP-2257](https://gateway-api.sigs.k8s.io/geps/gep-2257/): one to four whole numbers with the units `h`, `m`,
`s` and `ms`, such as `1h30m` or `200ms`.

Running pods follow a change of `buffer.maxSpans`, `buffer.maxBytes` and `buffer.maxAge` within seconds;
`allowedNamespaces` and `rollout` concern the operator only. A pod takes up every other change when it is
recreated, by itself or by a restart as `rollout` says.
";

const TABLE_HEAD: &str = "\n| Field | Type | Default | Meaning |\n|---|---|---|---|\n";

/// Returns the text of `docs/configuration.md`.
#[must_use]
pub fn resource_reference() -> String {
    let manifest = crd_json();
    let schema = manifest.pointer("/spec/versions/0/schema/openAPIV3Schema/properties");
    let mut text = HEAD.to_owned();
    for name in ["spec", "status"] {
        if let Some(part) = schema.and_then(|schema| schema.get(name)) {
            section(&mut text, name, part);
        }
    }
    text
}

/// Writes a table of the fields of `schema`, then one of each field that has fields of its own.
fn section(text: &mut String, path: &str, schema: &Value) {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return };
    let description = str_field(schema, "description");
    // Writing to a string cannot fail.
    let _ = write!(text, "\n## `{path}`\n\n{description}\n");
    rules(text, schema);
    text.push_str(TABLE_HEAD);
    let required = schema.get("required").and_then(Value::as_array);
    for (name, field) in fields {
        let is_required = required.is_some_and(|names| names.iter().any(|n| n == name));
        row(text, name, field, is_required);
    }
    for (name, field) in fields {
        match field.get("items") {
            Some(items) => section(text, &format!("{path}.{name}[]"), items),
            None => section(text, &format!("{path}.{name}"), field),
        }
    }
}

/// Lists what must hold between fields.
fn rules(text: &mut String, schema: &Value) {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    for rule in rules.into_iter().flatten() {
        let _ = write!(text, "\n- Rule: {}.", escape_cell(&str_field(rule, "message")));
    }
    if rules.is_some() {
        text.push('\n');
    }
}

fn row(text: &mut String, name: &str, field: &Value, is_required: bool) {
    let whole = str_field(field, "description");
    let (meaning, told) = whole.split_once(" Default: ").unwrap_or((&whole, ""));
    let default = match field.get("default") {
        _ if is_required => "required".to_owned(),
        Some(Value::Object(_)) | None => told.trim_end_matches('.').to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(other) => format!("`{other}`"),
    };
    let kind = type_name(field);
    let (meaning, default) = (escape_cell(meaning), escape_cell(&default));
    let _ = writeln!(text, "| `{name}` | {kind} | {default} | {meaning} |");
}

fn type_name(field: &Value) -> String {
    if let Some(words) = field.get("enum").and_then(Value::as_array) {
        let words = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`"));
        return words.collect::<Vec<_>>().join(", ");
    }
    if field.get("x-kubernetes-int-or-string").is_some() {
        return "quantity".into();
    }
    match field.get("type").and_then(Value::as_str) {
        Some("array") => {
            format!("list of {}", field.get("items").map(type_name).unwrap_or_default())
        }
        Some("string")
            if field.pointer("/x-kubernetes-validations/0/rule").is_some_and(is_duration_rule) =>
        {
            "duration".into()
        }
        other => other.unwrap_or_default().into(),
    }
}

fn is_duration_rule(rule: &Value) -> bool {
    rule.as_str().is_some_and(|rule| rule.contains("duration(self)"))
}

fn str_field(of: &Value, name: &str) -> String {
    of.as_object().and_then(|of: &Map<_, _>| of.get(name)?.as_str()).unwrap_or_default().to_owned()
}

/// Escapes what would end a cell or begin emphasis.
fn escape_cell(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_four_cells() {
        let text = resource_reference();

        let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert!(rows.len() > 60, "{}", rows.len());
        for row in rows {
            assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
        }
    }

    #[test]
    fn a_field_is_told_with_its_type_default_and_meaning() {
        let text = resource_reference();

        assert!(text.contains("| `maxBytes` | quantity | `32Mi` | Maximum memory for"), "{text}");
        assert!(text.contains("| `timeout` | duration | `10s` | Maximum duration"), "{text}");
        assert!(text.contains("| `overflow` | `DropOldest`, `Reject` | `DropOldest` |"), "{text}");
        assert!(text.contains("| `endpoint` | string | required |"), "{text}");
        assert!(text.contains("| `image` | string | the operator's own, which changes"), "{text}");
        assert!(text.contains("\n## `spec.destination.headers[]`\n"), "{text}");
    }
}
