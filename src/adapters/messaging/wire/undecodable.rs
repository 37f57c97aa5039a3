//! Requests with strings that are not UTF-8: the rest of them can be kept.

use super::fields::{FieldReader, MAX_DEPTH};
use super::malformed::{MalformedProtobuf, ScanError, ScanResult};
use super::nesting::{IN_REQUEST, NestingLevel};
use super::scan::{Scanned, scan, scan_span};
use super::splice::{Selection, select};
use crate::domain::observability::InvalidSpan;

/// Keeps the spans that [`scan`] accepts, in envelopes whose own strings are UTF-8.
struct Decodable;

/// Returns `request` without its invalid spans, where a span with a string that is not UTF-8 is
/// invalid, too, and so is every span of a resource or scope with such a string. Such a resource or
/// scope is removed even if it has no spans. The result always decodes.
///
/// For requests that [`scan`] refuses because of such a string; it reads them several times.
///
/// # Errors
///
/// [`MalformedProtobuf`] if the request is malformed in any other way.
pub fn without_undecodable_spans(request: &[u8]) -> Result<(Vec<u8>, Scanned), MalformedProtobuf> {
    let mut scanned = Scanned::default();
    count(request, &IN_REQUEST, MAX_DEPTH, &mut scanned)
        .map_err(|error| MalformedProtobuf::new(error, request.len()))?;
    let kept = select(request, Decodable);
    let left = scan(&kept)?;
    scanned.invalid_spans = scanned.spans - left.spans;
    Ok((kept, scanned))
}

/// Counts the spans of a message whose own strings are UTF-8.
fn count(
    message: &[u8],
    level: &'static NestingLevel,
    levels: u32,
    scanned: &mut Scanned,
) -> ScanResult<()> {
    let mut fields = FieldReader::new(message, level.schema, levels);
    while let Some(field) = fields.next()? {
        if field.number != level.child_field {
            fields.check_nested(&field)?;
            continue;
        }
        fields.nested(&field, |item, levels| {
            let Some(below) = level.child_level else {
                scanned.count(check_span(item)?);
                return Ok(());
            };
            let Some(error) = own_text_error(item, below, levels)? else {
                return count(item, below, levels, scanned);
            };
            let invalid = InvalidSpan::EnvelopeNotUtf8(below.name, error.outermost_field());
            for _ in 0..spans_in(item, below, levels)? {
                scanned.count(Err(invalid));
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Checks a span as [`scan_span`] does; a string that is not UTF-8 makes it invalid.
fn check_span(span: &[u8]) -> ScanResult<Result<(), InvalidSpan>> {
    match scan_span(span) {
        Err(error) if error.is_invalid_utf8() => {
            Ok(Err(InvalidSpan::NotUtf8(error.outermost_field())))
        }
        checked => checked,
    }
}

/// Returns the first string of an envelope that is not UTF-8, not looking into its children.
fn own_text_error(
    message: &[u8],
    level: &'static NestingLevel,
    levels: u32,
) -> ScanResult<Option<ScanError>> {
    let mut first = None;
    let mut fields = FieldReader::new(message, level.schema, levels);
    loop {
        let checked = match fields.next() {
            Ok(None) => return Ok(first),
            Ok(Some(field)) if field.number == level.child_field => Ok(()),
            Ok(Some(field)) => fields.check_nested(&field),
            Err(error) => Err(error),
        };
        match checked {
            Err(error) if error.is_invalid_utf8() => _ = first.get_or_insert(error),
            checked => checked?,
        }
    }
}

/// Counts the spans in an envelope, whatever its strings are.
fn spans_in(message: &[u8], level: &'static NestingLevel, levels: u32) -> ScanResult<u64> {
    let mut spans = 0;
    let mut fields = FieldReader::new(message, level.schema, levels);
    loop {
        match fields.next() {
            Ok(None) => return Ok(spans),
            Ok(Some(field)) if field.number == level.child_field => {
                spans += level.child_level.map_or(Ok(1), |below| {
                    fields.nested(&field, |item, levels| spans_in(item, below, levels))
                })?;
            }
            Err(error) if !error.is_invalid_utf8() => return Err(error),
            _ => {}
        }
    }
}

impl Selection for Decodable {
    fn keeps_span(&mut self, _: u64, span: &[u8]) -> bool {
        matches!(scan_span(span), Ok(Ok(())))
    }

    fn keeps_envelope(&mut self, envelope: &[u8], level: &'static NestingLevel) -> bool {
        matches!(own_text_error(envelope, level, MAX_DEPTH), Ok(None))
    }
}

#[cfg(test)]
mod tests;
