//! `tracebuffer check` and `tracebuffer explain` as processes.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::api_server::listening::kubeconfig;
use crate::support::api_server::{ApiServer, Fault, RequestMatcher};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

/// Runs the binary with the words of a command line and a kubeconfig.
async fn run(words: &str, kubeconfig: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracebuffer"));
    let coverage = std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file));
    command.env_clear().envs(coverage).env("KUBECONFIG", kubeconfig).args(words.split(' '));
    spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

/// Runs the binary against `api`; returns its exit code and both outputs.
async fn run_against(api: &ApiServer, words: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = run(words, &api.kubeconfig(folder.path()).await).await;
    (output.status.code(), output_text(&output))
}

fn output_text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

fn pod(annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "cart", "namespace": "shop", "uid": "pod-1", "annotations": annotations,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        "status": {"phase": "Running"},
    })
}

#[tokio::test]
async fn a_cluster_without_an_operator_fails_the_check() {
    let (code, text) = run_against(&ApiServer::new(), "check").await;

    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the CustomResourceDefinition is missing"), "{text}");
    assert!(text.contains("install the chart"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours without a terminal: {text}");
}

#[tokio::test]
async fn checks_without_permission_are_skipped_and_do_not_fail() {
    let api = ApiServer::new();
    api.script(RequestMatcher::any(), Fault::Refuse(403));

    let (code, text) = run_against(&api, "check -o json").await;

    let report: Value = serde_json::from_str(&text).unwrap();
    let findings = report["findings"].as_array().unwrap();
    assert!(!findings.is_empty());
    assert!(findings.iter().all(|one| one["state"] == "skipped"), "{report:#}");
    assert_eq!(code, Some(0), "{report:#}");
}

#[tokio::test]
async fn a_pod_that_was_skipped_is_explained_with_the_reason() {
    let api = ApiServer::new();
    let status = json!({"skipped": "HostNetwork", "message": "it uses the node's network"});
    api.put(
        "pods",
        pod(&json!({
            "tracebuffer.dev/inject": "true",
            "tracebuffer.dev/status": status.to_string(),
        })),
    );

    let (code, text) = run_against(&api, "explain pod cart -n shop").await;

    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("HostNetwork") && text.contains("it uses the node's network"), "{text}");
}

#[tokio::test]
async fn a_pod_for_which_the_webhook_was_not_called_is_explained_with_the_remedy() {
    let api = ApiServer::new();
    api.put("pods", pod(&json!({"tracebuffer.dev/inject": "true"})));

    let (code, text) = run_against(&api, "explain pod/cart -n shop").await;

    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("WebhookNotCalled") && text.contains("recreate the pod"), "{text}");
    assert!(text.contains("NoTraceBuffer"), "{text}");
}

#[tokio::test]
async fn a_pod_that_does_not_exist_returns_exit_code_1() {
    let (code, text) = run_against(&ApiServer::new(), "explain pod cart").await;

    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("default/cart") && text.contains("the pod does not exist"), "{text}");
}

#[tokio::test]
async fn a_cluster_that_cannot_be_reached_is_reported_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::write(&path, kubeconfig(free)).unwrap();

    for words in ["check", "explain pod cart"] {
        let output = run(words, &path).await;

        assert_eq!(output.status.code(), Some(1), "{words}");
        let text = output_text(&output);
        assert!(text.contains("the cluster cannot be reached"), "{text}");
        assert!(text.contains("Connection refused"), "{text}");
    }
}

#[tokio::test]
async fn a_missing_kubeconfig_or_context_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let found = ApiServer::new().kubeconfig(folder.path()).await;
    let named = format!("check --kubeconfig {}", missing.display());
    let hint = "set --kubeconfig or KUBECONFIG";

    for (words, path, cause) in [
        ("check", &missing, hint),
        ("check --context other", &found, hint),
        (named.as_str(), &found, "No such file"),
    ] {
        let output = run(words, path).await;

        assert_eq!(output.status.code(), Some(1), "{words}");
        let text = output_text(&output);
        assert!(
            text.contains("cannot read the cluster configuration: ") && text.contains(cause),
            "{text}"
        );
    }
}

#[tokio::test]
async fn in_cluster_fails_outside_of_a_pod() {
    let (code, text) = run_against(&ApiServer::new(), "check --in-cluster").await;

    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("this command does not run in a pod"), "{text}");
}
