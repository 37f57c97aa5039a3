use super::super::fixtures::{
    bytes, invalid_span, long, message, resource, scope, span, span_fields,
};
use super::*;

fn keep_spans(request: &[u8], keep: Range<u64>) -> Vec<u8> {
    super::keep_spans(&Bytes::copy_from_slice(request), keep).concat()
}

const EVERY_SPAN: Range<u64> = 0..u64::MAX;
const NO_SPAN: Range<u64> = 0..0;

#[test]
fn a_request_that_keeps_every_span_is_unchanged() {
    let request = [resource(&[scope(&[span(1)]), scope(&[])]), resource(&[])].concat();

    assert_eq!(keep_spans(&request, EVERY_SPAN), request);
    assert_eq!(without_invalid_spans(&request), request);
}

#[test]
fn positions_count_over_all_resources_and_scopes() {
    let request = [
        resource(&[scope(&[span(0), span(1)]), scope(&[span(2)])]),
        resource(&[scope(&[span(3), span(4)])]),
    ]
    .concat();

    let kept = keep_spans(&request, 1..4);

    let expected =
        [resource(&[scope(&[span(1)]), scope(&[span(2)])]), resource(&[scope(&[span(3)])])];
    assert_eq!(kept, expected.concat());
}

#[test]
fn a_scope_and_a_resource_are_removed_with_their_last_span() {
    let about = bytes(1, b"");
    let first = resource(&[about.clone(), scope(&[about.clone(), span(0)])]);
    let second = resource(&[about.clone(), scope(&[about.clone(), span(1)]), scope(&[span(2)])]);
    let third = resource(&[scope(&[span(3)])]);

    let kept = keep_spans(&[first, second, third].concat(), 2..3);

    assert_eq!(kept, resource(&[about, scope(&[span(2)])]));
}

#[test]
fn a_scope_or_resource_without_spans_is_kept() {
    let empty = resource(&[scope(&[])]);
    let request = [empty.clone(), resource(&[scope(&[]), scope(&[span(0)])]), empty.clone()];

    assert_eq!(keep_spans(&request.concat(), NO_SPAN), [empty.clone(), empty].concat());
}

#[test]
fn unknown_fields_are_kept_in_place() {
    let group = vec![15 << 3 | 3, 1 << 3, 7, 15 << 3 | 4];
    let unknown = bytes(14, b"\xff");
    let with = |spans: &[Vec<u8>]| {
        let scope = scope(&[group.clone(), spans.concat(), unknown.clone()]);
        [unknown.clone(), resource(&[unknown.clone(), scope, group.clone()]), group.clone()]
            .concat()
    };

    assert_eq!(keep_spans(&with(&[span(0), span(1), span(2)]), 1..2), with(&[span(1)]));
}

#[test]
fn a_length_shrinks_from_two_bytes_to_one_with_its_message() {
    let spans = [0, 1, 2, 3, 4].map(span).concat();

    let kept = keep_spans(&long(1, &long(2, &spans)), 4..5);

    assert_eq!(kept, resource(&[scope(&[span(4)])]));
}

#[test]
fn a_length_that_still_needs_two_bytes_is_rewritten_in_two() {
    let spans = |ids: Range<u8>| ids.map(span).collect::<Vec<_>>().concat();

    let kept = keep_spans(&long(1, &long(2, &spans(0..10))), 0..5);

    assert_eq!(kept, long(1, &long(2, &spans(0..5))));
}

#[test]
fn an_overlong_length_is_rewritten_only_where_it_changes() {
    let padded = |fields: &[u8]| {
        let length = u8::try_from(fields.len()).unwrap() | 0x80;
        [&[2 << 3 | 2, length, 0x80, 0x00], fields].concat()
    };
    let request = resource(&[padded(&[span(0), span(1)].concat()), padded(&span(2))]);

    let kept = keep_spans(&request, 1..3);

    assert_eq!(kept, resource(&[scope(&[span(1)]), padded(&span(2))]));
}

#[test]
fn an_overlong_key_is_kept() {
    let padded_key = |fields: &[Vec<u8>]| {
        let message = message(2, fields);
        [&[message[0] | 0x80, 0x00], &message[1..]].concat()
    };
    let request = resource(&[padded_key(&[span(0), span(1)])]);

    assert_eq!(keep_spans(&request, 0..1), resource(&[padded_key(&[span(0)])]));
}

#[test]
fn invalid_spans_are_removed_and_valid_ones_are_kept() {
    let zero = message(2, &[bytes(1, &[0; 16]), bytes(2, &[1; 8])]);
    let bad_link = message(2, &[span_fields(9), message(13, &[bytes(1, &[1; 3])])]);
    let request =
        [resource(&[scope(&[invalid_span(), span(1), zero])]), resource(&[scope(&[bad_link])])]
            .concat();

    assert_eq!(without_invalid_spans(&request), resource(&[scope(&[span(1)])]));
}

#[test]
fn the_kept_parts_of_a_request_are_not_copied() {
    let text = "x".repeat(1_000);
    let large = |id: u8| long(2, &[span_fields(id), long(5, text.as_bytes())].concat());
    let spans: Vec<_> = (0..10).map(large).collect();
    let request = Bytes::from(long(1, &long(2, &spans.concat())));

    for keep in [0..5, 3..6, 7..10, 4..5] {
        let pieces = super::keep_spans(&request, keep.clone());

        let is_inside = |piece: &&Bytes| request.as_ptr_range().contains(&piece.as_ptr());
        let copied: usize = pieces.iter().filter(|p| !is_inside(p)).map(Bytes::len).sum();
        assert!(copied < 64, "{copied} bytes of {keep:?} are copies");
        assert!(pieces.iter().all(|piece| !piece.is_empty()));
    }
}

#[test]
fn a_request_without_its_invalid_spans_has_no_spare_capacity() {
    let request = resource(&[scope(&[span(0), invalid_span(), span(2)])]);

    let valid = without_invalid_spans(&request);

    assert_eq!(valid.capacity(), valid.len());
}

#[test]
fn bytes_that_are_not_a_request_cause_no_panic() {
    let request = resource(&[scope(&[span(0), span(1)])]);

    for length in 0..request.len() {
        let _ = keep_spans(&request[..length], 1..2);
        let _ = without_invalid_spans(&request[..length]);
    }
}
