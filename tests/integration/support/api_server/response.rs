//! HTTP responses.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub(crate) type Chunk = Result<Bytes, io::Error>;

/// The body of a response: the chunks that are sent into it until the sender is dropped.
pub(crate) struct ChunkedBody(mpsc::UnboundedReceiver<Chunk>);

impl Body for ChunkedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

/// Returns a response whose body is sent in chunks.
pub(crate) fn streaming_response() -> (mpsc::UnboundedSender<Chunk>, Response<ChunkedBody>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Response::new(ChunkedBody(receiver)))
}

pub(crate) fn json_response(code: u16, body: &Value) -> Response<ChunkedBody> {
    let (sender, mut response) = streaming_response();
    sender.send(Ok(Bytes::from(body.to_string()))).unwrap();
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

pub(crate) fn error_response(code: u16, message: &str) -> Response<ChunkedBody> {
    json_response(code, &status_object(code, message))
}

pub(crate) fn status_object(code: u16, message: &str) -> Value {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 if message.ends_with("already exists") => "AlreadyExists",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

pub(crate) fn connection_reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the script broke the connection")
}
