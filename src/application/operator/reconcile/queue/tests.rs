use std::sync::Arc;

use tokio::time::timeout;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn item(name: &str) -> WorkItem {
    WorkItem::TraceBuffer(ObjectKey { namespace: "shop".into(), name: name.into() })
}

/// A queue as a leader uses it.
fn open_queue() -> WorkQueue {
    let queue = WorkQueue::default();
    queue.open();
    queue
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn an_item_that_changes_often_is_handed_out_once_and_is_not_postponed() {
    let queue = open_queue();
    let started = Instant::now();
    for _ in 0..100 {
        queue.schedule(item("a"), ms(1000));
        tokio::time::advance(ms(9)).await;
    }

    assert_eq!(queue.next().await, item("a"));

    assert_eq!(started.elapsed().as_millis() / 10, 100);
    assert!(timeout(MINUTE, queue.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_earliest_time_counts() {
    let queue = open_queue();
    let started = Instant::now();
    queue.schedule(item("a"), ms(1000));
    queue.schedule(item("a"), ms(100));
    queue.schedule(item("a"), ms(500));

    queue.next().await;

    assert_eq!(started.elapsed().as_millis() / 10, 10);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_item_wakes_a_worker_that_waits_for_a_later_one() {
    let queue = Arc::new(open_queue());
    queue.schedule(item("late"), MINUTE);
    let waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.next().await }
    });
    tokio::time::sleep(ms(10)).await;

    queue.schedule(item("soon"), ms(10));

    assert_eq!(waiting.await.unwrap(), item("soon"));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_changes_while_it_is_processed_is_handed_out_again_afterwards() {
    let queue = open_queue();
    queue.schedule(item("a"), Duration::ZERO);
    let first = queue.next().await;

    queue.schedule(item("a"), Duration::ZERO);
    assert!(timeout(MINUTE, queue.next()).await.is_err());
    queue.done(first, ReconcileAction::AwaitChange, 0);

    assert_eq!(queue.next().await, item("a"));
}

#[tokio::test(start_paused = true)]
async fn every_worker_gets_an_item_if_there_are_enough() {
    let queue = Arc::new(open_queue());
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move { queue.next().await })
        })
        .collect();
    tokio::time::sleep(ms(1)).await;

    for name in ["a", "b", "c"] {
        queue.schedule(item(name), ms(100));
    }

    let mut items = vec![];
    for worker in workers {
        items.push(timeout(MINUTE, worker).await.unwrap().unwrap());
    }
    items.sort();
    assert_eq!(items, [item("a"), item("b"), item("c")]);
}

#[tokio::test(start_paused = true)]
async fn the_back_off_grows_with_each_failure_and_starts_over_after_a_success() {
    let queue = open_queue();
    queue.schedule(item("a"), Duration::ZERO);
    let mut waits = vec![];
    for (outcome, random_ms) in [
        (ReconcileAction::Retry, 100),
        (ReconcileAction::Retry, 200),
        (ReconcileAction::Retry, 400),
        (ReconcileAction::RequeueAfter(ms(10)), 0),
        (ReconcileAction::Retry, 100),
    ] {
        let next = queue.next().await;
        let random = ms(random_ms).as_nanos().try_into().unwrap();
        queue.done(next, outcome, random);
        let due = queue.state.lock().due[&item("a")];
        waits.push(due.duration_since(Instant::now()).as_millis());
    }
    assert_eq!(waits, [600, 700, 900, 10, 600]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_queue_drops_its_items_and_accepts_no_others() {
    let queue = open_queue();
    queue.schedule(item("a"), Duration::ZERO);

    queue.close();
    queue.schedule(item("b"), Duration::ZERO);
    queue.open();

    assert_eq!(queue.len(), 0);
    assert!(timeout(MINUTE, queue.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_change_does_not_shorten_the_wait_after_a_failure() {
    let queue = open_queue();
    for changes_while_processed in [false, true] {
        queue.schedule(item("a"), Duration::ZERO);
        let failing = queue.next().await;
        if changes_while_processed {
            queue.schedule(item("a"), ms(2));
        }
        let random = ms(100).as_nanos().try_into().unwrap();
        queue.done(failing, ReconcileAction::Retry, random);
        if !changes_while_processed {
            queue.schedule(item("a"), ms(2));
        }

        assert!(timeout(ms(590), queue.next()).await.is_err(), "{changes_while_processed}");
        let retried = timeout(ms(20), queue.next()).await.unwrap();
        queue.done(retried, ReconcileAction::AwaitChange, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_after_a_success_is_not_delayed_by_an_earlier_failure() {
    let queue = open_queue();
    queue.schedule(item("a"), Duration::ZERO);
    let failing = queue.next().await;
    queue.done(failing, ReconcileAction::Retry, 0);
    let retried = queue.next().await;
    queue.done(retried, ReconcileAction::AwaitChange, 0);

    queue.schedule(item("a"), ms(2));

    assert!(timeout(ms(10), queue.next()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_new_status_of_a_trace_buffer_concerns_no_other_item() {
    let queue = open_queue();

    queue.trace_buffer_status_changed(&ObjectKey { namespace: "shop".into(), name: "a".into() });

    assert_eq!(queue.next().await, item("a"));
    assert!(timeout(MINUTE, queue.next()).await.is_err());
}
