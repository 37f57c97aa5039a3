//! The `ProtoJSON` format, and the cases of its conformance suite that have a counterpart here.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, Status};

use super::*;

fn double(json: &str) -> f64 {
    match value(&format!(r#"{{"doubleValue":{json}}}"#)) {
        Some(Value::DoubleValue(value)) => value,
        other => panic!("{other:?} is not a double"),
    }
}

fn string(json: &str) -> Option<Value> {
    value(&format!(r#"{{"stringValue":{json}}}"#))
}

fn text(text: &str) -> Value {
    Value::StringValue(text.into())
}

/// "`null` is valid for any field and leaves the field unset."
#[test]
fn null_leaves_any_field_of_a_span_unset() {
    let names = [
        "traceId",
        "spanId",
        "traceState",
        "parentSpanId",
        "flags",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "droppedAttributesCount",
        "events",
        "droppedEventsCount",
        "links",
        "droppedLinksCount",
        "status",
    ];
    for name in names {
        assert_eq!(span(&format!(r#""{name}":null"#)), Span::default(), "{name}");
    }
}

#[test]
fn null_leaves_messages_and_arrays_unset() {
    let json = r#"{"resourceSpans":[{"resource":null,"scopeSpans":null,"schemaUrl":null}]}"#;

    assert_eq!(request(json).resource_spans, [ResourceSpans::default()]);
}

#[test]
fn null_for_a_value_leaves_it_unset() {
    assert_eq!(span(r#""attributes":[{"key":"k","value":null}]"#).attributes[0].value, None);
}

#[test]
fn null_for_a_member_of_a_value_leaves_the_value_empty() {
    let names = [
        "stringValue",
        "boolValue",
        "intValue",
        "doubleValue",
        "arrayValue",
        "kvlistValue",
        "bytesValue",
        "stringValueStrindex",
    ];
    for name in names {
        assert_eq!(value(&format!(r#"{{"{name}":null}}"#)), None, "{name}");
    }
}

#[test]
fn a_null_member_beside_another_member_of_a_value_is_ignored() {
    assert_eq!(value(r#"{"intValue":null,"stringValue":"s"}"#), Some(text("s")));
    assert_eq!(value(r#"{"stringValue":"s","intValue":null}"#), Some(text("s")));
}

/// "`null` values are not allowed within repeated fields."
#[test]
fn null_within_an_array_is_refused() {
    let array = value_refusal(r#"{"arrayValue":{"values":[{},null]}}"#);

    assert_eq!(array.0, "arrayValue.values[1]");
    assert_eq!(array.1, "found null where only an object is allowed");
    assert_eq!(span_refusal(r#""events":[null]"#).0, "events[0]");
    assert_eq!(refusal(br#"{"resourceSpans":[null]}"#).path(), "resourceSpans[0]");
}

/// "Exponent notation (such as `1e2`) is accepted in both quoted and unquoted forms." "Zero
/// fractional portions are accepted."
#[test]
fn integers_may_have_an_exponent_or_a_zero_fraction_quoted_or_not() {
    for number in ["100", "1e2", "1E+2", "100.00", "1.0e2", "1000e-1"] {
        for json in [number.to_owned(), format!("\"{number}\"")] {
            let span = span(&format!(
                r#""startTimeUnixNano":{json},"droppedLinksCount":{json},"flags":{json},
                   "attributes":[{{"keyStrindex":{json},"value":{{"intValue":{json}}}}}]"#
            ));

            assert_eq!(span.start_time_unix_nano, 100, "{json}");
            assert_eq!((span.dropped_links_count, span.flags), (100, 100), "{json}");
            assert_eq!(span.attributes[0].key_strindex, 100, "{json}");
            let value = span.attributes[0].value.clone().unwrap().value;
            assert_eq!(value, Some(Value::IntValue(100)), "{json}");
        }
    }
    assert_eq!(span(r#""kind":2.0"#).kind, 2);
}

#[test]
fn a_quoted_integer_may_be_written_with_escapes() {
    assert_eq!(span(r#""droppedLinksCount":"1\u0032""#).dropped_links_count, 12);
}

#[test]
fn the_largest_and_smallest_integers_of_each_type_are_converted() {
    let widest = span(
        r#""startTimeUnixNano":18446744073709551615,"endTimeUnixNano":"18446744073709551615",
           "flags":4294967295,"droppedLinksCount":"4294967295","kind":-2147483648"#,
    );

    assert_eq!((widest.start_time_unix_nano, widest.end_time_unix_nano), (u64::MAX, u64::MAX));
    assert_eq!((widest.flags, widest.dropped_links_count), (u32::MAX, u32::MAX));
    assert_eq!(widest.kind, i32::MIN);
    for int in [i64::MIN, i64::MAX] {
        assert_eq!(value(&format!(r#"{{"intValue":{int}}}"#)), Some(Value::IntValue(int)));
        assert_eq!(value(&format!(r#"{{"intValue":"{int}"}}"#)), Some(Value::IntValue(int)));
    }
}

/// "if the number that is parsed from the wire doesn't fit in the corresponding type, the parser
/// should fail to parse. This includes any negative number for `uint32`".
#[test]
fn integers_out_of_range_are_refused_with_the_range() {
    let refused = [
        ("startTimeUnixNano", "18446744073709551616"),
        ("startTimeUnixNano", "-1"),
        ("endTimeUnixNano", "1e536870000"),
        ("flags", "4294967296"),
        ("droppedEventsCount", "4294967296"),
        ("droppedAttributesCount", "-1"),
        ("kind", "2147483648"),
    ];
    for (name, number) in refused {
        assert_eq!(span_refusal(&format!(r#""{name}":{number}"#)).0, name, "{number}");
    }
    assert_eq!(value_refusal(r#"{"intValue":9223372036854775808}"#).0, "intValue");
    assert_eq!(
        value_refusal(r#"{"intValue":"-9223372036854775809"}"#).1,
        "found \"-9223372036854775809\" where only an integer from -9223372036854775808 to \
         9223372036854775807 is allowed"
    );
}

/// "Values with nonzero fractional portions are not allowed for integer-typed fields."
#[test]
fn fractions_are_refused_for_integers() {
    for number in ["1.5", "\"0.5\"", "1e-1", "1.0000000000000000000001"] {
        let (path, problem) = span_refusal(&format!(r#""droppedLinksCount":{number}"#));

        assert_eq!(path, "droppedLinksCount");
        assert!(problem.contains("an integer from 0 to 4294967295"), "{problem}");
    }
}

/// "Empty strings are invalid."
#[test]
fn a_value_that_is_not_a_number_is_refused_for_a_number() {
    let wrong = [
        "\"\"",
        "\" 1\"",
        "\"1 \"",
        "\"12 34\"",
        "\"12abc\"",
        "\"+1\"",
        "\"007\"",
        "\"0x1\"",
        "\"\\ud800\"",
        "true",
        "false",
        "[1]",
        "{}",
    ];
    for json in wrong {
        assert_eq!(span_refusal(&format!(r#""endTimeUnixNano":{json}"#)).0, "endTimeUnixNano");
        assert_eq!(value_refusal(&format!(r#"{{"doubleValue":{json}}}"#)).0, "doubleValue");
    }
}

/// "JSON value will be a number or one of the special string values "NaN", "Infinity", and
/// "-Infinity". Either numbers or strings are accepted. (...) Exponent notation is also accepted."
#[test]
fn doubles_are_numbers_or_strings() {
    for (json, expected) in [("1", 1.0_f64), ("-0.5", -0.5), ("1.5e3", 1500.0), ("1E-2", 0.01)] {
        assert_eq!(double(json).to_bits(), expected.to_bits());
        assert_eq!(double(&format!("\"{json}\"")).to_bits(), expected.to_bits());
    }
}

#[test]
fn nan_and_the_infinities_have_names() {
    assert!(double("\"NaN\"").is_nan());
    assert_eq!(double("\"Infinity\"").to_bits(), f64::INFINITY.to_bits());
    assert_eq!(double("\"-Infinity\"").to_bits(), f64::NEG_INFINITY.to_bits());
}

#[test]
fn other_spellings_of_the_special_doubles_are_refused() {
    for json in ["\"nan\"", "\"inf\"", "\"+Infinity\"", "\"infinity\"", "\"-NaN\""] {
        assert_eq!(value_refusal(&format!(r#"{{"doubleValue":{json}}}"#)).0, "doubleValue");
    }
    for json in ["NaN", "Infinity", "-Infinity"] {
        refusal(with_value(&format!(r#"{{"doubleValue":{json}}}"#)).as_bytes());
    }
}

#[test]
fn a_double_out_of_range_is_refused() {
    for json in ["1.89769e+308", "-1e309", "\"1e309\""] {
        assert_eq!(value_refusal(&format!(r#"{{"doubleValue":{json}}}"#)).0, "doubleValue");
    }
}

#[test]
fn a_double_is_the_one_nearest_to_its_decimal_form() {
    for expected in [0.1_f64, 2.225_073_858_507_201e-308, 1.797_693_134_862_315_7e308, 5e-324] {
        assert_eq!(double(&format!("{expected:e}")).to_bits(), expected.to_bits());
    }
}

/// "Either standard or URL-safe base64 encoding with/without paddings are accepted."
#[test]
fn bytes_are_base64_in_either_alphabet_with_or_without_padding() {
    for json in ["+/8=", "+/8", "-_8=", "-_8"] {
        assert_eq!(
            value(&format!(r#"{{"bytesValue":"{json}"}}"#)),
            Some(Value::BytesValue(vec![0xfb, 0xff])),
            "{json}"
        );
    }
}

#[test]
fn a_value_that_is_not_base64_is_refused_for_bytes() {
    for json in ["\"!\"", "\"A\"", "1", "[]"] {
        let (path, problem) = value_refusal(&format!(r#"{{"bytesValue":{json}}}"#));

        assert_eq!(path, "bytesValue");
        assert_eq!(
            problem,
            format!(
                "found {} where only a base64 string is allowed",
                if json == "[]" { "an array" } else { json }
            )
        );
    }
}

#[test]
fn a_bool_is_true_or_false_and_nothing_else() {
    assert_eq!(value(r#"{"boolValue":true}"#), Some(Value::BoolValue(true)));
    for json in ["\"true\"", "1", "0", "{}", "[true]"] {
        assert_eq!(value_refusal(&format!(r#"{{"boolValue":{json}}}"#)).0, "boolValue");
    }
}

#[test]
fn a_string_is_a_string_and_nothing_else() {
    for json in ["12345", "true", "1.5", "-1", "{}", "[\"a\"]"] {
        assert_eq!(span_refusal(&format!(r#""name":{json}"#)).0, "name");
    }
}

#[test]
fn escapes_in_strings_are_resolved() {
    assert_eq!(string(r#""\"\\\/\b\f\n\r\t""#), Some(text("\"\\/\u{8}\u{c}\n\r\t")));
    assert_eq!(string(r#""\u8C37\u6b4C""#), Some(text("谷歌")));
    assert_eq!(string(r#""\uD83D\uDE01""#), Some(text("😁")));
    assert_eq!(string(r#""Hello\u0000world!""#), Some(text("Hello\0world!")));
    assert_eq!(string("\"谷歌\""), Some(text("谷歌")));
}

#[test]
fn an_escaped_key_names_its_field() {
    assert_eq!(span(r#""n\u0061me":"n""#).name, "n");
}

#[test]
fn lone_surrogates_are_refused_in_keys() {
    for json in [r#""\ud800""#, r#""\udc00""#, r#""\ude01\ud83d""#, r#""\ud800x""#] {
        refusal(format!("{{{json}:1}}").as_bytes());
    }
}

/// "{"name":"\ud83d"}" is JSON (RFC 8259, 8.2), but no UTF-8 exists for it.
#[test]
fn a_string_with_a_lone_surrogate_is_not_utf8_in_protobuf_and_the_rest_is_unchanged() {
    for (json, expected) in [
        (r"a\ud83d\n", &b"a\xed\xa0\xbd\n"[..]),
        (r"\uDC00", b"\xed\xb0\x80"),
        (r"\ud83d\ud83d\ude01", b"\xed\xa0\xbd\xf0\x9f\x98\x81"),
    ] {
        let fields = format!(r#""name":"{json}","traceState":"\u00e9\ud83d\ude01","flags":"1""#);

        let converted = to_protobuf(with_span(&fields).as_bytes()).unwrap().protobuf;

        let name = [&[0x2a, u8::try_from(expected.len()).unwrap()][..], expected].concat();
        assert!(converted.windows(name.len()).any(|window| window == name), "{converted:02x?}");
        assert!(ExportTraceServiceRequest::decode(&*converted).is_err());
        let state = "\u{e9}\u{1f601}".as_bytes();
        assert!(converted.windows(state.len()).any(|window| window == state), "{converted:02x?}");
    }
}

#[test]
fn a_request_with_a_lone_surrogate_is_refused_for_any_other_error() {
    for field in [r#""kind":"2""#, r#""traceState":7"#, r#""traceState":{}"#, r#""traceState":[]"#]
    {
        let (path, _) = span_refusal(&format!(r#""name":"\ud83d",{field}"#));
        assert!(field.contains(&path), "{path}");
    }
    let (path, problem) = span_refusal(r#""name":"\ud83d","traceState":true"#);
    assert_eq!(path, "traceState");
    assert_eq!(problem, "found true where only a string is allowed");
    assert_eq!(span_refusal(r#""traceId":"\ud83d""#).0, "traceId");
    let null = with_span(r#""name":"\ud83d","traceState":null"#);
    assert!(to_protobuf(null.as_bytes()).is_ok());
}

/// A member with its default value counts as set.
#[test]
fn a_member_of_a_value_that_is_zero_or_empty_is_set() {
    let members = [
        (r#"{"stringValue":""}"#, Value::StringValue(String::new())),
        (r#"{"boolValue":false}"#, Value::BoolValue(false)),
        (r#"{"intValue":0}"#, Value::IntValue(0)),
        (r#"{"doubleValue":0.0}"#, Value::DoubleValue(0.0)),
        (r#"{"arrayValue":{}}"#, Value::ArrayValue(ArrayValue::default())),
        (r#"{"kvlistValue":{"values":null}}"#, Value::KvlistValue(KeyValueList::default())),
        (r#"{"bytesValue":""}"#, Value::BytesValue(vec![])),
    ];
    for (json, expected) in members {
        assert_eq!(value(json), Some(expected), "{json}");
    }
}

/// "Serializers must never serialize (...) multiple different cases in the same oneof in the same
/// JSON object."
#[test]
fn two_members_of_one_value_are_refused() {
    let (path, problem) = value_refusal(r#"{"stringValue":"","intValue":0}"#);

    assert_eq!(path, "intValue");
    assert_eq!(problem, "found a second value where only one is allowed");
}

/// "Parsers should accept the same field being duplicated, and the last value provided should be
/// retained."
#[test]
fn the_last_value_of_a_repeated_field_is_kept() {
    let span = span(
        r#""name":"first","kind":1,"name":"second","kind":2,"kind":0,"traceId":"ab","name":"third",
           "attributes":[{"key":"a"},{"key":"b"}],"traceId":"","attributes":[{"key":"c"}]"#,
    );

    assert_eq!((&*span.name, span.kind, &*span.trace_id), ("third", 0, &[][..]));
    assert_eq!(span.attributes.len(), 1);
    assert_eq!(span.attributes[0].key, "c");
}

#[test]
fn a_repeated_message_is_replaced_and_not_merged() {
    let span = span(r#""status":{"message":"m","code":2},"name":"n","status":{"code":1}"#);

    assert_eq!(span.status, Some(Status { message: String::new(), code: 1 }));
    assert_eq!(span.name, "n");
}

#[test]
fn a_repeated_member_of_a_value_is_replaced() {
    assert_eq!(value(r#"{"stringValue":"a","stringValue":"b"}"#), Some(text("b")));
}

/// "The field should remain unset, as though it was not present in the input at all".
#[test]
fn null_after_a_value_does_not_unset_it() {
    assert_eq!(span(r#""name":"n","name":null"#).name, "n");
}

#[test]
fn an_array_is_refused_in_place_of_an_object() {
    assert_eq!(
        span_refusal(r#""status":["m",1]"#),
        ("status".into(), "found an array where only an object is allowed".into())
    );
    assert_eq!(span_refusal(r#""attributes":[["k",{}]]"#).0, "attributes[0]");
}

#[test]
fn a_single_value_is_refused_in_place_of_an_array() {
    assert_eq!(
        span_refusal(r#""attributes":{"key":"a"}"#),
        ("attributes".into(), "found an object where only an array is allowed".into())
    );
    let json = br#"{"resourceSpans":[{"resource":{"entityRefs":[{"idKeys":"a"}]}}]}"#;
    assert_eq!(refusal(json).path(), "resourceSpans[0].resource.entityRefs[0].idKeys");
}

#[test]
fn arrays_and_maps_nest() {
    let json = r#"{"arrayValue":{"values":[{"intValue":1},{},
        {"kvlistValue":{"values":[{"key":"k","value":{"arrayValue":{"values":[]}}}]}}]}}"#;
    let Some(Value::ArrayValue(array)) = value(json) else { panic!("no array") };

    assert_eq!(array.values[0].value, Some(Value::IntValue(1)));
    assert_eq!(array.values[1], AnyValue::default());
    let Some(Value::KvlistValue(list)) = &array.values[2].value else { panic!("no list") };
    let inner = list.values[0].value.clone().unwrap().value;
    assert_eq!(inner, Some(Value::ArrayValue(ArrayValue::default())));
}
