//! Applies a decision to a pod: the patch, the warnings and the outcome.

use json_patch::Patch;
use serde_json::{Value, json};

use super::environment::EnvironmentReport;
use super::patch_builder::PatchBuilder;
use super::position::{self, SidecarPosition};
use super::warnings::format_warning;
use super::{container, environment, pod_json, resources, status};
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::sidecar::Sidecar;
use crate::domain::limits_text;
use crate::domain::operator::injection::decide::Decision;
use crate::domain::operator::injection::skip::{Skip, SkipReason};
use crate::domain::operator::injection::status::{InjectedSidecar, InjectionStatus};
use crate::domain::operator::injection::trace_buffer_view::SidecarMode;
use crate::domain::operator::object_key::ObjectKey;

/// The response for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The change of the pod; consists of `add` operations only.
    pub patch: Patch,
    /// Warnings for the pod's owner, each shorter than 256 bytes.
    pub warnings: Vec<String>,
    /// Whether the pod gets a sidecar.
    pub outcome: InjectionOutcome,
}

/// Whether a pod gets a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InjectionOutcome {
    /// The pod gets the sidecar of this `TraceBuffer`.
    Injected(ObjectKey),
    /// The pod gets no sidecar, or already has one.
    Skipped(SkipReason),
}

/// Applies `decision`, which was made from the [`pod_facts`](super::pod_facts()) of `pod`.
#[must_use]
pub fn apply_decision(pod: &Value, decision: &Decision<Sidecar>) -> Admission {
    match decision {
        Decision::Inject { trace_buffer, sidecar } => inject_sidecar(pod, trace_buffer, sidecar),
        Decision::CompleteInjection { sidecar, .. } => complete_injection(pod, sidecar),
        Decision::Skip(skip) => skip_injection(pod, skip),
    }
}

fn inject_sidecar(pod: &Value, key: &ObjectKey, sidecar: &Sidecar) -> Admission {
    let mut patch = PatchBuilder::new(pod);
    let position = SidecarPosition::for_new(pod, sidecar.mode);
    let (resources, resource_warnings) = resources::fit_resources(pod, key, sidecar);
    // Environments are addressed by container index, which adding the sidecar shifts, so they go first.
    let EnvironmentReport { is_bypassed, mut warnings } =
        environment::add_variables(&mut patch, pod, sidecar, position);
    warnings.extend(resource_warnings);
    warnings.extend(termination_warnings(pod, key, sidecar));
    container::add_container(&mut patch, pod, sidecar, position, resources);
    let status = InjectionStatus::Injected(InjectedSidecar {
        trace_buffer: key.clone(),
        uid: sidecar.uid.clone(),
        hash: sidecar.hash.clone(),
        max_bytes: sidecar.limits.max_bytes.get(),
        is_bypassed,
        warnings: warnings.clone(),
    });
    let annotations = json!({
        names::INJECTION_STATUS_ANNOTATION: status::to_annotation(&status),
        names::LIMITS_ANNOTATION: limits_text::to_file(&sidecar.limits),
    });
    let labels = json!({names::INJECTED_LABEL: names::INJECTED_LABEL_VALUE});
    patch.merge(&["metadata"], json!({"annotations": annotations, "labels": labels}));
    build_admission(patch, &warnings, InjectionOutcome::Injected(key.clone()))
}

/// Sets the endpoint in containers that were added after the sidecar, for example by another webhook.
fn complete_injection(pod: &Value, sidecar: &Sidecar) -> Admission {
    let mut patch = PatchBuilder::new(pod);
    let mut warnings = vec![];
    if let Some(mut injected) = current_sidecar(pod, sidecar) {
        let position = SidecarPosition::of_existing(pod);
        let report = environment::add_variables(&mut patch, pod, sidecar, position);
        injected.is_bypassed |= report.is_bypassed;
        let mut new = status::bounded(report.warnings.clone());
        new.retain(|text| !injected.warnings.contains(text));
        injected.warnings.extend(new);
        let status = status::to_annotation(&InjectionStatus::Injected(injected));
        patch.merge(
            &["metadata", "annotations"],
            json!({names::INJECTION_STATUS_ANNOTATION: status}),
        );
        warnings = report.warnings;
    }
    build_admission(patch, &warnings, InjectionOutcome::Skipped(SkipReason::AlreadyInjected))
}

/// Returns the sidecar in `pod` if it was built from the same configuration as `sidecar`: after a change
/// of the `TraceBuffer`, it may listen on other ports.
fn current_sidecar(pod: &Value, sidecar: &Sidecar) -> Option<InjectedSidecar> {
    let status = pod_json::annotation(pod, names::INJECTION_STATUS_ANNOTATION)
        .and_then(status::from_annotation);
    match status {
        Some(InjectionStatus::Injected(injected)) if injected.hash == sidecar.hash => {
            Some(injected)
        }
        _ => None,
    }
}

fn skip_injection(pod: &Value, skip: &Skip) -> Admission {
    let mut patch = PatchBuilder::new(pod);
    let mut warnings = vec![];
    let Skip { reason, message } = skip;
    if reason.should_warn() {
        let status = InjectionStatus::Skipped { reason: *reason, message: message.clone() };
        let annotations =
            json!({names::INJECTION_STATUS_ANNOTATION: status::to_annotation(&status)});
        patch.merge(&["metadata"], json!({"annotations": annotations}));
        warnings.push(format!("no sidecar ({}): {message}", reason.as_str()));
    }
    build_admission(patch, &warnings, InjectionOutcome::Skipped(*reason))
}

fn build_admission(
    patch: PatchBuilder<'_>,
    warnings: &[String],
    outcome: InjectionOutcome,
) -> Admission {
    let warnings = warnings.iter().map(|text| format_warning(text)).collect();
    Admission { patch: patch.build(), warnings, outcome }
}

/// Returns warnings about spans that may be lost when the pod terminates.
fn termination_warnings(pod: &Value, key: &ObjectKey, sidecar: &Sidecar) -> Vec<String> {
    let mut warnings = vec![];
    let (grace, drain) = (pod_json::grace_period_seconds(pod), sidecar.drain_timeout_seconds);
    if grace < u64::from(drain) {
        warnings.push(format!(
            "terminationGracePeriodSeconds {grace} is less than the {drain} s (drainTimeout of \
             TraceBuffer {key}) that the sidecar needs to send buffered spans"
        ));
    }
    if let Some(proxy) =
        position::non_native_mesh_proxy(pod).filter(|_| sidecar.mode == SidecarMode::Native)
    {
        warnings.push(format!(
            "{proxy} terminates before the sidecar, which then cannot send buffered spans; use the \
             mesh's native sidecars"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests;
