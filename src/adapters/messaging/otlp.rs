//! OTLP over gRPC and HTTP on the same port, distinguished by content type.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, Version};

use super::body::BodyReader;
use super::cors::AllowedOrigins;
use super::export_handler::ExportHandler;
use super::response_body::ResponseBody;
use super::{otlp_grpc, otlp_http};
use crate::adapters::server::{HttpService, Peer, RequestBody};
use crate::ports::monitor::Monitor;
use crate::ports::receive::ReceivePort;

/// Serves OTLP requests of both transports.
pub struct OtlpService<R, M> {
    handler: Arc<ExportHandler<R, M>>,
}

impl<R, M> OtlpService<R, M> {
    /// Passes requests of up to `max_request_bytes`, decompressed, to `receiver`, and reports every
    /// response to `monitor`. Pages of `origins` may send from a browser.
    #[must_use]
    pub fn new(
        receiver: Arc<R>,
        monitor: Arc<M>,
        max_request_bytes: usize,
        origins: Option<AllowedOrigins>,
    ) -> Self {
        Self {
            handler: Arc::new(ExportHandler {
                receiver,
                monitor,
                reader: BodyReader::new(max_request_bytes),
                origins,
            }),
        }
    }
}

impl<R, M> Clone for OtlpService<R, M> {
    fn clone(&self) -> Self {
        Self { handler: Arc::clone(&self.handler) }
    }
}

impl<R: ReceivePort, M: Monitor> HttpService for OtlpService<R, M> {
    type Body = ResponseBody;

    async fn handle(&self, peer: Peer, request: Request<RequestBody>) -> Response<ResponseBody> {
        let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        // Over HTTP/1 the gRPC status, which is a trailer, would be lost.
        let can_be_grpc = request.version() >= Version::HTTP_2;
        if can_be_grpc && content_type.is_some_and(otlp_grpc::is_grpc) {
            otlp_grpc::handle(&self.handler, peer, request).await
        } else {
            otlp_http::handle(&self.handler, peer, request).await
        }
    }
}
