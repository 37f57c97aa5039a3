//! The messages of an OTLP 1.11 trace request, as tables: JSON name, field number, kind.

use std::ptr;

use FieldKind::{Base64, Bool, Hex, Number, String};
use NumberKind::{Double, Enum, Fixed32, Fixed64, Int32, Int64, Uint32};

/// Maximum fields of a message.
pub(super) const MAX_FIELDS: usize = 16;

/// `opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest`.
pub(super) static REQUEST: MessageSchema =
    message(&[many("resourceSpans", 1, FieldKind::Message(&RESOURCE_SPANS))]);

static RESOURCE_SPANS: MessageSchema = message(&[
    one("resource", 1, FieldKind::Message(&RESOURCE)),
    many("scopeSpans", 2, FieldKind::Message(&SCOPE_SPANS)),
    one("schemaUrl", 3, String),
]);

static RESOURCE: MessageSchema = message(&[
    many("attributes", 1, FieldKind::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 2, Number(Uint32)),
    many("entityRefs", 3, FieldKind::Message(&ENTITY_REF)),
]);

static ENTITY_REF: MessageSchema = message(&[
    one("schemaUrl", 1, String),
    one("type", 2, String),
    many("idKeys", 3, String),
    many("descriptionKeys", 4, String),
]);

static SCOPE_SPANS: MessageSchema = message(&[
    one("scope", 1, FieldKind::Message(&SCOPE)),
    many("spans", 2, FieldKind::Message(&SPAN)),
    one("schemaUrl", 3, String),
]);

static SCOPE: MessageSchema = message(&[
    one("name", 1, String),
    one("version", 2, String),
    many("attributes", 3, FieldKind::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 4, Number(Uint32)),
]);

static SPAN: MessageSchema = message(&[
    one("traceId", 1, Hex),
    one("spanId", 2, Hex),
    one("traceState", 3, String),
    one("parentSpanId", 4, Hex),
    one("flags", 16, Number(Fixed32)),
    one("name", 5, String),
    one("kind", 6, Number(Enum)),
    one("startTimeUnixNano", 7, Number(Fixed64)),
    one("endTimeUnixNano", 8, Number(Fixed64)),
    many("attributes", 9, FieldKind::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 10, Number(Uint32)),
    many("events", 11, FieldKind::Message(&EVENT)),
    one("droppedEventsCount", 12, Number(Uint32)),
    many("links", 13, FieldKind::Message(&LINK)),
    one("droppedLinksCount", 14, Number(Uint32)),
    one("status", 15, FieldKind::Message(&STATUS)),
]);

static EVENT: MessageSchema = message(&[
    one("timeUnixNano", 1, Number(Fixed64)),
    one("name", 2, String),
    many("attributes", 3, FieldKind::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 4, Number(Uint32)),
]);

static LINK: MessageSchema = message(&[
    one("traceId", 1, Hex),
    one("spanId", 2, Hex),
    one("traceState", 3, String),
    many("attributes", 4, FieldKind::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 5, Number(Uint32)),
    one("flags", 6, Number(Fixed32)),
]);

static STATUS: MessageSchema = message(&[one("message", 2, String), one("code", 3, Number(Enum))]);

static KEY_VALUE: MessageSchema = message(&[
    one("key", 1, String),
    one("value", 2, FieldKind::Message(&ANY_VALUE)),
    one("keyStrindex", 3, Number(Int32)),
]);

static ANY_VALUE: MessageSchema = oneof(&[
    one("stringValue", 1, String),
    one("boolValue", 2, Bool),
    one("intValue", 3, Number(Int64)),
    one("doubleValue", 4, Number(Double)),
    one("arrayValue", 5, FieldKind::Message(&ARRAY_VALUE)),
    one("kvlistValue", 6, FieldKind::Message(&KEY_VALUE_LIST)),
    one("bytesValue", 7, Base64),
    one("stringValueStrindex", 8, Number(Int32)),
]);

static ARRAY_VALUE: MessageSchema = message(&[many("values", 1, FieldKind::Message(&ANY_VALUE))]);

static KEY_VALUE_LIST: MessageSchema =
    message(&[many("values", 1, FieldKind::Message(&KEY_VALUE))]);

/// One message type.
pub(super) struct MessageSchema {
    pub(super) fields: &'static [FieldSchema],
    /// Whether the fields are the members of one `oneof`, so that at most one may be set.
    pub(super) oneof: bool,
}

/// One field of a message.
pub(super) struct FieldSchema {
    /// The key in JSON: the lowerCamelCase form of the field's name.
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: FieldKind,
    /// Whether the field is an array in JSON.
    pub(super) repeated: bool,
}

/// The type of a value, which determines its encoding in JSON and in protobuf.
#[derive(Clone, Copy)]
pub(super) enum FieldKind {
    Message(&'static MessageSchema),
    String,
    /// Bytes in hexadecimal: the trace and span ids.
    Hex,
    /// Bytes in base64.
    Base64,
    Bool,
    Number(NumberKind),
}

/// The protobuf types that are numbers in JSON.
#[derive(Clone, Copy)]
pub(super) enum NumberKind {
    Double,
    Enum,
    Fixed32,
    Fixed64,
    Int32,
    Int64,
    Uint32,
}

impl MessageSchema {
    /// Returns the field that `key` names, by its name in JSON or the original one in the `.proto`
    /// file, and its index in the table.
    pub(super) fn field(&self, key: &str) -> Option<(usize, &'static FieldSchema)> {
        let find = |is_name: fn(&str, &str) -> bool| {
            self.fields.iter().enumerate().find(|(_, field)| is_name(field.name, key))
        };
        find(|name, key| name == key)
            .or_else(|| key.contains('_').then(|| find(is_original_name)).flatten())
    }

    /// Returns whether this is a message around spans.
    pub(super) fn is_envelope(&self) -> bool {
        [&REQUEST, &RESOURCE_SPANS, &SCOPE_SPANS].into_iter().any(|each| ptr::eq(each, self))
    }
}

/// Returns whether `name` is what `original` becomes in JSON: `startTime` for `start_time`.
fn is_original_name(name: &str, original: &str) -> bool {
    let mut original = original.bytes();
    let mut next_is = |byte| original.next() == Some(byte);
    let matches = name.bytes().all(|byte| {
        if byte.is_ascii_uppercase() {
            next_is(b'_') && next_is(byte.to_ascii_lowercase())
        } else {
            next_is(byte)
        }
    });
    matches && original.next().is_none()
}

impl FieldKind {
    /// Describes the allowed JSON values.
    pub(super) const fn allowed(self) -> &'static str {
        match self {
            FieldKind::Message(_) => "an object",
            String => "a string",
            Hex => "a string of hexadecimal digits, two for each byte (OTLP ids are not base64)",
            Base64 => "a base64 string",
            Bool => "true or false",
            Number(Double) => "a number, \"NaN\", \"Infinity\" or \"-Infinity\"",
            Number(Enum) => {
                "an integer from -2147483648 to 2147483647 (OTLP/JSON has no enum names)"
            }
            Number(Int32) => "an integer from -2147483648 to 2147483647",
            Number(Int64) => "an integer from -9223372036854775808 to 9223372036854775807",
            Number(Fixed32 | Uint32) => "an integer from 0 to 4294967295",
            Number(Fixed64) => "an integer from 0 to 18446744073709551615",
        }
    }
}

const fn message(fields: &'static [FieldSchema]) -> MessageSchema {
    assert!(fields.len() <= MAX_FIELDS);
    MessageSchema { fields, oneof: false }
}

const fn oneof(fields: &'static [FieldSchema]) -> MessageSchema {
    assert!(fields.len() <= MAX_FIELDS);
    MessageSchema { fields, oneof: true }
}

const fn one(name: &'static str, number: u32, kind: FieldKind) -> FieldSchema {
    FieldSchema { name, number, kind, repeated: false }
}

const fn many(name: &'static str, number: u32, kind: FieldKind) -> FieldSchema {
    FieldSchema { name, number, kind, repeated: true }
}
