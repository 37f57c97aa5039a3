//! The messages of OTLP traces: which fields there are, and how each is laid out.
//!
//! From the `.proto` files as the `opentelemetry-proto` crate 0.33 has them; the property tests hold
//! these tables against that crate.

use super::cursor::Layout;

/// The known fields of one message; the index is the field number.
pub(super) struct Schema {
    fields: &'static [Known],
}

/// One known field.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As its kind demands; `None` for what no schema knows.
    pub(super) layout: Option<Layout>,
}

/// What a field holds, as far as it matters to a check.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// No known field: whatever is well formed passes.
    Unknown,
    Varint,
    Fixed32,
    Fixed64,
    Bytes,
    /// Must be UTF-8.
    Text,
    Message(&'static Schema),
    /// A `KeyValue`.
    Attribute,
}

impl Schema {
    /// Returns what is known of field `number`.
    #[inline]
    pub(super) fn field(&self, number: u64) -> &'static Known {
        usize::try_from(number).ok().and_then(|index| self.fields.get(index)).unwrap_or(&UNKNOWN)
    }
}

const fn field(name: &'static str, kind: Kind) -> Known {
    let layout = match kind {
        Kind::Unknown => None,
        Kind::Varint => Some(Layout::Varint),
        Kind::Fixed32 => Some(Layout::Fixed32),
        Kind::Fixed64 => Some(Layout::Fixed64),
        Kind::Bytes | Kind::Text | Kind::Message(_) | Kind::Attribute => Some(Layout::Delimited),
    };
    Known { name, kind, layout }
}

/// What no message knows; also stands at index 0 and in the gaps of a schema.
pub(super) static UNKNOWN: Known = NO_FIELD;
const NO_FIELD: Known = field("unknown", Kind::Unknown);

/// Numbers of the fields that are read, not only checked.
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

pub(super) static REQUEST: Schema =
    Schema { fields: &[NO_FIELD, field("resource_spans", Kind::Message(&RESOURCE_SPANS))] };

pub(super) static RESOURCE_SPANS: Schema = Schema {
    fields: &[
        NO_FIELD,
        field("resource", Kind::Message(&RESOURCE)),
        field("scope_spans", Kind::Message(&SCOPE_SPANS)),
        field("schema_url", Kind::Text),
    ],
};

static RESOURCE: Schema = Schema {
    fields: &[
        NO_FIELD,
        field("attributes", Kind::Attribute),
        field("dropped_attributes_count", Kind::Varint),
        field("entity_refs", Kind::Message(&ENTITY_REF)),
    ],
};

static ENTITY_REF: Schema = Schema {
    fields: &[
        NO_FIELD,
        field("schema_url", Kind::Text),
        field("type", Kind::Text),
        field("id_keys", Kind::Text),
        field("description_keys", Kind::Text),
    ],
};

pub(super) static SCOPE_SPANS: Schema = Schema {
    fields: &[
        NO_FIELD,
        field("scope", Kind::Message(&SCOPE)),
        field("spans", Kind::Message(&SPAN)),
        field("schema_url", Kind::Text),
    ],
};

static SCOPE: Schema = Schema {
    fields: &[
        NO_FIELD,
        field("name", Kind::Text),
        field("version", Kind::Text),
        field("attributes", Kind::Attribute),
        field("dropped_attributes_count", Kind::Varint),
    ],
};

pub(super) static SPAN: Schema = Schema {
    fields: &[
        NO_FIELD,
        field("trace_id", Kind::Bytes),
        field("span_id", Kind::Bytes),
        field("trace_state", Kind::Text),
        field("parent_span_id", Kind::Bytes),
        field("name", Kind::Text),
        field("kind", Kind::Varint),
        field("start_time_unix_nano", Kind::Fixed64),
        field("end_time_unix_nano", Kind::Fixed64),
        field("attributes", Kind::Attribute),
        field("dropped_attributes_count", Kind::Varint),
        field("events", Kind::Message(&EVENT)),
        field("dropped_events_count", Kind::Varint),
        field("links", Kind::Message(&LINK)),
        field("dropped_links_count", Kind::Varint),
        field("status", Kind::Message(&STATUS)),
        field("flags", Kind::Fixed32),
    ],
};

static EVENT: Schema = Schema {
    fields: &[
        NO_FIELD,
        field("time_unix_nano", Kind::Fixed64),
        field("name", Kind::Text),
        field("attributes", Kind::Attribute),
        field("dropped_attributes_count", Kind::Varint),
    ],
};

pub(super) static LINK: Schema = Schema {
    fields: &[
        NO_FIELD,
        field("trace_id", Kind::Bytes),
        field("span_id", Kind::Bytes),
        field("trace_state", Kind::Text),
        field("attributes", Kind::Attribute),
        field("dropped_attributes_count", Kind::Varint),
        field("flags", Kind::Fixed32),
    ],
};

static STATUS: Schema = Schema {
    fields: &[NO_FIELD, NO_FIELD, field("message", Kind::Text), field("code", Kind::Varint)],
};

pub(super) static KEY_VALUE: Schema = Schema {
    fields: &[
        NO_FIELD,
        field("key", Kind::Text),
        field("value", Kind::Message(&ANY_VALUE)),
        field("key_strindex", Kind::Varint),
    ],
};

static ANY_VALUE: Schema = Schema {
    fields: &[
        NO_FIELD,
        field("string_value", Kind::Text),
        field("bool_value", Kind::Varint),
        field("int_value", Kind::Varint),
        field("double_value", Kind::Fixed64),
        field("array_value", Kind::Message(&ARRAY_VALUE)),
        field("kvlist_value", Kind::Message(&KEY_VALUE_LIST)),
        field("bytes_value", Kind::Bytes),
        field("string_value_strindex", Kind::Varint),
    ],
};

static ARRAY_VALUE: Schema =
    Schema { fields: &[NO_FIELD, field("values", Kind::Message(&ANY_VALUE))] };

static KEY_VALUE_LIST: Schema = Schema { fields: &[NO_FIELD, field("values", Kind::Attribute)] };
