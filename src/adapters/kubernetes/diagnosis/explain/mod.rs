//! Explains why a pod was or was not injected.

mod causes;
mod crashes;
mod sidecar;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::Value;

use super::explain_input::ExplainInput;
use super::finding::{DECISION, Finding, FindingState, Section};
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::pod::pod_facts;
use crate::adapters::kubernetes::sidecar::Sidecar;
use crate::domain::operator::injection::decide::{Decision, decide};
use crate::domain::operator::injection::facts::SidecarPresence;
use crate::domain::operator::injection::skip::{Skip, SkipReason};
use crate::domain::operator::injection::status::InjectionStatus;
use crate::domain::operator::injection::trace_buffer_view::SidecarMode;
use crate::domain::text::quoted;

const POD: Section = Section("Pod");
const NEW_POD: Section = Section("A new pod");

/// Explains the decision for a pod, whether it is up to date, and what to do.
#[must_use]
pub fn explain(input: &ExplainInput) -> Vec<Finding> {
    let pod = match input.pod.or_finding(POD, &input.key.to_string()) {
        Ok(Some(pod)) => pod,
        Ok(None) => {
            let message = "the pod does not exist";
            let remedy = format!("see `kubectl get pods -n {}`", input.key.namespace);
            return vec![POD.failed(input.key.to_string(), message, remedy)];
        }
        Err(finding) => return vec![finding],
    };
    let mut findings = vec![request_finding(input)];
    findings.extend(misplaced(input, pod));
    match input.injection_status() {
        Some(InjectionStatus::Injected(injected)) => {
            findings.extend(sidecar::explain(input, pod, &injected));
            findings.extend(crashes::explain(input, &injected));
            // A restart must not remove the sidecar unexpectedly.
            let new_pod = creation_finding(&decide_now(input));
            findings.extend(new_pod.filter(|finding| finding.state != FindingState::Ok));
        }
        Some(InjectionStatus::Skipped { reason, message }) => {
            findings.push(skipped(DECISION, reason, &message));
            // A new pod that would be skipped for the same reason is not worth a second finding.
            let new_pod = creation_finding(&decide_now(input));
            findings.extend(new_pod.filter(|finding| finding.name != reason.as_str()));
        }
        None => findings.extend(undecided(input)),
    }
    findings
}

/// Reports what the pod asks for.
fn request_finding(input: &ExplainInput) -> Finding {
    let message = match input.annotation(names::INJECT_KEY) {
        Some(value) => format!("annotation {} is {}", names::INJECT_KEY, quoted(value)),
        None if input.namespace.opted_in => format!(
            "the pod has no annotation {}; its namespace asks for a sidecar in every pod",
            names::INJECT_KEY
        ),
        None => {
            format!(
                "neither the pod's annotation {} nor its namespace asks for a sidecar",
                names::INJECT_KEY
            )
        }
    };
    POD.ok(input.key.to_string(), message)
}

/// Reports a label or annotation that has no effect where it is set.
fn misplaced(input: &ExplainInput, pod: &Pod) -> Option<Finding> {
    const NAME: &str = "misplaced";
    let remedy = "move it; the documentation lists the labels and annotations of tracebuffer.dev";
    if pod.labels().contains_key(names::INJECT_KEY) && input.annotation(names::INJECT_KEY).is_none()
    {
        let message = format!(
            "{} is a label of the pod, but only the annotation has an effect",
            names::INJECT_KEY
        );
        return Some(POD.warning(NAME, message, remedy));
    }
    input
        .namespace_misconfiguration
        .as_ref()
        .map(|message| POD.warning(NAME, message.as_str(), remedy))
}

/// Reports a pod without a recorded decision: the webhook was not called, or did not need to be.
fn undecided(input: &ExplainInput) -> Vec<Finding> {
    let decision = decide_now(input);
    if let Ok(Decision::Skip(Skip { reason, message })) = &decision
        && (!reason.should_warn() || *reason == SkipReason::ExcludedNamespace)
    {
        // The webhook is not called for these pods.
        return vec![skipped(DECISION, *reason, message)];
    }
    let message = "the pod asks for a sidecar, but the webhook was not called when it was created";
    let remedy = "remove the cause, then recreate the pod: `kubectl rollout restart` of its owner";
    let mut findings = vec![DECISION.failed("WebhookNotCalled", message, remedy)];
    findings.extend(causes::likely_causes(input));
    findings.extend(creation_finding(&decision));
    findings
}

/// Decides as the webhook would for this pod without its sidecar.
fn decide_now(input: &ExplainInput) -> Result<Decision<Sidecar>, String> {
    if let Some(why) = &input.fetch_error {
        return Err(format!("the decision depends on objects that cannot be read: {why}"));
    }
    // The decision reads only fields that the type has.
    let pod = serde_json::to_value(input.pod.get()).unwrap_or(Value::Null);
    let mut pod = pod_facts(&pod).map_err(|error| error.to_string())?;
    if matches!(pod.sidecar, SidecarPresence::Injected(_)) {
        pod.sidecar = SidecarPresence::Absent;
    }
    let decision = decide(&pod, &input.namespace, &input.cluster, &input.trace_buffers);
    if let Decision::Skip(Skip { reason: SkipReason::NoTraceBuffer, message }) = &decision
        && let Some(why) = input.operator.deployment.error_message()
    {
        return Err(format!("{message}; whether the operator has a default cannot be read: {why}"));
    }
    Ok(decision)
}

/// Reports what a pod would get that is created now.
fn creation_finding(decision: &Result<Decision<Sidecar>, String>) -> Option<Finding> {
    const NAME: &str = "created now";
    Some(match decision {
        Ok(Decision::Inject { trace_buffer, sidecar }) => {
            let kind = match sidecar.mode {
                SidecarMode::Container => "a sidecar container",
                SidecarMode::Native => "a native sidecar",
            };
            NEW_POD.ok(NAME, format!("would get {kind} from TraceBuffer {trace_buffer}"))
        }
        Ok(Decision::Skip(Skip { reason, message })) => skipped(NEW_POD, *reason, message),
        Ok(Decision::CompleteInjection { .. }) => return None,
        Err(why) => NEW_POD.skipped(NAME, why.as_str()),
    })
}

fn skipped(section: Section, reason: SkipReason, message: &str) -> Finding {
    let name = reason.as_str();
    if reason.should_warn() {
        section.warning_without_remedy(name, format!("no sidecar: {message}"))
    } else {
        section.ok(name, format!("no sidecar: {message}"))
    }
}

#[cfg(test)]
mod tests;
