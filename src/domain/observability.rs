//! Validity of spans.

use std::fmt;

/// Bytes in a trace id (OTLP `Span.trace_id`).
pub const TRACE_ID_BYTES: usize = 16;
/// Bytes in a span id (OTLP `Span.span_id`).
pub const SPAN_ID_BYTES: usize = 8;

/// Why a span cannot be accepted.
///
/// Many backends refuse a whole request because of one such span, so these spans are rejected before
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
    /// A string of the span is not UTF-8; holds the field of the span that it is in.
    NotUtf8(&'static str),
    /// A string that applies to all spans of a message is not UTF-8; holds the name of the message,
    /// `ResourceSpans` or `ScopeSpans`, and its field that the string is in.
    EnvelopeNotUtf8(&'static str, &'static str),
}

/// Checks the ids of one span.
///
/// An empty or all-zero `parent_span_id` means a root span.
///
/// # Errors
///
/// The first rule that is violated: an id of the wrong length or an empty one, or one whose bytes
/// are all zero (`trace.proto`, `Span.trace_id` and `Span.span_id`).
pub fn check_span(
    trace_id: &[u8],
    span_id: &[u8],
    parent_span_id: &[u8],
) -> Result<(), InvalidSpan> {
    let trace_id = <[u8; TRACE_ID_BYTES]>::try_from(trace_id)
        .map_err(|_| InvalidSpan::TraceIdLength(trace_id.len()))?;
    if trace_id == [0; TRACE_ID_BYTES] {
        return Err(InvalidSpan::TraceIdZero);
    }
    let span_id = <[u8; SPAN_ID_BYTES]>::try_from(span_id)
        .map_err(|_| InvalidSpan::SpanIdLength(span_id.len()))?;
    if span_id == [0; SPAN_ID_BYTES] {
        return Err(InvalidSpan::SpanIdZero);
    }
    match parent_span_id.len() {
        0 | SPAN_ID_BYTES => Ok(()),
        length => Err(InvalidSpan::ParentSpanIdLength(length)),
    }
}

/// Checks the lengths of the ids of one span link. Unlike those of a span, they may be empty or zero.
///
/// # Errors
///
/// [`InvalidSpan::LinkTraceIdLength`] or [`InvalidSpan::LinkSpanIdLength`].
pub const fn check_link_id_lengths(trace_id: &[u8], span_id: &[u8]) -> Result<(), InvalidSpan> {
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
            Self::NotUtf8(field) => write!(f, "a string in its {field} is not UTF-8"),
            Self::EnvelopeNotUtf8(message, field) => {
                write!(f, "a string in the {field} of its {message} is not UTF-8")
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
    fn a_span_with_full_ids_is_valid_with_or_without_a_parent() {
        for parent in [&[][..], &[0; 8], &[7; 8]] {
            assert_eq!(check_span(&TRACE, &SPAN, parent), Ok(()));
        }
    }

    #[test]
    fn an_id_with_one_bit_set_is_valid() {
        let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
        trace_id[15] = 1;
        span_id[0] = 0x80;

        assert_eq!(check_span(&trace_id, &span_id, &[]), Ok(()));
    }

    #[test]
    fn a_trace_id_of_another_length_is_invalid_and_the_error_has_its_length() {
        for length in [0, 1, 8, 15, 17, 32] {
            let error = check_span(&vec![1; length], &SPAN, &[]).unwrap_err();
            assert_eq!(error, InvalidSpan::TraceIdLength(length));
            assert_eq!(error.to_string(), format!("trace_id has {length} bytes, must have 16"));
        }
    }

    #[test]
    fn a_zero_trace_id_is_invalid() {
        let error = check_span(&[0; 16], &SPAN, &[]).unwrap_err();

        assert_eq!(error.to_string(), "trace_id is all zero");
    }

    #[test]
    fn a_span_id_of_another_length_is_invalid_and_the_error_has_its_length() {
        for length in [0, 1, 7, 9, 16] {
            let error = check_span(&TRACE, &vec![1; length], &[]).unwrap_err();
            assert_eq!(error, InvalidSpan::SpanIdLength(length));
            assert_eq!(error.to_string(), format!("span_id has {length} bytes, must have 8"));
        }
    }

    #[test]
    fn a_zero_span_id_is_invalid() {
        let error = check_span(&TRACE, &[0; 8], &[]).unwrap_err();

        assert_eq!(error.to_string(), "span_id is all zero");
    }

    #[test]
    fn a_parent_of_a_wrong_length_makes_the_span_invalid() {
        let error = check_span(&TRACE, &SPAN, &[1; 7]).unwrap_err();

        assert_eq!(error.to_string(), "parent_span_id has 7 bytes, must have 8 or none");
    }

    #[test]
    fn text_that_is_not_utf8_is_named_by_its_field() {
        let own = InvalidSpan::NotUtf8("attributes");
        let shared = InvalidSpan::EnvelopeNotUtf8("ResourceSpans", "resource");

        assert_eq!(own.to_string(), "a string in its attributes is not UTF-8");
        assert_eq!(
            shared.to_string(),
            "a string in the resource of its ResourceSpans is not UTF-8"
        );
    }

    #[test]
    fn a_link_may_have_empty_ids_or_full_ones() {
        assert_eq!(check_link_id_lengths(&[], &[]), Ok(()));
        assert_eq!(check_link_id_lengths(&TRACE, &SPAN), Ok(()));
    }

    #[test]
    fn a_link_with_an_id_of_a_wrong_length_makes_the_span_invalid() {
        assert_eq!(
            check_link_id_lengths(&[1; 15], &SPAN).unwrap_err().to_string(),
            "a link's trace_id has 15 bytes, must have 16 or none"
        );
        assert_eq!(
            check_link_id_lengths(&TRACE, &[1; 9]).unwrap_err().to_string(),
            "a link's span_id has 9 bytes, must have 8 or none"
        );
    }
}
