//! The destination that batches are sent to.

use std::future::Future;

use bytes::Bytes;

use crate::domain::delivery::{Delivered, Failure};

/// One request to the destination.
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

/// Sends requests and reports their outcome.
pub trait Destination: Send + Sync + 'static {
    /// Sends `request` once and waits for the response, at most for the configured timeout.
    ///
    /// Connects first if there is no open connection. Cancel safe: dropping the future abandons
    /// the request.
    ///
    /// # Errors
    ///
    /// A [`Failure`] whose kind determines whether and how to retry.
    fn send(
        &self,
        request: OutgoingRequest,
    ) -> impl Future<Output = Result<Delivered, Failure>> + Send;
}
