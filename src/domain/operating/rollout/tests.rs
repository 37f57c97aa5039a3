use super::*;

const MARKER: &str = "new-1";

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn pace(max_concurrent: usize, interval: u64) -> Pace {
    Pace { max_concurrent, interval: at(interval) }
}

fn seen(marker: Option<&str>, progress: Progress) -> Seen {
    Seen {
        marker: marker.map(str::to_owned),
        progress,
        obstacle: None,
        inject: None,
        resource_version: "1".into(),
    }
}

fn owners(turns: &[(&'static str, Turn)]) -> BTreeMap<&'static str, Turn> {
    turns.iter().cloned().collect()
}

const MOVING: Turn = Turn::Moving { since: Duration::from_secs(5) };

fn done(seconds: u64) -> Turn {
    Turn::Done { since: at(seconds) }
}

#[test]
fn as_many_are_restarted_at_once_as_the_pace_allows_by_name() {
    let all = owners(&[("a", Turn::Waiting), ("b", Turn::Waiting), ("c", Turn::Waiting)]);

    assert_eq!(next(&pace(2, 0), &all, at(9)), Step::Restart(vec!["a", "b"]));
}

#[test]
fn one_that_is_under_way_takes_a_place() {
    let all = owners(&[("a", MOVING), ("b", Turn::Waiting), ("c", Turn::Waiting)]);

    assert_eq!(next(&pace(2, 0), &all, at(9)), Step::Restart(vec!["b"]));
    assert_eq!(next(&pace(1, 0), &all, at(9)), Step::Wait(LOOK_EVERY));
}

#[test]
fn after_each_completion_there_is_a_pause() {
    let all = owners(&[("a", done(4)), ("b", done(7)), ("c", Turn::Waiting)]);

    assert_eq!(next(&pace(1, 10), &all, at(9)), Step::Wait(at(8)));
    assert_eq!(next(&pace(1, 10), &all, at(17)), Step::Restart(vec!["c"]));
}

#[test]
fn a_failure_halts_all_others() {
    let all = owners(&[("a", Turn::Waiting), ("b", Turn::Failed("crashes".into()))]);

    let halted = Step::Halt { owner: "b", why: "crashes".to_owned() };
    assert_eq!(next(&pace(9, 0), &all, at(9)), halted);
}

#[test]
fn it_is_finished_when_nobody_waits_or_moves() {
    assert_eq!(next::<&str>(&pace(1, 10), &owners(&[]), at(9)), Step::Finished);
    assert_eq!(next(&pace(1, 10), &owners(&[("a", done(9))]), at(9)), Step::Finished);
}

#[test]
fn the_last_one_is_watched_to_its_end() {
    assert_eq!(next(&pace(1, 10), &owners(&[("a", MOVING)]), at(9)), Step::Wait(LOOK_EVERY));
}

#[test]
fn one_whose_own_rollout_is_under_way_is_waited_for_and_not_disturbed() {
    let busy = Turn::after(None, &seen(None, Progress::Moving), MARKER, at(9));

    assert_eq!(busy, Turn::Unable);
    let all = owners(&[("a", busy.clone()), ("b", Turn::Waiting)]);
    assert_eq!(next(&pace(1, 0), &all, at(9)), Step::Restart(vec!["b"]));
    assert_eq!(next(&pace(1, 0), &owners(&[("a", busy)]), at(9)), Step::Wait(LOOK_SELDOM));
}

#[test]
fn an_owner_that_the_last_change_broke_gets_the_next_one() {
    for progress in [Progress::Moving, Progress::Failed("crashes".into())] {
        let turn = Turn::after(None, &seen(Some("old-1"), progress), MARKER, at(9));
        assert_eq!(turn, Turn::Waiting);
    }
}

#[test]
fn one_that_a_restart_would_not_touch_is_left_alone() {
    let mut paused = seen(None, Progress::Complete);
    paused.obstacle = Some("it is paused");

    assert_eq!(Turn::after(None, &paused, MARKER, at(9)), Turn::Unable);
}

#[test]
fn each_owner_goes_from_waiting_through_moving_to_done() {
    let waiting = Turn::after(None, &seen(Some("old-1"), Progress::Complete), MARKER, at(1));
    assert_eq!(waiting, Turn::Waiting);
    let moving = Turn::after(Some(&waiting), &seen(Some(MARKER), Progress::Moving), MARKER, at(2));
    assert_eq!(moving, Turn::Moving { since: at(2) });
    let moving = Turn::after(Some(&moving), &seen(Some(MARKER), Progress::Moving), MARKER, at(3));
    assert_eq!(moving, Turn::Moving { since: at(2) });
    let ended = Turn::after(Some(&moving), &seen(Some(MARKER), Progress::Complete), MARKER, at(4));
    assert_eq!(ended, done(4));
    let still = Turn::after(Some(&ended), &seen(Some(MARKER), Progress::Complete), MARKER, at(5));
    assert_eq!(still, done(4));
}

#[test]
fn nobody_is_restarted_again_because_the_marker_was_taken_back() {
    for before in [MOVING, done(4), Turn::Failed("crashes".into())] {
        for progress in [Progress::Complete, Progress::Moving] {
            let turn = Turn::after(Some(&before), &seen(None, progress), MARKER, at(9));
            assert!(matches!(turn, Turn::Done { .. }), "{before:?} became {turn:?}");
        }
    }
}

#[test]
fn a_new_leader_recognizes_what_was_restarted_before_it() {
    let turn = Turn::after(None, &seen(Some(MARKER), Progress::Complete), MARKER, at(9));
    assert_eq!(turn, done(9));
    let turn = Turn::after(None, &seen(Some(MARKER), Progress::Moving), MARKER, at(9));
    assert_eq!(turn, Turn::Moving { since: at(9) });
}

#[test]
fn an_exceeded_deadline_is_a_failure() {
    let failed = seen(Some(MARKER), Progress::Failed("deadline".into()));

    assert_eq!(Turn::after(Some(&MOVING), &failed, MARKER, at(9)), Turn::Failed("deadline".into()));
}

#[test]
fn what_is_not_available_in_10_minutes_is_a_failure_until_it_is() {
    let moving = seen(Some(MARKER), Progress::Moving);
    let just = Turn::after(Some(&MOVING), &moving, MARKER, at(605));
    assert_eq!(just, MOVING);
    let late = Turn::after(Some(&MOVING), &moving, MARKER, at(606));
    let why = "its pods are not available 10 minutes after the restart";
    assert_eq!(late, Turn::Failed(why.into()));
    assert_eq!(Turn::after(Some(&late), &moving, MARKER, at(700)), late);
    let up = Turn::after(Some(&late), &seen(Some(MARKER), Progress::Complete), MARKER, at(701));
    assert_eq!(up, done(701));
}

#[test]
fn a_pod_that_is_replaced_later_does_not_start_it_over() {
    let moving = seen(Some(MARKER), Progress::Moving);

    assert_eq!(Turn::after(Some(&done(4)), &moving, MARKER, at(9)), done(4));
}
