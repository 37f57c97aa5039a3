//! The destination permanently refuses some requests.

use super::*;

/// Refuses every request with an `x` as invalid.
fn no_x(arrival: &ReceivedRequest) -> ScriptedResponse {
    if arrival.payload.contains('x') { fail(FailureKind::InvalidData) } else { accept() }
}

/// Stores `count` records of two spans, with an invalid span in each record of `invalid`, and
/// returns the valid spans.
fn store_pairs(harness: &Harness, count: usize, invalid: &[usize]) -> String {
    let mut valid = String::new();
    for n in 0..count {
        let record = format!("{}{}", n % 10, ['a', 'b', 'c'][n % 3]);
        if invalid.contains(&n) {
            harness.store(&["xx"]);
        } else {
            harness.store(&[&record]);
            valid += &record;
        }
    }
    valid
}

#[tokio::test(start_paused = true)]
async fn one_invalid_record_is_found_and_dropped_and_all_others_arrive_in_order() {
    for invalid in [0, 1, 700, 1_022, 1_023] {
        let mut harness = Harness::new(no_x);
        let valid = store_pairs(&harness, 1_024, &[invalid]);

        harness.finish().await;

        assert_eq!(harness.destination.accepted_spans(), valid);
        assert_eq!(harness.lost_for_good(), 2);
        assert_eq!(harness.ledger().sent, 2 * 1_023);
    }
}

#[tokio::test(start_paused = true)]
async fn one_invalid_record_costs_a_logarithmic_number_of_requests_and_no_pause() {
    for invalid in [0, 1, 341, 682, 700, 1_022, 1_023] {
        let mut harness = Harness::new(no_x);
        store_pairs(&harness, 1_024, &[invalid]);

        harness.finish().await;

        let arrivals = harness.destination.received();
        // Ten halvings, each with up to one delivery and one doubled batch, and ten doublings.
        assert!(arrivals.len() <= 45, "record {invalid} took {} requests", arrivals.len());
        assert_eq!(arrivals.last().unwrap().at, arrivals[0].at);
    }
}

#[tokio::test(start_paused = true)]
async fn two_invalid_records_are_found_and_dropped_and_all_others_arrive_in_order() {
    for invalid in [[3, 700], [511, 512], [0, 1_023], [8, 9]] {
        let mut harness = Harness::new(no_x);
        let valid = store_pairs(&harness, 1_024, &invalid);

        harness.finish().await;

        assert_eq!(harness.destination.accepted_spans(), valid);
        assert_eq!(harness.lost_for_good(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_calls_everything_invalid_costs_a_record_per_pause() {
    let mut harness = Harness::new(|_| fail(FailureKind::InvalidData));
    harness.store(&["ab", "cd", "ef", "gh"]);

    harness.finish().await;

    assert_eq!(harness.destination.payloads(), ["abcdefgh", "abcd", "ab", "cd", "ef", "gh"]);
    assert_eq!(harness.pauses(), [0, 0, 0, 100, 200]);
    assert_eq!(harness.lost_for_good(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_refuses_every_request_costs_a_batch_per_pause() {
    let batch = BatchLimits { max_spans: 4, ..BATCH };
    let mut harness = Harness::with(limits(1_000, 100_000), batch, |_| fail(FailureKind::Refused));
    harness.store(&["abcd", "efgh", "ijkl"]);

    harness.finish().await;

    assert_eq!(harness.destination.payloads(), ["abcd", "efgh", "ijkl"]);
    assert_eq!(harness.pauses(), [100, 200]);
    assert_eq!(harness.lost_for_good(), 12);
}

#[tokio::test(start_paused = true)]
async fn the_rest_arrives_once_the_destination_accepts_requests_again() {
    let batch = BatchLimits { max_spans: 4, ..BATCH };
    let mut refusals = 2;
    let mut harness = Harness::with(limits(1_000, 100_000), batch, move |_| {
        if refusals == 0 {
            return accept();
        }
        refusals -= 1;
        fail(FailureKind::Refused)
    });
    harness.store(&["abcd", "efgh", "ijkl", "mnop"]);

    harness.finish().await;

    assert_eq!(harness.destination.accepted_spans(), "ijklmnop");
    assert_eq!((harness.ledger().sent, harness.lost_for_good()), (8, 8));
}

#[tokio::test(start_paused = true)]
async fn only_the_invalid_part_of_a_record_sent_in_parts_is_dropped() {
    let batch = BatchLimits { max_bytes: 4, ..BATCH };
    let mut harness = Harness::with(limits(1_000, 100_000), batch, no_x);
    harness.store(&["abcdefxhijkl"]);

    harness.finish().await;

    assert_eq!(harness.destination.accepted_spans(), "abcdijkl");
    assert_eq!(harness.lost_for_good(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_keeps_refusing_costs_fewer_spans_each_time() {
    let batch = BatchLimits { max_spans: 16, ..BATCH };
    let mut harness = Harness::with(limits(1_000, 100_000), batch, |_| fail(FailureKind::Refused));
    store_pairs(&harness, 18, &[]);

    harness.finish().await;

    let spans: Vec<_> = harness.destination.received().iter().map(|each| each.spans).collect();
    assert_eq!(spans, [16, 8, 4, 2, 2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_the_store_cannot_return_is_dropped_and_all_others_arrive() {
    let batch = BatchLimits { max_spans: 2, ..BATCH };
    let mut harness = Harness::with(limits(100, 10_000), batch, |_| accept());
    harness.store(&["ab", "c!", "de"]);

    harness.finish().await;

    assert_eq!(harness.destination.accepted_spans(), "abde");
    assert_eq!(harness.lost_for_good(), 2);
}
