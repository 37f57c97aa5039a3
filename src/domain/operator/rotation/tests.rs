//! Tables of the schedule. The tests of the use case cover interleavings of its steps.

use super::*;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const NOW: Duration = Duration::from_hours(24 * 20_000);

fn authority(age: Duration) -> Validity {
    Validity::of_authority(NOW.saturating_sub(age))
}

fn leaf(age: Duration) -> Leaf {
    let validity = Validity::of_leaf(NOW.saturating_sub(age), authority(age));
    Leaf { validity, issued_by_signer: true, names_match: true }
}

/// A state that has needed no write for a day.
fn steady() -> (CertificateState, RotationObservation) {
    let state = CertificateState {
        signer: Some(authority(DAY)),
        leaf: Some(leaf(DAY)),
        ..CertificateState::default()
    };
    let observation = RotationObservation {
        is_published: true,
        signer_published_for: DAY,
        leaf_unchanged_for: DAY,
        bundle_unchanged_for: DAY,
        served: ServedLeaf::Trusted,
        ..RotationObservation::default()
    };
    (state, observation)
}

fn add() -> RotationAction {
    RotationAction::Apply(RotationStep::AddAuthority(Validity::of_authority(NOW)))
}

fn issue(state: &CertificateState) -> RotationAction {
    RotationAction::Apply(RotationStep::IssueLeaf(Validity::of_leaf(NOW, state.signer.unwrap())))
}

/// Returns the next action once `change` is applied to the steady state.
fn after_change(
    change: impl FnOnce(&mut CertificateState, &mut RotationObservation),
) -> (RotationAction, CertificateState) {
    let (mut state, mut observation) = steady();
    change(&mut state, &mut observation);
    (next_action(NOW, &state, &observation), state)
}

#[test]
fn without_certificates_an_authority_is_added_then_published_then_a_leaf_is_issued() {
    let mut state = CertificateState::default();
    let mut observation = RotationObservation::default();
    assert_eq!(next_action(NOW, &state, &observation), add());

    state.signer = Some(authority(Duration::ZERO));
    assert_eq!(
        next_action(NOW, &state, &observation),
        RotationAction::Apply(RotationStep::Publish)
    );

    observation.is_published = true;
    assert_eq!(next_action(NOW, &state, &observation), issue(&state));
}

#[test]
fn in_the_steady_state_it_waits_at_most_ten_minutes() {
    let (state, observation) = steady();

    assert_eq!(
        next_action(NOW, &state, &observation),
        RotationAction::Wait(Duration::from_mins(10))
    );
}

#[test]
fn the_wait_ends_when_the_leaf_is_due() {
    let due = leaf(DAY).validity.renewal_time();
    let (state, observation) = steady();

    let before = next_action(due.saturating_sub(Duration::from_secs(5)), &state, &observation);

    assert_eq!(before, RotationAction::Wait(Duration::from_secs(5)));
    assert!(matches!(
        next_action(due, &state, &observation),
        RotationAction::Apply(RotationStep::IssueLeaf(_))
    ));
}

#[test]
fn a_leaf_is_renewed_after_two_thirds_of_its_lifetime_or_outside_its_validity() {
    for (age, renewed) in [
        (Duration::ZERO, false),
        (19 * DAY, false),
        (20 * DAY, true),
        (31 * DAY, true),
        (300 * DAY, true),
    ] {
        let (next, state) = after_change(|state, _| state.leaf = Some(leaf(age)));
        assert_eq!(next == issue(&state), renewed, "{age:?}");
    }
    let (next, state) = after_change(|state, _| {
        let future = NOW + 2 * HOUR;
        let validity = Validity::of_leaf(future, authority(DAY));
        state.leaf = Some(Leaf { validity, ..leaf(DAY) });
    });
    assert_eq!(next, issue(&state));
}

#[test]
fn an_authority_is_replaced_after_two_thirds_of_its_lifetime_or_outside_its_validity() {
    for (age, replaced) in
        [(242 * DAY, false), (244 * DAY, true), (366 * DAY, true), (3_000 * DAY, true)]
    {
        let (next, _) = after_change(|state, _| state.signer = Some(authority(age)));
        assert_eq!(next == add(), replaced, "{age:?}");
    }
    let future = Validity::of_authority(NOW + 2 * HOUR);
    assert_eq!(after_change(|state, _| state.signer = Some(future)).0, add());
}

#[test]
fn a_changed_bundle_is_published_again_before_any_other_write() {
    let unpublished = |change: fn(&mut CertificateState)| {
        let change = |state: &mut CertificateState, observation: &mut RotationObservation| {
            observation.is_published = false;
            change(state);
        };
        after_change(change).0
    };

    for change in [
        |_: &mut CertificateState| {},
        |state: &mut CertificateState| state.leaf = None,
        |state: &mut CertificateState| state.old_authorities = 1,
        |state: &mut CertificateState| state.leaf = Some(leaf(25 * DAY)),
    ] {
        assert_eq!(unpublished(change), RotationAction::Apply(RotationStep::Publish));
    }
}

#[test]
fn a_leaf_of_a_new_authority_is_issued_a_minute_after_the_bundle_was_published() {
    let second = Duration::from_secs(1);
    for (published, expected) in [
        (Duration::ZERO, Some(60 * second)),
        (59 * second, Some(second)),
        (60 * second, None),
        (DAY, None),
    ] {
        let (next, state) = after_change(|state, observation| {
            state.leaf = Some(Leaf { issued_by_signer: false, ..leaf(DAY) });
            state.old_authorities = 1;
            observation.signer_published_for = published;
        });
        assert_eq!(
            next,
            expected.map_or_else(|| issue(&state), RotationAction::Wait),
            "{published:?}"
        );
    }
}

#[test]
fn even_an_expired_leaf_of_an_older_authority_waits_for_the_overlap() {
    // The local clock may be wrong.
    let (next, _) = after_change(|state, observation| {
        state.leaf = Some(Leaf { issued_by_signer: false, ..leaf(40 * DAY) });
        observation.signer_published_for = Duration::ZERO;
    });

    assert_eq!(next, RotationAction::Wait(PROPAGATION_DELAY));
}

#[test]
fn a_lost_leaf_is_replaced_at_once_unless_replicas_may_still_serve_one_of_an_older_authority() {
    let lost_with = |older| {
        after_change(|state, observation| {
            state.leaf = None;
            state.old_authorities = older;
            observation.signer_published_for = Duration::ZERO;
        })
    };

    let (next, state) = lost_with(0);
    assert_eq!(next, issue(&state));
    assert_eq!(lost_with(1).0, RotationAction::Wait(PROPAGATION_DELAY));
}

#[test]
fn a_lost_leaf_is_replaced_at_once_by_a_replica_that_serves_none_itself() {
    let lost_in_outage = |is_published| {
        after_change(|state, observation| {
            state.leaf = None;
            state.old_authorities = 1;
            observation.is_published = is_published;
            observation.signer_published_for = Duration::ZERO;
            observation.served = ServedLeaf::Untrusted;
        })
    };

    assert_eq!(lost_in_outage(false).0, RotationAction::Apply(RotationStep::Publish));
    let (next, state) = lost_in_outage(true);
    assert_eq!(next, issue(&state));
}

#[test]
fn a_stored_leaf_of_an_older_authority_waits_for_the_overlap_whatever_this_replica_serves() {
    let (next, _) = after_change(|state, observation| {
        state.leaf = Some(Leaf { issued_by_signer: false, ..leaf(DAY) });
        state.old_authorities = 1;
        observation.signer_published_for = Duration::ZERO;
        observation.served = ServedLeaf::Untrusted;
    });

    assert_eq!(next, RotationAction::Wait(PROPAGATION_DELAY));
}

#[test]
fn a_leaf_without_the_webhooks_name_is_replaced_at_once() {
    let (next, state) =
        after_change(|state, _| state.leaf = Some(Leaf { names_match: false, ..leaf(DAY) }));

    assert_eq!(next, issue(&state));
}

#[test]
fn older_authorities_are_removed_ten_minutes_after_the_leaf_was_replaced() {
    let mins = Duration::from_mins;
    for (leaf_held, expected) in [
        (mins(0), RotationAction::Wait(mins(10))),
        (mins(9), RotationAction::Wait(mins(1))),
        (mins(10), RotationAction::Apply(RotationStep::PruneOldAuthorities)),
    ] {
        let (next, _) = after_change(|state, observation| {
            state.old_authorities = 2;
            observation.leaf_unchanged_for = leaf_held;
        });
        assert_eq!(next, expected, "{leaf_held:?}");
    }
}

#[test]
fn authorities_of_another_publisher_are_adopted_published_and_removed_after_ten_minutes() {
    let taking_over = |observation: &mut RotationObservation| {
        observation.published_by_other = true;
        observation.needs_adoption = true;
        observation.is_published = false;
    };
    assert_eq!(
        after_change(|_, observation| taking_over(observation)).0,
        RotationAction::Apply(RotationStep::AdoptPublished)
    );

    let (next, _) = after_change(|state, observation| {
        taking_over(observation);
        observation.needs_adoption = false;
        state.old_authorities = 1;
    });
    assert_eq!(next, RotationAction::Apply(RotationStep::Publish));

    let (next, _) = after_change(|state, observation| {
        state.old_authorities = 1;
        observation.bundle_unchanged_for = Duration::from_mins(4);
    });
    assert_eq!(
        next,
        RotationAction::Wait(Duration::from_mins(6)),
        "regardless of the age of the leaf"
    );
}

#[test]
fn an_unusable_leaf_is_replaced_before_publishing_after_a_takeover() {
    for bad in [
        None,
        Some(Leaf { issued_by_signer: false, ..leaf(DAY) }),
        Some(Leaf { names_match: false, ..leaf(DAY) }),
        Some(leaf(25 * DAY)),
    ] {
        let (next, state) = after_change(|state, observation| {
            state.leaf = bad;
            state.old_authorities = 1;
            observation.published_by_other = true;
            observation.is_published = false;
            observation.signer_published_for = Duration::ZERO;
        });

        assert_eq!(next, issue(&state), "{bad:?}");
    }
}

#[test]
fn a_process_adds_at_most_one_authority_a_minute() {
    let after_making = |ago| {
        after_change(|state, observation| {
            state.signer = None;
            observation.last_authority_age = Some(ago);
        })
        .0
    };

    assert_eq!(
        after_making(Duration::from_secs(20)),
        RotationAction::Wait(Duration::from_secs(40))
    );
    assert_eq!(after_making(Duration::from_mins(1)), add());
}

#[test]
fn a_requested_rotation_begins_at_once() {
    assert_eq!(after_change(|state, _| state.rotation_requested = true).0, add());
}

#[test]
fn a_requested_rotation_waits_for_the_one_in_progress() {
    let (next, state) = after_change(|state, _| {
        state.rotation_requested = true;
        state.leaf = Some(Leaf { issued_by_signer: false, ..leaf(DAY) });
    });

    assert_eq!(next, issue(&state));
}

#[test]
fn requested_rotations_do_not_grow_the_bundle_without_bound() {
    let asked_with = |older| {
        after_change(|state, observation| {
            state.rotation_requested = true;
            state.old_authorities = older;
            observation.leaf_unchanged_for = Duration::ZERO;
        })
        .0
    };

    assert_eq!(asked_with(MAX_OLD_AUTHORITIES - 1), add());
    assert_eq!(asked_with(MAX_OLD_AUTHORITIES), RotationAction::Wait(AUTHORITY_RETENTION));
}

#[test]
fn validity_begins_an_hour_early_and_a_leaf_never_outlives_its_authority() {
    let signer = authority(Duration::ZERO);
    assert_eq!(signer.not_before, NOW.saturating_sub(HOUR));
    assert_eq!(signer.not_after, NOW + 365 * DAY);

    assert_eq!(Validity::of_leaf(NOW, signer).not_after, NOW + 30 * DAY);
    let last_days = authority(360 * DAY);
    assert_eq!(Validity::of_leaf(NOW, last_days).not_after, last_days.not_after);
}

#[test]
fn new_certificates_are_fresh_at_any_time_of_the_clock() {
    for now in [Duration::ZERO, Duration::from_secs(1), NOW, Duration::from_hours(24 * 365 * 8_000)]
    {
        let signer = Validity::of_authority(now);
        let leaf = Validity::of_leaf(now, signer);

        assert!(signer.is_fresh(now) && leaf.is_fresh(now), "{now:?}");
    }
    let absurd = Validity { not_before: Duration::ZERO, not_after: Duration::MAX };
    assert!(!absurd.is_fresh(Duration::MAX));
}
