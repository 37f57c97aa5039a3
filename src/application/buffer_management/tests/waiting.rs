//! Waiting for a batch.

use tokio::task::{JoinHandle, yield_now};

use super::*;

const LINGER: Duration = Duration::from_millis(200);
const LINGERING: BatchLimits = BatchLimits { linger: LINGER, ..AT_ONCE };

type Taken = Result<Option<Batch>, StoreError>;

/// Starts a task that takes a batch and lets it run until it waits.
async fn taker(buffer: &Arc<TestBuffer>, limits: BatchLimits) -> JoinHandle<Taken> {
    let buffer = Arc::clone(buffer);
    let taker = tokio::spawn(async move { buffer.take(limits).await });
    settle_down().await;
    taker
}

async fn settle_down() {
    for _ in 0..8 {
        yield_now().await;
    }
}

/// Waits for the task with a timeout: paused time jumps ahead when every task waits.
async fn taken(taker: JoinHandle<Taken>) -> String {
    let batch = tokio::time::timeout(Duration::from_mins(1), taker).await;
    let batch = batch.expect("the taker was not woken").unwrap().unwrap();
    batch.map_or_else(|| "the end".to_owned(), |batch| text(&batch))
}

#[tokio::test(start_paused = true)]
async fn an_append_wakes_a_waiting_taker() {
    let buffer = spacious();
    let taker = taker(&buffer, AT_ONCE).await;
    assert!(!taker.is_finished());

    append(&buffer, "one", 1);

    assert_eq!(taken(taker).await, "one");
}

#[tokio::test(start_paused = true)]
async fn a_taker_waits_until_the_oldest_record_has_waited_for_the_linger() {
    let buffer = spacious();
    let taker = taker(&buffer, LINGERING).await;
    append(&buffer, "one ", 1);
    let arrived = Instant::now();
    tokio::time::advance(LINGER / 2).await;
    append(&buffer, "two", 1);

    assert_eq!(taken(taker).await, "one two");
    assert_eq!(arrived.elapsed(), LINGER);
}

#[tokio::test(start_paused = true)]
async fn a_late_taker_waits_only_for_the_rest_of_the_linger() {
    let buffer = spacious();
    append(&buffer, "one", 1);
    let arrived = Instant::now();
    tokio::time::advance(LINGER * 3 / 4).await;

    let taker = taker(&buffer, LINGERING).await;

    assert_eq!(taken(taker).await, "one");
    assert_eq!(arrived.elapsed(), LINGER);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fills_ends_the_linger() {
    let cases = [
        (spacious(), BatchLimits { max_spans: 3, ..LINGERING }),
        (spacious(), BatchLimits { max_bytes: 6, ..LINGERING }),
        (spacious(), BatchLimits { max_records: 2, ..LINGERING }),
        (buffer_of(4 * 3, PLENTY), LINGERING),
        (buffer_of(PLENTY, 4 * 2 * 67), LINGERING),
    ];
    for (buffer, limits) in cases {
        let taker = taker(&buffer, limits).await;
        append(&buffer, "one", 1);
        settle_down().await;
        assert!(!taker.is_finished(), "{limits:?}");
        let filled = Instant::now();

        append(&buffer, "two", 2);

        assert_eq!(taken(taker).await, "onetwo");
        assert_eq!(filled.elapsed(), Duration::ZERO, "{limits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_ends_the_linger_of_present_records_only() {
    let buffer = spacious();
    append(&buffer, "one", 1);
    let start = Instant::now();
    let first = taker(&buffer, LINGERING).await;
    assert!(!first.is_finished());

    buffer.flush();

    assert_eq!(taken(first).await, "one");
    assert_eq!(start.elapsed(), Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(1)).await;
    append(&buffer, "two", 1);
    assert_eq!(taken(taker(&buffer, LINGERING).await).await, "two");
    assert_eq!(start.elapsed(), LINGERING.linger + Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn records_no_longer_linger_once_the_buffer_is_told_so() {
    let buffer = spacious();
    append(&buffer, "one", 1);
    let start = Instant::now();
    let first = taker(&buffer, LINGERING).await;
    assert!(!first.is_finished());

    buffer.stop_lingering();

    assert_eq!(taken(first).await, "one");
    append(&buffer, "two", 1);
    assert_eq!(taken(taker(&buffer, LINGERING).await).await, "two");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn close_ends_every_waiting_taker() {
    let buffer = spacious();
    let takers = [
        taker(&buffer, AT_ONCE).await,
        taker(&buffer, AT_ONCE).await,
        taker(&buffer, LINGERING).await,
    ];

    buffer.close();

    for taker in takers {
        assert_eq!(taken(taker).await, "the end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_buffer_hands_out_its_records_before_it_ends() {
    let buffer = spacious();
    append(&buffer, "one", 1);

    buffer.close();

    assert_eq!(taken(taker(&buffer, LINGERING).await).await, "one");
    assert_eq!(taken(taker(&buffer, LINGERING).await).await, "the end");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_take_takes_nothing() {
    let buffer = spacious();
    let cancelled = taker(&buffer, AT_ONCE).await;
    append(&buffer, "one", 1);

    cancelled.abort();
    settle_down().await;

    assert_eq!(buffer.status().ledger.in_flight, 0);
    assert_eq!(taken(taker(&buffer, AT_ONCE).await).await, "one");
}

#[tokio::test(start_paused = true)]
async fn a_taker_cancelled_when_it_is_woken_leaves_the_batch_to_another() {
    let buffer = spacious();
    let cancelled = taker(&buffer, AT_ONCE).await;
    let waiting = taker(&buffer, AT_ONCE).await;
    append(&buffer, "one", 1);

    cancelled.abort();

    assert_eq!(taken(waiting).await, "one");
}

#[tokio::test(start_paused = true)]
async fn two_waiting_takers_are_each_woken_even_if_the_first_never_takes_again() {
    let buffer = spacious();
    let takers = [taker(&buffer, AT_ONCE).await, taker(&buffer, AT_ONCE).await];

    append(&buffer, "one", 1);
    settle_down().await;
    append(&buffer, "two", 1);

    let [first, second] = takers;
    assert_eq!([taken(first).await, taken(second).await], ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_taker_lingers_too_even_if_the_first_never_takes_again() {
    let buffer = spacious();
    let takers = [taker(&buffer, LINGERING).await, taker(&buffer, LINGERING).await];
    append(&buffer, "one", 1);
    tokio::time::sleep(LINGER + Duration::from_millis(1)).await;
    append(&buffer, "two", 1);
    let arrived = Instant::now();

    let [first, second] = takers;
    assert_eq!([taken(first).await, taken(second).await], ["one", "two"]);
    assert_eq!(arrived.elapsed(), LINGER);
}

#[tokio::test(start_paused = true)]
async fn a_taker_cancelled_while_it_lingers_leaves_the_batch_to_another() {
    let buffer = spacious();
    let cancelled = taker(&buffer, LINGERING).await;
    let waiting = taker(&buffer, LINGERING).await;
    append(&buffer, "one", 1);
    let arrived = Instant::now();
    settle_down().await;

    cancelled.abort();

    assert_eq!(taken(waiting).await, "one");
    assert_eq!(arrived.elapsed(), LINGER);
}

#[tokio::test(start_paused = true)]
async fn a_requeued_batch_wakes_a_waiting_taker() {
    let buffer = spacious();
    append(&buffer, "one", 1);
    let batch = take(&buffer).await;
    let waiting = [taker(&buffer, AT_ONCE).await, taker(&buffer, AT_ONCE).await];

    buffer.requeue(batch);

    let [first, second] = waiting;
    assert_eq!(taken(first).await, "one");
    assert!(!second.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_taker_is_not_woken_by_spans_that_were_evicted_again() {
    let buffer = spacious();
    let waiting = taker(&buffer, AT_ONCE).await;
    append(&buffer, "one", 1);
    buffer.drop_all(DropReason::Shutdown);
    settle_down().await;
    assert!(!waiting.is_finished());

    append(&buffer, "two", 1);

    assert_eq!(taken(waiting).await, "two");
}

/// Unblocks a taker that waits for a record behind a batch in flight.
type Unblock = fn(&TestBuffer, Batch);

#[tokio::test(start_paused = true)]
async fn a_taker_blocked_by_a_batch_in_flight_continues_once_it_is_unblocked() {
    let cases: [(&str, Unblock); 5] = [
        ("second", |buffer, batch| {
            buffer.acknowledge(batch, BatchOutcome::Delivered { rejected_spans: 0 });
        }),
        ("second", |buffer, mut batch| {
            let part = BatchOutcome::Delivered { rejected_spans: 0 };
            buffer.acknowledge_part(&mut batch, 2, part);
        }),
        ("first", |buffer, batch| buffer.requeue(batch)),
        ("second", |buffer, _| buffer.set_limits(limits(12, PLENTY))),
        // Evicts all but one span of the second record.
        ("second", |buffer, _| {
            append(buffer, "third", 4);
        }),
    ];
    for (expected, unblock) in cases {
        let buffer = buffer_of(8, PLENTY);
        append(&buffer, "first", 3);
        append(&buffer, "second", 3);
        let batch = take(&buffer).await;
        buffer.close();
        let taker = taker(&buffer, AT_ONCE).await;
        assert!(!taker.is_finished(), "{expected}");

        unblock(&buffer, batch);

        assert_eq!(taken(taker).await, expected);
    }
}
