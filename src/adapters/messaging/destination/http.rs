//! OTLP/HTTP with binary protobuf.

use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::body::Rope;
use super::client::EndpointClient;
use super::config::DestinationSettings;
use super::deadline::Deadline;
use super::http_response::delivery_result;
use super::response::ExcessBody;
use super::secrets::Secrets;
use crate::domain::delivery::{Delivered, Failure};
use crate::ports::destination::{Destination, OutgoingRequest};

/// A destination that speaks OTLP/HTTP: over HTTP/2 if TLS negotiates it, otherwise over HTTP/1.1.
#[derive(Debug)]
pub struct HttpDestination {
    client: EndpointClient,
}

impl HttpDestination {
    /// Creates a destination from `settings`. Opens no connection yet.
    #[must_use]
    pub fn new(settings: &DestinationSettings) -> Self {
        Self { client: EndpointClient::new(settings, &settings.endpoint.path) }
    }

    async fn try_send(
        &self,
        request: OutgoingRequest,
        deadline: Deadline,
    ) -> Result<Delivered, Failure> {
        let mut headers = self.client.headers().await?;
        let secrets = Secrets::of_headers(&headers);
        let connection = self.client.connect(deadline).await?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if let Some(encoding) = self.client.encoding() {
            headers.insert(CONTENT_ENCODING, encoding);
        }
        let body = self.client.compress(Rope::from(request.chunks)).await?;
        let response = self
            .client
            .send_request(connection, headers, body, deadline, ExcessBody::Disconnect)
            .await?;
        secrets.hide_in_result(delivery_result(&response, self.client.sent_request()))
    }
}

impl Destination for HttpDestination {
    async fn send(&self, request: OutgoingRequest) -> Result<Delivered, Failure> {
        let deadline = self.client.deadline();
        self.client.with_deadline(deadline, self.try_send(request, deadline)).await
    }
}
