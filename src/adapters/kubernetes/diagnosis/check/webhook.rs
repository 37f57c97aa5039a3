//! Checks whether the API server calls the webhook for new pods.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::adapters::kubernetes::diagnosis::check_input::CheckInput;
use crate::adapters::kubernetes::diagnosis::fetched::Fetched;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section, join_names};
use crate::adapters::kubernetes::names::{self, WEBHOOK_ENTRY};
use crate::adapters::kubernetes::pod::status::from_annotation;
use crate::domain::operator::injection::status::InjectionStatus;

const SECTION: Section = Section("Webhook");

pub(super) fn check(input: &CheckInput) -> Vec<Finding> {
    vec![configuration(input), reachable(input)]
}

fn configuration(input: &CheckInput) -> Finding {
    const NAME: &str = "configuration";
    let found = match input.operator.webhook_configuration.or_finding(SECTION, NAME) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let message = "the MutatingWebhookConfiguration of tracebuffer was not found";
            let remedy = match input.operator.deployment {
                Fetched::Found(_) => "restore it: `helm upgrade`",
                _ => "install the chart: `helm install`",
            };
            return SECTION.failed(NAME, message, remedy);
        }
        Err(finding) => return finding,
    };
    let name = found.name_any();
    let Some(entries) =
        found.webhooks.as_ref().filter(|all| all.iter().any(|e| e.name == WEBHOOK_ENTRY))
    else {
        let message = format!("MutatingWebhookConfiguration {name} has no entry {WEBHOOK_ENTRY}");
        return SECTION.failed(NAME, message, "upgrade the chart");
    };
    let untrusted: Vec<_> = entries
        .iter()
        .filter(|entry| entry.client_config.ca_bundle.as_ref().is_none_or(|ca| ca.0.is_empty()))
        .map(|entry| entry.name.as_str())
        .collect();
    if !untrusted.is_empty() {
        return SECTION.failed(
            NAME,
            format!(
                "{} of {name} has no caBundle: the API server cannot trust it",
                join_names(&untrusted)
            ),
            "see the logs of the operator, or of cert-manager if it maintains the caBundle",
        );
    }
    SECTION.ok(NAME, format!("MutatingWebhookConfiguration {name} has its caBundle"))
}

/// Checks the dry run of a pod, whose status annotation proves that the API server called the webhook.
fn reachable(input: &CheckInput) -> Finding {
    const NAME: &str = "reachable";
    let (namespace, fetched) = &input.dry_run;
    if matches!(input.operator.webhook_configuration, Fetched::NotFound) {
        return SECTION.skipped(NAME, "no webhook is configured");
    }
    if input.operator.cluster_facts().excludes(namespace) {
        let message = format!(
            "namespace {namespace} is excluded from injection, so the webhook is not called there; \
             choose another namespace with -n"
        );
        return SECTION.skipped(NAME, message);
    }
    match fetched {
        Fetched::Found(pod) => dry_run_finding(pod, namespace),
        Fetched::Forbidden(why) if !why.contains("admission") => SECTION.skipped(
            NAME,
            format!("not allowed to create a pod in namespace {namespace} for a dry run: {why}"),
        ),
        Fetched::Forbidden(why) | Fetched::Failed(why) => SECTION.warning(
            NAME,
            format!("the dry run of a pod in namespace {namespace} was rejected: {why}"),
            "choose another namespace with -n",
        ),
        Fetched::NotFound => SECTION.warning(
            NAME,
            format!("namespace {namespace} for the dry run of a pod does not exist"),
            "choose another namespace with -n",
        ),
    }
}

fn dry_run_finding(pod: &Pod, namespace: &str) -> Finding {
    const NAME: &str = "reachable";
    let status = pod
        .annotations()
        .get(names::INJECTION_STATUS_ANNOTATION)
        .and_then(|value| from_annotation(value));
    let message = match status {
        Some(InjectionStatus::Injected(injected)) => {
            format!(
                "a pod in namespace {namespace} would get a sidecar from {}",
                injected.trace_buffer
            )
        }
        Some(InjectionStatus::Skipped { reason, .. }) => {
            format!(
                "the webhook responds; a pod in namespace {namespace} would be skipped: {}",
                reason.as_str()
            )
        }
        None => {
            return SECTION.failed(
                NAME,
                format!("the webhook was not called for a pod in namespace {namespace} that asks for a sidecar"),
                "check whether the operator's pods are ready, whether its Service has endpoints, and the \
                 API server's log for the webhook",
            );
        }
    };
    SECTION.ok(NAME, message)
}
