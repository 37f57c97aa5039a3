//! gRPC's own rules: services, framing, statuses, metadata.
//!
//! gRPC on both ports, by tonic's client and from raw frames.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::task::JoinSet;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_types::StatusExt;
use tracebuffer::cli::generated::env_example;

use super::recording;
use crate::support::client::{
    BodyInPieces, EXPORT_PATH, GRPC_CONTENT_TYPE, Protocol, ReceiverEndpoint, ResponseKind,
    UnfinishedBody, post, receiver_endpoints, with_header,
};
use crate::support::destinations::RecordingDestination;
use crate::support::receiver::ReceiverProcess;
use crate::support::samples::{decoded_spans, frame_message, gzip, request, span, spans};

const GRPC_ONLY: &[Protocol] = &[Protocol::Grpc];

/// OTLP, OTLP/gRPC: "the client starts sending telemetry data using unary requests using
/// `Export*ServiceRequest` messages"; "The response MUST be the appropriate message".
#[tokio::test]
async fn tonics_client_gets_full_and_partial_success() {
    let mut recorder = RecordingDestination::start().await;
    let receiver = recording(&recorder).await;
    let zero = Span { span_id: vec![0; 8], ..span("zero") };

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        let mut client = client(endpoint).await;

        let full = client.export(request(vec![span("a")])).await.unwrap().into_inner();
        let partial = client.export(request(vec![span("a"), zero.clone()])).await.unwrap();

        assert_eq!(full.partial_success, None, "{endpoint:?}");
        let partial = partial.into_inner().partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 1, "{endpoint:?}");
        for _ in 0..2 {
            assert_eq!(decoded_spans(&recorder.next().await), [span("a")], "{endpoint:?}");
        }
    }
}

/// OTLP, OTLP/gRPC Default Port: "The default network port for OTLP/gRPC is 4317."
#[test]
fn the_default_port_for_grpc_is_4317() {
    assert!(env_example().contains("TRACEBUFFER_GRPC_ADDR=127.0.0.1:4317,[::1]:4317\n"));
}

/// OTLP, Protocol Details: "All server components MUST support […] Gzip compression", and zstd
/// beyond it, as a real client compresses. gRPC, Compression: "A gRPC peer MAY choose to respond
/// using a different compression method to that of the request, including not performing any
/// compression".
#[tokio::test]
async fn tonics_client_may_compress() {
    let mut recorder = RecordingDestination::start().await;
    let receiver = recording(&recorder).await;

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
            let client = client(endpoint).await;
            let mut client = client.send_compressed(encoding).accept_compressed(encoding);

            client.export(request(vec![span("a")])).await.unwrap();

            assert_eq!(recorder.next().await, spans(&["a"]), "{encoding:?} over {endpoint:?}");
        }
    }
}

/// OTLP, OTLP/gRPC Request: "the gRPC server implementations MUST report a `RESOURCE_EXHAUSTED` code
/// as a non-retryable error", which reaches a client that is still sending.
#[tokio::test]
async fn tonics_client_gets_the_reason_while_it_is_still_sending() {
    let receiver = ReceiverProcess::start(&[]).await;
    let large = vec![Span { trace_state: "x".repeat(16 << 20), ..span("large") }];

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        let mut client = client(endpoint).await;
        for _ in 0..5 {
            let status = client.export(request(large.clone())).await.unwrap_err();

            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            assert!(status.get_details_retry_info().is_none(), "{status:?}");
        }
        assert!(client.export(request(vec![span("a")])).await.is_ok(), "{endpoint:?}");
    }
}

/// OTLP, OTLP/gRPC Concurrent Requests: "The implementations that need to achieve high throughput
/// SHOULD support concurrent Unary calls". As many as SDKs make at once (30) are accepted from the
/// start, before the client can know a limit. RFC 9113, 6.5.2, on that limit: "It is recommended
/// that this value be no smaller than 100". Not followed: unread requests would hold too much memory.
#[tokio::test]
async fn thirty_calls_at_once_over_a_new_connection_are_all_accepted() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        let client = client(endpoint).await;
        let mut calls = JoinSet::new();
        for _ in 0..30 {
            let mut client = client.clone();
            calls.spawn(async move { client.export(request(vec![span("a")])).await });
        }

        for answer in calls.join_all().await {
            assert!(answer.is_ok(), "{answer:?} over {endpoint:?}");
        }
    }
    assert_eq!(receiver.metrics().await.accepted_spans(), 60);
}

/// gRPC, Status codes: `UNIMPLEMENTED`, "The operation is not implemented or is not
/// supported/enabled in this service": other signals, with how to silence them, and unknown methods.
#[tokio::test]
async fn other_services_and_methods_are_unimplemented() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        for path in [
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
            "/grpc.health.v1.Health/Check",
            "/v1/traces",
            "/",
        ] {
            let answer = endpoint.send(post(path, GRPC_CONTENT_TYPE, frame_message(0, b""))).await;

            assert_eq!(
                answer.grpc_status().code(),
                Code::Unimplemented,
                "{path} over {endpoint:?}"
            );
            assert!(
                answer.grpc_status().message().contains(EXPORT_PATH),
                "{path} over {endpoint:?}"
            );
            for (signal, variable) in
                [("Logs", "OTEL_LOGS_EXPORTER=none"), ("Metrics", "OTEL_METRICS_EXPORTER=none")]
            {
                let names = answer.grpc_status().message().contains(variable);
                assert_eq!(names, path.contains(signal), "{path} over {endpoint:?}");
            }
        }
    }
}

/// gRPC, PROTOCOL-HTTP2: "Content-Type → "content-type" "application/grpc" [("+proto" / "+json" /
/// {custom})]". RFC 9110, 8.3.1: in any case, and with parameters.
#[tokio::test]
async fn protobuf_under_any_of_its_content_types_is_accepted() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        for content_type in [
            "application/grpc",
            "application/grpc+proto",
            "Application/GRPC+Proto",
            "application/grpc;charset=utf-8",
        ] {
            let answer = endpoint
                .send(post(EXPORT_PATH, content_type, frame_message(0, &spans(&["a"]))))
                .await;

            assert_eq!(
                answer.success_message().partial_success,
                None,
                "{content_type} over {endpoint:?}"
            );
        }
    }
}

/// gRPC, PROTOCOL-HTTP2, as above: messages other than protobuf are not accepted. "If Content-Type
/// does not begin with "application/grpc", gRPC servers SHOULD respond with HTTP status of 415": so
/// on the path of a service for any other type, for gRPC-Web, and for gRPC over HTTP/1.1, which has no trailers to rely on.
#[tokio::test]
async fn other_kinds_of_grpc_are_refused() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        for content_type in ["application/grpc+json", "application/grpc+thrift"] {
            let answer =
                endpoint.send(post(EXPORT_PATH, content_type, frame_message(0, b"{}"))).await;
            assert_eq!(
                answer.grpc_status().code(),
                Code::Unimplemented,
                "{content_type} over {endpoint:?}"
            );
        }
        for path in [EXPORT_PATH, "/opentelemetry.proto.collector.logs.v1.LogsService/Export"] {
            for content_type in ["application/x-protobuf", "application/json", "text/plain", ""] {
                let endpoint = ReceiverEndpoint { protocol: Protocol::Http2, ..endpoint };
                let answer = endpoint.send(post(path, content_type, spans(&["a"]))).await;
                assert_eq!(answer.status, 415, "{content_type:?} at {path} over {endpoint:?}");
            }
        }
        for (protocol, content_type) in [
            (Protocol::Http2, "application/grpc-web"),
            (Protocol::Http2, "application/grpc-web+proto"),
            (Protocol::Http1, "application/grpc"),
            (Protocol::Http1, "application/grpc+proto"),
        ] {
            let endpoint = ReceiverEndpoint { protocol, ..endpoint };
            let answer =
                endpoint.send(post("/v1/traces", content_type, frame_message(0, b""))).await;
            assert_eq!(answer.status, 415, "{content_type} over {endpoint:?}");
            assert!(!answer.error_status().message.is_empty());
        }
    }
}

/// gRPC, PROTOCOL-HTTP2: "DATA frame boundaries have no relation to Length-Prefixed-Message
/// boundaries and implementations should make no assumptions about their alignment."
#[tokio::test]
async fn a_message_in_frames_of_any_size_is_accepted() {
    let receiver = ReceiverProcess::start(&[]).await;
    let message = frame_message(0, &spans(&["a"]));

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        for size in [1, 3, 5, 7, message.len()] {
            let request =
                post(EXPORT_PATH, GRPC_CONTENT_TYPE, "").map(|_| BodyInPieces::new(&message, size));
            let answer = endpoint.send(request).await;

            assert_eq!(answer.success_message().partial_success, None, "{size} over {endpoint:?}");
        }
    }
}

/// gRPC, PROTOCOL-HTTP2: "Request → Request-Headers *Length-Prefixed-Message EOS", one of them in a
/// unary call; "Message-Length → {length of Message}". OTLP, Failures: data that "cannot be
/// deserialized" is an `INVALID_ARGUMENT`.
#[tokio::test]
async fn a_call_without_exactly_one_whole_message_is_refused() {
    let receiver = ReceiverProcess::start(&[]).await;
    let message = frame_message(0, &spans(&["a"]));

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        for body in [
            vec![],
            message[..4].to_vec(),
            message[..message.len() - 1].to_vec(),
            [&message[..], b"\0"].concat(),
            [&message[..], &message].concat(),
            frame_message(2, &spans(&["a"])).to_vec(),
        ] {
            let answer = endpoint.send(post(EXPORT_PATH, GRPC_CONTENT_TYPE, body.clone())).await;

            assert_eq!(answer.kind(), ResponseKind::Malformed, "{body:?} over {endpoint:?}");
        }
    }
    assert_eq!(receiver.metrics().await.accepted_spans(), 0);
}

/// gRPC, Compression: "An ill-constructed message with its Compressed-Flag bit set but lacking a
/// grpc-encoding entry different from identity in its metadata MUST fail with `INTERNAL` status, its
/// associated description indicating the invalid Compressed-Flag condition."
#[tokio::test]
async fn a_compressed_message_without_an_encoding_is_refused() {
    let receiver = ReceiverProcess::start(&[]).await;
    let message = frame_message(1, &gzip(&spans(&["a"])));

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        let without = post(EXPORT_PATH, GRPC_CONTENT_TYPE, message.clone());
        let identity = with_header(without.clone(), "grpc-encoding", "identity");

        for request in [without, identity] {
            let answer = endpoint.send(request).await;

            assert_eq!(answer.grpc_status().code(), Code::Internal, "{endpoint:?}");
            assert!(answer.grpc_status().message().contains("compressed flag"), "{endpoint:?}");
        }
    }
}

/// gRPC, PROTOCOL-HTTP2: "A value of 0 indicates that no encoding of Message bytes has occurred",
/// whatever the header says.
#[tokio::test]
async fn an_uncompressed_message_is_accepted_under_any_known_encoding() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        for encoding in ["gzip", "zstd", "identity"] {
            let request = with_header(endpoint.request(spans(&["a"])), "grpc-encoding", encoding);

            assert_eq!(
                endpoint.send(request).await.success_message().partial_success,
                None,
                "{endpoint:?}"
            );
        }
    }
}

/// gRPC, Compression: "if it receives a message compressed in an undisclosed but supported encoding,
/// it MUST include said encoding in the response's `grpc-accept-encoding` header."
#[tokio::test]
async fn the_response_to_a_compressed_message_discloses_its_encoding() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        let answer = endpoint.export_compressed("gzip", &gzip(&spans(&["a"]))).await;

        assert_eq!(answer.header("grpc-accept-encoding"), "gzip,zstd,identity", "{endpoint:?}");
    }
}

/// gRPC, PROTOCOL-HTTP2: "`Timeout → "grpc-timeout" TimeoutValue TimeoutUnit`"; "If Timeout is
/// omitted a server should assume an infinite timeout." gRPC, Status codes: `DEADLINE_EXCEEDED`,
/// "The deadline expired before the operation could complete", here while the message is awaited.
#[tokio::test]
async fn a_call_whose_message_does_not_come_ends_at_its_timeout() {
    let receiver = ReceiverProcess::start(&[]).await;
    let message = frame_message(0, &spans(&["a"]));

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        for begin in [&[][..], &message[..4], &message[..message.len() - 1]] {
            for timeout in ["1S", "900m", "900000u"] {
                let call = post(EXPORT_PATH, GRPC_CONTENT_TYPE, "");
                let call = with_header(call, "grpc-timeout", timeout);
                let started = Instant::now();

                let answer = endpoint.send(call.map(|_| UnfinishedBody::new(begin.to_vec()))).await;

                assert_eq!(answer.grpc_status().code(), Code::DeadlineExceeded, "{endpoint:?}");
                let elapsed = started.elapsed();
                assert!(elapsed < Duration::from_secs(4), "{timeout}: {elapsed:?}");
            }
        }
    }
}

/// gRPC, PROTOCOL-HTTP2: "TimeoutValue → {positive integer as ASCII string of at most 8 digits}". A
/// value that is not one means no timeout, as in gRPC's C core and in tonic; grpc-go refuses it.
#[tokio::test]
async fn a_malformed_timeout_is_ignored() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        for timeout in ["", "1", "S", "-1S", "1s", "0.1S", "123456789n", "1 S"] {
            let call = with_header(endpoint.request(spans(&["a"])), "grpc-timeout", timeout);

            let answer = endpoint.send(call).await;

            assert_eq!(answer.success_message().partial_success, None, "{timeout}, {endpoint:?}");
        }
    }
}

/// gRPC, PROTOCOL-HTTP2: "`Timeout → "grpc-timeout" TimeoutValue TimeoutUnit`"; "Implementations must
/// not error due to receiving an invalid ASCII-Value that's a valid field-value in HTTP".
#[tokio::test]
async fn timeouts_and_custom_metadata_are_accepted() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        for (name, value) in [
            ("grpc-timeout", "1H"),
            ("grpc-timeout", "10S"),
            ("grpc-timeout", "99999999n"),
            ("grpc-accept-encoding", "identity, deflate, gzip"),
            ("trace-proto-bin", "jher831yy13JHy3hc"),
            ("authorization", "Bearer x"),
            ("x-tenant", "caf\u{e9}"),
        ] {
            let answer =
                endpoint.send(with_header(endpoint.request(spans(&["a"])), name, value)).await;

            assert_eq!(
                answer.success_message().partial_success,
                None,
                "{name}: {value} over {endpoint:?}"
            );
        }
        let mut timed = Request::new(request(vec![span("a")]));
        timed.set_timeout(Duration::from_secs(10));
        assert!(client(endpoint).await.export(timed).await.is_ok(), "{endpoint:?}");
    }
}

/// gRPC, PROTOCOL-HTTP2: "Method → ":method POST"".
#[tokio::test]
async fn a_call_with_another_http_method_is_refused() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        let mut call = endpoint.request(spans(&["a"]));
        *call.method_mut() = http::Method::PUT;

        assert_eq!(
            endpoint.send(call).await.grpc_status().code(),
            Code::Unimplemented,
            "{endpoint:?}"
        );
    }
}

/// gRPC, PROTOCOL-HTTP2: "Servers should send GOAWAY before terminating a connection to reliably
/// inform clients which work has been accepted by the server and is being executed."
#[tokio::test]
async fn a_receiver_that_shuts_down_closes_its_connections_gracefully() {
    let receiver = ReceiverProcess::start(&[("DRAIN_TIMEOUT", "200ms")]).await;
    let mut connections = vec![];
    for endpoint in receiver_endpoints(&receiver, GRPC_ONLY) {
        let mut connection = endpoint.connect().await;
        connection.send(endpoint.request(spans(&["a"]))).await;
        connections.push(connection);
    }

    receiver.terminate();

    for connection in connections {
        connection.closed().await;
    }
    let ended = receiver.wait_for_exit().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

async fn client(endpoint: ReceiverEndpoint) -> TraceServiceClient<Channel> {
    let server = Endpoint::from_shared(format!("http://{}", endpoint.address)).unwrap();
    TraceServiceClient::new(server.connect().await.unwrap())
}
