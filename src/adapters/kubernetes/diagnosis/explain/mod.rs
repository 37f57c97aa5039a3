//! Why a pod was or was not injected.

mod causes;
mod sidecar;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::Value;

use super::explain_input::ExplainInput;
use super::finding::{Finding, Section};
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
const DECISION: Section = Section("Decision");
const NEW_POD: Section = Section("A new pod");

/// Explains what was decided for a pod, whether that still holds, and what to do.
#[must_use]
pub fn explain(case: &ExplainInput) -> Vec<Finding> {
    let pod = match case.pod.or_finding(POD, &case.key.to_string()) {
        Ok(Some(pod)) => pod,
        Ok(None) => {
            let message = "there is no such pod";
            let remedy = format!("see `kubectl get pods -n {}`", case.key.namespace);
            return vec![POD.failed(case.key.to_string(), message, remedy)];
        }
        Err(finding) => return vec![finding],
    };
    let mut findings = vec![request_finding(case)];
    findings.extend(misplaced(case, pod));
    match case.injection_status() {
        Some(InjectionStatus::Injected(injected)) => {
            findings.extend(sidecar::explain(case, pod, &injected));
        }
        Some(InjectionStatus::Skipped { reason, message }) => {
            findings.push(skipped(DECISION, reason, &message));
            // The same again says nothing new.
            let news = creation_finding(&decide_now(case));
            findings.extend(news.filter(|finding| finding.name != reason.as_str()));
        }
        None => findings.extend(undecided(case)),
    }
    findings
}

/// What the pod asks for.
fn request_finding(case: &ExplainInput) -> Finding {
    let message = match case.annotation(names::INJECT) {
        Some(value) => format!("annotation {} is {}", names::INJECT, quoted(value)),
        None if case.namespace.opted_in => format!(
            "it has no annotation {}; its namespace asks for a sidecar in every pod",
            names::INJECT
        ),
        None => {
            format!("neither its annotation {} nor its namespace asks for a sidecar", names::INJECT)
        }
    };
    POD.ok(case.key.to_string(), message)
}

/// What is set in a place where it means nothing, and was perhaps meant to count.
fn misplaced(case: &ExplainInput, pod: &Pod) -> Option<Finding> {
    const NAME: &str = "misplaced";
    let remedy = "set it where it is read; see `tracebuffer.dev` in the documentation";
    if pod.labels().contains_key(names::INJECT) && case.annotation(names::INJECT).is_none() {
        let message =
            format!("{} is a label of the pod; it is read as an annotation", names::INJECT);
        return Some(POD.warning(NAME, message, remedy));
    }
    case.namespace_misconfiguration
        .as_ref()
        .map(|mistake| POD.warning(NAME, mistake.as_str(), remedy))
}

/// A pod about which nobody was asked, or need not have been.
fn undecided(case: &ExplainInput) -> Vec<Finding> {
    let decision = decide_now(case);
    if let Ok(Decision::Skip(Skip { reason, message })) = &decision
        && !reason.should_warn()
    {
        return vec![skipped(DECISION, *reason, message)];
    }
    let message = "it asks for a sidecar, and nobody was asked about it when it was created";
    let remedy = "remove the cause, then create it anew: `kubectl rollout restart` of its owner";
    let mut findings = vec![DECISION.failed("WebhookNotCalled", message, remedy)];
    findings.extend(causes::likely_causes(case));
    findings.extend(creation_finding(&decision));
    findings
}

/// Decides as the webhook would for a pod like this one without its sidecar.
fn decide_now(case: &ExplainInput) -> Result<Decision<Sidecar>, String> {
    if let Some(why) = &case.fetch_error {
        return Err(format!("not all that decides could be read: {why}"));
    }
    // Only what every pod has is looked at, which the type knows.
    let pod = serde_json::to_value(case.pod.get()).unwrap_or(Value::Null);
    let mut pod = pod_facts(&pod).map_err(|error| error.to_string())?;
    if matches!(pod.sidecar, SidecarPresence::Injected(_)) {
        pod.sidecar = SidecarPresence::Absent;
    }
    let decision = decide(&pod, &case.namespace, &case.cluster, &case.trace_buffers);
    if let Decision::Skip(Skip { reason: SkipReason::NoTraceBuffer, message }) = &decision
        && let Some(why) = case.operator.deployment.error_message()
    {
        return Err(format!(
            "{message}; the operator may have a default, which cannot be read: {why}"
        ));
    }
    Ok(decision)
}

/// What would become of a pod that is created now.
fn creation_finding(decision: &Result<Decision<Sidecar>, String>) -> Option<Finding> {
    const NAME: &str = "created now";
    Some(match decision {
        Ok(Decision::Inject(candidate)) => {
            let is_plain = |own: &Sidecar| own.mode == SidecarMode::Container;
            let kind = match &candidate.sidecar {
                Ok(sidecar) if is_plain(sidecar) => "a sidecar container",
                _ => "a native sidecar",
            };
            NEW_POD.ok(NAME, format!("would get {kind} from TraceBuffer {}", candidate.key))
        }
        Ok(Decision::Skip(Skip { reason, message })) => skipped(NEW_POD, *reason, message),
        Ok(Decision::CompleteInjection(_)) => return None,
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
