//! What the receiving adapters hand in, and what they get to answer.

use std::future::Future;

use bytes::Bytes;

use super::monitor::Transport;
use crate::domain::observability::InvalidSpan;

/// Takes requests whose bytes were found to be well formed.
pub trait ReceivePort: Send + Sync + 'static {
    /// Stores a request; once this returns, its spans are accepted and may be acknowledged.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`] when it was not stored; then none of its spans is accepted.
    fn receive(
        &self,
        transport: Transport,
        request: ExportRequest,
    ) -> impl Future<Output = Result<ExportResult, ReceiveError>> + Send;
}

/// A request whose bytes were found to be well formed.
#[derive(Debug)]
pub struct ExportRequest {
    /// The request without its invalid spans.
    pub payload: Bytes,
    /// Valid spans in it.
    pub spans: u32,
    /// Invalid spans taken out.
    pub rejected_spans: u64,
    /// What was wrong with the first of them.
    pub first_invalid: Option<InvalidSpan>,
}

/// The answer to an accepted request; all default means full success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportResult {
    /// `partial_success.rejected_spans`.
    pub rejected_spans: u64,
    /// `partial_success.error_message`; a warning when no span was rejected.
    pub message: String,
}

/// Why a well-formed request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// It can never be accepted: larger than the whole buffer.
    TooLarge(String),
    /// It may be accepted later.
    Unavailable(String),
}
