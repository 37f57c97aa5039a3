//! Whether the API server asks the operator about pods.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::adapters::kubernetes::diagnosis::check_input::CheckInput;
use crate::adapters::kubernetes::diagnosis::fetched::Fetched;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};
use crate::adapters::kubernetes::diagnosis::operator::WEBHOOK_ENTRY_NAME;
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::pod::status::from_annotation;
use crate::domain::operator::injection::status::InjectionStatus;

const SECTION: Section = Section("Webhook");

pub(super) fn check(facts: &CheckInput) -> Vec<Finding> {
    vec![configuration(facts), reachable(facts)]
}

fn configuration(facts: &CheckInput) -> Finding {
    const NAME: &str = "configuration";
    let found = match facts.operator.webhook_configuration.or_finding(SECTION, NAME) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let message = "there is no MutatingWebhookConfiguration of tracebuffer";
            return SECTION.failed(NAME, message, "install the chart: `helm install`");
        }
        Err(finding) => return finding,
    };
    let name = found.name_any();
    let Some(entries) =
        found.webhooks.as_ref().filter(|all| all.iter().any(|e| e.name == WEBHOOK_ENTRY_NAME))
    else {
        let message =
            format!("MutatingWebhookConfiguration {name} has no entry {WEBHOOK_ENTRY_NAME}");
        return SECTION.failed(NAME, message, "upgrade the chart, which brings it");
    };
    let bare: Vec<_> = entries
        .iter()
        .filter(|entry| entry.client_config.ca_bundle.as_ref().is_none_or(|ca| ca.0.is_empty()))
        .map(|entry| entry.name.as_str())
        .collect();
    if !bare.is_empty() {
        return SECTION.failed(
            NAME,
            format!(
                "{} of {name} has no caBundle: the API server cannot trust it",
                super::join_names(&bare)
            ),
            "see the operators' logs: one of them, or cert-manager, keeps the caBundle",
        );
    }
    SECTION.ok(NAME, format!("MutatingWebhookConfiguration {name} is there and has its caBundle"))
}

/// A pod that was created to see what becomes of it comes back with the webhook's answer.
fn reachable(facts: &CheckInput) -> Finding {
    const NAME: &str = "reachable";
    let (namespace, seen) = &facts.dry_run;
    if matches!(facts.operator.webhook_configuration, Fetched::NotFound) {
        return SECTION.skipped(NAME, "there is nothing to be reached");
    }
    if facts.operator.cluster_facts().excludes(namespace) {
        let why = "is excluded from injection, so no pod in it tells; choose another with -n";
        return SECTION.skipped(NAME, format!("namespace {namespace} {why}"));
    }
    match seen {
        Fetched::Found(pod) => dry_run_finding(pod, namespace),
        Fetched::Forbidden(why) if !why.contains("admission") => SECTION.skipped(
            NAME,
            format!("not allowed to create a pod in namespace {namespace} for a dry run: {why}"),
        ),
        Fetched::Forbidden(why) | Fetched::Failed(why) => SECTION.warning(
            NAME,
            format!("the dry run of a pod in namespace {namespace} was refused: {why}"),
            "choose another namespace with -n",
        ),
        Fetched::NotFound => SECTION.warning(
            NAME,
            format!("there is no namespace {namespace} for the dry run of a pod"),
            "choose another namespace with -n",
        ),
    }
}

fn dry_run_finding(pod: &Pod, namespace: &str) -> Finding {
    const NAME: &str = "reachable";
    let status = pod.annotations().get(names::STATUS).and_then(|value| from_annotation(value));
    let message = match status {
        Some(InjectionStatus::Injected(injected)) => {
            format!(
                "a pod in namespace {namespace} would get a sidecar from {}",
                injected.trace_buffer
            )
        }
        Some(InjectionStatus::Skipped { reason, .. }) => {
            format!(
                "it answers; a pod in namespace {namespace} would be skipped: {}",
                reason.as_str()
            )
        }
        None => {
            return SECTION.failed(
                NAME,
                format!("a pod in namespace {namespace} that asks for a sidecar came back without an answer"),
                "see whether the operator's pods are ready, and the API server's log for the webhook",
            );
        }
    };
    SECTION.ok(NAME, message)
}
