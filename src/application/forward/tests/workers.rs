//! Several workers send concurrently.

use super::*;
use crate::application::fakes::buffer_with_takers;

fn sorted(text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn with_several_workers_every_span_arrives_exactly_once() {
    let batch = BatchLimits { max_spans: 3, ..BATCH };
    let mut turn = 0;
    let mut harness = Harness::with(limits(10_000, 1 << 20), batch, move |_| {
        turn += 1;
        let answer = if turn % 7 == 0 { fail(FailureKind::Unavailable) } else { accept() };
        answer.delayed(millis(turn * 37 % 200))
    });
    let records: Vec<String> =
        ('A'..='Z').chain('a'..='z').map(|letter| letter.to_string().repeat(2)).collect();
    harness.start(4);

    for record in &records {
        harness.store(&[record]);
        sleep(millis(5)).await;
    }
    harness.finish().await;

    assert_eq!(sorted(&harness.destination.accepted_spans()), records.concat());
    assert_eq!(harness.ledger().sent, 2 * records.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn several_workers_send_at_the_same_time() {
    let batch = BatchLimits { max_spans: 1, ..BATCH };
    let mut harness = Harness::with(limits(100, 10_000), batch, |_| accept().delayed(secs(1)));
    harness.store(&["a", "b", "c"]);
    harness.start(3);

    sleep(millis(500)).await;

    assert_eq!(harness.ledger().in_flight, 3);
    harness.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_requested_of_one_worker_applies_to_all() {
    let mut harness = Harness::new(|arrival| {
        if arrival.at >= secs(20) {
            return accept();
        }
        let retry_after = Some(secs(20));
        ScriptedResponse::Fail(Failure { retry_after, ..failure(FailureKind::Unavailable) })
    });
    harness.start(3);
    harness.store(&["a"]);
    harness.buffer.stop_lingering();

    sleep(secs(10)).await;
    assert_eq!(harness.destination.received().len(), 1);
    assert_eq!(harness.ledger().buffered, 1);
    sleep(secs(15)).await;

    assert_eq!(harness.destination.accepted_spans(), "a");
}

#[tokio::test(start_paused = true)]
async fn concurrent_failures_count_as_one() {
    let batch = BatchLimits { max_spans: 1, ..BATCH };
    let mut harness = Harness::with(limits(100, 10_000), batch, |_| {
        fail(FailureKind::Unavailable).delayed(millis(10))
    });
    harness.store(&["a", "b", "c", "d"]);
    harness.start(4);

    sleep(millis(350)).await;

    // At 0, after 100 ms, and after another 200 ms.
    assert_eq!(harness.destination.received().len(), 12);
    harness.forward.stop();
    harness.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_sent_in_parts_waits_after_a_failure_of_another_worker() {
    let batch = BatchLimits { max_spans: 100, max_bytes: 2, ..BATCH };
    let mut harness = Harness::with(limits(100, 10_000), batch, |arrival| {
        let retry_after = Some(secs(20));
        match arrival.payload.as_str() {
            _ if arrival.at > secs(20) => accept(),
            "z" => {
                ScriptedResponse::Fail(Failure { retry_after, ..failure(FailureKind::Unavailable) })
            }
            _ => accept().delayed(secs(2)),
        }
    });
    harness.store(&["abcdef", "z"]);
    harness.start(2);
    harness.buffer.close();

    sleep(secs(10)).await;
    assert_eq!(harness.destination.payloads(), ["ab", "z"]);
    assert_eq!(harness.ledger().buffered, 5);
    harness.finish().await;

    assert_eq!(harness.destination.accepted_spans(), "abcdefz");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_record_is_found_soon_while_other_workers_deliver() {
    let batch = BatchLimits { max_spans: 64, ..BATCH };
    let mut harness = Harness::with(limits(1 << 20, 1 << 30), batch, |arrival| {
        let invalid = arrival.payload.contains('x');
        let answer = if invalid { fail(FailureKind::InvalidData) } else { accept() };
        answer.delayed(millis(10))
    });
    for n in 0..20_000 {
        harness.store(&[if n == 100 { "x" } else { "a" }]);
    }
    harness.start(4);

    harness.finish().await;

    let sent = harness.destination.payloads().iter().filter(|each| each.contains('x')).count();
    assert!(sent <= 12, "the invalid record was sent {sent} times");
    assert_eq!((harness.ledger().sent, harness.lost_for_good()), (19_999, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_worker_does_not_block_another_from_new_records() {
    let mut harness = Harness::new(|arrival| match arrival.payload.as_str() {
        "a" => ScriptedResponse::NeverRespond,
        _ => accept(),
    });
    harness.start(2);
    sleep(secs(1)).await;
    harness.store(&["a"]);
    sleep(secs(1)).await;

    harness.store(&["b"]);
    sleep(secs(1)).await;

    assert_eq!(harness.destination.accepted_spans(), "b");
    harness.forward.stop();
    harness.ended().await;
}

#[tokio::test(start_paused = true)]
async fn idle_workers_share_records_that_exceed_one_batch() {
    let batch = BatchLimits { max_spans: 2, ..BATCH };
    let mut harness = Harness::with(limits(100, 10_000), batch, |_| accept().delayed(secs(1)));
    harness.start(3);
    sleep(secs(1)).await;
    harness.store(&["ab", "cd", "ef"]);

    sleep(millis(500)).await;

    assert_eq!(harness.ledger_totals().in_flight, 6);
    harness.finish().await;
}

#[tokio::test(start_paused = true)]
async fn stuck_workers_leave_records_to_evict_after_the_limits_are_lowered() {
    let buffer = buffer_with_takers(4, limits(1 << 20, 1 << 20), OverflowPolicy::DropOldest);
    let mut harness = Harness::over(buffer, BATCH, |_| ScriptedResponse::NeverRespond);
    harness.buffer.set_limits(limits(1 << 20, 16 * 65));
    harness.store(&["a"; 16]);
    harness.start(4);
    sleep(secs(1)).await;
    assert_eq!(harness.destination.received().len(), 4);

    // Panics if a record is refused.
    harness.store(&["b"; 20]);

    assert_eq!((harness.ledger().in_flight, harness.ledger().buffered), (8, 8));
    harness.forward.stop();
    harness.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_blocked_by_batches_in_flight_is_sent_once_they_are_settled() {
    let buffer = buffer_with_takers(4, limits(8, 1 << 20), OverflowPolicy::DropOldest);
    let mut harness = Harness::over(buffer, BATCH, |_| accept().delayed(secs(1)));
    harness.store(&["abc", "def", "g"]);
    harness.buffer.close();
    harness.start(4);

    sleep(millis(500)).await;
    assert_eq!(harness.destination.payloads(), ["abc"]);
    sleep(secs(1)).await;
    assert_eq!(harness.destination.payloads(), ["abc", "def", "g"]);
    // No worker has ended while records were queued.
    harness.ended().await;

    assert_eq!(harness.ledger().sent, 7);
}

/// Asks the worker with span `a` to retry after `first`, and shortly afterwards the other one after
/// `second`. Returns when requests are sent again.
async fn second_try(first: Option<Duration>, second: Option<Duration>) -> Duration {
    let batch = BatchLimits { max_spans: 1, ..BATCH };
    let mut failed = 0;
    let mut harness = Harness::with(limits(100, 10_000), batch, move |arrival| {
        failed += 1;
        let (retry_after, delay) = match arrival.payload.as_str() {
            _ if failed > 2 => return accept(),
            "a" => (first, millis(10)),
            _ => (second, millis(20)),
        };
        ScriptedResponse::Fail(Failure { retry_after, ..failure(FailureKind::Unavailable) })
            .delayed(delay)
    });
    harness.store(&["a", "b"]);
    harness.start(2);
    harness.finish().await;
    harness.destination.received()[2].at
}

#[tokio::test(start_paused = true)]
async fn a_pause_requested_during_another_prolongs_it() {
    let resumed = second_try(None, Some(secs(20))).await;

    assert!(resumed >= secs(20), "resumed after {resumed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_short_requested_pause_does_not_end_a_longer_one() {
    let resumed = second_try(Some(secs(20)), Some(secs(1))).await;

    assert!(resumed >= secs(20), "resumed after {resumed:?}");
}
