//! Batches to send.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tracebuffer::ports::destination::OutgoingRequest;

/// One record per name, each in a chunk of its own.
pub(crate) fn batch(names: &[&str]) -> OutgoingRequest {
    OutgoingRequest {
        chunks: names.iter().map(|name| record(name, 0)).collect(),
        spans: names.len() as u64,
    }
}

/// Records padded by `bytes` each, named by their number.
pub(crate) fn large_batch(records: u64, bytes: usize) -> OutgoingRequest {
    let chunks = (0..records).map(|number| record(&number.to_string(), bytes)).collect();
    OutgoingRequest { chunks, spans: records }
}

fn record(name: &str, padding: usize) -> Bytes {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.to_owned(),
        trace_state: "x".repeat(padding),
        ..Span::default()
    };
    let service = KeyValue {
        key: "service.name".to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue("checkout".to_owned())) }),
        ..KeyValue::default()
    };
    let resource_spans = ResourceSpans {
        resource: Some(Resource { attributes: vec![service], ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec().into()
}

/// Notices when the bytes of a batch are freed.
pub(crate) struct WatchedBatch(tokio::sync::oneshot::Receiver<()>);

struct TrackedBytes {
    bytes: Vec<u8>,
    // Dropped with the bytes, which the receiver notices.
    _alive: tokio::sync::oneshot::Sender<()>,
}

impl AsRef<[u8]> for TrackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl WatchedBatch {
    /// One record padded by `bytes`, and its watcher.
    pub(crate) fn create(bytes: usize) -> (OutgoingRequest, Self) {
        let (alive, watch) = tokio::sync::oneshot::channel();
        let owner = TrackedBytes { bytes: record("watched", bytes).to_vec(), _alive: alive };
        (OutgoingRequest { chunks: vec![Bytes::from_owner(owner)], spans: 1 }, Self(watch))
    }

    /// Waits until the bytes are freed. Bound it by a timeout.
    pub(crate) async fn wait_until_freed(self) {
        let _ = self.0.await;
    }
}
