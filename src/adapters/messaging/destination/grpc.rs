//! OTLP/gRPC, without the copy of the whole batch that a generic gRPC client would make.

use bytes::{Buf, Bytes};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::body::Rope;
use super::client::EndpointClient;
use super::config::DestinationSettings;
use super::deadline::Deadline;
use super::failure::{SendStage, unavailable};
use super::grpc_response::delivery_result;
use super::response::ExcessBody;
use super::secrets::Secrets;
use crate::adapters::messaging::wire::grpc;
use crate::domain::delivery::{Delivered, Failure};
use crate::ports::destination::{Destination, OutgoingRequest};

/// The encoding of messages. No request announces which encodings of responses it accepts, since
/// there is nothing to gain: a response has a few bytes. Servers still compress it as the request
/// was.
const GRPC_ENCODING: HeaderName = HeaderName::from_static(grpc::GRPC_ENCODING);
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The largest value of `grpc-timeout`, which has at most eight digits.
const MAX_TIMEOUT_MS: u128 = 99_999_999;

/// A destination that speaks OTLP/gRPC.
#[derive(Debug)]
pub struct GrpcDestination {
    client: EndpointClient,
}

impl GrpcDestination {
    /// Creates a destination from `settings`. Opens no connection yet.
    #[must_use]
    pub fn new(settings: &DestinationSettings) -> Self {
        Self { client: EndpointClient::new(settings, grpc::EXPORT_PATH) }
    }

    async fn try_send(
        &self,
        request: OutgoingRequest,
        deadline: Deadline,
    ) -> Result<Delivered, Failure> {
        let mut headers = self.client.headers().await?;
        let secrets = Secrets::of_headers(&headers);
        let connection = self.client.connect(deadline).await?;
        let encoding = self.client.encoding();
        let message = self.client.compress(Rope::from(request.chunks)).await?;
        let body = frame_message(message, encoding.is_some())?;
        add_protocol_headers(&mut headers, encoding, deadline);
        let answer = self
            .client
            .send_request(connection, headers, body, deadline, ExcessBody::Discard)
            .await?;
        let broken = self.client.body_failure(&answer);
        secrets.hide_in_result(delivery_result(answer, broken, self.client.sent_request()))
    }
}

impl Destination for GrpcDestination {
    async fn send(&self, request: OutgoingRequest) -> Result<Delivered, Failure> {
        let deadline = self.client.deadline();
        self.client.with_deadline(deadline, self.try_send(request, deadline)).await
    }
}

/// Adds the gRPC prefix to a message.
fn frame_message(message: Rope, compressed: bool) -> Result<Rope, Failure> {
    let length = u32::try_from(message.remaining())
        .map_err(|_| unavailable(SendStage::Reset, "a gRPC message cannot have 4 GiB or more"))?;
    Ok(message.with_prefix(Bytes::copy_from_slice(&grpc::prefix(compressed, length))))
}

fn add_protocol_headers(
    headers: &mut HeaderMap,
    encoding: Option<HeaderValue>,
    deadline: Deadline,
) {
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    if let Some(encoding) = encoding {
        headers.insert(GRPC_ENCODING, encoding);
    }
    let left = deadline.remaining().as_millis().clamp(1, MAX_TIMEOUT_MS);
    if let Ok(left) = HeaderValue::try_from(format!("{left}m")) {
        headers.insert(GRPC_TIMEOUT, left);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_message_is_prefixed_by_its_flag_and_length() {
        let rope = Rope::from(vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de")]);

        let mut framed = frame_message(rope.clone(), true).unwrap();
        assert_eq!(framed.copy_to_bytes(framed.remaining()), &b"\x01\0\0\0\x05abcde"[..]);

        let mut framed = super::frame_message(rope, false).unwrap();
        assert_eq!(framed.copy_to_bytes(grpc::PREFIX_BYTES), &b"\0\0\0\0\x05"[..]);
    }

    fn timeout_of(given: Duration) -> String {
        let mut headers = HeaderMap::new();
        add_protocol_headers(&mut headers, None, Deadline::after(given));
        headers.get(GRPC_TIMEOUT).unwrap().to_str().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn the_destination_gets_the_remaining_time() {
        assert_eq!(timeout_of(Duration::from_secs(10)), "10000m");
    }

    #[tokio::test(start_paused = true)]
    async fn the_timeout_header_has_at_most_eight_digits_and_is_never_zero() {
        assert_eq!(timeout_of(Duration::from_secs(1_000_000)), "99999999m");
        assert_eq!(timeout_of(Duration::ZERO), "1m");
    }
}
