//! The reference of `TraceBuffer` in Markdown, generated from its schema.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::adapters::kubernetes::resource::crd_json;

const HEAD: &str = "\
# Configuration of a TraceBuffer

<!-- Generated from the CRD: `UPDATE=1 cargo test --test integration crd` -->

This page describes all fields of a `TraceBuffer` (`tracebuffer.dev/v1alpha1`), as does
`kubectl explain tb.spec --recursive`. Only `spec.destination.endpoint` is required:

```yaml
apiVersion: tracebuffer.dev/v1alpha1
kind: TraceBuffer
metadata:
  name: default
spec:
  destination:
    endpoint: http://collector.observability:4317
```

See [examples](examples/) for more. To find errors and doubtful values before you apply a TraceBuffer, run
`tracebuffer analyze -f FILE`. Annotations and labels are described in [reference.md](reference.md), the
settings of a standalone `tracebuffer receiver` in [receiver.md](receiver.md).

Quantities are those of Kubernetes (`32Mi`, `1.5Gi`, `1e6`). Durations follow
[GEP-2257](https://gateway-api.sigs.k8s.io/geps/gep-2257/): one to four whole numbers with the units `h`, `m`,
`s` and `ms`, such as `1h30m` or `200ms`.

Changes of `buffer.maxSpans`, `buffer.maxBytes` and `buffer.maxAge` take effect in running pods within
seconds. `allowedNamespaces` and `rollout` affect only the operator. All other changes take effect when a pod
is recreated; `rollout` can restart workloads for that.
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
            write_section(&mut text, name, part);
        }
    }
    text
}

/// Writes a table of the fields of `schema`, then a section for each field that is an object or list.
fn write_section(text: &mut String, path: &str, schema: &Value) {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return };
    let description = str_field(schema, "description");
    // Writing to a string cannot fail.
    let _ = write!(text, "\n## `{path}`\n\n{description}\n");
    write_rules(text, schema);
    text.push_str(TABLE_HEAD);
    let required = schema.get("required").and_then(Value::as_array);
    for (name, field) in fields {
        let is_required = required.is_some_and(|names| names.iter().any(|n| n == name));
        write_row(text, name, field, is_required);
    }
    for (name, field) in fields {
        match field.get("items") {
            Some(items) => write_section(text, &format!("{path}.{name}[]"), items),
            None => write_section(text, &format!("{path}.{name}"), field),
        }
    }
}

/// Writes the messages of the CEL rules of `schema`.
fn write_rules(text: &mut String, schema: &Value) {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    for rule in rules.into_iter().flatten() {
        let _ = write!(text, "\n- Rule: {}.", escape_cell(&str_field(rule, "message")));
    }
    if rules.is_some() {
        text.push('\n');
    }
}

fn write_row(text: &mut String, name: &str, field: &Value, is_required: bool) {
    let description = str_field(field, "description");
    let (meaning, described_default) =
        description.split_once(" Default: ").unwrap_or((&description, ""));
    let default = match field.get("default") {
        _ if is_required => "required".to_owned(),
        Some(Value::Object(_)) | None => described_default.trim_end_matches('.').to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(other) => format!("`{other}`"),
    };
    let kind = type_name(field);
    let (meaning, default) = (escape_cell(meaning), escape_cell(&default));
    let _ = writeln!(text, "| `{name}` | {kind} | {default} | {meaning} |");
}

fn type_name(field: &Value) -> String {
    if let Some(values) = field.get("enum").and_then(Value::as_array) {
        let values = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`"));
        return values.collect::<Vec<_>>().join(", ");
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

/// Escapes characters that would end a cell or begin emphasis.
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
    fn a_row_has_the_type_default_and_meaning_of_its_field() {
        let text = resource_reference();

        assert!(text.contains("| `maxBytes` | quantity | `32Mi` | Maximum memory for"), "{text}");
        assert!(text.contains("| `timeout` | duration | `10s` | Maximum duration"), "{text}");
        assert!(text.contains("| `overflow` | `DropOldest`, `Reject` | `DropOldest` |"), "{text}");
        assert!(text.contains("| `endpoint` | string | required |"), "{text}");
        assert!(
            text.contains("| `image` | string | the image configured in the operator"),
            "{text}"
        );
        assert!(text.contains("\n## `spec.destination.headers[]`\n"), "{text}");
    }
}
