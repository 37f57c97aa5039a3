//! Sizes: requests that are too large are refused permanently, before and after decompression.
//!
//! gRPC, HTTP/1.1 and HTTP/2, each on both ports.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::net::TcpStream;

use super::messages::nested_arrays;
use crate::support::client::{
    ALL_PROTOCOLS, EXPORT_PATH, GRPC_CONTENT_TYPE, OtlpResponse, PROTOBUF_CONTENT_TYPE, Protocol,
    ResponseKind, TRACES_PATH, UnfinishedBody, post, receiver_endpoints, with_header,
};
use crate::support::receiver::{Metrics, ReceiverProcess};
use crate::support::samples::{gzip, many_spans, sized, spans, zstd};

const LIMIT: usize = 64 << 10;
const SETTINGS: &[(&str, &str)] = &[("MAX_REQUEST_BYTES", "64Ki")];

/// OTLP, OTLP/gRPC Request: "The server MUST enforce a message size limit when receiving the
/// request"; "Implementations SHOULD allow this limit to be configured. If the limit is exceeded,
/// the gRPC server implementations MUST report a `RESOURCE_EXHAUSTED` code as a non-retryable
/// error." OTLP/HTTP Request: "If the limit is exceeded, the server MUST respond with `HTTP 413
/// Content Too Large`."
#[tokio::test]
async fn a_request_of_the_configured_limit_is_accepted_and_one_byte_more_is_not() {
    let receiver = ReceiverProcess::start(SETTINGS).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        assert_eq!(
            endpoint.export(sized(LIMIT)).await.success_message().partial_success,
            None,
            "{endpoint:?}"
        );
        assert_too_large(&endpoint.export(sized(LIMIT + 1)).await);
    }
}

/// OTLP, OTLP/gRPC Request and OTLP/HTTP Request: "The server MUST limit the size of the request
/// body when parsing it, including after decompression".
#[tokio::test]
async fn the_limit_holds_after_decompression() {
    let receiver = ReceiverProcess::start(SETTINGS).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for (name, compress) in [("gzip", gzip as fn(&[u8]) -> Bytes), ("zstd", zstd)] {
            let at_limit = endpoint.export_compressed(name, &compress(&sized(LIMIT))).await;
            assert_eq!(
                at_limit.success_message().partial_success,
                None,
                "{name} over {endpoint:?}"
            );

            let above = endpoint.export_compressed(name, &compress(&sized(LIMIT + 1))).await;
            assert_too_large(&above);
        }
    }
}

/// OTLP, OTLP/gRPC Request: "to mitigate possible excessive memory usage caused by a misconfigured
/// or malicious client": a request that would expand a thousandfold.
#[tokio::test]
async fn a_request_that_expands_hugely_is_refused_with_bounded_memory() {
    let receiver = ReceiverProcess::start(&[]).await;
    let zeros = vec![0; 64 << 20];
    let (gzip, zstd) = (gzip(&zeros), zstd(&zeros));
    let resident = |metrics: Metrics| metrics.sum::<u64>("process_resident_memory_bytes", &[]);
    let before = resident(receiver.metrics().await);

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        assert_too_large(&endpoint.export_compressed("gzip", &gzip).await);
        assert_too_large(&endpoint.export_compressed("zstd", &zstd).await);
    }

    let grown = resident(receiver.metrics().await).saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
}

/// OTLP, OTLP/HTTP Request: "The server MUST limit the size of the request body when parsing it,
/// including after decompression", and so before it as well. Empty gzip members and skippable
/// zstd frames decompress to nothing, however many there are.
#[tokio::test]
async fn the_limit_holds_before_decompression() {
    let receiver = ReceiverProcess::start(SETTINGS).await;
    let members = gzip(b"").repeat(LIMIT / 20 + 1);
    let frames = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0].repeat(LIMIT / 8 + 1);

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        assert_too_large(&endpoint.export_compressed("gzip", &members).await);
        assert_too_large(&endpoint.export_compressed("zstd", &frames).await);
    }
}

/// OTLP, OTLP/gRPC Request: "The server implementations typically enforce a default incoming message
/// size limit of 4 MiB. However, it is RECOMMENDED to use 64 MiB as the default limit." Not
/// followed: the whole buffer is smaller by default.
#[tokio::test]
async fn the_default_limit_is_4_mib() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        assert_eq!(
            endpoint.export(sized(4 << 20)).await.kind(),
            ResponseKind::Accepted,
            "{endpoint:?}"
        );
        assert_too_large(&endpoint.export(sized((4 << 20) + 1)).await);
    }
}

/// OTLP, as above: "Implementations SHOULD allow this limit to be configured", up to the
/// recommended limit if the buffer is large enough.
#[tokio::test]
async fn the_limit_can_be_the_recommended_64_mib() {
    let settings = [("MAX_REQUEST_BYTES", "64Mi"), ("MAX_BYTES", "256Mi")];
    let receiver = ReceiverProcess::start(&settings).await;
    let request = gzip(&sized(64 << 20));

    for endpoint in &receiver_endpoints(&receiver, ALL_PROTOCOLS)[..3] {
        let answer = endpoint.export_compressed("gzip", &request).await;

        assert_eq!(answer.kind(), ResponseKind::Accepted, "{endpoint:?}");
    }
}

/// OTLP, as above: refused by the announced length of the gRPC message or of the HTTP body, while
/// the request is still being sent.
#[tokio::test]
async fn a_request_that_announces_too_much_is_refused_before_it_is_sent() {
    let receiver = ReceiverProcess::start(SETTINGS).await;
    let announced = (LIMIT + 1).to_be_bytes();

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for encoding in ["identity", "gzip"] {
            let prefix = [&[u8::from(encoding == "gzip")], &announced[4..]].concat();
            let request = match endpoint.protocol {
                Protocol::Grpc => {
                    with_header(post(EXPORT_PATH, GRPC_CONTENT_TYPE, ""), "grpc-encoding", encoding)
                }
                Protocol::Http1 | Protocol::Http2 => {
                    let request = with_header(
                        post(TRACES_PATH, PROTOBUF_CONTENT_TYPE, ""),
                        "content-encoding",
                        encoding,
                    );
                    with_header(request, "content-length", &(LIMIT + 1).to_string())
                }
            };
            let request = request.map(|_| UnfinishedBody::new(prefix));

            assert_too_large(&endpoint.send(request).await);
        }
    }
}

/// OTLP, OTLP/gRPC Request, as above: a request larger than the whole buffer can never be
/// accepted.
#[tokio::test]
async fn a_request_larger_than_the_whole_buffer_is_refused_permanently() {
    let few_spans = [("MAX_SPANS", "10"), ("OVERFLOW", "reject")];
    let few_bytes = [("MAX_BYTES", "64Ki"), ("MAX_REQUEST_BYTES", "64Ki")];

    for (settings, message) in [(few_spans, many_spans(11)), (few_bytes, sized(LIMIT))] {
        let receiver = ReceiverProcess::start(&settings).await;
        for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
            assert_too_large(&endpoint.export(message.clone()).await);
        }
    }
}

/// RFC 9110, 5.4: "A server that receives a request header field line, field value, or set of fields
/// larger than it wishes to process MUST respond with an appropriate `4xx (Client Error)` status
/// code", which is 431 (RFC 6585, 5). The limit can be raised for senders with large tokens.
#[tokio::test]
async fn a_head_beyond_8_kib_is_refused_unless_the_limit_is_higher() {
    const REFUSED: StatusCode = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    for (limit, kib, expected) in [
        ("", 12, REFUSED),
        ("16Ki", 12, StatusCode::OK),
        ("16Ki", 20, REFUSED),
        ("64Ki", 60, StatusCode::OK),
    ] {
        let receiver = ReceiverProcess::start(&[("MAX_HEAD_BYTES", limit)]).await;
        let token = "x".repeat(kib << 10);

        for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
            let request = with_header(endpoint.request(spans(&["a"])), "authorization", &token);
            let answer = endpoint.send(request).await;

            assert_eq!(answer.status, expected, "{kib} KiB of {limit:?} over {endpoint:?}");
        }
    }
}

/// OTLP, OTLP/HTTP Response: "The server MUST limit the size of the response body, including before
/// compression, to avoid overwhelming the client." gRPC, PROTOCOL-HTTP2: "Clients may limit the size
/// of Response-Headers, Trailers, and Trailers-Only, with a default of 8 KiB each suggested."
#[tokio::test]
async fn a_response_is_small_whatever_the_request() {
    let receiver = ReceiverProcess::start(&[]).await;
    let long_path = format!("/{}", "%ff/".repeat(1500));

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        let mut lost = endpoint.request(spans(&["a"]));
        *lost.uri_mut() = long_path.parse().unwrap();
        let deep = nested_arrays(60);

        for answer in [endpoint.send(lost).await, endpoint.export(deep).await] {
            assert!(!answer.error_status().message.is_empty());
            let fields = answer.headers.iter().chain(&answer.trailers);
            let headers: usize =
                fields.map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            assert!(headers < 8 << 10, "{headers} bytes of headers over {endpoint:?}");
            assert!(answer.body.len() < 4 << 10, "{} bytes over {endpoint:?}", answer.body.len());
        }
    }
}

/// RFC 9113, 8.1: a server that responds before the request is complete resets its stream "without
/// error"; the connection stays open.
#[tokio::test]
async fn an_oversized_request_does_not_close_the_connection() {
    let receiver = ReceiverProcess::start(SETTINGS).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        let mut connection = endpoint.connect().await;
        for _ in 0..20 {
            assert_too_large(&connection.send(endpoint.request(sized(2 * LIMIT))).await);
        }

        let answer = connection.send(endpoint.request(spans(&["a"]))).await;
        assert_eq!(answer.kind(), ResponseKind::Accepted, "{endpoint:?}");
    }
}

/// OTLP, Failures: "this can happen when the server is temporarily unable to process the data":
/// connections that cannot be accepted for lack of file descriptors wait, and cost no more than an
/// occasional retry.
#[tokio::test]
async fn connections_beyond_the_open_files_limit_wait_for_others_to_close() {
    let receiver = ReceiverProcess::start_with_open_files(24, &[]).await;
    let mut open = vec![];
    for _ in 0..24 {
        open.push(TcpStream::connect(receiver.grpc()).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(350)).await;

    let warnings = receiver.log().matches("cannot accept connections; trying again").count();
    assert!((1..=8).contains(&warnings), "{}", receiver.log());
    drop(open);

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        assert_eq!(
            endpoint.export(spans(&["a"])).await.kind(),
            ResponseKind::Accepted,
            "{endpoint:?}"
        );
    }
}

/// Checks that a response reports a request as too large and asks for no retry.
fn assert_too_large(answer: &OtlpResponse) {
    assert_eq!(answer.kind(), ResponseKind::TooLarge, "{answer:?}");
    assert!(answer.details().retry_info().is_none(), "{answer:?}");
    assert_eq!(answer.header("retry-after"), "", "{answer:?}");
}
