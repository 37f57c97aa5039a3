//! A request that is not accepted, and why.

use std::borrow::Cow;

use crate::domain::response_status::ResponseStatus;
use crate::ports::receive::ReceiveError;

/// The error response to a request that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestError {
    pub(super) status: ResponseStatus,
    /// For a person: what is wrong, where, and how to fix it.
    pub(super) message: Cow<'static, str>,
}

impl RequestError {
    pub(super) fn new(status: ResponseStatus, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ResponseStatus::Malformed, message)
    }

    pub(super) fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ResponseStatus::TooLarge, message)
    }

    pub(super) fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ResponseStatus::Unavailable, message)
    }

    pub(super) fn undeclared_compression() -> Self {
        let message = "the message's compressed flag is set, but the request names no grpc-encoding \
                       other than identity";
        Self::new(ResponseStatus::UndeclaredCompression, message)
    }

    pub(super) fn timed_out(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ResponseStatus::TimedOut, message)
    }
}

impl From<ReceiveError> for RequestError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::TooLarge(message) => Self::too_large(message),
            ReceiveError::Unavailable(message) => Self::unavailable(message),
        }
    }
}
