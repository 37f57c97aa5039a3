//! Refused requests in the log: why, by whom, and which setting would allow them.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use crate::support::client::{
    ALL_PROTOCOLS, HTTP_PROTOCOLS, PROTOBUF_CONTENT_TYPE, post, receiver_endpoints, with_header,
};
use crate::support::receiver::ReceiverProcess;
use crate::support::samples::{serialized, span};

/// The lines of the log that hold all of `parts`, once there are some.
async fn lines_with(receiver: &ReceiverProcess, parts: &[&str]) -> Vec<String> {
    for _ in 0..100 {
        let log = receiver.log();
        let lines = log.lines().filter(|line| parts.iter().all(|part| line.contains(part)));
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        if !lines.is_empty() {
            return lines;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("no line has {parts:?} in:\n{}", receiver.log());
}

#[tokio::test]
async fn a_request_that_is_too_large_is_logged_with_its_sender_and_the_setting_that_allows_it() {
    let receiver = ReceiverProcess::start(&[("MAX_REQUEST_BYTES", "64Ki")]).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        let agent = format!("SDK/{:?}", endpoint.protocol);
        let request = endpoint.request(Bytes::from(vec![b' '; 65 << 10]));
        endpoint.send(with_header(request, "user-agent", &agent)).await;

        let parts = ["WARN", "too_large", &agent, "TRACEBUFFER_MAX_REQUEST_BYTES=128Ki"];
        assert!(!lines_with(&receiver, &parts).await.is_empty());
    }
}

#[tokio::test]
async fn other_refusals_and_rejected_spans_are_logged_by_their_kind() {
    let receiver = ReceiverProcess::start(&[]).await;
    let endpoint = receiver_endpoints(&receiver, HTTP_PROTOCOLS)[0];

    let no_ids = serialized(vec![opentelemetry_proto::tonic::trace::v1::Span {
        trace_id: vec![],
        ..span("no ids")
    }]);
    for (request, kind, reason) in [
        (endpoint.request("\u{7f}"), "malformed", "in ExportTraceServiceRequest"),
        (post("/v1/logs", PROTOBUF_CONTENT_TYPE, ""), "not_found", "OTEL_LOGS_EXPORTER=none"),
        (
            post("/v1/traces", "text/plain", ""),
            "unsupported_media_type",
            r#"application/json, not "text/plain""#,
        ),
        (endpoint.request(no_ids), "invalid_span", "trace_id has 0 bytes"),
        (endpoint.request("\u{48}\u{1}"), "misdirected", "field 9 of"),
    ] {
        endpoint.send(with_header(request, "user-agent", "an-sdk/1.0")).await;

        lines_with(&receiver, &["WARN", kind, "an-sdk/1.0", reason]).await;
    }
}

#[tokio::test]
async fn an_oversize_head_is_logged_with_the_setting() {
    let receiver = ReceiverProcess::start(&[]).await;
    let endpoint = receiver_endpoints(&receiver, HTTP_PROTOCOLS)[0];
    let token = "x".repeat(9 << 10);

    endpoint.send(with_header(endpoint.request(""), "authorization", &token)).await;

    lines_with(&receiver, &["WARN", "max_bytes=8192", "TRACEBUFFER_MAX_HEAD_BYTES"]).await;
}

#[tokio::test]
async fn the_name_of_a_sender_is_cut_and_cannot_forge_a_line() {
    let receiver = ReceiverProcess::start(&[]).await;
    let endpoint = receiver_endpoints(&receiver, HTTP_PROTOCOLS)[0];
    let agent = format!("a\tb{}", "x".repeat(8000));

    endpoint.send(with_header(endpoint.request("\u{7f}"), "user-agent", &agent)).await;

    let lines = lines_with(&receiver, &["WARN", "malformed", "tbxxx"]).await;
    let line = &lines[0];
    assert!(line.contains('…') && !line.contains('\t') && line.len() < 600, "{line}");
}
