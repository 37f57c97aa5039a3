//! Batches to send.

// Each test binary uses its own part of this.
#![allow(dead_code)]

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

/// Records of `bytes` each, named by their number.
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
