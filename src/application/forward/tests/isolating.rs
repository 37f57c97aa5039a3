//! A record makes every request fail that contains it, without a word about the cause.

use super::*;
use crate::application::testing::CapturedLog;

/// Resets the connection at every request that contains an `X`.
fn resets_at_x(arrival: &ReceivedRequest) -> ScriptedResponse {
    if arrival.payload.contains('X') { fail(FailureKind::Inconclusive) } else { accept() }
}

#[tokio::test(start_paused = true)]
async fn the_record_at_fault_is_dropped_and_all_others_arrive() {
    for at_fault in 0..5 {
        let mut harness = Harness::new(resets_at_x);
        let mut records = vec!["ab", "cd", "ef", "gh"];
        records.insert(at_fault, "XX");
        harness.store(&records);
        harness.start(1);
        sleep(secs(60)).await;
        // Behind the last record there is none yet that could show that the destination works.
        let later: Vec<String> = ('i'..='z').map(|letter| letter.to_string()).collect();
        for record in &later {
            harness.store(&[record]);
            sleep(secs(60)).await;
        }

        harness.finish().await;

        let mut arrived: Vec<_> = harness.destination.accepted_spans().chars().collect();
        arrived.sort_unstable();
        assert_eq!(arrived, ('a'..='z').collect::<Vec<_>>(), "{at_fault}");
        assert_eq!(harness.lost_for_good(), 2, "{at_fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn adjacent_records_at_fault_are_all_dropped() {
    let mut harness = Harness::new(resets_at_x);
    harness.store(&["aX", "bX", "cX"]);
    harness.store(&["d"; 100]);

    harness.finish().await;

    assert_eq!((harness.ledger().sent, harness.lost_for_good()), (100, 6));
}

#[tokio::test(start_paused = true)]
async fn a_record_alone_in_the_queue_is_never_given_up() {
    let (log, _guard) = CapturedLog::start();
    let mut harness = Harness::new(resets_at_x);
    harness.store(&["XX"]);
    harness.start(1);

    sleep(secs(60 * 60)).await;

    assert_eq!(harness.ledger_totals(), LedgerTotals { buffered: 2, ..LedgerTotals::default() });
    assert!(!log.lines().iter().any(|line| line.contains("lost")), "{:?}", log.lines());
    harness.forward.stop();
    harness.ended().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_resets_loses_nothing_and_ends_with_whole_batches() {
    for kind in [FailureKind::Inconclusive, FailureKind::TimedOut] {
        let outage = secs(60 * 60);
        let mut harness = Harness::new(move |arrival| match arrival.at {
            at if at < outage => fail(kind),
            _ => accept(),
        });
        let records: Vec<String> = ('a'..='z').map(|letter| letter.to_string()).collect();
        for record in &records {
            harness.store(&[record]);
        }
        harness.start(1);
        sleep(outage + secs(60)).await;

        harness.finish().await;

        let mut arrived: Vec<_> = harness.destination.accepted_spans().chars().collect();
        arrived.sort_unstable();
        assert_eq!(arrived, ('a'..='z').collect::<Vec<_>>());
        assert_eq!(harness.lost_for_good(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flaky_network_loses_nothing() {
    let mut random = fastrand::Rng::with_seed(42);
    let mut harness = Harness::new(move |_| match random.u8(..10) {
        0..4 => fail(FailureKind::Inconclusive),
        _ => accept(),
    });
    harness.start(1);
    for letter in ('a'..='z').cycle().take(2_000) {
        harness.store(&[letter.to_string().as_str()]);
        sleep(millis(300)).await;
    }

    harness.finish().await;

    assert_eq!((harness.ledger().sent, harness.lost_for_good()), (2_000, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_records_are_held_returns_them_to_the_queue_in_order() {
    let mut harness = Harness::new(|_| fail(FailureKind::Inconclusive));
    harness.store(&["a", "b", "c", "d"]);
    harness.start(1);
    let singles = |harness: &Harness| {
        harness.destination.payloads().iter().filter(|payload| payload.len() == 1).count()
    };
    while singles(&harness) < 3 {
        sleep(millis(10)).await;
    }

    harness.forward.stop();
    harness.ended().await;

    assert_eq!(harness.ledger_totals(), LedgerTotals { buffered: 4, ..LedgerTotals::default() });
    let rest = harness.buffer.take(BATCH).await.unwrap().unwrap();
    assert_eq!(rest.payload.concat(), b"abcd");
    harness.buffer.requeue(rest);
}

#[tokio::test(start_paused = true)]
async fn the_dropped_record_is_reported() {
    let (log, _guard) = CapturedLog::start();
    let mut harness = Harness::new(resets_at_x);
    harness.store(&["XX"]);
    harness.store(&["ab"; 20]);

    harness.finish().await;

    let lost = "ERROR a record failed again and again while others were delivered; its spans are \
                lost spans=2 bytes=2 code=\"TEST\" reason=scripted";
    assert!(log.lines().iter().any(|line| line == lost), "{:#?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn several_workers_find_the_record_too() {
    let batch = BatchLimits { max_spans: 8, ..BATCH };
    let mut harness = Harness::with(limits(1 << 20, 1 << 30), batch, |arrival| {
        resets_at_x(arrival).delayed(millis(10))
    });
    for n in 0..2_000 {
        harness.store(&[if n == 100 { "X" } else { "a" }]);
    }
    harness.start(4);

    harness.finish().await;

    assert_eq!((harness.ledger().sent, harness.lost_for_good()), (1_999, 1));
}
