//! What the application tells those who watch it.

use std::time::Duration;

use crate::domain::delivery::Failure;
use crate::domain::response_status::ResponseStatus;

/// The protocol a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP.
    Http,
}

/// Why spans were never accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The span's ids are not valid.
    InvalidSpan,
    /// The record is larger than the whole buffer.
    TooLarge,
    /// The buffer is full and its policy is to reject.
    Full,
    /// The receiver is ending.
    Shutdown,
    /// The store failed.
    StoreFailed,
}

/// Counts what happens. Called on the hot path: must not block or allocate.
pub trait Monitor: Send + Sync + 'static {
    /// `spans` were acknowledged.
    fn accepted(&self, transport: Transport, spans: u64);

    /// `spans` of a well-formed request were not accepted.
    fn refused(&self, transport: Transport, reason: RefusalReason, spans: u64);

    /// A request was answered.
    fn responded(&self, transport: Transport, answer: ResponseStatus);

    /// The destination took a request, `took` after it was sent.
    fn delivered(&self, took: Duration);

    /// The destination did not take a request.
    fn send_failed(&self, failure: &Failure, took: Duration);
}
