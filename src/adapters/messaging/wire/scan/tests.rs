use super::super::fixtures::{
    bytes, fixed64, invalid_span, long, message, request_with, request_with_value, resource, scope,
    span, span_fields, varint,
};
use super::*;

/// Maximum number of `ArrayValue`s nested around a scalar in a span's attribute.
const ARRAYS: usize = 47;

fn assert_accepted(request: &[u8]) {
    assert_eq!(scan(request).map(|scanned| scanned.spans), Ok(1), "{request:02x?}");
}

fn assert_refused(request: &[u8]) {
    assert!(scan(request).is_err(), "{request:02x?}");
}

fn first_invalid(span: &[Vec<u8>]) -> Option<InvalidSpan> {
    let scanned = scan(&resource(&[scope(&[message(2, span)])])).unwrap();
    assert_eq!((scanned.spans, scanned.invalid_spans > 0), (1, scanned.first_invalid.is_some()));
    scanned.first_invalid
}

/// The fields of an `AnyValue` in which `count` arrays are nested around `innermost`.
fn arrays(count: usize, innermost: Vec<u8>) -> Vec<u8> {
    (0..count).fold(innermost, |value, _| long(5, &long(1, &value)))
}

fn request_with_long_value(value: &[u8]) -> Vec<u8> {
    let attribute = long(9, &long(2, value));
    long(1, &long(2, &long(2, &[span_fields(1), attribute].concat())))
}

#[test]
fn an_empty_request_is_accepted_and_has_no_spans() {
    assert_eq!(scan(&[]), Ok(Scanned::default()));
}

#[test]
fn spans_are_counted_over_all_resources_and_scopes() {
    let first = resource(&[scope(&[span(1), span(2)]), scope(&[]), scope(&[span(3)])]);
    let second = resource(&[scope(&[span(4)])]);

    let scanned = scan(&[first, resource(&[]), second].concat()).unwrap();

    assert_eq!(scanned, Scanned { spans: 4, invalid_spans: 0, first_invalid: None });
}

#[test]
fn invalid_spans_are_counted_and_the_first_is_named() {
    let zero = message(2, &[bytes(1, &[0; 16]), bytes(2, &[1; 8])]);

    let scanned = scan(&resource(&[scope(&[span(1), zero, invalid_span()])])).unwrap();

    let first_invalid = Some(InvalidSpan::TraceIdZero);
    assert_eq!(scanned, Scanned { spans: 3, invalid_spans: 2, first_invalid });
}

#[test]
fn a_span_without_ids_is_invalid() {
    assert_eq!(first_invalid(&[]), Some(InvalidSpan::TraceIdLength(0)));
    assert_eq!(first_invalid(&[bytes(1, &[1; 16])]), Some(InvalidSpan::SpanIdLength(0)));
}

#[test]
fn a_span_with_a_parent_id_of_a_wrong_length_is_invalid() {
    let parent = bytes(4, &[1; 7]);

    assert_eq!(first_invalid(&[span_fields(1), parent]), Some(InvalidSpan::ParentSpanIdLength(7)));
}

#[test]
fn the_last_of_several_ids_is_validated() {
    let (good, bad) = (span_fields(1), bytes(1, &[1; 15]));

    assert_eq!(first_invalid(&[bad.clone(), good.clone()]), None);
    assert_eq!(first_invalid(&[good, bad]), Some(InvalidSpan::TraceIdLength(15)));
}

#[test]
fn a_span_with_a_link_of_a_wrong_length_is_invalid_even_if_valid_links_follow() {
    let bad = message(13, &[bytes(1, &[1; 16]), bytes(2, &[1; 9])]);
    let good = message(13, &[bytes(1, &[1; 16]), bytes(2, &[1; 8])]);

    assert_eq!(first_invalid(&[span_fields(1), bad, good]), Some(InvalidSpan::LinkSpanIdLength(9)));
}

#[test]
fn a_link_with_empty_ids_is_valid() {
    assert_eq!(first_invalid(&[span_fields(1), message(13, &[])]), None);
}

#[test]
fn a_message_that_occurs_twice_is_accepted_because_protobuf_merges_it() {
    let status = message(15, &[varint(3, 1)]);

    assert_accepted(&request_with(&[status.clone(), status]));
}

#[test]
fn a_known_field_with_another_wire_type_is_refused() {
    assert_accepted(&request_with(&[bytes(5, b"name")]));
    assert_refused(&request_with(&[varint(5, 1)]));
    assert_refused(&request_with(&[fixed64(5)]));
}

#[test]
fn a_string_that_is_not_utf8_is_refused_and_a_bytes_value_is_not() {
    assert_accepted(&request_with_value(&[bytes(1, "é".as_bytes())]));
    assert_refused(&request_with_value(&[bytes(1, b"\xc3")]));
    assert_accepted(&request_with_value(&[bytes(7, b"\xc3")]));
}

#[test]
fn an_attribute_key_that_is_not_utf8_is_refused_with_any_value() {
    for value in [bytes(1, b"text"), varint(2, 1), varint(3, 1), fixed64(4)] {
        assert_refused(&request_with(&[message(9, &[bytes(1, b"\xc3"), message(2, &[value])])]));
    }
}

#[test]
fn a_malformed_attribute_is_refused_even_after_plain_ones() {
    let plain = message(9, &[bytes(1, b"key"), message(2, &[bytes(1, b"value")])]);
    let broken = message(9, &[bytes(1, b"key"), message(2, &[bytes(1, b"\xff")])]);

    assert_accepted(&request_with(&[plain.clone(), plain.clone(), varint(6, 1), plain.clone()]));
    assert_refused(&request_with(&[plain.clone(), plain, broken]));
}

#[test]
fn an_attribute_with_a_part_that_exceeds_it_is_refused() {
    let lengths = [[12, 5, 3], [4, 6, 3], [4, 5, 4]];

    for [key, value, text] in lengths {
        let attribute = [&[0x0a, key][..], b"name", &[0x12, value, 0x0a, text], b"abc"].concat();
        assert_refused(&request_with(&[bytes(9, &attribute)]));
    }
    let attribute = [&[0x0a, 4][..], b"name", &[0x12, 5, 0x0a, 3], b"abc"].concat();
    assert_accepted(&request_with(&[bytes(9, &attribute)]));
}

#[test]
fn a_varint_may_have_ten_bytes_if_it_fits_64_bits() {
    let max = [&[3 << 3][..], &[0xff; 9], &[0x01]].concat();
    let padded = [&[3 << 3][..], &[0x80; 9], &[0x00]].concat();

    assert_accepted(&request_with_value(&[max]));
    assert_accepted(&request_with_value(&[padded]));
}

#[test]
fn a_varint_of_more_than_64_bits_or_ten_bytes_is_refused() {
    let too_much = [&[3 << 3][..], &[0xff; 9], &[0x02]].concat();
    let too_long = [&[3 << 3][..], &[0x80; 10], &[0x00]].concat();

    assert_refused(&request_with_value(&[too_much]));
    assert_refused(&request_with_value(&[too_long]));
}

#[test]
fn a_key_may_have_an_overlong_encoding() {
    assert_accepted(&request_with(&[vec![0x80 | 6 << 3, 0x80, 0x00, 1]]));
}

#[test]
fn a_field_number_of_zero_or_beyond_29_bits_is_refused() {
    assert_refused(&[0x00, 0x00]);
    assert_refused(&[0x80, 0x80, 0x80, 0x80, 0x10, 0x00]);
    let largest = [0xf8, 0xff, 0xff, 0xff, 0x0f, 0x00];
    assert_eq!(scan(&largest), Ok(Scanned::default()));
}

#[test]
fn a_message_that_exceeds_its_parent_is_refused() {
    let name_too_long = [5 << 3 | 2, 5, b'n', b'a', b'm', b'e'];

    assert_refused(&request_with(&[name_too_long.to_vec()]));
    let behind = varint(14, 1);
    assert_refused(&[request_with(&[name_too_long.to_vec()]), behind].concat());
}

#[test]
fn a_request_truncated_anywhere_is_refused() {
    let request = request_with(&[bytes(5, b"name"), fixed64(7), varint(6, 2)]);

    for length in 1..request.len() {
        assert_refused(&request[..length]);
    }
    assert_accepted(&request);
}

#[test]
fn unknown_fields_are_accepted_at_every_level() {
    let unknown = [varint(12, 1), fixed64(12), bytes(12, b"\xff"), vec![12 << 3 | 5, 0, 0, 0, 0]];
    let anywhere = unknown.concat();
    let unknown_group = vec![0x83, 0x02, 1 << 3, 7, 0x84, 0x02];
    let span = message(2, &[span_fields(1), unknown_group.clone()]);
    let scope = message(2, &[anywhere.clone(), span]);

    assert_accepted(&[anywhere.clone(), message(1, &[scope, anywhere]), unknown_group].concat());
}

#[test]
fn groups_may_hold_any_field_and_other_groups() {
    let group = [vec![15 << 3 | 3, 14 << 3 | 3], bytes(1, b"\xff"), vec![14 << 3 | 4, 15 << 3 | 4]];

    assert_eq!(scan(&group.concat()), Ok(Scanned::default()));
}

#[test]
fn a_group_that_is_not_closed_or_not_opened_is_refused() {
    let (start, end, other_end) = (15 << 3 | 3, 15 << 3 | 4, 14 << 3 | 4);

    assert_refused(&[start]);
    assert_refused(&[end]);
    assert_refused(&[start, other_end]);
    assert_refused(&[start, other_end, end]);
    assert_refused(&message(1, &[vec![start], vec![end, end]]));
    assert_refused(&[message(1, &[vec![start]]), vec![end]].concat());
}

#[test]
fn arrays_nested_47_deep_in_an_attribute_are_accepted_and_48_are_not() {
    let text = bytes(1, b"text");

    assert_accepted(&request_with_long_value(&arrays(ARRAYS, text.clone())));
    assert_refused(&request_with_long_value(&arrays(ARRAYS + 1, text)));
}

#[test]
fn the_hundredth_level_may_be_an_empty_message_without_unknown_fields() {
    let value_with = |array: Vec<u8>| arrays(ARRAYS, long(5, &array));

    assert_accepted(&request_with_long_value(&value_with(vec![])));
    assert_refused(&request_with_long_value(&value_with(varint(9, 1))));
}

#[test]
fn groups_count_as_levels() {
    let nested = |count: usize| [vec![15 << 3 | 3; count], vec![15 << 3 | 4; count]].concat();

    assert_eq!(scan(&nested(100)), Ok(Scanned::default()));
    assert_refused(&nested(101));
}

#[test]
fn a_plain_attribute_takes_its_two_levels_also_at_the_limit() {
    let attribute = long(1, &[bytes(1, b"key"), message(2, &[bytes(1, b"text")])].concat());
    let in_lists = |count: usize, value: Vec<u8>| {
        (0..count).fold(value, |value, _| long(6, &long(1, &long(2, &value))))
    };

    // 95 levels below a span's attribute value: 31 lists take 93, the last takes three more.
    assert_accepted(&request_with_long_value(&in_lists(30, long(6, &attribute))));
    assert_refused(&request_with_long_value(&in_lists(31, long(6, &attribute))));
}
