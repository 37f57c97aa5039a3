//! Requests with seeded content, encoded once; only the span ids change from one to the next.

use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use prost::Message;

use super::{BenchResult, scanner::Scanner};

/// One span of ten attributes, with its tag and length.
pub(crate) const SPAN_BYTES: usize = 446;
/// Resource and scope of a request.
pub(crate) const HEAD_BYTES: usize = 322;
const SEED: u64 = 0x7472_6163_6562_7566;
const GRPC_PREFIX: usize = 5;

/// One gRPC message, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    frame: Bytes,
    /// The offsets of the span ids in the frame; empty if it is compressed.
    ids: Vec<usize>,
    spans: u64,
    encoded_bytes: u64,
}

/// Bytes that bring a span and a request to their fixed sizes.
#[derive(Clone, Copy)]
struct Padding {
    span: usize,
    head: usize,
}

impl Payload {
    /// A request of `spans` spans, not compressed.
    pub(crate) fn plain(spans: usize) -> BenchResult<Self> {
        let request = request(spans, padding()?);
        let body = request.encode_to_vec();
        let frame = frame(&body, false)?;
        let ids = find_ids(&request, &frame)?;
        let payload = Self { frame, ids, spans: spans as u64, encoded_bytes: body.len() as u64 };
        payload.verify()?;
        Ok(payload)
    }

    /// The same, compressed once: its span ids stay as they are.
    pub(crate) fn gzip(spans: usize) -> BenchResult<Self> {
        let plain = Self::plain(spans)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain.frame.get(GRPC_PREFIX..).unwrap_or_default())?;
        Ok(Self { frame: frame(&encoder.finish()?, true)?, ids: Vec::new(), ..plain })
    }

    pub(crate) fn compressed(&self) -> bool {
        self.ids.is_empty()
    }

    pub(crate) fn spans(&self) -> u64 {
        self.spans
    }

    /// Length of the request before compression.
    pub(crate) fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// The message with span ids `first`, `first + 1`, …; writes into `spent`, an earlier message,
    /// if nothing else refers to it.
    pub(crate) fn message(&self, first: u64, spent: Option<Bytes>) -> Bytes {
        if self.compressed() {
            return self.frame.clone();
        }
        let mut frame = spent
            .and_then(|spent| spent.try_into_mut().ok())
            .unwrap_or_else(|| BytesMut::from(self.frame.as_ref()));
        for (id, at) in (first..).zip(&self.ids) {
            if let Some(place) = frame.get_mut(*at..*at + 8) {
                place.copy_from_slice(&id.to_be_bytes());
            }
        }
        frame.freeze()
    }

    /// Reads a message back in pieces of 7 bytes, to check that generator and sink agree.
    fn verify(&self) -> BenchResult<()> {
        let (mut scanner, mut next) = (Scanner::new(), 1);
        let mut in_order = true;
        for piece in self.message(1, None).chunks(7) {
            let found = |id| {
                in_order &= id == next;
                next += 1;
            };
            scanner
                .feed(piece, found)
                .map_err(|_| "the sink cannot read the generator's message")?;
        }
        if in_order && next == self.spans + 1 && scanner.finished() {
            return Ok(());
        }
        Err("the sink reads other spans than the generator wrote".into())
    }
}

fn frame(body: &[u8], compressed: bool) -> BenchResult<Bytes> {
    let mut frame = BytesMut::with_capacity(GRPC_PREFIX + body.len());
    frame.put_u8(u8::from(compressed));
    frame.put_u32(u32::try_from(body.len())?);
    frame.put_slice(body);
    Ok(frame.freeze())
}

fn find_ids(request: &ExportTraceServiceRequest, frame: &[u8]) -> BenchResult<Vec<usize>> {
    let spans = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    let (mut ids, mut from) = (Vec::new(), 0);
    for span in spans.flat_map(|scope| &scope.spans) {
        let rest = frame.get(from..).unwrap_or_default();
        let at = rest.windows(8).position(|bytes| bytes == span.span_id);
        from += at.ok_or("a span id is missing in the encoded request")?;
        ids.push(from);
    }
    Ok(ids)
}

fn padding() -> BenchResult<Padding> {
    let length = |spans, padding| request(spans, padding).encoded_len();
    let fits = |limit: usize, grows: &dyn Fn(usize) -> usize| {
        (0..limit).find(|size| grows(*size) == limit).ok_or("the payload cannot be padded to size")
    };
    let span = fits(SPAN_BYTES, &|span| {
        length(2, Padding { span, head: 80 }) - length(1, Padding { span, head: 80 })
    })?;
    let head = fits(HEAD_BYTES + SPAN_BYTES, &|head| length(1, Padding { span, head }))?;
    Ok(Padding { span, head })
}

fn request(spans: usize, padding: Padding) -> ExportTraceServiceRequest {
    let mut random = fastrand::Rng::with_seed(SEED);
    let resource = Resource {
        attributes: vec![
            text("service.name", "checkout".to_owned()),
            text("service.version", "4.11.2".to_owned()),
            text("k8s.pod.name", format!("checkout-{}", hex(&mut random, 10))),
            text("telemetry.sdk.language", "rust".to_owned()),
            text("host.id", hex(&mut random, padding.head)),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "shop.checkout.http".to_owned(),
        version: "0.9.1".to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = (0..spans).map(|_| span(&mut random, padding.span)).collect();
    let scope_spans = ScopeSpans { scope: Some(scope), spans, schema_url: String::new() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope_spans],
            schema_url: "https://opentelemetry.io/schemas/1.34.0".to_owned(),
        }],
    }
}

fn span(random: &mut fastrand::Rng, padding: usize) -> Span {
    let start = 1_750_000_000_000_000_000 + random.u64(..1_000_000_000_000);
    let order = hex(random, 12);
    Span {
        trace_id: random.u128(1..).to_be_bytes().to_vec(),
        span_id: random.u64(1..).to_be_bytes().to_vec(),
        parent_span_id: random.u64(1..).to_be_bytes().to_vec(),
        flags: 0x101,
        name: "GET /api/orders/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + random.u64(1_000_000..90_000_000),
        attributes: vec![
            text("http.request.method", "GET".to_owned()),
            text("http.route", "/api/orders/{id}".to_owned()),
            number("http.response.status_code", 200),
            text("url.path", format!("/api/orders/{order}")),
            text("url.scheme", "https".to_owned()),
            text("server.address", "orders".to_owned()),
            number("server.port", 8443),
            text("client.address", format!("10.42.1.{}", random.u8(100..))),
            text("enduser.id", hex(random, padding)),
            number("thread.id", random.i64(200..16_000)),
        ],
        status: Some(Status { message: String::new(), code: 1 }),
        ..Span::default()
    }
}

fn text(key: &str, value: String) -> KeyValue {
    attribute(key, Value::StringValue(value))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn hex(random: &mut fastrand::Rng, length: usize) -> String {
    std::iter::repeat_with(|| random.digit(16)).take(length).collect()
}
