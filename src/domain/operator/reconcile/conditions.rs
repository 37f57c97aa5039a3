//! What the status of a `TraceBuffer` says.

use std::fmt::Write as _;

use super::trace_buffer_snapshot::{Reference, TraceBufferSnapshot};
use super::trace_buffer_status::{Condition, ConditionStatus, PodCounts, Status};
use crate::domain::text::in_one_line;

/// The conditions that every status has.
pub const REQUIRED_CONDITIONS: [&str; 3] = [ACCEPTED, RESOLVED_REFS, READY];
/// The reason of a condition that the operator has not written yet.
pub const PENDING_REASON: &str = "Pending";

const ACCEPTED: &str = "Accepted";
const RESOLVED_REFS: &str = "ResolvedRefs";
const READY: &str = "Ready";
/// As kstatus understands them: there only while they are true.
const STALLED: &str = "Stalled";
const RECONCILING: &str = "Reconciling";

/// Maximum characters of a condition's message; the API server allows 32768 bytes.
const MAX_MESSAGE_CHARS: usize = 1024;
/// Maximum number of absent objects that a message names.
const MAX_NAMED: usize = 5;

/// What came of looking for the objects that a `TraceBuffer` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceResolution {
    /// It names none.
    None,
    /// All are there.
    Found,
    /// Some are not: the reference and the namespace.
    NotFound(Vec<(Reference, String)>),
    /// The operator may not look.
    Forbidden,
    /// Looking failed, and why.
    Failed(String),
}

/// Computes the status of `declared`. `limits_pending` says that running pods do not have their
/// limits yet.
#[must_use]
pub fn compute_status(
    declared: &TraceBufferSnapshot,
    references: &ReferenceResolution,
    pods: PodCounts,
    limits_pending: bool,
) -> Status {
    let before = declared.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let mut conditions = before.to_vec();
    conditions.retain(|condition| ![STALLED, RECONCILING].contains(&condition.type_.as_str()));
    let always = [
        (ACCEPTED, accepted(declared)),
        (RESOLVED_REFS, resolved(references)),
        (READY, ready(declared)),
    ];
    let while_true =
        [(STALLED, stalled(declared)), (RECONCILING, limits_pending.then(reconciling))];
    let while_true = while_true.into_iter().filter_map(|(kind, finding)| Some((kind, finding?)));
    for (kind, finding) in always.into_iter().chain(while_true) {
        let condition = update_condition(kind, finding, before, declared.generation);
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            Some(place) => *place = condition,
            None => conditions.push(condition),
        }
    }
    Status { observed_generation: Some(declared.generation), conditions, pods }
}

/// Keeps the time of a condition whose status stays. The schema's default was never written by
/// anybody, and its time means nothing.
fn update_condition(
    kind: &str,
    finding: ConditionUpdate,
    before: &[Condition],
    generation: i64,
) -> Condition {
    let ConditionUpdate { status: truth, reason, message } = finding;
    let old = before.iter().find(|old| old.type_ == kind);
    let stays = old.filter(|old| old.status == truth && old.reason != PENDING_REASON);
    Condition {
        type_: kind.to_owned(),
        status: truth,
        reason: reason.to_owned(),
        message: in_one_line(&message, MAX_MESSAGE_CHARS),
        last_transition_time: stays.and_then(|old| old.last_transition_time),
        observed_generation: Some(generation),
    }
}

struct ConditionUpdate {
    status: ConditionStatus,
    reason: &'static str,
    message: String,
}

impl ConditionUpdate {
    fn new(truth: ConditionStatus, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status: truth, reason, message: message.into() }
    }
}

fn accepted(declared: &TraceBufferSnapshot) -> ConditionUpdate {
    match &declared.sidecar {
        Ok(_) => ConditionUpdate::new(ConditionStatus::True, "Valid", "the spec is valid"),
        Err(mistakes) => ConditionUpdate::new(ConditionStatus::False, "Invalid", mistakes),
    }
}

fn resolved(references: &ReferenceResolution) -> ConditionUpdate {
    match references {
        ReferenceResolution::None => ConditionUpdate::new(
            ConditionStatus::True,
            "NoReferences",
            "the spec refers to no Secret and no ConfigMap",
        ),
        ReferenceResolution::Found => ConditionUpdate::new(
            ConditionStatus::True,
            "Found",
            "every Secret and ConfigMap that the spec refers to exists",
        ),
        ReferenceResolution::NotFound(absent) => {
            ConditionUpdate::new(ConditionStatus::False, "NotFound", describe_not_found(absent))
        }
        ReferenceResolution::Forbidden => ConditionUpdate::new(
            ConditionStatus::Unknown,
            "NotVerified",
            "the operator is not allowed to read the Secrets and ConfigMaps that the spec refers to; \
             sidecars log an absent one",
        ),
        ReferenceResolution::Failed(why) => ConditionUpdate::new(
            ConditionStatus::Unknown,
            "LookupFailed",
            format!("the lookup failed: {why}"),
        ),
    }
}

fn ready(declared: &TraceBufferSnapshot) -> ConditionUpdate {
    if declared.sidecar.is_ok() {
        ConditionUpdate::new(
            ConditionStatus::True,
            "Injecting",
            "new pods that ask for the sidecar get it",
        )
    } else {
        let message =
            "new pods get no sidecar until the errors listed in condition Accepted are fixed";
        ConditionUpdate::new(ConditionStatus::False, "NotAccepted", message)
    }
}

/// Waiting will not help: only another spec will.
fn stalled(declared: &TraceBufferSnapshot) -> Option<ConditionUpdate> {
    let message = "the operator waits for the errors listed in condition Accepted to be fixed";
    declared
        .sidecar
        .is_err()
        .then(|| ConditionUpdate::new(ConditionStatus::True, "InvalidSpec", message))
}

fn reconciling() -> ConditionUpdate {
    ConditionUpdate::new(
        ConditionStatus::True,
        "UpdatingLimits",
        "the operator is propagating new buffer limits to running pods",
    )
}

fn describe_not_found(absent: &[(Reference, String)]) -> String {
    let mut text = String::new();
    for (reference, namespace) in absent.iter().take(MAX_NAMED) {
        let Reference { kind, name, field } = reference;
        let kind = kind.as_str();
        let separator = if text.is_empty() { "" } else { "; " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{field}: namespace {namespace} has no {kind} {name}");
    }
    match absent.len().saturating_sub(MAX_NAMED) {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

#[cfg(test)]
mod tests;
