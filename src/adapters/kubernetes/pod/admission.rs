//! Carrying out a decision: the patch, the warnings, and what is told of it.

use json_patch::Patch;
use serde_json::{Value, json};

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
use crate::domain::operator::injection::trace_buffer_view::{SidecarMode, TraceBufferView};
use crate::domain::operator::object_key::ObjectKey;

/// The seconds a pod has to end where it does not say.
const DEFAULT_GRACE_PERIOD_SECONDS: u64 = 30;

/// What is answered for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// What is added to the pod; nothing but `add` operations.
    pub patch: Patch,
    /// What its owner is told, each in less than 256 bytes.
    pub warnings: Vec<String>,
    /// What became of it.
    pub outcome: InjectionOutcome,
}

/// What became of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InjectionOutcome {
    /// It gets a sidecar, made from this `TraceBuffer`.
    Injected(ObjectKey),
    /// It gets none, or has it already.
    Skipped(SkipReason),
}

/// Returns what is answered for `pod`, of which [`pod_facts`](super::pod_facts()) made the facts that led to
/// `decision`.
#[must_use]
pub fn apply_decision(pod: &Value, decision: &Decision<Sidecar>) -> Admission {
    match decision {
        Decision::Inject(candidate) => match &candidate.sidecar {
            Ok(sidecar) => inject_sidecar(pod, &candidate.key, sidecar),
            Err(mistakes) => skip_injection(pod, &Skip::not_accepted(&candidate.key, mistakes)),
        },
        Decision::CompleteInjection(candidate) => complete_injection(pod, candidate),
        Decision::Skip(skip) => skip_injection(pod, skip),
    }
}

fn inject_sidecar(pod: &Value, key: &ObjectKey, sidecar: &Sidecar) -> Admission {
    let mut edit = PatchBuilder::new(pod);
    let place = SidecarPosition::for_new(pod, sidecar.mode);
    let (fitted, about_resources) = resources::fit_resources(pod, key, sidecar);
    // First what is addressed by a container's index, which a new container changes.
    let mut said = environment::add_endpoint(&mut edit, pod, sidecar, place);
    said.extend(about_resources);
    said.extend(termination_warnings(pod, key, sidecar));
    container::add_container(&mut edit, pod, sidecar, place, fitted);
    let status = InjectionStatus::Injected(InjectedSidecar {
        trace_buffer: key.clone(),
        uid: sidecar.uid.clone(),
        hash: sidecar.hash.clone(),
        max_bytes: sidecar.limits.max_bytes.get(),
    });
    let annotations = json!({
        names::STATUS: status::to_annotation(&status),
        names::LIMITS: limits_text::to_file(&sidecar.limits),
    });
    let labels = json!({names::INJECTED: names::INJECTED_TRUE});
    edit.merge(&["metadata"], json!({"annotations": annotations, "labels": labels}));
    build_admission(edit, &said, InjectionOutcome::Injected(key.clone()))
}

/// Tells containers that came after the sidecar, as another webhook may add them, where it is.
fn complete_injection(pod: &Value, candidate: &TraceBufferView<Sidecar>) -> Admission {
    let mut edit = PatchBuilder::new(pod);
    let mut said = vec![];
    // A TraceBuffer that has changed since may have other ports than the sidecar that is there.
    if let Some(sidecar) =
        candidate.sidecar.as_ref().ok().filter(|now| has_current_sidecar(pod, now))
    {
        said =
            environment::add_endpoint(&mut edit, pod, sidecar, SidecarPosition::of_existing(pod));
    }
    build_admission(edit, &said, InjectionOutcome::Skipped(SkipReason::AlreadyInjected))
}

/// Whether the sidecar in `pod` was made as `sidecar` is.
fn has_current_sidecar(pod: &Value, sidecar: &Sidecar) -> bool {
    let status = pod_json::annotation(pod, names::STATUS).and_then(status::from_annotation);
    matches!(status, Some(InjectionStatus::Injected(injected)) if injected.hash == sidecar.hash)
}

fn skip_injection(pod: &Value, skip: &Skip) -> Admission {
    let mut edit = PatchBuilder::new(pod);
    let mut said = vec![];
    let Skip { reason, message } = skip;
    if reason.should_warn() {
        let status = InjectionStatus::Skipped { reason: *reason, message: message.clone() };
        let annotations = json!({names::STATUS: status::to_annotation(&status)});
        edit.merge(&["metadata"], json!({"annotations": annotations}));
        said.push(format!("no sidecar ({}): {message}", reason.as_str()));
    }
    build_admission(edit, &said, InjectionOutcome::Skipped(*reason))
}

fn build_admission(
    edit: PatchBuilder<'_>,
    said: &[String],
    outcome: InjectionOutcome,
) -> Admission {
    let warnings = said.iter().map(|text| format_warning(text)).collect();
    Admission { patch: edit.build(), warnings, outcome }
}

/// What may be lost when the pod ends.
fn termination_warnings(pod: &Value, key: &ObjectKey, sidecar: &Sidecar) -> Vec<String> {
    let mut said = vec![];
    let grace = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    let (grace, drain) =
        (grace.unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS), sidecar.drain_timeout_seconds);
    if grace < u64::from(drain) {
        said.push(format!(
            "terminationGracePeriodSeconds {grace} is less than the {drain} s that TraceBuffer {key} \
             gives the sidecar to send what is left (drainTimeout)"
        ));
    }
    if let Some(proxy) =
        position::non_native_mesh_proxy(pod).filter(|_| sidecar.mode == SidecarMode::Native)
    {
        said.push(format!(
            "{proxy} ends before the sidecar, which then cannot send what is left; use the mesh's \
             native sidecars"
        ));
    }
    said
}

#[cfg(test)]
mod tests;
