//! Requests to send, plain and compressed.

use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// A valid span.
pub(crate) fn span(name: &str) -> Span {
    Span {
        trace_id: vec![0x5b; 16],
        span_id: vec![0xee; 8],
        name: name.to_owned(),
        ..Span::default()
    }
}

/// A request with these spans.
pub(crate) fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

/// A serialized request with these spans.
pub(crate) fn serialized(spans: Vec<Span>) -> Bytes {
    request(spans).encode_to_vec().into()
}

/// A serialized request with one valid span for each name.
pub(crate) fn spans(names: &[&str]) -> Bytes {
    serialized(names.iter().map(|name| span(name)).collect())
}

/// A serialized request with `count` valid spans.
pub(crate) fn many_spans(count: usize) -> Bytes {
    serialized((0..count).map(|number| span(&number.to_string())).collect())
}

/// A serialized request with one valid span that is exactly `bytes` long.
pub(crate) fn sized(bytes: usize) -> Bytes {
    let mut padding = bytes;
    loop {
        let state = "x".repeat(padding);
        let message = serialized(vec![Span { trace_state: state, ..span("sized") }]);
        match message.len() {
            length if length == bytes => return message,
            length => padding = padding + bytes - length,
        }
    }
}

/// The spans of a serialized request.
pub(crate) fn decoded_spans(message: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(message).expect("a request decodes");
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

/// One gzip member.
pub(crate) fn gzip(data: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("memory can be written");
    encoder.finish().expect("memory can be written").into()
}

/// One zstd frame.
pub(crate) fn zstd(data: &[u8]) -> Bytes {
    zstd::encode_all(data, 1).expect("memory can be written").into()
}

/// A gRPC frame: the compressed flag, the length, the message.
pub(crate) fn frame_message(flag: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(flag);
    frame.put_u32(u32::try_from(message.len()).expect("a message is small"));
    frame.put_slice(message);
    frame.freeze()
}
