//! Answers that say no, and answers that say nothing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tracebuffer::adapters::messaging::destination::config::Protocol;

use crate::support::pipeline::{Pipeline, dropped, failed, over_both, rejected_spans, sent};
use crate::support::scripted_destination::{Answer, Reply};

/// A code to answer with, and its name in the metrics.
type Code = (i32, &'static str);

const RETRYABLE_GRPC: &[Code] = &[
    (1, "CANCELLED"),
    (4, "DEADLINE_EXCEEDED"),
    (10, "ABORTED"),
    (11, "OUT_OF_RANGE"),
    (14, "UNAVAILABLE"),
    (15, "DATA_LOSS"),
];
const RETRYABLE_HTTP: &[Code] = &[(429, "429"), (502, "502"), (503, "503"), (504, "504")];
const PERMANENT_GRPC: &[Code] = &[
    (2, "UNKNOWN"),
    (3, "INVALID_ARGUMENT"),
    (5, "NOT_FOUND"),
    (6, "ALREADY_EXISTS"),
    (7, "PERMISSION_DENIED"),
    (9, "FAILED_PRECONDITION"),
    (12, "UNIMPLEMENTED"),
    (13, "INTERNAL"),
    (16, "UNAUTHENTICATED"),
    (99, "OTHER"),
];
const PERMANENT_HTTP: &[Code] = &[
    (307, "3xx"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "4xx"),
    (500, "500"),
    (501, "5xx"),
];

fn refusal(protocol: Protocol, code: i32) -> Answer {
    match protocol {
        Protocol::Grpc if code > 16 => Answer::Reply(Reply::grpc(b"", code)),
        Protocol::Grpc => Answer::grpc(code),
        Protocol::Http => Answer::http(u16::try_from(code).expect("a status")),
    }
}

#[tokio::test]
async fn spans_refused_with_a_retryable_code_are_sent_again() {
    over_both(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        let codes = match protocol {
            Protocol::Grpc => RETRYABLE_GRPC,
            Protocol::Http => RETRYABLE_HTTP,
        };

        for &(code, _) in codes {
            pipeline.destination.script([refusal(protocol, code)]);
            pipeline
                .audited(async {
                    pipeline.send(2, 3).await;
                    pipeline.destination.spans_received(pipeline.named()).await;
                })
                .await;
            pipeline.quiet().await;
        }

        let metrics = pipeline.all_arrived().await;
        for &(code, name) in codes {
            assert_eq!(failed(&metrics, name, false), 1, "code {code}: {metrics:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_destination_that_names_a_time_is_left_alone_that_long() {
    over_both(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        let asked = Duration::from_secs(1);
        pipeline.destination.script([match protocol {
            // Without the time it would be a refusal for good.
            Protocol::Grpc => Answer::Grpc { code: 8, message: "busy", retry_after: Some(asked) },
            Protocol::Http => {
                Answer::Http { status: 429, message: "busy", retry_after: Some("1".to_owned()) }
            }
        }]);

        let started = Instant::now();
        pipeline
            .audited(async {
                pipeline.send(5, 3).await;
                pipeline.destination.spans_received(15).await;
            })
            .await;

        pipeline.all_arrived().await;
        assert!(started.elapsed() >= asked);
    })
    .await;
}

#[tokio::test]
async fn spans_refused_with_a_permanent_code_are_dropped_and_counted() {
    over_both(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        let codes = match protocol {
            Protocol::Grpc => PERMANENT_GRPC,
            Protocol::Http => PERMANENT_HTTP,
        };

        let mut expected = Vec::new();
        for &(code, _) in codes {
            pipeline.destination.script([refusal(protocol, code)]);
            pipeline.audited(pipeline.send(1, 2)).await;
            pipeline.audited(pipeline.quiet()).await;
            let lost = pipeline.named();
            pipeline.audited(pipeline.send(1, 3)).await;
            pipeline.audited(pipeline.quiet()).await;
            expected.extend((lost..pipeline.named()).map(|number| number.to_string()));
        }

        let metrics = pipeline.quiet().await;
        assert_eq!(pipeline.destination.received_names(), expected);
        assert_eq!(sent(&metrics), 3 * codes.len() as u64);
        assert_eq!(dropped(&metrics, "permanent"), 2 * codes.len() as u64);
        for &(code, name) in codes {
            assert_eq!(failed(&metrics, name, true), 1, "code {code}: {metrics:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn spans_a_destination_rejected_are_counted_and_not_sent_again() {
    over_both(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        // The last three cannot be: there are five spans in each request.
        for (rejected, counted) in [(2, 2), (5, 5), (0, 0), (-1, 0), (6, 5), (i64::MAX, 5)] {
            let before = pipeline.quiet().await;
            pipeline.destination.script([Answer::Partial { rejected, message: "scripted" }]);
            pipeline.audited(pipeline.send(1, 5)).await;

            let after = pipeline.audited(pipeline.quiet()).await;

            let newly_rejected = rejected_spans(&after) - rejected_spans(&before);
            assert_eq!(newly_rejected, counted, "for {rejected}");
            assert_eq!(sent(&after) - sent(&before), 5 - counted, "for {rejected}");
        }
        assert_eq!(pipeline.destination.requests().len(), 6, "none was sent twice");
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_costs_no_span() {
    over_both(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        let rubbish = match protocol {
            Protocol::Grpc => rubbish_grpc(),
            Protocol::Http => rubbish_http(),
        };

        for reply in rubbish {
            pipeline.destination.script([Answer::Reply(reply)]);
            pipeline.audited(pipeline.send(2, 3)).await;
            pipeline.audited(pipeline.quiet()).await;
        }

        let metrics = pipeline.quiet().await;
        assert_eq!(sent(&metrics), pipeline.named() as u64);
        let mut read: Vec<usize> = (pipeline.destination.requests().iter())
            .flat_map(|request| &request.spans)
            .map(|span| span.name.parse().expect("a number"))
            .collect();
        read.dedup();
        assert!(read.is_sorted_by_key(|number| number / 6), "{read:?}");
        read.sort_unstable();
        read.dedup();
        assert_eq!(read, (0..pipeline.named()).collect::<Vec<_>>());
    })
    .await;
}

fn rubbish_grpc() -> Vec<Reply> {
    let success = Reply::grpc(b"", 0);
    vec![
        Reply { body: Bytes::from_static(b"\xff\xff\xff"), ..success.clone() },
        Reply { body: Bytes::from_static(b"\0\xff\xff\xff\xff\x0a"), ..success.clone() },
        Reply { trailers: vec![("grpc-status", "all is well".to_owned())], ..success.clone() },
        Reply { trailers: vec![], ..success.clone() },
        Reply { broken: true, trailers: vec![], ..success.clone() },
        Reply { body: Bytes::from(vec![0; 1 << 20]), ..success },
    ]
}

fn rubbish_http() -> Vec<Reply> {
    let success = Reply::protobuf(200, Vec::new());
    let body = |body: &'static [u8]| Bytes::from_static(body);
    let typed = |name: &str| vec![("content-type", name.to_owned())];
    vec![
        Reply { body: body(b"\xff\xff\xff"), ..success.clone() },
        Reply {
            body: body(b"{\"partialSuccess\":7"),
            headers: typed("application/json"),
            ..success.clone()
        },
        Reply { body: body(b"<html>"), headers: typed("text/html"), ..success.clone() },
        Reply { body: body(b"<html>"), headers: vec![], ..success.clone() },
        Reply { body: body(b"\x0a"), broken: true, ..success.clone() },
        Reply { body: Bytes::from(vec![0; 1 << 20]), ..success },
    ]
}
