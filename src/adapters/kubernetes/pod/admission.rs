//! Carrying out a decision: the patch, the warnings, and what is told of it.

use json_patch::Patch;
use serde_json::{Value, json};

use super::edit::Edit;
use super::place::{self, Place};
use super::warnings::warning;
use super::{container, environment, read, resources, status};
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::sidecar::{Sidecar, limits_text};
use crate::domain::injection::candidate::{Candidate, ObjectKey, SidecarMode};
use crate::domain::injection::decide::Decision;
use crate::domain::injection::skip::{Skip, SkipReason};
use crate::domain::injection::status::{Injected, PodStatus};

/// The seconds a pod has to end where it does not say.
const DEFAULT_GRACE: u64 = 30;

/// What is answered for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// What is added to the pod; nothing but `add` operations.
    pub patch: Patch,
    /// What its owner is told, each in less than 256 bytes.
    pub warnings: Vec<String>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It gets a sidecar, made from this `TraceBuffer`.
    Injected(ObjectKey),
    /// It gets none, or has it already.
    Skipped(SkipReason),
}

/// Returns what is answered for `pod`, of which [`facts`](super::facts()) made the facts that led to
/// `decision`.
#[must_use]
pub fn admission(pod: &Value, decision: &Decision<Sidecar>) -> Admission {
    match decision {
        Decision::Inject(candidate) => match &candidate.sidecar {
            Ok(sidecar) => injection(pod, &candidate.key, sidecar),
            Err(mistakes) => skipping(pod, &Skip::not_accepted(&candidate.key, mistakes)),
        },
        Decision::Complete(candidate) => completion(pod, candidate),
        Decision::Skip(skip) => skipping(pod, skip),
    }
}

fn injection(pod: &Value, key: &ObjectKey, sidecar: &Sidecar) -> Admission {
    let mut edit = Edit::of(pod);
    let place = Place::of_new(pod, sidecar.mode);
    let (fitted, about_resources) = resources::fitted(pod, key, sidecar);
    // First what is addressed by a container's index, which a new container changes.
    let mut said = environment::tell(&mut edit, pod, sidecar, place);
    said.extend(about_resources);
    said.extend(about_ending(pod, key, sidecar));
    container::add(&mut edit, pod, sidecar, place, fitted);
    let status = PodStatus::Injected(Injected {
        trace_buffer: key.clone(),
        uid: sidecar.uid.clone(),
        hash: sidecar.hash.clone(),
        max_bytes: sidecar.limits.max_bytes,
    });
    let annotations = json!({
        names::STATUS: status::to_annotation(&status),
        names::LIMITS: limits_text(&sidecar.limits),
    });
    let labels = json!({names::INJECTED: names::INJECTED_TRUE});
    edit.merge(&["metadata"], json!({"annotations": annotations, "labels": labels}));
    admitted(edit, &said, Outcome::Injected(key.clone()))
}

/// Tells containers that came after the sidecar, as another webhook may add them, where it is.
fn completion(pod: &Value, candidate: &Candidate<Sidecar>) -> Admission {
    let mut edit = Edit::of(pod);
    let mut said = vec![];
    // A TraceBuffer that has changed since may have other ports than the sidecar that is there.
    if let Some(sidecar) = candidate.sidecar.as_ref().ok().filter(|now| is_of(pod, now)) {
        said = environment::tell(&mut edit, pod, sidecar, Place::of_present(pod));
    }
    admitted(edit, &said, Outcome::Skipped(SkipReason::AlreadyInjected))
}

/// Whether the sidecar in `pod` was made as `sidecar` is.
fn is_of(pod: &Value, sidecar: &Sidecar) -> bool {
    let status = read::annotation(pod, names::STATUS).and_then(status::from_annotation);
    matches!(status, Some(PodStatus::Injected(injected)) if injected.hash == sidecar.hash)
}

fn skipping(pod: &Value, skip: &Skip) -> Admission {
    let mut edit = Edit::of(pod);
    let mut said = vec![];
    let Skip { reason, message } = skip;
    if reason.is_surprising() {
        let status = PodStatus::Skipped { reason: *reason, message: message.clone() };
        let annotations = json!({names::STATUS: status::to_annotation(&status)});
        edit.merge(&["metadata"], json!({"annotations": annotations}));
        said.push(format!("no sidecar ({}): {message}", reason.as_str()));
    }
    admitted(edit, &said, Outcome::Skipped(*reason))
}

fn admitted(edit: Edit<'_>, said: &[String], outcome: Outcome) -> Admission {
    let warnings = said.iter().map(|text| warning(text)).collect();
    Admission { patch: edit.finish(), warnings, outcome }
}

/// What may be lost when the pod ends.
fn about_ending(pod: &Value, key: &ObjectKey, sidecar: &Sidecar) -> Vec<String> {
    let mut said = vec![];
    let grace = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    let (grace, drain) = (grace.unwrap_or(DEFAULT_GRACE), sidecar.drain_seconds);
    if grace < u64::from(drain) {
        said.push(format!(
            "terminationGracePeriodSeconds {grace} is less than the {drain} s that TraceBuffer {key} \
             gives the sidecar to send what is left (drainTimeout)"
        ));
    }
    if let Some(proxy) =
        place::plain_mesh_proxy(pod).filter(|_| sidecar.mode == SidecarMode::Native)
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
