//! Why a request is not answered with a review, as HTTP says it.
//!
//! What follows for the pod is the `failurePolicy`'s business: with `NeverRead` it starts without a
//! sidecar and the auditor reports it, with `Fail` it does not start. That is why what fails here is
//! never answered as if it had been looked at and allowed.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;

use super::{MAX_BODY_BYTES, PATHS};
use crate::ports::operator::admission::AdmissionFailure;

/// Why a request is not answered with a review.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReviewError {
    NotFound,
    MethodNotAllowed,
    UnsupportedMediaType,
    /// What is wrong, and where.
    Malformed(String),
    TooLarge,
    /// It is larger than anything that is looked at, by its number of values.
    TooManyValues,
    IncompleteBody,
    Overloaded,
    Timeout(Duration),
    /// Why what is known of the pod's namespace does not suffice.
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
                format!("nothing here; reviews are answered at {}", PATHS.join(" and "))
            }
            Self::MethodNotAllowed => "only POST is answered here".to_owned(),
            Self::UnsupportedMediaType => {
                "an AdmissionReview is expected as content-type application/json, not encoded"
                    .to_owned()
            }
            Self::Malformed(what) => format!("this is no AdmissionReview of a new pod: {what}"),
            Self::TooLarge => format!("the review has more than {MAX_BODY_BYTES} bytes"),
            Self::TooManyValues => {
                format!("the pod has more than {} values", super::budget::MAX_VALUES)
            }
            Self::IncompleteBody => "the review ended early".to_owned(),
            Self::Overloaded => "too many reviews at once; try again".to_owned(),
            Self::Timeout(limit) => format!("this took longer than {} s", limit.as_secs()),
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
