//! What both transports share: from a message's bytes to its result.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use tracing::warn;

use super::body::BodyReader;
use super::cors::AllowedOrigins;
use super::json::UnknownKeys;
use super::request_error::RequestError;
use super::user_agent::UserAgent;
use super::wire::MalformedProtobuf;
use super::{json, misdirected, wire};
use crate::domain::response_status::ResponseStatus;
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
    /// The origins whose pages may send; `None` without CORS.
    pub(super) origins: Option<AllowedOrigins>,
}

impl<R: ReceivePort, M: Monitor> ExportHandler<R, M> {
    /// Validates a message and passes it to the receiver. On error nothing is stored.
    pub(super) async fn export(
        &self,
        transport: Transport,
        message: Bytes,
        format: MessageFormat,
    ) -> Result<ExportResult, RequestError> {
        let request = match format {
            MessageFormat::Protobuf => parse_request(message, None),
            MessageFormat::Json => {
                let converted = json::to_protobuf(&message)
                    .map_err(|error| RequestError::malformed(error.to_string()))?;
                // Before the record is stored, which needs as much memory again.
                drop(message);
                parse_request(converted.protobuf.into(), Some(&converted.unknown_keys))
            }
        };
        Ok(self.receiver.receive(transport, request?).await?)
    }

    /// Reports the outcome of a request: counts it, and logs what was not accepted, because most
    /// senders keep silent about it.
    pub(super) fn report(
        &self,
        transport: Transport,
        result: &Result<ExportResult, RequestError>,
        sender: &UserAgent,
    ) {
        let status =
            result.as_ref().map_or_else(|error| error.status, |_| ResponseStatus::Accepted);
        self.monitor.responded(transport, status);
        let transport = transport.as_str();
        let user_agent = || sender.to_string();
        match result {
            Err(RequestError { status, message: reason }) => {
                let kind = status.as_str();
                warn!(kind, transport, user_agent = user_agent(), %reason, "a request was refused");
            }
            Ok(ExportResult { rejected_spans: spans @ 1.., message: reason, .. }) => {
                let kind = "invalid_span";
                warn!(kind, transport, user_agent = user_agent(), spans, %reason, "spans were rejected");
            }
            Ok(ExportResult { misdirected: true, message: reason, .. }) => {
                let kind = "misdirected";
                warn!(kind, transport, user_agent = user_agent(), %reason, "a request held no spans");
            }
            Ok(_) => {}
        }
    }
}

/// Scans the message and cuts out its invalid spans. `unknown_keys` are those of a message that was
/// converted from JSON.
fn parse_request(
    message: Bytes,
    unknown_keys: Option<&UnknownKeys>,
) -> Result<ExportRequest, RequestError> {
    let (repaired, scanned) = match wire::scan(&message) {
        Ok(scanned) if scanned.invalid_spans == 0 => (None, scanned),
        Ok(scanned) => (Some(wire::without_invalid_spans(&message)), scanned),
        Err(error) if error.is_invalid_utf8() => {
            let (repaired, scanned) = wire::without_undecodable_spans(&message)
                .map_err(|error| malformed(&error, &message))?;
            (Some(repaired), scanned)
        }
        Err(error) => return Err(malformed(&error, &message)),
    };
    let valid = scanned.spans - scanned.invalid_spans;
    let misdirected = if valid > 0 {
        None
    } else {
        unknown_keys.map_or_else(|| misdirected::in_protobuf(&message), misdirected::in_json)
    };
    Ok(ExportRequest {
        payload: repaired.map_or(message, Bytes::from),
        // Never saturates: a span takes at least two bytes, and a request has fewer than 2^32.
        spans: u32::try_from(valid).unwrap_or(u32::MAX),
        rejected_spans: scanned.invalid_spans,
        first_invalid: scanned.first_invalid,
        misdirected,
    })
}

#[cold]
fn malformed(error: &MalformedProtobuf, message: &[u8]) -> RequestError {
    RequestError::malformed(format!("{error}{}", misdirected::hint(message)))
}

/// Returns the response message; `partial_success` is unset on full success, as OTLP requires.
pub(super) fn export_response(result: ExportResult) -> ExportTraceServiceResponse {
    let ExportResult { rejected_spans, message, .. } = result;
    let partial = rejected_spans > 0 || !message.is_empty();
    ExportTraceServiceResponse {
        partial_success: partial.then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(rejected_spans).unwrap_or(i64::MAX),
            error_message: message,
        }),
    }
}
