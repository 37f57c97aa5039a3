//! Reading answers, of which only so much is kept.

use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::connection_pool::StreamingResponse;
use super::failure::printable;
use super::http_connection_error::HttpConnectionError;
use crate::domain::delivery::Delivered;

/// Most bytes of an answer's body that are kept.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// An answer, read as far as it was worth it.
#[derive(Debug)]
pub(super) struct BufferedResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: BufferedBody,
    pub(super) trailers: Option<HeaderMap>,
}

/// The body of an answer, or its beginning.
#[derive(Debug, Default)]
pub(super) struct BufferedBody {
    pub(super) bytes: Vec<u8>,
    /// Whether there was more than is kept.
    pub(super) truncated: bool,
    /// What ended it early.
    pub(super) error: Option<HttpConnectionError>,
}

/// What to do with a body that is longer than is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExcessBody {
    /// Read on, to get at the trailers.
    Discard,
    /// Give the connection up.
    Disconnect,
}

/// Reads the body. The connection is kept if the body came to its end.
pub(super) async fn read_response(
    exchange: StreamingResponse<'_>,
    rest: ExcessBody,
) -> BufferedResponse {
    let (head, mut incoming, connection) = exchange.into_parts();
    let mut body = BufferedBody::default();
    let mut trailers = None;
    let ended = loop {
        if body.truncated && rest == ExcessBody::Disconnect {
            break false;
        }
        match incoming.frame().await {
            None => break true,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => body.extend(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
            Some(Err(error)) => {
                body.error = Some(error.into());
                break false;
            }
        }
    };
    if ended {
        connection.release();
    }
    BufferedResponse { status: head.status, headers: head.headers, body, trailers }
}

impl BufferedBody {
    fn extend(&mut self, data: &[u8]) {
        let room = MAX_BODY_BYTES - self.bytes.len();
        let (kept, lost) = data.split_at(room.min(data.len()));
        self.bytes.extend_from_slice(kept);
        self.truncated |= !lost.is_empty();
    }
}

/// Reads the `ExportTraceServiceResponse` of a success; `None` when that is not what it is.
pub(super) fn parse_export_response(message: &[u8]) -> Option<Delivered> {
    let response = ExportTraceServiceResponse::decode(message).ok()?;
    let partial = response.partial_success.unwrap_or_default();
    Some(Delivered {
        rejected_spans: u64::try_from(partial.rejected_spans).unwrap_or(0),
        message: printable(&partial.error_message),
    })
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    fn response(rejected_spans: i64, error_message: &str) -> Vec<u8> {
        let partial_success = Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: error_message.to_owned(),
        });
        ExportTraceServiceResponse { partial_success }.encode_to_vec()
    }

    #[test]
    fn a_partial_success_is_read_and_made_fit_to_show() {
        assert_eq!(
            parse_export_response(&response(3, "too\nold")),
            Some(Delivered { rejected_spans: 3, message: r"too\nold".to_owned() })
        );
    }

    #[test]
    fn an_empty_message_is_a_full_success() {
        assert_eq!(parse_export_response(&[]), Some(Delivered::default()));
    }

    #[test]
    fn a_negative_number_of_rejected_spans_counts_as_none() {
        assert_eq!(parse_export_response(&response(-5, "")), Some(Delivered::default()));
    }

    #[test]
    fn rubbish_is_not_taken_for_a_response() {
        assert_eq!(parse_export_response(&[0xff, 0xff]), None);
    }

    #[test]
    fn no_more_of_a_body_is_kept_than_the_bound() {
        let mut body = BufferedBody::default();

        body.extend(&vec![1; MAX_BODY_BYTES]);
        assert!(!body.truncated);
        body.extend(&[1]);

        assert_eq!((body.bytes.len(), body.truncated), (MAX_BODY_BYTES, true));
    }
}
