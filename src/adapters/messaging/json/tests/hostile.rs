//! Bodies that are not JSON, and malicious bodies.

use std::thread;
use std::time::{Duration, Instant};

use super::super::max_output;
use super::*;

/// The JSON of a value within `depth` arrays.
fn nested(depth: usize) -> String {
    let open = r#"{"arrayValue":{"values":["#.repeat(depth);
    let close = "]}}".repeat(depth);
    with_value(&format!(r#"{open}{{"intValue":1}}{close}"#))
}

fn large() -> usize {
    1 << 20
}

#[test]
fn a_body_without_an_object_is_refused() {
    for json in ["", " \n", "{", "null", "[]", "[[]]", "1", "\"{}\"", "x", "\u{feff}{}"] {
        assert_eq!(refusal(json.as_bytes()).path(), "", "{json}");
    }
}

#[test]
fn data_after_the_object_is_refused_with_its_position() {
    for json in ["{} x", "{}\n{}", "{}}", "{},", "{}\0"] {
        refusal(json.as_bytes());
    }
    let refusal = refusal(b"{}\n  x");

    assert_eq!((refusal.line(), refusal.column()), (2, 3));
}

#[test]
fn text_that_is_not_json_is_refused() {
    let bodies = [
        "{\"resourceSpans\"",
        "{\"resourceSpans\":",
        "{\"resourceSpans\":[",
        "{\"x\":1,}",
        "{x:1}",
        "{'x':1}",
        "{\"x\":'y'}",
        "{\"x\":01}",
        "{\"x\":+1}",
        "{\"x\":.5}",
        "{\"x\":1.}",
        "{\"x\":nul}",
        "{\"x\":1 \"y\":2}",
        "{\"x\":[1,]}",
        "{// no\n}",
        "{\"x\":\"\u{1}\"}",
        "{\"x\":\"\\q\"}",
        "{\"x\":\"\\U8C37\"}",
        "{\"x\":\"abc\\",
        "{\"x\":undefined}",
    ];
    for json in bodies {
        refusal(json.as_bytes());
        refusal(with_span(json.trim_start_matches('{')).as_bytes());
    }
}

#[test]
fn invalid_utf_8_is_refused_in_known_and_unknown_fields_and_keys() {
    for json in
        [&b"{\"x\":\"\xff\"}"[..], b"{\"\xc3\":1}", b"{}\xff", b"\xef\xbb", b"{\"x\":\xed\xa0\x80}"]
    {
        assert_eq!(refusal(json).problem(), "found bytes that are not UTF-8");
    }
}

#[test]
fn an_error_names_line_column_path_and_problem() {
    let json = "{\"resourceSpans\":[{},\n{\"scopeSpans\":[{\"spans\":[{\"kind\":true}]}]}]}";

    let refusal = refusal(json.as_bytes());

    assert_eq!(
        refusal.to_string(),
        "malformed OTLP/JSON request at line 2, column 38, in \
         resourceSpans[1].scopeSpans[0].spans[0].kind: found true where only an integer from \
         -2147483648 to 2147483647 (OTLP/JSON has no enum names) is allowed"
    );
}

#[test]
fn an_error_is_short_even_for_a_long_value_or_path() {
    let long = "\u{7f}".repeat(large());
    let bodies = [
        with_span(&format!(r#""kind":"{long}""#)),
        with_span(&format!(r#""traceId":"{long}""#)),
        with_span(&format!(r#""status":"{long}""#)),
        with_span(&format!(r#""kind":{}"#, "1".repeat(large()))),
        nested(90),
    ];
    for json in bodies {
        let length = refusal(json.as_bytes()).to_string().len();

        assert!(length < 1_200, "{length}");
    }
}

/// Protobuf decoders allow 100 levels of messages: the request, its resource, scope, span and
/// attribute, the value, and two for each array.
#[test]
fn messages_may_nest_at_most_100_levels() {
    let deepest = request(&nested(47));

    assert_eq!(deepest.resource_spans.len(), 1);
    assert_eq!(
        refusal(nested(48).as_bytes()).problem(),
        "found messages nested deeper than the 100 levels that are allowed"
    );
}

#[test]
fn the_nesting_levels_of_a_message_are_released_when_it_ends() {
    let json = r#"{"resourceSpans":[{},{},{}]}"#.replace("{}", &vec!["{}"; 100].join(","));

    assert_eq!(request(&json).resource_spans.len(), 300);
}

#[test]
fn the_deepest_request_needs_less_than_a_mebibyte_of_stack() {
    let json = nested(47);
    let converted = thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || to_protobuf(json.as_bytes()).is_ok())
        .unwrap()
        .join();

    assert!(converted.unwrap());
}

#[test]
fn a_mebibyte_of_open_brackets_is_refused_at_once_in_every_position() {
    for open in ["[", r#"{"x":"#, r#"[{"values":"#, r#"{"arrayValue":{"values":["#] {
        let open = open.repeat(large() / open.len());
        for json in [
            open.clone(),
            format!(r#"{{"x":{open}"#),
            format!(r#"{{"resourceSpans":{open}"#),
            with_span(&format!(r#""name":{open}"#)),
            with_span(&format!(r#""kind":{open}"#)),
            with_value(&open),
        ] {
            let begin = Instant::now();

            refusal(json.as_bytes());

            assert!(begin.elapsed() < Duration::from_secs(2));
        }
    }
}

#[test]
fn an_unknown_field_may_nest_without_limit() {
    let json = format!(r#"{{"x":{}{}}}"#, "[".repeat(large()), "]".repeat(large()));

    assert!(to_protobuf(json.as_bytes()).unwrap().protobuf.is_empty());
}

#[test]
fn a_repeated_field_costs_no_more_than_its_text() {
    let attributes = vec!["{}"; 100_000].join(",");
    let names = r#""name":"","traceState":"","#.repeat(20_000);
    let begin = Instant::now();

    let span = span(&format!(r#"{names}"attributes":[{attributes}],{names}"name":"n""#));

    assert_eq!((span.attributes.len(), &*span.name), (100_000, "n"));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_output_stays_within_its_bound_in_the_worst_case() {
    for spans in [1, 1_000] {
        let json = with_span(&vec![r#""kind":-1"#; spans].join("},{"));

        let output = to_protobuf(json.as_bytes()).unwrap().protobuf;

        assert!(output.len() <= max_output(json.len()), "{} > {}", output.len(), json.len());
        assert!(spans == 1 || output.len() > json.len());
    }
}

#[test]
fn the_output_has_no_spare_capacity() {
    let output = to_protobuf(with_span(r#""name":"n""#).as_bytes()).unwrap().protobuf;

    assert_eq!(output.capacity(), output.len());
}
