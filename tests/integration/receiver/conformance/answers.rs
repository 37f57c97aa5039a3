//! Responses: full success, partial success, warnings.
//!
//! gRPC, HTTP/1.1 and HTTP/2, each on both ports.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::messages::nested;
use super::recording;
use crate::support::client::{ALL_PROTOCOLS, ResponseKind, receiver_endpoints};
use crate::support::destinations::{RecordingDestination, UnreachableDestination};
use crate::support::receiver::ReceiverProcess;
use crate::support::samples::{decoded_spans, many_spans, serialized, span, spans};

/// OTLP, Full Success: "On success, the server response MUST be a `Export<signal>ServiceResponse`
/// message"; "The server MUST leave the `partial_success` field unset in case of a successful
/// response."
#[tokio::test]
async fn a_fully_accepted_request_gets_no_partial_success() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        let answer = endpoint.export(spans(&["a", "b"])).await;

        assert_eq!(answer.success_message().partial_success, None, "{endpoint:?}");
    }
    assert_eq!(receiver.metrics().await.accepted_spans(), 12);
}

/// OTLP, Full Success: "If the server receives an empty request (a request that does not carry any
/// telemetry data) the server SHOULD respond with success."
#[tokio::test]
async fn an_empty_request_succeeds() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        let answer = endpoint.export("").await;

        assert_eq!(answer.success_message().partial_success, None, "{endpoint:?}");
    }
}

/// OTLP, Empty Telemetry Envelopes: "receivers MAY ignore empty envelopes, and implementations
/// that receive and send (forward) OTLP payloads MAY drop empty envelopes."
#[tokio::test]
async fn empty_envelopes_succeed_and_are_not_forwarded() {
    let mut recorder = RecordingDestination::start().await;
    let receiver = recording(&recorder).await;
    let scope_spans = vec![ScopeSpans::default()];
    let envelopes =
        [ResourceSpans::default(), ResourceSpans { scope_spans, ..ResourceSpans::default() }];

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for envelope in envelopes.clone() {
            let request = ExportTraceServiceRequest { resource_spans: vec![envelope] };
            let answer = endpoint.export(request.encode_to_vec()).await;

            assert_eq!(answer.success_message().partial_success, None, "{endpoint:?}");
        }
    }
    receiver_endpoints(&receiver, ALL_PROTOCOLS)[0].export(spans(&["first"])).await;
    assert_eq!(recorder.next().await, spans(&["first"]));
}

/// OTLP, Partial Success: "Servers MAY also use the `partial_success` field to convey
/// warnings/suggestions to clients even when the server fully accepts the request": a request without
/// spans that holds something else is not an empty one, and would vanish otherwise.
#[tokio::test]
async fn a_request_that_holds_something_other_than_spans_gets_a_warning_that_names_it() {
    let receiver = ReceiverProcess::start(&[]).await;
    // A field 9, a field 1000 of ResourceSpans, and an export request of profiles.
    let messages: [(&[u8], &str); 3] = [
        (b"\x48\x01", "field 9 of ExportTraceServiceRequest"),
        (b"\x0a\x03\xc2\x3e\x00", "instrumentation_library_spans"),
        (b"\x0a\x02\x12\x00\x12\x02\x2a\x00", "no profiles"),
    ];

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for (message, seen) in messages {
            let partial = endpoint.export(message).await.partial_success();

            assert_eq!(partial.rejected_spans, 0, "{seen} over {endpoint:?}");
            assert!(partial.error_message.contains(seen), "{partial:?} over {endpoint:?}");
        }
    }
    let metrics = receiver.metrics().await;
    assert_eq!(metrics.sum::<i64>("tracebuffer_receiver_misdirected_requests_total", &[]), 18);
}

/// OTLP, Failures: "Non-retryable errors" name their cause: a request of another signal that was sent
/// to the traces endpoint is refused, or its records are rejected, with how to silence the signal.
#[tokio::test]
async fn the_records_of_another_signal_are_refused_with_how_to_silence_it() {
    let receiver = ReceiverProcess::start(&[]).await;
    // A log record with a time and a body; a metric with a name and a gauge of one point.
    let log = nested(2, &[&b"\x09\0\0\0\0\0\0\0\0"[..], &nested(5, &nested(1, b"text"))].concat());
    let point = nested(1, b"\x19\0\0\0\0\0\0\0\0");
    let metric = nested(2, &[nested(1, b"requests"), nested(5, &point)].concat());
    let in_scope = |record: &[u8]| nested(1, &nested(2, record));

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        let refused = endpoint.export(in_scope(&log)).await;
        assert_eq!(refused.kind(), ResponseKind::Malformed, "{endpoint:?}");
        let message = refused.error_status().message;
        assert!(message.contains("OTEL_LOGS_EXPORTER=none"), "{message}");

        let partial = endpoint.export(in_scope(&metric)).await.partial_success();
        assert_eq!(partial.rejected_spans, 1, "{endpoint:?}");
        assert!(partial.error_message.contains("OTEL_METRICS_EXPORTER=none"), "{partial:?}");
    }
}

/// OTLP, Partial Success: "the server MUST initialize the `partial_success` field […], and it MUST
/// set the respective `rejected_spans` […] field with the number of spans […] it rejected"; "The
/// server SHOULD populate the `error_message` field with a human-readable error message". What is
/// invalid: `trace.proto`, "An ID with all zeroes OR of length other than 16 bytes is considered
/// invalid".
#[tokio::test]
async fn an_invalid_span_is_rejected_alone_and_counted_with_the_reason() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for (invalid, reason) in invalid_spans() {
            let answer = endpoint.export(serialized(vec![span("a"), invalid, span("b")])).await;

            let partial = answer.partial_success();
            assert_eq!(partial.rejected_spans, 1, "{reason} over {endpoint:?}");
            let message = partial.error_message;
            assert!(message.starts_with("1 span was rejected: "), "{message}");
            assert!(message.contains(reason), "{message} does not contain {reason}");
        }
    }
}

/// OTLP, Partial Success: "If the request is only partially accepted (i.e. when the server accepts
/// only parts of the data and rejects the rest), the server response MUST be the same
/// `Export<signal>ServiceResponse` message as in the Full Success case."
#[tokio::test]
async fn a_request_without_any_valid_span_succeeds_with_all_of_them_rejected() {
    let receiver = ReceiverProcess::start(&[]).await;
    let invalid: Vec<_> = invalid_spans().into_iter().map(|(span, _)| span).collect();

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        let partial = endpoint.export(serialized(invalid.clone())).await.partial_success();

        assert_eq!(partial.rejected_spans, 9, "{endpoint:?}");
        assert!(partial.error_message.starts_with("9 spans were rejected"), "{partial:?}");
    }
    assert_eq!(receiver.metrics().await.accepted_spans(), 0);
}

/// OTLP, Partial Success: "when the server accepts only parts of the data and rejects the rest":
/// the accepted part is data like any other.
#[tokio::test]
async fn the_valid_spans_beside_an_invalid_one_are_forwarded() {
    let mut recorder = RecordingDestination::start().await;
    let receiver = recording(&recorder).await;
    let zero = Span { trace_id: vec![0; 16], ..span("zero") };

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        endpoint.export(serialized(vec![span("a"), zero.clone(), span("b")])).await;

        assert_eq!(decoded_spans(&recorder.next().await), [span("a"), span("b")], "{endpoint:?}");
    }
}

/// OTLP, Partial Success: "Servers MAY also use the `partial_success` field to convey
/// warnings/suggestions to clients even when the server fully accepts the request. In such cases,
/// the `rejected_<signal>` field MUST have a value of `0`, and the `error_message` field MUST be
/// non-empty."
#[tokio::test]
async fn a_nearly_full_buffer_is_reported_once_with_no_span_rejected() {
    for index in 0..6 {
        let unavailable = UnreachableDestination::new();
        let receiver =
            ReceiverProcess::start(&[("ENDPOINT", &unavailable.endpoint), ("MAX_SPANS", "10")])
                .await;
        let endpoint = receiver_endpoints(&receiver, ALL_PROTOCOLS)[index];

        let below = endpoint.export(many_spans(8)).await;
        let nearly_full = endpoint.export(many_spans(1)).await;
        let soon_after = endpoint.export(many_spans(1)).await;

        assert_eq!(below.success_message().partial_success, None, "{endpoint:?}");
        let warning = nearly_full.partial_success();
        assert_eq!(warning.rejected_spans, 0, "{endpoint:?}");
        assert!(warning.error_message.contains("90 % full"), "{warning:?}");
        assert_eq!(soon_after.success_message().partial_success, None, "{endpoint:?}");
    }
}

/// OTLP, Partial Success, as above: a full buffer accepts the newest spans and drops its oldest.
#[tokio::test]
async fn a_full_buffer_that_drops_its_oldest_spans_accepts_and_warns() {
    for index in 0..6 {
        let unavailable = UnreachableDestination::new();
        let receiver =
            ReceiverProcess::start(&[("ENDPOINT", &unavailable.endpoint), ("MAX_SPANS", "10")])
                .await;
        let endpoint = receiver_endpoints(&receiver, ALL_PROTOCOLS)[index];
        endpoint.export(many_spans(8)).await;

        let warning = endpoint.export(many_spans(4)).await.partial_success();

        assert_eq!(warning.rejected_spans, 0, "{endpoint:?}");
        assert!(warning.error_message.contains("drops its oldest spans"), "{warning:?}");
        let metrics = receiver.metrics().await;
        assert_eq!(metrics.accepted_spans(), 12);
        assert_eq!(metrics.unaccounted_spans(), 0);
    }
}

/// OTLP, OTLP/gRPC Throttling: "If the server is unable to keep up with the pace of data it
/// receives from the client then it SHOULD signal that fact to the client", by "code Unavailable
/// and MAY supply additional details via status using `RetryInfo`". OTLP/HTTP Throttling: "the server
/// SHOULD respond with `HTTP 429 Too Many Requests` or `HTTP 503 Service Unavailable` and MAY
/// include "Retry-After" header".
#[tokio::test]
async fn a_full_buffer_that_rejects_responds_unavailable_with_a_retry_delay() {
    let unavailable = UnreachableDestination::new();
    let settings =
        [("ENDPOINT", unavailable.endpoint.as_str()), ("MAX_SPANS", "10"), ("OVERFLOW", "reject")];
    let receiver = ReceiverProcess::start(&settings).await;
    let endpoints = receiver_endpoints(&receiver, ALL_PROTOCOLS);
    endpoints[0].export(many_spans(10)).await;

    for endpoint in endpoints {
        let answer = endpoint.export(many_spans(1)).await;

        assert_eq!(answer.kind(), ResponseKind::Unavailable, "{endpoint:?}");
        // With a longer delay SDKs give up: "big enough to give the server time to recover yet […]
        // not too big to cause the client to drop data while being throttled".
        let delay = answer.details().retry_info().and_then(|info| info.retry_delay).unwrap();
        assert_eq!(delay.as_secs(), 1, "{endpoint:?}");
        if answer.status == 503 {
            assert_eq!(answer.header("retry-after"), "1", "{endpoint:?}");
        }
    }
    assert_eq!(receiver.metrics().await.accepted_spans(), 10);
}

/// Spans that each break one rule for ids, with a part of the reason that is reported.
fn invalid_spans() -> Vec<(Span, &'static str)> {
    let valid = || span("invalid");
    let link = |trace_id: &[u8], span_id: &[u8]| Span {
        links: vec![Link {
            trace_id: trace_id.to_vec(),
            span_id: span_id.to_vec(),
            ..Link::default()
        }],
        ..valid()
    };
    vec![
        (Span { trace_id: vec![], ..valid() }, "trace_id has 0 bytes"),
        (Span { trace_id: vec![1; 15], ..valid() }, "trace_id has 15 bytes"),
        (Span { trace_id: vec![0; 16], ..valid() }, "trace_id is all zero"),
        (Span { span_id: vec![], ..valid() }, "span_id has 0 bytes"),
        (Span { span_id: vec![1; 9], ..valid() }, "span_id has 9 bytes"),
        (Span { span_id: vec![0; 8], ..valid() }, "span_id is all zero"),
        (Span { parent_span_id: vec![1; 4], ..valid() }, "parent_span_id has 4 bytes"),
        (link(&[1; 8], &[1; 8]), "a link's trace_id has 8 bytes"),
        (link(&[1; 16], &[1; 16]), "a link's span_id has 16 bytes"),
    ]
}
