//! The receiver's response statuses, and their codes in both transports.

/// The outcome of a request, as reported to the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseStatus {
    /// Stored, possibly without its invalid spans.
    Accepted,
    /// Cannot be decoded; not retryable.
    Malformed,
    /// Exceeds the receiver's size limit; not retryable.
    TooLarge,
    /// Cannot be stored now; retryable.
    Unavailable,
    /// The sender took too long to send the request.
    TimedOut,
    /// No such service or path.
    NotFound,
    /// The path does not support the method.
    MethodNotAllowed,
    /// Unsupported content type or encoding.
    UnsupportedMediaType,
    /// A gRPC message flagged as compressed, although the request names no encoding; not retryable.
    UndeclaredCompression,
}

impl ResponseStatus {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Malformed,
        Self::TooLarge,
        Self::Unavailable,
        Self::TimedOut,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::UnsupportedMediaType,
        Self::UndeclaredCompression,
    ];

    /// Returns the name that groups refusals in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UndeclaredCompression => "undeclared_compression",
        }
    }

    /// Returns the gRPC status code and its name.
    ///
    /// OTLP 1.11, "Failures": bad data is `INVALID_ARGUMENT`, an oversize request
    /// `RESOURCE_EXHAUSTED` (without `RetryInfo`: not retryable), backpressure `UNAVAILABLE`. gRPC,
    /// "Compression": a message flagged as compressed without an encoding is `INTERNAL`.
    #[must_use]
    pub const fn grpc_code(self) -> (i32, &'static str) {
        match self {
            Self::Accepted => (0, "OK"),
            Self::Malformed => (3, "INVALID_ARGUMENT"),
            Self::TooLarge => (8, "RESOURCE_EXHAUSTED"),
            Self::Unavailable => (14, "UNAVAILABLE"),
            Self::TimedOut => (4, "DEADLINE_EXCEEDED"),
            Self::NotFound | Self::MethodNotAllowed | Self::UnsupportedMediaType => {
                (12, "UNIMPLEMENTED")
            }
            Self::UndeclaredCompression => (13, "INTERNAL"),
        }
    }

    /// Returns the HTTP status and its text.
    ///
    /// OTLP 1.11, "OTLP/HTTP Response": bad data is 400, an oversize request 413, overload 503.
    #[must_use]
    pub const fn http_status(self) -> (u16, &'static str) {
        match self {
            Self::Accepted => (200, "200"),
            Self::Malformed => (400, "400"),
            Self::TooLarge => (413, "413"),
            Self::Unavailable => (503, "503"),
            Self::TimedOut => (408, "408"),
            Self::NotFound => (404, "404"),
            Self::MethodNotAllowed => (405, "405"),
            Self::UnsupportedMediaType => (415, "415"),
            // Not possible over HTTP, where `Content-Encoding` alone decides.
            Self::UndeclaredCompression => (500, "500"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::{FailureKind, classify_grpc_code, classify_http_status};

    #[test]
    fn only_a_temporary_failure_is_retryable_for_a_client() {
        for answer in
            ResponseStatus::ALL.into_iter().filter(|answer| *answer != ResponseStatus::Accepted)
        {
            let (grpc, _) = classify_grpc_code(answer.grpc_code().0, false);
            let (http, _) = classify_http_status(answer.http_status().0);
            let retryable =
                matches!(answer, ResponseStatus::Unavailable | ResponseStatus::TimedOut);
            assert_eq!(!grpc.is_permanent(), retryable, "{answer:?} over gRPC");
            assert_eq!(
                !http.is_permanent(),
                answer == ResponseStatus::Unavailable,
                "{answer:?} over HTTP"
            );
        }
    }

    #[test]
    fn an_oversize_request_is_distinguished_from_overload() {
        assert_eq!(ResponseStatus::TooLarge.grpc_code(), (8, "RESOURCE_EXHAUSTED"));
        assert_eq!(ResponseStatus::TooLarge.http_status(), (413, "413"));
        assert_eq!(classify_grpc_code(8, false).0, FailureKind::TooLarge);
    }

    #[test]
    fn every_status_has_its_own_http_status() {
        let mut statuses = ResponseStatus::ALL.map(|answer| answer.http_status().0);
        statuses.sort_unstable();

        assert_eq!(statuses, [200, 400, 404, 405, 408, 413, 415, 500, 503]);
    }

    #[test]
    fn a_request_for_anything_else_is_unimplemented_over_grpc() {
        for answer in [
            ResponseStatus::NotFound,
            ResponseStatus::MethodNotAllowed,
            ResponseStatus::UnsupportedMediaType,
        ] {
            assert_eq!(answer.grpc_code(), (12, "UNIMPLEMENTED"));
        }
    }
}
