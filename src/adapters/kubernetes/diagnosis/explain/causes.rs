//! Likely causes why the webhook was not called for a pod.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use crate::adapters::kubernetes::diagnosis::explain_input::ExplainInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};
use crate::adapters::kubernetes::names::WEBHOOK_ENTRY;

const CAUSE: Section = Section("Likely causes");
const INSTALL_REMEDY: &str = "install the chart: `helm install`";
const RESTART_REMEDY: &str = "recreate the pod";

/// Returns the usual causes that apply.
pub(super) fn likely_causes(input: &ExplainInput) -> Vec<Finding> {
    let causes: Vec<_> =
        [webhook_configuration_cause(input), operator_cause(input)].into_iter().flatten().collect();
    if !causes.is_empty() {
        return causes;
    }
    let message = "none of the usual causes was found: perhaps the annotation was added to the \
                   running pod instead of its owner's template, or the API server could not reach \
                   the operator at that moment";
    let remedy = "see `tracebuffer check`, and the API server's log for the webhook";
    vec![CAUSE.warning("unknown", message, remedy)]
}

fn webhook_configuration_cause(input: &ExplainInput) -> Option<Finding> {
    const NAME: &str = "configuration";
    let found = match input.operator.webhook_configuration.or_finding(CAUSE, NAME) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let message = "the MutatingWebhookConfiguration of tracebuffer was not found";
            return Some(CAUSE.failed(NAME, message, INSTALL_REMEDY));
        }
        Err(finding) => return Some(finding),
    };
    let name = found.name_any();
    let entry = found.webhooks.iter().flatten().find(|entry| entry.name == WEBHOOK_ENTRY)?;
    if excludes(entry, &input.key.namespace) {
        let message = format!(
            "MutatingWebhookConfiguration {name} excludes namespace {}",
            input.key.namespace
        );
        let remedy = "run the application in another namespace, or change the chart's value \
                      webhook.excludedNamespaces";
        return Some(CAUSE.failed(NAME, message, remedy));
    }
    if entry.client_config.ca_bundle.as_ref().is_none_or(|ca| ca.0.is_empty()) {
        let message = format!("MutatingWebhookConfiguration {name} has no caBundle yet");
        return Some(CAUSE.failed(NAME, message, "see the logs of the operator"));
    }
    let since = found.metadata.creation_timestamp.as_ref().map(|time| time.0);
    if is_before(created_at(input), since) {
        let message = "the pod was created before tracebuffer was installed";
        return Some(CAUSE.warning(NAME, message, RESTART_REMEDY));
    }
    None
}

/// Returns whether the webhook's selector excludes a namespace by name.
fn excludes(entry: &MutatingWebhook, namespace: &str) -> bool {
    let selector = entry.namespace_selector.as_ref();
    let expressions = selector.and_then(|selector| selector.match_expressions.as_ref());
    expressions.into_iter().flatten().any(|expression| {
        expression.key == "kubernetes.io/metadata.name"
            && expression.operator == "NotIn"
            && expression.values.iter().flatten().any(|value| value == namespace)
    })
}

fn operator_cause(input: &ExplainInput) -> Option<Finding> {
    const NAME: &str = "operator";
    let deployment = match input.operator.deployment.or_finding(CAUSE, NAME) {
        Ok(Some(deployment)) => deployment,
        Ok(None) => {
            let message = "the operator's Deployment was not found";
            return Some(CAUSE.failed(NAME, message, INSTALL_REMEDY));
        }
        Err(finding) => return Some(finding),
    };
    let (namespace, name) = (&input.operator.namespace, deployment.name_any());
    if input.operator.ready_replicas() == 0 {
        let message = format!("no pod of Deployment {namespace}/{name} is ready");
        let remedy =
            format!("see `kubectl -n {namespace} describe deployment {name}` for the reason");
        return Some(CAUSE.failed(NAME, message, remedy));
    }
    let since = available_since(deployment);
    if is_before(created_at(input), since) {
        let message = "the operator became available only after the pod was created";
        return Some(CAUSE.warning(NAME, message, RESTART_REMEDY));
    }
    None
}

fn available_since(deployment: &Deployment) -> Option<Timestamp> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let available = conditions.iter().find(|one| one.type_ == "Available")?;
    available.last_transition_time.as_ref().map(|time| time.0)
}

fn created_at(input: &ExplainInput) -> Option<Timestamp> {
    input.pod.get()?.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn is_before(time: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    matches!((time, other), (Some(time), Some(other)) if time < other)
}
