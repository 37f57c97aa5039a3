//! OTLP/JSON compared with the serde support of opentelemetry-proto, and with garbage as input.

use std::error::Error;
use std::mem;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use prost::Message;
use serde_json::{Map, Value as Json, json};
use tracebuffer::adapters::messaging::json::{max_output, to_protobuf};
use tracebuffer::adapters::messaging::wire::without_undecodable_spans;

/// Known keys, and an unknown one.
const KEYS: [&str; 24] = [
    "resourceSpans",
    "scopeSpans",
    "spans",
    "resource",
    "scope",
    "attributes",
    "key",
    "value",
    "arrayValue",
    "kvlistValue",
    "values",
    "stringValue",
    "intValue",
    "doubleValue",
    "bytesValue",
    "boolValue",
    "events",
    "links",
    "status",
    "kind",
    "traceId",
    "startTimeUnixNano",
    "name",
    "x",
];

/// Pieces that mutations put into a request.
const PIECES: [&str; 20] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "-1",
    "1e400",
    "1.5",
    "\"x\":{}",
    "\"kind\":-1,",
    "\"name\":null,",
    "\\ud800",
    "\u{0}",
    "é",
    "{\"intValue\":1},",
];

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        ".*".prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        finite().prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..20).prop_map(Value::BytesValue),
        any::<i32>().prop_map(Value::StringValueStrindex),
    ];
    let leaf = option::of(leaf).prop_map(|value| AnyValue { value });
    leaf.prop_recursive(5, 16, 3, |inner| {
        let array =
            vec(inner.clone(), 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values }));
        let list = vec(key_value(inner), 0..3)
            .prop_map(|values| Value::KvlistValue(KeyValueList { values }));
        prop_oneof![array, list].prop_map(|value| AnyValue { value: Some(value) })
    })
}

/// Doubles that JSON can represent as numbers.
fn finite() -> impl Strategy<Value = f64> {
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
}

fn key_value(value: impl Strategy<Value = AnyValue>) -> impl Strategy<Value = KeyValue> {
    (".{0,8}", option::of(value), prop_oneof![Just(0), any::<i32>()])
        .prop_map(|(key, value, key_strindex)| KeyValue { key, value, key_strindex })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(key_value(any_value()), 0..3)
}

fn id() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

fn resource() -> impl Strategy<Value = Resource> {
    let entity = (".{0,4}", ".{0,4}", vec(".{0,4}", 0..3), vec(".{0,4}", 0..3)).prop_map(
        |(schema_url, r#type, id_keys, description_keys)| EntityRef {
            schema_url,
            r#type,
            id_keys,
            description_keys,
        },
    );
    (attributes(), any::<u32>(), vec(entity, 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    )
}

fn scope() -> impl Strategy<Value = InstrumentationScope> {
    (".{0,8}", ".{0,8}", attributes(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), ".{0,8}", attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (id(), id(), ".{0,8}", attributes(), any::<u32>(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let identity = (id(), id(), id(), ".{0,8}", any::<u32>());
    let about = (".{0,8}", any::<i32>(), any::<u64>(), any::<u64>());
    let inside = (attributes(), vec(event(), 0..3), vec(link(), 0..3));
    let status = option::of((".{0,8}", any::<i32>()));
    (identity, about, inside, any::<[u32; 3]>(), status).prop_map(
        |(identity, about, inside, dropped, status)| Span {
            trace_id: identity.0,
            span_id: identity.1,
            parent_span_id: identity.2,
            trace_state: identity.3,
            flags: identity.4,
            name: about.0,
            kind: about.1,
            start_time_unix_nano: about.2,
            end_time_unix_nano: about.3,
            attributes: inside.0,
            events: inside.1,
            links: inside.2,
            dropped_attributes_count: dropped[0],
            dropped_events_count: dropped[1],
            dropped_links_count: dropped[2],
            status: status.map(|(message, code)| Status { message, code }),
        },
    )
}

fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope_spans = (option::of(scope()), vec(span(), 0..4), ".{0,8}")
        .prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url });
    let resource_spans = (option::of(resource()), vec(scope_spans, 1..3), ".{0,8}").prop_map(
        |(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url },
    );
    vec(resource_spans, 1..4)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// Documents made of known keys and values of any type, mostly in the wrong places.
fn arbitrary_document() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        finite().prop_map(Json::from),
        "[0-9a-fA-F]{0,8}|.{0,8}".prop_map(Json::from),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..3).prop_map(Json::from),
            3 => vec((select(&KEYS[..]), inner), 0..6).prop_map(object),
        ]
    })
}

fn object(members: Vec<(&str, Json)>) -> Json {
    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
}

/// Rewrites a request in equivalent forms, chosen separately at each place.
fn rewrite(json: &mut Json, choices: &mut impl Iterator<Item = u8>) {
    match json {
        Json::Array(elements) => elements.iter_mut().for_each(|json| rewrite(json, choices)),
        Json::Object(members) => {
            for (key, value) in members.iter_mut() {
                rewrite(value, choices);
                if let Some(other) = other_form(key, value, choices.next().unwrap_or(0)) {
                    *value = other;
                }
            }
            *members = mem::take(members)
                .into_iter()
                .map(|(key, value)| match choices.next() {
                    Some(0..100) => (original_name(&key), value),
                    _ => (key, value),
                })
                .collect();
            for _ in 0..choices.next().unwrap_or(0) % 3 {
                add_ignored_member(members, choices.next().unwrap_or(0));
            }
        }
        _ => {}
    }
}

/// The name of a field in the `.proto` file.
fn original_name(key: &str) -> String {
    key.chars().fold(String::new(), |mut name, character| {
        if character.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(character.to_ascii_lowercase());
        name
    })
}

fn other_form(key: &str, value: &Json, choice: u8) -> Option<Json> {
    match (key, value) {
        ("traceId" | "spanId" | "parentSpanId", Json::String(hex)) if choice < 128 => {
            Some(hex.to_uppercase().into())
        }
        ("bytesValue", Json::String(base64)) => Some(match choice % 3 {
            0 => base64.trim_end_matches('=').into(),
            1 => base64.replace('+', "-").replace('/', "_").into(),
            _ => return None,
        }),
        (
            "startTimeUnixNano" | "endTimeUnixNano" | "timeUnixNano" | "intValue",
            Json::String(text),
        ) => Some(match choice % 4 {
            0 => serde_json::from_str(text).ok()?,
            1 => format!("{text}.000").into(),
            2 => format!("{text}0e-1").into(),
            _ => return None,
        }),
        ("kind" | "code", _) => None,
        (_, Json::Number(number)) if choice < 128 => Some(number.to_string().into()),
        _ => None,
    }
}

fn add_ignored_member(members: &mut Map<String, Json>, choice: u8) {
    let (key, value) = match choice % 8 {
        0 => ("traceID", json!("zz")),
        1 => ("futureField", json!([{"name": [[]]}, null, 1e300])),
        2 => ("resource_spans_", json!({"spans": {}})),
        3 => ("", json!("\u{0}é")),
        4 => ("attributes", Json::Null),
        5 => ("bytesValue", Json::Null),
        6 => ("startTimeUnixNano", Json::Null),
        _ => ("values", Json::Null),
    };
    members.entry(key).or_insert(value);
}

/// Counts the values in a document, itself included.
fn nodes(json: &Json) -> usize {
    1 + children(json).map(nodes).sum::<usize>()
}

fn children(json: &Json) -> Box<dyn Iterator<Item = &Json> + '_> {
    match json {
        Json::Array(elements) => Box::new(elements.iter()),
        Json::Object(members) => Box::new(members.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Replaces the value that comes after `skip` others, a parent before its children.
fn replace_node(json: &mut Json, skip: &mut usize, value: Json) {
    let Some(rest) = skip.checked_sub(1) else {
        *json = value;
        return;
    };
    *skip = rest;
    let children: Vec<&mut Json> = match json {
        Json::Array(elements) => elements.iter_mut().collect(),
        Json::Object(members) => members.values_mut().collect(),
        _ => vec![],
    };
    for child in children {
        let size = nodes(child);
        if *skip < size {
            return replace_node(child, skip, value);
        }
        *skip -= size;
    }
}

/// Converts possible garbage: if it is accepted, it is JSON, and the output decodes and stays
/// within the bound.
fn check(json: &[u8]) -> Result<(), TestCaseError> {
    match to_protobuf(json) {
        Ok(converted) => {
            let bytes = converted.protobuf;
            prop_assert!(bytes.len() <= max_output(json.len()));
            let decodes = ExportTraceServiceRequest::decode(&*bytes).is_ok();
            // A lone surrogate makes a string that is not UTF-8, and nothing else.
            prop_assert!(decodes || without_undecodable_spans(&bytes).is_ok());
            prop_assert!(decodes || String::from_utf8_lossy(json).contains("\\ud"));
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(json).is_ok());
        }
        Err(error) => prop_assert!(error.to_string().len() < 1_000),
    }
    Ok(())
}

fn convert(json: &str) -> Result<ExportTraceServiceRequest, TestCaseError> {
    let fail = |error: &dyn Error| TestCaseError::fail(format!("{error} in {json}"));
    let converted = to_protobuf(json.as_bytes()).map_err(|error| fail(&error))?;
    ExportTraceServiceRequest::decode(&*converted.protobuf).map_err(|error| fail(&error))
}

/// Converts the value of one attribute of a resource.
fn convert_value(json: &str) -> Result<Option<Value>, TestCaseError> {
    let json =
        format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"value":{json}}}]}}}}]}}"#);
    let request = convert(&json)?;
    let resource = request.resource_spans.into_iter().find_map(|spans| spans.resource);
    let mut attributes = resource.into_iter().flat_map(|resource| resource.attributes);
    Ok(attributes.find_map(|attribute| attribute.value).and_then(|value| value.value))
}

proptest! {
    #[test]
    fn a_request_written_by_the_reference_is_read_unchanged(request in request()) {
        let json = serde_json::to_string(&request).unwrap();

        prop_assert_eq!(convert(&json)?, request);
        prop_assert!(to_protobuf(json.as_bytes()).unwrap().protobuf.len() <= max_output(json.len()));
    }

    #[test]
    fn a_request_in_equivalent_forms_is_read_the_same(
        request in request(),
        choices in vec(any::<u8>(), 64),
        pretty in any::<bool>(),
    ) {
        let mut json = serde_json::to_value(&request).unwrap();
        rewrite(&mut json, &mut choices.into_iter().cycle());
        let text = if pretty { format!("{json:#}") } else { json.to_string() };

        prop_assert_eq!(convert(&text)?, request);
    }

    #[test]
    fn an_integer_is_the_same_wherever_its_decimal_point_is(
        int in any::<i64>(),
        places in 0_usize..25,
        zeros in 0_usize..25,
    ) {
        let (sign, digits) = if int < 0 { ("-", int.unsigned_abs()) } else { ("", int.unsigned_abs()) };
        let digits = format!("{digits:0width$}", width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let zeros = "0".repeat(zeros);
        let whole = match whole.trim_start_matches('0') { "" => "0", whole => whole };
        let text = format!("{sign}{whole}.{fraction}{zeros}0e{places}");

        for json in [format!(r#"{{"intValue":{text}}}"#), format!(r#"{{"intValue":"{text}"}}"#)] {
            prop_assert_eq!(convert_value(&json)?, Some(Value::IntValue(int)));
        }
    }

    #[test]
    fn a_double_is_read_to_the_last_bit_in_every_form(double in finite()) {
        for text in [format!("{double:?}"), format!("{double:e}"), format!("{double}")] {
            let value = convert_value(&format!(r#"{{"doubleValue":{text}}}"#))?;

            let Some(Value::DoubleValue(value)) = value else { panic!("{value:?}") };
            prop_assert_eq!(value.to_bits(), double.to_bits());
        }
    }

    #[test]
    fn an_earlier_value_of_a_duplicate_field_is_discarded(request in request()) {
        let earlier = r#"{"flags":7,"attributes":[{"key":"x"},{}],"name":"x","traceId":"00","traceId""#;
        let json = serde_json::to_string(&request).unwrap().replace(r#"{"traceId""#, earlier);

        prop_assert_eq!(convert(&json)?, request);
    }

    #[test]
    fn a_request_with_values_replaced_is_refused_or_becomes_bytes_that_decode(
        request in request(),
        replacements in vec((any::<Index>(), arbitrary_document()), 1..3),
    ) {
        let mut json = serde_json::to_value(&request).unwrap();
        for (at, value) in replacements {
            let mut at = at.index(nodes(&json));
            replace_node(&mut json, &mut at, value);
        }

        check(json.to_string().as_bytes())?;
    }

    #[test]
    fn a_request_with_text_replaced_is_refused_or_becomes_bytes_that_decode(
        request in request(),
        at in any::<Index>(),
        cut in 0_usize..3,
        piece in select(&PIECES[..]),
    ) {
        let mut json = serde_json::to_vec(&request).unwrap();
        let from = at.index(json.len());
        let to = json.len().min(from + cut);
        json.splice(from..to, piece.bytes());

        check(&json)?;
    }

    #[test]
    fn random_bytes_are_refused_or_become_bytes_that_decode(json in vec(any::<u8>(), 0..64)) {
        check(&json)?;
    }
}
