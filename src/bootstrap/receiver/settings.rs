//! The validated settings of the receiver.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::adapters::messaging::cors::AllowedOrigins;
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
    /// File with limits that override `limits` while the receiver runs.
    pub limits_file: Option<PathBuf>,
    /// Bounds of one batch as configured; lowered to a part of the buffer's limits.
    pub batch_limits: BatchLimits,
    /// Maximum batches in flight; with more than one, order is not preserved.
    pub concurrency: NonZeroUsize,
    /// Where to listen.
    pub listen: ListenSettings,
    /// Maximum time between the stop signal and the end of the process.
    pub drain_timeout: Duration,
    /// Time between a flush by the preStop hook and the kill by the kubelet; `None` outside of a pod.
    pub grace_period: Option<Duration>,
    /// File for the last words of the process; only used if it exists.
    pub termination_message_file: PathBuf,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Worker threads.
    pub workers: NonZeroUsize,
}

/// Addresses to listen on, without duplicates, and which requests are accepted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSettings {
    /// Where OTLP is received, by convention over gRPC; at least one address. Each port serves both
    /// protocols.
    pub grpc: Vec<SocketAddr>,
    /// Where OTLP is received, by convention over HTTP; at least one address.
    pub http: Vec<SocketAddr>,
    /// Where health, metrics and the state of the buffer are served; at least one address.
    pub admin: Vec<SocketAddr>,
    /// Maximum decompressed bytes of one request; at most the buffer's own bound.
    pub max_request_bytes: usize,
    /// Maximum bytes of the head of one request; over HTTP/2, each header counts 32 bytes more.
    pub max_head_bytes: u32,
    /// Origins of the web pages that may send; `None` without CORS.
    pub cors_allowed_origins: Option<AllowedOrigins>,
}
