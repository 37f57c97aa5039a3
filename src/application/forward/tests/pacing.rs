//! After an outage, and while the destination is overloaded.

use super::*;

/// Records of one span.
fn store_spans(harness: &Harness, spans: usize) {
    for _ in 0..spans {
        harness.store(&["a"]);
    }
}

/// Accepts or refuses each request in turn, as `+` and `-` say; then accepts.
fn in_turn(turns: &'static str) -> impl FnMut(&ReceivedRequest) -> ScriptedResponse + Send {
    let mut turns = turns.chars();
    move |_| match turns.next() {
        Some('-') => fail(FailureKind::Unavailable),
        _ => accept(),
    }
}

fn sizes(harness: &Harness) -> Vec<u64> {
    harness.destination.received().iter().map(|request| request.spans).collect()
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_requests_start_small_and_double() {
    let batch = BatchLimits { max_spans: 100, ..BATCH };
    let mut harness = Harness::with(limits(1 << 20, 1 << 30), batch, in_turn("--"));
    store_spans(&harness, 500);

    harness.finish().await;

    assert_eq!(sizes(&harness), [100, 16, 16, 32, 64, 100, 100, 100, 88]);
    // Slow start's pauses are all 300 ms with this random number.
    assert_eq!(harness.pauses(), [100, 200, 300, 300, 300, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn without_a_failure_requests_follow_at_once() {
    let batch = BatchLimits { max_spans: 100, ..BATCH };
    let mut harness = Harness::with(limits(1 << 20, 1 << 30), batch, |_| accept());
    store_spans(&harness, 500);

    harness.finish().await;

    assert_eq!(sizes(&harness), [100; 5]);
    assert_eq!(harness.pauses(), [0; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_large_record_is_sent_in_parts_at_the_pace() {
    let mut harness = Harness::new(in_turn("-"));
    harness.store(&[&"a".repeat(100)]);

    harness.finish().await;

    assert_eq!(sizes(&harness), [100, 16, 32, 52]);
    assert_eq!(harness.pauses(), [100, 300, 300]);
}

#[tokio::test(start_paused = true)]
async fn a_record_may_be_evicted_during_a_pause_after_one_of_its_parts() {
    let mut harness = Harness::with(limits(100, 1 << 20), BATCH, in_turn("-"));
    harness.store(&[&"a".repeat(100)]);
    harness.buffer.flush();
    harness.start(1);
    sleep(millis(200)).await;
    assert_eq!(sizes(&harness), [100, 16]);

    harness.store(&[&"b".repeat(100)]);

    assert_eq!(harness.ledger().dropped(DropReason::Overflow), 84);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_destination_gets_a_request_every_few_seconds() {
    // Everything is taken for a second, then nothing for a minute, then everything again.
    let mut harness = Harness::new(|arrival| match arrival.at.as_secs() {
        1 | 61.. => accept(),
        _ => fail(FailureKind::Unavailable),
    });
    store_spans(&harness, 10_000);
    harness.buffer.close();
    harness.start(1);

    sleep(secs(22)).await;

    let requests = harness.destination.received();
    let refused = requests.iter().filter(|request| request.at >= secs(2)).count();
    assert!((2..=8).contains(&refused), "{refused} requests in 20 s");
    harness.finish().await;
    assert_eq!(harness.ledger().sent, 10_000);
}

/// Two workers send at the same time, after an outage; the first request fails.
async fn two_workers_after_an_outage(
    mut script: impl FnMut(usize) -> ScriptedResponse + Send + 'static,
) -> Harness {
    let batch = BatchLimits { max_spans: 100, ..BATCH };
    let mut requests = 0;
    let mut harness = Harness::with(limits(1 << 20, 1 << 30), batch, move |_| {
        requests += 1;
        if requests == 1 { fail(FailureKind::Unavailable) } else { script(requests) }
    });
    store_spans(&harness, 1_000);
    harness.buffer.close();
    harness.start(1);
    sleep(millis(50)).await;
    harness.start(1);
    harness
}

#[tokio::test(start_paused = true)]
async fn a_pause_after_a_delivery_applies_to_all_workers() {
    let mut harness = two_workers_after_an_outage(|_| accept().delayed(millis(10))).await;

    sleep(millis(300)).await;

    assert_eq!(sizes(&harness), [100, 16, 16]);
    harness.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_during_the_pause_of_another_worker_counts() {
    let mut harness = two_workers_after_an_outage(|request| match request {
        2 => accept().delayed(millis(10)),
        3 => fail(FailureKind::Unavailable).delayed(millis(20)),
        _ => accept(),
    })
    .await;

    sleep(millis(200)).await;

    // No longer slow start, which would send 32 spans: the pace is what was delivered so far.
    assert_eq!(harness.forward.next_batch_limits().max_spans, 100);
    harness.finish().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_drains_sends_full_batches_without_a_pause() {
    let batch = BatchLimits { max_spans: 100, ..BATCH };
    let mut harness = Harness::with(limits(1 << 20, 1 << 30), batch, in_turn("-+-"));
    store_spans(&harness, 1_000);
    harness.buffer.close();
    harness.start(1);
    sleep(millis(500)).await;
    assert_eq!(sizes(&harness), [100, 16, 32]);

    harness.forward.begin_drain();
    sleep(millis(1)).await;

    assert_eq!(sizes(&harness)[3..], [100, 100, 100, 100, 100, 100, 100, 100, 100, 84]);
    harness.finish().await;
}
