//! OTLP/HTTP export without TLS, hence over HTTP/1.1, against a real server with scripted
//! responses.

use std::time::{Duration, SystemTime};

use super::{kind_and_code, pair};
use crate::support::scripted_destination::{
    RawResponse, ScriptedDestination, ScriptedResponse, compressed,
};
use crate::support::spans::{WatchedBatch, batch, large_batch};
use http::Version;
use tokio::time::timeout;
use tracebuffer::adapters::messaging::destination::AnyDestination;
use tracebuffer::adapters::messaging::destination::config::{Compression, Protocol};
use tracebuffer::adapters::messaging::notation::headers::parse_header_list;
use tracebuffer::domain::delivery::{Delivered, FailureKind};
use tracebuffer::ports::destination::Destination;

const SOON: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn spans_arrive_in_order_over_one_connection() {
    let (server, destination) = pair(Protocol::Http).await;

    for names in [&["a", "b"][..], &["c"]] {
        assert_eq!(destination.send(batch(names)).await, Ok(Delivered::default()));
    }

    assert_eq!(server.received_names(), ["a", "b", "c"]);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_request_has_the_headers_of_otlp_and_the_configured_ones() {
    let server = ScriptedDestination::start(Protocol::Http).await;
    let mut settings = server.settings();
    settings.endpoint.path = "/otlp/v1/traces?tenant=blue".to_owned();
    settings.headers = parse_header_list("x-key=value,user-agent=mine").unwrap();
    let request = batch(&["a", "b"]);
    let bytes = request.bytes().to_string();

    AnyDestination::from_settings(Some(&settings)).send(request).await.unwrap();

    let request = &server.requests()[0];
    assert_eq!((request.path.as_str(), request.version), ("/otlp/v1/traces", Version::HTTP_11));
    let host = format!("localhost:{}", server.address().port());
    let expected = [
        ("host", host.as_str()),
        ("content-type", "application/x-protobuf"),
        ("content-length", &bytes),
        ("user-agent", "mine"),
        ("x-key", "value"),
    ];
    for (name, value) in expected {
        assert_eq!(request.headers[name], value);
    }
    assert!(!request.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn a_compressed_batch_arrives_whole_and_smaller() {
    for (compression, name) in [(Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")] {
        let server = ScriptedDestination::start(Protocol::Http).await;
        let mut settings = server.settings();
        settings.compression = compression;
        let request = large_batch(100, 10_000);
        let bytes = request.bytes();

        AnyDestination::from_settings(Some(&settings)).send(request).await.unwrap();

        assert_eq!(server.received_spans().len(), 100);
        let request = &server.requests()[0];
        assert_eq!(request.headers["content-encoding"], name);
        assert!(request.wire_bytes < bytes / 20, "{name}");
    }
}

#[tokio::test]
async fn a_batch_of_many_chunks_arrives_whole() {
    let (server, destination) = pair(Protocol::Http).await;

    destination.send(large_batch(7, 512 * 1024)).await.unwrap();
    destination.send(large_batch(5_000, 0)).await.unwrap();

    let names: Vec<String> = (0..7).chain(0..5_000).map(|number| number.to_string()).collect();
    assert_eq!(server.received_names(), names);
}

#[tokio::test]
async fn later_sends_reuse_the_connections_of_concurrent_ones() {
    let (server, destination) = pair(Protocol::Http).await;
    server.set_default_response(ScriptedResponse::Delay(
        Duration::from_millis(50),
        Box::new(ScriptedResponse::Accept),
    ));

    for _ in 0..2 {
        let sends = (destination.send(batch(&["a"])), destination.send(batch(&["b"])));
        let outcomes = tokio::join!(sends.0, sends.1);
        assert_eq!(outcomes, (Ok(Delivered::default()), Ok(Delivered::default())));
    }

    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn every_status_maps_to_a_failure_kind() {
    use FailureKind::{InvalidData, Refused, TooLarge, Unavailable};
    let (server, destination) = pair(Protocol::Http).await;
    let statuses = [
        (308, Refused, "3xx"),
        (400, InvalidData, "400"),
        (401, Refused, "401"),
        (404, Refused, "404"),
        (413, TooLarge, "413"),
        (418, Refused, "4xx"),
        (429, Unavailable, "429"),
        (500, Refused, "500"),
        (502, Unavailable, "502"),
        (503, Unavailable, "503"),
        (504, Unavailable, "504"),
    ];
    for (status, kind, name) in statuses {
        server.script([ScriptedResponse::http(status)]);

        let failure = destination.send(batch(&["a"])).await.unwrap_err();

        assert_eq!((failure.kind, failure.code), (kind, name));
        assert!(failure.message.contains(": \"scripted\""), "{}", failure.message);
    }
    assert_eq!((server.connections(), server.requests().len()), (1, statuses.len()));
}

#[tokio::test]
async fn retry_after_in_seconds_or_as_a_date_sets_the_retry_delay() {
    let (server, destination) = pair(Protocol::Http).await;
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_mins(1));
    for (value, range) in [("7".to_owned(), 7..=7), (date, 55..=60)] {
        server.script([ScriptedResponse::Http {
            status: 503,
            message: "",
            retry_after: Some(value),
        }]);

        let failure = destination.send(batch(&["a"])).await.unwrap_err();

        assert!(range.contains(&failure.retry_after.unwrap().as_secs()), "{failure:?}");
    }
}

#[tokio::test]
async fn a_partial_success_is_a_delivery_with_rejected_spans() {
    let (server, destination) = pair(Protocol::Http).await;
    server.script([ScriptedResponse::PartialSuccess { rejected: 2, message: "too old" }]);

    let delivered = destination.send(batch(&["a", "b"])).await.unwrap();

    assert_eq!(delivered, Delivered { rejected_spans: 2, message: "too old".to_owned() });
}

/// A response with a body that is compressed by `encoding`, or called so.
fn encoded(status: u16, content_type: &str, encoding: &str, body: Vec<u8>) -> ScriptedResponse {
    ScriptedResponse::RawResponse(RawResponse {
        status,
        headers: vec![
            ("content-type", content_type.to_owned()),
            ("content-encoding", encoding.to_owned()),
        ],
        body: body.into(),
        ..RawResponse::default()
    })
}

#[tokio::test]
async fn what_a_compressed_refusal_says_is_shown() {
    let (server, destination) = pair(Protocol::Http).await;
    for encoding in ["gzip", "zstd"] {
        let body = compressed(br#"{"error":"no room"}"#, encoding);
        server.script([encoded(503, "application/json", encoding, body)]);

        let failure = destination.send(batch(&["a"])).await.unwrap_err();

        assert!(failure.message.ends_with(": \"no room\""), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_success_that_cannot_be_decompressed_is_a_delivery_whose_warning_says_why() {
    let (server, destination) = pair(Protocol::Http).await;
    let bomb = compressed(&vec![0; 4 << 20], "gzip");
    let cut = compressed(&[0; 100], "zstd");
    let cases = [
        ("br", b"?".to_vec(), "its encoding \"br\" is not supported"),
        ("gzip", b"not gzip".to_vec(), "it cannot be decompressed"),
        ("zstd", cut[..cut.len() - 2].to_vec(), "it cannot be decompressed"),
        ("gzip", bomb, "it is too long after decompression"),
    ];
    for (encoding, body, why) in cases {
        server.script([encoded(200, "application/x-protobuf", encoding, body)]);

        let delivered = destination.send(batch(&["a"])).await.unwrap();

        assert!(delivered.message.contains(why), "{}", delivered.message);
    }
}

#[tokio::test]
async fn a_compressed_web_page_is_a_failure_that_may_pass() {
    let (server, destination) = pair(Protocol::Http).await;
    let page = compressed(b"<html><title>Sign in</title>", "gzip");
    server.script([encoded(200, "text/plain", "gzip", page)]);

    let failure = destination.send(batch(&["a"])).await.unwrap_err();

    assert_eq!((failure.kind, failure.code), (FailureKind::Inconclusive, "ANSWER"));
    assert!(failure.message.contains("\"Sign in\""), "{}", failure.message);
}

#[tokio::test]
async fn a_success_with_a_garbage_body_is_a_delivery_with_a_warning() {
    let (server, destination) = pair(Protocol::Http).await;
    server.script([ScriptedResponse::RawResponse(RawResponse::protobuf(200, vec![0xff]))]);

    let delivered = destination.send(batch(&["a"])).await.unwrap();

    assert!(delivered.message.contains("not OTLP"), "{}", delivered.message);
}

#[tokio::test]
async fn an_oversized_response_is_cut_off_and_classified_by_its_status() {
    let (server, destination) = pair(Protocol::Http).await;
    server.script([200, 503].map(|status| {
        ScriptedResponse::RawResponse(RawResponse::protobuf(status, vec![0; 1 << 20]))
    }));

    let delivered = destination.send(batch(&["a"])).await.unwrap();
    assert!(delivered.message.contains("longer than 64 KiB"), "{}", delivered.message);
    let outcome = destination.send(batch(&["a"])).await;
    assert_eq!(kind_and_code(outcome), (FailureKind::Unavailable, "503"));

    timeout(SOON, server.wait_for_open_connections(0)).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_truncated_success_is_a_delivery_with_a_warning() {
    let (server, destination) = pair(Protocol::Http).await;
    let broken = RawResponse { broken: true, ..RawResponse::protobuf(200, vec![0; 10]) };
    server.script([ScriptedResponse::RawResponse(broken)]);

    let delivered = destination.send(batch(&["a"])).await.unwrap();

    assert!(delivered.message.contains("it broke off"), "{}", delivered.message);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_without_a_failure() {
    let (server, destination) = pair(Protocol::Http).await;
    destination.send(batch(&["a"])).await.unwrap();

    server.close_connections().await;

    assert_eq!(destination.send(batch(&["b"])).await, Ok(Delivered::default()));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_request_on_a_closing_connection_is_repeated_without_a_failure() {
    let (server, destination) = pair(Protocol::Http).await;
    server.script([
        ScriptedResponse::Accept,
        ScriptedResponse::ResetStream,
        ScriptedResponse::Accept,
        ScriptedResponse::ResetConnection,
    ]);
    destination.send(batch(&["a"])).await.unwrap();

    for name in ["b", "c"] {
        assert_eq!(destination.send(batch(&[name])).await, Ok(Delivered::default()));
    }

    assert_eq!(server.received_names(), ["a", "b", "c"]);
    assert_eq!((server.connections(), server.requests().len()), (3, 5));
}

#[tokio::test]
async fn a_repeated_request_uses_a_new_connection() {
    let (server, destination) = pair(Protocol::Http).await;
    let slow =
        ScriptedResponse::Delay(Duration::from_millis(50), Box::new(ScriptedResponse::Accept));
    server.script([slow.clone(), slow, ScriptedResponse::ResetStream]);
    let sends = (destination.send(batch(&["a"])), destination.send(batch(&["b"])));
    let _both = tokio::join!(sends.0, sends.1);

    assert_eq!(destination.send(batch(&["c"])).await, Ok(Delivered::default()));

    assert_eq!(server.requests().last().map(|request| request.connection), Some(2));
}

#[tokio::test]
async fn a_response_with_oversized_headers_is_abandoned() {
    let (server, destination) = pair(Protocol::Http).await;
    let mut reply = RawResponse::protobuf(503, Vec::new());
    reply.headers.push(("x-long", "x".repeat(300_000)));
    server.script([ScriptedResponse::RawResponse(reply)]);

    let outcome = destination.send(batch(&["a"])).await;

    assert_eq!(kind_and_code(outcome), (FailureKind::Inconclusive, "ANSWER"));
}

#[tokio::test]
async fn a_new_connection_that_closes_without_a_response_is_a_failure() {
    for answer in [ScriptedResponse::ResetStream, ScriptedResponse::ResetConnection] {
        let (server, destination) = pair(Protocol::Http).await;
        server.script([answer]);

        let outcome = destination.send(batch(&["a"])).await;

        assert_eq!(kind_and_code(outcome), (FailureKind::Inconclusive, "RESET"));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn after_connection_close_the_next_request_uses_a_new_connection() {
    let (server, destination) = pair(Protocol::Http).await;
    server.script([ScriptedResponse::GoAway(Box::new(ScriptedResponse::Accept))]);

    for name in ["a", "b"] {
        assert_eq!(destination.send(batch(&[name])).await, Ok(Delivered::default()));
    }

    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_silent_destination_times_out_and_the_batch_is_freed() {
    let server = ScriptedDestination::start(Protocol::Http).await;
    let mut settings = server.settings();
    settings.timeout = SHORT;
    let destination = AnyDestination::from_settings(Some(&settings));
    for answer in [ScriptedResponse::NeverRespond, ScriptedResponse::NeverRead] {
        server.set_default_response(answer);
        let (request, watched) = WatchedBatch::create(8 << 20);

        let outcome = destination.send(request).await;

        assert_eq!(kind_and_code(outcome), (FailureKind::TimedOut, "TIMEOUT"));
        timeout(SOON, watched.wait_until_freed()).await.unwrap();
    }
    server.set_default_response(ScriptedResponse::Accept);
    assert_eq!(destination.send(batch(&["a"])).await, Ok(Delivered::default()));
}

#[tokio::test]
async fn a_dropped_send_leaves_nothing_behind() {
    let (server, destination) = pair(Protocol::Http).await;
    destination.send(batch(&["a"])).await.unwrap();
    server.script([ScriptedResponse::NeverRespond]);
    let (request, watched) = WatchedBatch::create(8 << 20);

    let begun = timeout(SOON, server.wait_for_script_end());
    tokio::select! {
        outcome = destination.send(request) => panic!("{outcome:?}"),
        begun = begun => begun.unwrap(),
    }

    timeout(SOON, watched.wait_until_freed()).await.unwrap();
    timeout(SOON, server.wait_for_open_connections(0)).await.unwrap();
    assert_eq!(destination.send(batch(&["b"])).await, Ok(Delivered::default()));
}

#[tokio::test]
async fn a_destination_that_is_restarted_is_reached_again() {
    let (mut server, destination) = pair(Protocol::Http).await;
    server.stop().await;
    let outcome = destination.send(batch(&["a"])).await;
    assert_eq!(kind_and_code(outcome), (FailureKind::Unavailable, "CONNECT"));

    server.restart().await;

    assert_eq!(destination.send(batch(&["a"])).await, Ok(Delivered::default()));
}
