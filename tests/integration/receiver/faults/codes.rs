//! Responses that refuse spans, and malformed responses.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tracebuffer::adapters::messaging::destination::config::Protocol;

use crate::support::pipeline::{
    Pipeline, dropped_spans, failed_requests, over_both_protocols, rejected_spans, sent_spans,
};
use crate::support::scripted_destination::{RawResponse, ScriptedResponse};

/// A response code and its name in the metrics.
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

fn refusal(protocol: Protocol, code: i32) -> ScriptedResponse {
    match protocol {
        Protocol::Grpc if code > 16 => ScriptedResponse::RawResponse(RawResponse::grpc(b"", code)),
        Protocol::Grpc => ScriptedResponse::grpc(code),
        Protocol::Http => ScriptedResponse::http(u16::try_from(code).expect("a status")),
    }
}

#[tokio::test]
async fn spans_refused_with_a_retryable_code_are_sent_again() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        let codes = match protocol {
            Protocol::Grpc => RETRYABLE_GRPC,
            Protocol::Http => RETRYABLE_HTTP,
        };

        for &(code, _) in codes {
            pipeline.destination.script([refusal(protocol, code)]);
            pipeline
                .while_auditing(async {
                    pipeline.send(2, 3).await;
                    pipeline.destination.wait_for_spans(pipeline.span_count()).await;
                })
                .await;
            pipeline.wait_until_drained().await;
        }

        let metrics = pipeline.assert_all_arrived().await;
        for &(code, name) in codes {
            assert_eq!(failed_requests(&metrics, name, false), 1, "code {code}: {metrics:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_retry_delay_that_a_destination_asks_for_is_respected() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        let asked = Duration::from_secs(1);
        pipeline.destination.script([match protocol {
            // Without the delay this code would be permanent.
            Protocol::Grpc => {
                ScriptedResponse::Grpc { code: 8, message: "busy", retry_after: Some(asked) }
            }
            Protocol::Http => ScriptedResponse::Http {
                status: 429,
                message: "busy",
                retry_after: Some("1".to_owned()),
            },
        }]);

        let started = Instant::now();
        pipeline
            .while_auditing(async {
                pipeline.send(5, 3).await;
                pipeline.destination.wait_for_spans(15).await;
            })
            .await;

        pipeline.assert_all_arrived().await;
        assert!(started.elapsed() >= asked);
    })
    .await;
}

#[tokio::test]
async fn spans_refused_with_a_permanent_code_are_dropped_and_counted() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        let codes = match protocol {
            Protocol::Grpc => PERMANENT_GRPC,
            Protocol::Http => PERMANENT_HTTP,
        };

        let mut expected = Vec::new();
        for &(code, _) in codes {
            pipeline.destination.script([refusal(protocol, code)]);
            pipeline.while_auditing(pipeline.send(1, 2)).await;
            pipeline.while_auditing(pipeline.wait_until_drained()).await;
            let lost = pipeline.span_count();
            pipeline.while_auditing(pipeline.send(1, 3)).await;
            pipeline.while_auditing(pipeline.wait_until_drained()).await;
            expected.extend((lost..pipeline.span_count()).map(|number| number.to_string()));
        }

        let metrics = pipeline.wait_until_drained().await;
        assert_eq!(pipeline.destination.received_names(), expected);
        assert_eq!(sent_spans(&metrics), 3 * codes.len() as u64);
        assert_eq!(dropped_spans(&metrics, "permanent"), 2 * codes.len() as u64);
        for &(code, name) in codes {
            assert_eq!(failed_requests(&metrics, name, true), 1, "code {code}: {metrics:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn spans_a_destination_rejected_are_counted_and_not_sent_again() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        // The last three counts are impossible: each request has five spans.
        for (rejected, counted) in [(2, 2), (5, 5), (0, 0), (-1, 0), (6, 5), (i64::MAX, 5)] {
            let before = pipeline.wait_until_drained().await;
            pipeline
                .destination
                .script([ScriptedResponse::PartialSuccess { rejected, message: "scripted" }]);
            pipeline.while_auditing(pipeline.send(1, 5)).await;

            let after = pipeline.while_auditing(pipeline.wait_until_drained()).await;

            let newly_rejected = rejected_spans(&after) - rejected_spans(&before);
            assert_eq!(newly_rejected, counted, "for {rejected}");
            assert_eq!(sent_spans(&after) - sent_spans(&before), 5 - counted, "for {rejected}");
        }
        assert_eq!(pipeline.destination.requests().len(), 6, "none was sent twice");
    })
    .await;
}

#[tokio::test]
async fn a_malformed_response_loses_no_span() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[]).await;
        let garbage = match protocol {
            Protocol::Grpc => garbage_grpc_responses(),
            Protocol::Http => garbage_http_responses(),
        };

        for reply in garbage {
            pipeline.destination.script([ScriptedResponse::RawResponse(reply)]);
            pipeline.while_auditing(pipeline.send(2, 3)).await;
            pipeline.while_auditing(pipeline.wait_until_drained()).await;
        }

        let metrics = pipeline.wait_until_drained().await;
        assert_eq!(sent_spans(&metrics), pipeline.span_count() as u64);
        let mut read: Vec<usize> = (pipeline.destination.requests().iter())
            .flat_map(|request| &request.spans)
            .map(|span| span.name.parse().expect("a number"))
            .collect();
        read.dedup();
        assert!(read.is_sorted_by_key(|number| number / 6), "{read:?}");
        read.sort_unstable();
        read.dedup();
        assert_eq!(read, (0..pipeline.span_count()).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn spans_answered_by_a_web_page_are_sent_again() {
    let pipeline = Pipeline::start(Protocol::Http, &[]).await;
    let page = |content_type: &str, body: &'static str| {
        ScriptedResponse::RawResponse(RawResponse {
            body: Bytes::from_static(body.as_bytes()),
            headers: vec![("content-type", content_type.to_owned())],
            ..RawResponse::default()
        })
    };
    pipeline.destination.script([
        page("text/html", "<html><head><title>Sign in to Corp</title>"),
        page("text/plain", "<!DOCTYPE html><p>Sign in to Corp"),
    ]);

    pipeline
        .while_auditing(async {
            pipeline.send(2, 3).await;
            pipeline.destination.wait_for_spans(6).await;
        })
        .await;

    let metrics = pipeline.assert_all_arrived().await;
    assert_eq!(failed_requests(&metrics, "ANSWER", false), 2, "{metrics:#?}");
    let log = pipeline.receiver.log();
    assert!(log.contains("web page") && log.contains("Sign in to Corp"), "{log}");
}

#[tokio::test]
async fn a_partial_success_is_counted_whatever_the_answer_is_compressed_with() {
    over_both_protocols(async |protocol| {
        for encoding in ["gzip", "zstd"] {
            let pipeline = Pipeline::start(protocol, &[("COMPRESSION", encoding)]).await;
            let answer = RawResponse::partial_success(protocol, 3, encoding);
            pipeline.destination.script([ScriptedResponse::RawResponse(answer)]);

            pipeline.while_auditing(pipeline.send(1, 100)).await;
            let metrics = pipeline.while_auditing(pipeline.wait_until_drained()).await;

            assert_eq!((sent_spans(&metrics), rejected_spans(&metrics)), (97, 3), "{encoding}");
        }
    })
    .await;
}

fn garbage_grpc_responses() -> Vec<RawResponse> {
    let success = RawResponse::grpc(b"", 0);
    vec![
        RawResponse { body: Bytes::from_static(b"\xff\xff\xff"), ..success.clone() },
        RawResponse { body: Bytes::from_static(b"\0\xff\xff\xff\xff\x0a"), ..success.clone() },
        RawResponse {
            trailers: vec![("grpc-status", "all is well".to_owned())],
            ..success.clone()
        },
        RawResponse { trailers: vec![], ..success.clone() },
        RawResponse { broken: true, trailers: vec![], ..success.clone() },
        RawResponse { body: Bytes::from(vec![0; 1 << 20]), ..success },
    ]
}

fn garbage_http_responses() -> Vec<RawResponse> {
    let success = RawResponse::protobuf(200, Vec::new());
    let body = |body: &'static [u8]| Bytes::from_static(body);
    let typed = |name: &str| vec![("content-type", name.to_owned())];
    vec![
        RawResponse { body: body(b"\xff\xff\xff"), ..success.clone() },
        RawResponse {
            body: body(b"{\"partialSuccess\":7"),
            headers: typed("application/json"),
            ..success.clone()
        },
        RawResponse { body: body(b"ok"), headers: typed("text/plain"), ..success.clone() },
        RawResponse { body: body(b"ok"), headers: vec![], ..success.clone() },
        RawResponse { body: body(b"\x0a"), broken: true, ..success.clone() },
        RawResponse { body: Bytes::from(vec![0; 1 << 20]), ..success },
    ]
}
