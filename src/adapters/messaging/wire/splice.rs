//! Requests rebuilt without some of their spans.
//!
//! What stays is copied in runs, whole resources at a time where nothing in them changes. Where
//! spans are cut out, the lengths of the messages around them are written anew.

use std::iter;
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

/// Copies a request, but for the spans it is told to cut out.
struct Splicer<'a, F> {
    request: &'a [u8],
    /// Whether to keep a span, told its position in the request and its bytes.
    keep: F,
    /// The position of the next span.
    position: u64,
    copy: Vec<u8>,
    /// Up to where the request is copied, or cut out. What follows is copied in one run, as late as
    /// possible.
    done: usize,
}

/// What became of the spans of one message.
#[derive(Clone, Copy, Default)]
struct Outcome {
    kept: u64,
    cut: u64,
}

/// Where a message field lies in the request.
struct Place {
    start: usize,
    /// Where its length begins, behind the key.
    length: usize,
    /// Where its payload begins, behind the length.
    payload: usize,
    end: usize,
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
    let copy = Vec::with_capacity(request.len());
    let mut splicer = Splicer { request, keep, position: 0, copy, done: 0 };
    splicer.message(request, &IN_REQUEST, 0);
    splicer.copy_to(request.len());
    splicer.copy.shrink_to_fit();
    splicer.copy
}

impl<F: FnMut(u64, &[u8]) -> bool> Splicer<'_, F> {
    /// Goes through a message of `level` that begins at `offset` in the request.
    fn message(&mut self, message: &[u8], level: &'static Level, offset: usize) -> Outcome {
        let end = offset + message.len();
        let mut outcome = Outcome::default();
        let mut fields = Fields::new(message, level.schema, LEVELS);
        loop {
            let before = fields.left();
            let Ok(Some(field)) = fields.next() else { return outcome };
            if field.number != level.items {
                continue;
            }
            let place = Place::new(end, before, field.payload, fields.left());
            let item = match level.below {
                None => self.span(field.payload, &place),
                Some(below) => self.item(field.payload, below, &place),
            };
            outcome.kept += item.kept;
            outcome.cut += item.cut;
        }
    }

    fn span(&mut self, span: &[u8], place: &Place) -> Outcome {
        let position = self.position;
        self.position += 1;
        if (self.keep)(position, span) {
            return Outcome { kept: 1, cut: 0 };
        }
        self.copy_to(place.start);
        self.done = place.end;
        Outcome { kept: 0, cut: 1 }
    }

    /// Goes through a `ResourceSpans` or `ScopeSpans`, and cuts it out or writes its length anew
    /// where it has to.
    fn item(&mut self, payload: &[u8], level: &'static Level, place: &Place) -> Outcome {
        // What lies between `done` and here stays, so this field's place in the copy is known.
        let copied_as = self.copy.len() + (place.start - self.done);
        let outcome = self.message(payload, level, place.payload);
        if outcome.cut > 0 && outcome.kept == 0 {
            self.copy.truncate(copied_as);
            self.done = place.end;
        } else if outcome.cut > 0 {
            self.copy_to(place.end);
            let length_at = copied_as + (place.length - place.start);
            let payload_at = copied_as + (place.payload - place.start);
            let length = (self.copy.len() - payload_at) as u64;
            self.copy.splice(length_at..payload_at, varint(length));
        }
        outcome
    }

    fn copy_to(&mut self, end: usize) {
        let run = self.request.get(self.done..end).unwrap_or_default();
        self.copy.extend_from_slice(run);
        self.done = end;
    }
}

impl Place {
    /// The place of a field between `before` and `after`, both of which go on to `end`.
    fn new(end: usize, before: &[u8], payload: &[u8], after: &[u8]) -> Self {
        let mut behind_key = Cursor::new(before);
        behind_key.varint();
        Self {
            start: end - before.len(),
            length: end - behind_key.left().len(),
            payload: end - after.len() - payload.len(),
            end: end - after.len(),
        }
    }
}

/// Encodes `value` in as few bytes as can be.
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
