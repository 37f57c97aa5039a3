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
    assert_eq!(log.lines(), [format!("{lost} spans=3 {why}")]);
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
