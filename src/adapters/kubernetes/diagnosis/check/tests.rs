use serde_json::{Value, json};

use super::*;
use crate::adapters::kubernetes::diagnosis::fetched::Fetched;
use crate::adapters::kubernetes::diagnosis::finding::{FindingState, worst_state};
use crate::adapters::kubernetes::diagnosis::testing::{
    DAY, IMAGE, NOW, condition, from_json, healthy_installation, injected_annotations,
    injected_pod, pod_metadata, trace_buffer, webhook_tls,
};

mod pods;

/// Returns section, name, state and message of the findings that are not ok after `change`.
fn problems(
    change: impl FnOnce(&mut CheckInput),
) -> Vec<(&'static str, String, FindingState, String)> {
    let mut input = healthy_installation();
    change(&mut input);
    let wrong = check(&input).into_iter().filter(|finding| finding.state != FindingState::Ok);
    wrong.map(|one| (one.section, one.name, one.state, one.message)).collect()
}

/// Asserts that `change` causes exactly one finding that is not ok.
fn assert_single_problem(
    change: impl FnOnce(&mut CheckInput),
    section: &str,
    name: &str,
    state: FindingState,
    expected: &str,
) {
    let wrong = problems(change);
    let [(found_section, found_name, found_state, message)] = wrong.as_slice() else {
        panic!("{wrong:#?}");
    };
    assert_eq!((*found_section, found_name.as_str(), *found_state), (section, name, state));
    assert!(message.contains(expected), "{message}");
}

#[test]
fn a_healthy_installation_has_no_problems() {
    let findings = check(&healthy_installation());

    assert_eq!(worst_state(&findings), FindingState::Ok, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.state == FindingState::Ok), "{findings:#?}");
    let mut sections: Vec<_> = findings.iter().map(|finding| finding.section).collect();
    sections.dedup();
    let expected = ["Cluster", "Operator", "Webhook", "Certificates", "TraceBuffers", "Pods"];
    assert_eq!(sections, expected);
}

#[test]
fn checks_without_permission_are_skipped_and_do_not_fail() {
    let forbidden = || "pods is forbidden".to_owned();
    let mut input = healthy_installation();
    input.crd = Fetched::Forbidden(forbidden());
    input.operator.webhook_configuration = Fetched::Forbidden(forbidden());
    input.operator.deployment = Fetched::Forbidden(forbidden());
    input.certificate_secret = Fetched::Forbidden(forbidden());
    input.dry_run.1 = Fetched::Forbidden(forbidden());
    input.trace_buffers = Fetched::Forbidden(forbidden());
    input.pods = Fetched::Forbidden(forbidden());
    input.injected_pods = Fetched::Forbidden(forbidden());

    let findings = check(&input);

    assert_eq!(worst_state(&findings), FindingState::Ok, "{findings:#?}");
    let skipped = findings.iter().filter(|finding| finding.state == FindingState::Skipped);
    assert_eq!(skipped.count(), 7, "{findings:#?}");
}

#[test]
fn objects_that_cannot_be_read_fail_with_the_servers_message() {
    let (why, expected) = (|| "etcdserver: timed out".to_owned(), "cannot be read: etcdserver");
    let crd = "tracebuffers.tracebuffer.dev";

    assert_single_problem(
        |f| f.crd = Fetched::Failed(why()),
        "Cluster",
        crd,
        FindingState::Failed,
        expected,
    );
    let silent = |f: &mut CheckInput| f.operator.deployment = Fetched::Failed(why());
    assert_single_problem(silent, "Operator", "pods", FindingState::Failed, expected);
}

#[test]
fn missing_parts_of_an_installation_are_found() {
    assert_single_problem(
        |input| input.operator.deployment = Fetched::NotFound,
        "Operator",
        "pods",
        FindingState::Failed,
        "Deployment was not found",
    );
    assert_single_problem(
        |input| {
            let mut webhook = input.operator.webhook_configuration.get().cloned().unwrap();
            webhook.webhooks.iter_mut().flatten().for_each(|entry| entry.name = "other".into());
            input.operator.webhook_configuration = Fetched::Found(webhook);
        },
        "Webhook",
        "configuration",
        FindingState::Failed,
        "has no entry inject.tracebuffer.dev",
    );
    assert_single_problem(
        |input| {
            let mut deployment = input.operator.deployment.get().cloned().unwrap();
            deployment.metadata.labels = None;
            input.operator.deployment = Fetched::Found(deployment);
        },
        "Operator",
        "version",
        FindingState::Skipped,
        "has no label",
    );
}

#[test]
fn an_old_cluster_fails() {
    let old = |input: &mut CheckInput| input.version = Fetched::Found((1, 28, "v".into()));

    assert_single_problem(old, "Cluster", "version", FindingState::Failed, "older than 1.29");
}

#[test]
fn a_missing_unserved_or_different_crd_is_found() {
    let name = "tracebuffers.tracebuffer.dev";
    let change = |edit: fn(&mut Value)| {
        move |input: &mut CheckInput| {
            let mut crd = serde_json::to_value(input.crd.get()).unwrap();
            edit(&mut crd);
            input.crd = Fetched::Found(from_json(crd));
        }
    };

    assert_single_problem(
        |f| f.crd = Fetched::NotFound,
        "Cluster",
        name,
        FindingState::Failed,
        "is missing",
    );
    let served = change(|crd| crd["spec"]["versions"][0]["served"] = false.into());
    assert_single_problem(served, "Cluster", name, FindingState::Failed, "not served");
    let pending = change(|crd| crd["status"] = Value::Null);
    assert_single_problem(pending, "Cluster", name, FindingState::Failed, "not served");
    let other = change(|crd| crd["spec"]["versions"][0]["name"] = "v1".into());
    assert_single_problem(other, "Cluster", name, FindingState::Failed, "v1alpha1 is not defined");
    let older = change(|crd| {
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "old".into();
    });
    assert_single_problem(
        older,
        "Cluster",
        name,
        FindingState::Warning,
        "differs from the CRD of this binary",
    );
}

#[test]
fn an_operator_that_is_missing_unready_or_of_another_version_is_found() {
    let change = |path: &'static str, value: Value| {
        move |input: &mut CheckInput| {
            let mut deployment = serde_json::to_value(input.operator.deployment.get()).unwrap();
            *deployment.pointer_mut(path).unwrap() = value;
            input.operator.deployment = Fetched::Found(from_json(deployment));
        }
    };
    let ready = "/status/readyReplicas";

    assert_single_problem(
        change(ready, 0.into()),
        "Operator",
        "pods",
        FindingState::Failed,
        "0 of 2 pods",
    );
    assert_single_problem(
        change(ready, 1.into()),
        "Operator",
        "pods",
        FindingState::Warning,
        "1 of 2 pods",
    );
    let label = change("/metadata/labels", json!({"app.kubernetes.io/version": "9.9.9"}));
    assert_single_problem(label, "Operator", "version", FindingState::Warning, "operator is 9.9.9");
}

#[test]
fn a_webhook_without_its_configuration_or_trust_is_found() {
    let none = problems(|input| input.operator.webhook_configuration = Fetched::NotFound);
    assert!(
        none.iter()
            .any(|(_, name, state, _)| name == "configuration" && *state == FindingState::Failed)
    );
    let unreached = none.iter().find(|(_, name, ..)| name == "reachable").unwrap();
    assert_eq!(unreached.2, FindingState::Skipped);

    let untrusted = problems(|input| {
        let mut webhook = input.operator.webhook_configuration.get().cloned().unwrap();
        webhook.webhooks.as_mut().unwrap()[0].client_config.ca_bundle = None;
        input.operator.webhook_configuration = Fetched::Found(webhook);
    });
    assert!(untrusted[0].3.contains("has no caBundle"), "{untrusted:?}");
}

#[test]
fn a_dry_run_without_a_status_shows_that_the_webhook_was_not_called() {
    let missing = |input: &mut CheckInput| {
        input.dry_run.1 = Fetched::Found(from_json(json!({"metadata": {}})));
    };
    assert_single_problem(missing, "Webhook", "reachable", FindingState::Failed, "was not called");

    let skipped = |input: &mut CheckInput| {
        let status = r#"{"skipped":"NoTraceBuffer","message":"none"}"#;
        let annotations = json!({"tracebuffer.dev/status": status});
        input.dry_run.1 =
            Fetched::Found(from_json(json!({"metadata": {"annotations": annotations}})));
    };
    assert_eq!(problems(skipped), []);
}

#[test]
fn a_dry_run_that_is_rejected_by_others_is_a_warning() {
    let rejected = |input: &mut CheckInput| {
        input.dry_run.1 =
            Fetched::Forbidden("admission webhook \"policy\" denied the request".into());
    };
    assert_single_problem(
        rejected,
        "Webhook",
        "reachable",
        FindingState::Warning,
        "was rejected: admission",
    );
    let excluded = |input: &mut CheckInput| input.dry_run.0 = input.operator.namespace.clone();
    assert_single_problem(
        excluded,
        "Webhook",
        "reachable",
        FindingState::Skipped,
        "is excluded from injection",
    );
    let nowhere = |input: &mut CheckInput| input.dry_run.1 = Fetched::NotFound;
    assert_single_problem(
        nowhere,
        "Webhook",
        "reachable",
        FindingState::Warning,
        "namespace shop for the dry run of a pod does not exist",
    );
}

#[test]
fn certificates_are_found_before_and_after_they_expire() {
    let later = |days: i64| move |input: &mut CheckInput| input.now = NOW + days * DAY;

    let soon = problems(later(55));
    assert_eq!(soon.len(), 2, "{soon:?}");
    assert!(soon.iter().all(|(_, _, state, _)| *state == FindingState::Warning));
    assert!(soon[0].3.contains("expires in 5 days"), "{soon:?}");
    let expired = problems(later(61));
    assert_eq!(expired.len(), 2, "{expired:?}");
    assert!(
        expired
            .iter()
            .all(|(_, _, state, text)| *state == FindingState::Failed && text.contains("expired"))
    );
}

#[test]
fn a_served_certificate_that_the_bundle_does_not_trust_is_found() {
    let foreign = |input: &mut CheckInput| {
        let leaf = k8s_openapi::ByteString(webhook_tls(NOW + 60 * DAY).leaf);
        input.certificate_secret = Fetched::Found(from_json(
            json!({"metadata": {"name": "s"}, "data": {"tls.crt": leaf}}),
        ));
    };
    assert_single_problem(foreign, "Certificates", "trust", FindingState::Failed, "does not trust");
    let malformed = |input: &mut CheckInput| {
        let data = json!({"tls.crt": k8s_openapi::ByteString(b"malformed".to_vec())});
        input.certificate_secret =
            Fetched::Found(from_json(json!({"metadata": {"name": "s"}, "data": data})));
    };
    assert_single_problem(
        malformed,
        "Certificates",
        "served",
        FindingState::Failed,
        "no PEM certificate",
    );
}

#[test]
fn trace_buffers_that_are_not_accepted_not_ready_or_not_processed_are_named() {
    let status = |status: Value| {
        move |input: &mut CheckInput| {
            let mut object = trace_buffer();
            object.status = from_json(status);
            input.trace_buffers = Fetched::Found(vec![trace_buffer(), object]);
        }
    };
    let with = |condition| json!({"observedGeneration": 2, "conditions": [condition]});

    let rejected = status(with(condition("Accepted", "False", "spec.buffer is wrong")));
    assert_single_problem(
        rejected,
        "TraceBuffers",
        "shop/default",
        FindingState::Failed,
        "spec.buffer is wrong",
    );
    let unready = status(with(condition("Ready", "False", "no operator")));
    assert_single_problem(
        unready,
        "TraceBuffers",
        "shop/default",
        FindingState::Warning,
        "Ready=False: no operator",
    );
    let unseen = status(json!({"observedGeneration": 1, "conditions": []}));
    assert_single_problem(
        unseen,
        "TraceBuffers",
        "shop/default",
        FindingState::Warning,
        "has not processed",
    );
    assert_single_problem(
        status(Value::Null),
        "TraceBuffers",
        "shop/default",
        FindingState::Warning,
        "has not processed",
    );
}
