use super::super::fixtures::{
    bytes, fixed64, message, request_with, request_with_value, resource, varint,
};
use super::super::scan;

fn error_text(request: &[u8]) -> String {
    scan(request).unwrap_err().to_string()
}

#[test]
fn a_wrong_wire_type_is_reported_with_its_byte_its_message_and_its_field() {
    let request = request_with_value(&[varint(1, 7)]);

    let malformed = scan(&request).unwrap_err();

    assert_eq!(malformed.offset(), request.len() - 2);
    assert_eq!(
        malformed.to_string(),
        "byte 43, in ExportTraceServiceRequest.resource_spans.scope_spans.spans.attributes.value: \
         field 1 (string_value) has wire type 0, must be 2"
    );
}

#[test]
fn the_byte_is_counted_from_the_start_of_the_request_regardless_of_what_follows() {
    let broken = resource(&[varint(3, 1)]);
    let request = [resource(&[]), resource(std::slice::from_ref(&broken)), resource(&[])].concat();
    assert!(scan(&request).is_err());

    let request = [resource(&[]), broken, resource(&[]), bytes(9, b"behind")].concat();

    assert_eq!(
        error_text(&request),
        "byte 4, in ExportTraceServiceRequest.resource_spans: \
         field 3 (schema_url) has wire type 0, must be 2"
    );
}

#[test]
fn text_that_is_not_utf8_is_reported_at_its_first_invalid_byte() {
    let request = [resource(&[bytes(3, b"ab\xffc")]), resource(&[])].concat();

    assert_eq!(
        error_text(&request),
        "byte 6, in ExportTraceServiceRequest.resource_spans: field 3 (schema_url) is not UTF-8"
    );
}

#[test]
fn a_truncated_value_is_reported_with_the_needed_and_the_available_bytes() {
    let cut = |field: &[u8]| error_text(&resource(&[field.to_vec()]));

    assert!(
        cut(&[3 << 3 | 2, 9, b'a'])
            .ends_with("(schema_url) needs 9 bytes, but its message has 1 left")
    );
    assert!(cut(&[9 << 3 | 1, 0]).ends_with("(unknown) needs 8 bytes, but its message has 1 left"));
    assert!(cut(&[9 << 3 | 5]).ends_with("(unknown) needs 4 bytes, but its message has 0 left"));
    assert!(cut(&[3 << 3 | 2, 0x80]).ends_with("(schema_url) ends within a number"));
    assert!(cut(&[9 << 3, 0x80]).ends_with("(unknown) ends within a number"));
    assert!(cut(&[0x80]).ends_with("resource_spans: a field ends within a number"));
}

#[test]
fn a_number_of_more_than_64_bits_is_reported() {
    let request = [vec![2 << 3], vec![0x80; 10], fixed64(1)].concat();

    assert_eq!(
        error_text(&request),
        "byte 0, in ExportTraceServiceRequest: field 2 (unknown) has a number of more than 64 bits"
    );
}

#[test]
fn an_invalid_key_is_reported() {
    assert!(error_text(&[0x00]).ends_with("field 0 (unknown) has a number outside 1 to 536870911"));
    assert!(error_text(&[0x0f]).ends_with("has wire type 7, must be 2"));
    assert!(error_text(&[0x4f]).ends_with("has wire type 7, which does not exist"));
}

#[test]
fn a_group_out_of_order_is_reported() {
    assert!(error_text(&[0x4c]).ends_with("field 9 (unknown) ends a group that was not started"));
    assert!(error_text(&[0x4b]).ends_with("field 9 (unknown) starts a group that does not end"));
    assert!(
        error_text(&[0x4b, 0x54])
            .ends_with("starts a group in which group 10 ends, which was not started")
    );
}

#[test]
fn a_deep_path_is_shortened_in_the_middle() {
    let mut value = bytes(1, b"\xff");
    for _ in 0..9 {
        value = message(5, &[message(1, &[value])]);
    }

    let error_text = error_text(&request_with_value(&[value]));

    let shown = ".spans.attributes.value.array_value.(11 more).array_value.values.array_value";
    assert!(error_text.contains(shown), "{error_text}");
    assert!(error_text.ends_with(".values: field 1 (string_value) is not UTF-8"), "{error_text}");
}

#[test]
fn messages_nested_too_deep_are_reported_as_such() {
    let request = [vec![15 << 3 | 3; 101], vec![15 << 3 | 4; 101]].concat();

    assert!(error_text(&request).ends_with("is nested more than 100 levels deep"));
}

#[test]
fn a_span_field_after_the_attributes_is_reported_at_its_own_position() {
    let plain = message(9, &[bytes(1, b"k"), message(2, &[bytes(1, b"v")])]);
    let request = request_with(&[plain.clone(), plain.clone(), plain, varint(5, 1)]);

    assert_eq!(scan(&request).unwrap_err().offset(), request.len() - 2);
}
