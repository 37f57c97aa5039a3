use std::sync::atomic::Ordering;

use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};

use super::*;
use crate::adapters::messaging::testing::{
    BodyEvent, FakeReceiver, ScriptedBody, frame_message, gzip, one_span, peer,
    two_spans_one_invalid, watching_head,
};
use crate::domain::observability::InvalidSpan;
use crate::ports::receive::ReceiveError;
use tokio::time::Instant;

const LIMIT: usize = 1 << 10;
/// Clients may refuse larger response headers (gRPC, PROTOCOL-HTTP2).
const MAX_HEADER_BYTES: usize = 8 << 10;

/// A response whose body has been read.
struct TestResponse {
    head: http::response::Parts,
    body: Bytes,
    trailers: HeaderMap,
}

impl TestResponse {
    fn status(&self) -> Status {
        let place = if self.trailers.is_empty() { &self.head.headers } else { &self.trailers };
        Status::from_header_map(place).unwrap()
    }
}

fn request(body: ScriptedBody) -> Request<ScriptedBody> {
    Request::post(EXPORT_PATH).header(CONTENT_TYPE, "application/grpc").body(body).unwrap()
}

fn message(message: &[u8]) -> Request<ScriptedBody> {
    request(ScriptedBody::pieces([frame_message(0, message)]))
}

async fn send(
    handler: &ExportHandler<FakeReceiver, FakeReceiver>,
    request: Request<ScriptedBody>,
) -> TestResponse {
    let (head, body) = handle(handler, peer(0), request).await.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    TestResponse { head, body: body.to_bytes(), trailers }
}

/// Handles a request with a receiver that returns `result`.
async fn response_to(result: Result<ExportResult, ReceiveError>) -> TestResponse {
    send(&FakeReceiver::returning(result).handler(LIMIT), message(&one_span())).await
}

async fn send_invalid(request: Request<ScriptedBody>) -> Status {
    let handler = FakeReceiver::accepting().handler(LIMIT);
    let status = send(&handler, request).await.status();
    assert!(handler.receiver.calls.lock().received.is_empty());
    status
}

fn decode_response(response: &TestResponse) -> ExportTraceServiceResponse {
    assert_eq!(response.status().code(), Code::Ok);
    let length = u32::try_from(response.body.len() - 5).unwrap();
    assert_eq!(response.body[..5], [&[0][..], &length.to_be_bytes()].concat());
    ExportTraceServiceResponse::decode(&response.body[5..]).unwrap()
}

#[tokio::test]
async fn full_success_is_an_empty_message_and_a_status_in_trailers() {
    let response = response_to(Ok(ExportResult::default())).await;

    assert_eq!(response.head.headers[CONTENT_TYPE], "application/grpc");
    assert_eq!(response.body, FULL_SUCCESS_FRAME);
    assert_eq!(response.trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_receipt_with_rejected_spans_or_a_warning_is_a_partial_success() {
    for rejected_spans in [0, 3] {
        let error_message = "look".to_owned();
        let result =
            ExportResult { rejected_spans, message: error_message.clone(), misdirected: false };

        let response = response_to(Ok(result)).await;

        let rejected_spans = i64::try_from(rejected_spans).unwrap();
        let expected = ExportTracePartialSuccess { rejected_spans, error_message };
        assert_eq!(decode_response(&response).partial_success, Some(expected));
    }
}

#[tokio::test]
async fn the_receiver_gets_the_sent_bytes_and_the_number_of_spans() {
    let handler = FakeReceiver::accepting().handler(LIMIT);

    send(&handler, message(&one_span())).await;

    let calls = handler.receiver.calls.lock();
    let (transport, request) = &calls.received[0];
    assert_eq!(*transport, Transport::Grpc);
    assert_eq!(request.payload, one_span());
    assert_eq!((request.spans, request.rejected_spans), (1, 0));
    assert_eq!(calls.responses, [(Transport::Grpc, ResponseStatus::Accepted)]);
}

#[tokio::test]
async fn the_receiver_gets_the_valid_spans_and_the_number_of_invalid_ones() {
    let handler = FakeReceiver::accepting().handler(LIMIT);

    send(&handler, message(&two_spans_one_invalid())).await;

    let (_, request) = handler.receiver.calls.lock().received.pop().unwrap();
    assert_eq!(request.payload, one_span());
    assert_eq!((request.spans, request.rejected_spans), (1, 1));
    assert_eq!(request.first_invalid, Some(InvalidSpan::TraceIdZero));
    assert_eq!(request.payload.try_into_mut().unwrap().capacity(), one_span().len());
}

#[tokio::test]
async fn an_empty_message_is_received_as_no_spans() {
    let handler = FakeReceiver::accepting().handler(LIMIT);

    send(&handler, message(b"")).await;

    assert_eq!(handler.receiver.calls.lock().received[0].1.spans, 0);
}

#[tokio::test]
async fn a_request_too_large_for_the_buffer_is_resource_exhausted_without_retry_info() {
    let status = response_to(Err(ReceiveError::TooLarge("too large".to_owned()))).await.status();

    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "too large"));
    assert!(status.get_details_retry_info().is_none());
}

#[tokio::test]
async fn a_request_that_cannot_be_accepted_now_is_unavailable_with_retry_info() {
    let handler = FakeReceiver::returning(Err(ReceiveError::Unavailable("full".to_owned())));
    let handler = handler.handler(LIMIT);

    let status = send(&handler, message(&one_span())).await.status();

    assert_eq!((status.code(), status.message()), (Code::Unavailable, "full"));
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(RETRY_DELAY));
    let calls = handler.receiver.calls.lock();
    assert_eq!(calls.responses, [(Transport::Grpc, ResponseStatus::Unavailable)]);
}

#[tokio::test]
async fn a_malformed_message_is_an_invalid_argument_with_the_problem_and_its_position() {
    let status = send_invalid(message(&[0xff])).await;

    assert_eq!(status.code(), Code::InvalidArgument);
    let bad = status.get_details_bad_request().unwrap();
    assert_eq!(bad.field_violations[0].description, status.message());
    assert!(status.message().starts_with("byte 0, in ExportTraceServiceRequest"), "{status}");
}

#[tokio::test]
async fn a_message_larger_than_allowed_is_resource_exhausted() {
    let status = send_invalid(message(&[0; LIMIT + 1])).await;

    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.details().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_arrive_in_time_is_deadline_exceeded() {
    let status = send_invalid(request(ScriptedBody::new([BodyEvent::Stall]))).await;

    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_the_deadline_of_its_client() {
    for (timeout, expected) in
        [("250m", Duration::from_millis(250)), ("3S", Duration::from_secs(3))]
    {
        let mut request = request(ScriptedBody::new([BodyEvent::Stall]));
        request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        let started = Instant::now();

        let status = send_invalid(request).await;

        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(status.message().contains("grpc-timeout"), "{status}");
        assert_eq!(started.elapsed(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_timeout_is_ignored() {
    for timeout in ["", "soon", "1", "-1S", "123456789S"] {
        let mut request = request(ScriptedBody::new([BodyEvent::Stall]));
        request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        let started = Instant::now();

        let status = send_invalid(request).await;

        assert_eq!(status.code(), Code::DeadlineExceeded, "{timeout}");
        assert_eq!(started.elapsed(), Duration::from_secs(30), "{timeout}");
    }
}

#[tokio::test]
async fn the_head_is_freed_before_the_body_is_read() {
    let (mut request, body) = watching_head(request);
    request.headers_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    request.headers_mut().insert("grpc-timeout", "1S".parse().unwrap());

    let status = send(&FakeReceiver::accepting().handler(LIMIT), request).await.status();

    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(body.load(Ordering::Relaxed), "the body was read");
}

#[tokio::test]
async fn a_compressed_message_without_an_encoding_is_internal() {
    for encoding in [None, Some("identity")] {
        let mut request = request(ScriptedBody::pieces([frame_message(1, &gzip(&one_span()))]));
        if let Some(encoding) = encoding {
            request.headers_mut().insert("grpc-encoding", encoding.parse().unwrap());
        }

        let status = send_invalid(request).await;

        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("compressed flag"), "{status}");
    }
}

#[tokio::test]
async fn another_signal_is_told_how_to_silence_it() {
    for (service, advice) in [
        ("logs.v1.LogsService", "OTEL_LOGS_EXPORTER=none"),
        ("metrics.v1.MetricsService", "OTEL_METRICS_EXPORTER=none"),
        ("profiles.v1development.ProfilesService", "no profiles"),
    ] {
        let mut request = request(ScriptedBody::new([BodyEvent::PanicIfPolled]));
        let path = format!("/opentelemetry.proto.collector.{service}/Export");
        *request.uri_mut() = path.parse().unwrap();

        let status = send_invalid(request).await;

        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains(advice), "{status}");
    }
}

#[tokio::test]
async fn another_method_or_service_is_unimplemented_and_nothing_is_read() {
    for path in [
        "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        "/OPENTELEMETRY.proto.collector.trace.v1.TraceService/Export",
        "/v1/traces",
        "/",
    ] {
        let mut request = request(ScriptedBody::new([BodyEvent::PanicIfPolled]));
        *request.uri_mut() = path.parse().unwrap();

        let status = send_invalid(request).await;

        assert_eq!(status.code(), Code::Unimplemented, "{path}");
        assert!(status.message().contains(path), "{status}");
    }
}

#[tokio::test]
async fn only_post_is_implemented() {
    let mut request = request(ScriptedBody::new([BodyEvent::PanicIfPolled]));
    *request.method_mut() = Method::GET;

    assert_eq!(send_invalid(request).await.code(), Code::Unimplemented);
}

#[tokio::test]
async fn only_protobuf_is_implemented() {
    for (content_type, taken) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("Application/GRPC+Proto", true),
        ("application/grpc; charset=utf-8", true),
        ("application/grpc+proto ;a=b", true),
        ("application/grpc+json", false),
        ("application/grpc+JSON; a=b", false),
        ("application/grpc+thrift", false),
        ("application/grpcproto", false),
    ] {
        let mut request = message(&one_span());
        request.headers_mut().insert(CONTENT_TYPE, content_type.parse().unwrap());
        let handler = FakeReceiver::accepting().handler(LIMIT);

        let status = send(&handler, request).await.status();

        let expected = if taken { Code::Ok } else { Code::Unimplemented };
        assert_eq!(status.code(), expected, "{content_type}");
    }
}

#[tokio::test]
async fn an_unknown_encoding_is_unimplemented_with_the_known_ones() {
    let mut request = request(ScriptedBody::new([BodyEvent::PanicIfPolled]));
    request.headers_mut().insert("grpc-encoding", "snappy".parse().unwrap());
    let handler = FakeReceiver::accepting().handler(LIMIT);

    let response = send(&handler, request).await;

    assert_eq!(response.status().code(), Code::Unimplemented);
    assert_eq!(response.head.headers["grpc-accept-encoding"], "gzip,zstd,identity");
}

/// gRPC, Compression: "if it receives a message compressed in an undisclosed but supported
/// encoding, it MUST include said encoding in the response's `grpc-accept-encoding` header."
#[tokio::test]
async fn the_response_to_a_compressed_request_lists_the_encodings() {
    let handler = FakeReceiver::accepting().handler(LIMIT);
    for (encoding, expected) in [(Some("gzip"), Some("gzip,zstd,identity")), (None, None)] {
        let body = if encoding.is_some() {
            frame_message(1, &gzip(&one_span()))
        } else {
            frame_message(0, b"")
        };
        let mut request = request(ScriptedBody::pieces([body]));
        if let Some(encoding) = encoding {
            request.headers_mut().insert("grpc-encoding", encoding.parse().unwrap());
        }

        let response = send(&handler, request).await;

        assert_eq!(response.status().code(), Code::Ok);
        let disclosed = response.head.headers.get("grpc-accept-encoding");
        assert_eq!(disclosed.map(|value| value.to_str().unwrap()), expected);
    }
}

#[tokio::test]
async fn the_headers_of_a_refusal_stay_below_the_limit_of_clients() {
    let long_path = format!("/{}", "%ff/€".repeat(1000));
    let mut lost = request(ScriptedBody::new([]));
    *lost.uri_mut() = long_path.parse().unwrap();
    // Deeply nested arrays in an attribute, the innermost of which is malformed.
    let deep = (0..40).fold(vec![0x0a, 9], |inner, _| {
        let array = [&[0x0a, u8::try_from(inner.len()).unwrap()][..], &inner].concat();
        [&[0x2a, u8::try_from(array.len()).unwrap()][..], &array].concat()
    });
    let deep = [vec![0x12], deep].concat();

    for request in [lost, message(&deep)] {
        let response = send(&FakeReceiver::accepting().handler(LIMIT), request).await;

        assert_ne!(response.status().code(), Code::Ok);
        let fields = response.head.headers.iter();
        let bytes: usize = fields.map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < MAX_HEADER_BYTES, "{bytes}");
    }
}

#[test]
fn grpc_is_recognized_by_its_content_type() {
    for (content_type, expected) in [
        ("application/grpc", true),
        ("APPLICATION/GRPC", true),
        ("application/grpc+proto", true),
        ("application/grpc+json", true),
        ("application/grpc;a=b", true),
        ("application/grpc-web", false),
        ("application/grpc-web+proto", false),
        ("application/grp", false),
        ("application/x-protobuf", false),
        ("", false),
    ] {
        assert_eq!(is_grpc(content_type.as_bytes()), expected, "{content_type}");
    }
}

#[test]
fn every_response_has_the_status_of_its_code() {
    for kind in ResponseStatus::ALL {
        let status = grpc_status(&RequestError::new(kind, "why"));

        assert_eq!(i32::from(status.code()), kind.grpc_code().0);
        assert_eq!(status.message(), "why");
    }
}
