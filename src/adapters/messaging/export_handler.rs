//! What both transports share: from a message's bytes to its result.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};

use super::body::BodyReader;
use super::request_error::RequestError;
use super::{json, wire};
use crate::ports::monitor::{Monitor, Transport};
use crate::ports::receive::{ExportRequest, ExportResult, ReceivePort};

/// How a message is serialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageFormat {
    Protobuf,
    Json,
}

/// Handles the export requests of all connections.
pub(super) struct ExportHandler<R, M> {
    pub(super) receiver: Arc<R>,
    pub(super) monitor: Arc<M>,
    pub(super) reader: BodyReader,
}

impl<R: ReceivePort, M: Monitor> ExportHandler<R, M> {
    /// Validates a message and passes it to the receiver. On error nothing is stored.
    pub(super) async fn export(
        &self,
        transport: Transport,
        message: Bytes,
        format: MessageFormat,
    ) -> Result<ExportResult, RequestError> {
        let message = match format {
            MessageFormat::Protobuf => message,
            MessageFormat::Json => json::to_protobuf(&message)
                .map_err(|error| RequestError::malformed(error.to_string()))?
                .into(),
        };
        let request = parse_request(message)?;
        Ok(self.receiver.receive(transport, request).await?)
    }
}

/// Scans the message and cuts out its invalid spans.
fn parse_request(message: Bytes) -> Result<ExportRequest, RequestError> {
    let scanned =
        wire::scan(&message).map_err(|error| RequestError::malformed(error.to_string()))?;
    let payload = match scanned.invalid_spans {
        0 => message,
        _ => wire::without_invalid_spans(&message).into(),
    };
    let valid = scanned.spans - scanned.invalid_spans;
    Ok(ExportRequest {
        payload,
        // Never saturates: a span takes at least two bytes, and a request has fewer than 2^32.
        spans: u32::try_from(valid).unwrap_or(u32::MAX),
        rejected_spans: scanned.invalid_spans,
        first_invalid: scanned.first_invalid,
    })
}

/// Returns the response message; `partial_success` is unset on full success, as OTLP requires.
pub(super) fn export_response(result: ExportResult) -> ExportTraceServiceResponse {
    let ExportResult { rejected_spans, message } = result;
    let partial = rejected_spans > 0 || !message.is_empty();
    ExportTraceServiceResponse {
        partial_success: partial.then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(rejected_spans).unwrap_or(i64::MAX),
            error_message: message,
        }),
    }
}
