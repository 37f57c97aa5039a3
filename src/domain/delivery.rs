//! What a response of the destination means for a batch.

use std::borrow::Cow;
use std::time::Duration;

/// A response that settles the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Spans the destination rejected (`partial_success.rejected_spans`); never retried.
    pub rejected_spans: u64,
    /// The destination's `partial_success.error_message`; may be empty.
    pub message: String,
}

/// A send that did not settle the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How to react to it.
    pub kind: FailureKind,
    /// Metric label from a closed set: a gRPC code's name, an HTTP status, or what went wrong
    /// before any response arrived.
    pub code: &'static str,
    /// The delay the destination asked for (`RetryInfo`, `Retry-After`).
    pub retry_after: Option<Duration>,
    /// Explanation for the log; contains no secrets.
    pub message: Cow<'static, str>,
}

/// How the sender should react to a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Retry the same bytes later.
    Unavailable,
    /// No response within the timeout: as [`FailureKind::Inconclusive`].
    TimedOut,
    /// A part of the request was sent, and nothing tells whether the destination or the request is
    /// the cause: retry the same bytes later, and smaller ones after several such failures.
    Inconclusive,
    /// The request exceeds the destination's size limit: retry with smaller batches.
    TooLarge,
    /// The data is invalid: find the record at fault and drop it.
    InvalidData,
    /// The configuration is wrong (credentials, unknown service): drop this batch and back off.
    Refused,
}

impl FailureKind {
    /// Returns whether OTLP forbids sending the same bytes again.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::TooLarge | Self::InvalidData | Self::Refused)
    }

    /// Returns whether the request itself may be the cause of a failure that may also pass: the
    /// destination has not said that it is unavailable.
    #[must_use]
    pub const fn is_inconclusive(self) -> bool {
        matches!(self, Self::TimedOut | Self::Inconclusive)
    }
}

/// Classifies a gRPC status code (`grpc-status`, not 0) as OTLP specifies.
///
/// OTLP 1.11, "Failures" of OTLP/gRPC: retryable are `CANCELLED`, `DEADLINE_EXCEEDED`, `ABORTED`,
/// `OUT_OF_RANGE`, `UNAVAILABLE`, `DATA_LOSS`, and `RESOURCE_EXHAUSTED` "only if the server can
/// recover", that is with `RetryInfo`; without it, `RESOURCE_EXHAUSTED` means that the request was
/// too large. Of the retryable ones only `UNAVAILABLE`, and `RetryInfo`, say that the destination
/// is the cause.
#[must_use]
pub const fn classify_grpc_code(code: i32, has_retry_info: bool) -> (FailureKind, &'static str) {
    use FailureKind::{Inconclusive, InvalidData, Refused, TimedOut, TooLarge, Unavailable};
    let may_pass = if has_retry_info { Unavailable } else { Inconclusive };
    match code {
        1 => (may_pass, "CANCELLED"),
        2 => (Refused, "UNKNOWN"),
        3 => (InvalidData, "INVALID_ARGUMENT"),
        4 => (TimedOut, "DEADLINE_EXCEEDED"),
        5 => (Refused, "NOT_FOUND"),
        6 => (Refused, "ALREADY_EXISTS"),
        7 => (Refused, "PERMISSION_DENIED"),
        8 if has_retry_info => (Unavailable, "RESOURCE_EXHAUSTED"),
        8 => (TooLarge, "RESOURCE_EXHAUSTED"),
        9 => (Refused, "FAILED_PRECONDITION"),
        10 => (may_pass, "ABORTED"),
        11 => (may_pass, "OUT_OF_RANGE"),
        12 => (Refused, "UNIMPLEMENTED"),
        13 => (Refused, "INTERNAL"),
        14 => (Unavailable, "UNAVAILABLE"),
        15 => (may_pass, "DATA_LOSS"),
        16 => (Refused, "UNAUTHENTICATED"),
        _ => (Refused, "OTHER"),
    }
}

/// Classifies an HTTP status (not 2xx) as OTLP specifies.
///
/// OTLP 1.11, "Retryable Response Codes": 429, 502, 503 and 504; "all other 4xx or 5xx response
/// status codes MUST NOT be retried".
#[must_use]
pub const fn classify_http_status(status: u16) -> (FailureKind, &'static str) {
    use FailureKind::{InvalidData, Refused, TooLarge, Unavailable};
    match status {
        400 => (InvalidData, "400"),
        401 => (Refused, "401"),
        403 => (Refused, "403"),
        404 => (Refused, "404"),
        413 => (TooLarge, "413"),
        429 => (Unavailable, "429"),
        500 => (Refused, "500"),
        502 => (Unavailable, "502"),
        503 => (Unavailable, "503"),
        504 => (Unavailable, "504"),
        _ => (Refused, status_class(status)),
    }
}

const fn status_class(status: u16) -> &'static str {
    match status {
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_code_that_otlp_calls_retryable_is_retryable() {
        for code in [1, 4, 10, 11, 14, 15] {
            let (kind, _) = classify_grpc_code(code, false);
            assert!(!kind.is_permanent(), "code {code}");
        }
    }

    #[test]
    fn only_unavailable_and_retry_info_say_that_the_destination_is_the_cause() {
        for code in [1, 4, 10, 11, 15] {
            assert!(classify_grpc_code(code, false).0.is_inconclusive(), "code {code}");
        }
        assert_eq!(classify_grpc_code(14, false).0, FailureKind::Unavailable);
        for code in [1, 8, 10, 11, 14, 15] {
            assert_eq!(classify_grpc_code(code, true).0, FailureKind::Unavailable, "code {code}");
        }
        for status in [429, 502, 503, 504] {
            assert_eq!(classify_http_status(status).0, FailureKind::Unavailable, "{status}");
        }
    }

    #[test]
    fn any_other_grpc_code_is_permanent() {
        for code in [2, 3, 5, 6, 7, 9, 12, 13, 16, 17, -1] {
            let (kind, _) = classify_grpc_code(code, true);
            assert!(kind.is_permanent(), "code {code}");
        }
    }

    #[test]
    fn resource_exhausted_is_retryable_only_with_retry_info() {
        assert_eq!(classify_grpc_code(8, true).0, FailureKind::Unavailable);
        assert_eq!(classify_grpc_code(8, false).0, FailureKind::TooLarge);
    }

    #[test]
    fn invalid_argument_and_400_mean_invalid_data() {
        assert_eq!(classify_grpc_code(3, false).0, FailureKind::InvalidData);
        assert_eq!(classify_http_status(400).0, FailureKind::InvalidData);
    }

    #[test]
    fn a_413_means_the_request_is_too_large() {
        assert_eq!(classify_http_status(413), (FailureKind::TooLarge, "413"));
    }

    #[test]
    fn only_four_http_statuses_are_retryable() {
        let retryable: Vec<u16> =
            (300..600).filter(|status| !classify_http_status(*status).0.is_permanent()).collect();

        assert_eq!(retryable, [429, 502, 503, 504]);
    }

    #[test]
    fn every_unlisted_http_status_has_a_label_of_its_class() {
        assert_eq!(classify_http_status(307).1, "3xx");
        assert_eq!(classify_http_status(418).1, "4xx");
        assert_eq!(classify_http_status(501).1, "5xx");
        assert_eq!(classify_http_status(101).1, "other");
    }
}
