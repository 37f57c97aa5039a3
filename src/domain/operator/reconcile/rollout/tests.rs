use super::*;

const REVISION: &str = "new-1";

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy(max_concurrent: usize, interval: u64) -> RolloutPolicy {
    RolloutPolicy { max_concurrent, interval: at(interval) }
}

fn workload_status(revision: Option<&str>, progress: RolloutProgress) -> WorkloadStatus {
    WorkloadStatus {
        revision: revision.map(str::to_owned),
        progress,
        restart_blocker: None,
        keeps_broken_pods: false,
        inject: None,
        resource_version: "1".into(),
    }
}

fn owners(turns: &[(&'static str, OwnerRollout)]) -> BTreeMap<&'static str, OwnerRollout> {
    turns.iter().cloned().collect()
}

const PROGRESSING: OwnerRollout = OwnerRollout::Progressing { since: Duration::from_secs(5) };

fn complete(seconds: u64) -> OwnerRollout {
    OwnerRollout::Complete { since: at(seconds) }
}

#[test]
fn as_many_owners_are_restarted_at_once_as_the_policy_allows_ordered_by_name() {
    let all = owners(&[
        ("a", OwnerRollout::Waiting),
        ("b", OwnerRollout::Waiting),
        ("c", OwnerRollout::Waiting),
    ]);

    assert_eq!(next_action(&policy(2, 0), &all, at(9)), RolloutAction::Restart(vec!["a", "b"]));
}

#[test]
fn a_restart_in_progress_occupies_a_slot() {
    let all =
        owners(&[("a", PROGRESSING), ("b", OwnerRollout::Waiting), ("c", OwnerRollout::Waiting)]);

    assert_eq!(next_action(&policy(2, 0), &all, at(9)), RolloutAction::Restart(vec!["b"]));
    assert_eq!(next_action(&policy(1, 0), &all, at(9)), RolloutAction::Wait(POLL_INTERVAL));
}

#[test]
fn each_completed_restart_is_followed_by_the_interval() {
    let all = owners(&[("a", complete(4)), ("b", complete(7)), ("c", OwnerRollout::Waiting)]);

    assert_eq!(next_action(&policy(1, 10), &all, at(9)), RolloutAction::Wait(at(8)));
    assert_eq!(next_action(&policy(1, 10), &all, at(17)), RolloutAction::Restart(vec!["c"]));
}

#[test]
fn a_failure_halts_all_others() {
    let all =
        owners(&[("a", OwnerRollout::Waiting), ("b", OwnerRollout::Failed("crashes".into()))]);

    let halted = RolloutAction::Halt { owner: "b", why: "crashes".to_owned() };
    assert_eq!(next_action(&policy(9, 0), &all, at(9)), halted);
}

#[test]
fn a_rollout_is_finished_when_no_owner_waits_or_restarts() {
    assert_eq!(next_action::<&str>(&policy(1, 10), &owners(&[]), at(9)), RolloutAction::Finished);
    assert_eq!(
        next_action(&policy(1, 10), &owners(&[("a", complete(9))]), at(9)),
        RolloutAction::Finished
    );
}

#[test]
fn the_last_restart_is_observed_until_it_completes() {
    assert_eq!(
        next_action(&policy(1, 10), &owners(&[("a", PROGRESSING)]), at(9)),
        RolloutAction::Wait(POLL_INTERVAL)
    );
}

#[test]
fn an_owner_with_another_rollout_in_progress_is_not_restarted_until_it_completes() {
    let busy = OwnerRollout::next_state(
        None,
        &workload_status(None, RolloutProgress::Progressing),
        REVISION,
        at(9),
    );

    assert_eq!(busy, OwnerRollout::Blocked(Blocker::OtherRollout));
    let all = owners(&[("a", busy.clone()), ("b", OwnerRollout::Waiting)]);
    assert_eq!(next_action(&policy(1, 0), &all, at(9)), RolloutAction::Restart(vec!["b"]));
    assert_eq!(
        next_action(&policy(1, 0), &owners(&[("a", busy)]), at(9)),
        RolloutAction::Wait(BLOCKED_POLL_INTERVAL)
    );
}

#[test]
fn an_owner_that_the_last_change_broke_is_restarted_for_the_next_one() {
    for progress in [RolloutProgress::Progressing, RolloutProgress::Failed("crashes".into())] {
        let rollout = OwnerRollout::next_state(
            None,
            &workload_status(Some("old-1"), progress),
            REVISION,
            at(9),
        );
        assert_eq!(rollout, OwnerRollout::Waiting);
    }
}

#[test]
fn an_owner_on_which_a_restart_has_no_effect_is_not_restarted() {
    let mut paused = workload_status(None, RolloutProgress::Complete);
    paused.restart_blocker = Some("it is paused");

    let blocked = OwnerRollout::next_state(None, &paused, REVISION, at(9));

    assert_eq!(blocked, OwnerRollout::Blocked(Blocker::NoEffect("it is paused")));
    assert_eq!(blocked.clone().with_failing_sidecars(&paused), blocked);
}

#[test]
fn an_owner_that_is_stuck_because_of_its_outdated_sidecars_is_restarted() {
    for progress in [RolloutProgress::Progressing, RolloutProgress::Failed("too slow".into())] {
        let status = workload_status(None, progress);
        let blocked = OwnerRollout::next_state(None, &status, REVISION, at(9));

        assert!(matches!(blocked, OwnerRollout::Blocked(_)));
        assert_eq!(blocked.clone().with_failing_sidecars(&status), OwnerRollout::Waiting);
        let ordered = WorkloadStatus { keeps_broken_pods: true, ..status };
        assert_eq!(
            blocked.with_failing_sidecars(&ordered),
            OwnerRollout::Blocked(Blocker::BrokenPods)
        );
    }
    let restarted = workload_status(Some(REVISION), RolloutProgress::Progressing);
    let rollout = OwnerRollout::next_state(None, &restarted, REVISION, at(5));
    assert_eq!(rollout.with_failing_sidecars(&restarted), PROGRESSING);
}

#[test]
fn an_owner_goes_from_waiting_through_progressing_to_complete() {
    let waiting = OwnerRollout::next_state(
        None,
        &workload_status(Some("old-1"), RolloutProgress::Complete),
        REVISION,
        at(1),
    );
    assert_eq!(waiting, OwnerRollout::Waiting);
    let moving = OwnerRollout::next_state(
        Some(&waiting),
        &workload_status(Some(REVISION), RolloutProgress::Progressing),
        REVISION,
        at(2),
    );
    assert_eq!(moving, OwnerRollout::Progressing { since: at(2) });
    let moving = OwnerRollout::next_state(
        Some(&moving),
        &workload_status(Some(REVISION), RolloutProgress::Progressing),
        REVISION,
        at(3),
    );
    assert_eq!(moving, OwnerRollout::Progressing { since: at(2) });
    let ended = OwnerRollout::next_state(
        Some(&moving),
        &workload_status(Some(REVISION), RolloutProgress::Complete),
        REVISION,
        at(4),
    );
    assert_eq!(ended, complete(4));
    let still = OwnerRollout::next_state(
        Some(&ended),
        &workload_status(Some(REVISION), RolloutProgress::Complete),
        REVISION,
        at(5),
    );
    assert_eq!(still, complete(4));
}

#[test]
fn a_removed_revision_does_not_cause_another_restart() {
    for before in [PROGRESSING, complete(4), OwnerRollout::Failed("crashes".into())] {
        for progress in [RolloutProgress::Complete, RolloutProgress::Progressing] {
            let rollout = OwnerRollout::next_state(
                Some(&before),
                &workload_status(None, progress),
                REVISION,
                at(9),
            );
            assert!(
                matches!(rollout, OwnerRollout::Complete { .. }),
                "{before:?} became {rollout:?}"
            );
        }
    }
}

#[test]
fn a_new_leader_recognizes_earlier_restarts() {
    let rollout = OwnerRollout::next_state(
        None,
        &workload_status(Some(REVISION), RolloutProgress::Complete),
        REVISION,
        at(9),
    );
    assert_eq!(rollout, complete(9));
    let rollout = OwnerRollout::next_state(
        None,
        &workload_status(Some(REVISION), RolloutProgress::Progressing),
        REVISION,
        at(9),
    );
    assert_eq!(rollout, OwnerRollout::Progressing { since: at(9) });
}

#[test]
fn an_exceeded_deadline_is_a_failure() {
    let failed = workload_status(Some(REVISION), RolloutProgress::Failed("deadline".into()));

    assert_eq!(
        OwnerRollout::next_state(Some(&PROGRESSING), &failed, REVISION, at(9)),
        OwnerRollout::Failed("deadline".into())
    );
}

#[test]
fn pods_not_available_within_10_minutes_are_a_failure_until_they_are() {
    let moving = workload_status(Some(REVISION), RolloutProgress::Progressing);
    let just = OwnerRollout::next_state(Some(&PROGRESSING), &moving, REVISION, at(605));
    assert_eq!(just, PROGRESSING);
    let late = OwnerRollout::next_state(Some(&PROGRESSING), &moving, REVISION, at(606));
    let why = "its pods are not available 10 minutes after the restart";
    assert_eq!(late, OwnerRollout::Failed(why.into()));
    assert_eq!(OwnerRollout::next_state(Some(&late), &moving, REVISION, at(700)), late);
    let up = OwnerRollout::next_state(
        Some(&late),
        &workload_status(Some(REVISION), RolloutProgress::Complete),
        REVISION,
        at(701),
    );
    assert_eq!(up, complete(701));
}

#[test]
fn a_pod_that_is_replaced_later_does_not_reopen_a_complete_restart() {
    let moving = workload_status(Some(REVISION), RolloutProgress::Progressing);

    assert_eq!(OwnerRollout::next_state(Some(&complete(4)), &moving, REVISION, at(9)), complete(4));
}
