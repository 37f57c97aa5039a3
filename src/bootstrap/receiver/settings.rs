//! Everything the receiver is told at start, checked.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::adapters::messaging::destination::config::DestinationSettings;
use crate::adapters::telemetry::logging::LogSettings;
use crate::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};

/// The settings of one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverSettings {
    /// Where batches are sent; `None` prints them to the console.
    pub destination: Option<Box<DestinationSettings>>,
    /// Bounds of the buffer.
    pub limits: BufferLimits,
    /// What happens to new records when it is full.
    pub overflow_policy: OverflowPolicy,
    /// File of limits that replace the above while the receiver runs.
    pub limits_file: Option<PathBuf>,
    /// Bounds of one batch as they were asked for; the buffer lowers them to a part of its limits.
    pub batch_limits: BatchLimits,
    /// Batches in flight at the same time; with more than one, order is not kept.
    pub concurrency: NonZeroUsize,
    /// What is listened on.
    pub listen: ListenSettings,
    /// Longest time between the signal to stop and the end of the process.
    pub drain_timeout: Duration,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Worker threads.
    pub workers: NonZeroUsize,
}

/// Addresses to listen on, none twice, and what may arrive there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSettings {
    /// Where OTLP is received, by convention over gRPC; at least one address.
    pub grpc: Vec<SocketAddr>,
    /// Where OTLP is received, by convention over HTTP; at least one address.
    pub http: Vec<SocketAddr>,
    /// Where health, metrics and the state of the buffer are shown; at least one address.
    pub admin: Vec<SocketAddr>,
    /// Most bytes of one request, decompressed; at most the buffer's own bound.
    pub max_request_bytes: usize,
}
