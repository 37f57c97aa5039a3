use super::*;
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::consent::{AllowedNamespaces, CredentialUse};
use crate::domain::operating::declared::{Needs, ReferenceKind, RunningLimits};

fn declared(sidecar: Result<Needs, String>, status: Option<Status>) -> Declared {
    Declared {
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

fn good() -> Needs {
    let limits = RunningLimits { max_spans: 1, max_bytes: 1, max_age_ms: None };
    Needs { hash: "h".into(), limits }
}

fn said(status: &Status) -> Vec<(&str, Truth, &str)> {
    let conditions = status.conditions.iter();
    conditions.map(|one| (one.kind.as_str(), one.truth, one.reason.as_str())).collect()
}

fn of<'a>(status: &'a Status, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.kind == kind).unwrap()
}

fn absent(name: &str) -> (Reference, String) {
    let kind = ReferenceKind::Secret;
    let field = "spec.destination.headers[0].secretKeyRef".to_owned();
    (Reference { kind, name: name.into(), field }, "shop".into())
}

/// The status while running pods have the limits that they should have.
fn settled(declared: &Declared, references: &References, pods: PodCounts) -> Status {
    status(declared, references, pods, false)
}

/// The status as it is read back: every condition has a time.
fn written(mut status: Status, since: i64) -> Status {
    for condition in &mut status.conditions {
        condition.since.get_or_insert(since);
    }
    status
}

#[test]
fn a_good_spec_is_accepted_and_ready() {
    let status = settled(&declared(Ok(good()), None), &References::None, PodCounts::default());

    assert_eq!(
        said(&status),
        [
            ("Accepted", Truth::True, "Valid"),
            ("ResolvedRefs", Truth::True, "NoReferences"),
            ("Ready", Truth::True, "Injecting")
        ]
    );
    assert_eq!(status.observed_generation, Some(7));
    assert!(status.conditions.iter().all(|one| one.observed_generation == Some(7)));
}

#[test]
fn mistakes_are_repeated_in_one_line() {
    let wrong = Err("spec.a: is bad\nspec.b: is worse".to_owned());

    let status = settled(&declared(wrong, None), &References::Found, PodCounts::default());

    assert_eq!(
        said(&status),
        [
            ("Accepted", Truth::False, "Invalid"),
            ("ResolvedRefs", Truth::True, "Found"),
            ("Ready", Truth::False, "NotAccepted"),
            ("Stalled", Truth::True, "InvalidSpec")
        ]
    );
    assert_eq!(of(&status, "Accepted").message, "spec.a: is bad; spec.b: is worse");
}

#[test]
fn each_outcome_of_looking_has_its_condition() {
    for (references, truth, reason) in [
        (References::Absent(vec![absent("a")]), Truth::False, "NotFound"),
        (References::NotAllowed, Truth::Unknown, "NotVerified"),
        (References::Failed("timeout".into()), Truth::Unknown, "LookupFailed"),
    ] {
        let status = settled(&declared(Ok(good()), None), &references, PodCounts::default());
        let condition = of(&status, "ResolvedRefs");
        assert_eq!((condition.truth, condition.reason.as_str()), (truth, reason));
        assert_eq!(of(&status, "Ready").truth, Truth::True, "sidecars start without them");
    }
}

#[test]
fn absent_objects_are_named_with_field_and_namespace_and_at_most_five_of_them() {
    let many = (0..7).map(|n| absent(&format!("s{n}"))).collect();

    let status =
        settled(&declared(Ok(good()), None), &References::Absent(many), PodCounts::default());

    let message = &of(&status, "ResolvedRefs").message;
    let first = "spec.destination.headers[0].secretKeyRef: namespace shop has no Secret s0; ";
    assert!(message.starts_with(first), "{message}");
    assert!(message.ends_with("has no Secret s4; and 2 more"), "{message}");
}

#[test]
fn the_time_is_kept_while_the_truth_stays_and_new_when_it_turns() {
    let first = settled(&declared(Ok(good()), None), &References::None, PodCounts::default());
    assert!(first.conditions.iter().all(|one| one.since.is_none()));
    let first = written(first, 100);

    let wrong = declared(Err("wrong".into()), Some(first));
    let second = settled(&wrong, &References::Found, PodCounts::default());

    assert_eq!(of(&second, "Accepted").since, None);
    assert_eq!(of(&second, "ResolvedRefs").since, Some(100));
    assert_eq!(of(&second, "ResolvedRefs").reason, "Found");
}

#[test]
fn a_status_that_is_true_already_is_the_same() {
    let counts = PodCounts { total: 1, current: 1, ..PodCounts::default() };
    let before = written(settled(&declared(Ok(good()), None), &References::None, counts), 100);

    let again = settled(&declared(Ok(good()), Some(before.clone())), &References::None, counts);

    assert_eq!(again, before);
}

#[test]
fn conditions_of_others_are_kept() {
    let foreign = Condition {
        kind: "Approved".into(),
        truth: Truth::True,
        reason: "ByHand".into(),
        message: String::new(),
        since: Some(1),
        observed_generation: None,
    };
    let before = Status { conditions: vec![foreign.clone()], ..Status::default() };

    let status =
        settled(&declared(Ok(good()), Some(before)), &References::None, PodCounts::default());

    assert_eq!(status.conditions.len(), 4);
    assert_eq!(status.conditions[0], foreign);
}

#[test]
fn a_corrected_spec_is_no_longer_stalled() {
    let wrong =
        settled(&declared(Err("wrong".into()), None), &References::None, PodCounts::default());

    let corrected = declared(Ok(good()), Some(written(wrong, 100)));
    let status = settled(&corrected, &References::None, PodCounts::default());

    assert!(status.conditions.iter().all(|one| one.kind != "Stalled"));
}

#[test]
fn it_is_reconciling_only_while_limits_are_pending() {
    let pending =
        status(&declared(Ok(good()), None), &References::None, PodCounts::default(), true);
    assert_eq!(of(&pending, "Reconciling").truth, Truth::True);

    let before = declared(Ok(good()), Some(written(pending, 100)));
    let settled = settled(&before, &References::None, PodCounts::default());

    assert_eq!(said(&settled).len(), ALWAYS.len());
}

#[test]
fn the_time_of_the_schemas_default_is_no_time() {
    let pending = ALWAYS.map(|kind| Condition {
        kind: kind.into(),
        truth: Truth::Unknown,
        reason: PENDING.into(),
        message: "Waiting for the operator".into(),
        since: Some(0),
        observed_generation: None,
    });
    let before = Status { conditions: pending.to_vec(), ..Status::default() };

    let status =
        settled(&declared(Ok(good()), Some(before)), &References::NotAllowed, PodCounts::default());

    assert!(status.conditions.iter().all(|one| one.since.is_none()), "{status:?}");
}

#[test]
fn a_message_has_a_bound() {
    let wrong = declared(Err("x".repeat(100_000)), None);

    let status = settled(&wrong, &References::None, PodCounts::default());

    assert!(of(&status, "Accepted").message.len() < 1100);
}
