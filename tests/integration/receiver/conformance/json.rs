//! OTLP/JSON: OTLP's own rules.
//!
//! HTTP/1.1 and HTTP/2, each on both ports.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};

use super::conversion::{Harness, IDS, with_span};
use crate::support::client::{
    HTTP_PROTOCOLS, JSON_CONTENT_TYPE, TRACES_PATH, post, receiver_endpoints, with_header,
};
use crate::support::samples::{gzip, request};

/// OTLP, JSON Protobuf Encoding: "The `traceId` and `spanId` byte arrays are represented as
/// case-insensitive hex-encoded strings […] in all OTLP Protobuf messages, e.g., the `Span`, `Link`".
#[tokio::test]
async fn ids_are_hexadecimal_in_any_case() {
    let mut harness = Harness::start().await;
    let span = harness
        .span(
            r#""parentSpanId":"AbCdEf0123456789","links":[
            {"traceId":"00000000000000000000000000000aBc","spanId":"00000000000000dE"}]"#,
        )
        .await;

    assert_eq!(span.trace_id[..3], [0x5b, 0x8e, 0xff]);
    assert_eq!(span.parent_span_id, [0xab, 0xcd, 0xef, 1, 0x23, 0x45, 0x67, 0x89]);
    assert_eq!(span.links[0].trace_id[14..], [0x0a, 0xbc]);
    assert_eq!(span.links[0].span_id[7], 0xde);
}

/// OTLP, JSON Protobuf Encoding: "they are not base64-encoded as is defined in the standard Protobuf
/// JSON Mapping".
#[tokio::test]
async fn an_id_that_is_not_hexadecimal_is_refused() {
    let harness = Harness::start().await;
    for id in ["W47/95gDgQPSabYzgT/GDA==", "5B8EFFF798038103D269B633813FC60", "0x8EFFF798038103"] {
        let json = with_span("").replace("5B8EFFF798038103D269B633813FC60C", id);
        harness.refused(json, "spans[0].traceId").await;
    }
}

/// OTLP, JSON Protobuf Encoding, on enums: "only integer enum values are allowed in OTLP JSON
/// Protobuf Encoding; the enum name strings MUST NOT be used."
#[tokio::test]
async fn enums_are_integers_and_their_names_are_refused() {
    let mut harness = Harness::start().await;

    let span = harness.span(r#""kind":2,"status":{"code":1}"#).await;
    assert_eq!((span.kind, span.status.unwrap().code), (2, 1));
    // A value that a newer OTLP may define.
    assert_eq!(harness.span(r#""kind":99"#).await.kind, 99);

    harness.refused(with_span(r#""kind":"SPAN_KIND_SERVER""#), "spans[0].kind").await;
    harness.refused(with_span(r#""status":{"code":"STATUS_CODE_OK"}"#), "status.code").await;
}

/// OTLP, JSON Protobuf Encoding: "OTLP/JSON receivers MUST ignore message fields with unknown names
/// and MUST unmarshal the message as if the unknown field was not present in the payload."
#[tokio::test]
async fn unknown_fields_are_ignored_at_every_level() {
    let mut harness = Harness::start().await;
    for value in ["1", "null", "\"x\"", "[[{}]]", r#"{"traceId":7,"spans":[{}]}"#, "1e999"] {
        let new = format!(r#""new":{value}"#);
        let json = format!(
            r#"{{{new},"resourceSpans":[{{{new},"resource":{{{new}}},"scopeSpans":[{{{new},
            "scope":{{{new}}},"spans":[{{{new},{IDS},"attributes":[{{{new},"key":"a",
            "value":{{{new}}}}}],"status":{{{new}}}}}]}}]}}]}}"#
        );
        let without = json.replace(&format!("{new},"), "").replace(&new, "");

        assert_eq!(harness.forwarded(&json).await, harness.forwarded(&without).await, "{value}");
    }
}

/// OTLP, JSON Protobuf Encoding, to senders: "The keys of JSON objects are field names converted to
/// lowerCamelCase. Original field names are not valid to use as keys for JSON objects." ProtoJSON, to
/// parsers: they "accept both the lowerCamelCase name […] and the original proto field name", and so
/// does the Collector: spans would be lost otherwise.
#[tokio::test]
async fn original_field_names_are_accepted_at_every_level() {
    let mut harness = Harness::start().await;
    let original = r#"{"resource_spans":[{"resource":{"dropped_attributes_count":1},"schema_url":"r",
        "scope_spans":[{"scope":{"dropped_attributes_count":2},"schema_url":"s","spans":[{
        "trace_id":"5B8EFFF798038103D269B633813FC60C","span_id":"EEE19B7EC3C1B174",
        "parent_span_id":"EEE19B7EC3C1B173","trace_state":"a=b","end_time_unix_nano":"2",
        "attributes":[{"key":"k","value":{"array_value":{"values":[{"string_value":"v"}]}}}],
        "events":[{"time_unix_nano":"1"}],"dropped_links_count":3}]}]}]}"#;
    let camel_case = r#"{"resourceSpans":[{"resource":{"droppedAttributesCount":1},"schemaUrl":"r",
        "scopeSpans":[{"scope":{"droppedAttributesCount":2},"schemaUrl":"s","spans":[{
        "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",
        "parentSpanId":"EEE19B7EC3C1B173","traceState":"a=b","endTimeUnixNano":"2",
        "attributes":[{"key":"k","value":{"arrayValue":{"values":[{"stringValue":"v"}]}}}],
        "events":[{"timeUnixNano":"1"}],"droppedLinksCount":3}]}]}]}"#;

    assert_eq!(harness.forwarded(original).await, harness.forwarded(camel_case).await);
    // Two names of one field are the same field given twice: the last value counts.
    let span = harness.span(r#""traceState":"a","trace_state":"b""#).await;
    assert_eq!(span.trace_state, "b");
}

/// OTLP, Partial Success: "Servers MAY also use the `partial_success` field to convey
/// warnings/suggestions to clients even when the server fully accepts the request. In such cases, the
/// `rejected_<signal>` field MUST have a value of `0`": other data than spans.
#[tokio::test]
async fn a_request_that_holds_something_other_than_spans_gets_a_warning_that_names_it() {
    let harness = Harness::start().await;
    let requests = [
        (r#"{"resourceLogs":[{}]}"#, "OTEL_LOGS_EXPORTER=none"),
        (r#"{"resourceMetrics":[]}"#, "OTEL_METRICS_EXPORTER=none"),
        (r#"{"resource_profiles":[]}"#, "no profiles"),
        (r#"{"data":[{"traceID":"1"}]}"#, "only \"data\"; spans belong into resourceSpans"),
        (
            r#"{"resourceSpans":[{"instrumentationLibrarySpans":[]}]}"#,
            "instrumentationLibrarySpans",
        ),
        (r#"{"resourceSpans":[{"scopeSpans":[{"logRecords":[{}]}]}]}"#, "logRecords"),
    ];
    for (json, seen) in requests {
        for endpoint in receiver_endpoints(&harness.receiver, HTTP_PROTOCOLS) {
            let answer = endpoint.send(post(TRACES_PATH, JSON_CONTENT_TYPE, json)).await;

            assert_eq!(answer.status, 200, "{json} over {endpoint:?}");
            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
            let partial = &answer["partialSuccess"];
            assert_eq!(partial["rejectedSpans"], "0", "{json}: {answer}");
            assert!(partial["errorMessage"].as_str().unwrap().contains(seen), "{json}: {answer}");
        }
    }
    let metrics = harness.receiver.metrics().await;
    assert_eq!(metrics.sum::<i64>("tracebuffer_receiver_misdirected_requests_total", &[]), 24);
}

/// OTLP, JSON Protobuf Encoding: "64-bit integer numbers in JSON-encoded payloads are encoded as
/// decimal strings, and either numbers or strings are accepted when decoding."
#[tokio::test]
async fn integers_of_64_bits_are_strings_or_numbers() {
    let mut harness = Harness::start().await;
    for json in ["18446744073709551615", "\"18446744073709551615\""] {
        let span = harness.span(&format!(r#""startTimeUnixNano":{json}"#)).await;
        assert_eq!(span.start_time_unix_nano, u64::MAX, "{json}");
    }
    for json in ["-9223372036854775808", "\"-9223372036854775808\""] {
        let value = harness.value(&format!(r#"{{"intValue":{json}}}"#)).await;
        assert_eq!(value, Some(Any::IntValue(i64::MIN)), "{json}");
    }
}

/// OTLP, Full Success: "If the server receives an empty request […] the server SHOULD respond with
/// success."
#[tokio::test]
async fn an_empty_object_is_an_empty_request() {
    let mut harness = Harness::start().await;
    for json in ["{}", r#"{"resourceSpans":[]}"#, r#"{"resourceSpans":null}"#] {
        for endpoint in receiver_endpoints(&harness.receiver, HTTP_PROTOCOLS) {
            let answer = endpoint.send(post(TRACES_PATH, JSON_CONTENT_TYPE, json)).await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{}"[..]), "{json}");
        }
    }
    assert_eq!(harness.recorder.try_next_body(), None);
}

/// OTLP, Partial Success: "it MUST set the respective `rejected_spans` […] field"; OTLP, JSON Protobuf
/// Encoding: in lowerCamelCase, and "64-bit integer numbers in JSON-encoded payloads are encoded as
/// decimal strings". `trace.proto`: an id of another length "is considered invalid (empty string in
/// OTLP/JSON is zero-length and thus is also invalid)".
#[tokio::test]
async fn a_partial_success_is_answered_in_json() {
    let mut harness = Harness::start().await;
    let invalid = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
        {"traceId":"","spanId":"EEE19B7EC3C1B174"},
        {"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"0000000000000000"}]}]}]}"#;

    for endpoint in receiver_endpoints(&harness.receiver, HTTP_PROTOCOLS) {
        let answer = endpoint.send(post(TRACES_PATH, JSON_CONTENT_TYPE, invalid)).await;

        let partial: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.content_type()),
            (200, JSON_CONTENT_TYPE),
            "{endpoint:?}"
        );
        assert_eq!(partial["partialSuccess"]["rejectedSpans"], json!("2"), "{endpoint:?}");
        let message = partial["partialSuccess"]["errorMessage"].as_str().unwrap();
        assert!(message.contains("trace_id has 0 bytes"), "{message}");
    }
    assert_eq!(harness.recorder.try_next_body(), None);
}

/// OTLP, OTLP/HTTP Request: "The client MAY gzip the content", also if it is JSON.
#[tokio::test]
async fn compressed_json_is_accepted() {
    let mut harness = Harness::start().await;
    for endpoint in receiver_endpoints(&harness.receiver, HTTP_PROTOCOLS) {
        let body = gzip(with_span(r#""name":"a""#).as_bytes());
        let answer = endpoint
            .send(with_header(
                post(TRACES_PATH, JSON_CONTENT_TYPE, body),
                "content-encoding",
                "gzip",
            ))
            .await;

        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{}"[..]), "{endpoint:?}");
        let forwarded = ExportTraceServiceRequest::decode(harness.recorder.next().await).unwrap();
        let mut expected = request(vec![Span { name: "a".to_owned(), ..Span::default() }]);
        let span = &mut expected.resource_spans[0].scope_spans[0].spans[0];
        span.trace_id = u128::to_be_bytes(0x5B8E_FFF7_9803_8103_D269_B633_813F_C60C).to_vec();
        span.span_id = u64::to_be_bytes(0xEEE1_9B7E_C3C1_B174).to_vec();
        assert_eq!(forwarded, expected, "{endpoint:?}");
    }
}
