use std::num::NonZeroU64;
use std::time::Duration;

use super::*;
use crate::domain::limits::BufferLimits;
use crate::domain::operator::injection::consent::{AllowedNamespaces, CredentialUse};
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    DesiredSidecar, ReferenceKind, RolloutPolicy,
};

fn snapshot(
    sidecar: Result<DesiredSidecar, String>,
    status: Option<Status>,
) -> TraceBufferSnapshot {
    TraceBufferSnapshot {
        key: ObjectKey { namespace: "shop".into(), name: "traces".into() },
        uid: "u1".into(),
        resource_version: "1".into(),
        generation: 7,
        sidecar,
        allowed_namespaces: AllowedNamespaces::Same,
        credentials: CredentialUse::None,
        references: vec![],
        rollout: None,
        status,
    }
}

fn desired_sidecar() -> DesiredSidecar {
    let limits =
        BufferLimits { max_spans: NonZeroU64::MIN, max_bytes: NonZeroU64::MIN, max_age: None };
    DesiredSidecar { hash: "h".into(), limits }
}

fn summary(status: &Status) -> Vec<(&str, ConditionStatus, &str)> {
    let conditions = status.conditions.iter();
    conditions.map(|one| (one.type_.as_str(), one.status, one.reason.as_str())).collect()
}

fn of<'a>(status: &'a Status, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.type_ == kind).unwrap()
}

fn not_found(name: &str) -> (Reference, String) {
    let kind = ReferenceKind::Secret;
    let field = "spec.destination.headers[0].secretKeyRef".to_owned();
    (Reference { kind, name: name.into(), field }, "shop".into())
}

/// The status while running pods have their desired limits.
fn settled(
    snapshot: &TraceBufferSnapshot,
    references: &ReferenceResolution,
    pods: PodCounts,
) -> Status {
    let observations = Observations { pods, ..observations(references) };
    compute_status(snapshot, &observations)
}

/// Nothing is pending, and the webhook is called.
fn observations(references: &ReferenceResolution) -> Observations {
    Observations {
        references: references.clone(),
        pods: PodCounts::default(),
        limits_pending: false,
        rollout: None,
        webhook_problem: None,
    }
}

/// The status as it is read back, with a time in every condition.
fn written(mut status: Status, since: i64) -> Status {
    for condition in &mut status.conditions {
        condition.last_transition_time.get_or_insert(since);
    }
    status
}

#[test]
fn a_valid_spec_is_accepted_and_ready() {
    let status = settled(
        &snapshot(Ok(desired_sidecar()), None),
        &ReferenceResolution::None,
        PodCounts::default(),
    );

    assert_eq!(
        summary(&status),
        [
            ("Accepted", ConditionStatus::True, "Valid"),
            ("ResolvedRefs", ConditionStatus::True, "NoReferences"),
            ("Ready", ConditionStatus::True, "Injecting")
        ]
    );
    assert_eq!(status.observed_generation, Some(7));
    assert!(status.conditions.iter().all(|one| one.observed_generation == Some(7)));
}

#[test]
fn errors_are_repeated_in_one_line() {
    let wrong = Err("spec.a: is bad\nspec.b: is worse".to_owned());

    let status = settled(&snapshot(wrong, None), &ReferenceResolution::Found, PodCounts::default());

    assert_eq!(
        summary(&status),
        [
            ("Accepted", ConditionStatus::False, "Invalid"),
            ("ResolvedRefs", ConditionStatus::True, "Found"),
            ("Ready", ConditionStatus::False, "NotAccepted"),
            ("Stalled", ConditionStatus::True, "InvalidSpec")
        ]
    );
    assert_eq!(of(&status, "Accepted").message, "spec.a: is bad; spec.b: is worse");
}

#[test]
fn each_lookup_result_has_its_condition() {
    for (references, truth, reason) in [
        (ReferenceResolution::NotFound(vec![not_found("a")]), ConditionStatus::False, "NotFound"),
        (ReferenceResolution::Forbidden, ConditionStatus::Unknown, "NotVerified"),
        (ReferenceResolution::Failed("timeout".into()), ConditionStatus::Unknown, "LookupFailed"),
    ] {
        let status =
            settled(&snapshot(Ok(desired_sidecar()), None), &references, PodCounts::default());
        let condition = of(&status, "ResolvedRefs");
        assert_eq!((condition.status, condition.reason.as_str()), (truth, reason));
        assert_eq!(
            of(&status, "Ready").status,
            ConditionStatus::True,
            "sidecars start without them"
        );
    }
}

#[test]
fn at_most_five_missing_objects_are_named_with_field_and_namespace() {
    let many = (0..7).map(|n| not_found(&format!("s{n}"))).collect();

    let status = settled(
        &snapshot(Ok(desired_sidecar()), None),
        &ReferenceResolution::NotFound(many),
        PodCounts::default(),
    );

    let message = &of(&status, "ResolvedRefs").message;
    let first = "spec.destination.headers[0].secretKeyRef: namespace shop has no Secret s0; ";
    assert!(message.starts_with(first), "{message}");
    assert!(message.ends_with("has no Secret s4; and 2 more"), "{message}");
}

#[test]
fn the_transition_time_changes_only_with_the_status_of_a_condition() {
    let first = settled(
        &snapshot(Ok(desired_sidecar()), None),
        &ReferenceResolution::None,
        PodCounts::default(),
    );
    assert!(first.conditions.iter().all(|one| one.last_transition_time.is_none()));
    let first = written(first, 100);

    let wrong = snapshot(Err("wrong".into()), Some(first));
    let second = settled(&wrong, &ReferenceResolution::Found, PodCounts::default());

    assert_eq!(of(&second, "Accepted").last_transition_time, None);
    assert_eq!(of(&second, "ResolvedRefs").last_transition_time, Some(100));
    assert_eq!(of(&second, "ResolvedRefs").reason, "Found");
}

#[test]
fn an_unchanged_state_results_in_an_equal_status() {
    let counts = PodCounts { total: 1, current: 1, ..PodCounts::default() };
    let before = written(
        settled(&snapshot(Ok(desired_sidecar()), None), &ReferenceResolution::None, counts),
        100,
    );

    let again = settled(
        &snapshot(Ok(desired_sidecar()), Some(before.clone())),
        &ReferenceResolution::None,
        counts,
    );

    assert_eq!(again, before);
}

#[test]
fn conditions_of_other_controllers_are_kept() {
    let foreign = Condition {
        type_: "Approved".into(),
        status: ConditionStatus::True,
        reason: "ByHand".into(),
        message: String::new(),
        last_transition_time: Some(1),
        observed_generation: None,
    };
    let before = Status { conditions: vec![foreign.clone()], ..Status::default() };

    let status = settled(
        &snapshot(Ok(desired_sidecar()), Some(before)),
        &ReferenceResolution::None,
        PodCounts::default(),
    );

    assert_eq!(status.conditions.len(), 4);
    assert_eq!(status.conditions[0], foreign);
}

#[test]
fn a_corrected_spec_is_no_longer_stalled() {
    let wrong = settled(
        &snapshot(Err("wrong".into()), None),
        &ReferenceResolution::None,
        PodCounts::default(),
    );

    let corrected = snapshot(Ok(desired_sidecar()), Some(written(wrong, 100)));
    let status = settled(&corrected, &ReferenceResolution::None, PodCounts::default());

    assert!(status.conditions.iter().all(|one| one.type_ != "Stalled"));
}

#[test]
fn reconciling_is_set_only_while_limits_are_pending() {
    let pending = compute_status(
        &snapshot(Ok(desired_sidecar()), None),
        &Observations { limits_pending: true, ..observations(&ReferenceResolution::None) },
    );
    assert_eq!(of(&pending, "Reconciling").status, ConditionStatus::True);

    let before = snapshot(Ok(desired_sidecar()), Some(written(pending, 100)));
    let settled = settled(&before, &ReferenceResolution::None, PodCounts::default());

    assert_eq!(summary(&settled).len(), REQUIRED_CONDITIONS.len());
}

#[test]
fn the_transition_time_of_the_schema_default_is_ignored() {
    let pending = REQUIRED_CONDITIONS.map(|kind| Condition {
        type_: kind.into(),
        status: ConditionStatus::Unknown,
        reason: PENDING_REASON.into(),
        message: "Waiting for the operator".into(),
        last_transition_time: Some(0),
        observed_generation: None,
    });
    let before = Status { conditions: pending.to_vec(), ..Status::default() };

    let status = settled(
        &snapshot(Ok(desired_sidecar()), Some(before)),
        &ReferenceResolution::Forbidden,
        PodCounts::default(),
    );

    assert!(status.conditions.iter().all(|one| one.last_transition_time.is_none()), "{status:?}");
}

#[test]
fn a_message_is_bounded() {
    let wrong = snapshot(Err("x".repeat(100_000)), None);

    let status = settled(&wrong, &ReferenceResolution::None, PodCounts::default());

    assert!(of(&status, "Accepted").message.len() < 1100);
}

/// The status of a `TraceBuffer` that restarts workloads, at this point of the rollout.
fn rolling_out(previous: Option<Status>, rollout: Option<RolloutSummary>) -> Status {
    let policy = RolloutPolicy { max_concurrent: 1, interval: Duration::ZERO };
    let restarting =
        TraceBufferSnapshot { rollout: Some(policy), ..snapshot(Ok(desired_sidecar()), previous) };
    compute_status(
        &restarting,
        &Observations { rollout, ..observations(&ReferenceResolution::None) },
    )
}

#[test]
fn the_progress_of_restarts_is_a_condition_that_says_what_they_wait_for() {
    for (rollout, expected) in [
        (RolloutSummary::Complete, (ConditionStatus::True, "Complete")),
        (RolloutSummary::Restarting("two".into()), (ConditionStatus::False, "Restarting")),
        (RolloutSummary::Blocked("a (paused)".into()), (ConditionStatus::False, "Waiting")),
        (RolloutSummary::Halted("a: crashes".into()), (ConditionStatus::False, "Halted")),
        (RolloutSummary::Failing("forbidden".into()), (ConditionStatus::False, "Failing")),
    ] {
        let text = format!("{rollout:?}");
        let status = rolling_out(None, Some(rollout));

        let condition = of(&status, "RolledOut");
        assert_eq!((condition.status, condition.reason.as_str()), expected, "{text}");
        let detail = text.split('"').nth(1).unwrap_or_default();
        assert!(condition.message.contains(detail), "{}", condition.message);
    }
}

#[test]
fn the_progress_for_another_spec_is_not_kept() {
    let mut before = written(rolling_out(None, Some(RolloutSummary::Complete)), 100);
    for condition in &mut before.conditions {
        condition.observed_generation = Some(6);
    }

    let condition = of(&rolling_out(Some(before), None), "RolledOut").clone();

    assert_eq!(condition.status, ConditionStatus::Unknown);
    assert_eq!(of(&rolling_out(None, None), "RolledOut").reason, PENDING_REASON);
}

#[test]
fn the_progress_is_kept_until_it_is_known_and_removed_with_the_strategy() {
    let before = written(rolling_out(None, Some(RolloutSummary::Blocked("a".into()))), 100);

    assert_eq!(
        *of(&rolling_out(Some(before.clone()), None), "RolledOut"),
        *of(&before, "RolledOut")
    );
    let never = snapshot(Ok(desired_sidecar()), Some(before));
    let status = settled(&never, &ReferenceResolution::None, PodCounts::default());
    assert_eq!(summary(&status).len(), REQUIRED_CONDITIONS.len());
}

#[test]
fn a_trace_buffer_is_not_ready_while_the_webhook_is_not_called() {
    let observed = Observations {
        webhook_problem: Some("its Service has no endpoint".into()),
        ..observations(&ReferenceResolution::None)
    };

    let status = compute_status(&snapshot(Ok(desired_sidecar()), None), &observed);
    let invalid = compute_status(&snapshot(Err("no endpoint".into()), None), &observed);

    let ready = of(&status, "Ready");
    assert_eq!(
        (ready.status, ready.reason.as_str()),
        (ConditionStatus::False, "WebhookUnavailable")
    );
    assert!(ready.message.ends_with("its Service has no endpoint"), "{}", ready.message);
    assert_eq!(of(&status, "Accepted").status, ConditionStatus::True);
    assert_eq!(of(&invalid, "Ready").reason, "NotAccepted");
}
