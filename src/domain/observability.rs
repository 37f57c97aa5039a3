//! Validity of spans.

use std::fmt;

/// Bytes in a trace id (OTLP `Span.trace_id`).
pub const TRACE_ID_BYTES: usize = 16;
/// Bytes in a span id (OTLP `Span.span_id`).
pub const SPAN_ID_BYTES: usize = 8;

/// The identity of one span whose ids are known to be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSpan {
    trace_id: TraceId,
    span_id: SpanId,
    parent: Option<SpanId>,
}

/// A trace id: 16 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId([u8; TRACE_ID_BYTES]);

/// A span id: 8 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId([u8; SPAN_ID_BYTES]);

/// Why a span cannot be accepted.
///
/// Common receivers refuse a whole request for any one of these, so such spans are rejected before
/// they are stored with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvalidSpan {
    /// The trace id is not 16 bytes long; holds the length found.
    TraceIdLength(usize),
    /// The trace id is all zero.
    TraceIdZero,
    /// The span id is not 8 bytes long; holds the length found.
    SpanIdLength(usize),
    /// The span id is all zero.
    SpanIdZero,
    /// The parent span id is neither empty nor 8 bytes long; holds the length found.
    ParentSpanIdLength(usize),
    /// A link's trace id is neither empty nor 16 bytes long; holds the length found.
    LinkTraceIdLength(usize),
    /// A link's span id is neither empty nor 8 bytes long; holds the length found.
    LinkSpanIdLength(usize),
}

impl TraceSpan {
    /// Checks the ids of one span.
    ///
    /// An empty or all-zero `parent_span_id` means a root span.
    ///
    /// # Errors
    ///
    /// The first rule that is violated. "An ID with all bytes set to zero is considered invalid",
    /// and so is one that is empty or of the wrong length (`trace.proto`, `Span.trace_id` and
    /// `Span.span_id`).
    pub fn new(
        trace_id: &[u8],
        span_id: &[u8],
        parent_span_id: &[u8],
    ) -> Result<Self, InvalidSpan> {
        Ok(Self {
            trace_id: TraceId::new(trace_id)?,
            span_id: SpanId::new(span_id)?,
            parent: parent(parent_span_id)?,
        })
    }

    /// Returns the trace the span belongs to.
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Returns the span's own id.
    #[must_use]
    pub const fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Returns the parent's id, or `None` for a root span.
    #[must_use]
    pub const fn parent(&self) -> Option<SpanId> {
        self.parent
    }
}

fn parent(bytes: &[u8]) -> Result<Option<SpanId>, InvalidSpan> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = <[u8; SPAN_ID_BYTES]>::try_from(bytes)
        .map_err(|_| InvalidSpan::ParentSpanIdLength(bytes.len()))?;
    Ok((id != [0; SPAN_ID_BYTES]).then_some(SpanId(id)))
}

impl TraceId {
    /// Checks one trace id.
    ///
    /// # Errors
    ///
    /// [`InvalidSpan::TraceIdLength`] unless it has 16 bytes, [`InvalidSpan::TraceIdZero`] when
    /// they are all zero.
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidSpan> {
        let id = <[u8; TRACE_ID_BYTES]>::try_from(bytes)
            .map_err(|_| InvalidSpan::TraceIdLength(bytes.len()))?;
        if id == [0; TRACE_ID_BYTES] {
            return Err(InvalidSpan::TraceIdZero);
        }
        Ok(Self(id))
    }
}

impl SpanId {
    /// Checks one span id.
    ///
    /// # Errors
    ///
    /// [`InvalidSpan::SpanIdLength`] unless it has 8 bytes, [`InvalidSpan::SpanIdZero`] when they
    /// are all zero.
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidSpan> {
        let id = <[u8; SPAN_ID_BYTES]>::try_from(bytes)
            .map_err(|_| InvalidSpan::SpanIdLength(bytes.len()))?;
        if id == [0; SPAN_ID_BYTES] {
            return Err(InvalidSpan::SpanIdZero);
        }
        Ok(Self(id))
    }
}

/// Checks the ids of one span link, which may be empty but not of the wrong length.
///
/// # Errors
///
/// [`InvalidSpan::LinkTraceIdLength`] or [`InvalidSpan::LinkSpanIdLength`].
pub const fn check_link(trace_id: &[u8], span_id: &[u8]) -> Result<(), InvalidSpan> {
    if !matches!(trace_id.len(), 0 | TRACE_ID_BYTES) {
        return Err(InvalidSpan::LinkTraceIdLength(trace_id.len()));
    }
    if !matches!(span_id.len(), 0 | SPAN_ID_BYTES) {
        return Err(InvalidSpan::LinkSpanIdLength(span_id.len()));
    }
    Ok(())
}

impl fmt::Display for InvalidSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TraceIdLength(found) => write!(f, "trace_id has {found} bytes, must have 16"),
            Self::TraceIdZero => f.write_str("trace_id is all zero"),
            Self::SpanIdLength(found) => write!(f, "span_id has {found} bytes, must have 8"),
            Self::SpanIdZero => f.write_str("span_id is all zero"),
            Self::ParentSpanIdLength(found) => {
                write!(f, "parent_span_id has {found} bytes, must have 8 or none")
            }
            Self::LinkTraceIdLength(found) => {
                write!(f, "a link's trace_id has {found} bytes, must have 16 or none")
            }
            Self::LinkSpanIdLength(found) => {
                write!(f, "a link's span_id has {found} bytes, must have 8 or none")
            }
        }
    }
}

impl std::error::Error for InvalidSpan {}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: [u8; 16] = [1; 16];
    const SPAN: [u8; 8] = [2; 8];

    #[test]
    fn a_span_with_full_ids_and_no_parent_is_a_valid_root() {
        let span = TraceSpan::new(&TRACE, &SPAN, &[]).unwrap();

        assert_eq!(span.trace_id(), TraceId(TRACE));
        assert_eq!(span.span_id(), SpanId(SPAN));
        assert_eq!(span.parent(), None);
    }

    #[test]
    fn a_span_with_an_all_zero_parent_is_a_root() {
        assert_eq!(TraceSpan::new(&TRACE, &SPAN, &[0; 8]).unwrap().parent(), None);
    }

    #[test]
    fn a_span_with_a_parent_keeps_it() {
        let span = TraceSpan::new(&TRACE, &SPAN, &[7; 8]).unwrap();

        assert_eq!(span.parent(), Some(SpanId([7; 8])));
    }

    #[test]
    fn a_trace_id_with_one_bit_set_is_valid() {
        let mut id = [0; 16];
        id[15] = 1;

        assert!(TraceId::new(&id).is_ok());
    }

    #[test]
    fn a_trace_id_of_any_other_length_is_invalid_and_says_its_length() {
        for length in [0, 1, 8, 15, 17, 32] {
            let error = TraceSpan::new(&vec![1; length], &SPAN, &[]).unwrap_err();
            assert_eq!(error, InvalidSpan::TraceIdLength(length));
            assert_eq!(error.to_string(), format!("trace_id has {length} bytes, must have 16"));
        }
    }

    #[test]
    fn a_zero_trace_id_is_invalid() {
        let error = TraceSpan::new(&[0; 16], &SPAN, &[]).unwrap_err();

        assert_eq!(error.to_string(), "trace_id is all zero");
    }

    #[test]
    fn a_span_id_of_any_other_length_is_invalid_and_says_its_length() {
        for length in [0, 1, 7, 9, 16] {
            let error = TraceSpan::new(&TRACE, &vec![1; length], &[]).unwrap_err();
            assert_eq!(error, InvalidSpan::SpanIdLength(length));
            assert_eq!(error.to_string(), format!("span_id has {length} bytes, must have 8"));
        }
    }

    #[test]
    fn a_zero_span_id_is_invalid() {
        let error = TraceSpan::new(&TRACE, &[0; 8], &[]).unwrap_err();

        assert_eq!(error.to_string(), "span_id is all zero");
    }

    #[test]
    fn a_parent_of_a_wrong_length_makes_the_span_invalid() {
        let error = TraceSpan::new(&TRACE, &SPAN, &[1; 7]).unwrap_err();

        assert_eq!(error.to_string(), "parent_span_id has 7 bytes, must have 8 or none");
    }

    #[test]
    fn a_link_may_have_empty_ids_or_full_ones() {
        assert_eq!(check_link(&[], &[]), Ok(()));
        assert_eq!(check_link(&TRACE, &SPAN), Ok(()));
    }

    #[test]
    fn a_link_with_an_id_of_a_wrong_length_makes_the_span_invalid() {
        assert_eq!(
            check_link(&[1; 15], &SPAN).unwrap_err().to_string(),
            "a link's trace_id has 15 bytes, must have 16 or none"
        );
        assert_eq!(
            check_link(&TRACE, &[1; 9]).unwrap_err().to_string(),
            "a link's span_id has 9 bytes, must have 8 or none"
        );
    }
}
