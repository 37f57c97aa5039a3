//! Why the webhook may not have been asked about a pod.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use crate::adapters::kubernetes::diagnosis::explain_input::ExplainInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};
use crate::adapters::kubernetes::diagnosis::operator::WEBHOOK_ENTRY_NAME;

const CAUSE: Section = Section("Likely causes");
const INSTALL_REMEDY: &str = "install the chart: `helm install`";
const RESTART_REMEDY: &str = "create the pod anew";

/// Looks for the usual causes.
pub(super) fn likely_causes(case: &ExplainInput) -> Vec<Finding> {
    let found: Vec<_> =
        [webhook_configuration_cause(case), operator_cause(case)].into_iter().flatten().collect();
    if !found.is_empty() {
        return found;
    }
    let message = "none of the usual causes is to be seen: perhaps the annotation was put on the \
                   running pod instead of its owner's template, or the API server did not reach the \
                   operator at that moment";
    let remedy = "see `tracebuffer check`, and the API server's log for the webhook";
    vec![CAUSE.warning("unknown", message, remedy)]
}

fn webhook_configuration_cause(case: &ExplainInput) -> Option<Finding> {
    const NAME: &str = "configuration";
    let found = match case.operator.webhook_configuration.or_finding(CAUSE, NAME) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let message = "there is no MutatingWebhookConfiguration of tracebuffer";
            return Some(CAUSE.failed(NAME, message, INSTALL_REMEDY));
        }
        Err(finding) => return Some(finding),
    };
    let name = found.name_any();
    let entry = found.webhooks.iter().flatten().find(|entry| entry.name == WEBHOOK_ENTRY_NAME)?;
    if excludes(entry, &case.key.namespace) {
        let message = format!(
            "MutatingWebhookConfiguration {name} excludes namespace {}",
            case.key.namespace
        );
        let remedy = "run the application in another namespace, or change the chart's value \
                      webhook.excludedNamespaces";
        return Some(CAUSE.failed(NAME, message, remedy));
    }
    if entry.client_config.ca_bundle.as_ref().is_none_or(|ca| ca.0.is_empty()) {
        let message = format!("MutatingWebhookConfiguration {name} has no caBundle yet");
        return Some(CAUSE.failed(NAME, message, "see the operators' logs"));
    }
    let since = found.metadata.creation_timestamp.as_ref().map(|time| time.0);
    if is_before(created_at(case), since) {
        let message = "the pod was created before tracebuffer was installed";
        return Some(CAUSE.warning(NAME, message, RESTART_REMEDY));
    }
    None
}

/// Whether the entry's selector leaves a namespace out by its name.
fn excludes(entry: &MutatingWebhook, namespace: &str) -> bool {
    let selector = entry.namespace_selector.as_ref();
    let expressions = selector.and_then(|selector| selector.match_expressions.as_ref());
    expressions.into_iter().flatten().any(|expression| {
        expression.key == "kubernetes.io/metadata.name"
            && expression.operator == "NotIn"
            && expression.values.iter().flatten().any(|value| value == namespace)
    })
}

fn operator_cause(case: &ExplainInput) -> Option<Finding> {
    const NAME: &str = "operator";
    let deployment = match case.operator.deployment.or_finding(CAUSE, NAME) {
        Ok(Some(deployment)) => deployment,
        Ok(None) => {
            let message = "the operator's Deployment was not found";
            return Some(CAUSE.failed(NAME, message, INSTALL_REMEDY));
        }
        Err(finding) => return Some(finding),
    };
    let (namespace, name) = (&case.operator.namespace, deployment.name_any());
    if case.operator.ready_replicas() == 0 {
        let message = format!("no pod of Deployment {namespace}/{name} is ready");
        let remedy = format!("see why: `kubectl -n {namespace} describe deployment {name}`");
        return Some(CAUSE.failed(NAME, message, remedy));
    }
    let since = available_since(deployment);
    if is_before(created_at(case), since) {
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

fn created_at(case: &ExplainInput) -> Option<Timestamp> {
    case.pod.get()?.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn is_before(time: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    matches!((time, other), (Some(time), Some(other)) if time < other)
}
