//! `ProtoJSON`, the JSON mapping that OTLP refers to, and JSON itself.
//!
//! HTTP/1.1 and HTTP/2, each on both ports.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};

use super::conversion::{Harness, IDS, with_span, with_value};
use super::messages::DEEPEST_ARRAYS;
use crate::support::client::{
    HTTP_PROTOCOLS, JSON_CONTENT_TYPE, TRACES_PATH, post, receiver_endpoints,
};
use crate::support::samples::decoded_spans;

/// ProtoJSON, int32, fixed32, uint32, int64, …: "Either numbers or strings are accepted. Empty
/// strings are invalid. Exponent notation (such as `1e2`) is accepted in both quoted and unquoted
/// forms." Out of range numeric values: "Zero fractional portions are accepted."
#[tokio::test]
async fn integers_may_be_quoted_and_have_an_exponent_or_a_zero_fraction() {
    let mut harness = Harness::start().await;
    for json in ["200", "\"200\"", "2e2", "\"2E+2\"", "200.0", "\"200.00\"", "20000e-2"] {
        let span = harness.span(&format!(r#""droppedEventsCount":{json},"flags":{json}"#)).await;
        assert_eq!((span.dropped_events_count, span.flags), (200, 200), "{json}");
    }
}

/// ProtoJSON, Out of range numeric values: "if the number […] doesn't
/// fit in the corresponding type, the parser should fail to parse. This includes any negative number
/// for `uint32`"; "Values with nonzero fractional portions are not allowed for integer-typed fields."
#[tokio::test]
async fn numbers_that_do_not_fit_are_refused() {
    let harness = Harness::start().await;
    for (field, json) in [
        ("droppedLinksCount", "-1"),
        ("droppedLinksCount", "4294967296"),
        ("droppedLinksCount", "1.5"),
        ("droppedLinksCount", "\"\""),
        ("droppedLinksCount", "\" 1\""),
        ("droppedLinksCount", "true"),
        ("startTimeUnixNano", "18446744073709551616"),
        ("startTimeUnixNano", "\"-1\""),
        ("kind", "2147483648"),
    ] {
        harness.refused(with_span(&format!(r#""{field}":{json}"#)), field).await;
    }
}

/// ProtoJSON, float, double: "JSON value will be a number or one of the special string values "NaN",
/// "Infinity", and "-Infinity". Either numbers or strings are accepted. […] Exponent notation is also
/// accepted."
#[tokio::test]
async fn doubles_are_numbers_strings_or_special_names() {
    let mut harness = Harness::start().await;
    for (json, expected) in [
        ("1.5", 1.5),
        ("\"-2.5\"", -2.5),
        ("1e3", 1000.0),
        ("0", 0.0),
        ("\"Infinity\"", f64::INFINITY),
        ("\"-Infinity\"", f64::NEG_INFINITY),
        ("\"NaN\"", f64::NAN),
    ] {
        let Some(Any::DoubleValue(value)) =
            harness.value(&format!(r#"{{"doubleValue":{json}}}"#)).await
        else {
            panic!("{json} is not a double");
        };
        assert_eq!(value.total_cmp(&expected), std::cmp::Ordering::Equal, "{json}");
    }
    harness.refused(with_span(&with_value(r#"{"doubleValue":NaN}"#)), "doubleValue").await;
    harness.refused(with_span(&with_value(r#"{"doubleValue":1e999}"#)), "doubleValue").await;
}

/// ProtoJSON, bytes: "Either standard or URL-safe base64 encoding with/without paddings are
/// accepted."
#[tokio::test]
async fn bytes_are_base64_in_either_alphabet_with_or_without_padding() {
    let mut harness = Harness::start().await;
    for text in ["+/8=", "+/8", "-_8=", "-_8"] {
        let value = harness.value(&format!(r#"{{"bytesValue":"{text}"}}"#)).await;
        assert_eq!(value, Some(Any::BytesValue(vec![0xfb, 0xff])), "{text}");
    }
    harness.refused(with_span(&with_value(r#"{"bytesValue":"!"}"#)), "bytesValue").await;
}

/// ProtoJSON, Null values: "Parsers accept `null` as a legal value for any field"; "The field should
/// remain unset, as though it was not present in the input at all".
#[tokio::test]
async fn null_leaves_any_field_unset() {
    let mut harness = Harness::start().await;
    let nulls = [
        "traceState",
        "parentSpanId",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "droppedAttributesCount",
        "events",
        "links",
        "status",
        "flags",
    ]
    .map(|field| format!(r#""{field}":null"#));

    assert_eq!(harness.span(&nulls.join(",")).await, harness.span("").await);
    for value in ["null", "{}", r#"{"stringValue":null}"#, r#"{"arrayValue":null}"#] {
        assert_eq!(harness.value(value).await, None, "{value}");
    }
    let around = format!(
        r#"{{"resourceSpans":[{{"resource":null,"schemaUrl":null,"scopeSpans":[{{"scope":null,
        "spans":[{{{IDS}}}]}}]}}]}}"#
    );
    assert_eq!(harness.forwarded(&around).await, harness.forwarded(&with_span("")).await);
}

/// ProtoJSON, Null values: "`null` values are not allowed within repeated fields."
#[tokio::test]
async fn null_within_an_array_is_refused() {
    let harness = Harness::start().await;
    harness.refused(r#"{"resourceSpans":[null]}"#, "resourceSpans[0]").await;
    harness.refused(with_span(r#""attributes":[null]"#), "attributes[0]").await;
    let array = with_value(r#"{"arrayValue":{"values":[null]}}"#);
    harness.refused(with_span(&array), "values[0]").await;
}

/// ProtoJSON, Duplicate values: "Parsers should accept the same field being duplicated, and the last
/// value provided should be retained."
#[tokio::test]
async fn the_last_value_of_a_duplicate_field_is_retained() {
    let mut harness = Harness::start().await;

    let span = harness.span(r#""name":"first","kind":1,"name":"last","kind":5"#).await;

    assert_eq!((span.name.as_str(), span.kind), ("last", 5));
}

/// ProtoJSON, Duplicate values: "Serializers must never serialize […] multiple different cases in the
/// same oneof in the same JSON object."
#[tokio::test]
async fn two_members_of_one_value_are_refused() {
    let harness = Harness::start().await;
    let two = with_value(r#"{"stringValue":"a","intValue":1}"#);
    harness.refused(with_span(&two), "attributes[0].value").await;
}

/// `common.proto`, `AnyValue`: "It is valid for all values to be unspecified"; changelog, 1.9.0:
/// values of every kind, also nested.
#[tokio::test]
async fn attribute_values_of_every_kind_are_converted() {
    let mut harness = Harness::start().await;
    let any = |value| AnyValue { value: Some(value) };

    for (json, expected) in [
        (r#"{"stringValue":""}"#, Any::StringValue(String::new())),
        (r#"{"boolValue":false}"#, Any::BoolValue(false)),
        (r#"{"intValue":"0"}"#, Any::IntValue(0)),
        (r#"{"bytesValue":""}"#, Any::BytesValue(vec![])),
        (r#"{"arrayValue":{}}"#, Any::ArrayValue(ArrayValue::default())),
        (
            r#"{"arrayValue":{"values":[{"intValue":1},{},{"boolValue":true}]}}"#,
            Any::ArrayValue(ArrayValue {
                values: vec![
                    any(Any::IntValue(1)),
                    AnyValue { value: None },
                    any(Any::BoolValue(true)),
                ],
            }),
        ),
        (
            r#"{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}}"#,
            Any::KvlistValue(KeyValueList {
                values: vec![KeyValue {
                    key: "k".to_owned(),
                    value: Some(any(Any::StringValue("v".to_owned()))),
                    ..KeyValue::default()
                }],
            }),
        ),
    ] {
        assert_eq!(harness.value(json).await, Some(expected), "{json}");
    }
}

/// RFC 8259, 2 and 7: whitespace between tokens, escapes in strings and keys.
#[tokio::test]
async fn whitespace_and_escapes_are_accepted() {
    let mut harness = Harness::start().await;

    let spaced = format!("\r\n\t {} \r\n\t", with_span("\n\t\"name\" :\r \"a\""));
    let request_with_a = harness.forwarded(&spaced).await;
    let span = harness.span(r#""n\u0061me":"\ud83d\ude00\"\\\/\n\u0000é""#).await;

    assert_eq!(request_with_a.resource_spans[0].scope_spans[0].spans[0].name, "a");
    assert_eq!(span.name, "😀\"\\/\n\0é");
}

/// RFC 8259, 2: "JSON-text = ws value ws": one value, here the object of a message, and nothing after
/// it.
#[tokio::test]
async fn anything_but_one_json_object_is_refused() {
    let harness = Harness::start().await;
    let whole = with_span("");

    for json in ["", " ", "[]", "null", "7", "\"a\"", "{\"resourceSpans\":[]"] {
        harness.refused(json, "malformed OTLP/JSON request at line 1").await;
    }
    for after in ["{}", "x", "\0", ",", &whole] {
        harness.refused(format!("{whole}{after}"), "trailing characters").await;
    }
    for json in ["{'resourceSpans':[]}", "{resourceSpans:[]}", "{\"resourceSpans\":[],}"] {
        harness.refused(json, "malformed").await;
    }
}

/// RFC 8259, 8.1: "JSON text exchanged between systems […] MUST be encoded using UTF-8".
#[tokio::test]
async fn json_that_is_not_utf_8_is_refused() {
    let harness = Harness::start().await;
    let mut latin = with_span(r#""name":"?""#).into_bytes();
    let at = latin.iter().position(|byte| *byte == b'?').unwrap();
    latin[at] = 0xe9;

    harness.refused(latin, "not UTF-8").await;
}

/// RFC 8259, 8.2: the grammar "allows member names and string values to contain bit sequences that
/// cannot encode Unicode characters; for example, "\uDEAD"", as JavaScript writes a text that it cut
/// within a character. No protobuf string can hold it, so its span is rejected alone.
#[tokio::test]
async fn a_lone_surrogate_costs_only_its_span() {
    let mut harness = Harness::start().await;
    for cut in [r"\ud83d", r"\ude00\ud83d", r"a\uD83Db"] {
        let broken = format!(r#"{{{IDS},"attributes":[{{"value":{{"stringValue":"{cut}"}}}}]}}"#);
        let json = with_span(r#""name":"\ud83d\ude00""#);
        let json = json.replace(r#""spans":["#, &format!(r#""spans":[{broken},"#));
        for endpoint in receiver_endpoints(&harness.receiver, HTTP_PROTOCOLS) {
            let answer = endpoint.send(post(TRACES_PATH, JSON_CONTENT_TYPE, json.clone())).await;

            assert_eq!(answer.status, 200, "{json} over {endpoint:?}");
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            let partial = &answer["partialSuccess"];
            assert_eq!(partial["rejectedSpans"], "1", "{answer}");
            let message = partial["errorMessage"].as_str().unwrap();
            assert!(message.contains("its attributes is not UTF-8"), "{message}");
            let kept = decoded_spans(&harness.recorder.next().await);
            assert_eq!((kept.len(), kept[0].name.as_str()), (1, "😀"));
        }
    }
}

/// Protobuf, Proto Limits, Depth Limit: 100 messages, in JSON as in protobuf.
#[tokio::test]
async fn messages_may_nest_to_the_limit_and_not_beyond() {
    let mut harness = Harness::start().await;
    let nested = |depth: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(depth);
        format!("{open}{{\"intValue\":1}}{}", "]}}".repeat(depth))
    };

    assert!(harness.value(&nested(DEEPEST_ARRAYS)).await.is_some());
    let deeper = with_span(&with_value(&nested(DEEPEST_ARRAYS + 1)));
    harness.refused(deeper, "nested deeper than the 100 levels").await;
    harness.refused("[".repeat(1 << 20), "not a JSON object").await;
    harness.refused(format!("{{\"resourceSpans\":{}", "[".repeat(1 << 20)), "resourceSpans").await;
}
