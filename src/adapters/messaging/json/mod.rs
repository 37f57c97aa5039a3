//! OTLP/JSON, converted to protobuf once, when the request is received.
//!
//! The rules are those of OTLP 1.11, "JSON Protobuf Encoding", and otherwise those of the
//! `ProtoJSON` format to which it refers. Where these leave a choice:
//!
//! - An id that is not hexadecimal makes the request malformed; one of the wrong length is
//!   converted unchanged, so that the check of the spans rejects that span alone.
//! - An enum is a JSON number: a string, even `"2"`, is refused.
//! - A quoted number has the grammar of an unquoted one: no spaces, no `+`, no leading zero.
//! - A key is the field's name in lowerCamelCase or, as in `ProtoJSON`, the original one. Both name
//!   the same field: if it occurs twice, the last value replaces the earlier one without merging; `null` means
//!   that the field is absent, before or after a value. Two members of a `oneof` are refused.
//! - Unknown fields are skipped at any depth, but must be JSON. A key must be valid Unicode; a
//!   string in an unknown field may hold a lone surrogate.
//! - A lone surrogate in another string, which JavaScript produces when it cuts a text within a
//!   character, is converted to bytes that are not UTF-8, so that the check of the spans rejects
//!   that span alone.
//! - Messages nest at most 100 levels deep, the request being the first, as in protobuf decoders:
//!   that is 47 arrays within arrays in an attribute of a span.
//!
//! The output is written while the JSON is read, without building a tree; see [`to_protobuf`] for
//! the bounds.
//!
//! # Why not the serde support of opentelemetry-proto
//!
//! Version 0.33.1 refuses `null` for most fields; `1e3` and `1.0` for integers; strings for 32-bit
//! integers and doubles, so also `"NaN"` and `"Infinity"`; URL-safe and unpadded base64; objects
//! without `key`, `values` or a field of an entity reference; repeated fields; more than about 40
//! arrays within arrays. It accepts two members of a `oneof`, ids with `0x` in front, and an array
//! wherever an object belongs. It rounds some doubles wrongly and loses `stringValueStrindex`.

mod bytes;
mod convert;
mod encode;
mod error;
mod number;
mod schema;
mod unknown_keys;

pub use error::MalformedJson;
pub use unknown_keys::UnknownKeys;

use convert::{Converter, Surrogates};

/// A request in protobuf, and what of its JSON is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertedRequest {
    /// The serialized `ExportTraceServiceRequest`.
    pub protobuf: Vec<u8>,
    /// Keys of its envelopes that were ignored.
    pub unknown_keys: UnknownKeys,
}

/// The whitespace of JSON (RFC 8259 §2).
const WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Converts an `ExportTraceServiceRequest` from JSON to protobuf.
///
/// The output decodes, unless a string in the JSON holds a lone surrogate, which UTF-8 cannot
/// express; the length of ids is not checked. It is written into one allocation of [`max_output`]
/// bytes that never grows and is shrunk at the end. In addition, at most two
/// copies of the longest string that contains escapes are held, or one byte for each level of an
/// unknown value. The nesting limit bounds the stack: less than 1 MiB, even without optimization.
///
/// # Errors
///
/// [`MalformedJson`] if `json` is not exactly one JSON object in UTF-8, or if the value of a known
/// field is not valid for its type.
pub fn to_protobuf(json: &[u8]) -> Result<ConvertedRequest, MalformedJson> {
    let text = std::str::from_utf8(json).map_err(|error| {
        MalformedJson::at(json, error.valid_up_to(), "found bytes that are not UTF-8")
    })?;
    let body = text.trim_start_matches(WHITESPACE);
    let start = text.len() - body.len();
    match body.chars().next() {
        Some('{') => {
            let convert = |surrogates| Converter::new(json.len(), surrogates).convert(text);
            match convert(Surrogates::Refused) {
                Err(_) if may_hold_surrogates(text) => convert(Surrogates::Kept),
                converted => converted,
            }
        }
        Some(_) => Err(MalformedJson::at(json, start, "the request is not a JSON object")),
        None => Err(MalformedJson::at(json, start, "the request is empty, not a JSON object")),
    }
}

fn may_hold_surrogates(json: &str) -> bool {
    json.contains("\\ud") || json.contains("\\uD")
}

/// Returns the maximum bytes of protobuf that `json` bytes of JSON can become: five quarters.
///
/// Most requests become smaller. Only negative enum values grow: `{"kind":-1},` is 12 bytes in
/// JSON and 13 in protobuf.
#[must_use]
pub const fn max_output(json: usize) -> usize {
    json.saturating_add(json / 4)
}

#[cfg(test)]
mod tests;
