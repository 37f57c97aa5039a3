//! The log of the forwarder.

use super::*;
use crate::application::testing::CapturedLog;

#[tokio::test(start_paused = true)]
async fn an_outage_is_reported_once_and_so_is_its_end() {
    let (log, _guard) = CapturedLog::start();
    let mut failures = 50;
    let mut harness = Harness::new(move |_| {
        failures -= i32::from(failures > 0);
        if failures > 0 { fail(FailureKind::Unavailable) } else { accept() }
    });
    harness.store(&["ab", "c"]);

    harness.finish().await;

    let waiting = "WARN the destination does not accept spans; buffering and retrying";
    assert_eq!(
        log.lines(),
        [
            &format!("{waiting} code=\"TEST\" reason=scripted"),
            "INFO the destination accepts spans again waiting_spans=0",
        ]
    );
}

/// Unavailable with a reason.
fn outage(code: &'static str, reason: &'static str) -> ScriptedResponse {
    let unavailable = failure(FailureKind::Unavailable);
    ScriptedResponse::Fail(Failure { code, message: reason.into(), ..unavailable })
}

#[tokio::test(start_paused = true)]
async fn the_log_follows_an_outage_whose_code_or_reason_changes() {
    let (log, _guard) = CapturedLog::start();
    let reasons =
        [("CONNECT", "refused"), ("CONNECT", "refused"), ("503", "busy"), ("503", "full")];
    let mut responses = reasons.into_iter();
    let mut harness = Harness::new(move |_| match responses.next() {
        Some((code, reason)) => outage(code, reason),
        None => accept(),
    });
    harness.store(&["ab"]);

    harness.finish().await;

    let waiting = "WARN the destination does not accept spans; buffering and retrying";
    assert_eq!(
        log.lines(),
        [
            &format!("{waiting} code=\"CONNECT\" reason=refused"),
            &format!("{waiting} code=\"503\" reason=busy"),
            &format!("{waiting} code=\"503\" reason=full"),
            "INFO the destination accepts spans again waiting_spans=0",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_refusal_is_logged_too() {
    let (log, _guard) = CapturedLog::start();
    let mut responses = [fail(FailureKind::Refused), outage("503", "busy")].into_iter();
    let batch = BatchLimits { max_spans: 1, ..BATCH };
    let mut harness =
        Harness::with(limits(100, 10_000), batch, move |_| responses.next().unwrap_or_else(accept));
    harness.store(&["a", "b"]);

    harness.finish().await;

    let lines = log.lines();
    assert!(lines[0].starts_with("ERROR the destination permanently refused"), "{lines:?}");
    assert!(lines[1].contains("code=\"503\" reason=busy"), "{lines:?}");
    assert_eq!(lines[2], "INFO the destination accepts spans again waiting_spans=0");
}

#[tokio::test(start_paused = true)]
async fn reasons_that_alternate_are_logged_once_a_minute_and_the_last_one_is_logged() {
    let (log, _guard) = CapturedLog::start();
    let hour = secs(60 * 60);
    let mut count = 0;
    let mut harness = Harness::new(move |arrival| {
        count += 1;
        match (arrival.at > hour, count % 2) {
            (true, _) => outage("503", "at last"),
            (false, 0) => outage("CONNECT", "refused"),
            (false, _) => outage("TIMEOUT", "no response"),
        }
    });
    harness.store(&["ab"]);
    harness.start(1);

    sleep(hour + secs(3 * 60)).await;

    let lines = log.lines();
    assert!((50..70).contains(&lines.len()), "{}", lines.len());
    assert!(lines.last().unwrap().contains("at last"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_is_not_reported_as_an_outage() {
    let (log, _guard) = CapturedLog::start();
    let mut first = true;
    let mut harness = Harness::new(move |_| {
        if std::mem::take(&mut first) { fail(FailureKind::TooLarge) } else { accept() }
    });
    harness.store(&["a".repeat(100_000).as_str(); 2]);

    harness.finish().await;

    assert_eq!(log.lines(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn permanently_refused_spans_are_an_error_with_the_answer() {
    let (log, _guard) = CapturedLog::start();
    let mut harness = Harness::new(|_| fail(FailureKind::Refused));
    harness.store(&["abc"]);

    harness.finish().await;

    let lost = "ERROR the destination permanently refused spans; they are lost";
    let why = "code=\"TEST\" reason=scripted";
    assert_eq!(log.lines(), [format!("{lost} spans=3 bytes=3 {why}")]);
}

#[tokio::test(start_paused = true)]
async fn rejected_spans_are_an_error_and_a_message_alone_is_a_warning() {
    let (log, _guard) = CapturedLog::start();
    let mut answers = [(2, "too old"), (0, "nearly full")].into_iter();
    let batch = BatchLimits { max_spans: 3, ..BATCH };
    let mut harness = Harness::with(limits(100, 10_000), batch, move |_| {
        let (rejected_spans, message) = answers.next().unwrap();
        ScriptedResponse::Accept(Delivered { rejected_spans, message: message.to_owned() })
    });
    harness.store(&["abc", "def"]);

    harness.finish().await;

    let rejected = "ERROR the destination rejected spans; they are lost";
    let warned = "WARN the destination accepted the spans with a warning";
    assert_eq!(
        log.lines(),
        [
            format!("{rejected} rejected_spans=2 reason=too old"),
            format!("{warned} reason=nearly full"),
        ]
    );
}
