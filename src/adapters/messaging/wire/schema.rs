//! The messages of OTLP traces: their fields and wire types.
//!
//! Derived from the `.proto` files of the `opentelemetry-proto` crate 0.33; property tests compare
//! these tables with that crate.

use super::cursor::WireType;

/// The known fields of one message; the index is the field number.
pub(super) struct MessageSchema {
    fields: &'static [FieldSchema],
}

/// One known field.
pub(super) struct FieldSchema {
    pub(super) name: &'static str,
    pub(super) kind: FieldKind,
    /// The wire type of the kind; `None` for an unknown field.
    pub(super) wire_type: Option<WireType>,
}

/// The content of a field, as far as the checks need it.
#[derive(Clone, Copy)]
pub(super) enum FieldKind {
    /// Not in the schema: anything well formed is accepted.
    Unknown,
    Varint,
    Fixed32,
    Fixed64,
    Bytes,
    /// Must be UTF-8.
    Text,
    Message(&'static MessageSchema),
    /// A `KeyValue`.
    Attribute,
}

impl MessageSchema {
    /// Returns the schema of field `number`.
    #[inline]
    pub(super) fn field(&self, number: u64) -> &'static FieldSchema {
        usize::try_from(number)
            .ok()
            .and_then(|index| self.fields.get(index))
            .unwrap_or(&UNKNOWN_FIELD)
    }
}

const fn field(name: &'static str, kind: FieldKind) -> FieldSchema {
    let wire_type = match kind {
        FieldKind::Unknown => None,
        FieldKind::Varint => Some(WireType::Varint),
        FieldKind::Fixed32 => Some(WireType::Fixed32),
        FieldKind::Fixed64 => Some(WireType::Fixed64),
        FieldKind::Bytes | FieldKind::Text | FieldKind::Message(_) | FieldKind::Attribute => {
            Some(WireType::LengthDelimited)
        }
    };
    FieldSchema { name, kind, wire_type }
}

/// An unknown field; also fills index 0 and the gaps of a schema.
pub(super) static UNKNOWN_FIELD: FieldSchema = NO_FIELD;
const NO_FIELD: FieldSchema = field("unknown", FieldKind::Unknown);

/// Numbers of the fields whose content is read.
pub(super) mod number {
    pub(crate) const RESOURCE_SPANS: u64 = 1;
    pub(crate) const SCOPE_SPANS: u64 = 2;
    pub(crate) const SPANS: u64 = 2;
    pub(crate) const SPAN_TRACE_ID: u64 = 1;
    pub(crate) const SPAN_SPAN_ID: u64 = 2;
    pub(crate) const SPAN_PARENT_SPAN_ID: u64 = 4;
    pub(crate) const SPAN_LINKS: u64 = 13;
    pub(crate) const LINK_TRACE_ID: u64 = 1;
    pub(crate) const LINK_SPAN_ID: u64 = 2;
}

pub(super) static REQUEST: MessageSchema = MessageSchema {
    fields: &[NO_FIELD, field("resource_spans", FieldKind::Message(&RESOURCE_SPANS))],
};

pub(super) static RESOURCE_SPANS: MessageSchema = MessageSchema {
    fields: &[
        NO_FIELD,
        field("resource", FieldKind::Message(&RESOURCE)),
        field("scope_spans", FieldKind::Message(&SCOPE_SPANS)),
        field("schema_url", FieldKind::Text),
    ],
};

static RESOURCE: MessageSchema = MessageSchema {
    fields: &[
        NO_FIELD,
        field("attributes", FieldKind::Attribute),
        field("dropped_attributes_count", FieldKind::Varint),
        field("entity_refs", FieldKind::Message(&ENTITY_REF)),
    ],
};

static ENTITY_REF: MessageSchema = MessageSchema {
    fields: &[
        NO_FIELD,
        field("schema_url", FieldKind::Text),
        field("type", FieldKind::Text),
        field("id_keys", FieldKind::Text),
        field("description_keys", FieldKind::Text),
    ],
};

pub(super) static SCOPE_SPANS: MessageSchema = MessageSchema {
    fields: &[
        NO_FIELD,
        field("scope", FieldKind::Message(&SCOPE)),
        field("spans", FieldKind::Message(&SPAN)),
        field("schema_url", FieldKind::Text),
    ],
};

static SCOPE: MessageSchema = MessageSchema {
    fields: &[
        NO_FIELD,
        field("name", FieldKind::Text),
        field("version", FieldKind::Text),
        field("attributes", FieldKind::Attribute),
        field("dropped_attributes_count", FieldKind::Varint),
    ],
};

pub(super) static SPAN: MessageSchema = MessageSchema {
    fields: &[
        NO_FIELD,
        field("trace_id", FieldKind::Bytes),
        field("span_id", FieldKind::Bytes),
        field("trace_state", FieldKind::Text),
        field("parent_span_id", FieldKind::Bytes),
        field("name", FieldKind::Text),
        field("kind", FieldKind::Varint),
        field("start_time_unix_nano", FieldKind::Fixed64),
        field("end_time_unix_nano", FieldKind::Fixed64),
        field("attributes", FieldKind::Attribute),
        field("dropped_attributes_count", FieldKind::Varint),
        field("events", FieldKind::Message(&EVENT)),
        field("dropped_events_count", FieldKind::Varint),
        field("links", FieldKind::Message(&LINK)),
        field("dropped_links_count", FieldKind::Varint),
        field("status", FieldKind::Message(&STATUS)),
        field("flags", FieldKind::Fixed32),
    ],
};

static EVENT: MessageSchema = MessageSchema {
    fields: &[
        NO_FIELD,
        field("time_unix_nano", FieldKind::Fixed64),
        field("name", FieldKind::Text),
        field("attributes", FieldKind::Attribute),
        field("dropped_attributes_count", FieldKind::Varint),
    ],
};

pub(super) static LINK: MessageSchema = MessageSchema {
    fields: &[
        NO_FIELD,
        field("trace_id", FieldKind::Bytes),
        field("span_id", FieldKind::Bytes),
        field("trace_state", FieldKind::Text),
        field("attributes", FieldKind::Attribute),
        field("dropped_attributes_count", FieldKind::Varint),
        field("flags", FieldKind::Fixed32),
    ],
};

static STATUS: MessageSchema = MessageSchema {
    fields: &[
        NO_FIELD,
        NO_FIELD,
        field("message", FieldKind::Text),
        field("code", FieldKind::Varint),
    ],
};

pub(super) static KEY_VALUE: MessageSchema = MessageSchema {
    fields: &[
        NO_FIELD,
        field("key", FieldKind::Text),
        field("value", FieldKind::Message(&ANY_VALUE)),
        field("key_strindex", FieldKind::Varint),
    ],
};

static ANY_VALUE: MessageSchema = MessageSchema {
    fields: &[
        NO_FIELD,
        field("string_value", FieldKind::Text),
        field("bool_value", FieldKind::Varint),
        field("int_value", FieldKind::Varint),
        field("double_value", FieldKind::Fixed64),
        field("array_value", FieldKind::Message(&ARRAY_VALUE)),
        field("kvlist_value", FieldKind::Message(&KEY_VALUE_LIST)),
        field("bytes_value", FieldKind::Bytes),
        field("string_value_strindex", FieldKind::Varint),
    ],
};

static ARRAY_VALUE: MessageSchema =
    MessageSchema { fields: &[NO_FIELD, field("values", FieldKind::Message(&ANY_VALUE))] };

static KEY_VALUE_LIST: MessageSchema =
    MessageSchema { fields: &[NO_FIELD, field("values", FieldKind::Attribute)] };
