//! The destination accepts every request.

use super::*;

#[tokio::test(start_paused = true)]
async fn delivered_spans_are_settled_as_sent() {
    let mut harness = Harness::new(|_| accept());
    harness.store(&["ab", "c"]);

    harness.finish().await;

    assert_eq!(harness.ledger_totals(), LedgerTotals { sent: 3, ..LedgerTotals::default() });
}

#[tokio::test(start_paused = true)]
async fn queued_records_are_sent_in_one_request_oldest_first() {
    let mut harness = Harness::new(|_| accept());
    harness.store(&["ab", "c", "def"]);

    harness.finish().await;

    let arrivals = harness.destination.received();
    assert_eq!((arrivals.len(), arrivals[0].spans), (1, 6));
    assert_eq!(arrivals[0].payload, "abcdef");
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_before_the_record_that_would_exceed_its_spans() {
    let batch = BatchLimits { max_spans: 4, ..BATCH };
    let mut harness = Harness::with(limits(100, 10_000), batch, |_| accept());
    harness.store(&["ab", "c", "de", "fghi"]);

    harness.finish().await;

    assert_eq!(harness.destination.payloads(), ["abc", "de", "fghi"]);
}

#[tokio::test(start_paused = true)]
async fn a_single_span_waits_for_others_no_longer_than_the_linger() {
    let mut harness = Harness::new(|_| accept());
    harness.start(1);
    harness.store(&["a"]);

    sleep(millis(199)).await;
    assert_eq!(harness.destination.payloads(), [""; 0]);
    sleep(millis(2)).await;

    assert_eq!(harness.destination.payloads(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn spans_the_destination_rejects_are_counted_and_not_sent_again() {
    let rejecting = || Delivered { rejected_spans: 2, message: "too old".to_owned() };
    let mut harness = Harness::new(move |_| ScriptedResponse::Accept(rejecting()));
    harness.store(&["abcde"]);

    harness.finish().await;

    assert_eq!(harness.destination.payloads(), ["abcde"]);
    assert_eq!(
        harness.ledger_totals(),
        LedgerTotals { sent: 3, rejected: 2, ..LedgerTotals::default() }
    );
}

#[tokio::test(start_paused = true)]
async fn a_destination_cannot_reject_more_spans_than_it_was_sent() {
    let mut harness = Harness::new(|_| {
        ScriptedResponse::Accept(Delivered { rejected_spans: u64::MAX, message: String::new() })
    });
    harness.store(&["abc"]);

    harness.finish().await;

    assert_eq!(harness.ledger_totals(), LedgerTotals { rejected: 3, ..LedgerTotals::default() });
}

#[tokio::test(start_paused = true)]
async fn spans_accepted_with_a_warning_count_as_sent() {
    let mut harness = Harness::new(|_| {
        ScriptedResponse::Accept(Delivered { rejected_spans: 0, message: "nearly full".to_owned() })
    });
    harness.store(&["abc"]);

    harness.finish().await;

    assert_eq!(harness.ledger().sent, 3);
}

#[tokio::test(start_paused = true)]
async fn evicted_spans_of_the_oldest_record_are_not_sent() {
    let mut harness = Harness::with(limits(8, 10_000), BATCH, |_| accept());
    harness.store(&["abcde", "fgh", "ij"]);

    harness.finish().await;

    assert_eq!(harness.destination.accepted_spans(), "cdefghij");
    assert_eq!(harness.ledger().dropped(DropReason::Overflow), 2);
    let announced: u64 = harness.destination.received().iter().map(|arrival| arrival.spans).sum();
    assert_eq!(announced, 8);
}

#[tokio::test(start_paused = true)]
async fn the_monitor_gets_the_duration_of_each_request() {
    let mut answers =
        [fail(FailureKind::Unavailable).delayed(secs(2)), accept().delayed(secs(1))].into_iter();
    let mut harness = Harness::new(move |_| answers.next().unwrap());
    harness.store(&["a"]);

    harness.finish().await;

    assert_eq!(
        harness.monitor.events(),
        [
            MonitorEvent::SendFailed(FailureKind::Unavailable, secs(2)),
            MonitorEvent::Delivered(secs(1))
        ]
    );
}
