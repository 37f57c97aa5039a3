//! Where batches are sent.

use std::future::Future;

use bytes::Bytes;

use crate::domain::delivery::{Delivered, Failure};

/// One request on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRequest {
    /// The serialized `ExportTraceServiceRequest`, in pieces to be sent one after another.
    pub chunks: Vec<Bytes>,
    /// Spans in it.
    pub spans: u64,
}

impl OutgoingRequest {
    /// Returns the encoded length in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }
}

/// Sends requests and says what became of them.
pub trait Destination: Send + Sync + 'static {
    /// Sends `request` once and waits for the answer, at most for the configured timeout.
    ///
    /// Connects first where there is no connection. Cancel safe: dropping the future abandons the
    /// request.
    ///
    /// # Errors
    ///
    /// A [`Failure`] that says whether and how to try again.
    fn send(
        &self,
        request: OutgoingRequest,
    ) -> impl Future<Output = Result<Delivered, Failure>> + Send;
}
