//! The cost of scanning and splicing compared with decoding, on the same bytes.
//!
//! Divide by 512 for the cost of one span in a batch.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use tracebuffer::adapters::messaging::wire::{keep_spans, scan, without_invalid_spans};
use tracebuffer::domain::observability::check_span;

const SIZES: [usize; 2] = [512, 1];

fn scanning(criterion: &mut Criterion) {
    for spans in SIZES {
        let bytes = request(spans, |_| true);
        let mut group = criterion.benchmark_group(format!("scan/{spans} spans"));
        group.throughput(Throughput::Elements(spans as u64));
        group.bench_function("scan", |bencher| bencher.iter(|| scan(black_box(&bytes))));
        group.bench_function("prost decode", |bencher| {
            bencher.iter(|| ExportTraceServiceRequest::decode(black_box(bytes.as_slice())));
        });
    }
}

fn splicing(criterion: &mut Criterion) {
    for spans in SIZES {
        let bytes = request(spans, |position| position % 8 != 0);
        assert_eq!(without_invalid_spans(&bytes), decode_filter_encode(&bytes));
        let mut group = criterion.benchmark_group(format!("splice/{spans} spans"));
        group.throughput(Throughput::Elements(spans as u64));
        group.bench_function("without_invalid_spans, 1 in 8", |bencher| {
            bencher.iter(|| without_invalid_spans(black_box(&bytes)));
        });
        group.bench_function("prost decode, filter, encode", |bencher| {
            bencher.iter(|| decode_filter_encode(black_box(&bytes)));
        });
        group.bench_function("keep_spans, the latter half", |bencher| {
            let half = spans as u64 / 2..spans as u64;
            let bytes = Bytes::from(bytes.clone());
            bencher.iter(|| keep_spans(black_box(&bytes), half.clone()));
        });
    }
}

fn decode_filter_encode(bytes: &[u8]) -> Vec<u8> {
    let mut request = ExportTraceServiceRequest::decode(bytes).unwrap_or_default();
    request.resource_spans.retain_mut(|resource| {
        resource.scope_spans.retain_mut(|scope| {
            scope.spans.retain(is_valid);
            !scope.spans.is_empty()
        });
        !resource.scope_spans.is_empty()
    });
    request.encode_to_vec()
}

fn is_valid(span: &Span) -> bool {
    check_span(&span.trace_id, &span.span_id, &span.parent_span_id).is_ok()
}

/// A request of HTTP server spans with 10 attributes each: 445 bytes per span for 512 spans, and
/// 763 bytes in total for a single one.
fn request(spans: usize, valid: impl Fn(usize) -> bool) -> Vec<u8> {
    let resource = Resource {
        attributes: vec![
            text("service.name", "checkout"),
            text("service.namespace", "shop"),
            text("service.instance.id", "checkout-7d9c5b6f4-x2x7p"),
            text("k8s.pod.name", "checkout-7d9c5b6f4-x2x7p"),
            text("k8s.namespace.name", "production"),
            text("k8s.node.name", "worker-17.eu-west-1a"),
            text("telemetry.sdk.version", "0.33.1"),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "opentelemetry-instrumentation-http".to_owned(),
        version: "0.33.1".to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = ScopeSpans {
        scope: Some(scope),
        spans: (0..spans).map(|position| span(position as u64, valid(position))).collect(),
        ..ScopeSpans::default()
    };
    let resource_spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

fn span(position: u64, valid: bool) -> Span {
    let id = (position + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let start = 1_760_000_000_000_000_000 + position * 1_000_000;
    Span {
        trace_id: if valid { [id, id].concat() } else { vec![0; 16] },
        span_id: id.to_vec(),
        parent_span_id: id.iter().rev().copied().collect(),
        flags: 0x101,
        name: "GET /api/v1/orders/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 250_000,
        attributes: vec![
            text("http.request.method", "GET"),
            text("http.route", "/api/v1/orders/{id}"),
            text("url.path", "/api/v1/orders/83712"),
            text("url.scheme", "https"),
            text("server.address", "shop.example.com"),
            attribute("server.port", Value::IntValue(8443)),
            text(
                "user_agent.original",
                "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko Firefox/128.0",
            ),
            attribute("http.response.status_code", Value::IntValue(200)),
            attribute("http.cached", Value::BoolValue(true)),
            attribute("app.load", Value::DoubleValue(0.25)),
        ],
        status: Some(Status { code: 1, ..Status::default() }),
        ..Span::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

criterion_group!(benches, scanning, splicing);
criterion_main!(benches);
