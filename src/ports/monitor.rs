//! The events that the application reports for metrics.

use std::time::Duration;

use crate::domain::delivery::Failure;
use crate::domain::response_status::ResponseStatus;

/// The protocol over which a request arrived.
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
    /// The span has invalid ids.
    InvalidSpan,
    /// The record is larger than the whole buffer.
    TooLarge,
    /// The buffer is full and its policy is to reject.
    Full,
    /// The receiver is shutting down.
    Shutdown,
    /// The store failed.
    StoreFailed,
}

impl RefusalReason {
    /// Returns whether the same spans may be accepted later.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        match self {
            Self::InvalidSpan | Self::TooLarge => false,
            Self::Full | Self::Shutdown | Self::StoreFailed => true,
        }
    }
}

/// Counts events. Called on the hot path: must not block or allocate.
pub trait Monitor: Send + Sync + 'static {
    /// `spans` were stored and will be acknowledged to the sender.
    fn accepted(&self, transport: Transport, spans: u64);

    /// `spans` of a well-formed request were not accepted.
    fn refused(&self, transport: Transport, reason: RefusalReason, spans: u64);

    /// A response to a request was sent.
    fn responded(&self, transport: Transport, status: ResponseStatus);

    /// The destination accepted a request, `elapsed` after it was sent.
    fn delivered(&self, elapsed: Duration);

    /// A request failed, `elapsed` after it was sent.
    fn send_failed(&self, failure: &Failure, elapsed: Duration);
}
