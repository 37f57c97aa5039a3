//! Copies requests without some of their spans.
//!
//! The bytes that stay are emitted in runs, whole resources at a time if nothing in them changes.
//! Where spans are cut out, the lengths of the enclosing messages are rewritten.

use std::iter;
use std::ops::Range;

use bytes::Bytes;

use super::cursor::Cursor;
use super::fields::{FieldReader, MAX_DEPTH};
use super::nesting::{IN_REQUEST, NestingLevel};
use super::scan::scan_span;

/// Collects the runs of a request that stay.
trait Output {
    /// Returns the length of the output so far.
    fn len(&self) -> usize;
    /// Appends this run of the request.
    fn push(&mut self, run: Range<usize>);
    /// Removes everything after the first `length` bytes.
    fn truncate(&mut self, length: usize);
    /// Replaces the bytes of the output in `range` by the varint `value`.
    fn replace(&mut self, range: Range<usize>, value: u64);
}

/// Copies the runs into one buffer.
struct CopiedRuns<'a> {
    request: &'a [u8],
    bytes: Vec<u8>,
}

/// Collects the runs as slices of the request, with the rewritten lengths between them.
struct SlicedRuns<'a> {
    request: &'a Bytes,
    pieces: Vec<Bytes>,
    length: usize,
}

/// Decides what of a request stays.
pub(super) trait Selection {
    /// Returns whether to keep a span, given its position in the request and its bytes.
    fn keeps_span(&mut self, position: u64, span: &[u8]) -> bool;

    /// Returns whether anything of a `ResourceSpans` or `ScopeSpans` may stay. The positions of its
    /// spans are not counted otherwise.
    fn keeps_envelope(&mut self, _envelope: &[u8], _level: &'static NestingLevel) -> bool {
        true
    }
}

/// Emits a request except for what the selection rejects.
struct Splicer<S, O> {
    selection: S,
    /// The position of the next span.
    position: u64,
    output: O,
    /// The offset up to which the request has been emitted or cut out. What follows is emitted in
    /// one run, as late as possible.
    done_to: usize,
}

/// How many spans of one message were kept and removed; an envelope that was cut out counts as one
/// removed span.
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
    select(request, |_, span: &[u8]| matches!(scan_span(span), Ok(Ok(()))))
}

/// Returns what `selection` keeps of `request`, in one allocation without spare capacity.
pub(super) fn select(request: &[u8], selection: impl Selection) -> Vec<u8> {
    let output = CopiedRuns { request, bytes: Vec::with_capacity(request.len()) };
    let mut copied = splice(request, output, selection);
    copied.bytes.shrink_to_fit();
    copied.bytes
}

/// Returns `request` with only the spans whose position, counted from 0 in encoding order, is in
/// `keep`, as consecutive slices of `request`. Only the rewritten lengths are newly allocated.
///
/// A scope or resource is removed with its last span; one that had no spans stays. All other bytes
/// keep their content and order, unknown fields included; only the lengths of shortened messages
/// are rewritten.
///
/// Expects a request that [`scan`](super::scan()) accepts; otherwise the result may not decode.
#[must_use]
pub fn keep_spans(request: &Bytes, keep: Range<u64>) -> Vec<Bytes> {
    let output = SlicedRuns { request, pieces: Vec::new(), length: 0 };
    splice(request, output, |position, _: &[u8]| keep.contains(&position)).pieces
}

impl<F: FnMut(u64, &[u8]) -> bool> Selection for F {
    fn keeps_span(&mut self, position: u64, span: &[u8]) -> bool {
        self(position, span)
    }
}

fn splice<O: Output>(request: &[u8], output: O, selection: impl Selection) -> O {
    let mut splicer = Splicer { selection, position: 0, output, done_to: 0 };
    splicer.message(request, &IN_REQUEST, 0);
    splicer.emit_to(request.len());
    splicer.output
}

impl<S: Selection, O: Output> Splicer<S, O> {
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
        if self.selection.keeps_span(position, span) {
            return SplicedSpans { kept: 1, removed: 0 };
        }
        self.cut_out(place)
    }

    fn cut_out(&mut self, place: &FieldRange) -> SplicedSpans {
        self.emit_to(place.start);
        self.done_to = place.end;
        SplicedSpans { kept: 0, removed: 1 }
    }

    /// Processes a `ResourceSpans` or `ScopeSpans`; removes it or rewrites its length if needed.
    fn item(
        &mut self,
        payload: &[u8],
        level: &'static NestingLevel,
        place: &FieldRange,
    ) -> SplicedSpans {
        if !self.selection.keeps_envelope(payload, level) {
            return self.cut_out(place);
        }
        // Everything between `done_to` and this field stays, so its offset in the output is known.
        let output_start = self.output.len() + (place.start - self.done_to);
        let outcome = self.message(payload, level, place.payload_start);
        if outcome.removed > 0 && outcome.kept == 0 {
            self.output.truncate(output_start);
            self.done_to = place.end;
        } else if outcome.removed > 0 {
            self.emit_to(place.end);
            let length_at = output_start + (place.length_start - place.start);
            let payload_at = output_start + (place.payload_start - place.start);
            let length = (self.output.len() - payload_at) as u64;
            self.output.replace(length_at..payload_at, length);
        }
        outcome
    }

    fn emit_to(&mut self, end: usize) {
        self.output.push(self.done_to..end);
        self.done_to = end;
    }
}

impl Output for CopiedRuns<'_> {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn push(&mut self, run: Range<usize>) {
        self.bytes.extend_from_slice(self.request.get(run).unwrap_or_default());
    }

    fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    fn replace(&mut self, range: Range<usize>, value: u64) {
        self.bytes.splice(range, varint(value));
    }
}

impl Output for SlicedRuns<'_> {
    fn len(&self) -> usize {
        self.length
    }

    fn push(&mut self, run: Range<usize>) {
        if let Some(run) = self.request.get(run).filter(|run| !run.is_empty()) {
            self.push_piece(self.request.slice_ref(run));
        }
    }

    fn truncate(&mut self, length: usize) {
        self.split_off(length);
    }

    fn replace(&mut self, range: Range<usize>, value: u64) {
        let tail = self.split_off(range.end);
        self.split_off(range.start);
        self.push_piece(varint(value).collect());
        tail.into_iter().rev().for_each(|piece| self.push_piece(piece));
    }
}

impl SlicedRuns<'_> {
    fn push_piece(&mut self, piece: Bytes) {
        self.length += piece.len();
        self.pieces.push(piece);
    }

    /// Removes everything after the first `length` bytes and returns its pieces, the last first.
    fn split_off(&mut self, length: usize) -> Vec<Bytes> {
        let mut tail = Vec::new();
        while self.length > length
            && let Some(mut last) = self.pieces.pop()
        {
            self.length -= last.len();
            if self.length < length {
                tail.push(last.split_off(length - self.length));
                self.push_piece(last);
            } else {
                tail.push(last);
            }
        }
        tail
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
