use super::*;

const FULL: BatchLimits = BatchLimits {
    max_spans: 8_192,
    max_bytes: 3_670_016,
    max_records: usize::MAX,
    linger: Duration::from_millis(200),
};
const LONG_AGO: Duration = Duration::from_secs(100);
/// A random number that picks the shortest wait.
const SHORTEST: u64 = 0;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn unlimited() -> Pace {
    Pace::new(FULL.max_spans)
}

/// After a failure at [`LONG_AGO`].
fn after_an_outage() -> Pace {
    let mut pace = unlimited();
    pace.failed(LONG_AGO, 8_192, None, SHORTEST);
    pace
}

/// Delivered these spans in the ten seconds after an outage, then failed.
fn overloaded(delivered: u64) -> Pace {
    let mut pace = after_an_outage();
    pace.delivered(delivered, SHORTEST);
    pace.failed(LONG_AGO + secs(10), 1, None, SHORTEST);
    pace
}

fn batch(pace: &Pace) -> u64 {
    pace.limit(FULL).max_spans
}

/// Delivers batches of the allowed size until they are full, and returns their sizes.
fn deliver_until_full(pace: &mut Pace) -> Vec<u64> {
    let mut batches = vec![];
    while pace.stage != Stage::Unlimited {
        batches.push(batch(pace));
        pace.delivered(batch(pace), SHORTEST);
    }
    batches
}

/// Returns the shortest and the longest pause after a delivery of `spans`.
fn pauses(pace: Pace, spans: u64, longest: Duration) -> (Duration, Duration) {
    let whole = u64::try_from(longest.as_nanos()).unwrap();
    ({ pace }.delivered(spans, SHORTEST), { pace }.delivered(spans, whole))
}

#[test]
fn without_a_failure_nothing_is_limited() {
    let mut pace = unlimited();

    for _ in 0..1_000 {
        assert_eq!(pace.delivered(8_192, u64::MAX), Duration::ZERO);
        assert_eq!(pace.limit(FULL), FULL);
    }
}

#[test]
fn after_an_outage_batches_start_small_and_double_until_they_are_full() {
    let mut pace = after_an_outage();

    let batches = deliver_until_full(&mut pace);

    assert_eq!(batches, [16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096]);
    assert_eq!(pace.limit(FULL), FULL);
}

#[test]
fn only_the_spans_of_a_batch_are_limited() {
    assert_eq!(after_an_outage().limit(FULL), BatchLimits { max_spans: 16, ..FULL });
}

#[test]
fn a_batch_that_is_configured_smaller_stays_smaller() {
    let configured = BatchLimits { max_spans: 5, ..FULL };

    assert_eq!(after_an_outage().limit(configured), configured);
}

#[test]
fn slow_start_pauses_up_to_half_a_second_between_batches() {
    let between = pauses(after_an_outage(), 16, SLOW_START_PAUSE);

    assert_eq!(between, (Duration::ZERO, Duration::from_millis(500)));
}

#[test]
fn during_an_outage_only_the_backoff_counts() {
    let mut pace = unlimited();
    let mut backoff = Backoff::default();

    for second in 0..100 {
        let random = second * 7_919_000_000_001;
        let expected = backoff.after_failure(None, random);
        assert_eq!(pace.failed(secs(second), 16, None, random), expected);
        assert_eq!(batch(&pace), 16);
    }
}

#[test]
fn a_destination_that_is_overloaded_gets_what_it_took_per_time() {
    let pace = overloaded(800);

    // 800 spans in 10 s; a batch every 5 s.
    assert_eq!(batch(&pace), 400);
}

#[test]
fn a_pace_of_nothing_is_a_probe_every_five_seconds() {
    assert_eq!(batch(&overloaded(1)), 16);
}

#[test]
fn a_failure_right_after_a_delivery_does_not_divide_by_zero() {
    let mut pace = after_an_outage();
    pace.delivered(u64::MAX, SHORTEST);

    pace.failed(LONG_AGO, 1, None, SHORTEST);

    assert_eq!(pace.limit(FULL), FULL);
}

#[test]
fn each_failure_slows_the_pace_to_six_tenths() {
    let mut pace = overloaded(2_000);
    let mut batches = vec![batch(&pace)];

    for _ in 0..3 {
        pace.failed(LONG_AGO, 1, None, SHORTEST);
        batches.push(batch(&pace));
    }

    assert_eq!(batches, [1_000, 600, 360, 216]);
}

#[test]
fn the_pace_never_falls_below_a_probe() {
    let mut pace = overloaded(40);

    pace.failed(LONG_AGO, 1, None, SHORTEST);

    assert_eq!(batch(&pace), 16);
}

#[test]
fn successes_in_a_row_make_the_pace_faster_and_faster() {
    let mut pace = overloaded(2_000);
    let mut batches = vec![];

    for _ in 0..3 {
        pace.delivered(1, SHORTEST);
        batches.push(batch(&pace));
    }

    // By one tenth, two tenths, three tenths.
    assert_eq!(batches, [1_100, 1_320, 1_716]);
}

#[test]
fn a_success_at_most_doubles_the_pace() {
    let mut pace = overloaded(32);
    let mut previous = batch(&pace);

    for _ in 0..20 {
        pace.delivered(1, SHORTEST);
        assert!(batch(&pace) <= 2 * previous);
        previous = batch(&pace);
    }
}

#[test]
fn a_failure_starts_the_row_over() {
    let mut pace = overloaded(2_000);
    pace.delivered(1, SHORTEST);
    pace.delivered(1, SHORTEST);

    pace.failed(LONG_AGO, 1, None, SHORTEST);
    pace.delivered(1, SHORTEST);

    // 1,320 x 0.6 x 1.1
    assert_eq!(batch(&pace), 872);
}

#[test]
fn a_destination_that_takes_everything_is_sent_full_batches_at_once_again() {
    let mut pace = overloaded(1);

    let batches = deliver_until_full(&mut pace);

    assert_eq!(batches.len(), 18);
    assert_eq!(pace.limit(FULL), FULL);
    assert_eq!(pace.delivered(8_192, u64::MAX), Duration::ZERO);
}

#[test]
fn a_paced_batch_is_followed_by_a_pause_of_5_s_give_or_take_a_half() {
    let mut pace = overloaded(2_000);
    pace.stage = Stage::Paced { pace: 1_000, consecutive_successes: 0 };

    let between = pauses(pace, 1_100, INTERVAL);

    assert_eq!(between, (Duration::from_millis(2_500), Duration::from_millis(7_500)));
}

#[test]
fn a_batch_of_few_spans_is_followed_by_a_short_pause() {
    // A pace of 1,100 after the delivery.
    let between = pauses(overloaded(2_000), 11, Duration::from_millis(50));

    assert_eq!(between, (Duration::from_millis(25), Duration::from_millis(75)));
}

#[test]
fn a_paced_sidecar_waits_as_long_after_a_failure_as_after_a_delivery() {
    let mut pace = overloaded(2_000);

    let wait = pace.failed(LONG_AGO, 600, None, SHORTEST);

    assert_eq!(wait, Duration::from_millis(2_500));
}

#[test]
fn a_paced_sidecar_waits_as_long_as_the_destination_asks() {
    let mut pace = overloaded(2_000);

    let wait = pace.failed(LONG_AGO, 600, Some(secs(30)), SHORTEST);

    assert_eq!(wait, secs(30));
}

#[test]
fn eight_failures_in_a_row_are_an_outage() {
    let mut pace = overloaded(80_000);
    pace.delivered(1, SHORTEST);

    for _ in 0..7 {
        pace.failed(LONG_AGO, 1, None, SHORTEST);
    }
    assert!(matches!(pace.stage, Stage::Paced { .. }), "{pace:?}");
    pace.failed(LONG_AGO, 1, None, SHORTEST);

    assert!(matches!(pace.stage, Stage::SlowStart { batch: 16, .. }), "{pace:?}");
}

#[test]
fn no_history_overflows() {
    let mut pace = Pace::new(u64::MAX);
    let mut random = fastrand::Rng::with_seed(10);

    for _ in 0..10_000 {
        let spans = random.u64(..);
        if random.bool() {
            pace.delivered(spans, random.u64(..));
        } else {
            let now = Duration::from_nanos(random.u64(..));
            let asked = random.bool().then(|| Duration::from_secs(random.u64(..)));
            pace.failed(now, spans, asked, random.u64(..));
        }
        assert!(batch(&pace) > 0);
    }
}

#[test]
fn a_failure_that_tells_nothing_of_overload_makes_the_next_batch_small_but_sets_no_pace() {
    let mut pace = unlimited();

    pace.interrupted(LONG_AGO, None, SHORTEST);
    assert_eq!(batch(&pace), PROBE_SPANS);
    for _ in 0..3 {
        pace.delivered(batch(&pace), SHORTEST);
    }
    pace.interrupted(LONG_AGO + secs(10), None, SHORTEST);

    assert_eq!(batch(&pace), 4 * PROBE_SPANS);
    pace.delivered(4 * PROBE_SPANS, SHORTEST);
    assert_eq!(batch(&pace), 8 * PROBE_SPANS);
}

#[test]
fn a_failure_that_tells_nothing_of_overload_leaves_a_pace_as_it_is() {
    let mut pace = overloaded(1_000);
    let before = pace.stage;

    let wait = pace.interrupted(LONG_AGO + secs(11), Some(secs(7)), SHORTEST);

    assert_eq!(pace.stage, before);
    assert!(wait >= secs(7));
}
