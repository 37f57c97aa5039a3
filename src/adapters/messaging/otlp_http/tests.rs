use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tonic_types::{Status, StatusExt};

use super::*;
use crate::adapters::messaging::cors::AllowedOrigins;
use crate::adapters::messaging::testing::{
    BodyEvent, FakeReceiver, ScriptedBody, gzip, one_span, peer, two_spans_one_invalid,
    watching_head,
};
use crate::domain::observability::InvalidSpan;
use crate::ports::receive::ReceiveError;

mod cors;
mod misdirected;

const LIMIT: usize = 1 << 10;
const JSON_SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
    {"traceId":"01010101010101010101010101010101","spanId":"0202020202020202"}]}]}]}"#;

/// A response whose body has been read.
struct TestResponse {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl TestResponse {
    fn protobuf(&self) -> Status {
        assert_eq!(self.headers[CONTENT_TYPE], PROTOBUF);
        Status::decode(self.body.clone()).unwrap()
    }

    fn json(&self) -> Value {
        assert_eq!(self.headers[CONTENT_TYPE], JSON);
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The details of a `Status` in protobuf.
    fn details(&self) -> tonic_types::ErrorDetails {
        let Status { code, message, .. } = self.protobuf();
        tonic::Status::with_details(code.into(), message, self.body.clone()).get_error_details()
    }
}

fn request(kind: &str, body: ScriptedBody) -> Request<ScriptedBody> {
    Request::post("/v1/traces").header(CONTENT_TYPE, kind).body(body).unwrap()
}

fn protobuf(message: &[u8]) -> Request<ScriptedBody> {
    request(PROTOBUF, ScriptedBody::pieces([message]))
}

fn json(text: &str) -> Request<ScriptedBody> {
    request(JSON, ScriptedBody::pieces([text]))
}

fn with(
    mut request: Request<ScriptedBody>,
    name: &'static str,
    value: &str,
) -> Request<ScriptedBody> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn at(path: &str, mut request: Request<ScriptedBody>) -> Request<ScriptedBody> {
    *request.uri_mut() = path.parse().unwrap();
    request
}

async fn send(
    handler: &ExportHandler<FakeReceiver, FakeReceiver>,
    request: Request<ScriptedBody>,
) -> TestResponse {
    let (head, body) = handle(handler, peer(0), request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    TestResponse { status: head.status.as_u16(), headers: head.headers, body }
}

async fn response_to(
    result: Result<ExportResult, ReceiveError>,
    request: Request<ScriptedBody>,
) -> TestResponse {
    send(&FakeReceiver::returning(result).handler(LIMIT), request).await
}

async fn send_invalid(request: Request<ScriptedBody>) -> TestResponse {
    let handler = FakeReceiver::accepting().handler(LIMIT);
    let response = send(&handler, request).await;
    assert!(handler.receiver.calls.lock().received.is_empty());
    response
}

#[tokio::test]
async fn full_success_is_an_empty_message_in_the_encoding_of_the_request() {
    let response = response_to(Ok(ExportResult::default()), protobuf(&one_span())).await;
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(response.headers[CONTENT_TYPE], PROTOBUF);

    let response = response_to(Ok(ExportResult::default()), json(JSON_SPAN)).await;
    assert_eq!((response.status, &response.body[..]), (200, &b"{}"[..]));
    assert_eq!(response.headers[CONTENT_TYPE], JSON);
}

#[tokio::test]
async fn a_receipt_with_rejected_spans_or_a_warning_is_a_partial_success() {
    for rejected_spans in [0, 3] {
        let result =
            ExportResult { rejected_spans, message: "a \"quote\"".to_owned(), misdirected: false };

        let response = response_to(Ok(result.clone()), protobuf(&one_span())).await;
        let expected = ExportTracePartialSuccess {
            rejected_spans: i64::try_from(rejected_spans).unwrap(),
            error_message: result.message.clone(),
        };
        let decoded = ExportTraceServiceResponse::decode(response.body).unwrap();
        assert_eq!((response.status, decoded.partial_success), (200, Some(expected)));

        let response = response_to(Ok(result), json(JSON_SPAN)).await;
        let partial = &response.json()["partialSuccess"];
        assert_eq!(partial["rejectedSpans"], rejected_spans.to_string());
        assert_eq!(partial["errorMessage"], "a \"quote\"");
    }
}

#[tokio::test]
async fn the_receiver_gets_the_same_bytes_from_protobuf_json_and_gzip() {
    for request in [
        protobuf(&one_span()),
        json(JSON_SPAN),
        with(protobuf(&gzip(&one_span())), "content-encoding", "gzip"),
        with(
            request(JSON, ScriptedBody::byte_by_byte(JSON_SPAN.as_bytes())),
            "content-length",
            "152",
        ),
    ] {
        let handler = FakeReceiver::accepting().handler(LIMIT);

        send(&handler, request).await;

        let mut calls = handler.receiver.calls.lock();
        assert_eq!(calls.responses, [(Transport::Http, ResponseStatus::Accepted)]);
        let (transport, request) = calls.received.pop().unwrap();
        assert_eq!(transport, Transport::Http);
        assert_eq!(request.payload, one_span());
        assert_eq!((request.spans, request.rejected_spans), (1, 0));
    }
}

#[tokio::test]
async fn converted_json_has_no_spare_capacity() {
    let handler = FakeReceiver::accepting().handler(LIMIT);

    send(&handler, json(JSON_SPAN)).await;

    let (_, request) = handler.receiver.calls.lock().received.pop().unwrap();
    assert_eq!(request.payload.try_into_mut().unwrap().capacity(), one_span().len());
}

#[tokio::test]
async fn the_receiver_gets_the_valid_spans_and_the_number_of_invalid_ones() {
    let handler = FakeReceiver::accepting().handler(LIMIT);

    send(&handler, protobuf(&two_spans_one_invalid())).await;

    let (_, request) = handler.receiver.calls.lock().received.pop().unwrap();
    assert_eq!(request.payload, one_span());
    assert_eq!((request.spans, request.rejected_spans), (1, 1));
}

#[tokio::test]
async fn a_malformed_message_is_400_with_the_problem_and_its_position() {
    let response = send_invalid(protobuf(&[0xff])).await;
    let message = response.protobuf().message;
    assert_eq!((response.status, response.protobuf().code), (400, 3));
    assert!(message.starts_with("byte 0, in ExportTraceServiceRequest"), "{message}");
    let bad = response.details();
    assert_eq!(bad.bad_request().unwrap().field_violations[0].description, message);

    let response = send_invalid(json("{\"resourceSpans\":7}")).await;
    let status = response.json();
    assert_eq!((response.status, &status["code"]), (400, &Value::from(3)));
    assert!(status["message"].as_str().unwrap().contains("in resourceSpans"), "{status}");
    let detail = &status["details"][0];
    assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.BadRequest");
    assert_eq!(detail["fieldViolations"][0]["description"], status["message"]);
}

#[tokio::test]
async fn a_request_that_cannot_be_accepted_now_is_503_with_retry_after() {
    let full = || Err(ReceiveError::Unavailable("full".to_owned()));

    let response = response_to(full(), protobuf(&one_span())).await;
    assert_eq!((response.status, response.protobuf().message.as_str()), (503, "full"));
    assert_eq!(response.headers[RETRY_AFTER], "1");
    let delay = response.details().retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_secs(1)));

    let response = response_to(full(), json(JSON_SPAN)).await;
    assert_eq!((response.status, &response.headers[RETRY_AFTER]), (503, &"1".parse().unwrap()));
    let detail = &response.json()["details"][0];
    assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.RetryInfo");
    assert_eq!(detail["retryDelay"], "1s");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_413_without_retry_after() {
    let too_large = || Err(ReceiveError::TooLarge("too large".to_owned()));
    for response in [
        response_to(too_large(), protobuf(&one_span())).await,
        send_invalid(protobuf(&[0; LIMIT + 1])).await,
        send_invalid(with(protobuf(b""), "content-length", "1025")).await,
    ] {
        assert_eq!((response.status, response.protobuf().code), (413, 8));
        assert!(response.details().retry_info().is_none());
        assert!(!response.headers.contains_key(RETRY_AFTER));
    }

    let response = response_to(too_large(), json(JSON_SPAN)).await;
    let expected = json!({ "code": 8, "message": "too large", "details": [] });
    assert_eq!((response.status, response.json()), (413, expected));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_arrive_in_time_is_408() {
    let request = request(PROTOBUF, ScriptedBody::new([BodyEvent::Stall]));

    let response = send_invalid(request).await;

    assert_eq!((response.status, response.protobuf().code), (408, 4));
}

#[tokio::test]
async fn an_unknown_path_is_404_in_the_encoding_of_the_request() {
    for path in ["/v1/metrics", "/v1/logs", "/v1development/profiles", "/v1/traces/", "/V1/traces"]
    {
        let response = send_invalid(at(path, protobuf(&one_span()))).await;
        assert_eq!((response.status, response.protobuf().code), (404, 12), "{path}");
        assert!(response.protobuf().message.contains(path), "{path}");

        let response = send_invalid(at(path, json(JSON_SPAN))).await;
        assert_eq!((response.status, &response.json()["code"]), (404, &Value::from(12)), "{path}");
    }
}

#[tokio::test]
async fn the_path_of_another_signal_tells_how_to_silence_it() {
    for (path, advice) in [
        ("/v1/logs", "OTEL_LOGS_EXPORTER=none"),
        ("/v1/metrics", "OTEL_METRICS_EXPORTER=none"),
        ("/v1development/profiles", "no profiles"),
    ] {
        let message = send_invalid(at(path, protobuf(b""))).await.protobuf().message;

        assert!(message.contains(advice), "{message}");
        assert!(message.contains("/v1/traces"), "{message}");
    }
}

#[tokio::test]
async fn a_grpc_path_with_a_foreign_content_type_is_415() {
    for kind in [PROTOBUF, JSON, "application/proto", "text/plain", ""] {
        for service in ["trace.v1.TraceService", "logs.v1.LogsService"] {
            let path = format!("/opentelemetry.proto.collector.{service}/Export");

            let response =
                send_invalid(at(&path, request(kind, ScriptedBody::pieces([one_span()])))).await;

            assert_eq!(response.status, 415, "{kind} at {path}");
        }
    }
}

#[tokio::test]
async fn the_head_is_freed_before_the_body_is_read() {
    for (origins, length) in [(None, None), (Some(AllowedOrigins::Any), Some("300"))] {
        let (mut request, read) = watching_head(|body| request(PROTOBUF, body));
        request = with(request, "origin", "https://shop.example");
        if let Some(length) = length {
            request = with(request, "content-length", length);
        }
        let handler = ExportHandler { origins, ..FakeReceiver::accepting().handler(LIMIT) };

        assert_eq!(send(&handler, request).await.status, 400);
        assert!(read.load(Ordering::Relaxed), "the body was read");
    }
}

#[tokio::test]
async fn a_span_with_a_lone_surrogate_is_cut_out_alone() {
    let id = "01010101010101010101010101010101";
    let span = |name: &str| format!(r#"{{"traceId":"{id}","spanId":"0202020202020202"{name}}}"#);
    let spans = [span(r#","name":"\ud83d""#), span("")].join(",");
    let json_request = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
    let handler = FakeReceiver::accepting().handler(LIMIT);

    send(&handler, json(&json_request)).await;

    let (_, request) = handler.receiver.calls.lock().received.pop().unwrap();
    assert_eq!(request.payload, one_span());
    assert_eq!((request.spans, request.rejected_spans), (1, 1));
    assert_eq!(request.first_invalid, Some(InvalidSpan::NotUtf8("name")));
}

#[tokio::test]
async fn the_root_path_and_a_query_are_accepted() {
    for path in ["/", "/?a=b", "/v1/traces?a=b"] {
        let response =
            response_to(Ok(ExportResult::default()), at(path, protobuf(&one_span()))).await;

        assert_eq!(response.status, 200, "{path}");
    }
}

#[tokio::test]
async fn another_method_is_405_with_the_allowed_one() {
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS, Method::DELETE] {
        let mut request = json("{}");
        *request.method_mut() = method;

        let response = send_invalid(request).await;

        assert_eq!((response.status, &response.headers[ALLOW]), (405, &"POST".parse().unwrap()));
        assert_eq!(response.json()["code"], 12);
    }
}

#[tokio::test]
async fn another_content_type_is_415_in_protobuf() {
    for kind in ["text/plain", "application/json-seq", "application/protobuf", "", "\u{e9}"] {
        let response = send_invalid(request(kind, ScriptedBody::pieces([one_span()]))).await;
        assert_eq!((response.status, response.protobuf().code), (415, 12), "{kind:?}");
    }

    let mut without = protobuf(&one_span());
    without.headers_mut().remove(CONTENT_TYPE);
    assert_eq!(send_invalid(without).await.status, 415);
}

#[tokio::test]
async fn a_content_type_may_be_of_any_case_and_have_parameters() {
    for (kind, body) in [
        ("Application/X-Protobuf", one_span()),
        ("application/x-protobuf; charset=utf-8", one_span()),
        ("APPLICATION/JSON", b"{}".to_vec()),
        ("application/json ;charset=utf-8;a=\"b\"", b"{}".to_vec()),
    ] {
        let response =
            response_to(Ok(ExportResult::default()), request(kind, ScriptedBody::pieces([body])))
                .await;

        assert_eq!(response.status, 200, "{kind}");
        let expected = kind.split([';', ' ']).next().unwrap().to_ascii_lowercase();
        assert_eq!(response.headers[CONTENT_TYPE], expected, "{kind}");
    }
}

#[tokio::test]
async fn an_unknown_encoding_is_415_with_the_known_ones() {
    let response = send_invalid(with(json("{}"), "content-encoding", "br")).await;

    assert_eq!((response.status, &response.json()["code"]), (415, &Value::from(12)));
    assert_eq!(response.headers[ACCEPT_ENCODING], "gzip,zstd,identity");
}

#[tokio::test]
async fn grpc_over_http_1_is_415_with_the_reason() {
    let request = at(
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        request("application/grpc", ScriptedBody::pieces([one_span()])),
    );

    let response = send_invalid(request).await;

    assert_eq!(response.status, 415);
    assert_eq!(response.protobuf().message, "gRPC requires HTTP/2");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_wait_for_the_rest_of_the_body_which_is_still_read() {
    let (body, reached) = unread(BodyEvent::Wait(Duration::from_secs(4)));
    let started = Instant::now();

    let response = send_invalid(at("/nowhere", request(PROTOBUF, body))).await;

    assert_eq!((response.status, started.elapsed()), (404, Duration::ZERO));
    sleep(Duration::from_secs(5)).await;
    assert!(reached.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_is_read_for_at_most_5_s_and_64_mib() {
    let slow = unread(BodyEvent::Wait(Duration::from_secs(6)));
    let mib = Bytes::from(vec![0; 1 << 20]);
    let reached = Arc::new(AtomicBool::new(false));
    let large = ScriptedBody::new(vec![mib; 65].into_iter().map(BodyEvent::Data));
    let large = (large.then(BodyEvent::MarkReached(Arc::clone(&reached))), reached);

    for (body, reached) in [slow, large] {
        send_invalid(at("/nowhere", request(PROTOBUF, body))).await;

        sleep(Duration::from_secs(20)).await;
        assert!(!reached.load(Ordering::Relaxed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_over_http_2_is_not_read() {
    let (body, reached) = unread(BodyEvent::Data(Bytes::from_static(b"rest")));
    let mut request = at("/nowhere", request(PROTOBUF, body));
    *request.version_mut() = Version::HTTP_2;

    send_invalid(request).await;

    sleep(Duration::from_secs(1)).await;
    assert!(!reached.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_refused_expect_continue_request_closes_the_connection() {
    let expecting = |path| with(at(path, protobuf(&one_span())), "expect", "100-continue");

    let response = send_invalid(expecting("/nowhere")).await;
    assert_eq!(response.headers[CONNECTION], "close");

    let response = response_to(Ok(ExportResult::default()), expecting("/")).await;
    assert!(!response.headers.contains_key(CONNECTION));
}

/// A body that begins with `event`, and a flag that is set when it was read to its end.
fn unread(event: BodyEvent) -> (ScriptedBody, Arc<AtomicBool>) {
    let reached = Arc::new(AtomicBool::new(false));
    (ScriptedBody::new([event, BodyEvent::MarkReached(Arc::clone(&reached))]), reached)
}
