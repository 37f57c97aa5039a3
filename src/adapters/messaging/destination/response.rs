//! Reading responses into memory, up to a limit.

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::connection_pool::StreamingResponse;
use super::decode::{DecodeError, decode};
use super::failure::printable;
use super::http_connection_error::HttpConnectionError;
use crate::domain::delivery::Delivered;

/// Maximum bytes of a response body that are kept, before and after decompression.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// What is known about a request, to explain its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentRequest<'a> {
    /// `host:port` of the destination.
    pub(super) peer: &'a str,
    pub(super) compressed: bool,
}

/// A response whose body was read, up to the limit.
#[derive(Debug)]
pub(super) struct BufferedResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: BufferedBody,
    pub(super) trailers: Option<HeaderMap>,
}

/// The body of a response, or its beginning.
#[derive(Debug, Default)]
pub(super) struct BufferedBody {
    pub(super) bytes: Vec<u8>,
    /// Whether the body was longer than what is kept.
    pub(super) truncated: bool,
    /// The error that ended the body early.
    pub(super) error: Option<HttpConnectionError>,
    /// Why there is no more of it, or nothing, although it arrived.
    pub(super) undecoded: Option<DecodeError>,
}

/// What to do with a body that exceeds the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExcessBody {
    /// Continue reading, to reach the trailers.
    Discard,
    /// Close the connection.
    Disconnect,
}

/// Reads the body and decompresses it, up to the limit. Returns the connection to the pool if the
/// body was read to its end.
pub(super) async fn read_response(
    response: StreamingResponse<'_>,
    excess: ExcessBody,
) -> BufferedResponse {
    let (head, mut incoming, connection) = response.into_parts();
    let mut body = BufferedBody::default();
    let mut trailers = None;
    let ended = loop {
        if body.truncated && excess == ExcessBody::Disconnect {
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
    body.decode(&encodings(&head.headers, &CONTENT_ENCODING));
    BufferedResponse { status: head.status, headers: head.headers, body, trailers }
}

/// Returns the encodings that the headers `name` list.
pub(super) fn encodings(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    values.join(",")
}

impl BufferedBody {
    fn extend(&mut self, data: &[u8]) {
        let free = MAX_BODY_BYTES - self.bytes.len();
        let (kept, discarded) = data.split_at(free.min(data.len()));
        self.bytes.extend_from_slice(kept);
        self.truncated |= !discarded.is_empty();
    }

    fn decode(&mut self, encodings: &str) {
        (self.bytes, self.undecoded) =
            decode(std::mem::take(&mut self.bytes), encodings, MAX_BODY_BYTES);
    }

    /// Returns why the body is incomplete; `None` if it is whole.
    pub(super) fn problem(&self) -> Option<String> {
        if self.truncated {
            return Some(format!("it is longer than {} KiB", MAX_BODY_BYTES / 1024));
        }
        let broken =
            self.error.as_ref().map(|error| format!("it broke off: {}", error.error_chain()));
        broken.or_else(|| self.undecoded.as_ref().map(ToString::to_string))
    }
}

/// Decodes an `ExportTraceServiceResponse`; `None` if `message` is not one.
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
    fn a_partial_success_is_read_and_sanitized() {
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
    fn garbage_is_not_accepted_as_a_response() {
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
