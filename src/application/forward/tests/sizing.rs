//! The destination accepts only requests smaller than a batch.

use super::*;

/// Refuses every request longer than `bytes` as too large.
fn at_most(bytes: usize) -> impl FnMut(&ReceivedRequest) -> ScriptedResponse + Send + 'static {
    move |arrival| {
        if arrival.payload.len() > bytes { fail(FailureKind::TooLarge) } else { accept() }
    }
}

fn alphabet(spans: usize) -> String {
    ('a'..='z').cycle().take(spans).collect()
}

fn lengths(harness: &Harness) -> Vec<usize> {
    harness.destination.payloads().iter().map(String::len).collect()
}

#[tokio::test(start_paused = true)]
async fn a_size_that_fails_inconclusively_is_found_and_no_batch_blocks_the_queue() {
    for kind in [FailureKind::TimedOut, FailureKind::Inconclusive] {
        let mut harness = Harness::new(move |arrival| match arrival.payload.len() {
            ..=100_000 => accept(),
            _ => fail(kind).delayed(secs(10)),
        });
        let record = alphabet(50_000);
        harness.store(&[record.as_str(); 4]);

        harness.finish().await;

        let failed = lengths(&harness).into_iter().filter(|length| *length > 100_000).count();
        assert!(failed <= 3, "{:?}", lengths(&harness));
        assert_eq!(harness.destination.accepted_spans(), record.repeat(4));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_halved_although_its_oldest_records_are_evicted_between_the_attempts() {
    let mut harness = Harness::with(limits(1 << 20, 410_000), BATCH, |arrival| {
        if arrival.payload.len() > 60_000 { fail(FailureKind::Inconclusive) } else { accept() }
    });
    let record = alphabet(100_000);
    harness.start(1);

    for _ in 0..20 {
        // Evicts what waits, so that no batch is sent twice.
        harness.store(&[record.as_str(); 4]);
        sleep(millis(300)).await;
    }

    assert!(!harness.destination.accepted_spans().is_empty());
    harness.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_too_large_is_halved_until_it_fits() {
    let batch = BatchLimits { max_bytes: 96, ..BATCH };
    let mut harness = Harness::with(limits(1_000, 100_000), batch, at_most(5));
    let records: Vec<String> = (0..8).map(|n| alphabet(26)[n..][..2].to_owned()).collect();
    for record in &records {
        harness.store(&[record]);
    }

    harness.finish().await;

    assert_eq!(lengths(&harness)[..3], [16, 8, 4]);
    assert_eq!(harness.destination.accepted_spans(), records.concat());
    assert_eq!(harness.ledger().sent, 16);
}

#[tokio::test(start_paused = true)]
async fn a_large_batch_is_halved_without_a_pause() {
    let mut harness = Harness::new(at_most(100_000));
    let record = alphabet(75_000);
    harness.store(&[&record, &record]);

    harness.finish().await;

    assert_eq!(lengths(&harness), [150_000, 75_000, 75_000]);
    assert_eq!(harness.pauses(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_a_batch_is_split_between_spans() {
    let batch = BatchLimits { max_bytes: 10, ..BATCH };
    let mut harness = Harness::with(limits(1_000, 100_000), batch, |_| accept());
    harness.store(&["ab", &alphabet(26), "yz"]);

    harness.finish().await;

    assert_eq!(harness.destination.payloads(), ["ab", "abcdefghij", "klmnopqrst", "uvwxyz", "yz"]);
    let announced: Vec<_> = harness.destination.received().iter().map(|each| each.spans).collect();
    assert_eq!(announced, [2, 10, 10, 6, 2]);
    assert_eq!(harness.ledger().sent, 30);
}

#[tokio::test(start_paused = true)]
async fn each_part_of_a_record_is_settled_when_it_is_accepted() {
    let batch = BatchLimits { max_bytes: 10, ..BATCH };
    let mut harness = Harness::with(limits(1_000, 100_000), batch, |_| accept().delayed(secs(10)));
    harness.store(&[&alphabet(26)]);
    harness.buffer.close();
    harness.start(1);

    sleep(secs(15)).await;

    let half_way = LedgerTotals { sent: 10, in_flight: 16, ..LedgerTotals::default() };
    assert_eq!(harness.ledger_totals(), half_way);
    harness.finish().await;
    assert_eq!(harness.ledger().sent, 26);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_the_middle_of_a_record_requeues_only_the_rest() {
    let batch = BatchLimits { max_bytes: 10, ..BATCH };
    let mut answers = [accept(), fail(FailureKind::Unavailable)].into_iter();
    let mut harness = Harness::with(limits(1_000, 100_000), batch, move |_| {
        answers.next().unwrap_or_else(accept)
    });
    harness.store(&[&alphabet(26)]);

    harness.finish().await;

    assert_eq!(
        harness.destination.payloads(),
        ["abcdefghij", "klmnopqrst", "klmnopqrst", "uvwxyz"]
    );
    assert_eq!(harness.ledger().sent, 26);
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_half_sent_record_may_be_evicted() {
    let batch = BatchLimits { max_bytes: 10, ..BATCH };
    let mut answers = [accept(), fail(FailureKind::Unavailable).delayed(secs(1))].into_iter();
    let mut harness =
        Harness::with(limits(26, 100_000), batch, move |_| answers.next().unwrap_or_else(accept));
    harness.store(&[&alphabet(26)]);
    harness.buffer.stop_lingering();
    harness.start(1);
    sleep(millis(1_010)).await;

    harness.store(&["0123456789ABCDEFGH"]);
    harness.finish().await;

    // Of the 16 remaining spans, 8 were evicted.
    assert_eq!(harness.destination.accepted_spans(), "abcdefghijstuvwxyz0123456789ABCDEFGH");
    assert_eq!(harness.ledger().dropped(DropReason::Overflow), 8);
}

#[tokio::test(start_paused = true)]
async fn a_record_too_large_for_the_destination_is_split_until_its_parts_fit() {
    let mut harness = Harness::new(at_most(5));
    harness.store(&[&alphabet(26), "0123"]);

    harness.finish().await;

    assert_eq!(harness.destination.accepted_spans(), format!("{}0123", alphabet(26)));
    assert_eq!(harness.ledger().sent, 30);
}

#[tokio::test(start_paused = true)]
async fn a_small_request_refused_as_too_large_is_followed_by_a_pause() {
    let mut harness = Harness::new(at_most(5));
    harness.store(&["abcdef"]);

    harness.finish().await;

    assert_eq!(harness.pauses()[0], 100);
    assert_eq!(harness.destination.accepted_spans(), "abcdef");
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_oldest_spans_were_evicted_is_split_after_them() {
    let batch = BatchLimits { max_bytes: 10, ..BATCH };
    let mut harness = Harness::with(limits(20, 100_000), batch, |_| accept());
    harness.store(&[&alphabet(26)]);

    harness.finish().await;

    assert_eq!(harness.destination.payloads(), ["ghijklmnop", "qrstuvwxyz"]);
}

#[tokio::test(start_paused = true)]
async fn a_single_span_that_is_too_large_is_dropped_and_all_others_arrive() {
    let mut harness = Harness::new(|arrival| {
        if arrival.payload.contains('X') { fail(FailureKind::TooLarge) } else { accept() }
    });
    harness.store(&["ab", "cdeXfgh", "ij"]);

    harness.finish().await;

    assert_eq!(harness.destination.accepted_spans(), "abcdefghij");
    assert_eq!(harness.lost_for_good(), 1);
    assert_eq!(harness.ledger().sent, 10);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_more_spans_than_a_batch_is_sent_in_parts() {
    let batch = BatchLimits { max_spans: 4, ..BATCH };
    let mut harness = Harness::with(limits(1_000, 100_000), batch, |_| accept());
    harness.store(&["abcdefghij"]);

    harness.finish().await;

    assert_eq!(harness.destination.payloads(), ["abcd", "efgh", "ij"]);
}
