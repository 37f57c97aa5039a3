//! Draining the real buffer with real workers, to a scripted destination. A span is one letter.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::*;
use crate::application::fakes::{
    Answer, Arrival, FakeBuffer, FakeClock, FakeCutter, Log, RecordingMonitor, ScriptedDestination,
    Whereabouts, buffer, fail, failure, limits, store, take, whereabouts,
};
use crate::application::forward::ForwardTraces;
use crate::domain::delivery::{Failure, FailureKind};
use crate::domain::limits::{BatchLimits, OverflowPolicy};

const BATCH: BatchLimits = BatchLimits {
    max_spans: 4,
    max_bytes: 1_000,
    max_records: usize::MAX,
    linger: Duration::from_mins(1),
};
const TIMEOUT: Duration = Duration::from_secs(2);

type Forward =
    ForwardTraces<FakeBuffer, Arc<ScriptedDestination>, FakeCutter, RecordingMonitor, FakeClock>;

struct Workers {
    forward: Arc<Forward>,
    running: JoinSet<()>,
}

impl Forwarding for Workers {
    fn hurry(&self) {
        self.forward.hurry();
    }

    fn stop(&self) {
        self.forward.stop();
    }

    async fn ended(&mut self) {
        while let Some(worker) = self.running.join_next().await {
            worker.unwrap();
        }
    }
}

struct Scene {
    buffer: Arc<FakeBuffer>,
    destination: Arc<ScriptedDestination>,
    workers: Workers,
}

impl Scene {
    /// Starts `workers` that send to a destination that answers as `script` says.
    fn new(workers: usize, script: impl FnMut(&Arrival) -> Answer + Send + 'static) -> Self {
        let buffer = buffer(limits(1_000, 100_000), OverflowPolicy::DropOldest);
        let destination = ScriptedDestination::new(script);
        let forward = Arc::new(ForwardTraces::new(
            Arc::clone(&buffer),
            Arc::clone(&destination),
            FakeCutter,
            Arc::default(),
            FakeClock::new(),
            BATCH,
            || 50_000_000,
        ));
        let mut running = JoinSet::new();
        for _ in 0..workers {
            let forward = Arc::clone(&forward);
            running.spawn(async move { forward.run().await });
        }
        Self { buffer, destination, workers: Workers { forward, running } }
    }

    /// Drains and returns how it ended and how long it took.
    async fn drain(self) -> (Drained, Duration) {
        let start = Instant::now();
        let drained = drain(&*self.buffer, self.workers, TIMEOUT).await;
        (drained, start.elapsed())
    }
}

#[tokio::test(start_paused = true)]
async fn with_nothing_to_deliver_a_drain_ends_at_once() {
    let scene = Scene::new(3, |_| take());
    sleep(Duration::from_secs(1)).await;

    assert_eq!(scene.drain().await, (Drained::Empty, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_drain_delivers_at_once_what_waits_for_company() {
    let scene = Scene::new(1, |_| take());
    store(&scene.buffer, "ab");
    sleep(Duration::from_secs(1)).await;
    let (buffer, destination) = (Arc::clone(&scene.buffer), Arc::clone(&scene.destination));

    assert_eq!(scene.drain().await, (Drained::Empty, Duration::ZERO));

    assert_eq!(destination.taken(), "ab");
    assert_eq!(whereabouts(&buffer), Whereabouts { sent: 2, ..Whereabouts::default() });
}

#[tokio::test(start_paused = true)]
async fn a_drain_delivers_everything_oldest_first() {
    let scene = Scene::new(1, |_| take().after(Duration::from_millis(100)));
    for record in ["abc", "def", "ghi", "jkl"] {
        store(&scene.buffer, record);
    }
    let destination = Arc::clone(&scene.destination);

    let (drained, took) = scene.drain().await;

    assert_eq!(drained, Drained::Empty);
    assert_eq!(destination.taken(), "abcdefghijkl");
    assert!(took < Duration::from_millis(410), "took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_sit_out_the_pause_after_a_failure() {
    let retry_after = Some(Duration::from_mins(5));
    let away = Failure { retry_after, ..failure(FailureKind::Unavailable) };
    let mut answers = [Answer::Fail(away)].into_iter();
    let scene = Scene::new(1, move |_| answers.next().unwrap_or_else(take));
    store(&scene.buffer, "ab");
    scene.buffer.flush();
    sleep(Duration::from_secs(1)).await;

    assert_eq!(scene.drain().await, (Drained::Empty, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_what_waits_is_lost_and_counted() {
    let scene = Scene::new(1, |_| fail(FailureKind::Unavailable));
    store(&scene.buffer, "abc");
    store(&scene.buffer, "de");
    let buffer = Arc::clone(&scene.buffer);

    let (drained, took) = scene.drain().await;

    assert_eq!(drained, Drained::Lost(5));
    assert_eq!(buffer.status().ledger.dropped(DropReason::Shutdown), 5);
    assert_eq!(whereabouts(&buffer), Whereabouts { dropped: 5, ..Whereabouts::default() });
    assert!(took >= TIMEOUT && took < TIMEOUT + Duration::from_millis(5), "took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_what_is_on_the_wire_is_lost_and_counted() {
    let scene = Scene::new(2, |_| Answer::Never);
    store(&scene.buffer, "abc");
    store(&scene.buffer, "def");
    store(&scene.buffer, "ghi");
    let buffer = Arc::clone(&scene.buffer);
    buffer.flush();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(whereabouts(&buffer).in_flight, 6);

    let (drained, _) = scene.drain().await;

    assert_eq!(drained, Drained::Lost(9));
    assert_eq!(whereabouts(&buffer), Whereabouts { dropped: 9, ..Whereabouts::default() });
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_before_the_deadline_is_not_lost() {
    let scene = Scene::new(1, |_| take().after(Duration::from_millis(1_500)));
    store(&scene.buffer, "abc");
    store(&scene.buffer, "def");
    let buffer = Arc::clone(&scene.buffer);

    let (drained, _) = scene.drain().await;

    assert_eq!(drained, Drained::Lost(3));
    assert_eq!(whereabouts(&buffer), Whereabouts { sent: 3, dropped: 3, ..Default::default() });
}

#[tokio::test(start_paused = true)]
async fn spans_that_still_arrive_while_draining_are_delivered_too() {
    let scene = Scene::new(1, |_| take().after(Duration::from_millis(500)));
    store(&scene.buffer, "abc");
    let (buffer, destination) = (Arc::clone(&scene.buffer), Arc::clone(&scene.destination));
    let late = tokio::spawn({
        let buffer = Arc::clone(&buffer);
        async move {
            sleep(Duration::from_millis(250)).await;
            store(&buffer, "de");
        }
    });

    let (drained, _) = scene.drain().await;

    late.await.unwrap();
    assert_eq!(drained, Drained::Empty);
    assert_eq!(destination.taken(), "abcde");
}

#[tokio::test(start_paused = true)]
async fn spans_the_destination_refuses_while_draining_are_neither_delivered_nor_left() {
    let (log, _guard) = Log::start();
    let scene = Scene::new(1, |arrival| match arrival.payload.as_str() {
        "abc" => fail(FailureKind::Refused),
        _ => take(),
    });
    store(&scene.buffer, "abc");
    store(&scene.buffer, "de");
    let buffer = Arc::clone(&scene.buffer);

    let (drained, _) = scene.drain().await;

    assert_eq!(drained, Drained::Empty);
    assert_eq!(buffer.status().ledger.dropped(DropReason::Permanent), 3);
    assert_eq!(log.lines().last().unwrap(), "INFO nothing is left in the buffer sent_spans=2");
}

#[tokio::test(start_paused = true)]
async fn spans_lost_at_the_deadline_are_an_error() {
    let (log, _guard) = Log::start();
    let mut answers = [take()].into_iter();
    let scene = Scene::new(1, move |_| answers.next().unwrap_or(Answer::Never));
    store(&scene.buffer, "sent");
    sleep(Duration::from_mins(2)).await;
    store(&scene.buffer, "abc");

    scene.drain().await;

    assert_eq!(
        log.lines(),
        [
            "INFO delivering what is buffered before ending spans=3",
            "ERROR spans are lost: the destination did not take them before the deadline \
             spans=3 sent_spans=0",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_drain_nothing_more_is_accepted() {
    let scene = Scene::new(1, |_| take());
    let buffer = Arc::clone(&scene.buffer);

    scene.drain().await;

    let late = buffer.append_now(b"abc", std::num::NonZeroU32::MIN);
    assert_eq!(late, Err(crate::ports::buffer::AppendError::Sealed));
}
