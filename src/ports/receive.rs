//! The requests that the receiving adapters hand in, and the results they respond with.

use std::future::Future;

use bytes::Bytes;

use super::monitor::Transport;
use crate::domain::observability::InvalidSpan;

/// Accepts requests that the adapter has validated.
pub trait ReceivePort: Send + Sync + 'static {
    /// Stores a request before it returns; its spans may then be acknowledged to the sender.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`] when it was not stored; none of its spans is accepted then.
    fn receive(
        &self,
        transport: Transport,
        request: ExportRequest,
    ) -> impl Future<Output = Result<ExportResult, ReceiveError>> + Send;
}

/// A request whose bytes are known to be well formed.
#[derive(Debug)]
pub struct ExportRequest {
    /// The request without its invalid spans.
    pub payload: Bytes,
    /// Valid spans in the payload.
    pub spans: u32,
    /// Invalid spans that were cut out.
    pub rejected_spans: u64,
    /// Why the first of them is invalid.
    pub first_invalid: Option<InvalidSpan>,
    /// What the request holds instead of valid spans, for the sender; `None` if it has some, and for
    /// empty envelopes.
    pub misdirected: Option<String>,
}

/// The response to an accepted request; the default means full success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportResult {
    /// `partial_success.rejected_spans`.
    pub rejected_spans: u64,
    /// `partial_success.error_message`; a warning if no span was rejected.
    pub message: String,
    /// Whether the request held something other than spans.
    pub misdirected: bool,
}

/// Why a well-formed request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// It can never be accepted: it is larger than the whole buffer.
    TooLarge(String),
    /// It may be accepted later; the sender may retry.
    Unavailable(String),
}
