//! Trace requests as trees of protobuf fields, generated and encoded without any schema.
//!
//! Unlike generated types, a tree can hold unknown fields, groups, fields out of order or twice,
//! and numbers that are encoded longer than necessary.

use std::fmt;
use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One field of a message.
#[derive(Clone)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) value: Value,
    /// Bytes by which the key is longer than necessary.
    pub(crate) key_padding: usize,
    /// The same for the length.
    pub(crate) length_padding: usize,
}

/// The value of a field.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
    Group(Vec<Field>),
}

impl fmt::Debug for Field {
    /// As in `9:{1:"key" 2:{3:7}}`, with a `+` and the bytes of padding where there is some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        if self.key_padding + self.length_padding > 0 {
            write!(f, "+{}+{}", self.key_padding, self.length_padding)?;
        }
        match &self.value {
            Value::Varint(value) => write!(f, ":{value}"),
            Value::Fixed64(bytes) => write!(f, ":{bytes:02x?}"),
            Value::Fixed32(bytes) => write!(f, ":{bytes:02x?}"),
            Value::Bytes(bytes) => write!(f, ":\"{}\"", bytes.escape_ascii()),
            Value::Message(fields) => f.debug_set().entries(fields).finish(),
            Value::Group(fields) => f.debug_list().entries(fields).finish(),
        }
    }
}

/// One change to encoded bytes.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Truncate(Index),
    Remove(Index, usize),
    Duplicate(Index, usize),
    Insert(Index, Vec<u8>),
}

/// A field in the shortest encoding.
pub(crate) fn field(number: u32, value: Value) -> Field {
    Field { number, value, key_padding: 0, length_padding: 0 }
}

/// A message field in the shortest encoding.
pub(crate) fn message(number: u32, fields: Vec<Field>) -> Field {
    field(number, Value::Message(fields))
}

/// Encodes a message.
pub(crate) fn encode(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        encode_field(field, &mut bytes);
    }
    bytes
}

fn encode_field(field: &Field, to: &mut Vec<u8>) {
    let mut key =
        |wire: u64| put_varint(u64::from(field.number) << 3 | wire, field.key_padding, to);
    match &field.value {
        Value::Varint(value) => {
            key(0);
            put_varint(*value, 0, to);
        }
        Value::Fixed64(bytes) => {
            key(1);
            to.extend(bytes);
        }
        Value::Fixed32(bytes) => {
            key(5);
            to.extend(bytes);
        }
        Value::Bytes(bytes) => {
            key(2);
            put_varint(bytes.len() as u64, field.length_padding, to);
            to.extend(bytes);
        }
        Value::Message(fields) => {
            key(2);
            let bytes = encode(fields);
            put_varint(bytes.len() as u64, field.length_padding, to);
            to.extend(bytes);
        }
        Value::Group(fields) => {
            key(3);
            to.extend(encode(fields));
            put_varint(u64::from(field.number) << 3 | 4, 0, to);
        }
    }
}

/// Writes a varint, `padding` bytes longer than necessary, but never longer than ten.
pub(crate) fn put_varint(mut value: u64, mut padding: usize, to: &mut Vec<u8>) {
    let start = to.len();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 && (padding == 0 || to.len() - start == 9) {
            return to.push(low);
        }
        if value == 0 {
            padding -= 1;
        }
        to.push(low | 0x80);
    }
}

/// Applies `mutations` to `bytes`, one after another.
pub(crate) fn mutate(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match mutation {
            Mutation::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Mutation::Set(at, byte) => bytes[at.index(length)] = *byte,
            Mutation::Truncate(at) => bytes.truncate(at.index(length)),
            Mutation::Remove(at, count) => {
                let start = at.index(length);
                bytes.drain(start..length.min(start + count));
            }
            Mutation::Duplicate(at, count) => {
                let start = at.index(length);
                let copy = bytes[start..length.min(start + count)].to_vec();
                bytes.splice(start..start, copy);
            }
            Mutation::Insert(at, inserted) => {
                let start = at.index(length);
                bytes.splice(start..start, inserted.iter().copied());
            }
        }
    }
    bytes
}

/// A few mutations.
pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let one = prop_oneof![
        4 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => any::<Index>().prop_map(Mutation::Truncate),
        1 => (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Mutation::Duplicate(at, count)),
        1 => (any::<Index>(), vec(any::<u8>(), 1..8)).prop_map(|(at, b)| Mutation::Insert(at, b)),
    ];
    vec(one, 1..4)
}

/// Requests that decode: known fields of the right type, in any order and number, and unknown ones.
pub(crate) fn valid_request() -> impl Strategy<Value = Vec<Field>> {
    request_with(|| unknown_field().boxed())
}

/// Requests in which any message may hold a misplaced field.
pub(crate) fn suspicious_request() -> impl Strategy<Value = Vec<Field>> {
    request_with(|| misplaced_field().boxed())
}

/// A field of any number, known ones included, with a value of any layout.
fn misplaced_field() -> impl Strategy<Value = Field> {
    (prop_oneof![9 => 0..18_u32, 1 => Just((1 << 29) - 1)], unknown_value())
        .prop_map(|(number, value)| field(number, value))
}

/// Generates a field that may be added to any message.
type ExtraField = fn() -> BoxedStrategy<Field>;

fn request_with(extra: ExtraField) -> impl Strategy<Value = Vec<Field>> {
    message_of(vec![(8, 1, resource_spans(extra))], extra, 0..4)
}

fn resource_spans(extra: ExtraField) -> BoxedStrategy<Value> {
    let resource = nested(
        vec![(4, 1, attribute(extra)), (1, 2, varint()), (1, 3, entity_ref(extra))],
        extra,
        0..4,
    );
    nested(vec![(2, 1, resource), (8, 2, scope_spans(extra)), (1, 3, text())], extra, 0..4)
}

fn entity_ref(extra: ExtraField) -> BoxedStrategy<Value> {
    nested(vec![(1, 1, text()), (1, 2, text()), (2, 3, text()), (2, 4, text())], extra, 0..5)
}

fn scope_spans(extra: ExtraField) -> BoxedStrategy<Value> {
    let scope = nested(
        vec![(2, 1, text()), (2, 2, text()), (2, 3, attribute(extra)), (1, 4, varint())],
        extra,
        0..4,
    );
    nested(vec![(2, 1, scope), (9, 2, span(extra)), (1, 3, text())], extra, 0..5)
}

fn span(extra: ExtraField) -> BoxedStrategy<Value> {
    let event = nested(
        vec![(1, 1, fixed64()), (1, 2, text()), (2, 3, attribute(extra)), (1, 4, varint())],
        extra,
        0..4,
    );
    let status = nested(vec![(1, 2, text()), (1, 3, varint())], extra, 0..3);
    let fields = message_of(
        vec![
            (1, 3, text()),
            (2, 4, id(8)),
            (2, 5, text()),
            (1, 6, varint()),
            (1, 7, fixed64()),
            (1, 8, fixed64()),
            (5, 9, attribute(extra)),
            (1, 10, varint()),
            (2, 11, event),
            (1, 12, varint()),
            (2, 13, link(extra)),
            (1, 14, varint()),
            (1, 15, status),
            (1, 16, fixed32()),
            (1, 1, id(16)),
            (1, 2, id(8)),
        ],
        extra,
        0..9,
    );
    (id(16), id(8), fields, prop::bool::weighted(0.95))
        .prop_map(|(trace_id, span_id, mut fields, with_ids)| {
            if with_ids {
                fields.splice(0..0, [field(1, trace_id), field(2, span_id)]);
            }
            Value::Message(fields)
        })
        .boxed()
}

fn link(extra: ExtraField) -> BoxedStrategy<Value> {
    let fields = vec![
        (3, 1, id(16)),
        (3, 2, id(8)),
        (1, 3, text()),
        (2, 4, attribute(extra)),
        (1, 5, varint()),
        (1, 6, fixed32()),
    ];
    nested(fields, extra, 0..4)
}

/// The fields of a `KeyValue` as encoders usually write it.
pub(crate) fn plain_attribute() -> impl Strategy<Value = Vec<Field>> {
    (text(), scalar()).prop_map(|(key, value)| vec![field(1, key), message(2, vec![value])])
}

/// The bytes of a plain attribute in which a length or a byte may be wrong.
pub(crate) fn possibly_malformed_attribute() -> impl Strategy<Value = Vec<u8>> {
    let off = || prop_oneof![6 => Just(0), 1 => -2..3_i8];
    let byte = || select(vec![0x00, 0x01, 0x02, 0x0a, 0x10, 0x18, 0x61, 0x7f, 0x80, 0xff]);
    let member = prop_oneof![
        2 => (vec(byte(), 0..4), off()).prop_map(|(text, off)| delimited(0x0a, &text, off)),
        2 => (select(vec![0x10, 0x18, 0x21]), vec(byte(), 0..11))
            .prop_map(|(key, value)| [vec![key], value].concat()),
        1 => (Just(0x21), vec(byte(), 8)).prop_map(|(key, value)| [vec![key], value].concat()),
        1 => vec(byte(), 0..4),
    ];
    (vec(byte(), 0..3), off(), member, off(), vec(byte(), 0..2)).prop_map(
        |(key, key_off, member, member_off, rest)| {
            [delimited(0x0a, &key, key_off), delimited(0x12, &member, member_off), rest].concat()
        },
    )
}

/// A field whose encoded length is `off` too large.
fn delimited(key: u8, payload: &[u8], off: i8) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    [&[key, length.wrapping_add_signed(off)], payload].concat()
}

/// A `KeyValue` as encoders usually write it, or with any fields.
fn attribute(extra: ExtraField) -> BoxedStrategy<Value> {
    let free =
        nested(vec![(3, 1, text()), (3, 2, any_value(3, extra)), (1, 3, varint())], extra, 0..4);
    prop_oneof![2 => plain_attribute().prop_map(Value::Message), 1 => free].boxed()
}

fn scalar() -> impl Strategy<Value = Field> {
    prop_oneof![
        4 => text().prop_map(|value| field(1, value)),
        1 => varint().prop_map(|value| field(2, value)),
        2 => varint().prop_map(|value| field(3, value)),
        1 => fixed64().prop_map(|value| field(4, value)),
        1 => vec(any::<u8>(), 0..9).prop_map(|bytes| field(7, Value::Bytes(bytes))),
        1 => varint().prop_map(|value| field(8, value)),
    ]
}

fn any_value(depth: u32, extra: ExtraField) -> BoxedStrategy<Value> {
    let leaf = vec(prop_oneof![9 => scalar(), 1 => extra()], 0..3).prop_map(Value::Message);
    leaf.prop_recursive(depth, 8, 3, move |inner| {
        let key_value = nested(vec![(1, 1, text()), (1, 2, inner.clone())], extra, 0..3);
        let array = nested(vec![(9, 1, inner)], extra, 0..3);
        let list = nested(vec![(9, 1, key_value)], extra, 0..3);
        nested(vec![(1, 5, array), (1, 6, list)], extra, 0..2)
    })
    .boxed()
}

/// A message of the given fields, by weight and number, and occasionally an extra one.
fn message_of(
    fields: Vec<(u32, u32, BoxedStrategy<Value>)>,
    extra: ExtraField,
    count: Range<usize>,
) -> impl Strategy<Value = Vec<Field>> {
    let known = fields.into_iter().map(|(weight, number, value)| {
        let padding = prop_oneof![20 => Just(0), 1 => 1..9_usize];
        let field = (value, padding.clone(), padding).prop_map(
            move |(value, key_padding, length_padding)| Field {
                number,
                value,
                key_padding,
                length_padding,
            },
        );
        (2 * weight, field.boxed())
    });
    vec(proptest::strategy::Union::new_weighted(known.chain([(1, extra())]).collect()), count)
}

fn nested(
    fields: Vec<(u32, u32, BoxedStrategy<Value>)>,
    extra: ExtraField,
    count: Range<usize>,
) -> BoxedStrategy<Value> {
    message_of(fields, extra, count).prop_map(Value::Message).boxed()
}

/// A field that no message of a trace request defines.
fn unknown_field() -> impl Strategy<Value = Field> {
    (prop_oneof![17..40_u32, 1000..1001_u32, Just((1 << 29) - 1)], unknown_value())
        .prop_map(|(number, value)| field(number, value))
}

fn unknown_value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![varint(), fixed64(), fixed32(), vec(any::<u8>(), 0..9).prop_map(Value::Bytes),];
    leaf.prop_recursive(2, 6, 3, |inner| {
        let field = (1..40_u32, inner).prop_map(|(number, value)| field(number, value));
        vec(field, 0..3).prop_map(Value::Group)
    })
}

fn text() -> BoxedStrategy<Value> {
    prop_oneof![
        4 => "[a-z.]{0,24}",
        1 => "[a-z]{120,132}",
        1 => "\\PC{0,6}",
    ]
    .prop_map(|text| Value::Bytes(text.into_bytes()))
    .boxed()
}

/// An id of the right length, mostly.
fn id(length: usize) -> BoxedStrategy<Value> {
    prop_oneof![
        20 => vec(1..=255_u8, length),
        1 => Just(vec![0; length]),
        1 => Just(Vec::new()),
        1 => select(vec![vec![1; 7], vec![1; 8], vec![1; 16], vec![1; 17], vec![0; 9]]),
    ]
    .prop_map(Value::Bytes)
    .boxed()
}

fn varint() -> BoxedStrategy<Value> {
    prop_oneof![0..3_u64, 0..1000_u64, any::<u64>()].prop_map(Value::Varint).boxed()
}

fn fixed64() -> BoxedStrategy<Value> {
    // From a number and not from any bytes, since NaN would not equal itself.
    any::<f64>().prop_map(|value| Value::Fixed64(value.to_le_bytes())).boxed()
}

fn fixed32() -> BoxedStrategy<Value> {
    any::<[u8; 4]>().prop_map(Value::Fixed32).boxed()
}
