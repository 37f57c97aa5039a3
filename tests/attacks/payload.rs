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
}

impl Bodies {
    pub(crate) fn generate() -> Self {
        let mut random = Rng::with_seed(10);
        let small = Body::protobuf(2_000, &mut random);
        let largest = Body::all(4_100_000, &mut random);
        let sizes = [1_000, 20_000, 70_000, 250_000, 600_000, 1_500_000, 3_000_000];
        let mut mixed: Vec<_> =
            sizes.into_iter().flat_map(|bytes| Body::all(bytes, &mut random)).collect();
        mixed.extend(largest.iter().cloned());
        Self {
            small_gzip: small.gzip(),
            small,
            medium: Body::protobuf(100_000, &mut random),
            large: Body::protobuf(400_000, &mut random),
            mixed,
            largest,
        }
    }
}

impl Body {
    /// A request of about so many bytes.
    pub(crate) fn protobuf(bytes: usize, random: &mut Rng) -> Self {
        Self::plain(&request(bytes, random), "application/x-protobuf", Message::encode_to_vec)
    }

    fn json(bytes: usize, random: &mut Rng) -> Self {
        // JSON is larger than protobuf by the names and by hexadecimal digits.
        let request = request(bytes / 10 * 8, random);
        Self::plain(&request, "application/json", |request| {
            serde_json::to_vec(request).expect("a request of known types is valid JSON")
        })
    }

    fn plain(
        request: &ExportTraceServiceRequest,
        content_type: &'static str,
        encode: impl Fn(&ExportTraceServiceRequest) -> Vec<u8>,
    ) -> Self {
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        let spans = scopes.map(|scope| scope.spans.len() as u64).sum();
        Self { bytes: encode(request).into(), spans, content_type, encoding: "identity" }
    }

    /// The same size in both formats and all encodings.
    fn all(bytes: usize, random: &mut Rng) -> Vec<Self> {
        let plain = [Self::protobuf(bytes, random), Self::json(bytes, random)];
        plain.into_iter().flat_map(|body| [body.gzip(), body.zstd(), body]).collect()
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

fn request(bytes: usize, random: &mut Rng) -> ExportTraceServiceRequest {
    let count = (bytes / SPAN_BYTES).max(1);
    let spans = (0..count).map(|_| span(bytes / count, random)).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
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
