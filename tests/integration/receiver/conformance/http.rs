//! OTLP/HTTP: paths, methods, content types, statuses and their bodies.
//!
//! HTTP/1.1 and HTTP/2, each on both ports.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::Value;
use tracebuffer::cli::generated::env_example;

use crate::support::client::{
    HTTP_PROTOCOLS, JSON_CONTENT_TYPE, OtlpResponse, PROTOBUF_CONTENT_TYPE, Protocol,
    ReceiverEndpoint, ResponseKind, TRACES_PATH, post, receiver_endpoints, with_header,
};
use crate::support::destinations::UnreachableDestination;
use crate::support::receiver::ReceiverProcess;
use crate::support::samples::{many_spans, spans};

/// OTLP, OTLP/HTTP Response: "The server MUST set "Content-Type: application/x-protobuf" header if
/// the response body is binary-encoded Protobuf payload. […] The server MUST use the same
/// "Content-Type" in the response as it received in the request." Full Success: "On success, the
/// server MUST respond with `HTTP 200 OK`."
#[tokio::test]
async fn a_success_is_200_with_the_content_type_of_the_request() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, HTTP_PROTOCOLS) {
        for (content_type, body, expected) in
            [(PROTOBUF_CONTENT_TYPE, "", ""), (JSON_CONTENT_TYPE, "{}", "{}")]
        {
            let answer = endpoint.send(post(TRACES_PATH, content_type, body)).await;

            assert_eq!(answer.status, 200, "{endpoint:?}");
            assert_eq!(answer.content_type(), content_type, "{endpoint:?}");
            assert_eq!(answer.body, expected, "{endpoint:?}");
        }
    }
}

/// OTLP, OTLP/HTTP Default Port: "The default network port for OTLP/HTTP is 4318."
#[test]
fn the_default_port_for_http_is_4318() {
    assert!(env_example().contains("TRACEBUFFER_HTTP_ADDR=127.0.0.1:4318,[::1]:4318\n"));
}

/// OTLP, Failures: "The response body for all `HTTP 4xx` and `HTTP 5xx` responses MUST be a
/// Protobuf-encoded `Status` message that describes the problem"; "The `Status.message` field SHOULD
/// contain a developer-facing error message". OTLP/HTTP Response: "The server MUST set
/// "Content-Type: application/json" if the response is JSON-encoded Protobuf payload. The server
/// MUST use the same "Content-Type" in the response as it received in the request."
#[tokio::test]
async fn every_refusal_is_a_status_in_the_encoding_of_the_request() {
    let unavailable = UnreachableDestination::new();
    let settings = [
        ("ENDPOINT", unavailable.endpoint.as_str()),
        ("MAX_SPANS", "10"),
        ("OVERFLOW", "reject"),
        ("MAX_REQUEST_BYTES", "64Ki"),
    ];
    let receiver = ReceiverProcess::start(&settings).await;
    let endpoints = receiver_endpoints(&receiver, HTTP_PROTOCOLS);
    endpoints[0].export(many_spans(10)).await;
    let one_span = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
        {"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174"}]}]}]}"#;

    for endpoint in endpoints {
        for (content_type, one) in
            [(PROTOBUF_CONTENT_TYPE, many_spans(1)), (JSON_CONTENT_TYPE, one_span.into())]
        {
            let traces = |body: &Bytes| post(TRACES_PATH, content_type, body.clone());
            let mut get = traces(&one);
            *get.method_mut() = Method::GET;
            let refusals = [
                (traces(&Bytes::from_static(b"\xff")), 400),
                (post("/v1/metrics", content_type, one.clone()), 404),
                (get, 405),
                (traces(&vec![b' '; 65 << 10].into()), 413),
                (with_header(traces(&one), "content-encoding", "br"), 415),
                (traces(&one), 503),
            ];
            for (request, expected) in refusals {
                let answer = endpoint.send(request).await;

                assert_eq!(answer.status, expected, "{endpoint:?} {content_type}");
                assert!(
                    !status_message(&answer, content_type).is_empty(),
                    "{endpoint:?} {content_type}"
                );
            }
        }
    }
}

/// OTLP, Bad Data: "The `Status.details` field in the response SHOULD contain a `BadRequest` that
/// describes the bad data." OTLP/HTTP Throttling: "MAY include "Retry-After" header", here in
/// addition to the same value in the details.
#[tokio::test]
async fn details_in_json_name_their_type() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, HTTP_PROTOCOLS) {
        let answer =
            endpoint.send(post(TRACES_PATH, JSON_CONTENT_TYPE, r#"{"resourceSpans":[7]}"#)).await;

        let status: Value = serde_json::from_slice(&answer.body).unwrap();
        let detail = &status["details"][0];
        assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.BadRequest", "{endpoint:?}");
        let description = detail["fieldViolations"][0]["description"].as_str().unwrap();
        assert!(description.contains("in resourceSpans[0]"), "{description}");
    }
}

/// OTLP, OTLP/HTTP Request: "The default URL path for requests that carry trace data is
/// `/v1/traces`"; "Non-default URL paths for requests MAY be configured": an exporter that was given
/// an endpoint without a path posts to `/`.
#[tokio::test]
async fn traces_are_accepted_at_their_path_and_at_the_root() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, HTTP_PROTOCOLS) {
        for path in [TRACES_PATH, "/", "/v1/traces?key=value"] {
            let answer = endpoint.send(post(path, PROTOBUF_CONTENT_TYPE, spans(&["a"]))).await;

            assert_eq!(answer.kind(), ResponseKind::Accepted, "{path} over {endpoint:?}");
        }
    }
}

/// OTLP, OTLP/HTTP Request: the paths "for requests that carry metric data", "log data" and
/// "profiling data" are different; All Other Responses: "should be treated according to HTTP
/// specifications" (RFC 9110, 15.5.5: 404). The message says how to silence the other signal.
#[tokio::test]
async fn other_signals_and_unknown_paths_are_not_found() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, HTTP_PROTOCOLS) {
        for path in ["/v1/metrics", "/v1/logs", "/v1development/profiles", "/v1/traces/x", "/v2"] {
            let answer = endpoint.send(post(path, PROTOBUF_CONTENT_TYPE, spans(&["a"]))).await;

            assert_eq!(answer.status, 404, "{path} over {endpoint:?}");
            let message = answer.error_status().message;
            assert!(message.contains(TRACES_PATH), "{path} over {endpoint:?}");
            for (signal, variable) in
                [("logs", "OTEL_LOGS_EXPORTER=none"), ("metrics", "OTEL_METRICS_EXPORTER=none")]
            {
                assert_eq!(message.contains(variable), path.contains(signal), "{message}");
            }
        }
    }
}

/// OTLP, OTLP/HTTP: "OTLP/HTTP uses HTTP POST requests". RFC 9110, 15.5.6: "The origin server MUST
/// generate an Allow header field in a 405 response".
#[tokio::test]
async fn methods_other_than_post_are_not_allowed() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, HTTP_PROTOCOLS) {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY"] {
            let request = Request::builder().method(method).uri(TRACES_PATH);
            let answer = endpoint.send(request.body(Full::<Bytes>::default()).unwrap()).await;

            assert_eq!(answer.status, 405, "{method} over {endpoint:?}");
            assert_eq!(answer.header("allow"), "POST", "{method} over {endpoint:?}");
            // A response to HEAD has no body.
            assert!(method == "HEAD" || !answer.error_status().message.is_empty());
        }
    }
}

/// OTLP, OTLP/HTTP Connection: "Server implementations SHOULD accept OTLP/HTTP with binary-encoded
/// Protobuf payload and OTLP/HTTP with JSON-encoded Protobuf payload requests on the same port and
/// multiplex the requests to the corresponding payload decoder based on the "Content-Type" request
/// header."
#[tokio::test]
async fn protobuf_and_json_are_accepted_on_the_same_connection() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, HTTP_PROTOCOLS) {
        let mut connection = endpoint.connect().await;
        for (content_type, body) in [
            (PROTOBUF_CONTENT_TYPE, ""),
            (JSON_CONTENT_TYPE, "{}"),
            (PROTOBUF_CONTENT_TYPE, ""),
            (JSON_CONTENT_TYPE, "{}"),
        ] {
            let answer = connection.send(post(TRACES_PATH, content_type, body)).await;

            assert_eq!(answer.status, 200, "{endpoint:?}");
            assert_eq!(answer.content_type(), content_type, "{endpoint:?}");
        }
    }
}

/// OTLP, OTLP/HTTP Connection: "Server implementations MAY accept OTLP/gRPC and OTLP/HTTP requests
/// on the same port and multiplex the connections to the corresponding transport handler based on
/// the "Content-Type" request header."
#[tokio::test]
async fn grpc_and_http_are_accepted_on_the_same_connection() {
    let receiver = ReceiverProcess::start(&[]).await;

    for http in receiver_endpoints(&receiver, &[Protocol::Http2]) {
        let grpc = ReceiverEndpoint { protocol: Protocol::Grpc, ..http };
        let mut connection = http.connect().await;
        for endpoint in [http, grpc, http, grpc] {
            let answer = connection.send(endpoint.request(spans(&["a"]))).await;

            let answer = OtlpResponse { endpoint, ..answer };
            assert_eq!(answer.success_message().partial_success, None, "{endpoint:?}");
        }
    }
}

/// OTLP, OTLP/HTTP: "Implementations MAY use HTTP/1.1 or HTTP/2 transports": the responses are
/// the same.
#[tokio::test]
async fn both_versions_of_http_get_the_same_responses() {
    let receiver = ReceiverProcess::start(&[]).await;
    let requests = || {
        [
            post(TRACES_PATH, PROTOBUF_CONTENT_TYPE, spans(&["a"])),
            post(TRACES_PATH, PROTOBUF_CONTENT_TYPE, "\u{7f}"),
            post(TRACES_PATH, JSON_CONTENT_TYPE, "{}"),
            post(TRACES_PATH, JSON_CONTENT_TYPE, "[]"),
            post("/v1/logs", JSON_CONTENT_TYPE, "{}"),
            post(TRACES_PATH, "text/plain", ""),
            with_header(post(TRACES_PATH, JSON_CONTENT_TYPE, "{}"), "content-encoding", "br"),
        ]
    };

    for endpoints in receiver_endpoints(&receiver, HTTP_PROTOCOLS).chunks(2) {
        for (first, second) in requests().into_iter().zip(requests()) {
            let (http1, http2) = (endpoints[0].send(first).await, endpoints[1].send(second).await);

            let seen = |answer: &OtlpResponse| {
                let mut headers = answer.headers.clone();
                // Sent over HTTP/1.1 only.
                headers.remove("content-length");
                assert!(headers.remove("date").is_some(), "{answer:?}");
                (answer.status, headers, answer.body.clone())
            };
            assert_eq!(seen(&http1), seen(&http2));
        }
    }
}

/// RFC 9110, 8.3.1: "The type and subtype tokens are case-insensitive"; a media type may have
/// parameters, as in `application/json; charset=utf-8`.
#[tokio::test]
async fn a_content_type_may_be_of_any_case_and_have_parameters() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, HTTP_PROTOCOLS) {
        for (content_type, body, answered) in [
            ("Application/X-Protobuf", "", PROTOBUF_CONTENT_TYPE),
            ("application/x-protobuf;messageType=x", "", PROTOBUF_CONTENT_TYPE),
            ("APPLICATION/JSON", "{}", JSON_CONTENT_TYPE),
            ("application/json; charset=utf-8", "{}", JSON_CONTENT_TYPE),
            ("application/json ; a=\"b;c\"", "{}", JSON_CONTENT_TYPE),
        ] {
            let answer = endpoint.send(post(TRACES_PATH, content_type, body)).await;

            assert_eq!(answer.status, 200, "{content_type} over {endpoint:?}");
            assert_eq!(answer.content_type(), answered, "{content_type} over {endpoint:?}");
        }
    }
}

/// OTLP, Binary Protobuf Encoding: "The client and the server MUST set "Content-Type:
/// application/x-protobuf" request and response headers"; JSON Protobuf Encoding: likewise
/// `application/json`. RFC 9110, 15.5.16: 415 for anything else.
#[tokio::test]
async fn an_unknown_or_missing_content_type_is_unsupported() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, HTTP_PROTOCOLS) {
        for content_type in
            ["application/protobuf", "text/plain", "application/grpc-web", "application/jsonx"]
        {
            let answer = endpoint.send(post(TRACES_PATH, content_type, spans(&["a"]))).await;

            assert_eq!(answer.status, 415, "{content_type} over {endpoint:?}");
            let message = answer.error_status().message;
            assert!(
                message.contains(PROTOBUF_CONTENT_TYPE) && message.contains(JSON_CONTENT_TYPE),
                "{message}"
            );
        }
        let mut without = post(TRACES_PATH, PROTOBUF_CONTENT_TYPE, spans(&["a"]));
        without.headers_mut().clear();
        assert_eq!(endpoint.send(without).await.status, 415, "{endpoint:?}");
    }
}

/// OTLP, OTLP/HTTP Response: "If the request header "Accept-Encoding: gzip" is present in the
/// request the server MAY gzip-encode the response": this receiver does not.
#[tokio::test]
async fn a_response_is_uncompressed_whatever_encodings_the_client_accepts() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, HTTP_PROTOCOLS) {
        for accepted in ["gzip", "identity;q=0, gzip", "*"] {
            let request = with_header(endpoint.request(spans(&["a"])), "accept-encoding", accepted);
            let answer = endpoint.send(request).await;

            assert_eq!(answer.header("content-encoding"), "", "{endpoint:?}");
            assert_eq!(answer.success_message().partial_success, None, "{endpoint:?}");
        }
    }
}

/// Beyond OTLP: pages of `TRACEBUFFER_CORS_ALLOWED_ORIGINS` may send from a browser, with any headers
/// (Fetch, "CORS protocol"), and may read every response, errors included.
#[tokio::test]
async fn a_page_of_an_allowed_origin_may_send_and_others_may_not() {
    let allowed = "https://shop.example, http://localhost:3000";
    let receiver = ReceiverProcess::start(&[("CORS_ALLOWED_ORIGINS", allowed)]).await;
    let preflight = |path: &str, origin: &str| {
        let request = Request::builder().method("OPTIONS").uri(path).header("origin", origin);
        let request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,x-key");
        request.body(Full::<Bytes>::default()).unwrap()
    };

    for endpoint in receiver_endpoints(&receiver, HTTP_PROTOCOLS) {
        for origin in ["https://shop.example", "http://localhost:3000"] {
            for path in [TRACES_PATH, "/"] {
                let answer = endpoint.send(preflight(path, origin)).await;
                assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{endpoint:?}");
                assert_eq!(answer.header("access-control-allow-origin"), origin);
                assert_eq!(answer.header("access-control-allow-methods"), "POST");
                assert_eq!(answer.header("access-control-allow-headers"), "content-type,x-key");
                assert_eq!(answer.header("access-control-max-age"), "7200");
            }
            for (body, status) in [(spans(&["a"]), 200), ("\u{7f}".into(), 400)] {
                let request = post(TRACES_PATH, PROTOBUF_CONTENT_TYPE, body);
                let answer = endpoint.send(with_header(request, "origin", origin)).await;
                assert_eq!(answer.status, status, "{endpoint:?}");
                assert_eq!(answer.header("access-control-allow-origin"), origin, "{endpoint:?}");
                assert_eq!(answer.header("vary"), "origin", "{endpoint:?}");
            }
        }
        for origin in ["https://other.example", "http://shop.example", "null"] {
            let answer = endpoint.send(preflight(TRACES_PATH, origin)).await;
            assert_eq!(answer.status, 405, "{origin} over {endpoint:?}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        }
    }
}

/// Beyond OTLP: without that setting, browsers get no consent.
#[tokio::test]
async fn no_page_may_send_by_default() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, HTTP_PROTOCOLS) {
        let request = endpoint.request(spans(&["a"]));
        let answer = endpoint.send(with_header(request, "origin", "http://localhost")).await;

        assert_eq!(answer.header("access-control-allow-origin"), "", "{endpoint:?}");
        assert_eq!(answer.header("vary"), "", "{endpoint:?}");
    }
}

/// The message of a refusal, whose body must be a `Status` in that encoding.
fn status_message(answer: &OtlpResponse, content_type: &str) -> String {
    if content_type == PROTOBUF_CONTENT_TYPE {
        return answer.error_status().message;
    }
    assert_eq!(answer.content_type(), JSON_CONTENT_TYPE, "{answer:?}");
    let status: Value = serde_json::from_slice(&answer.body).expect("the body is JSON");
    assert!(status["code"].is_u64() && status["details"].is_array(), "{status}");
    status["message"].as_str().expect("a message is a string").to_owned()
}
