//! Validates a request in one pass.

use super::fields::{FieldReader, MAX_DEPTH};
use super::malformed::{MalformedProtobuf, ScanResult};
use super::schema::{LINK, REQUEST, RESOURCE_SPANS, SCOPE_SPANS, SPAN, number};
use crate::domain::observability::{InvalidSpan, check_link_id_lengths, check_span};

/// The span counts of a well-formed request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// All spans, invalid ones included.
    pub spans: u64,
    /// Spans that violate a rule of [`InvalidSpan`].
    pub invalid_spans: u64,
    /// The rule that the first of them violates.
    pub first_invalid: Option<InvalidSpan>,
}

/// Validates a serialized `ExportTraceServiceRequest` and counts its spans, in one pass and without
/// allocating.
///
/// Accepts exactly what `prost` decodes: well-formed keys, varints and lengths; the right wire type
/// for every known field; UTF-8 in every string; unknown fields and groups that are well formed; at
/// most 100 messages nested below the request. If a non-repeated field occurs several times, the
/// last value wins (protobuf encoding guide), so only the last of several ids is checked.
///
/// # Errors
///
/// [`MalformedProtobuf`] if the bytes do not decode. Invalid spans are counted, not an error.
pub fn scan(request: &[u8]) -> Result<Scanned, MalformedProtobuf> {
    let mut scanned = Scanned::default();
    scan_request(request, &mut scanned)
        .map_err(|error| MalformedProtobuf::new(error, request.len()))?;
    Ok(scanned)
}

// A span is nested three levels below the request, so three fewer levels are left for it.

fn scan_request(bytes: &[u8], scanned: &mut Scanned) -> ScanResult<()> {
    let mut fields = FieldReader::new(bytes, &REQUEST, MAX_DEPTH);
    while let Some(field) = fields.next()? {
        match field.number {
            number::RESOURCE_SPANS => {
                fields.nested(&field, |bytes, _| scan_resource_spans(bytes, scanned))?;
            }
            _ => fields.check_nested(&field)?,
        }
    }
    Ok(())
}

fn scan_resource_spans(bytes: &[u8], scanned: &mut Scanned) -> ScanResult<()> {
    let mut fields = FieldReader::new(bytes, &RESOURCE_SPANS, MAX_DEPTH - 1);
    while let Some(field) = fields.next()? {
        match field.number {
            number::SCOPE_SPANS => {
                fields.nested(&field, |bytes, _| scan_scope_spans(bytes, scanned))?;
            }
            _ => fields.check_nested(&field)?,
        }
    }
    Ok(())
}

fn scan_scope_spans(bytes: &[u8], scanned: &mut Scanned) -> ScanResult<()> {
    let mut fields = FieldReader::new(bytes, &SCOPE_SPANS, MAX_DEPTH - 2);
    while let Some(field) = fields.next()? {
        match field.number {
            number::SPANS => scanned.count(fields.nested(&field, |bytes, _| scan_span(bytes))?),
            _ => fields.check_nested(&field)?,
        }
    }
    Ok(())
}

/// Scans one `Span` of a request. The inner result is the check of its ids and those of its links.
pub(super) fn scan_span(bytes: &[u8]) -> ScanResult<Result<(), InvalidSpan>> {
    let mut fields = FieldReader::new(bytes, &SPAN, MAX_DEPTH - 3);
    let mut trace_id: &[u8] = &[];
    let mut span_id: &[u8] = &[];
    let mut parent_span_id: &[u8] = &[];
    let mut links = Ok(());
    while let Some(field) = fields.next()? {
        match field.number {
            number::SPAN_TRACE_ID => trace_id = field.payload,
            number::SPAN_SPAN_ID => span_id = field.payload,
            number::SPAN_PARENT_SPAN_ID => parent_span_id = field.payload,
            number::SPAN_LINKS => {
                links = links.and(fields.nested(&field, |bytes, _| scan_link(bytes))?);
            }
            _ => fields.check_nested(&field)?,
        }
    }
    Ok(check_span(trace_id, span_id, parent_span_id).and(links))
}

fn scan_link(bytes: &[u8]) -> ScanResult<Result<(), InvalidSpan>> {
    let mut fields = FieldReader::new(bytes, &LINK, MAX_DEPTH - 4);
    let mut trace_id: &[u8] = &[];
    let mut span_id: &[u8] = &[];
    while let Some(field) = fields.next()? {
        match field.number {
            number::LINK_TRACE_ID => trace_id = field.payload,
            number::LINK_SPAN_ID => span_id = field.payload,
            _ => fields.check_nested(&field)?,
        }
    }
    Ok(check_link_id_lengths(trace_id, span_id))
}

impl Scanned {
    pub(super) fn count(&mut self, span: Result<(), InvalidSpan>) {
        self.spans += 1;
        if let Err(invalid) = span {
            self.invalid_spans += 1;
            self.first_invalid.get_or_insert(invalid);
        }
    }
}

#[cfg(test)]
mod tests;
