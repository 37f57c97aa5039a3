use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::adapters::kubernetes::diagnosis::fetched::Fetched;
use crate::adapters::kubernetes::diagnosis::finding::FindingState;
use crate::adapters::kubernetes::diagnosis::testing::{
    DAY, IMAGE, NOW, from_json, injected_annotations, injected_pod, operator_objects, trace_buffer,
    webhook_tls,
};
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::sidecar::{SidecarDefaults, trace_buffer_view};
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::object_key::ObjectKey;

fn input(pod: Fetched<Pod>, trace_buffers: &[TraceBuffer]) -> ExplainInput {
    let operator = operator_objects(&webhook_tls(NOW + 60 * DAY));
    let defaults = SidecarDefaults::unknown();
    ExplainInput {
        key: ObjectKey { namespace: "shop".into(), name: "a".into() },
        pod,
        namespace: NamespaceFacts::unknown("shop"),
        namespace_misconfiguration: None,
        cluster: operator.cluster_facts(),
        operator,
        trace_buffers: trace_buffers
            .iter()
            .map(|one| Arc::new(trace_buffer_view(one, &defaults)))
            .collect(),
        crash_logs: vec![],
        fetch_error: None,
    }
}

fn pod(annotations: &Value) -> Fetched<Pod> {
    Fetched::Found(from_json(json!({
        "metadata": {
            "namespace": "shop", "name": "a", "annotations": annotations,
            "creationTimestamp": "2031-01-01T00:00:00Z",
        },
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    })))
}

fn missing_pod() -> Fetched<Pod> {
    pod(&json!({"tracebuffer.dev/inject": "true"}))
}

/// Returns findings as `section/name state`, without the first, which is about the request.
fn finding_states(input: &ExplainInput) -> Vec<String> {
    let findings = explain(input);
    let rest = findings.iter().skip(1);
    rest.map(|one| format!("{}/{} {}", one.section, one.name, one.state.as_str())).collect()
}

fn message(input: &ExplainInput, name: &str) -> String {
    let findings = explain(input);
    let found = findings.iter().find(|finding| finding.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {findings:#?}")).message.clone()
}

#[test]
fn a_pod_that_does_not_exist_fails() {
    let findings = explain(&input(Fetched::NotFound, &[]));

    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].state, FindingState::Failed);
    assert_eq!(findings[0].message, "the pod does not exist");
}

#[test]
fn a_pod_with_a_current_sidecar_is_ok() {
    let input = input(Fetched::Found(injected_pod("a", IMAGE)), &[trace_buffer()]);

    assert_eq!(
        finding_states(&input),
        [
            "Decision/Injected ok",
            "Sidecar/container ok",
            "Sidecar/configuration ok",
            "Sidecar/limits ok"
        ]
    );
}

#[test]
fn a_container_that_ended_because_its_port_is_in_use_is_explained_with_the_sidecars_ports() {
    let injected = || input(Fetched::Found(injected_pod("a", IMAGE)), &[trace_buffer()]);
    for (line, state) in [
        ("Error: listen tcp 127.0.0.1:4317: bind: address already in use", "failed"),
        ("OSError: [Errno 98] Address in use", "warning"),
        ("Error: listen EADDRINUSE: address already in use :::4318", "failed"),
        ("bind() to 0.0.0.0:80 failed (98: Address already in use)", "warning"),
    ] {
        let mut input = injected();
        let log = format!("starting\n{line}\nbye\n");
        input.crash_logs = vec![("collector".to_owned(), Fetched::Found(log))];

        let message = message(&input, "collector");

        assert!(message.contains(line), "{message}");
        assert!(message.contains("listens on the ports 4317, 4318 and 9417"), "{message}");
        assert!(finding_states(&input).contains(&format!("Containers/collector {state}")));
    }
    let mut other = injected();
    other.crash_logs = vec![
        ("a".to_owned(), Fetched::Found("panicked".to_owned())),
        ("b".to_owned(), Fetched::Forbidden("no".to_owned())),
    ];
    assert_eq!(finding_states(&other).last().unwrap(), "Containers/b skipped");
    assert!(!finding_states(&other).iter().any(|state| state.starts_with("Containers/a")));
}

#[test]
fn an_outdated_sidecar_is_explained_with_the_change() {
    let configuration = |object: &TraceBuffer| {
        let input = input(Fetched::Found(injected_pod("a", IMAGE)), std::slice::from_ref(object));
        message(&input, "configuration")
    };
    let mut changed = trace_buffer();
    changed.spec.destination.endpoint = "http://other:4317".to_owned();
    assert!(configuration(&changed).contains("takes effect in new pods only"));
    let mut recreated = changed.clone();
    recreated.metadata.uid = Some("u-2".to_owned());
    assert!(configuration(&recreated).contains("recreated with another spec"));
    let mut wrong = trace_buffer();
    wrong.spec.destination.endpoint = "nonsense".to_owned();
    assert!(configuration(&wrong).contains("has errors now: spec.destination.endpoint"));
    let gone = input(Fetched::Found(injected_pod("a", IMAGE)), &[]);
    assert!(message(&gone, "configuration").contains("was deleted"));
}

#[test]
fn a_sidecar_of_a_trace_buffer_recreated_with_the_same_spec_is_current() {
    let mut recreated = trace_buffer();
    recreated.metadata.uid = Some("u-2".to_owned());
    let input = input(Fetched::Found(injected_pod("a", IMAGE)), &[recreated]);

    assert_eq!(finding_states(&input)[2..], ["Sidecar/configuration ok", "Sidecar/limits ok"]);
}

#[test]
fn limits_that_are_not_applied_yet_or_need_more_memory_are_reported() {
    let of = |name: &str, change: fn(&mut TraceBuffer)| {
        let mut object = trace_buffer();
        change(&mut object);
        message(&input(Fetched::Found(injected_pod("a", IMAGE)), &[object]), name)
    };

    let fewer = of("limits", |object| object.spec.buffer.max_spans = 7);
    assert!(fewer.contains("does not match"), "{fewer}");
    let larger = of("configuration", |object| object.spec.buffer.max_bytes.0 = "64Mi".to_owned());
    assert!(larger.contains("was raised beyond the 33554432 bytes"), "{larger}");
}

#[test]
fn a_sidecar_that_does_not_run_is_reported_with_the_kubelets_reason() {
    let mut pod = serde_json::to_value(injected_pod("a", IMAGE)).unwrap();
    let status = &mut pod["status"]["initContainerStatuses"][0];
    status["state"] = json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}});
    status["restartCount"] = 2.into();
    let input = input(Fetched::Found(from_json(pod)), &[trace_buffer()]);

    let expected = "does not run: ErrImagePull: not found, restarted 2 times";
    assert_eq!(message(&input, "container"), expected);
}

#[test]
fn what_the_webhook_warned_of_is_repeated() {
    let mut annotations = injected_annotations();
    let status = annotations["tracebuffer.dev/status"].as_str().unwrap();
    annotations["tracebuffer.dev/status"] =
        status.replace('}', r#","warnings":["the grace period is short"]}"#).into();

    let input = input(pod(&annotations), &[trace_buffer()]);

    assert_eq!(message(&input, "warning"), "the grace period is short");
}

#[test]
fn a_sidecar_that_is_only_starting_is_no_failure() {
    let mut pod = serde_json::to_value(injected_pod("a", IMAGE)).unwrap();
    let status = &mut pod["status"]["initContainerStatuses"][0];
    status["state"] = json!({"waiting": {"reason": "PodInitializing"}});
    status["started"] = false.into();
    let input = input(Fetched::Found(from_json(pod)), &[trace_buffer()]);

    assert_eq!(finding_states(&input)[1], "Sidecar/container warning");
    assert_eq!(message(&input, "container"), "has not started yet");
}

#[test]
fn a_skipped_pod_is_explained_with_the_reason_and_the_decision_for_a_new_pod() {
    let status = r#"{"skipped":"NoTraceBuffer","message":"namespace shop has none"}"#;
    let annotations = json!({"tracebuffer.dev/inject": "true", "tracebuffer.dev/status": status});
    let input = input(pod(&annotations), &[trace_buffer()]);

    assert_eq!(
        finding_states(&input),
        ["Decision/NoTraceBuffer warning", "A new pod/created now ok"]
    );
    assert_eq!(message(&input, "NoTraceBuffer"), "no sidecar: namespace shop has none");
    let expected = "would get a native sidecar from TraceBuffer shop/default";
    assert_eq!(message(&input, "created now"), expected);
}

#[test]
fn a_pod_that_would_be_skipped_again_is_explained_once() {
    let status = r#"{"skipped":"NoTraceBuffer","message":"namespace shop has none"}"#;
    let annotations = json!({"tracebuffer.dev/inject": "true", "tracebuffer.dev/status": status});

    assert_eq!(finding_states(&input(pod(&annotations), &[])), ["Decision/NoTraceBuffer warning"]);
}

#[test]
fn a_pod_that_does_not_ask_for_a_sidecar_is_ok() {
    let input = input(pod(&json!({})), &[]);

    assert_eq!(finding_states(&input), ["Decision/NotRequested ok"]);
}

/// Returns the findings for a pod without the sidecar it asks for, after `change` of a healthy input.
fn findings_after(change: impl FnOnce(&mut ExplainInput)) -> (Vec<String>, Vec<Finding>) {
    let mut input = input(missing_pod(), &[trace_buffer()]);
    change(&mut input);
    (finding_states(&input), explain(&input))
}

fn assert_cause(change: impl FnOnce(&mut ExplainInput), name: &str, expected: &str) {
    let (found, findings) = findings_after(change);
    assert_eq!(found[0], "Decision/WebhookNotCalled failed");
    let cause = findings.iter().find(|one| one.section == "Likely causes").unwrap();
    assert_eq!(cause.name, name, "{findings:#?}");
    assert!(cause.message.contains(expected), "{findings:#?}");
}

#[test]
fn a_missing_sidecar_without_a_known_cause_is_explained_with_the_decision_for_a_new_pod() {
    assert_cause(|_| (), "unknown", "none of the usual causes");

    let (found, _) = findings_after(|_| ());
    assert_eq!(found.last().unwrap(), "A new pod/created now ok");
}

#[test]
fn a_missing_sidecar_is_explained_with_its_cause() {
    let configuration = "configuration";
    assert_cause(
        |input| input.operator.webhook_configuration = Fetched::NotFound,
        configuration,
        "MutatingWebhookConfiguration of tracebuffer was not found",
    );
    assert_cause(
        |input| {
            let mut webhook = input.operator.webhook_configuration.get().cloned().unwrap();
            webhook.webhooks.as_mut().unwrap()[0].client_config.ca_bundle = None;
            input.operator.webhook_configuration = Fetched::Found(webhook);
        },
        configuration,
        "has no caBundle",
    );
    let created = |time: &'static str| {
        move |input: &mut ExplainInput| {
            let mut pod = input.pod.get().cloned().unwrap();
            pod.metadata.creation_timestamp = Some(from_json(json!(time)));
            input.pod = Fetched::Found(pod);
        }
    };
    assert_cause(
        created("2029-01-01T00:00:00Z"),
        configuration,
        "before tracebuffer was installed",
    );
    assert_cause(
        |input| input.key.namespace = "tracing".into(),
        configuration,
        "excludes namespace",
    );
    assert_cause(
        |input| input.operator.deployment = Fetched::NotFound,
        "operator",
        "was not found",
    );
    let condition = |path: &'static str, value: Value| {
        move |input: &mut ExplainInput| {
            let mut deployment = serde_json::to_value(input.operator.deployment.get()).unwrap();
            *deployment.pointer_mut(path).unwrap() = value;
            input.operator.deployment = Fetched::Found(from_json(deployment));
        }
    };
    let unready = condition("/status/readyReplicas", 0.into());
    assert_cause(unready, "operator", "no pod of Deployment tracing/tracebuffer is ready");
    let late = condition("/status/conditions/0/lastTransitionTime", json!("2032-01-01T00:00:00Z"));
    assert_cause(late, "operator", "became available only after");
}

#[test]
fn nothing_is_guessed_where_trace_buffers_cannot_be_read() {
    let (found, _) = findings_after(|input| {
        input.trace_buffers.clear();
        input.fetch_error = Some("forbidden".to_owned());
    });

    assert_eq!(found.last().unwrap(), "A new pod/created now skipped");
}

#[test]
fn the_operators_default_is_not_ruled_out_where_it_cannot_be_read() {
    let (found, _) = findings_after(|input| {
        input.trace_buffers.clear();
        input.operator.deployment = Fetched::Forbidden("forbidden".to_owned());
    });

    assert_eq!(found.last().unwrap(), "A new pod/created now skipped");
}

#[test]
fn labels_and_annotations_in_the_wrong_place_are_reported() {
    let mut labelled = pod(&json!({}));
    if let Fetched::Found(pod) = &mut labelled {
        let label = ("tracebuffer.dev/inject".to_owned(), "true".to_owned());
        pod.metadata.labels = Some([label].into());
    }
    let labelled = input(labelled, &[trace_buffer()]);
    assert!(message(&labelled, "misplaced").contains("is a label of the pod"));

    let mut misconfigured = input(missing_pod(), &[trace_buffer()]);
    misconfigured.namespace_misconfiguration = Some("label x has no effect".into());
    assert_eq!(message(&misconfigured, "misplaced"), "label x has no effect");
}

#[test]
fn a_long_annotation_is_cut() {
    let value = "x".repeat(256 * 1024);
    let input = input(pod(&json!({"tracebuffer.dev/inject": value})), &[]);

    let findings = explain(&input);

    assert!(findings.iter().all(|finding| finding.message.len() < 500), "a finding is longer");
}
