//! OTLP/gRPC export, against a real server with scripted responses.

use std::time::Duration;

use super::{kind_and_code, pair};
use crate::support::scripted_destination::{RawResponse, ScriptedDestination, ScriptedResponse};
use crate::support::spans::{WatchedBatch, batch, large_batch};
use http::Version;
use tokio::time::timeout;
use tracebuffer::adapters::messaging::destination::AnyDestination;
use tracebuffer::adapters::messaging::destination::config::{Compression, Protocol};
use tracebuffer::adapters::messaging::notation::headers::{parse_header_files, parse_header_list};
use tracebuffer::domain::delivery::{Delivered, FailureKind};
use tracebuffer::ports::destination::Destination;

const SOON: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(200);

async fn pair_with_short_timeout() -> (ScriptedDestination, AnyDestination) {
    let server = ScriptedDestination::start(Protocol::Grpc).await;
    let mut settings = server.settings();
    settings.timeout = SHORT;
    (server, AnyDestination::from_settings(Some(&settings)))
}

#[tokio::test]
async fn spans_arrive_in_order_over_one_connection() {
    let (server, destination) = pair(Protocol::Grpc).await;

    for names in [&["a", "b"][..], &["c"]] {
        assert_eq!(destination.send(batch(names)).await, Ok(Delivered::default()));
    }

    assert_eq!(server.received_names(), ["a", "b", "c"]);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_request_has_the_headers_of_grpc_and_the_configured_ones() {
    let server = ScriptedDestination::start(Protocol::Grpc).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("headers");
    std::fs::write(&file, "x-key: from-file").unwrap();
    let mut settings = server.settings();
    settings.headers = parse_header_list("x-tenant=blue,x-key=from-list").unwrap();
    settings.headers_file = Some(file);
    let token = directory.path().join("token");
    std::fs::write(&token, "Bearer secret\n").unwrap();
    let of_files = format!("authorization={}", token.display());
    settings.header_files = parse_header_files(&of_files).unwrap();

    AnyDestination::from_settings(Some(&settings)).send(batch(&["a"])).await.unwrap();

    let request = &server.requests()[0];
    assert_eq!(request.path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    assert_eq!(request.version, Version::HTTP_2);
    let expected = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", concat!("tracebuffer/", env!("CARGO_PKG_VERSION"))),
        ("x-tenant", "blue"),
        ("x-key", "from-file"),
        ("authorization", "Bearer secret"),
    ];
    for (name, value) in expected {
        assert_eq!(request.headers[name], value);
    }
    let left = request.headers["grpc-timeout"].to_str().unwrap().strip_suffix('m').unwrap();
    assert!((1..=5_000).contains(&left.parse::<u64>().unwrap()), "{left}");
    assert!(!request.headers.contains_key("grpc-encoding"));
    assert!(!request.headers.contains_key("grpc-accept-encoding"));
}

#[tokio::test]
async fn a_compressed_batch_arrives_whole_and_smaller() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let server = ScriptedDestination::start(Protocol::Grpc).await;
        let mut settings = server.settings();
        settings.compression = compression;
        let request = large_batch(100, 10_000);
        let bytes = request.bytes();

        AnyDestination::from_settings(Some(&settings)).send(request).await.unwrap();

        assert_eq!(server.received_spans().len(), 100);
        assert!(server.requests()[0].wire_bytes < bytes / 20, "{compression:?}");
    }
}

#[tokio::test]
async fn a_batch_far_larger_than_the_windows_arrives_whole() {
    let (server, destination) = pair(Protocol::Grpc).await;

    destination.send(large_batch(7, 512 * 1024)).await.unwrap();
    destination.send(large_batch(5_000, 0)).await.unwrap();

    let names: Vec<String> = (0..7).chain(0..5_000).map(|number| number.to_string()).collect();
    assert_eq!(server.received_names(), names);
}

#[tokio::test]
async fn concurrent_sends_share_one_connection() {
    let (server, destination) = pair(Protocol::Grpc).await;
    server.set_default_response(ScriptedResponse::Delay(
        Duration::from_millis(50),
        Box::new(ScriptedResponse::Accept),
    ));

    let sends = (batch(&["a"]), batch(&["b"]), batch(&["c"]));
    let outcomes = tokio::join!(
        destination.send(sends.0),
        destination.send(sends.1),
        destination.send(sends.2)
    );

    assert_eq!(
        outcomes,
        (Ok(Delivered::default()), Ok(Delivered::default()), Ok(Delivered::default()))
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn every_status_code_maps_to_a_failure_kind() {
    use FailureKind::{Inconclusive, InvalidData, Refused, TimedOut, TooLarge, Unavailable};
    let (server, destination) = pair(Protocol::Grpc).await;
    let codes = [
        (1, Inconclusive, "CANCELLED"),
        (2, Refused, "UNKNOWN"),
        (3, InvalidData, "INVALID_ARGUMENT"),
        (4, TimedOut, "DEADLINE_EXCEEDED"),
        (7, Refused, "PERMISSION_DENIED"),
        (8, TooLarge, "RESOURCE_EXHAUSTED"),
        (12, Refused, "UNIMPLEMENTED"),
        (13, Refused, "INTERNAL"),
        (14, Unavailable, "UNAVAILABLE"),
        (16, Refused, "UNAUTHENTICATED"),
    ];
    for (code, kind, name) in codes {
        server.script([ScriptedResponse::grpc(code)]);

        assert_eq!(kind_and_code(destination.send(batch(&["a"])).await), (kind, name));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn retry_info_in_a_refusal_sets_the_retry_delay() {
    let (server, destination) = pair(Protocol::Grpc).await;
    let retry_after = Some(Duration::from_millis(2_500));
    server.script([ScriptedResponse::Grpc { code: 8, message: "full %, really", retry_after }]);

    let failure = destination.send(batch(&["a"])).await.unwrap_err();

    assert_eq!((failure.kind, failure.retry_after), (FailureKind::Unavailable, retry_after));
    assert!(
        failure.message.ends_with("RESOURCE_EXHAUSTED: \"full %, really\""),
        "{}",
        failure.message
    );
    assert!(failure.message.contains(&server.address().port().to_string()));
}

#[tokio::test]
async fn a_partial_success_is_a_delivery_with_rejected_spans() {
    let (server, destination) = pair(Protocol::Grpc).await;
    server.script([ScriptedResponse::PartialSuccess { rejected: 2, message: "too old" }]);

    let delivered = destination.send(batch(&["a", "b"])).await.unwrap();

    assert_eq!(delivered, Delivered { rejected_spans: 2, message: "too old".to_owned() });
}

#[tokio::test]
async fn a_success_with_a_garbage_body_is_a_delivery_with_a_warning() {
    let (server, destination) = pair(Protocol::Grpc).await;
    let long = RawResponse::grpc(&vec![0; 200_000], 0);
    server.script([RawResponse::grpc(&[0xff], 0), long].map(ScriptedResponse::RawResponse));

    for _ in 0..2 {
        let delivered = destination.send(batch(&["a"])).await.unwrap();
        assert!(delivered.message.contains("cannot be read"), "{}", delivered.message);
    }
    destination.send(batch(&["a"])).await.unwrap();

    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_response_without_a_status_is_inconclusive() {
    let (server, destination) = pair(Protocol::Grpc).await;
    let without_status = RawResponse { trailers: Vec::new(), ..RawResponse::grpc(&[], 0) };
    let broken = RawResponse { broken: true, ..without_status.clone() };
    server.script([without_status, broken].map(ScriptedResponse::RawResponse));

    let outcome = destination.send(batch(&["a"])).await;
    assert_eq!(kind_and_code(outcome), (FailureKind::Inconclusive, "ANSWER"));
    let outcome = destination.send(batch(&["a"])).await;
    assert_eq!(kind_and_code(outcome), (FailureKind::Inconclusive, "RESET"));
}

#[tokio::test]
async fn a_refusal_with_a_very_long_message_is_still_recognised() {
    let (server, destination) = pair(Protocol::Grpc).await;
    let headers = vec![("grpc-status", "3".to_owned()), ("grpc-message", "x".repeat(40_000))];
    server
        .script([ScriptedResponse::RawResponse(RawResponse { headers, ..RawResponse::default() })]);

    let outcome = destination.send(batch(&["a"])).await;

    assert_eq!(kind_and_code(outcome), (FailureKind::InvalidData, "INVALID_ARGUMENT"));
}

#[tokio::test]
async fn a_response_with_oversized_headers_is_abandoned() {
    let (server, destination) = pair(Protocol::Grpc).await;
    let mut reply = RawResponse::grpc(&[], 0);
    reply.headers.push(("x-long", "x".repeat(100_000)));
    server.script([ScriptedResponse::RawResponse(reply)]);

    let outcome = destination.send(batch(&["a"])).await;

    assert_eq!(kind_and_code(outcome), (FailureKind::Inconclusive, "ANSWER"));
}

#[tokio::test]
async fn an_http_error_of_a_proxy_maps_to_a_grpc_code() {
    let (server, destination) = pair(Protocol::Grpc).await;
    server.script([ScriptedResponse::http(502), ScriptedResponse::http(404)]);

    let outcome = destination.send(batch(&["a"])).await;
    assert_eq!(kind_and_code(outcome), (FailureKind::Unavailable, "UNAVAILABLE"));
    let failure = destination.send(batch(&["a"])).await.unwrap_err();
    assert_eq!(failure.code, "UNIMPLEMENTED");
    assert!(failure.message.contains("HTTP 404"), "{}", failure.message);
}

#[tokio::test]
async fn after_a_reset_the_next_request_uses_another_connection() {
    let (server, destination) = pair(Protocol::Grpc).await;
    for answer in [ScriptedResponse::ResetConnection, ScriptedResponse::ResetStream] {
        server.script([answer]);

        let outcome = destination.send(batch(&["a"])).await;

        assert_eq!(kind_and_code(outcome), (FailureKind::Inconclusive, "RESET"));
        assert_eq!(destination.send(batch(&["b"])).await, Ok(Delivered::default()));
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_silent_destination_times_out_and_its_connection_is_closed() {
    let (server, destination) = pair_with_short_timeout().await;
    for answer in [ScriptedResponse::NeverRespond, ScriptedResponse::NeverRead] {
        server.set_default_response(answer);
        let (request, watched) = WatchedBatch::create(1 << 20);

        let failure = destination.send(request).await.unwrap_err();

        assert_eq!((failure.kind, failure.code), (FailureKind::TimedOut, "TIMEOUT"));
        assert!(failure.message.contains("within 200ms"), "{}", failure.message);
        timeout(SOON, server.wait_for_open_connections(0)).await.unwrap();
        timeout(SOON, watched.wait_until_freed()).await.unwrap();
    }
    server.set_default_response(ScriptedResponse::Accept);
    assert_eq!(destination.send(batch(&["a"])).await, Ok(Delivered::default()));
}

#[tokio::test]
async fn a_dropped_send_leaves_nothing_behind() {
    let (server, destination) = pair(Protocol::Grpc).await;
    destination.send(batch(&["a"])).await.unwrap();
    for answer in [ScriptedResponse::NeverRespond, ScriptedResponse::NeverRead] {
        server.script([answer]);
        let (request, watched) = WatchedBatch::create(1 << 20);

        let begun = timeout(SOON, server.wait_for_script_end());
        tokio::select! {
            outcome = destination.send(request) => panic!("{outcome:?}"),
            begun = begun => begun.unwrap(),
        }

        timeout(SOON, server.wait_for_open_connections(0)).await.unwrap();
        timeout(SOON, watched.wait_until_freed()).await.unwrap();
    }
    assert_eq!(destination.send(batch(&["b"])).await, Ok(Delivered::default()));
}

#[tokio::test]
async fn a_dropped_send_does_not_disturb_another_on_the_same_connection() {
    let (server, destination) = pair(Protocol::Grpc).await;
    server.script([
        ScriptedResponse::Delay(Duration::from_millis(150), Box::new(ScriptedResponse::Accept)),
        ScriptedResponse::NeverRespond,
    ]);
    let kept = destination.send(batch(&["a"]));
    let dropped = async {
        server.wait_for_requests(1).await;
        timeout(Duration::from_millis(50), destination.send(batch(&["b"]))).await
    };

    let (kept, dropped) = tokio::join!(kept, dropped);

    assert_eq!(kept, Ok(Delivered::default()));
    assert!(dropped.is_err());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_goaway_leads_to_a_new_connection_without_a_failure() {
    let (server, destination) = pair(Protocol::Grpc).await;
    for name in ["a", "b", "c"] {
        server.script([ScriptedResponse::GoAway(Box::new(ScriptedResponse::Accept))]);

        assert_eq!(destination.send(batch(&[name])).await, Ok(Delivered::default()));
    }

    assert_eq!(server.received_names(), ["a", "b", "c"]);
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_request_in_flight_is_completed_after_a_goaway() {
    let (server, destination) = pair(Protocol::Grpc).await;
    let slow =
        ScriptedResponse::Delay(Duration::from_millis(100), Box::new(ScriptedResponse::Accept));
    server.script([ScriptedResponse::GoAway(Box::new(slow))]);

    let first = destination.send(batch(&["a"]));
    let second = async {
        server.wait_for_requests(1).await;
        destination.send(batch(&["b"])).await
    };

    assert_eq!(tokio::join!(first, second), (Ok(Delivered::default()), Ok(Delivered::default())));
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_without_a_failure() {
    let (server, destination) = pair(Protocol::Grpc).await;
    destination.send(batch(&["a"])).await.unwrap();

    server.close_connections().await;
    tokio::task::yield_now().await;

    assert_eq!(destination.send(batch(&["b"])).await, Ok(Delivered::default()));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_destination_that_is_restarted_is_reached_again() {
    let (mut server, destination) = pair(Protocol::Grpc).await;
    server.stop().await;

    let failure = destination.send(batch(&["a"])).await.unwrap_err();
    assert_eq!((failure.kind, failure.code), (FailureKind::Unavailable, "CONNECT"));
    let peer = format!("localhost:{}", server.address().port());
    assert!(failure.message.contains(&peer), "{}", failure.message);
    assert!(failure.message.contains("refused"), "{}", failure.message);

    server.restart().await;
    assert_eq!(destination.send(batch(&["a"])).await, Ok(Delivered::default()));
}
