//! Sends JSON through a receiver and compares what it forwards.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;

use super::recording;
use crate::support::client::{
    HTTP_PROTOCOLS, JSON_CONTENT_TYPE, TRACES_PATH, post, receiver_endpoints,
};
use crate::support::destinations::RecordingDestination;
use crate::support::receiver::ReceiverProcess;

/// The ids of the span of [`with_span`].
pub(crate) const IDS: &str =
    r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174""#;

/// A receiver and the destination that it forwards to.
pub(crate) struct Harness {
    pub(crate) receiver: ReceiverProcess,
    pub(crate) recorder: RecordingDestination,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        let recorder = RecordingDestination::start().await;
        Self { receiver: recording(&recorder).await, recorder }
    }

    /// Sends `json` to every endpoint and returns the forwarded request, the same each time.
    pub(crate) async fn forwarded(&mut self, json: &str) -> ExportTraceServiceRequest {
        let mut first = None;
        for endpoint in receiver_endpoints(&self.receiver, HTTP_PROTOCOLS) {
            let answer = endpoint.send(post(TRACES_PATH, JSON_CONTENT_TYPE, json.to_owned())).await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{}"[..]), "{json}");

            let forwarded = self.recorder.next().await;
            assert_eq!(first.get_or_insert_with(|| forwarded.clone()), &forwarded, "{json}");
        }
        ExportTraceServiceRequest::decode(first.expect("there are endpoints")).expect("it decodes")
    }

    /// The only span of a request with these fields beside its ids.
    pub(crate) async fn span(&mut self, fields: &str) -> Span {
        let mut request = self.forwarded(&with_span(fields)).await;
        request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0)
    }

    /// The value of an attribute that is given as `json`.
    pub(crate) async fn value(&mut self, json: &str) -> Option<Any> {
        let mut span = self.span(&with_value(json)).await;
        span.attributes.remove(0).value.and_then(|value| value.value)
    }

    /// Sends `json` to every endpoint and checks that the refusal gives the reason.
    pub(crate) async fn refused(&self, json: impl AsRef<[u8]>, reason: &str) {
        let json = json.as_ref();
        let shown = String::from_utf8_lossy(&json[..json.len().min(200)]);
        for endpoint in receiver_endpoints(&self.receiver, HTTP_PROTOCOLS) {
            let answer = endpoint.send(post(TRACES_PATH, JSON_CONTENT_TYPE, json.to_vec())).await;

            assert_eq!(answer.status, 400, "{shown} over {endpoint:?}");
            let status: Value = serde_json::from_slice(&answer.body).unwrap();
            let message = status["message"].as_str().unwrap();
            assert!(message.contains(reason), "{shown}: {message:?} does not contain {reason:?}");
        }
    }
}

/// A request with one span with these fields beside its ids.
pub(crate) fn with_span(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{IDS}{comma}{fields}}}]}}]}}]}}"#)
}

/// The field of a span with one attribute.
pub(crate) fn with_value(json: &str) -> String {
    format!(r#""attributes":[{{"key":"a","value":{json}}}]"#)
}
