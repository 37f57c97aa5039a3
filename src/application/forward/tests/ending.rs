//! The forwarder is asked to drain or to stop.

use super::*;

fn always(kind: FailureKind) -> impl FnMut(&ReceivedRequest) -> ScriptedResponse + Send + 'static {
    move |_| fail(kind)
}

/// Waits briefly for the workers to end.
async fn ended_at_once(scene: &mut Harness) {
    tokio::time::timeout(millis(1), scene.ended()).await.expect("the workers end");
}

#[tokio::test(start_paused = true)]
async fn a_worker_ends_when_the_buffer_is_closed_and_empty() {
    let mut scene = Harness::new(|_| accept());
    scene.start(3);
    sleep(secs(1)).await;

    scene.buffer.close();

    ended_at_once(&mut scene).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_does_not_end_while_a_closed_buffer_holds_spans() {
    let mut scene = Harness::new(always(FailureKind::Unavailable));
    scene.store(&["a"]);
    scene.start(1);
    scene.buffer.close();

    sleep(secs(60)).await;

    assert_eq!(scene.workers.len(), 1);
    assert!(scene.workers.try_join_next().is_none());
}

#[tokio::test(start_paused = true)]
async fn stopping_gives_back_what_is_on_the_wire_and_ends() {
    let mut scene = Harness::new(|_| ScriptedResponse::NeverRespond);
    scene.start(1);
    scene.store(&["abc"]);
    sleep(secs(60)).await;
    assert_eq!(scene.ledger().in_flight, 3);

    scene.forward.stop();

    ended_at_once(&mut scene).await;
    assert_eq!(scene.ledger_totals(), LedgerTotals { buffered: 3, ..LedgerTotals::default() });
}

#[tokio::test(start_paused = true)]
async fn stopping_in_the_middle_of_a_record_gives_back_only_the_rest() {
    let batch = BatchLimits { max_bytes: 2, ..BATCH };
    let mut answers = [accept()].into_iter();
    let mut scene = Harness::with(limits(100, 10_000), batch, move |_| {
        answers.next().unwrap_or(ScriptedResponse::NeverRespond)
    });
    scene.start(1);
    scene.store(&["abcde"]);
    sleep(secs(60)).await;

    scene.forward.stop();

    ended_at_once(&mut scene).await;
    assert_eq!(
        scene.ledger_totals(),
        LedgerTotals { sent: 2, buffered: 3, ..LedgerTotals::default() }
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_a_worker_that_waits_for_spans() {
    let mut scene = Harness::new(|_| accept());
    scene.start(2);
    sleep(secs(1)).await;

    scene.forward.stop();

    ended_at_once(&mut scene).await;
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_a_pause() {
    let mut scene = Harness::new(|_| {
        ScriptedResponse::Fail(Failure {
            retry_after: Some(secs(300)),
            ..failure(FailureKind::Unavailable)
        })
    });
    scene.start(1);
    scene.store(&["a"]);
    sleep(secs(1)).await;

    scene.forward.stop();

    ended_at_once(&mut scene).await;
    assert_eq!(scene.ledger().buffered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_started_after_the_stop_sends_nothing() {
    let mut scene = Harness::new(|_| accept());
    scene.store(&["a"]);
    scene.buffer.close();
    scene.forward.stop();

    scene.start(1);

    ended_at_once(&mut scene).await;
    assert_eq!(scene.destination.payloads(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn hurrying_ends_a_pause_at_once() {
    let mut answers = [ScriptedResponse::Fail(Failure {
        retry_after: Some(secs(300)),
        ..failure(FailureKind::Unavailable)
    })]
    .into_iter();
    let mut scene = Harness::new(move |_| answers.next().unwrap_or_else(accept));
    scene.start(1);
    scene.store(&["a"]);
    sleep(secs(1)).await;

    scene.forward.begin_drain();
    sleep(millis(1)).await;

    assert_eq!(scene.destination.accepted_spans(), "a");
}

#[tokio::test(start_paused = true)]
async fn pauses_are_short_while_hurrying() {
    let mut scene = Harness::new(|_| {
        ScriptedResponse::Fail(Failure {
            retry_after: Some(secs(300)),
            ..failure(FailureKind::Unavailable)
        })
    });
    scene.store(&["a"]);
    scene.buffer.flush();
    scene.forward.begin_drain();
    scene.start(1);

    sleep(secs(10)).await;

    let tries = scene.destination.received().len();
    assert!((20..=21).contains(&tries), "{tries} tries");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_with_the_stop_still_counts() {
    for _ in 0..20 {
        let answered = Arc::new(tokio::sync::Notify::new());
        let answer = Arc::clone(&answered);
        let mut scene = Harness::new(move |_| {
            ScriptedResponse::WaitFor(Arc::clone(&answer), Box::new(accept()))
        });
        scene.store(&["a"]);
        scene.buffer.close();
        scene.start(1);
        sleep(secs(1)).await;

        answered.notify_one();
        scene.forward.stop();

        ended_at_once(&mut scene).await;
        assert_eq!(scene.ledger_totals().sent, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn hurrying_does_not_undo_a_stop() {
    let mut scene = Harness::new(|_| accept());
    scene.store(&["a"]);
    scene.buffer.close();
    scene.forward.stop();
    scene.forward.begin_drain();

    scene.start(1);

    ended_at_once(&mut scene).await;
    assert_eq!(scene.ledger().buffered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_met_while_stopping_is_not_followed_by_a_pause() {
    let forward: Arc<Mutex<Option<Arc<Forward>>>> = Arc::default();
    let at_hand = Arc::clone(&forward);
    let mut scene = Harness::new(move |_| {
        at_hand.lock().take().unwrap().stop();
        fail(FailureKind::Unavailable)
    });
    *forward.lock() = Some(Arc::clone(&scene.forward));
    scene.store(&["a"]);
    scene.buffer.close();
    scene.start(1);

    ended_at_once(&mut scene).await;
    assert_eq!(scene.ledger().buffered, 1);
}
