//! Errors of the webhook, as HTTP responses.
//!
//! The `failurePolicy` decides about the pod: with `Ignore` it starts without a sidecar and the audit
//! reports it, with `Fail` it is rejected. So a request that fails is never answered as if the pod had
//! been reviewed and allowed.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;

use super::bounds::{MAX_BODY_BYTES, MAX_VALUES, PATHS};
use crate::ports::operator::admission::AdmissionFailure;

/// Why the response to a request is not a review.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReviewError {
    NotFound,
    MethodNotAllowed,
    UnsupportedMediaType,
    /// The error and its place.
    Malformed(String),
    TooLarge,
    /// The pod has more than [`MAX_VALUES`] values.
    TooManyValues,
    IncompleteBody,
    Overloaded,
    Timeout(Duration),
    /// The pod's namespace or its `TraceBuffer`s cannot be read, with the reason.
    UnknownNamespace(String),
}

impl ReviewError {
    pub(super) const fn admission_failure(&self) -> AdmissionFailure {
        match self {
            Self::NotFound | Self::MethodNotAllowed | Self::UnsupportedMediaType => {
                AdmissionFailure::BadRequest
            }
            Self::Malformed(_) => AdmissionFailure::Malformed,
            Self::TooLarge | Self::TooManyValues => AdmissionFailure::TooLarge,
            Self::Overloaded => AdmissionFailure::Overloaded,
            Self::IncompleteBody | Self::Timeout(_) => AdmissionFailure::TooSlow,
            Self::UnknownNamespace(_) => AdmissionFailure::UnknownNamespace,
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge | Self::TooManyValues => StatusCode::PAYLOAD_TOO_LARGE,
            Self::IncompleteBody | Self::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded | Self::UnknownNamespace(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NotFound => {
                format!("not found; reviews are accepted at {}", PATHS.join(" and "))
            }
            Self::MethodNotAllowed => "only POST is allowed".to_owned(),
            Self::UnsupportedMediaType => {
                "the body must be an AdmissionReview of content-type application/json without \
                 content-encoding"
                    .to_owned()
            }
            Self::Malformed(what) => {
                format!("the body is not an AdmissionReview of a new pod: {what}")
            }
            Self::TooLarge => format!("the review has more than {MAX_BODY_BYTES} bytes"),
            Self::TooManyValues => {
                format!("the pod has more than {MAX_VALUES} values")
            }
            Self::IncompleteBody => "the body of the request is incomplete".to_owned(),
            Self::Overloaded => "too many concurrent reviews; try again".to_owned(),
            Self::Timeout(limit) => format!("the review took longer than {} s", limit.as_secs()),
            Self::UnknownNamespace(why) => {
                format!("the TraceBuffer of the pod cannot be determined: {why}; try again")
            }
        }
    }

    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(format!("{}\n", self.message()).into()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self {
            Self::MethodNotAllowed => headers.insert(ALLOW, HeaderValue::from_static("POST")),
            Self::Overloaded | Self::UnknownNamespace(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))
            }
            _ => None,
        };
        response
    }
}
