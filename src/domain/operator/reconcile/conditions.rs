//! Computes the status of a `TraceBuffer`.

use std::fmt::Write as _;

use super::rollout::RolloutSummary;
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
/// Present only with the strategy `OnChange`.
const ROLLED_OUT: &str = "RolledOut";
/// As kstatus expects them: present only while they are true.
const STALLED: &str = "Stalled";
const RECONCILING: &str = "Reconciling";

/// Maximum characters of a condition's message; the API server allows 32768 bytes.
const MAX_MESSAGE_CHARS: usize = 1024;
/// Maximum number of missing objects that a message names.
const MAX_NAMED: usize = 5;

/// The result of looking up the objects that a `TraceBuffer` refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceResolution {
    /// The spec refers to no object.
    None,
    /// All objects exist.
    Found,
    /// These objects do not exist: each reference with the namespace that was searched.
    NotFound(Vec<(Reference, String)>),
    /// The operator is not allowed to look up objects.
    Forbidden,
    /// The lookup failed, with this message.
    Failed(String),
}

/// What is known of a `TraceBuffer` beyond its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observations {
    /// The objects that it refers to.
    pub references: ReferenceResolution,
    /// Its pods.
    pub pods: PodCounts,
    /// Whether running pods do not have their limits yet.
    pub limits_pending: bool,
    /// The progress of the restarts for the current spec; `None` if it is not known yet.
    pub rollout: Option<RolloutSummary>,
    /// Why the API server does not call the webhook for new pods, if so.
    pub webhook_problem: Option<String>,
}

/// Computes the status of the `TraceBuffer` `snapshot`.
#[must_use]
pub fn compute_status(snapshot: &TraceBufferSnapshot, observations: &Observations) -> Status {
    let Observations { references, pods, limits_pending, rollout, webhook_problem } = observations;
    let previous = snapshot.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let restarts = snapshot.rollout.is_some() && snapshot.sidecar.is_ok();
    let mut conditions = previous.to_vec();
    conditions.retain(|condition| match condition.type_.as_str() {
        STALLED | RECONCILING => false,
        ROLLED_OUT => restarts,
        _ => true,
    });
    let always = [
        (ACCEPTED, accepted(snapshot)),
        (RESOLVED_REFS, resolved(references)),
        (READY, ready(snapshot, webhook_problem.as_deref())),
    ];
    let is_rollout_known = previous.iter().any(|condition| {
        condition.type_ == ROLLED_OUT && condition.observed_generation == Some(snapshot.generation)
    });
    let rollout = match rollout {
        Some(rollout) => Some(rolled_out(rollout)),
        // The next leader keeps what the last one has written.
        None => (!is_rollout_known).then(rollout_pending),
    };
    let sometimes = [
        (ROLLED_OUT, rollout.filter(|_| restarts)),
        (STALLED, stalled(snapshot)),
        (RECONCILING, limits_pending.then(reconciling)),
    ];
    let sometimes = sometimes.into_iter().filter_map(|(kind, update)| Some((kind, update?)));
    for (kind, update) in always.into_iter().chain(sometimes) {
        let condition = condition(kind, update, previous, snapshot.generation);
        match conditions.iter_mut().find(|existing| existing.type_ == kind) {
            Some(existing) => *existing = condition,
            None => conditions.push(condition),
        }
    }
    Status { observed_generation: Some(snapshot.generation), conditions, pods: *pods }
}

/// Keeps the transition time of a condition whose status does not change. The time of the default
/// condition in the schema is ignored, because no controller wrote it.
fn condition(
    kind: &str,
    update: ConditionUpdate,
    previous: &[Condition],
    generation: i64,
) -> Condition {
    let ConditionUpdate { status, reason, message } = update;
    let unchanged = previous
        .iter()
        .find(|old| old.type_ == kind && old.status == status && old.reason != PENDING_REASON);
    Condition {
        type_: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: in_one_line(&message, MAX_MESSAGE_CHARS),
        last_transition_time: unchanged.and_then(|old| old.last_transition_time),
        observed_generation: Some(generation),
    }
}

struct ConditionUpdate {
    status: ConditionStatus,
    reason: &'static str,
    message: String,
}

impl ConditionUpdate {
    fn new(status: ConditionStatus, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }
}

fn accepted(snapshot: &TraceBufferSnapshot) -> ConditionUpdate {
    match &snapshot.sidecar {
        Ok(_) => ConditionUpdate::new(ConditionStatus::True, "Valid", "the spec is valid"),
        Err(errors) => ConditionUpdate::new(ConditionStatus::False, "Invalid", errors),
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
        ReferenceResolution::NotFound(missing) => {
            ConditionUpdate::new(ConditionStatus::False, "NotFound", describe_not_found(missing))
        }
        ReferenceResolution::Forbidden => ConditionUpdate::new(
            ConditionStatus::Unknown,
            "NotVerified",
            "the operator is not allowed to read the Secrets and ConfigMaps that the spec refers to; \
             sidecars log an absent one",
        ),
        ReferenceResolution::Failed(error) => ConditionUpdate::new(
            ConditionStatus::Unknown,
            "LookupFailed",
            format!("the lookup failed: {error}"),
        ),
    }
}

fn ready(snapshot: &TraceBufferSnapshot, webhook_problem: Option<&str>) -> ConditionUpdate {
    let not_ready =
        |reason, message: String| ConditionUpdate::new(ConditionStatus::False, reason, message);
    match (&snapshot.sidecar, webhook_problem) {
        (Err(_), _) => not_ready(
            "NotAccepted",
            "new pods get no sidecar until the errors listed in condition Accepted are fixed"
                .into(),
        ),
        (Ok(_), Some(problem)) => {
            not_ready("WebhookUnavailable", format!("new pods get no sidecar: {problem}"))
        }
        (Ok(_), None) => ConditionUpdate::new(
            ConditionStatus::True,
            "Injecting",
            "new pods that ask for the sidecar get it",
        ),
    }
}

fn rollout_pending() -> ConditionUpdate {
    ConditionUpdate::new(
        ConditionStatus::Unknown,
        PENDING_REASON,
        "the operator has not read the workloads yet",
    )
}

fn rolled_out(rollout: &RolloutSummary) -> ConditionUpdate {
    let pending = |reason, message| ConditionUpdate::new(ConditionStatus::False, reason, message);
    match rollout {
        RolloutSummary::Complete => ConditionUpdate::new(
            ConditionStatus::True,
            "Complete",
            "no workload is left to be restarted",
        ),
        RolloutSummary::Restarting(progress) => pending("Restarting", progress.clone()),
        RolloutSummary::Blocked(owners) => {
            pending("Waiting", format!("cannot be restarted now: {owners}"))
        }
        RolloutSummary::Failing(error) => pending("Failing", error.clone()),
        RolloutSummary::Halted(failure) => pending(
            "Halted",
            format!(
                "no workload is restarted until this one, which did not become available after its \
                 restart, does: {failure}"
            ),
        ),
    }
}

/// Waiting does not help; only a new spec does.
fn stalled(snapshot: &TraceBufferSnapshot) -> Option<ConditionUpdate> {
    let message = "the operator waits for the errors listed in condition Accepted to be fixed";
    snapshot
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

fn describe_not_found(missing: &[(Reference, String)]) -> String {
    let mut text = String::new();
    for (reference, namespace) in missing.iter().take(MAX_NAMED) {
        let Reference { kind, name, field } = reference;
        let kind = kind.as_str();
        let separator = if text.is_empty() { "" } else { "; " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{field}: namespace {namespace} has no {kind} {name}");
    }
    match missing.len().saturating_sub(MAX_NAMED) {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

#[cfg(test)]
mod tests;
