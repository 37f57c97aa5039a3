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
    Attempt { records, spans, bytes }
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
fn the_third_timeout_in_a_row_halves_the_batch() {
    let mut policy = policy();

    for expected in [CONFIGURED.max_bytes, CONFIGURED.max_bytes, 500_000] {
        let decision = policy.failed(FailureKind::TimedOut, attempt(10, 100, 1_000_000));
        assert_eq!(decision, REQUEUE_AND_BACK_OFF);
        assert_eq!(policy.next_batch_limits().max_bytes, expected);
    }
}

#[test]
fn a_timeout_after_another_failure_starts_a_new_count() {
    let mut policy = policy();
    for kind in [FailureKind::TimedOut, FailureKind::TimedOut, FailureKind::Unavailable] {
        policy.failed(kind, attempt(10, 100, 1_000_000));
    }

    policy.failed(FailureKind::TimedOut, attempt(10, 100, 1_000_000));

    assert_eq!(policy.next_batch_limits().max_bytes, CONFIGURED.max_bytes);
}

#[test]
fn a_timeout_after_a_delivery_starts_a_new_count() {
    let mut policy = policy();
    policy.failed(FailureKind::TimedOut, attempt(10, 100, 1_000_000));
    policy.failed(FailureKind::TimedOut, attempt(10, 100, 1_000_000));
    policy.delivered();

    policy.failed(FailureKind::TimedOut, attempt(10, 100, 1_000_000));

    assert_eq!(policy.next_batch_limits().max_bytes, CONFIGURED.max_bytes);
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
fn a_batch_halved_by_timeouts_grows_back_to_the_configured_size() {
    let mut policy = policy();
    for _ in 0..3 {
        policy.failed(FailureKind::TimedOut, attempt(10, 100, 1_000_000));
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
