//! The forwarder is asked to drain or to stop.

use super::*;

fn always(kind: FailureKind) -> impl FnMut(&ReceivedRequest) -> ScriptedResponse + Send + 'static {
    move |_| fail(kind)
}

/// Waits briefly for the workers to end.
async fn ended_at_once(harness: &mut Harness) {
    tokio::time::timeout(millis(1), harness.ended()).await.expect("the workers end");
}

#[tokio::test(start_paused = true)]
async fn a_worker_ends_when_the_buffer_is_closed_and_empty() {
    let mut harness = Harness::new(|_| accept());
    harness.start(3);
    sleep(secs(1)).await;

    harness.buffer.close();

    ended_at_once(&mut harness).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_does_not_end_while_a_closed_buffer_holds_spans() {
    let mut harness = Harness::new(always(FailureKind::Unavailable));
    harness.store(&["a"]);
    harness.start(1);
    harness.buffer.close();

    sleep(secs(60)).await;

    assert_eq!(harness.workers.len(), 1);
    assert!(harness.workers.try_join_next().is_none());
}

#[tokio::test(start_paused = true)]
async fn stopping_requeues_the_batch_in_flight_and_ends() {
    let mut harness = Harness::new(|_| ScriptedResponse::NeverRespond);
    harness.start(1);
    harness.store(&["abc"]);
    sleep(secs(60)).await;
    assert_eq!(harness.ledger().in_flight, 3);

    harness.forward.stop();

    ended_at_once(&mut harness).await;
    assert_eq!(harness.ledger_totals(), LedgerTotals { buffered: 3, ..LedgerTotals::default() });
}

#[tokio::test(start_paused = true)]
async fn stopping_in_the_middle_of_a_record_requeues_only_the_rest() {
    let batch = BatchLimits { max_bytes: 2, ..BATCH };
    let mut answers = [accept()].into_iter();
    let mut harness = Harness::with(limits(100, 10_000), batch, move |_| {
        answers.next().unwrap_or(ScriptedResponse::NeverRespond)
    });
    harness.start(1);
    harness.store(&["abcde"]);
    sleep(secs(60)).await;

    harness.forward.stop();

    ended_at_once(&mut harness).await;
    assert_eq!(
        harness.ledger_totals(),
        LedgerTotals { sent: 2, buffered: 3, ..LedgerTotals::default() }
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_a_worker_that_waits_for_spans() {
    let mut harness = Harness::new(|_| accept());
    harness.start(2);
    sleep(secs(1)).await;

    harness.forward.stop();

    ended_at_once(&mut harness).await;
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_a_pause() {
    let mut harness = Harness::new(|_| {
        ScriptedResponse::Fail(Failure {
            retry_after: Some(secs(300)),
            ..failure(FailureKind::Unavailable)
        })
    });
    harness.start(1);
    harness.store(&["a"]);
    sleep(secs(1)).await;

    harness.forward.stop();

    ended_at_once(&mut harness).await;
    assert_eq!(harness.ledger().buffered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_started_after_the_stop_sends_nothing() {
    let mut harness = Harness::new(|_| accept());
    harness.store(&["a"]);
    harness.buffer.close();
    harness.forward.stop();

    harness.start(1);

    ended_at_once(&mut harness).await;
    assert_eq!(harness.destination.payloads(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn hurrying_ends_a_pause_at_once() {
    let mut answers = [ScriptedResponse::Fail(Failure {
        retry_after: Some(secs(300)),
        ..failure(FailureKind::Unavailable)
    })]
    .into_iter();
    let mut harness = Harness::new(move |_| answers.next().unwrap_or_else(accept));
    harness.start(1);
    harness.store(&["a"]);
    sleep(secs(1)).await;

    harness.forward.begin_drain();
    sleep(millis(1)).await;

    assert_eq!(harness.destination.accepted_spans(), "a");
}

#[tokio::test(start_paused = true)]
async fn pauses_are_short_while_hurrying() {
    let mut harness = Harness::new(|_| {
        ScriptedResponse::Fail(Failure {
            retry_after: Some(secs(300)),
            ..failure(FailureKind::Unavailable)
        })
    });
    harness.store(&["a"]);
    harness.buffer.stop_lingering();
    harness.forward.begin_drain();
    harness.start(1);

    sleep(secs(10)).await;

    let tries = harness.destination.received().len();
    assert!((20..=21).contains(&tries), "{tries} tries");
}

#[tokio::test(start_paused = true)]
async fn a_response_that_arrives_with_the_stop_still_counts() {
    for _ in 0..20 {
        let answered = Arc::new(tokio::sync::Notify::new());
        let answer = Arc::clone(&answered);
        let mut harness = Harness::new(move |_| {
            ScriptedResponse::WaitFor(Arc::clone(&answer), Box::new(accept()))
        });
        harness.store(&["a"]);
        harness.buffer.close();
        harness.start(1);
        sleep(secs(1)).await;

        answered.notify_one();
        harness.forward.stop();

        ended_at_once(&mut harness).await;
        assert_eq!(harness.ledger_totals().sent, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn hurrying_does_not_undo_a_stop() {
    let mut harness = Harness::new(|_| accept());
    harness.store(&["a"]);
    harness.buffer.close();
    harness.forward.stop();
    harness.forward.begin_drain();

    harness.start(1);

    ended_at_once(&mut harness).await;
    assert_eq!(harness.ledger().buffered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_stopping_is_not_followed_by_a_pause() {
    let forward: Arc<Mutex<Option<Arc<Forward>>>> = Arc::default();
    let at_hand = Arc::clone(&forward);
    let mut harness = Harness::new(move |_| {
        at_hand.lock().take().unwrap().stop();
        fail(FailureKind::Unavailable)
    });
    *forward.lock() = Some(Arc::clone(&harness.forward));
    harness.store(&["a"]);
    harness.buffer.close();
    harness.start(1);

    ended_at_once(&mut harness).await;
    assert_eq!(harness.ledger().buffered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_ends_one_pause_and_later_ones_are_as_before() {
    let mut harness = Harness::new(always(FailureKind::Unavailable));
    harness.store(&["a"]);
    harness.buffer.stop_lingering();
    harness.start(1);
    sleep(secs(30)).await;
    let before = harness.destination.received().len();

    harness.forward.flush();
    sleep(millis(1)).await;
    assert_eq!(harness.destination.received().len(), before + 1);
    sleep(millis(600)).await;

    assert_eq!(harness.destination.received().len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_end_a_time_for_which_the_destination_asked_for_quiet() {
    let mut answers = [ScriptedResponse::Fail(Failure {
        retry_after: Some(secs(15)),
        ..failure(FailureKind::Unavailable)
    })]
    .into_iter();
    let mut harness = Harness::new(move |_| answers.next().unwrap_or_else(accept));
    harness.store(&["a"]);
    harness.buffer.stop_lingering();
    harness.start(1);

    for _ in 0..14 {
        sleep(secs(1)).await;
        harness.forward.flush();
    }
    assert_eq!(harness.destination.received().len(), 1);
    sleep(millis(1_010)).await;

    assert_eq!(harness.destination.accepted_spans(), "a");
}
