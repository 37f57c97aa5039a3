//! OTLP 1.11, "JSON Protobuf Encoding".

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::*;

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

/// A request with every field, each with a value of its own.
const EVERY_FIELD: &str = r#"{"resourceSpans":[{
        "resource":{
            "attributes":[{"key":"service.name","value":{"stringValue":"shop"}}],
            "droppedAttributesCount":1,
            "entityRefs":[{"schemaUrl":"e","type":"service","idKeys":["a","b"],
                           "descriptionKeys":["c"]}]},
        "scopeSpans":[{
            "scope":{"name":"lib","version":"1.2","droppedAttributesCount":2,
                     "attributes":[{"key":"b","value":{"boolValue":true}}]},
            "spans":[{
                "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",
                "parentSpanId":"eee19b7ec3c1b173","traceState":"a=b","flags":257,"name":"GET",
                "kind":2,"startTimeUnixNano":"1544712660000000000",
                "endTimeUnixNano":"1544712661000000000",
                "attributes":[{"key":"i","value":{"intValue":"-9"},"keyStrindex":4}],
                "droppedAttributesCount":3,
                "events":[{"timeUnixNano":"5","name":"e","droppedAttributesCount":4,
                           "attributes":[{"key":"d","value":{"doubleValue":0.5}}]}],
                "droppedEventsCount":5,
                "links":[{"traceId":"01","spanId":"02","traceState":"c=d","flags":6,
                          "droppedAttributesCount":7,
                          "attributes":[{"key":"y","value":{"bytesValue":"AQI="}}]}],
                "droppedLinksCount":8,
                "status":{"message":"no","code":2}}],
            "schemaUrl":"s"}],
        "schemaUrl":"r"}]}"#;

#[test]
fn every_field_of_a_request_is_converted_from_its_lower_camel_case_name() {
    let request = request(EVERY_FIELD);

    let resource = Resource {
        attributes: vec![attribute("service.name", Value::StringValue("shop".into()))],
        dropped_attributes_count: 1,
        entity_refs: vec![EntityRef {
            schema_url: "e".into(),
            r#type: "service".into(),
            id_keys: vec!["a".into(), "b".into()],
            description_keys: vec!["c".into()],
        }],
    };
    let scope = InstrumentationScope {
        name: "lib".into(),
        version: "1.2".into(),
        attributes: vec![attribute("b", Value::BoolValue(true))],
        dropped_attributes_count: 2,
    };
    let event = Event {
        time_unix_nano: 5,
        name: "e".into(),
        attributes: vec![attribute("d", Value::DoubleValue(0.5))],
        dropped_attributes_count: 4,
    };
    let link = Link {
        trace_id: vec![1],
        span_id: vec![2],
        trace_state: "c=d".into(),
        attributes: vec![attribute("y", Value::BytesValue(vec![1, 2]))],
        dropped_attributes_count: 7,
        flags: 6,
    };
    let span = Span {
        trace_id: 0x5B8E_FFF7_9803_8103_D269_B633_813F_C60C_u128.to_be_bytes().into(),
        span_id: 0xEEE1_9B7E_C3C1_B174_u64.to_be_bytes().into(),
        trace_state: "a=b".into(),
        parent_span_id: 0xEEE1_9B7E_C3C1_B173_u64.to_be_bytes().into(),
        flags: 257,
        name: "GET".into(),
        kind: 2,
        start_time_unix_nano: 1_544_712_660_000_000_000,
        end_time_unix_nano: 1_544_712_661_000_000_000,
        attributes: vec![KeyValue { key_strindex: 4, ..attribute("i", Value::IntValue(-9)) }],
        dropped_attributes_count: 3,
        events: vec![event],
        dropped_events_count: 5,
        links: vec![link],
        dropped_links_count: 8,
        status: Some(Status { message: "no".into(), code: 2 }),
    };
    let scope_spans = ScopeSpans { scope: Some(scope), spans: vec![span], schema_url: "s".into() };
    let resource_spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        schema_url: "r".into(),
    };
    assert_eq!(request.resource_spans, [resource_spans]);
}

/// "The `traceId` and `spanId` byte arrays are represented as case-insensitive hex-encoded
/// strings; they are not base64-encoded".
#[test]
fn ids_are_hexadecimal_strings_of_either_case() {
    let span = span(r#""traceId":"aBcD","spanId":"EF","parentSpanId":"ef""#);

    assert_eq!(span.trace_id, [0xab, 0xcd]);
    assert_eq!(span.span_id, [0xef]);
    assert_eq!(span.parent_span_id, [0xef]);
}

/// "Hex encoding is used for `traceId` and `spanId` fields in all OTLP Protobuf messages, e.g.,
/// the `Span`, `Link`, `LogRecord`, etc. messages."
#[test]
fn ids_of_links_are_hexadecimal_too() {
    let span = span(r#""links":[{"traceId":"0aFF","spanId":"00"}]"#);

    assert_eq!(span.links[0].trace_id, [0x0a, 0xff]);
    assert_eq!(span.links[0].span_id, [0]);
}

#[test]
fn an_id_of_another_length_is_converted_unchanged() {
    for (hex, bytes) in [("", 0), ("00", 1), (&*"ab".repeat(15), 15), (&*"ab".repeat(17), 17)] {
        assert_eq!(span(&format!(r#""traceId":"{hex}""#)).trace_id.len(), bytes);
    }
}

#[test]
fn an_id_in_base64_is_refused_with_its_path_and_the_allowed_form() {
    let (path, problem) = span_refusal(r#""spanId":"7uGbfsPBsXQ=""#);

    assert_eq!(path, "spanId");
    assert_eq!(
        problem,
        "found \"7uGbfsPBsXQ=\" where only a string of hexadecimal digits, two for each byte \
         (OTLP ids are not base64) is allowed"
    );
}

#[test]
fn an_id_with_half_a_byte_a_prefix_or_another_type_is_refused() {
    for id in [r#""abc""#, r#""0xab""#, "12", "true", "[1]", "{}"] {
        assert_eq!(span_refusal(&format!(r#""traceId":{id}"#)).0, "traceId", "{id}");
    }
}

/// "Values of enum fields MUST be encoded as integer values. (...) For example, the `kind` field
/// with a value of `SPAN_KIND_SERVER` in a Span can be represented like this: { "kind": 2, ... }".
#[test]
fn an_enum_is_an_integer() {
    let span = span(r#""kind":2,"status":{"code":1}"#);

    assert_eq!((span.kind, span.status.unwrap().code), (2, 1));
}

/// "only integer enum values are allowed in OTLP JSON Protobuf Encoding; the enum name strings
/// MUST NOT be used".
#[test]
fn the_name_of_an_enum_value_is_refused_with_the_allowed_form() {
    let kind = span_refusal(r#""kind":"SPAN_KIND_SERVER""#);
    let code = span_refusal(r#""status":{"code":"STATUS_CODE_OK"}"#);

    assert_eq!((&*kind.0, &*code.0), ("kind", "status.code"));
    assert_eq!(
        kind.1,
        "found \"SPAN_KIND_SERVER\" where only an integer from -2147483648 to 2147483647 \
         (OTLP/JSON has no enum names) is allowed"
    );
}

#[test]
fn an_enum_value_in_a_string_is_refused_even_if_it_is_a_number() {
    assert_eq!(span_refusal(r#""kind":"2""#).0, "kind");
}

#[test]
fn an_unknown_enum_value_is_accepted() {
    for kind in [6, 99, -1, i32::MAX, i32::MIN] {
        assert_eq!(span(&format!(r#""kind":{kind}"#)).kind, kind);
    }
}

/// "OTLP/JSON receivers MUST ignore message fields with unknown names and MUST unmarshal the
/// message as if the unknown field was not present in the payload."
#[test]
fn unknown_fields_are_ignored_in_every_message_with_any_value() {
    for unknown in ["null", "1e999", "\"x\"", "[[1],{}]", r#"{"name":[{}]}"#, r#""\ud800""#] {
        let json = format!(
            r#"{{"x":{unknown},"resourceSpans":[{{"x":{unknown},"resource":{{"x":{unknown}}},
            "scopeSpans":[{{"x":{unknown},"scope":{{"x":{unknown}}},"spans":[{{"x":{unknown},
            "name":"n","x":{unknown},"status":{{"x":{unknown}}},"attributes":[{{"x":{unknown},
            "key":"k","value":{{"x":{unknown},"boolValue":true,"y":{unknown}}}}}],
            "events":[{{"x":{unknown}}}],"links":[{{"x":{unknown}}}]}}]}}]}}]}}"#
        );
        let without = r#"{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"spans":[{
            "name":"n","status":{},"attributes":[{"key":"k","value":{"boolValue":true}}],
            "events":[{}],"links":[{}]}]}]}]}"#;

        assert_eq!(request(&json), request(without), "{unknown}");
    }
}

/// `ProtoJSON`: "Message field names are mapped to lowerCamelCase names to be used as object keys. […]
/// Parsers accept both the lowerCamelCase name […] and the original proto field name."
#[test]
fn every_field_of_a_request_is_converted_from_its_original_name() {
    let original = with_original_names(serde_json::from_str(EVERY_FIELD).unwrap()).to_string();

    assert!(original.contains("\"dropped_attributes_count\""), "{original}");
    assert_eq!(request(&original), request(EVERY_FIELD));
    for json in [
        r#"{"arrayValue":{"values":[{"kvlistValue":{"values":[{"key":"k"}]}}]}}"#,
        r#"{"stringValueStrindex":3}"#,
    ] {
        let original = with_original_names(serde_json::from_str(json).unwrap()).to_string();
        assert_eq!(value(&original), value(json), "{original}");
    }
}

fn with_original_names(json: serde_json::Value) -> serde_json::Value {
    match json {
        serde_json::Value::Array(elements) => {
            elements.into_iter().map(with_original_names).collect()
        }
        serde_json::Value::Object(members) => {
            let members = members.into_iter();
            members.map(|(key, value)| (original_name(&key), with_original_names(value))).collect()
        }
        other => other,
    }
}

fn original_name(key: &str) -> String {
    let mut name = String::new();
    for character in key.chars() {
        if character.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}

#[test]
fn both_names_of_a_field_name_the_same_field_and_the_last_value_is_kept() {
    assert_eq!(span(r#""traceState":"a","trace_state":"b""#).trace_state, "b");
    assert_eq!(span(r#""trace_state":"a","traceState":"b""#).trace_state, "b");
    assert_eq!(span(r#""trace_state":"a","traceState":null"#).trace_state, "a");
    let (path, _) = value_refusal(r#"{"string_value":"s","intValue":1}"#);
    assert_eq!(path, "intValue");
}

#[test]
fn other_spellings_of_a_field_are_unknown_fields() {
    let span = span(
        r#""trace_Id":"ab","traceID":"ab","tracestate":"a","_trace_state":"a","trace_state_":"a",
           "trace__state":"a","TRACE_STATE":"a","droppedLinks_count":5,"Name":"n","name_":"n""#,
    );

    assert_eq!(span, Span::default());
}

/// "64-bit integer numbers in JSON-encoded payloads are encoded as decimal strings, and either
/// numbers or strings are accepted when decoding."
#[test]
fn integers_of_64_bits_are_strings_or_numbers() {
    for time in ["1544712660000000001", r#""1544712660000000001""#] {
        let span = span(&format!(r#""startTimeUnixNano":{time}"#));

        assert_eq!(span.start_time_unix_nano, 1_544_712_660_000_000_001);
    }
    for int in ["-1544712660000000001", r#""-1544712660000000001""#] {
        assert_eq!(
            value(&format!(r#"{{"intValue":{int}}}"#)),
            Some(Value::IntValue(-1_544_712_660_000_000_001))
        );
    }
}

/// "It is valid for all values to be unspecified in which case this `AnyValue` is considered to be
/// "empty"" (common.proto).
#[test]
fn a_value_without_a_member_is_an_empty_value() {
    assert_eq!(value("{}"), None);
    assert_eq!(value(r#"{"futureValue":1}"#), None);
}

/// "Implementers of OTLP receivers for signals other than Profiling should treat the presence of
/// this value as a non-fatal issue" (common.proto).
#[test]
fn references_to_the_string_table_of_profiles_are_preserved() {
    assert_eq!(value(r#"{"stringValueStrindex":3}"#), Some(Value::StringValueStrindex(3)));
    assert_eq!(span(r#""attributes":[{"keyStrindex":"3"}]"#).attributes[0].key_strindex, 3);
}

/// "If the server receives an empty request (a request that does not carry any telemetry data) the
/// server SHOULD respond with success."
#[test]
fn an_empty_object_is_an_empty_request() {
    for json in ["{}", " \t\r\n{ } \n", r#"{"resourceSpans":[]}"#, r#"{"resourceSpans":null}"#] {
        assert!(to_protobuf(json.as_bytes()).unwrap().protobuf.is_empty(), "{json}");
    }
}
