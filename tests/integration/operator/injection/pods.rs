//! Example pods, each with the expected result of its injection. `UPDATE=1` rewrites the expectations;
//! review the difference.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::cluster::{AdmittedPod, Cluster, trace_buffer};
use super::restricted::violations;
use serde_json::{Value, json};
use tracebuffer::adapters::kubernetes::pod::InjectionOutcome;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// The resources of a sidecar in a pod without constraints.
const RESOURCES: &str = r#"{"limits":{"memory":"64Mi"},"requests":{"cpu":"10m","ephemeral-storage":"16Mi","memory":"64Mi"}}"#;

/// Explains the marks of the sidecar and of the containers that get its endpoint.
const LEGEND: &str = "* the sidecar   + gets the endpoint\n";

#[test]
fn every_pod_is_injected_as_expected() {
    let mut actual = LEGEND.to_owned();
    let pods = pods();
    assert!(pods.len() >= 50);
    for path in pods {
        let pod = read(&path);
        let title = path.file_name().expect("a file name").to_string_lossy();
        let native = summary(&pod, &cluster("Native").admit(&pod));
        let plain = summary(&pod, &cluster("Container").admit(&pod));
        write!(actual, "\n{title}\n{native}").expect("text");
        if plain != native {
            write!(actual, "  with mode Container\n{}", indented(&plain)).expect("text");
        }
    }
    let expected = folder().join("expected.txt");
    if env::var_os("UPDATE").is_some() {
        fs::write(&expected, &actual).expect("the file is writable");
    }
    let expected = fs::read_to_string(&expected).expect("the expected file exists");
    let first = expected.lines().zip(actual.lines()).find(|(expected, actual)| expected != actual);
    assert!(expected == actual, "first difference (expected, actual): {first:#?}\n\n{actual}");
}

#[test]
fn injection_is_idempotent_and_keeps_every_pod_restricted() {
    for path in pods() {
        let pod = read(&path);
        for mode in ["Native", "Container"] {
            let once = cluster(mode).admit(&pod).pod;
            assert_eq!(violations(&once), violations(&pod), "{}", path.display());
            assert_eq!(cluster(mode).admit(&once).pod, once, "{}", path.display());
        }
    }
}

/// Returns a cluster whose default `TraceBuffer` has this mode.
fn cluster(mode: &str) -> Cluster {
    let pull = json!([{"name": "mirror"}, {"name": "sidecar"}]);
    let memory = json!({"limits": {"memory": "128Mi"}});
    let allowing =
        |team: &str| json!({"from": "Selector", "selector": {"matchLabels": {"team": team}}});
    let token = json!({"secretKeyRef": {"name": "vendor", "key": "token"}});
    let borrowing = json!({
        "allowedNamespaces": {"from": "All"},
        "destination": {
            "endpoint": "https://traces.example",
            "headers": [{"name": "authorization", "valueFrom": token}],
        },
    });
    let trace_buffers = vec![
        trace_buffer("shop", "default", json!({"sidecar": {"mode": mode}})),
        trace_buffer("shop", "broken", json!({"destination": {"endpoint": "nowhere"}})),
        trace_buffer("shop", "hands-off", json!({"sidecar": {"applicationEnvironment": "Never"}})),
        trace_buffer("shop", "native", json!({"sidecar": {"mode": "Native"}})),
        trace_buffer("shop", "plain", json!({"sidecar": {"mode": "Container"}})),
        trace_buffer(
            "shop",
            "sized",
            json!({"sidecar": {"resources": memory, "imagePullSecrets": pull}}),
        ),
        trace_buffer(
            "shop",
            "other-ports",
            json!({"receiver": {"grpcPort": 14317, "httpPort": 14318}}),
        ),
        trace_buffer("platform", "shared", json!({"allowedNamespaces": allowing("checkout")})),
        trace_buffer("platform", "private", json!({"allowedNamespaces": allowing("office")})),
        trace_buffer("platform", "borrowing", borrowing),
    ];
    Cluster { trace_buffers }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pods")
}

fn pods() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the folder of pods");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_pod = |path: &PathBuf| path.extension().is_some_and(|end| end != "txt");
    let mut pods: Vec<_> = paths.filter(is_pod).collect();
    pods.sort();
    pods
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the file is readable");
    serde_saphyr::from_str(&text).expect("the file is YAML or JSON")
}

/// Summarizes the injection of `pod` in a few lines.
fn summary(pod: &Value, admitted: &AdmittedPod) -> String {
    let mut lines = String::new();
    let mut line = |text: String| writeln!(lines, "  {text}").expect("text");
    match &admitted.outcome {
        InjectionOutcome::Injected(key) => line(format!("injected from {key}")),
        InjectionOutcome::Skipped(reason) => line(format!("skipped: {}", reason.as_str())),
    }
    if pod != &admitted.pod {
        for list in ["initContainers", "containers"] {
            let names: Vec<_> = items(pod, &admitted.pod, list).collect();
            if !names.is_empty() {
                line(format!("{list}: {}", names.join(" ")));
            }
        }
        for list in ["volumes", "imagePullSecrets"] {
            let names =
                |pod: &Value| each(pod, list).iter().map(name).collect::<Vec<_>>().join(" ");
            if names(pod) != names(&admitted.pod) {
                line(format!("{list}: {}", names(&admitted.pod)));
            }
        }
        let resources = sidecar(&admitted.pod).map(|sidecar| sidecar["resources"].to_string());
        if let Some(resources) = resources.filter(|resources| resources != RESOURCES) {
            line(format!("resources: {resources}"));
        }
        let user = sidecar(&admitted.pod).map(|sidecar| &sidecar["securityContext"]["runAsUser"]);
        if let Some(user) = user.filter(|user| **user != 65_532) {
            line(format!("runAsUser: {user}"));
        }
    }
    for warning in &admitted.warnings {
        line(format!("warning: {warning}"));
    }
    lines
}

/// Returns the names of containers, with marks.
fn items<'a>(old: &'a Value, new: &'a Value, list: &'a str) -> impl Iterator<Item = String> + 'a {
    each(new, list).iter().map(move |container| {
        let before = each(old, list).iter().find(|one| name(one) == name(container));
        let is_set = |one: &Value| {
            one["env"].as_array().is_some_and(|env| env.iter().any(|v| v["name"] == ENDPOINT))
        };
        let mark = match before {
            None => "*",
            Some(before) if is_set(container) && !is_set(before) => "+",
            Some(_) => "",
        };
        format!("{}{mark}", name(container))
    })
}

fn sidecar(pod: &Value) -> Option<&Value> {
    let all = ["initContainers", "containers"].into_iter().flat_map(|list| each(pod, list));
    all.into_iter().find(|container| {
        container["name"] == "tracebuffer" && container["image"] == "tracebuffer:1"
    })
}

fn each<'a>(pod: &'a Value, list: &str) -> &'a [Value] {
    let items = pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
    items.map_or(&[], Vec::as_slice)
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + "  " + line + "\n")
}
