//! Diagnosis of a cluster through its API, against a server without admission. The functions that turn
//! the input into findings have unit tests.

use crate::support::api_server::{ApiServer, Fault, RequestMatcher, Verb};
use serde_json::{Value, json};
use tracebuffer::adapters::kubernetes::diagnosis::{
    CheckInput, DiagnosisScope, ExplainInput, Finding, FindingState, check, explain, worst_state,
};
use tracebuffer::adapters::kubernetes::resource::crd_json;
use tracebuffer::domain::operator::object_key::ObjectKey;

const NOW: i64 = 2_000_000_000;

/// Returns a server with the chart of this version installed as `tb` in `tracing`.
fn installed() -> ApiServer {
    let server = ApiServer::new();
    server.set_version("1", "36");
    server.put("customresourcedefinitions.apiextensions.k8s.io", crd());
    server.put(
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        json!({"metadata": {"name": "tb"}, "webhooks": [{
            "name": "inject.tracebuffer.dev", "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {"service": {"name": "tb-webhook", "namespace": "tracing"}},
        }]}),
    );
    server.put(
        "deployments.apps",
        json!({"metadata": {
            "name": "tb", "namespace": "tracing",
            "labels": {
                "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
                "app.kubernetes.io/component": "operator",
            },
        }, "spec": {
            "replicas": 1, "selector": {}, "template": {"spec": {"containers": [{
                "name": "operator",
                "env": [
                    {"name": "TRACEBUFFER_WEBHOOK_NAME", "value": "tb"},
                    {"name": "TRACEBUFFER_CERTIFICATE_SECRET", "value": "tb-tls"},
                ],
            }]}},
        }, "status": {"readyReplicas": 1}}),
    );
    server.put("secrets", json!({"metadata": {"name": "tb-tls", "namespace": "tracing"}}));
    server.put(
        "namespaces",
        json!({"metadata": {"name": "shop", "labels": {"tracebuffer.dev/inject": "enabled"}}}),
    );
    server
}

fn crd() -> Value {
    let mut crd = crd_json();
    crd["status"] = json!({"conditions": [{
        "type": "Established", "status": "True", "reason": "", "message": "",
        "lastTransitionTime": "2030-01-01T00:00:00Z",
    }]});
    crd
}

fn put_pod(server: &ApiServer, namespace: &str, name: &str, annotations: &Value) {
    let metadata = json!({"namespace": namespace, "name": name, "annotations": annotations});
    let spec = json!({"containers": [{"name": "app", "image": "app"}]});
    server.put("pods", json!({"metadata": metadata, "spec": spec}));
}

fn put_trace_buffer(server: &ApiServer, namespace: &str, allowed: &str) {
    let object = json!({
        "apiVersion": "tracebuffer.dev/v1alpha1", "kind": "TraceBuffer",
        "metadata": {"namespace": namespace, "name": "default"},
        "spec": {
            "destination": {"endpoint": "http://collector:4317"}, "allowedNamespaces": {"from": allowed},
        },
    });
    server.put("tracebuffers.tracebuffer.dev", object);
}

async fn checked(server: &ApiServer, scope: &DiagnosisScope) -> Vec<Finding> {
    check(&CheckInput::read(&server.client(), scope, NOW).await.unwrap())
}

async fn explained(server: &ApiServer, namespace: &str, name: &str) -> Vec<Finding> {
    let key = ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() };
    explain(&ExplainInput::read(&server.client(), key, &DiagnosisScope::default()).await.unwrap())
}

fn find<'a>(findings: &'a [Finding], section: &str, name: &str) -> &'a Finding {
    let found = findings.iter().find(|one| one.section == section && one.name == name);
    found.unwrap_or_else(|| panic!("no {section}/{name} in {findings:#?}"))
}

#[tokio::test]
async fn the_operator_is_found_by_the_webhook_under_any_name() {
    let server = installed();

    let findings = checked(&server, &DiagnosisScope::default()).await;

    let pods = find(&findings, "Operator", "pods");
    assert_eq!(pods.message, "1 of 1 pods of Deployment tracing/tb are ready");
    assert_eq!(find(&findings, "Operator", "version").state, FindingState::Ok);
    // The Secret that the Deployment names was found: it lacks the certificate.
    assert_eq!(find(&findings, "Certificates", "served").message, "Secret tb-tls has no tls.crt");
    assert_eq!(find(&findings, "Webhook", "reachable").state, FindingState::Failed);
    // The webhook was tested with a pod that was not created.
    assert_eq!(server.seen(Verb::Create, "pods"), 1);
    assert!(server.all("pods").is_empty());
}

#[tokio::test]
async fn without_the_webhooks_configuration_the_operator_is_still_found() {
    let server = installed();
    server.remove("mutatingwebhookconfigurations.admissionregistration.k8s.io", "", "tb");

    let findings = checked(&server, &DiagnosisScope::default()).await;

    let pods = find(&findings, "Operator", "pods");
    assert_eq!(pods.message, "1 of 1 pods of Deployment tracing/tb are ready");
    let configuration = find(&findings, "Webhook", "configuration");
    assert_eq!(configuration.state, FindingState::Failed);
    assert_eq!(configuration.remedy.as_deref(), Some("restore it: `helm upgrade`"));
}

#[tokio::test]
async fn in_a_cluster_the_operator_is_found_by_its_configured_names() {
    let server = installed();
    // The chart's role allows this by name alone.
    for resource in
        ["mutatingwebhookconfigurations.admissionregistration.k8s.io", "deployments.apps"]
    {
        server.script(RequestMatcher::to(Verb::List, resource), Fault::Refuse(403));
    }
    let scope = DiagnosisScope {
        operator_name: Some("tb".to_owned()),
        operator_namespace: Some("tracing".to_owned()),
        ..DiagnosisScope::default()
    };

    let findings = checked(&server, &scope).await;

    assert_eq!(find(&findings, "Operator", "pods").state, FindingState::Ok);
    let without_names = checked(&server, &DiagnosisScope::default()).await;
    assert_eq!(find(&without_names, "Operator", "pods").state, FindingState::Skipped);
}

#[tokio::test]
async fn without_permissions_checks_are_skipped_and_do_not_fail() {
    let server = installed();
    server.script(RequestMatcher::any(), Fault::Refuse(403));

    let findings = checked(&server, &DiagnosisScope::default()).await;

    assert_eq!(worst_state(&findings), FindingState::Ok, "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.message.contains("not allowed")));
}

#[tokio::test]
async fn a_cluster_that_does_not_respond_is_an_error() {
    let server = installed();
    server.disconnect();

    assert!(CheckInput::read(&server.client(), &DiagnosisScope::default(), NOW).await.is_err());
}

#[tokio::test]
async fn missing_pods_are_found_over_several_pages_or_in_one_namespace() {
    let server = installed();
    for number in 0..1_100 {
        put_pod(&server, "shop", &format!("p{number:04}"), &json!({}));
    }
    put_pod(&server, "other", "q", &json!({"tracebuffer.dev/inject": "true"}));

    let findings = checked(&server, &DiagnosisScope::default()).await;
    let missing = &find(&findings, "Pods", "missing").message;
    assert!(missing.starts_with("1101 pods asking for a sidecar"), "{missing}");

    let scope = DiagnosisScope { namespace: Some("other".to_owned()), ..DiagnosisScope::default() };
    let findings = checked(&server, &scope).await;
    let missing = &find(&findings, "Pods", "missing").message;
    assert!(missing.starts_with("1 pod asking") && missing.contains("other/q"), "{missing}");
}

#[tokio::test]
async fn finished_pods_are_not_reported_as_missing_a_sidecar() {
    let server = installed();
    for (name, phase) in [("done", "Succeeded"), ("broken", "Failed")] {
        let metadata = json!({"namespace": "shop", "name": name});
        let spec = json!({"containers": [{"name": "app", "image": "app"}]});
        server.put("pods", json!({"metadata": metadata, "spec": spec, "status": {"phase": phase}}));
    }

    let findings = checked(&server, &DiagnosisScope::default()).await;

    assert_eq!(find(&findings, "Pods", "current").state, FindingState::Ok);
    assert!(!findings.iter().any(|one| one.section == "Pods" && one.message.contains("shop/")));
}

#[tokio::test]
async fn a_missing_pod_is_explained_with_the_decision_for_a_new_one() {
    let server = installed();
    put_pod(&server, "shop", "a", &json!({}));
    put_trace_buffer(&server, "shop", "Same");

    let findings = explained(&server, "shop", "a").await;

    assert!(findings[0].message.contains("its namespace asks"), "{findings:#?}");
    assert_eq!(find(&findings, "Decision", "WebhookNotCalled").state, FindingState::Failed);
    let new = &find(&findings, "A new pod", "created now").message;
    assert_eq!(new, "would get a native sidecar from TraceBuffer shop/default");
}

#[tokio::test]
async fn a_trace_buffer_of_another_namespace_is_read_where_the_pod_names_it() {
    let server = installed();
    put_pod(&server, "other", "a", &json!({"tracebuffer.dev/inject": "shop/default"}));
    put_trace_buffer(&server, "shop", "Same");
    let findings = explained(&server, "other", "a").await;
    let refused = &find(&findings, "A new pod", "NotAllowed").message;
    assert!(refused.contains("TraceBuffer shop/default does not allow"), "{refused}");

    put_trace_buffer(&server, "shop", "All");
    let findings = explained(&server, "other", "a").await;
    assert_eq!(find(&findings, "A new pod", "created now").state, FindingState::Ok);
}
