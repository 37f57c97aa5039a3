//! The destination becomes unavailable, and recovers.

use super::*;

/// Fails `times` times, then accepts everything.
fn unavailable(times: usize) -> impl FnMut(&ReceivedRequest) -> ScriptedResponse + Send + 'static {
    let mut left = times;
    move |_| {
        if left == 0 {
            return accept();
        }
        left -= 1;
        fail(FailureKind::Unavailable)
    }
}

fn asking(wait: Duration) -> ScriptedResponse {
    ScriptedResponse::Fail(Failure { retry_after: Some(wait), ..failure(FailureKind::Unavailable) })
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_destination_gets_the_same_bytes_again_after_the_pause() {
    let mut harness = Harness::new(unavailable(3));
    harness.store(&["ab", "c"]);

    harness.finish().await;

    assert_eq!(harness.destination.payloads(), ["abc"; 4]);
    assert_eq!(harness.pauses(), [100, 200, 400]);
    assert_eq!(harness.ledger().sent, 3);
}

#[tokio::test(start_paused = true)]
async fn after_a_delivery_the_backoff_starts_short_again() {
    let unavailable = || fail(FailureKind::Unavailable);
    let mut answers = [unavailable(), unavailable(), accept(), unavailable(), accept()].into_iter();
    // So few spans that slow start ends at once.
    let batch = BatchLimits { max_spans: 1, ..BATCH };
    let mut harness = Harness::with(limits(100, 10_000), batch, move |_| answers.next().unwrap());
    harness.store(&["a", "b"]);

    harness.finish().await;

    assert_eq!(harness.destination.payloads(), ["a", "a", "a", "b", "b"]);
    // The third is slow start's.
    assert_eq!(harness.pauses(), [100, 200, 300, 100]);
}

#[tokio::test(start_paused = true)]
async fn records_received_during_an_outage_are_sent_in_order() {
    let mut harness = Harness::new(unavailable(10));
    harness.start(1);

    for payload in ["ab", "c", "d", "efg"] {
        harness.store(&[payload]);
        sleep(millis(150)).await;
    }
    harness.finish().await;

    assert_eq!(harness.destination.accepted_spans(), "abcdefg");
    assert_eq!(harness.ledger().sent, 7);
}

#[tokio::test(start_paused = true)]
async fn a_day_of_outage_loses_nothing_while_there_is_room() {
    let day = secs(24 * 60 * 60);
    let mut harness = Harness::new(move |arrival| match arrival.at {
        at if at < day => fail(FailureKind::Unavailable).delayed(secs(10)),
        _ => accept(),
    });
    harness.store(&["ab", "c"]);

    harness.finish().await;

    assert_eq!(harness.destination.accepted_spans(), "abc");
    assert_eq!(harness.ledger_totals(), LedgerTotals { sent: 3, ..LedgerTotals::default() });
    assert!(harness.destination.received().len() > 8_000);
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_be_evicted_during_a_pause() {
    let mut harness = Harness::with(limits(4, 10_000), BATCH, |_| asking(secs(20)));
    harness.start(1);
    harness.store(&["a"]);
    sleep(secs(1)).await;

    harness.store(&["bcde"]);

    assert_eq!(harness.destination.payloads(), ["a"]);
    assert_eq!(harness.ledger().dropped(DropReason::Overflow), 1);
    assert_eq!(harness.ledger().buffered, 4);
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_flight_is_not_evicted_but_records_queued_behind_it_are() {
    let mut harness = Harness::with(limits(4, 10_000), BATCH, |_| accept().delayed(secs(5)));
    harness.start(1);
    harness.store(&["a"]);
    sleep(secs(1)).await;
    harness.store(&["b", "cd"]);

    harness.store(&["e"]);
    harness.finish().await;

    assert_eq!(harness.destination.accepted_spans(), "acde");
    assert_eq!(harness.ledger().dropped(DropReason::Overflow), 1);
}

#[tokio::test(start_paused = true)]
async fn requeued_spans_may_expire() {
    let old = BufferLimits { max_age: Some(secs(30)), ..limits(100, 10_000) };
    let mut first = true;
    let mut harness = Harness::with(old, BATCH, move |_| {
        if std::mem::take(&mut first) { asking(secs(60)) } else { accept() }
    });
    harness.start(1);
    harness.store(&["ab"]);
    sleep(secs(50)).await;
    harness.store(&["c"]);

    harness.finish().await;

    assert_eq!(harness.destination.accepted_spans(), "c");
    assert_eq!(harness.ledger().dropped(DropReason::Expired), 2);
}

#[tokio::test(start_paused = true)]
async fn a_destination_gets_no_request_during_the_pause_it_asked_for() {
    let mut answers = [asking(secs(20)), accept()].into_iter();
    let mut harness = Harness::new(move |_| answers.next().unwrap());
    harness.store(&["a"]);

    harness.finish().await;

    assert_eq!(harness.pauses(), [20_800]);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_asks_for_a_year_is_tried_again_after_5_minutes() {
    let mut answers = [asking(secs(365 * 24 * 60 * 60)), accept()].into_iter();
    let mut harness = Harness::new(move |_| answers.next().unwrap());
    harness.store(&["a"]);

    harness.finish().await;

    assert_eq!(harness.pauses(), [300_800]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_forwarder_wakes_for_records_received_after_a_recovery() {
    let mut harness = Harness::new(unavailable(1));
    harness.start(1);
    harness.store(&["a"]);
    sleep(secs(5)).await;

    harness.store(&["b"]);
    sleep(secs(5)).await;

    assert_eq!(harness.destination.accepted_spans(), "ab");
}
