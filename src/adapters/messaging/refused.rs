//! A request that is not taken, and why.

use std::borrow::Cow;

use crate::domain::answer::Answer;
use crate::ports::receive::ReceiveError;

/// The answer to a request that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) answer: Answer,
    /// For a person: what was wrong, where, and what to do.
    pub(super) message: Cow<'static, str>,
}

impl Refused {
    pub(super) fn new(answer: Answer, message: impl Into<Cow<'static, str>>) -> Self {
        Self { answer, message: message.into() }
    }

    pub(super) fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Answer::Malformed, message)
    }

    pub(super) fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Answer::TooLarge, message)
    }

    pub(super) fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Answer::Unavailable, message)
    }

    pub(super) fn timed_out(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Answer::TimedOut, message)
    }
}

impl From<ReceiveError> for Refused {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::TooLarge(message) => Self::too_large(message),
            ReceiveError::Unavailable(message) => Self::unavailable(message),
        }
    }
}
