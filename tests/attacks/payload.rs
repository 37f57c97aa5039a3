//! OTLP requests of given sizes, and their encodings, generated once.

use std::io::Write;

use bytes::Bytes;
use fastrand::Rng;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use crate::samples;

/// Encoded size of one span, roughly: more than the default limits allow for each, so that a buffer is
/// full by bytes.
const SPAN_BYTES: usize = 1 << 10;
const MAX_REQUEST_BYTES: usize = 4 << 20;
const LARGEST_BYTES: usize = 4_100_000;
/// Two formats in three encodings.
const BODIES_PER_SIZE: usize = 6;
/// Fewer than the buffer holds, as it would refuse a request of more.
const TINY_SPANS: usize = 45_000;
/// 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;
const WORDS: [&str; 12] = [
    "GET",
    "/cart/items",
    "checkout",
    "200",
    "select id, name from orders where",
    "customer",
    "retry",
    "10.42.0.17:8080",
    "inventory-service",
    "application/json",
    "eu-central-1b",
    "cache.miss",
];

/// One request as it is sent.
#[derive(Clone)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) spans: u64,
    pub(crate) content_type: &'static str,
    /// `identity`, `gzip` or `zstd`.
    pub(crate) encoding: &'static str,
}

/// Requests of many sizes.
pub(crate) struct Bodies {
    /// 2 KB, 100 KB and 400 KB of protobuf, and 2 KB in gzip: what polite clients send.
    pub(crate) small: Body,
    pub(crate) small_gzip: Body,
    pub(crate) medium: Body,
    pub(crate) large: Body,
    /// All encodings and both formats, from 1 KB to just below 4 MiB; the largest last.
    pub(crate) mixed: Vec<Body>,
    /// Close to 4 MiB, in all encodings and both formats.
    pub(crate) largest: Vec<Body>,
    /// The same in protobuf; every second span is invalid, and cut out by the receiver.
    pub(crate) half_invalid: Vec<Body>,
    /// Spans with nothing but identities and times.
    pub(crate) tiny_spans: Vec<Body>,
    /// 64 MiB of zeros in gzip. Compressing them takes seconds.
    pub(crate) gzip_bomb: Bytes,
}

impl Bodies {
    pub(crate) fn generate() -> Self {
        let mut random = Rng::with_seed(10);
        let small = Body::protobuf(2_000, &mut random);
        let sizes = [1_000, 20_000, 70_000, 250_000, 600_000, 1_500_000, 3_000_000, LARGEST_BYTES];
        let mixed: Vec<_> =
            sizes.into_iter().flat_map(|bytes| both_formats(bytes, &mut random)).collect();
        let mut half_invalid = request(LARGEST_BYTES, &mut random);
        spans_mut(&mut half_invalid).step_by(2).for_each(|span| span.span_id.clear());
        let mut tiny_spans = request(TINY_SPANS * SPAN_BYTES, &mut random);
        for span in spans_mut(&mut tiny_spans) {
            span.attributes.clear();
            span.name.clear();
        }
        Self {
            small_gzip: small.gzip(),
            small,
            medium: Body::protobuf(100_000, &mut random),
            large: Body::protobuf(400_000, &mut random),
            largest: mixed.iter().rev().take(BODIES_PER_SIZE).cloned().collect(),
            mixed,
            half_invalid: all_encodings(Body::from_request(&half_invalid)),
            tiny_spans: all_encodings(Body::from_request(&tiny_spans)),
            gzip_bomb: samples::gzip(&vec![0; 64 << 20]),
        }
    }
}

impl Body {
    /// A request of about so many bytes.
    pub(crate) fn protobuf(bytes: usize, random: &mut Rng) -> Self {
        Self::from_request(&request(bytes, random))
    }

    fn from_request(request: &ExportTraceServiceRequest) -> Self {
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        Self {
            bytes: request.encode_to_vec().into(),
            spans: scopes.map(|scope| scope.spans.len() as u64).sum(),
            content_type: "application/x-protobuf",
            encoding: "identity",
        }
    }

    fn json(bytes: usize, random: &mut Rng) -> Self {
        // JSON is larger than protobuf by the names and by hexadecimal digits.
        let request = request(bytes / 10 * 7, random);
        let json = serde_json::to_vec(&request).expect("a request of known types is valid JSON");
        Self {
            bytes: json.into(),
            content_type: "application/json",
            ..Self::from_request(&request)
        }
    }

    pub(crate) fn gzip(&self) -> Self {
        Self { bytes: samples::gzip(&self.bytes), encoding: "gzip", ..self.clone() }
    }

    /// With the largest window that every decoder supports, as the higher levels use it.
    fn zstd(&self) -> Self {
        let compress = || {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1)?;
            encoder.window_log(ZSTD_WINDOW_LOG)?;
            encoder.write_all(&self.bytes)?;
            encoder.finish()
        };
        let bytes = compress().expect("memory can be written").into();
        Self { bytes, encoding: "zstd", ..self.clone() }
    }

    /// The request as a gRPC message.
    pub(crate) fn grpc_message(&self) -> Bytes {
        samples::frame_message(u8::from(self.encoding != "identity"), &self.bytes)
    }
}

fn both_formats(bytes: usize, random: &mut Rng) -> Vec<Body> {
    let bodies = [Body::protobuf(bytes, random), Body::json(bytes, random)];
    bodies.into_iter().flat_map(all_encodings).collect()
}

fn all_encodings(body: Body) -> Vec<Body> {
    assert!(body.bytes.len() <= MAX_REQUEST_BYTES, "{} bytes", body.bytes.len());
    vec![body.gzip(), body.zstd(), body]
}

fn request(bytes: usize, random: &mut Rng) -> ExportTraceServiceRequest {
    let count = (bytes / SPAN_BYTES).max(1);
    let spans = (0..count).map(|_| span(bytes / count, random)).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn spans_mut(request: &mut ExportTraceServiceRequest) -> impl Iterator<Item = &mut Span> {
    let scopes = request.resource_spans.iter_mut().flat_map(|each| &mut each.scope_spans);
    scopes.flat_map(|scope| &mut scope.spans)
}

fn span(bytes: usize, random: &mut Rng) -> Span {
    let mut identity = [0; 24];
    random.fill(&mut identity);
    let (trace_id, span_id) = identity.split_at(16);
    let mut span = Span {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        name: "GET /cart/items".to_owned(),
        start_time_unix_nano: random.u64(1 << 60..1 << 61),
        end_time_unix_nano: random.u64(1 << 60..1 << 61),
        ..Span::default()
    };
    while span.encoded_len() + 60 < bytes {
        let room = bytes - span.encoded_len();
        span.attributes.push(attribute(room.min(160), random));
    }
    span
}

fn attribute(bytes: usize, random: &mut Rng) -> KeyValue {
    let mut text = format!("{:08x}", random.u32(..));
    while text.len() + 40 < bytes {
        text.push(' ');
        text.push_str(random.choice(WORDS).unwrap_or_default());
    }
    let value = Some(AnyValue { value: Some(Value::StringValue(text)) });
    let key = format!("app.attribute.{}", random.u8(..));
    KeyValue { key, value, ..KeyValue::default() }
}
