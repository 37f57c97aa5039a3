//! OTLP/gRPC, unary `TraceService/Export`.
//!
//! The gRPC framing is a five-byte prefix and is read here, not by tonic's codec: memory is taken
//! from the budget before the message is read, a row of gzip members is read to its end, and
//! nothing is copied twice. Status codes, their headers and details are tonic's.

use std::fmt::Display;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::answer_body::AnswerBody;
use super::body::Encoding;
use super::door::{Door, Format, response};
use super::refused::Refused;
use crate::domain::answer::Answer;
use crate::ports::monitor::Transport;
use crate::ports::receive::{Receipt, ReceivePort};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const GRPC_ENCODING: &str = "grpc-encoding";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// The frame of an empty `ExportTraceServiceResponse`: full success.
const FULL_SUCCESS: &[u8] = &[0; 5];
/// How long a client is asked to wait before it tries again: SDKs give up after few seconds.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Returns whether a request's content type says that it is gRPC.
pub(super) fn is_grpc(content_type: &[u8]) -> bool {
    let (kind, rest) = content_type.split_at(content_type.len().min(GRPC.len()));
    kind.eq_ignore_ascii_case(GRPC.as_bytes()) && !rest.starts_with(b"-")
}

/// Returns whether the content type of a gRPC request, parameters aside, leaves its messages at
/// protobuf.
fn is_protobuf(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii();
    kind.eq_ignore_ascii_case(GRPC.as_bytes())
        || kind.eq_ignore_ascii_case(b"application/grpc+proto")
}

/// Answers one gRPC request.
pub(super) async fn answer<R, B>(door: &Door<R>, request: Request<B>) -> Response<AnswerBody>
where
    R: ReceivePort,
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    let (head, body) = request.into_parts();
    let names_encoding = head.headers.contains_key(GRPC_ENCODING);
    let checked = check(&head.method, head.uri.path(), &head.headers);
    drop(head);
    let result = match checked {
        Ok(encoding) => export(door, body, encoding).await,
        Err(refused) => Err(refused),
    };
    let answer = result.as_ref().map_or_else(|refused| refused.answer, |_| Answer::Accepted);
    door.receiver.answered(Transport::Grpc, answer);
    let mut response = match result {
        Ok(receipt) => success(receipt),
        Err(refused) => status(&refused).into_http(),
    };
    if names_encoding {
        // gRPC, "Compression": a server must disclose the encodings it has been sent, and those it
        // knows when it does not know the one it has been sent.
        let accepted = HeaderValue::from_static(Encoding::ACCEPTED);
        response.headers_mut().insert("grpc-accept-encoding", accepted);
    }
    response
}

async fn export<R, B>(door: &Door<R>, body: B, encoding: Encoding) -> Result<Receipt, Refused>
where
    R: ReceivePort,
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    let message = door.reader.read_grpc(body, encoding).await?;
    door.admit(Transport::Grpc, message.bytes.clone(), Format::Protobuf).await
}

fn check(method: &Method, path: &str, headers: &HeaderMap) -> Result<Encoding, Refused> {
    if path != EXPORT {
        return Err(Refused::new(
            Answer::NotFound,
            format!("no such method: {path:.200}; traces are received at {EXPORT}"),
        ));
    }
    if method != Method::POST {
        return Err(Refused::new(Answer::MethodNotAllowed, "gRPC requests are sent by POST"));
    }
    if !headers.get(CONTENT_TYPE).is_some_and(|kind| is_protobuf(kind.as_bytes())) {
        return Err(Refused::new(
            Answer::UnsupportedMediaType,
            "gRPC messages are received as protobuf (application/grpc)",
        ));
    }
    let named = headers.get(GRPC_ENCODING).map(HeaderValue::as_bytes);
    Encoding::from_header(named).ok_or_else(|| {
        Refused::new(
            Answer::UnsupportedMediaType,
            format!("grpc-encoding is none of {}", Encoding::ACCEPTED),
        )
    })
}

fn success(receipt: Receipt) -> Response<AnswerBody> {
    let frame = if receipt == Receipt::default() {
        Bytes::from_static(FULL_SUCCESS)
    } else {
        frame(&response(receipt))
    };
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    let mut response = Response::new(AnswerBody::with_trailers(frame, trailers));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// Frames a message as gRPC does: not compressed, its length, itself.
fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(FULL_SUCCESS.len() + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_slice(&message.encode_to_vec());
    frame.freeze()
}

/// Returns the status of a refused request, with the details OTLP asks for.
pub(super) fn status(refused: &Refused) -> Status {
    let code = Code::from_i32(refused.answer.grpc_code().0);
    let message = refused.message.as_ref();
    match refused.answer {
        Answer::Malformed => Status::with_error_details(
            code,
            message,
            ErrorDetails::with_bad_request_violation("", message),
        ),
        Answer::Unavailable => Status::with_error_details(
            code,
            message,
            ErrorDetails::with_retry_info(Some(RETRY_DELAY)),
        ),
        _ => Status::new(code, message),
    }
}

#[cfg(test)]
mod tests;
