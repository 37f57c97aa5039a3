use std::time::Duration;

use super::*;

const CONFIGURED: BatchLimits = BatchLimits {
    max_spans: 8_192,
    max_bytes: 3_200_000,
    max_records: usize::MAX,
    linger: Duration::from_millis(200),
};

fn policy() -> DeliveryPolicy {
    DeliveryPolicy::new(CONFIGURED)
}

fn attempt(records: usize, spans: u64, bytes: u64) -> Attempt {
    Attempt { records, spans, bytes, failures: 0 }
}

/// The next inconclusive failure in a row.
fn fail_again(policy: &mut DeliveryPolicy, attempt: Attempt) -> RetryDecision {
    let failures = policy.failures_in_a_row();
    policy.failed(FailureKind::Inconclusive, Attempt { failures, ..attempt })
}

const REQUEUE_AND_BACK_OFF: RetryDecision = RetryDecision::Requeue { back_off: true };
const REQUEUE_AT_ONCE: RetryDecision = RetryDecision::Requeue { back_off: false };

#[test]
fn the_first_batch_has_the_configured_limits() {
    assert_eq!(policy().next_batch_limits(), CONFIGURED);
}

#[test]
fn an_unavailable_destination_gets_the_same_batch_again_after_a_pause() {
    let mut policy = policy();

    let decision = policy.failed(FailureKind::Unavailable, attempt(10, 100, 1_000));

    assert_eq!(decision, REQUEUE_AND_BACK_OFF);
    assert_eq!(policy.next_batch_limits(), CONFIGURED);
}

#[test]
fn the_third_inconclusive_failure_in_a_row_halves_the_batch() {
    for kind in [FailureKind::TimedOut, FailureKind::Inconclusive] {
        let mut policy = policy();

        for (failures, decision, max_bytes) in [
            (0, REQUEUE_AND_BACK_OFF, CONFIGURED.max_bytes),
            (1, REQUEUE_AND_BACK_OFF, CONFIGURED.max_bytes),
            (2, REQUEUE_AT_ONCE, 500_000),
        ] {
            let attempt = Attempt { failures, ..attempt(10, 100, 1_000_000) };
            assert_eq!(policy.failed(kind, attempt), decision);
            assert_eq!(policy.next_batch_limits().max_bytes, max_bytes);
            assert_eq!(policy.failures_in_a_row(), failures + 1);
        }
    }
}

#[test]
fn the_halved_batch_has_three_tries_too() {
    let mut policy = policy();

    let sizes: Vec<u64> = (0..9)
        .map(|_| {
            let bytes = policy.next_batch_limits().max_bytes.min(1_000_000);
            fail_again(&mut policy, attempt(10, 100, bytes));
            bytes
        })
        .collect();

    let (whole, half, quarter) = ([1_000_000; 3], [500_000; 3], [250_000; 3]);
    assert_eq!(sizes, [whole, half, quarter].concat());
}

#[test]
fn a_conclusive_failure_or_a_delivery_in_between_starts_a_new_count() {
    use FailureKind::{InvalidData, Refused, TooLarge, Unavailable};
    for kind in [Some(Unavailable), Some(InvalidData), Some(TooLarge), Some(Refused), None] {
        let mut policy = policy();
        fail_again(&mut policy, attempt(10, 100, 1_000_000));
        fail_again(&mut policy, attempt(10, 100, 1_000_000));

        match kind {
            Some(kind) => {
                policy.failed(kind, attempt(10, 100, 3_000_000));
            }
            None => policy.delivered(),
        }
        let before = policy.next_batch_limits().max_bytes;
        fail_again(&mut policy, attempt(10, 100, 1_000_000));

        assert_eq!(policy.next_batch_limits().max_bytes, before, "{kind:?}");
    }
}

#[test]
fn a_batch_that_failed_before_is_halved_although_other_workers_delivered_in_between() {
    let mut policy = policy();
    for failures in 0..3 {
        policy.delivered();
        policy.failed(FailureKind::Inconclusive, Attempt { failures, ..attempt(9, 9, 900_000) });
    }

    assert_eq!(policy.next_batch_limits().max_bytes, 450_000);
}

#[test]
fn concurrent_failures_count_as_one() {
    let mut policy = policy();

    for _ in 0..8 {
        policy.failed(FailureKind::Inconclusive, attempt(10, 100, 1_000_000));
    }

    assert_eq!(policy.failures_in_a_row(), 1);
    assert_eq!(policy.next_batch_limits(), CONFIGURED);
}

#[test]
fn an_outage_without_any_response_halves_batches_to_a_plausible_size_and_loses_nothing() {
    let mut policy = policy();

    for _ in 0..1_000 {
        let bytes = policy.next_batch_limits().max_bytes;
        let decision = fail_again(&mut policy, attempt(100, 100, bytes));
        assert!(!matches!(decision, RetryDecision::Drop { .. }));
    }

    let left = policy.next_batch_limits();
    assert!((8 << 10..=16 << 10).contains(&left.max_bytes), "{left:?}");
    assert_eq!(left.max_records, usize::MAX);
}

#[test]
fn an_outage_that_the_destination_reports_never_shrinks_the_batch() {
    let mut policy = policy();

    for _ in 0..1_000 {
        let decision = policy.failed(FailureKind::Unavailable, attempt(100, 100, 3_000_000));
        assert_eq!(decision, REQUEUE_AND_BACK_OFF);
    }

    assert_eq!(policy.next_batch_limits(), CONFIGURED);
}

#[test]
fn a_small_batch_that_keeps_failing_is_sent_record_by_record() {
    let cases = [
        ("a small batch", attempt(10, 100, 16 << 10)),
        ("a small record of several spans", attempt(1, 100, 1_000)),
        ("a single span of any size", attempt(1, 1, 3_000_000)),
    ];
    for (what, attempt) in cases {
        let mut policy = policy();

        let decisions: Vec<_> = (0..6).map(|_| fail_again(&mut policy, attempt)).collect();

        let third = [REQUEUE_AND_BACK_OFF, REQUEUE_AND_BACK_OFF, RetryDecision::Isolate];
        assert_eq!(decisions, third.repeat(2), "{what}");
        assert_eq!(policy.next_batch_limits(), CONFIGURED, "{what}");
    }
}

#[test]
fn a_size_that_fails_again_after_smaller_batches_were_delivered_is_remembered() {
    let mut policy = policy();
    for bytes in [1_000_000, 800_000] {
        for _ in 0..3 {
            fail_again(&mut policy, attempt(100, 1_000, bytes));
        }
        policy.delivered();
    }

    for _ in 0..95 {
        policy.delivered();
        assert!(policy.next_batch_limits().max_bytes < 800_000);
    }
}

#[test]
fn an_outage_leaves_no_size_to_be_avoided() {
    let mut policy = policy();
    for _ in 0..2 {
        for _ in 0..30 {
            let bytes = policy.next_batch_limits().max_bytes;
            fail_again(&mut policy, attempt(100, 1_000, bytes));
        }

        for _ in 0..32 {
            policy.delivered();
        }

        assert_eq!(policy.next_batch_limits(), CONFIGURED);
    }
}

#[test]
fn an_oversize_batch_is_halved_and_sent_again_at_once() {
    let mut policy = policy();

    let decision = policy.failed(FailureKind::TooLarge, attempt(1, 100, 1_000_000));

    assert_eq!(decision, REQUEUE_AT_ONCE);
    assert_eq!(policy.next_batch_limits().max_bytes, 500_000);
}

#[test]
fn a_small_batch_refused_as_oversize_is_followed_by_a_pause() {
    let decision = policy().failed(FailureKind::TooLarge, attempt(1, 2, 1_000));

    assert_eq!(decision, REQUEUE_AND_BACK_OFF);
}

#[test]
fn a_single_span_too_large_for_the_destination_is_dropped() {
    let decision = policy().failed(FailureKind::TooLarge, attempt(1, 1, 5_000_000));

    assert_eq!(decision, RetryDecision::Drop { back_off: true });
}

#[test]
fn a_batch_stays_below_a_size_that_was_refused_for_a_hundred_deliveries() {
    let mut policy = policy();
    policy.failed(FailureKind::TooLarge, attempt(100, 1_000, 1_000_000));

    for _ in 0..5 {
        policy.delivered();
    }
    assert!(policy.next_batch_limits().max_bytes > 875_000);
    for _ in 0..95 {
        policy.delivered();
        assert!(policy.next_batch_limits().max_bytes < 1_000_000);
    }
}

#[test]
fn an_implausibly_small_size_limit_is_not_kept() {
    let mut policy = policy();
    policy.failed(FailureKind::TooLarge, attempt(2, 2, 100));

    policy.delivered();

    assert!(policy.next_batch_limits().max_bytes > 50_000);
}

#[test]
fn a_destination_that_was_out_of_memory_gets_full_batches_again_later() {
    let mut policy = policy();
    for bytes in [1_000_000, 500_000, 250_000, 125_000, 62_000] {
        policy.failed(FailureKind::TooLarge, attempt(100, 1_000, bytes));
    }

    for _ in 0..5_000 {
        policy.delivered();
    }

    assert_eq!(policy.next_batch_limits(), CONFIGURED);
}

#[test]
fn an_old_failure_of_a_larger_batch_does_not_make_the_next_larger() {
    let mut policy = policy();
    let failures = [FailureKind::TooLarge, FailureKind::InvalidData, FailureKind::Refused];
    for kind in failures {
        policy.failed(kind, attempt(4, 10, 100_000));
    }

    for kind in failures {
        policy.failed(kind, attempt(100, 1_000, 1_000_000));
    }

    let next = policy.next_batch_limits();
    assert_eq!((next.max_records, next.max_bytes), (2, 50_000));
}

#[test]
fn a_batch_halved_by_inconclusive_failures_grows_back_to_the_configured_size() {
    let mut policy = policy();
    for _ in 0..3 {
        fail_again(&mut policy, attempt(10, 100, 1_000_000));
    }

    policy.delivered();
    assert_eq!(policy.next_batch_limits().max_bytes, 600_000);
    for _ in 0..32 {
        policy.delivered();
    }

    assert_eq!(policy.next_batch_limits().max_bytes, CONFIGURED.max_bytes);
}

#[test]
fn an_invalid_batch_is_halved_by_records_down_to_one() {
    let mut policy = policy();
    let mut records = 9;

    let mut observed = vec![];
    while policy.failed(FailureKind::InvalidData, attempt(records, 90, 900)) == REQUEUE_AT_ONCE {
        records = policy.next_batch_limits().max_records;
        observed.push(records);
    }

    assert_eq!(observed, [4, 2, 1]);
}

#[test]
fn the_first_invalid_record_is_dropped_without_a_pause() {
    let decision = policy().failed(FailureKind::InvalidData, attempt(1, 10, 100));

    assert_eq!(decision, RetryDecision::Drop { back_off: false });
}

#[test]
fn a_destination_that_calls_everything_invalid_costs_a_record_per_pause() {
    let mut policy = policy();
    policy.failed(FailureKind::InvalidData, attempt(1, 10, 100));

    let decision = policy.failed(FailureKind::InvalidData, attempt(1, 10, 100));

    assert_eq!(decision, RetryDecision::Drop { back_off: true });
}

#[test]
fn a_delivery_between_two_invalid_records_avoids_the_pause() {
    let mut policy = policy();
    policy.failed(FailureKind::InvalidData, attempt(1, 10, 100));
    policy.delivered();

    let decision = policy.failed(FailureKind::InvalidData, attempt(1, 10, 100));

    assert_eq!(decision, RetryDecision::Drop { back_off: false });
}

#[test]
fn after_the_bisection_each_delivery_doubles_the_records() {
    let mut policy = policy();
    policy.failed(FailureKind::InvalidData, attempt(4, 40, 400));

    policy.delivered();

    assert_eq!(policy.next_batch_limits().max_records, 4);
}

#[test]
fn a_permanent_refusal_costs_one_batch_and_a_pause() {
    let decision = policy().failed(FailureKind::Refused, attempt(10, 100, 1_000));

    assert_eq!(decision, RetryDecision::Drop { back_off: true });
}

#[test]
fn a_destination_that_keeps_refusing_costs_half_as_many_records_each_time() {
    let mut policy = policy();
    let mut records = 5;

    let mut lost = vec![];
    for _ in 0..4 {
        policy.failed(FailureKind::Refused, attempt(records, 100, 1_000));
        lost.push(records);
        records = policy.next_batch_limits().max_records;
    }

    assert_eq!(lost, [5, 2, 1, 1]);
}

#[test]
fn a_batch_of_one_byte_cannot_be_halved_to_nothing() {
    let mut policy = policy();

    policy.failed(FailureKind::TooLarge, attempt(1, 2, 1));

    assert_eq!(policy.next_batch_limits().max_bytes, 1);
}
