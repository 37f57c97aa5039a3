//! A pod that has its sidecar: whether it runs, and whether it is what its `TraceBuffer` says now.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::DECISION;
use crate::adapters::kubernetes::diagnosis::explain_input::ExplainInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::sidecar::Sidecar;
use crate::domain::limits_text;
use crate::domain::operator::injection::status::InjectedSidecar;
use crate::domain::operator::injection::trace_buffer_view::TraceBufferLister;

const SIDECAR: Section = Section("Sidecar");
/// Why a container waits where nothing is wrong.
const STARTING_REASONS: [&str; 2] = ["ContainerCreating", "PodInitializing"];
const RESTART_REMEDY: &str = "create the pod anew: `kubectl rollout restart` of its owner";

pub(super) fn explain(case: &ExplainInput, pod: &Pod, injected: &InjectedSidecar) -> Vec<Finding> {
    let from = format!("injected from TraceBuffer {}", injected.trace_buffer);
    let mut findings = vec![DECISION.ok("Injected", from)];
    findings.extend(container(pod));
    findings.extend(configuration(case, injected));
    findings
}

/// Whether its container runs.
fn container(pod: &Pod) -> Option<Finding> {
    const NAME: &str = "container";
    let status = pod.status.as_ref()?;
    let mut all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let container = all.find(|container| container.name == names::SIDECAR_CONTAINER)?;
    let restarts = match container.restart_count {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        times => format!(", restarted {times} times"),
    };
    let remedy = "see `kubectl describe pod`, and `kubectl logs -c tracebuffer`";
    if let Some(why) = stop_reason(container) {
        return Some(SIDECAR.failed(NAME, format!("it does not run: {why}{restarts}"), remedy));
    }
    // Before its probe succeeded the application has to wait.
    if container.started == Some(false) {
        return Some(SIDECAR.warning(NAME, format!("it has not started yet{restarts}"), remedy));
    }
    Some(SIDECAR.ok(NAME, format!("it runs{restarts}")))
}

fn stop_reason(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        return match &waiting.message {
            _ if STARTING_REASONS.contains(&reason) => None,
            Some(message) => Some(format!("{reason}: {message}")),
            None => Some(reason.to_owned()),
        };
    }
    let ended = state.terminated.as_ref()?;
    // At the end of a pod that runs to completion it is as it should be.
    (ended.exit_code != 0).then(|| format!("ended with exit code {}", ended.exit_code))
}

/// Whether it is what its `TraceBuffer` says now.
fn configuration(case: &ExplainInput, injected: &InjectedSidecar) -> Vec<Finding> {
    const NAME: &str = "configuration";
    let key = &injected.trace_buffer;
    let Some(candidate) = case.trace_buffers.get(key) else {
        return vec![match &case.fetch_error {
            Some(why) => SIDECAR.skipped(NAME, format!("TraceBuffer {key} cannot be read: {why}")),
            None => SIDECAR.warning(
                NAME,
                format!("TraceBuffer {key} is gone; the sidecar runs on as it is"),
                "create it again, or the pod anew",
            ),
        }];
    };
    let sidecar = match &candidate.sidecar {
        Ok(sidecar) => sidecar,
        Err(mistakes) => {
            let message = format!("TraceBuffer {key} has mistakes now: {mistakes}");
            return vec![SIDECAR.warning(
                NAME,
                message,
                "correct it; the sidecar runs on as it is",
            )];
        }
    };
    if sidecar.uid != injected.uid {
        let message = format!("TraceBuffer {key} was deleted and made anew since then");
        return vec![SIDECAR.warning(NAME, message, RESTART_REMEDY)];
    }
    if sidecar.hash != injected.hash {
        let message = format!("TraceBuffer {key} changed in a way that only a new pod takes up");
        return vec![SIDECAR.warning(NAME, message, RESTART_REMEDY)];
    }
    vec![SIDECAR.ok(NAME, "as its TraceBuffer says"), limits(case, sidecar, injected)]
}

fn limits(case: &ExplainInput, sidecar: &Sidecar, injected: &InjectedSidecar) -> Finding {
    const NAME: &str = "limits";
    if sidecar.limits.max_bytes.get() > injected.max_bytes {
        let message = format!(
            "maxBytes was raised beyond the {} bytes that its memory was made for",
            injected.max_bytes
        );
        return SIDECAR.warning(NAME, message, RESTART_REMEDY);
    }
    if case.annotation(names::LIMITS) == Some(&limits_text::to_file(&sidecar.limits)) {
        return SIDECAR.ok(NAME, "as its TraceBuffer says");
    }
    let message = format!("annotation {} is not what its TraceBuffer says yet", names::LIMITS);
    SIDECAR.warning(NAME, message, "wait a moment; see whether the operator's pods are ready")
}
