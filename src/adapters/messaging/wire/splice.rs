//! Copies requests without some of their spans.
//!
//! The bytes that stay are copied in runs, whole resources at a time if nothing in them changes.
//! Where spans are cut out, the lengths of the enclosing messages are rewritten.

use std::iter;
use std::ops::Range;

use super::cursor::Cursor;
use super::fields::{FieldReader, MAX_DEPTH};
use super::scan::scan_span;
use super::schema::{MessageSchema, REQUEST, RESOURCE_SPANS, SCOPE_SPANS, number};

/// One of the three messages around a span.
struct NestingLevel {
    schema: &'static MessageSchema,
    /// The repeated field that holds the items of this level.
    child_field: u64,
    /// The level of those items; `None` if they are spans.
    child_level: Option<&'static NestingLevel>,
}

static IN_REQUEST: NestingLevel = NestingLevel {
    schema: &REQUEST,
    child_field: number::RESOURCE_SPANS,
    child_level: Some(&IN_RESOURCE_SPANS),
};
static IN_RESOURCE_SPANS: NestingLevel = NestingLevel {
    schema: &RESOURCE_SPANS,
    child_field: number::SCOPE_SPANS,
    child_level: Some(&IN_SCOPE_SPANS),
};
static IN_SCOPE_SPANS: NestingLevel =
    NestingLevel { schema: &SCOPE_SPANS, child_field: number::SPANS, child_level: None };

/// Copies a request except for the spans that `keep` rejects.
struct Splicer<'a, F> {
    request: &'a [u8],
    /// Returns whether to keep a span, given its position in the request and its bytes.
    keep: F,
    /// The position of the next span.
    position: u64,
    output: Vec<u8>,
    /// The offset up to which the request has been copied or cut out. What follows is copied in one
    /// run, as late as possible.
    copied_to: usize,
}

/// How many spans of one message were kept and removed.
#[derive(Clone, Copy, Default)]
struct SplicedSpans {
    kept: u64,
    removed: u64,
}

/// The offsets of a message field in the request.
struct FieldRange {
    start: usize,
    /// Where its length begins, after the key.
    length_start: usize,
    /// Where its payload begins, after the length.
    payload_start: usize,
    end: usize,
}

/// Returns `request` without its invalid spans; everything else is unchanged, as in [`keep_spans`].
///
/// Expects a request that [`scan`](super::scan()) accepts; otherwise the result may not decode.
#[must_use]
pub fn without_invalid_spans(request: &[u8]) -> Vec<u8> {
    splice(request, |_, span| matches!(scan_span(span), Ok(Ok(()))))
}

/// Returns `request` with only the spans whose position, counted from 0 in encoding order, is in
/// `keep`.
///
/// A scope or resource is removed with its last span; one that had no spans stays. All other bytes
/// keep their content and order, unknown fields included; only the lengths of shortened messages
/// are rewritten.
///
/// Expects a request that [`scan`](super::scan()) accepts; otherwise the result may not decode.
#[must_use]
pub fn keep_spans(request: &[u8], keep: Range<u64>) -> Vec<u8> {
    splice(request, |position, _| keep.contains(&position))
}

fn splice(request: &[u8], keep: impl FnMut(u64, &[u8]) -> bool) -> Vec<u8> {
    let copy = Vec::with_capacity(request.len());
    let mut splicer = Splicer { request, keep, position: 0, output: copy, copied_to: 0 };
    splicer.message(request, &IN_REQUEST, 0);
    splicer.copy_to(request.len());
    splicer.output.shrink_to_fit();
    splicer.output
}

impl<F: FnMut(u64, &[u8]) -> bool> Splicer<'_, F> {
    /// Processes a message of `level` that begins at `offset` in the request.
    fn message(
        &mut self,
        message: &[u8],
        level: &'static NestingLevel,
        offset: usize,
    ) -> SplicedSpans {
        let end = offset + message.len();
        let mut outcome = SplicedSpans::default();
        let mut fields = FieldReader::new(message, level.schema, MAX_DEPTH);
        loop {
            let before = fields.remaining();
            let Ok(Some(field)) = fields.next() else { return outcome };
            if field.number != level.child_field {
                continue;
            }
            let place = FieldRange::new(end, before, field.payload, fields.remaining());
            let item = match level.child_level {
                None => self.span(field.payload, &place),
                Some(below) => self.item(field.payload, below, &place),
            };
            outcome.kept += item.kept;
            outcome.removed += item.removed;
        }
    }

    fn span(&mut self, span: &[u8], place: &FieldRange) -> SplicedSpans {
        let position = self.position;
        self.position += 1;
        if (self.keep)(position, span) {
            return SplicedSpans { kept: 1, removed: 0 };
        }
        self.copy_to(place.start);
        self.copied_to = place.end;
        SplicedSpans { kept: 0, removed: 1 }
    }

    /// Processes a `ResourceSpans` or `ScopeSpans`; removes it or rewrites its length if needed.
    fn item(
        &mut self,
        payload: &[u8],
        level: &'static NestingLevel,
        place: &FieldRange,
    ) -> SplicedSpans {
        // Everything between `copied_to` and this field stays, so its position in the output is
        // known.
        let copied_as = self.output.len() + (place.start - self.copied_to);
        let outcome = self.message(payload, level, place.payload_start);
        if outcome.removed > 0 && outcome.kept == 0 {
            self.output.truncate(copied_as);
            self.copied_to = place.end;
        } else if outcome.removed > 0 {
            self.copy_to(place.end);
            let length_at = copied_as + (place.length_start - place.start);
            let payload_at = copied_as + (place.payload_start - place.start);
            let length = (self.output.len() - payload_at) as u64;
            self.output.splice(length_at..payload_at, varint(length));
        }
        outcome
    }

    fn copy_to(&mut self, end: usize) {
        let run = self.request.get(self.copied_to..end).unwrap_or_default();
        self.output.extend_from_slice(run);
        self.copied_to = end;
    }
}

impl FieldRange {
    /// Returns the offsets of the field that `before` begins with and `after` follows; both slices
    /// end at offset `end`.
    fn new(end: usize, before: &[u8], payload: &[u8], after: &[u8]) -> Self {
        let mut behind_key = Cursor::new(before);
        behind_key.varint();
        Self {
            start: end - before.len(),
            length_start: end - behind_key.remaining().len(),
            payload_start: end - after.len() - payload.len(),
            end: end - after.len(),
        }
    }
}

/// Encodes `value` in as few bytes as possible.
fn varint(value: u64) -> impl Iterator<Item = u8> {
    let mut left = Some(value);
    iter::from_fn(move || {
        let value = left?;
        let [low, ..] = value.to_le_bytes();
        left = Some(value >> 7).filter(|rest| *rest > 0);
        Some(if left.is_some() { low | 0x80 } else { low })
    })
}

#[cfg(test)]
mod tests;
