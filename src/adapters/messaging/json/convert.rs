//! Reads JSON and writes protobuf in one pass, following the tables of [`super::schema`].

use std::fmt::{self, Display};
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::ConvertedRequest;
use super::bytes;
use super::encode::{self, WireType};
use super::error::{Excerpt, JsonPath, MalformedJson, PathSegment};
use super::number;
use super::schema::{FieldKind, FieldSchema, MAX_FIELDS, MessageSchema, NumberKind, REQUEST};
use super::unknown_keys::UnknownKeys;

/// Maximum nesting of messages, counting the request. Protobuf decoders allow 100 below the request.
const MAX_DEPTH: usize = 100;

/// The state of one conversion.
pub(super) struct Converter {
    out: Vec<u8>,
    path: JsonPath,
    depth: usize,
    unknown_keys: UnknownKeys,
    surrogates: Surrogates,
}

/// What happens to a string with a lone surrogate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Surrogates {
    /// It is an error.
    Refused,
    /// It is written as if the surrogate were a character, and so is not UTF-8.
    Kept,
}

/// Whether a field had a value or was `null`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Null,
    Set,
}

/// The output range of each field of the message being read.
#[derive(Default)]
struct FieldRanges([Range<usize>; MAX_FIELDS]);

/// Reads the request.
struct RequestVisitor<'a>(&'a mut Converter);

/// Reads a key: the field it names and its index in the table, or `None` if it is unknown.
struct KeyVisitor<'a> {
    message: &'static MessageSchema,
    unknown_keys: &'a mut UnknownKeys,
}

/// Writes the bytes of a string.
struct StringBytesVisitor<'a>(&'a mut Vec<u8>);

/// Reads the value of a field, or one element of it, and writes it.
struct ValueVisitor<'a> {
    converter: &'a mut Converter,
    field: &'static FieldSchema,
    /// Whether this is one element of a repeated field.
    element: bool,
}

impl Converter {
    /// Creates a converter for a request of `bytes` bytes of JSON.
    pub(super) fn new(bytes: usize, surrogates: Surrogates) -> Self {
        Self {
            out: Vec::with_capacity(super::max_output(bytes)),
            path: JsonPath::default(),
            depth: 0,
            unknown_keys: UnknownKeys::default(),
            surrogates,
        }
    }

    /// Converts a request.
    pub(super) fn convert(mut self, json: &str) -> Result<ConvertedRequest, MalformedJson> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        // `read_message` limits the nesting of messages; unknown values are skipped without
        // recursion.
        deserializer.disable_recursion_limit();
        let read = deserializer.deserialize_map(RequestVisitor(&mut self));
        read.and_then(|()| deserializer.end())
            .map_err(|error| MalformedJson::new(&error, &self.path))?;
        self.out.shrink_to_fit();
        Ok(ConvertedRequest { protobuf: self.out, unknown_keys: self.unknown_keys })
    }

    /// Reads the fields of one message.
    fn read_message<'de, A: MapAccess<'de>>(
        &mut self,
        message: &'static MessageSchema,
        mut map: A,
    ) -> Result<(), A::Error> {
        if self.depth == MAX_DEPTH {
            return Err(A::Error::custom(format_args!(
                "found messages nested deeper than the {MAX_DEPTH} levels that are allowed"
            )));
        }
        self.depth += 1;
        let mut ranges = FieldRanges::default();
        loop {
            let key = KeyVisitor { message, unknown_keys: &mut self.unknown_keys };
            let Some(key) = map.next_key_seed(key)? else { break };
            match key {
                Some((at, field)) => {
                    self.read_field(message, &mut ranges, (at, field), &mut map)
                        .inspect_err(|_| self.path.prepend(PathSegment::Field(field.name)))?;
                }
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads one field of a message; a later value of the same field replaces an earlier one.
    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        message: &'static MessageSchema,
        ranges: &mut FieldRanges,
        (at, field): (usize, &'static FieldSchema),
        map: &mut A,
    ) -> Result<(), A::Error> {
        let start = self.out.len();
        let value = ValueVisitor { converter: self, field, element: false };
        if map.next_value_seed(value)? == Presence::Set {
            ranges.replace(at, start, &mut self.out);
            if message.oneof && ranges.has_multiple() {
                return Err(A::Error::custom("found a second value where only one is allowed"));
            }
        }
        Ok(())
    }
}

impl FieldRanges {
    /// Records that field `at` was written from `start` to the end of `out`, and removes its
    /// earlier value from `out`.
    fn replace(&mut self, at: usize, start: usize, out: &mut Vec<u8>) {
        let Some(range) = self.0.get_mut(at) else { return };
        let old = std::mem::replace(range, start..out.len());
        if old.is_empty() {
            return;
        }
        out.drain(old.clone());
        for range in self.0.iter_mut().filter(|range| range.start >= old.end) {
            *range = range.start - old.len()..range.end - old.len();
        }
    }

    fn has_multiple(&self) -> bool {
        self.0.iter().filter(|range| !range.is_empty()).count() > 1
    }
}

impl ValueVisitor<'_> {
    /// Returns the kind of the next value; `None` if an array is expected, the value of a repeated field.
    fn kind(&self) -> Option<FieldKind> {
        (self.element || !self.field.repeated).then_some(self.field.kind)
    }

    fn null<E: Error>(self) -> Result<Presence, E> {
        if self.element { Err(self.unexpected("null")) } else { Ok(Presence::Null) }
    }

    fn allowed(&self) -> &'static str {
        self.kind().map_or("an array", FieldKind::allowed)
    }

    fn unexpected<E: Error>(&self, found: impl Display) -> E {
        E::custom(format_args!("found {found} where only {} is allowed", self.allowed()))
    }

    /// Writes a number or a string, given as its JSON text.
    fn scalar<E: Error>(self, kind: FieldKind, json: &str) -> Result<Presence, E> {
        match (json.as_bytes().first(), kind) {
            (Some(b'n'), _) => self.null(),
            (Some(b'{'), _) => Err(self.unexpected("an object")),
            (Some(b'['), _) => Err(self.unexpected("an array")),
            (_, FieldKind::Number(kind)) => self.number(kind, json),
            (Some(b'"'), FieldKind::String) => self.string_with_surrogates(json),
            _ => Err(self.unexpected(Excerpt(json))),
        }
    }

    /// Writes a string, given as its JSON text, with its lone surrogates.
    fn string_with_surrogates<E: Error>(self, json: &str) -> Result<Presence, E> {
        let out = &mut self.converter.out;
        let body = encode::begin_field(out, self.field.number);
        serde_json::Deserializer::from_str(json)
            .deserialize_bytes(StringBytesVisitor(out))
            .map_err(E::custom)?;
        encode::end_field(out, body);
        Ok(Presence::Set)
    }

    fn number<E: Error>(self, kind: NumberKind, json: &str) -> Result<Presence, E> {
        match number::put_number(&mut self.converter.out, self.field.number, kind, json) {
            Some(()) => Ok(Presence::Set),
            None => Err(self.unexpected(Excerpt(json))),
        }
    }

    /// Writes a string or bytes; `None` if `text` is not a value of the field.
    fn put_text(&mut self, text: &str) -> Option<()> {
        let kind = self.kind()?;
        let out = &mut self.converter.out;
        let body = encode::begin_field(out, self.field.number);
        match kind {
            FieldKind::String => out.extend_from_slice(text.as_bytes()),
            FieldKind::Hex => bytes::put_hex(out, text)?,
            FieldKind::Base64 => bytes::put_base64(out, text)?,
            FieldKind::Message(_) | FieldKind::Bool | FieldKind::Number(_) => return None,
        }
        encode::end_field(out, body);
        Some(())
    }
}

impl<'de> Visitor<'de> for RequestVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.read_message(&REQUEST, map)
    }
}

impl<'de> DeserializeSeed<'de> for KeyVisitor<'_> {
    type Value = Option<(usize, &'static FieldSchema)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyVisitor<'_> {
    type Value = Option<(usize, &'static FieldSchema)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        let field = self.message.field(key);
        if field.is_none() && self.message.is_envelope() {
            self.unknown_keys.add(key);
        }
        Ok(field)
    }
}

impl Visitor<'_> for StringBytesVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<(), E> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for ValueVisitor<'_> {
    type Value = Presence;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Presence, D::Error> {
        match self.kind() {
            Some(kind @ FieldKind::Number(_)) => {
                self.scalar(kind, <&RawValue>::deserialize(deserializer)?.get())
            }
            Some(kind @ FieldKind::String) if self.converter.surrogates == Surrogates::Kept => {
                self.scalar(kind, <&RawValue>::deserialize(deserializer)?.get())
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for ValueVisitor<'_> {
    type Value = Presence;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.allowed())
    }

    fn visit_unit<E: Error>(self) -> Result<Presence, E> {
        self.null()
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Presence, E> {
        let Some(FieldKind::Bool) = self.kind() else {
            return Err(self.unexpected(value));
        };
        encode::put_tag(&mut self.converter.out, self.field.number, WireType::Varint);
        encode::put_varint(&mut self.converter.out, value.into());
        Ok(Presence::Set)
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<Presence, E> {
        match self.put_text(text) {
            Some(()) => Ok(Presence::Set),
            None => Err(self.unexpected(format_args!("\"{}\"", Excerpt(text)))),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Presence, E> {
        Err(self.unexpected(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Presence, E> {
        Err(self.unexpected(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Presence, E> {
        Err(self.unexpected(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Presence, A::Error> {
        if self.kind().is_some() {
            return Err(self.unexpected("an array"));
        }
        let Self { converter, field, .. } = self;
        for index in 0.. {
            let element = ValueVisitor { converter, field, element: true };
            let next = seq
                .next_element_seed(element)
                .inspect_err(|_| converter.path.prepend(PathSegment::Index(index)))?;
            if next.is_none() {
                break;
            }
        }
        Ok(Presence::Set)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Presence, A::Error> {
        let Some(FieldKind::Message(message)) = self.kind() else {
            return Err(self.unexpected("an object"));
        };
        let body = encode::begin_field(&mut self.converter.out, self.field.number);
        self.converter.read_message(message, map)?;
        encode::end_field(&mut self.converter.out, body);
        Ok(Presence::Set)
    }
}
