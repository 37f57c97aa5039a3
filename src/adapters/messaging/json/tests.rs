//! The rules of OTLP/JSON, each with its own test.

mod hostile;
mod otlp;
mod protojson;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::{MalformedJson, to_protobuf};

/// Converts a request and decodes it.
fn request(json: &str) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(&*to_protobuf(json.as_bytes()).unwrap().protobuf).unwrap()
}

/// The JSON of a request with one span that has these fields.
fn with_span(fields: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#)
}

/// The JSON of a request with one attribute that has this value.
fn with_value(json: &str) -> String {
    with_span(&format!(r#""attributes":[{{"key":"k","value":{json}}}]"#))
}

/// Converts a request with one span that has these fields.
fn span(fields: &str) -> Span {
    let mut request = request(&with_span(fields));
    request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0)
}

/// Converts one attribute's value; `None` if it has no member set.
fn value(json: &str) -> Option<Value> {
    let mut span = span(&format!(r#""attributes":[{{"key":"k","value":{json}}}]"#));
    span.attributes.remove(0).value.unwrap().value
}

/// Returns the error of a refused request.
fn refusal(json: &[u8]) -> MalformedJson {
    to_protobuf(json).unwrap_err()
}

/// Returns the path within the span and the problem of a refused span with these fields.
fn span_refusal(fields: &str) -> (String, String) {
    let refusal = refusal(with_span(fields).as_bytes());
    let path = refusal.path().strip_prefix("resourceSpans[0].scopeSpans[0].spans[0].").unwrap();
    (path.to_owned(), refusal.problem().to_owned())
}

/// Returns the path within the value and the problem of a refused attribute's value.
fn value_refusal(json: &str) -> (String, String) {
    let (path, problem) = span_refusal(&format!(r#""attributes":[{{"key":"k","value":{json}}}]"#));
    let path = path.strip_prefix("attributes[0].value").unwrap().trim_start_matches('.');
    (path.to_owned(), problem)
}
