//! Requests rebuilt without some of their spans.
//!
//! A request without some spans is the same bytes but for a list of edits: a span is cut out, and
//! the lengths of the messages around it are written anew. What no edit touches is copied in runs.

use std::ops::Range;

use super::cursor::Cursor;
use super::fields::{Fields, LEVELS};
use super::scan::scan_span;
use super::schema::{REQUEST, RESOURCE_SPANS, SCOPE_SPANS, Schema, number};

/// One of the three messages around a span.
struct Level {
    schema: &'static Schema,
    /// The field that holds what the level is made of.
    items: u64,
    /// The level of those items; `None` where they are spans.
    below: Option<&'static Level>,
}

static IN_REQUEST: Level =
    Level { schema: &REQUEST, items: number::RESOURCE_SPANS, below: Some(&IN_RESOURCE_SPANS) };
static IN_RESOURCE_SPANS: Level =
    Level { schema: &RESOURCE_SPANS, items: number::SCOPE_SPANS, below: Some(&IN_SCOPE_SPANS) };
static IN_SCOPE_SPANS: Level = Level { schema: &SCOPE_SPANS, items: number::SPANS, below: None };

/// Some bytes of the request that change.
struct Edit {
    range: Range<usize>,
    /// The length written in place of the bytes; `None` where they just go.
    length: Option<u64>,
}

/// Decides on each span and collects the edits, in the order of the bytes they change.
struct Splicer<F> {
    /// Whether to keep a span, told its position in the request and its bytes.
    keep: F,
    position: u64,
    edits: Vec<Edit>,
}

/// What became of the spans of one message.
#[derive(Clone, Copy, Default)]
struct Outcome {
    kept: u64,
    cut: u64,
    /// Bytes by which the message becomes shorter.
    shrink: usize,
}

/// Where a field lies in the request.
struct Place {
    range: Range<usize>,
    /// Where its length begins, behind the key.
    length: usize,
    /// Where its payload begins, behind the length.
    payload: usize,
}

/// Returns `request` without its invalid spans; everything else stays as it is, as in
/// [`keep_spans`].
///
/// For a request that [`scan`](super::scan()) accepts; of any other, what comes back need not decode.
#[must_use]
pub fn without_invalid_spans(request: &[u8]) -> Vec<u8> {
    splice(request, |_, span| matches!(scan_span(span), Ok(Ok(()))))
}

/// Returns `request` with only the spans whose position, counted from 0 in the order they lie, is
/// in `keep`.
///
/// A scope or resource goes when its last span is cut out; one that had no span to begin with
/// stays. All other bytes stay as they are and where they are, unknown fields included; only the
/// lengths of shortened messages are written anew.
///
/// For a request that [`scan`](super::scan()) accepts; of any other, what comes back need not decode.
#[must_use]
pub fn keep_spans(request: &[u8], keep: Range<u64>) -> Vec<u8> {
    splice(request, |position, _| keep.contains(&position))
}

fn splice(request: &[u8], keep: impl FnMut(u64, &[u8]) -> bool) -> Vec<u8> {
    let mut splicer = Splicer { keep, position: 0, edits: Vec::new() };
    let outcome = splicer.message(request, &IN_REQUEST, 0);
    apply(&splicer.edits, request, request.len() - outcome.shrink)
}

fn apply(edits: &[Edit], request: &[u8], length: usize) -> Vec<u8> {
    let mut spliced = Vec::with_capacity(length);
    let mut copied = 0;
    for edit in edits {
        spliced.extend_from_slice(request.get(copied..edit.range.start).unwrap_or_default());
        if let Some(length) = edit.length {
            write_varint(length, &mut spliced);
        }
        copied = edit.range.end;
    }
    spliced.extend_from_slice(request.get(copied..).unwrap_or_default());
    spliced
}

impl<F: FnMut(u64, &[u8]) -> bool> Splicer<F> {
    /// Goes through a message of `level` that begins at `offset` in the request.
    fn message(&mut self, message: &[u8], level: &'static Level, offset: usize) -> Outcome {
        let end = offset + message.len();
        let mut outcome = Outcome::default();
        let mut fields = Fields::new(message, level.schema, LEVELS);
        loop {
            let start = fields.left();
            let Ok(Some(field)) = fields.next() else { return outcome };
            if field.number != level.items {
                continue;
            }
            let range = end - start.len()..end - fields.left().len();
            let place = Place {
                length: range.start + key_width(start),
                payload: range.end - field.payload.len(),
                range,
            };
            let item = match level.below {
                None => self.span(field.payload, place),
                Some(below) => self.item(field.payload, below, place),
            };
            outcome.kept += item.kept;
            outcome.cut += item.cut;
            outcome.shrink += item.shrink;
        }
    }

    fn span(&mut self, span: &[u8], place: Place) -> Outcome {
        let keep = (self.keep)(self.position, span);
        self.position += 1;
        if keep {
            return Outcome { kept: 1, ..Outcome::default() };
        }
        Outcome { kept: 0, cut: 1, shrink: self.cut(place.range) }
    }

    /// Goes through a `ResourceSpans` or `ScopeSpans`, and writes its length anew or cuts it out.
    fn item(&mut self, payload: &[u8], level: &'static Level, place: Place) -> Outcome {
        let first_edit = self.edits.len();
        let inner = self.message(payload, level, place.payload);
        if inner.cut == 0 {
            return inner;
        }
        if inner.kept == 0 {
            self.edits.truncate(first_edit);
            return Outcome { shrink: self.cut(place.range), ..inner };
        }
        let length = (payload.len() - inner.shrink) as u64;
        let old = place.length..place.payload;
        let shrink = inner.shrink + old.len() - varint_width(length);
        self.edits.insert(first_edit, Edit { range: old, length: Some(length) });
        Outcome { shrink, ..inner }
    }

    /// Cuts `range` out, and returns its length.
    fn cut(&mut self, range: Range<usize>) -> usize {
        let length = range.len();
        match self.edits.last_mut() {
            Some(Edit { range: last, length: None }) if last.end == range.start => {
                last.end = range.end;
            }
            _ => self.edits.push(Edit { range, length: None }),
        }
        length
    }
}

/// Returns how many bytes the key at the beginning of `field` has.
fn key_width(field: &[u8]) -> usize {
    let mut cursor = Cursor::new(field);
    cursor.varint();
    field.len() - cursor.left().len()
}

/// Returns how many bytes `value` has as a varint.
const fn varint_width(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn write_varint(mut value: u64, to: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return to.push(low);
        }
        to.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests;
