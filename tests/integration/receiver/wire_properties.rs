//! The wire scanner and splicer compared with `prost`, on valid, suspicious and broken requests.

mod undecodable;

use std::ops::Range;

use crate::support::proto_requests::{
    Field, Value, encode, field, message, mutate, mutations, plain_attribute,
    possibly_malformed_attribute, suspicious_request, valid_request,
};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use tracebuffer::adapters::messaging::wire::{self, Scanned, scan, without_invalid_spans};
use tracebuffer::domain::observability::{InvalidSpan, check_link_id_lengths, check_span};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_possibly_malformed_attribute_is_accepted_exactly_if_prost_decodes_it(
        attribute in possibly_malformed_attribute(),
    ) {
        let plain = [&[0x0a, 1][..], b"k", &[0x12, 2, 0x10, 1]].concat();
        let attributes = [plain.clone(), attribute, plain].map(|bytes| field(9, Value::Bytes(bytes)));

        assert_as_prost(&encode(&in_span(attributes.to_vec())))?;
    }
}

proptest! {
    #[test]
    fn a_valid_request_is_accepted_and_counted_as_if_decoded(tree in valid_request()) {
        let bytes = encode(&tree);

        let scanned = scan(&bytes);

        prop_assert!(scanned.is_ok(), "{}", scanned.unwrap_err());
        prop_assert_eq!(scanned.unwrap(), count(&decode(&bytes).unwrap()));
    }

    #[test]
    fn a_request_with_stray_fields_is_accepted_exactly_if_prost_decodes_it(
        tree in suspicious_request(),
    ) {
        assert_as_prost(&encode(&tree))?;
    }

    #[test]
    fn a_mutated_request_is_accepted_exactly_if_prost_decodes_it(
        tree in valid_request(),
        mutations in mutations(),
    ) {
        assert_as_prost(&mutate(encode(&tree), &mutations))?;
    }

    #[test]
    fn a_mutated_attribute_among_others_is_accepted_exactly_if_prost_decodes_it(
        first in plain_attribute(),
        mutated in plain_attribute(),
        mutations in mutations(),
        last in plain_attribute(),
    ) {
        let attribute = |bytes| field(9, Value::Bytes(bytes));
        let mutated = mutate(encode(&mutated), &mutations);
        let attributes = [encode(&first), mutated, encode(&last)].map(attribute);

        assert_as_prost(&encode(&in_span(attributes.to_vec())))?;
    }

    #[test]
    fn random_bytes_are_accepted_exactly_if_prost_decodes_them(
        bytes in vec(prop_oneof![any::<u8>(), 0..32_u8], 0..40),
    ) {
        assert_as_prost(&bytes)?;
    }

    #[test]
    fn removing_invalid_spans_gives_the_same_as_decoding_and_filtering(
        tree in valid_request(),
    ) {
        let bytes = encode(&tree);
        let valid: Vec<bool> = spans(&decode(&bytes).unwrap()).map(is_valid).collect();

        let spliced = without_invalid_spans(&bytes);

        assert_filtered(&tree, &spliced, |position| valid[position])?;
        let scanned = scan(&spliced).unwrap();
        prop_assert_eq!(scanned.invalid_spans, 0);
        prop_assert_eq!(scanned.spans, valid.iter().filter(|valid| **valid).count() as u64);
    }

    #[test]
    fn keeping_some_spans_gives_the_same_as_decoding_and_filtering(
        tree in valid_request(),
        start in 0..12_u64,
        length in 0..12_u64,
    ) {
        let bytes = encode(&tree);
        let keep = start..start + length;

        let spliced = keep_spans(&bytes, keep.clone());

        assert_filtered(&tree, &spliced, |position| keep.contains(&(position as u64)))?;
    }

    #[test]
    fn keeping_all_spans_leaves_a_request_unchanged(tree in valid_request()) {
        let bytes = encode(&tree);
        let spans = scan(&bytes).unwrap().spans;

        prop_assert_eq!(keep_spans(&bytes, 0..spans), bytes);
    }

    #[test]
    fn a_request_cut_in_two_loses_no_span(tree in valid_request(), at in 0..12_u64) {
        let bytes = encode(&tree);

        let front = decode(&keep_spans(&bytes, 0..at)).unwrap();
        let back = decode(&keep_spans(&bytes, at..u64::MAX)).unwrap();

        let both: Vec<&Span> = spans(&front).chain(spans(&back)).collect();
        let whole = decode(&bytes).unwrap();
        prop_assert_eq!(both, spans(&whole).collect::<Vec<_>>());
    }

    #[test]
    fn two_concatenated_requests_are_one_request_with_the_spans_of_both(
        front in valid_request(),
        back in valid_request(),
    ) {
        let (front, back) = (encode(&front), encode(&back));
        let both = [front.as_slice(), back.as_slice()].concat();

        let scanned = scan(&both).unwrap();

        let (first, second) = (scan(&front).unwrap(), scan(&back).unwrap());
        prop_assert_eq!(scanned, Scanned {
            spans: first.spans + second.spans,
            invalid_spans: first.invalid_spans + second.invalid_spans,
            first_invalid: first.first_invalid.or(second.first_invalid),
        });
        let mut expected = decode(&front).unwrap();
        expected.resource_spans.extend(decode(&back).unwrap().resource_spans);
        prop_assert_eq!(decode(&both).unwrap(), expected);
    }

    #[test]
    fn nesting_is_accepted_exactly_as_deep_as_prost_decodes_it(
        depth in 85..106_usize,
        nest in vec(any::<bool>(), 53),
        holder in 0..5_usize,
        leaf in leaf(),
    ) {
        let tree = attribute_in(holder, nested_value(&nest, depth, leaf));

        assert_as_prost(&encode(&tree))?;
    }
}

#[test]
fn every_field_of_every_message_accepts_the_same_values_as_in_prost() {
    let path = |numbers: &[u32], fields: Vec<Field>| {
        numbers.iter().rev().fold(fields, |fields, number| vec![message(*number, fields)])
    };
    let values = [
        Value::Varint(1),
        Value::Fixed64([0; 8]),
        Value::Fixed32([0; 4]),
        Value::Bytes(vec![]),
        Value::Bytes("\u{e9}".into()),
        Value::Bytes(vec![0xff]),
        Value::Group(vec![]),
    ];
    for message in MESSAGES {
        for number in 0..20 {
            for value in &values {
                let request = encode(&path(message, vec![field(number, value.clone())]));
                let result = assert_as_prost(&request);
                assert!(result.is_ok(), "{message:?}, field {number}: {result:?}");
            }
        }
    }
}

/// The field numbers that lead to each message of a request, one path each.
const MESSAGES: [&[u32]; 14] = [
    &[],
    &[1],
    &[1, 1],
    &[1, 1, 3],
    &[1, 2],
    &[1, 2, 1],
    &[1, 2, 2],
    &[1, 2, 2, 9],
    &[1, 2, 2, 9, 2],
    &[1, 2, 2, 9, 2, 5],
    &[1, 2, 2, 9, 2, 6],
    &[1, 2, 2, 11],
    &[1, 2, 2, 13],
    &[1, 2, 2, 15],
];

/// The innermost of nested messages: its fields matter at the depth limit.
fn leaf() -> impl Strategy<Value = Vec<Field>> {
    prop_oneof![
        Just(vec![]),
        Just(vec![field(1, Value::Bytes(b"leaf".to_vec()))]),
        Just(vec![field(40, Value::Varint(1))]),
        Just(vec![field(40, Value::Group(vec![]))]),
        Just(vec![field(40, Value::Group(vec![field(41, Value::Group(vec![]))]))]),
    ]
}

/// The fields of a message at the end of a chain of `depth` messages, counted from an `AnyValue`;
/// `lists` says where the chain goes through a `KeyValueList` rather than an `ArrayValue`.
fn nested_value(lists: &[bool], depth: usize, leaf: Vec<Field>) -> Vec<Field> {
    match (depth, lists) {
        (0, _) | (_, []) => leaf,
        (1, [list, ..]) => vec![message(if *list { 6 } else { 5 }, leaf)],
        (2, [true, ..]) => vec![message(6, vec![message(1, leaf)])],
        (_, [false, rest @ ..]) => {
            vec![message(5, vec![message(1, nested_value(rest, depth - 2, leaf))])]
        }
        (_, [true, rest @ ..]) => {
            let key = field(1, Value::Bytes(b"key".to_vec()));
            let value = message(2, nested_value(rest, depth - 3, leaf));
            vec![message(6, vec![message(1, vec![key, value])])]
        }
    }
}

/// A request with one attribute in one of the places that have attributes.
fn attribute_in(holder: usize, value: Vec<Field>) -> Vec<Field> {
    let attribute = |number| message(number, vec![message(2, value)]);
    match holder {
        0 => vec![message(1, vec![message(1, vec![attribute(1)])])],
        1 => vec![message(1, vec![message(2, vec![message(1, vec![attribute(3)])])])],
        2 => in_span(vec![attribute(9)]),
        3 => in_span(vec![message(11, vec![attribute(3)])]),
        _ => in_span(vec![message(13, vec![attribute(4)])]),
    }
}

/// A request of one span that has `fields`.
fn in_span(fields: Vec<Field>) -> Vec<Field> {
    vec![message(1, vec![message(2, vec![message(2, fields)])])]
}

/// Asserts that a scan accepts `bytes` exactly if decoding does, with the same counts.
fn assert_as_prost(bytes: &[u8]) -> Result<(), TestCaseError> {
    match (scan(bytes), decode(bytes)) {
        (Ok(scanned), Ok(decoded)) => prop_assert_eq!(scanned, count(&decoded)),
        (Err(malformed), Err(_)) => {
            prop_assert!(malformed.offset() <= bytes.len(), "{}", malformed);
        }
        (Ok(_), Err(refused)) => prop_assert!(false, "accepted, but prost refuses it: {refused}"),
        (Err(refused), Ok(_)) => prop_assert!(false, "refused, but prost decodes it: {refused}"),
    }
    Ok(())
}

/// Asserts that `spliced` is `tree` without the spans for which `keep` is false, in bytes
/// and decoded.
fn assert_filtered(
    tree: &[Field],
    spliced: &[u8],
    keep: impl Fn(usize) -> bool,
) -> Result<(), TestCaseError> {
    let mut position = 0;
    let expected = filter_tree(tree, &[1, 2, 2], &mut position, &keep).fields;
    prop_assert_eq!(spliced, encode(&expected));

    let decoded = filter_decoded(decode(&encode(tree)).unwrap(), &keep);
    prop_assert_eq!(decode(spliced).unwrap(), decoded);
    Ok(())
}

struct Filtered {
    fields: Vec<Field>,
    kept: usize,
    cut: usize,
}

/// Cuts spans out of a tree; `path` holds the field numbers that lead to them.
fn filter_tree(
    fields: &[Field],
    path: &[u32],
    position: &mut usize,
    keep: &impl Fn(usize) -> bool,
) -> Filtered {
    let mut filtered = Filtered { fields: Vec::new(), kept: 0, cut: 0 };
    for field in fields {
        let (Value::Message(children), [number, below @ ..]) = (&field.value, path) else {
            filtered.fields.push(field.clone());
            continue;
        };
        if field.number != *number {
            filtered.fields.push(field.clone());
            continue;
        }
        let inner = if below.is_empty() {
            let kept = usize::from(keep(*position));
            *position += 1;
            Filtered { fields: children.clone(), kept, cut: 1 - kept }
        } else {
            filter_tree(children, below, position, keep)
        };
        filtered.kept += inner.kept;
        filtered.cut += inner.cut;
        if inner.cut == 0 {
            filtered.fields.push(field.clone());
        } else if inner.kept > 0 {
            let value = Value::Message(inner.fields);
            filtered.fields.push(Field { value, length_padding: 0, ..field.clone() });
        }
    }
    filtered
}

fn filter_decoded(
    mut request: ExportTraceServiceRequest,
    keep: &impl Fn(usize) -> bool,
) -> ExportTraceServiceRequest {
    let mut position = 0;
    request.resource_spans.retain_mut(|resource| {
        let (mut kept, mut cut) = (0, 0);
        resource.scope_spans.retain_mut(|scope| {
            let before = scope.spans.len();
            scope.spans.retain(|_| {
                position += 1;
                keep(position - 1)
            });
            kept += scope.spans.len();
            cut += before - scope.spans.len();
            before == 0 || !scope.spans.is_empty()
        });
        cut == 0 || kept > 0
    });
    request
}

fn keep_spans(request: &[u8], keep: Range<u64>) -> Vec<u8> {
    wire::keep_spans(&Bytes::copy_from_slice(request), keep).concat()
}

fn decode(bytes: &[u8]) -> Result<ExportTraceServiceRequest, prost::DecodeError> {
    ExportTraceServiceRequest::decode(bytes)
}

fn count(request: &ExportTraceServiceRequest) -> Scanned {
    let invalid: Vec<InvalidSpan> = spans(request).filter_map(|span| check(span).err()).collect();
    Scanned {
        spans: spans(request).count() as u64,
        invalid_spans: invalid.len() as u64,
        first_invalid: invalid.first().copied(),
    }
}

fn spans(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
}

fn is_valid(span: &Span) -> bool {
    check(span).is_ok()
}

fn check(span: &Span) -> Result<(), InvalidSpan> {
    check_span(&span.trace_id, &span.span_id, &span.parent_span_id)?;
    span.links.iter().try_for_each(|link| check_link_id_lengths(&link.trace_id, &link.span_id))
}
