use std::slice;

use super::super::fixtures::{
    bytes, invalid_span, message, resource, scope, span, span_fields, varint,
};
use super::*;

const BAD: &[u8] = b"caf\xe9";

fn with(fields: &[Vec<u8>]) -> Vec<u8> {
    message(2, &[span_fields(9), fields.concat()])
}

fn repaired(request: &[u8]) -> (Vec<u8>, Scanned) {
    assert!(scan(request).unwrap_err().is_invalid_utf8());
    without_undecodable_spans(request).unwrap()
}

#[test]
fn a_span_is_cut_out_for_a_string_in_any_of_its_fields() {
    let attribute = |number: u8, value: &[u8]| {
        message(number, &[bytes(1, b"key"), message(2, &[bytes(1, value)])])
    };
    let cases = [
        (bytes(5, BAD), "name"),
        (bytes(3, BAD), "trace_state"),
        (message(9, &[bytes(1, BAD)]), "attributes"),
        (attribute(9, BAD), "attributes"),
        (message(11, &[bytes(2, BAD)]), "events"),
        (message(11, &[attribute(3, BAD)]), "events"),
        (message(13, &[bytes(3, BAD)]), "links"),
        (message(13, &[attribute(4, BAD)]), "links"),
        (message(15, &[bytes(2, BAD)]), "status"),
    ];
    for (field, name) in cases {
        let broken = with(&[attribute(9, b"fine"), field]);
        let request = resource(&[scope(&[span(1), broken, span(2)])]);

        let (kept, scanned) = repaired(&request);

        assert_eq!(kept, resource(&[scope(&[span(1), span(2)])]), "{name}");
        let first_invalid = Some(InvalidSpan::NotUtf8(name));
        assert_eq!(scanned, Scanned { spans: 3, invalid_spans: 1, first_invalid });
    }
}

#[test]
fn all_spans_of_a_scope_or_resource_are_cut_out_for_its_own_string_and_no_others() {
    let other = scope(&[span(7)]);
    let in_scope = |field: Vec<u8>| resource(&[scope(&[span(1), field, span(2)]), other.clone()]);
    let in_resource = |field: Vec<u8>| {
        let spans = [scope(&[span(1)]), field, scope(&[span(2)])];
        [resource(&spans), resource(slice::from_ref(&other))].concat()
    };
    let cases = [
        (in_scope(bytes(3, BAD)), "ScopeSpans", "schema_url"),
        (in_scope(message(1, &[bytes(1, BAD)])), "ScopeSpans", "scope"),
        (in_scope(message(1, &[message(3, &[bytes(1, BAD)])])), "ScopeSpans", "scope"),
        (in_resource(bytes(3, BAD)), "ResourceSpans", "schema_url"),
        (in_resource(message(1, &[message(1, &[bytes(1, BAD)])])), "ResourceSpans", "resource"),
        (in_resource(message(1, &[message(3, &[bytes(3, BAD)])])), "ResourceSpans", "resource"),
    ];
    for (request, message, field) in cases {
        let (kept, scanned) = repaired(&request);

        assert_eq!(kept, resource(slice::from_ref(&other)), "{field} of {message}");
        let first_invalid = Some(InvalidSpan::EnvelopeNotUtf8(message, field));
        assert_eq!(scanned, Scanned { spans: 3, invalid_spans: 2, first_invalid });
    }
}

#[test]
fn spans_with_invalid_ids_are_cut_out_as_well_and_the_first_reason_is_kept() {
    let broken = with(&[bytes(5, BAD)]);

    let (kept, scanned) = repaired(&resource(&[scope(&[invalid_span(), broken, span(1)])]));

    assert_eq!(kept, resource(&[scope(&[span(1)])]));
    let first_invalid = Some(InvalidSpan::TraceIdLength(0));
    assert_eq!(scanned, Scanned { spans: 3, invalid_spans: 2, first_invalid });
}

#[test]
fn an_envelope_without_spans_is_cut_out_for_its_string_although_no_span_is_lost() {
    let broken = resource(&[bytes(3, BAD)]);
    let in_scope = resource(&[bytes(3, b"url"), scope(&[bytes(3, BAD)]), scope(&[span(1)])]);
    let request = [broken, resource(&[scope(&[])]), in_scope].concat();

    let (kept, scanned) = repaired(&request);

    let left = resource(&[bytes(3, b"url"), scope(&[span(1)])]);
    assert_eq!(kept, [resource(&[scope(&[])]), left].concat());
    assert_eq!(scanned, Scanned { spans: 1, invalid_spans: 0, first_invalid: None });
}

#[test]
fn a_request_that_is_malformed_elsewhere_is_refused_with_that_place() {
    let broken = with(&[bytes(5, BAD)]);
    let malformed = with(&[varint(5, 1)]);
    let begin = resource(&[scope(&[broken.clone(), span(1)])]);

    let error =
        without_undecodable_spans(&[begin.clone(), resource(&[scope(&[malformed])])].concat());
    assert!(error.unwrap_err().to_string().contains("(name) has wire type 0, must be 2"));

    let error = without_undecodable_spans(&[&begin[..], &[0x0a, 9]].concat()).unwrap_err();
    assert_eq!(error.offset(), begin.len());
}

#[test]
fn bytes_that_are_not_a_request_cause_no_panic() {
    let request = resource(&[bytes(3, BAD), scope(&[with(&[bytes(5, BAD)]), span(1)])]);

    for length in 0..request.len() {
        assert!(without_undecodable_spans(&request[..length]).is_err() || length == 0);
    }
}
