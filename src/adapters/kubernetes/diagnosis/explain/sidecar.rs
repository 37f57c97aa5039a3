//! Explains an injected pod: whether its sidecar runs, and whether it is current.

use k8s_openapi::api::core::v1::Pod;

use crate::adapters::kubernetes::diagnosis::explain_input::ExplainInput;
use crate::adapters::kubernetes::diagnosis::finding::{DECISION, Finding, Section};
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::pod::sidecar_failure::{sidecar_failure, sidecar_status};
use crate::adapters::kubernetes::sidecar::Sidecar;
use crate::domain::limits_text;
use crate::domain::operator::injection::status::InjectedSidecar;
use crate::domain::operator::injection::trace_buffer_view::TraceBufferLister;
use crate::domain::operator::reconcile::sidecar_state::{OutdatedReason, outdated_reason};

const SIDECAR: Section = Section("Sidecar");
const RESTART_REMEDY: &str = "recreate the pod: `kubectl rollout restart` of its owner";

pub(super) fn explain(input: &ExplainInput, pod: &Pod, injected: &InjectedSidecar) -> Vec<Finding> {
    let from = format!("injected from TraceBuffer {}", injected.trace_buffer);
    let mut findings = vec![DECISION.ok("Injected", from)];
    findings.extend(container(pod));
    findings.extend(
        injected.warnings.iter().map(|text| SIDECAR.warning_without_remedy("warning", text)),
    );
    findings.extend(configuration(input, injected));
    findings
}

/// Reports whether the sidecar's container runs.
fn container(pod: &Pod) -> Option<Finding> {
    const NAME: &str = "container";
    let status = pod.status.as_ref()?;
    let container = sidecar_status([&status.init_container_statuses, &status.container_statuses])?;
    let restarts = match container.restart_count {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        times => format!(", restarted {times} times"),
    };
    let remedy = "see `kubectl describe pod` and `kubectl logs -c tracebuffer`";
    if let Some(failure) = sidecar_failure(container) {
        let message = format!("does not run: {}{restarts}", failure.message);
        return Some(SIDECAR.failed(NAME, message, remedy));
    }
    // The application does not start before the sidecar has started.
    if container.started == Some(false) {
        return Some(SIDECAR.warning(NAME, format!("has not started yet{restarts}"), remedy));
    }
    Some(SIDECAR.ok(NAME, format!("runs{restarts}")))
}

/// Reports whether the sidecar is current.
fn configuration(input: &ExplainInput, injected: &InjectedSidecar) -> Vec<Finding> {
    const NAME: &str = "configuration";
    let key = &injected.trace_buffer;
    let Some(view) = input.trace_buffers.get(key) else {
        return vec![match &input.fetch_error {
            Some(why) => SIDECAR.skipped(NAME, format!("TraceBuffer {key} cannot be read: {why}")),
            None => SIDECAR.warning(
                NAME,
                format!("TraceBuffer {key} was deleted; the sidecar keeps running unchanged"),
                "recreate the TraceBuffer or the pod",
            ),
        }];
    };
    let sidecar = match &view.sidecar {
        Ok(sidecar) => sidecar,
        Err(errors) => {
            let message = format!("TraceBuffer {key} has errors now: {errors}");
            let remedy = "correct them; the sidecar keeps running unchanged";
            return vec![SIDECAR.warning(NAME, message, remedy)];
        }
    };
    let outdated = |message| vec![SIDECAR.warning(NAME, message, RESTART_REMEDY)];
    match outdated_reason(injected, &sidecar.uid, &sidecar.desired()) {
        Some(OutdatedReason::SpecChanged) => outdated(format!(
            "TraceBuffer {key} has changed in a way that takes effect in new pods only"
        )),
        Some(OutdatedReason::Recreated) => {
            outdated(format!("TraceBuffer {key} was deleted and recreated with another spec"))
        }
        Some(OutdatedReason::NeedsMoreMemory) => outdated(format!(
            "maxBytes of TraceBuffer {key} was raised beyond the {} bytes that the sidecar's memory \
             limit was derived from",
            injected.max_bytes
        )),
        None => vec![SIDECAR.ok(NAME, "matches its TraceBuffer"), limits(input, sidecar)],
    }
}

fn limits(input: &ExplainInput, sidecar: &Sidecar) -> Finding {
    const NAME: &str = "limits";
    if input.annotation(names::LIMITS_ANNOTATION) == Some(&limits_text::to_file(&sidecar.limits)) {
        return SIDECAR.ok(NAME, "match its TraceBuffer");
    }
    let message =
        format!("annotation {} does not match its TraceBuffer yet", names::LIMITS_ANNOTATION);
    SIDECAR.warning(NAME, message, "wait a moment; check whether the operator's pods are ready")
}
