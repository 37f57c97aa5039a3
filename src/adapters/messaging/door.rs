//! What both transports share: from a message's bytes to its receipt.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};

use super::body::BodyReader;
use super::refused::Refused;
use super::{json, wire};
use crate::ports::monitor::Transport;
use crate::ports::receive::{Receipt, ReceivePort, Submission};

/// How a message is serialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

/// The way in for all requests of the process.
pub(super) struct Door<R> {
    pub(super) receiver: Arc<R>,
    pub(super) reader: BodyReader,
}

impl<R: ReceivePort> Door<R> {
    /// Checks a message and hands it in. Nothing has changed when it is refused.
    pub(super) async fn admit(
        &self,
        transport: Transport,
        message: Bytes,
        format: Format,
    ) -> Result<Receipt, Refused> {
        let message = match format {
            Format::Protobuf => message,
            Format::Json => json::to_protobuf(&message)
                .map_err(|error| Refused::malformed(error.to_string()))?
                .into(),
        };
        let submission = submission(message)?;
        Ok(self.receiver.receive(transport, submission).await?)
    }
}

/// Scans the message and takes its invalid spans out.
fn submission(message: Bytes) -> Result<Submission, Refused> {
    let scanned = wire::scan(&message).map_err(|error| Refused::malformed(error.to_string()))?;
    let payload = match scanned.invalid_spans {
        0 => message,
        _ => wire::without_invalid_spans(&message).into(),
    };
    let valid = scanned.spans - scanned.invalid_spans;
    Ok(Submission {
        payload,
        // A span takes two bytes at least, and a request has fewer than 2^32.
        spans: u32::try_from(valid).unwrap_or(u32::MAX),
        rejected_spans: scanned.invalid_spans,
        first_invalid: scanned.first_invalid,
    })
}

/// Returns the response message; `partial_success` is unset on full success, as OTLP demands.
pub(super) fn response(receipt: Receipt) -> ExportTraceServiceResponse {
    let Receipt { rejected_spans, message } = receipt;
    let partial = rejected_spans > 0 || !message.is_empty();
    ExportTraceServiceResponse {
        partial_success: partial.then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(rejected_spans).unwrap_or(i64::MAX),
            error_message: message,
        }),
    }
}
