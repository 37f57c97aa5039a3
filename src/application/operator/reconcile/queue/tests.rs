use std::sync::Arc;

use tokio::time::timeout;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn item(name: &str) -> WorkItem {
    WorkItem::TraceBuffer(ObjectKey { namespace: "shop".into(), name: name.into() })
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn what_changes_often_is_handed_out_once_and_not_put_off() {
    let queue = WorkQueue::default();
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
async fn the_sooner_time_counts() {
    let queue = WorkQueue::default();
    let started = Instant::now();
    queue.schedule(item("a"), ms(1000));
    queue.schedule(item("a"), ms(100));
    queue.schedule(item("a"), ms(500));

    queue.next().await;

    assert_eq!(started.elapsed().as_millis() / 10, 10);
}

#[tokio::test(start_paused = true)]
async fn a_sooner_item_wakes_who_waits_for_a_later_one() {
    let queue = Arc::new(WorkQueue::default());
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
async fn what_is_being_looked_at_is_not_handed_out_twice_but_again_afterwards() {
    let queue = WorkQueue::default();
    queue.schedule(item("a"), Duration::ZERO);
    let first = queue.next().await;

    queue.schedule(item("a"), Duration::ZERO);
    assert!(timeout(MINUTE, queue.next()).await.is_err());
    queue.done(first, ReconcileAction::AwaitChange, 0);

    assert_eq!(queue.next().await, item("a"));
}

#[tokio::test(start_paused = true)]
async fn every_worker_gets_something_when_there_is_enough() {
    let queue = Arc::new(WorkQueue::default());
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

    let mut got = vec![];
    for worker in workers {
        got.push(timeout(MINUTE, worker).await.unwrap().unwrap());
    }
    got.sort();
    assert_eq!(got, [item("a"), item("b"), item("c")]);
}

#[tokio::test(start_paused = true)]
async fn each_failure_is_waited_after_longer_and_a_success_starts_over() {
    let queue = WorkQueue::default();
    queue.schedule(item("a"), Duration::ZERO);
    let mut waits = vec![];
    for (outcome, random_ms) in [
        (ReconcileAction::Retry, 100),
        (ReconcileAction::Retry, 200),
        (ReconcileAction::Retry, 400),
        (ReconcileAction::RequeueAfter(ms(10)), 0),
        (ReconcileAction::Retry, 100),
    ] {
        let got = queue.next().await;
        let random = ms(random_ms).as_nanos().try_into().unwrap();
        queue.done(got, outcome, random);
        let due = queue.state.lock().due[&item("a")];
        waits.push(due.duration_since(Instant::now()).as_millis());
    }
    assert_eq!(waits, [600, 700, 900, 10, 600]);
}

#[tokio::test(start_paused = true)]
async fn what_was_forgotten_is_not_handed_out() {
    let queue = WorkQueue::default();
    queue.schedule(item("a"), Duration::ZERO);

    queue.clear();

    assert!(timeout(MINUTE, queue.next()).await.is_err());
}
