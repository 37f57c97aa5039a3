//! Files generated from the resource definition, and the example objects.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tracebuffer::cli::generated::{crd_chart_template, crd_yaml, resource_reference};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Checks that `file` holds `expected`; with `UPDATE=1` in the environment, writes it instead.
fn check_file(file: &str, expected: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("the file has a folder")).expect("created");
        fs::write(&path, expected).expect("the file is writable");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let hint = "to update it, run `UPDATE=1 cargo test --test integration crd`";
    assert!(found == expected, "{file} differs from the resource; {hint}");
}

#[test]
fn the_committed_crd_is_up_to_date() {
    check_file("crds/tracebuffers.tracebuffer.dev.yaml", &crd_yaml());
}

#[test]
fn the_crd_of_the_chart_is_up_to_date() {
    check_file("charts/tracebuffer/templates/crd.yaml", &crd_chart_template());
}

#[test]
fn the_committed_reference_is_up_to_date() {
    check_file("docs/configuration.md", &resource_reference());
}

/// Collects every default of the schema, as path and JSON value.
fn defaults(schema: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(default) = schema.get("default").filter(|default| !default.is_object()) {
        found.push(format!("{path} {default}"));
    }
    let fields = schema.get("properties").and_then(Value::as_object);
    for (name, field) in fields.into_iter().flatten() {
        defaults(field, &format!("{path}.{name}"), found);
    }
    if let Some(items) = schema.get("items") {
        defaults(items, &format!("{path}[]"), found);
    }
}

/// A default of a served version never changes: objects without the field would change with it, and
/// every pod that was made from them would be outdated.
#[test]
fn no_default_of_a_served_version_ever_changes() {
    let schema = spec_schema();
    let mut found = vec![];
    defaults(&schema, "spec", &mut found);

    let frozen = fs::read_to_string(root().join("tests/crd/v1alpha1-defaults.txt")).unwrap();
    let frozen: Vec<_> = frozen.lines().filter(|line| !line.starts_with('#')).collect();

    assert_eq!(found, frozen, "only add new defaults; never change existing ones");
    // kubectl replaces whole lists: a default in a list always looks like a change to it.
    assert!(found.iter().all(|default| !default.contains("[]")), "{found:?}");
}

/// The API server stores a default that is an object, and with it the defaults inside of it: they
/// must equal those of an empty object.
#[test]
fn an_omitted_object_has_the_same_defaults_as_an_empty_one() {
    fn check(schema: &Value, path: &str) {
        let fields = schema.get("properties").and_then(Value::as_object);
        for (name, field) in fields.into_iter().flatten() {
            let path = format!("{path}.{name}");
            if let Some(default) = field.get("default").and_then(Value::as_object) {
                assert_eq!(Value::Object(default.clone()), filled(field), "{path}");
            }
            check(field, &path);
        }
    }

    /// Returns `{}` with the defaults that the API server sets.
    fn filled(schema: &Value) -> Value {
        let fields = schema["properties"].as_object().unwrap();
        let of = |(name, field): (&String, &Value)| {
            let default = field.get("default")?;
            let value = if default.is_object() { filled(field) } else { default.clone() };
            Some((name.clone(), value))
        };
        Value::Object(fields.iter().filter_map(of).collect())
    }

    check(&spec_schema(), "spec");
}

fn spec_schema() -> Value {
    let crd: Value = serde_saphyr::from_str(&crd_yaml()).expect("the CRD is YAML");
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    crd.pointer(path).expect("the CRD has a spec").clone()
}

#[test]
fn the_reference_has_every_annotation_and_label() {
    let names = fs::read_to_string(root().join("src/adapters/kubernetes/names.rs")).unwrap();
    let reference = fs::read_to_string(root().join("docs/reference.md")).unwrap();
    let keys = names.split('"').filter(|text| text.starts_with("tracebuffer.dev/"));

    let absent: Vec<_> = keys.filter(|key| !reference.contains(&format!("`{key}`"))).collect();

    assert_eq!(absent, [""; 0]);
}

#[test]
fn the_command_prints_the_crd() {
    let output = Command::new(env!("CARGO_BIN_EXE_tracebuffer")).arg("crd").output().unwrap();

    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), crd_yaml());
}

/// Returns every YAML file of a folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(root().join(folder))
        .expect("the folder exists")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

fn analyze(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracebuffer"));
    let output = command.arg("analyze").args(arguments).output().expect("the binary runs");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8 output"))
}

#[test]
fn the_examples_have_neither_errors_nor_warnings() {
    for file in files("docs/examples") {
        let (code, text) = analyze(&["-f", file.to_str().unwrap()]);

        assert_eq!(text, "1 TraceBuffer: 0 errors, 0 warnings\n", "{}", file.display());
        assert_eq!(code, Some(0));
    }
}

#[test]
fn analyze_finds_what_a_cluster_would_reject() {
    for file in files("tests/cluster/bad") {
        let (code, text) = analyze(&["-f", file.to_str().unwrap()]);

        assert_eq!(code, Some(1), "{}: {text}", file.display());
        // The first line of the file is the error of the API server: `# spec.field: …`.
        let yaml = fs::read_to_string(&file).unwrap();
        let field =
            yaml.split_whitespace().find(|word| word.contains("spec") || word.contains("meta"));
        let field = field.unwrap().trim_matches(['"', ':']);
        assert!(text.contains(&format!(": {field}")), "{}: {text}", file.display());
    }
}

#[test]
fn an_error_names_file_line_object_field_and_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("all.yaml");
    fs::write(
        &file,
        "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
---
apiVersion: tracebuffer.dev/v1alpha1
kind: TraceBuffer
metadata: {name: default, namespace: shop}
spec:
  bufer: {}
  destination:
    endpoint: http://collector.observability:4317
    concurency: 2
    timeout: 30
---
kind: List
items:
  - apiVersion: tracebuffer.dev/v1alpha1
    kind: TraceBuffer
    metadata: {name: other}
    spec:
      destination:
        endpoint: http://collector.observability:4317
      drainTimeout: 0s
",
    )
    .unwrap();
    let name = file.to_str().unwrap();

    let (code, text) = analyze(&["-f", name]);

    assert_eq!(code, Some(1));
    let expected = format!(
        "\
{name}: ignored: Deployment web
{name}:9: TraceBuffer shop/default: spec.bufer is not a known field; did you mean buffer?
{name}:12: TraceBuffer shop/default: spec.destination.concurency is not a known field; did you mean concurrency?
{name}:13: TraceBuffer shop/default: spec.destination.timeout must be a string, quoted if it looks like another type; it is 30
{name}:23: warning: TraceBuffer other: spec.drainTimeout is 0, so that what is buffered when a pod ends is lost
2 TraceBuffers: 3 errors, 1 warning
"
    );
    assert_eq!(text, expected);
}

#[test]
fn the_same_errors_are_available_as_json() {
    let file = root().join("tests/cluster/bad/max-spans-zero.yaml");

    let (code, text) = analyze(&["-f", file.to_str().unwrap(), "-o", "json"]);

    assert_eq!(code, Some(1));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["errors"], 1);
    let error = &report["files"][0]["traceBuffers"][0]["errors"][0];
    assert_eq!(error["field"], "spec.buffer.maxSpans");
    assert_eq!(error["line"], 8);
    assert_eq!(error["message"], "must be from 1 to 1000000000; it is 0");
}

#[test]
fn a_missing_file_and_invalid_yaml_are_errors_with_the_file_name() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken.yaml");
    fs::write(&broken, "a: [1\n").unwrap();

    let (code, text) = analyze(&["-f", "nowhere.yaml", "-f", broken.to_str().unwrap()]);

    assert_eq!(code, Some(1));
    assert!(text.starts_with("nowhere.yaml: cannot be read: No such file"), "{text}");
    assert!(text.contains("broken.yaml: cannot be read as YAML or JSON: "), "{text}");
    assert!(text.ends_with("0 TraceBuffers: 2 errors, 0 warnings\n"), "{text}");
}
