//! Requests with strings that are not UTF-8: what is kept of them decodes, and nothing else is lost.

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;
use tracebuffer::adapters::messaging::wire::{scan, without_undecodable_spans};

use super::{Filtered, decode, is_valid, spans};
use crate::support::proto_requests::{Field, Value, encode, mutate, mutations, valid_request};

proptest! {
    #[test]
    fn removing_undecodable_spans_gives_the_same_as_decoding_each_span_and_each_envelope(
        mut tree in valid_request(),
        places in vec(any::<Index>(), 1..6),
    ) {
        for place in places {
            corrupt(&mut tree, place);
        }
        let bytes = encode(&tree);

        match scan(&bytes) {
            Ok(_) => prop_assert!(decode(&bytes).is_ok()),
            Err(error) => {
                prop_assert!(error.is_invalid_utf8(), "{}", error);
                let (kept, scanned) = without_undecodable_spans(&bytes).unwrap();

                let expected = decodable_tree(&tree, &[1, 2, 2]);
                prop_assert_eq!(&kept, &encode(&expected.fields));
                let decoded = decode(&kept).unwrap();
                prop_assert!(spans(&decoded).all(is_valid));
                let total = spans_in_tree(&tree, &[1, 2, 2]);
                prop_assert_eq!(scanned.spans, total as u64);
                prop_assert_eq!(scanned.invalid_spans, (total - spans(&decoded).count()) as u64);
                prop_assert_eq!(scanned.first_invalid.is_some(), scanned.invalid_spans > 0);
            }
        }
    }

    #[test]
    fn whatever_is_kept_of_a_mutated_request_decodes(
        tree in valid_request(),
        mutations in mutations(),
    ) {
        if let Ok((kept, scanned)) = without_undecodable_spans(&mutate(encode(&tree), &mutations)) {
            let left = scan(&kept).unwrap();
            prop_assert_eq!(left.invalid_spans, 0);
            prop_assert_eq!(left.spans, scanned.spans - scanned.invalid_spans);
            prop_assert_eq!(spans(&decode(&kept).unwrap()).count() as u64, left.spans);
        }
    }
}

/// Appends a byte to one of the strings, ids or other bytes in a tree that makes it no UTF-8.
fn corrupt(tree: &mut [Field], place: Index) {
    let mut leaves = Vec::new();
    collect_bytes(tree, &mut leaves);
    if !leaves.is_empty() {
        let at = place.index(leaves.len());
        leaves[at].push(0xff);
    }
}

fn collect_bytes<'a>(fields: &'a mut [Field], leaves: &mut Vec<&'a mut Vec<u8>>) {
    for field in fields {
        match &mut field.value {
            Value::Bytes(bytes) => leaves.push(bytes),
            Value::Message(fields) => collect_bytes(fields, leaves),
            _ => {}
        }
    }
}

/// Removes the spans that `prost` does not decode or that are invalid, and the envelopes that it
/// does not decode even without what they hold.
fn decodable_tree(fields: &[Field], path: &[u32]) -> Filtered {
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
        let own = |child: u32| {
            let own = children.iter().filter(|field| field.number != child).cloned();
            encode(&own.collect::<Vec<_>>())
        };
        let inner = match below {
            [] => {
                let span = Span::decode(&*encode(children));
                let kept = usize::from(span.is_ok_and(|span| is_valid(&span)));
                Filtered { fields: children.clone(), kept, cut: 1 - kept }
            }
            [child] if ScopeSpans::decode(&*own(*child)).is_err() => NOTHING,
            [child, _] if ResourceSpans::decode(&*own(*child)).is_err() => NOTHING,
            below => decodable_tree(children, below),
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

const NOTHING: Filtered = Filtered { fields: Vec::new(), kept: 0, cut: 1 };

fn spans_in_tree(fields: &[Field], path: &[u32]) -> usize {
    let [number, below @ ..] = path else { return 1 };
    let inside = fields.iter().filter(|field| field.number == *number);
    inside
        .map(|field| match &field.value {
            Value::Message(children) => spans_in_tree(children, below),
            _ => 0,
        })
        .sum()
}
