//! The messages around the spans of a request.

use super::schema::{MessageSchema, REQUEST, RESOURCE_SPANS, SCOPE_SPANS, number};

/// One of the three messages around a span.
pub(super) struct NestingLevel {
    /// The name of the message in the OTLP `.proto` files.
    pub(super) name: &'static str,
    pub(super) schema: &'static MessageSchema,
    /// The repeated field that holds the items of this level.
    pub(super) child_field: u64,
    /// The level of those items; `None` if they are spans.
    pub(super) child_level: Option<&'static NestingLevel>,
}

pub(super) static IN_REQUEST: NestingLevel = NestingLevel {
    name: "ExportTraceServiceRequest",
    schema: &REQUEST,
    child_field: number::RESOURCE_SPANS,
    child_level: Some(&IN_RESOURCE_SPANS),
};
static IN_RESOURCE_SPANS: NestingLevel = NestingLevel {
    name: "ResourceSpans",
    schema: &RESOURCE_SPANS,
    child_field: number::SCOPE_SPANS,
    child_level: Some(&IN_SCOPE_SPANS),
};
static IN_SCOPE_SPANS: NestingLevel = NestingLevel {
    name: "ScopeSpans",
    schema: &SCOPE_SPANS,
    child_field: number::SPANS,
    child_level: None,
};
