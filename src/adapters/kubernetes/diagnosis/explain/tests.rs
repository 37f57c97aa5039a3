use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::adapters::kubernetes::diagnosis::fetched::Fetched;
use crate::adapters::kubernetes::diagnosis::finding::FindingState;
use crate::adapters::kubernetes::diagnosis::testing::{
    DAY, IMAGE, NOW, from_json, injected_pod, operator_objects, trace_buffer, webhook_tls,
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

/// Findings as `section/name state`, without the first, which tells what the pod asks for.
fn finding_states(case: &ExplainInput) -> Vec<String> {
    let findings = explain(case);
    let rest = findings.iter().skip(1);
    rest.map(|one| format!("{}/{} {}", one.section, one.name, one.state.as_str())).collect()
}

fn message(case: &ExplainInput, name: &str) -> String {
    let findings = explain(case);
    let found = findings.iter().find(|finding| finding.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {findings:#?}")).message.clone()
}

#[test]
fn a_pod_that_is_not_there_is_told() {
    let findings = explain(&input(Fetched::NotFound, &[]));

    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].state, FindingState::Failed);
    assert_eq!(findings[0].message, "there is no such pod");
}

#[test]
fn a_pod_with_a_current_sidecar_is_fine() {
    let case = input(Fetched::Found(injected_pod("a", IMAGE)), &[trace_buffer()]);

    assert_eq!(
        finding_states(&case),
        [
            "Decision/Injected ok",
            "Sidecar/container ok",
            "Sidecar/configuration ok",
            "Sidecar/limits ok"
        ]
    );
}

#[test]
fn a_sidecar_from_before_a_change_is_told_with_what_changed() {
    let configuration = |object: &TraceBuffer| {
        let case = input(Fetched::Found(injected_pod("a", IMAGE)), std::slice::from_ref(object));
        message(&case, "configuration")
    };
    let mut changed = trace_buffer();
    changed.spec.destination.endpoint = "http://other:4317".to_owned();
    assert!(configuration(&changed).contains("only a new pod takes up"));
    let mut anew = trace_buffer();
    anew.metadata.uid = Some("u-2".to_owned());
    assert!(configuration(&anew).contains("deleted and made anew"));
    let mut wrong = trace_buffer();
    wrong.spec.destination.endpoint = "nonsense".to_owned();
    assert!(configuration(&wrong).contains("has mistakes now: spec.destination.endpoint"));
    let gone = input(Fetched::Found(injected_pod("a", IMAGE)), &[]);
    assert!(message(&gone, "configuration").contains("is gone"));
}

#[test]
fn limits_that_are_on_their_way_or_too_large_for_the_pod_are_told() {
    let limits = |change: fn(&mut TraceBuffer)| {
        let mut object = trace_buffer();
        change(&mut object);
        message(&input(Fetched::Found(injected_pod("a", IMAGE)), &[object]), "limits")
    };

    assert!(limits(|object| object.spec.buffer.max_spans = 7).contains("is not what"));
    let larger = |object: &mut TraceBuffer| object.spec.buffer.max_bytes.0 = "64Mi".to_owned();
    assert!(limits(larger).contains("was raised beyond the 33554432 bytes"));
}

#[test]
fn a_sidecar_that_does_not_run_is_told_with_the_kubelets_reason() {
    let mut pod = serde_json::to_value(injected_pod("a", IMAGE)).unwrap();
    let status = &mut pod["status"]["initContainerStatuses"][0];
    status["state"] = json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}});
    status["restartCount"] = 2.into();
    let case = input(Fetched::Found(from_json(pod)), &[trace_buffer()]);

    let expected = "it does not run: ErrImagePull: not found, restarted 2 times";
    assert_eq!(message(&case, "container"), expected);
}

#[test]
fn a_sidecar_that_is_only_starting_is_no_failure() {
    let mut pod = serde_json::to_value(injected_pod("a", IMAGE)).unwrap();
    let status = &mut pod["status"]["initContainerStatuses"][0];
    status["state"] = json!({"waiting": {"reason": "PodInitializing"}});
    status["started"] = false.into();
    let case = input(Fetched::Found(from_json(pod)), &[trace_buffer()]);

    assert_eq!(finding_states(&case)[1], "Sidecar/container warning");
    assert_eq!(message(&case, "container"), "it has not started yet");
}

#[test]
fn a_skipped_pod_is_told_why_and_what_a_new_one_would_get() {
    let status = r#"{"skipped":"NoTraceBuffer","message":"namespace shop has none"}"#;
    let annotations = json!({"tracebuffer.dev/inject": "true", "tracebuffer.dev/status": status});
    let case = input(pod(&annotations), &[trace_buffer()]);

    assert_eq!(
        finding_states(&case),
        ["Decision/NoTraceBuffer warning", "A new pod/created now ok"]
    );
    assert_eq!(message(&case, "NoTraceBuffer"), "no sidecar: namespace shop has none");
    let expected = "would get a native sidecar from TraceBuffer shop/default";
    assert_eq!(message(&case, "created now"), expected);
}

#[test]
fn a_pod_that_would_be_skipped_again_is_told_why_once() {
    let status = r#"{"skipped":"NoTraceBuffer","message":"namespace shop has none"}"#;
    let annotations = json!({"tracebuffer.dev/inject": "true", "tracebuffer.dev/status": status});

    assert_eq!(finding_states(&input(pod(&annotations), &[])), ["Decision/NoTraceBuffer warning"]);
}

#[test]
fn a_pod_that_asks_for_nothing_is_fine() {
    let case = input(pod(&json!({})), &[]);

    assert_eq!(finding_states(&case), ["Decision/NotRequested ok"]);
}

/// What is found for a bare pod that asks for a sidecar, in a case that is otherwise as it should be.
fn findings_after(change: impl FnOnce(&mut ExplainInput)) -> (Vec<String>, Vec<Finding>) {
    let mut case = input(missing_pod(), &[trace_buffer()]);
    change(&mut case);
    (finding_states(&case), explain(&case))
}

fn assert_cause(change: impl FnOnce(&mut ExplainInput), name: &str, say: &str) {
    let (found, findings) = findings_after(change);
    assert_eq!(found[0], "Decision/WebhookNotCalled failed");
    let cause = findings.iter().find(|one| one.section == "Likely causes").unwrap();
    assert_eq!(cause.name, name, "{findings:#?}");
    assert!(cause.message.contains(say), "{findings:#?}");
}

#[test]
fn a_bare_pod_without_a_visible_cause_is_told_so_and_what_a_new_one_would_get() {
    assert_cause(|_| (), "unknown", "none of the usual causes");

    let (found, _) = findings_after(|_| ());
    assert_eq!(found.last().unwrap(), "A new pod/created now ok");
}

#[test]
fn a_bare_pod_is_told_its_cause() {
    let configuration = "configuration";
    assert_cause(
        |case| case.operator.webhook_configuration = Fetched::NotFound,
        configuration,
        "there is no Mutating",
    );
    assert_cause(
        |case| {
            let mut webhook = case.operator.webhook_configuration.get().cloned().unwrap();
            webhook.webhooks.as_mut().unwrap()[0].client_config.ca_bundle = None;
            case.operator.webhook_configuration = Fetched::Found(webhook);
        },
        configuration,
        "has no caBundle",
    );
    let created = |time: &'static str| {
        move |case: &mut ExplainInput| {
            let mut pod = case.pod.get().cloned().unwrap();
            pod.metadata.creation_timestamp = Some(from_json(json!(time)));
            case.pod = Fetched::Found(pod);
        }
    };
    assert_cause(
        created("2029-01-01T00:00:00Z"),
        configuration,
        "before tracebuffer was installed",
    );
    assert_cause(|case| case.key.namespace = "tracing".into(), configuration, "excludes namespace");
    assert_cause(|case| case.operator.deployment = Fetched::NotFound, "operator", "was not found");
    let condition = |path: &'static str, value: Value| {
        move |case: &mut ExplainInput| {
            let mut deployment = serde_json::to_value(case.operator.deployment.get()).unwrap();
            *deployment.pointer_mut(path).unwrap() = value;
            case.operator.deployment = Fetched::Found(from_json(deployment));
        }
    };
    let unready = condition("/status/readyReplicas", 0.into());
    assert_cause(unready, "operator", "no pod of Deployment tracing/tracebuffer is ready");
    let late = condition("/status/conditions/0/lastTransitionTime", json!("2032-01-01T00:00:00Z"));
    assert_cause(late, "operator", "became available only after");
}

#[test]
fn nothing_is_guessed_where_trace_buffers_cannot_be_read() {
    let (found, _) = findings_after(|case| {
        case.trace_buffers.clear();
        case.fetch_error = Some("forbidden".to_owned());
    });

    assert_eq!(found.last().unwrap(), "A new pod/created now skipped");
}

#[test]
fn the_operators_default_is_not_ruled_out_where_it_cannot_be_read() {
    let (found, _) = findings_after(|case| {
        case.trace_buffers.clear();
        case.operator.deployment = Fetched::Forbidden("forbidden".to_owned());
    });

    assert_eq!(found.last().unwrap(), "A new pod/created now skipped");
}

#[test]
fn what_is_set_in_the_wrong_place_is_told() {
    let mut labelled = pod(&json!({}));
    if let Fetched::Found(pod) = &mut labelled {
        let label = ("tracebuffer.dev/inject".to_owned(), "true".to_owned());
        pod.metadata.labels = Some([label].into());
    }
    let labelled = input(labelled, &[trace_buffer()]);
    assert!(message(&labelled, "misplaced").contains("is a label of the pod"));

    let mut mistaken = input(missing_pod(), &[trace_buffer()]);
    mistaken.namespace_misconfiguration = Some("label x means nothing".into());
    assert_eq!(message(&mistaken, "misplaced"), "label x means nothing");
}

#[test]
fn a_long_annotation_is_cut() {
    let value = "x".repeat(256 * 1024);
    let case = input(pod(&json!({"tracebuffer.dev/inject": value})), &[]);

    let findings = explain(&case);

    assert!(findings.iter().all(|finding| finding.message.len() < 500), "a finding is longer");
}
