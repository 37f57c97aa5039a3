//! Messages: those that decode are forwarded unchanged, others are refused.
//!
//! gRPC, HTTP/1.1 and HTTP/2, each on both ports.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::recording;
use crate::support::client::{ALL_PROTOCOLS, ResponseKind, receiver_endpoints};
use crate::support::destinations::RecordingDestination;
use crate::support::receiver::ReceiverProcess;
use crate::support::samples::{serialized, span, spans};

/// The nested arrays in an attribute of a span that make 100 levels of messages, including the
/// request.
pub(crate) const DEEPEST_ARRAYS: usize = 47;

/// OTLP, Future Versions and Interoperability: "Newer versions of OTLP may add new fields to
/// messages that will be ignored by clients and servers that do not understand these fields."
/// Protobuf, Language Guide (proto 3), Unknown Fields: "Proto3 messages preserve unknown fields and include them during
/// parsing and in the serialized output."
#[tokio::test]
async fn unknown_fields_are_forwarded_untouched() {
    // Unknown fields of each wire type, before and after known fields, at every level.
    let unknown = [
        &[0xa0, 0x06, 0x96, 0x81, 0x00][..], // 100: varint, longer than necessary
        &[0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8], // 100: 64 bits
        &[0xa2, 0x06, 3, 0xff, 0xfe, 0xfd],  // 100: bytes that are not UTF-8
        &[0xa3, 0x06, 0x08, 0x01, 0xa4, 0x06], // 100: a group with a field in it
        &[0xa5, 0x06, 1, 2, 3, 4],           // 100: 32 bits
    ]
    .concat();
    let wrapped = |field: u8, inner: &[u8]| nested(field, &[&unknown, inner, &unknown].concat());
    let ids = [nested(1, &[1; 16]), nested(2, &[2; 8])].concat();
    let message = wrapped(1, &wrapped(2, &wrapped(2, &ids)));

    assert_forwarded_untouched(&message).await;
}

/// Protobuf, Encoding, Field Order: "protocol buffer parsers must be able to parse fields in any
/// order"; Last One Wins: "an encoded message would never have more than one instance of a
/// non-`repeated` field. However, parsers are expected to handle the case in which they do."
#[tokio::test]
async fn fields_in_any_order_and_given_twice_are_accepted_and_the_last_id_counts() {
    let ids = [nested(2, &[2; 8]), nested(1, &[0; 16]), nested(5, b"name"), nested(1, &[1; 16])];
    let message = nested(1, &[nested(2, &nested(2, &ids.concat())), nested(1, b"")].concat());

    assert_forwarded_untouched(&message).await;
}

/// `common.proto`, `AnyValue`: "The value is one of the listed fields. It is valid for all values
/// to be unspecified in which case this `AnyValue` is considered to be "empty"." Changelog, 1.9.0:
/// "OTLP consumers are expected to accept attribute values that were previously considered invalid":
/// empty values, bytes, arrays of anything, lists of keys and values.
#[tokio::test]
async fn attribute_values_of_every_kind_are_forwarded_untouched() {
    let empty = AnyValue { value: None };
    let values = vec![
        any(Value::StringValue(String::new())),
        any(Value::BoolValue(true)),
        any(Value::IntValue(i64::MIN)),
        any(Value::DoubleValue(f64::NAN)),
        any(Value::DoubleValue(f64::NEG_INFINITY)),
        any(Value::BytesValue(vec![0, 0xff])),
        any(Value::KvlistValue(KeyValueList { values: vec![attribute("in a list", None)] })),
        empty.clone(),
    ];
    let all = any(Value::ArrayValue(ArrayValue { values }));
    let attributes =
        vec![attribute("all", Some(all)), attribute("none", None), attribute("", Some(empty))];
    let message = serialized(vec![Span { attributes, ..span("a") }]);

    assert_forwarded_untouched(&message).await;
}

/// `common.proto`, `KeyValue.key_strindex`: "Implementers of OTLP receivers for signals other than
/// Profiling should treat the presence of this key as a non-fatal issue."
#[tokio::test]
async fn references_to_the_string_table_of_profiles_are_not_fatal() {
    let value = Some(any(Value::StringValueStrindex(7)));
    let attributes = vec![KeyValue { key: String::new(), value, key_strindex: 3 }];
    let message = serialized(vec![Span { attributes, ..span("a") }]);

    assert_forwarded_untouched(&message).await;
}

/// `trace.proto`, `Span.flags`: "Readers MUST NOT assume that bits 10-31 (22 most significant bits)
/// will be zero."
#[tokio::test]
async fn a_span_with_all_flags_set_is_forwarded_untouched() {
    let message = serialized(vec![Span { flags: u32::MAX, ..span("a") }]);

    assert_forwarded_untouched(&message).await;
}

/// Protobuf, Proto Limits: messages may be nested 100 deep in the C++ and Java libraries, here as 47
/// arrays in an attribute of a span: what these libraries decode is accepted.
#[tokio::test]
async fn messages_nested_to_the_limit_are_forwarded_untouched() {
    let message = nested_arrays(DEEPEST_ARRAYS);

    assert_forwarded_untouched(&message).await;
}

/// Protobuf, Proto Limits: "If you try to unmarshal a message that is nested deeper than the depth
/// limit, the unmarshaling will fail." If accepted, it would make the destination refuse the whole
/// batch.
#[tokio::test]
async fn messages_nested_past_the_limit_are_refused() {
    assert_refused(&[(&nested_arrays(DEEPEST_ARRAYS + 1), "more than 100 levels deep")]).await;
}

/// Protobuf, Language Guide (proto 3), Scalar Value Types: "A string must always contain UTF-8
/// encoded or 7-bit ASCII text". OTLP, Partial Success: "when the server accepts only parts of the
/// data and rejects the rest", here the span with such a string, or the spans of such a resource or
/// scope.
#[tokio::test]
async fn a_string_that_is_not_utf_8_costs_only_the_spans_that_it_belongs_to() {
    let mut recorder = RecordingDestination::start().await;
    let receiver = recording(&recorder).await;
    let ids = [nested(1, &[1; 16]), nested(2, &[2; 8])].concat();
    let in_span = |field: &[u8]| nested(2, &[&ids, field].concat());
    let fine = in_span(&nested(5, b"fine"));
    let bad = |field| nested(field, b"caf\xe9");

    let span_fields = [
        (bad(5), "name"),
        (bad(3), "trace_state"),
        (nested(9, &bad(1)), "attributes"),
        (nested(9, &nested(2, &bad(1))), "attributes"),
        (nested(11, &bad(2)), "events"),
        (nested(13, &bad(3)), "links"),
        (nested(15, &bad(2)), "status"),
    ];
    let in_spans = span_fields.map(|(field, name)| {
        let request = nested(1, &nested(2, &[in_span(&field), fine.clone()].concat()));
        (request, nested(1, &nested(2, &fine)), format!("its {name} is not UTF-8"))
    });
    let other = nested(1, &nested(2, &fine));
    let in_envelopes = [
        (nested(1, &[bad(3), nested(2, &fine)].concat()), "schema_url of its ResourceSpans"),
        (
            nested(1, &[nested(2, &fine), nested(1, &nested(1, &bad(1)))].concat()),
            "resource of its ResourceSpans",
        ),
        (nested(1, &nested(2, &[bad(3), fine.clone()].concat())), "schema_url of its ScopeSpans"),
        (
            nested(1, &nested(2, &[nested(1, &bad(2)), fine.clone()].concat())),
            "scope of its ScopeSpans",
        ),
    ]
    .map(|(broken, place)| ([broken, other.clone()].concat(), other.clone(), place.to_owned()));

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for (message, kept, reason) in in_spans.iter().chain(&in_envelopes) {
            let partial = endpoint.export(message.clone()).await.partial_success();

            assert_eq!(partial.rejected_spans, 1, "{reason} over {endpoint:?}");
            assert!(partial.error_message.contains(reason), "{partial:?}: {reason}");
            assert_eq!(recorder.next().await, kept[..], "{reason} over {endpoint:?}");
        }
    }
}

/// Protobuf, Encoding, Groups: "a corresponding `8:EGROUP` tag denotes its end"; "Group field numbers
/// need to match up. If we encounter `7:EGROUP` where we expect `8:EGROUP`, the message is
/// mal-formed."
#[tokio::test]
async fn a_group_that_is_not_closed_or_was_not_opened_is_refused() {
    assert_refused(&[
        (&[0xa3, 0x06], "starts a group that does not end"),
        (&[0xa3, 0x06, 0x9c, 0x06], "which was not started"),
        (&[0xa4, 0x06], "ends a group that was not started"),
    ])
    .await;
}

/// OTLP, Bad Data: "If the processing of the request fails because the request contains data that
/// cannot be decoded […] the server MUST respond with `HTTP 400 Bad Request`. The `Status.details`
/// field in the response SHOULD contain a `BadRequest`". OTLP/gRPC, Failures: "To indicate
/// non-retryable errors, the server is recommended to use code InvalidArgument and MAY supply
/// additional details via status using `BadRequest`."
#[tokio::test]
async fn bytes_that_do_not_decode_are_refused_with_the_reason() {
    let whole = spans(&["a"]);
    assert_refused(&[
        (&whole[..whole.len() - 1], "but its message has"),
        (b"\x08\x01", "wire type 0"),
        (b"\x00\x01", "field 0"),
        (b"\x1e", "wire type 6"),
        (&[0xff; 11], "64 bits"),
        (br#"{"resourceSpans":[]}"#, "ExportTraceServiceRequest"),
    ])
    .await;
}

/// OTLP, Failures: "Non-retryable errors indicate that telemetry data processing failed": nothing
/// of the request is kept.
#[tokio::test]
async fn a_refused_request_changes_nothing() {
    let mut recorder = RecordingDestination::start().await;
    let receiver = recording(&recorder).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        // A valid span comes before the broken one.
        let message = [spans(&["never kept"]), Bytes::from_static(&[0xff])].concat();
        assert_eq!(endpoint.export(message).await.kind(), ResponseKind::Malformed, "{endpoint:?}");
    }

    assert_eq!(receiver.metrics().await.accepted_spans(), 0);
    receiver_endpoints(&receiver, ALL_PROTOCOLS)[0].export(spans(&["next"])).await;
    assert_eq!(recorder.next().await, spans(&["next"]));
}

/// Sends each message to every endpoint and checks that the refusal gives the reason.
async fn assert_refused(cases: &[(&[u8], &str)]) {
    let receiver = ReceiverProcess::start(&[]).await;
    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for (message, reason) in cases {
            let answer = endpoint.export(message.to_vec()).await;

            assert_eq!(answer.kind(), ResponseKind::Malformed, "{endpoint:?}: {reason}");
            let refusal = answer.error_status().message;
            assert!(
                refusal.contains(reason),
                "{endpoint:?}: {refusal:?} does not contain {reason:?}"
            );
            let details = answer.details();
            let violations =
                &details.bad_request().expect("the violation is listed").field_violations;
            assert_eq!(violations.len(), 1, "{endpoint:?}");
            assert_eq!(violations[0].description, refusal, "{endpoint:?}");
        }
    }
}

/// A length-delimited field with a number of up to 15.
pub(crate) fn nested(field: u8, inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
    bytes.extend(inner);
    bytes
}

/// A request with a span that has an attribute of `count` nested arrays.
pub(crate) fn nested_arrays(count: usize) -> Bytes {
    let value = (0..count).fold(any(Value::IntValue(1)), |inner, _| {
        any(Value::ArrayValue(ArrayValue { values: vec![inner] }))
    });
    serialized(vec![Span { attributes: vec![attribute("deep", Some(value))], ..span("a") }])
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, value: Option<AnyValue>) -> KeyValue {
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

async fn assert_forwarded_untouched(message: &[u8]) {
    let mut recorder = RecordingDestination::start().await;
    let receiver = recording(&recorder).await;
    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        let answer = endpoint.export(Bytes::copy_from_slice(message)).await;

        assert_eq!(answer.success_message().partial_success, None, "{endpoint:?}");
        assert_eq!(recorder.next().await, message, "{endpoint:?}");
    }
}
