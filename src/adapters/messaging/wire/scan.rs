//! The one pass that decides whether a request is taken.

use super::fields::{Fields, LEVELS};
use super::malformed::{Checked, Malformed};
use super::schema::{LINK, REQUEST, RESOURCE_SPANS, SCOPE_SPANS, SPAN, number};
use crate::domain::observability::{InvalidSpan, TraceSpan, check_link};

/// Messages that may be nested in a span, itself three levels below the request.
const SPAN_LEVELS: u32 = LEVELS - 3;

/// What a well-formed request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// All spans, invalid ones included.
    pub spans: u64,
    /// Spans that break a rule of [`InvalidSpan`].
    pub invalid_spans: u64,
    /// The rule the first of them breaks.
    pub first_invalid: Option<InvalidSpan>,
}

/// Validates a serialized `ExportTraceServiceRequest` and counts its spans, in one pass and without
/// allocating.
///
/// Accepts exactly what `prost` decodes: well-formed keys, varints and lengths; the right wire type
/// for every known field; UTF-8 in every string; unknown fields and groups that are well formed in
/// themselves; at most 100 messages nested below the request. A field that may occur once and
/// occurs again replaces the one before ("the last value wins", protobuf encoding guide), so of
/// several ids the last is judged.
///
/// # Errors
///
/// [`Malformed`] where the bytes do not decode. An invalid span is no error: it is counted.
pub fn scan(request: &[u8]) -> Result<Scanned, Malformed> {
    let mut scanned = Scanned::default();
    scan_request(request, &mut scanned).map_err(|flaw| Malformed::new(flaw, request.len()))?;
    Ok(scanned)
}

/// Checks one `Span` of a request; the inner result is what the domain says to it.
pub(super) fn check_span(span: &[u8]) -> Checked<Result<(), InvalidSpan>> {
    scan_span(Fields::new(span, &SPAN, SPAN_LEVELS))
}

fn scan_request(request: &[u8], scanned: &mut Scanned) -> Checked<()> {
    let mut fields = Fields::new(request, &REQUEST, LEVELS);
    while let Some(field) = fields.next()? {
        match field.number {
            number::RESOURCE_SPANS => fields
                .nested(&field, &RESOURCE_SPANS, |nested| scan_resource_spans(nested, scanned))?,
            _ => fields.check_nested(&field)?,
        }
    }
    Ok(())
}

fn scan_resource_spans(mut fields: Fields<'_>, scanned: &mut Scanned) -> Checked<()> {
    while let Some(field) = fields.next()? {
        match field.number {
            number::SCOPE_SPANS => {
                fields.nested(&field, &SCOPE_SPANS, |nested| scan_scope_spans(nested, scanned))?;
            }
            _ => fields.check_nested(&field)?,
        }
    }
    Ok(())
}

fn scan_scope_spans(mut fields: Fields<'_>, scanned: &mut Scanned) -> Checked<()> {
    while let Some(field) = fields.next()? {
        match field.number {
            number::SPANS => scanned.count(fields.nested(&field, &SPAN, scan_span)?),
            _ => fields.check_nested(&field)?,
        }
    }
    Ok(())
}

fn scan_span(mut fields: Fields<'_>) -> Checked<Result<(), InvalidSpan>> {
    let (mut trace_id, mut span_id, mut parent_span_id) =
        ([].as_slice(), [].as_slice(), [].as_slice());
    let mut links = Ok(());
    while let Some(field) = fields.next()? {
        match field.number {
            number::SPAN_TRACE_ID => trace_id = field.payload,
            number::SPAN_SPAN_ID => span_id = field.payload,
            number::SPAN_PARENT_SPAN_ID => parent_span_id = field.payload,
            number::SPAN_LINKS => links = links.and(fields.nested(&field, &LINK, scan_link)?),
            _ => fields.check_nested(&field)?,
        }
    }
    Ok(TraceSpan::new(trace_id, span_id, parent_span_id).and(links))
}

fn scan_link(mut fields: Fields<'_>) -> Checked<Result<(), InvalidSpan>> {
    let (mut trace_id, mut span_id) = ([].as_slice(), [].as_slice());
    while let Some(field) = fields.next()? {
        match field.number {
            number::LINK_TRACE_ID => trace_id = field.payload,
            number::LINK_SPAN_ID => span_id = field.payload,
            _ => fields.check_nested(&field)?,
        }
    }
    Ok(check_link(trace_id, span_id))
}

impl Scanned {
    fn count(&mut self, span: Result<(), InvalidSpan>) {
        self.spans += 1;
        if let Err(invalid) = span {
            self.invalid_spans += 1;
            self.first_invalid.get_or_insert(invalid);
        }
    }
}
