//! OTLP/gRPC, unary `TraceService/Export`.
//!
//! The gRPC framing is a five-byte prefix and is read here instead of by tonic's codec, so that
//! memory is reserved in the budget before the message is read, all members of a gzip body are
//! read, and nothing is copied twice. Status codes, their headers and details come from tonic.

use std::fmt::Display;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use prost::Message;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::body::Encoding;
use super::export_handler::{ExportHandler, MessageFormat, export_response};
use super::other_signal::OtherSignal;
use super::request_error::RequestError;
use super::response_body::ResponseBody;
use super::user_agent::UserAgent;
use super::wire::grpc::{self, EXPORT_PATH, GRPC_ENCODING, GRPC_TIMEOUT};
use crate::adapters::server::{HoldBack, Peer};
use crate::domain::response_status::ResponseStatus;
use crate::domain::text::{Escaped, truncated};
use crate::ports::monitor::{Monitor, Transport};
use crate::ports::receive::{ExportResult, ReceivePort};

static ENCODING: HeaderName = HeaderName::from_static(GRPC_ENCODING);
static TIMEOUT: HeaderName = HeaderName::from_static(GRPC_TIMEOUT);
const GRPC_CONTENT_TYPE: HeaderValue = HeaderValue::from_static(grpc::CONTENT_TYPE);
/// The frame of an empty `ExportTraceServiceResponse`: full success.
const FULL_SUCCESS_FRAME: &[u8] = &grpc::prefix(false, 0);
/// The retry delay that clients are asked for: SDKs give up after a few seconds.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Returns whether the content type is that of a gRPC request.
pub(super) fn is_grpc(content_type: &[u8]) -> bool {
    let (kind, rest) = content_type.split_at(content_type.len().min(GRPC_CONTENT_TYPE.len()));
    kind.eq_ignore_ascii_case(GRPC_CONTENT_TYPE.as_bytes()) && !rest.starts_with(b"-")
}

/// Returns whether the content type of a gRPC request, ignoring parameters, means protobuf
/// messages.
fn is_protobuf(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii();
    kind.eq_ignore_ascii_case(GRPC_CONTENT_TYPE.as_bytes())
        || kind.eq_ignore_ascii_case(b"application/grpc+proto")
}

/// Handles one gRPC request.
pub(super) async fn handle<R, M, B>(
    handler: &ExportHandler<R, M>,
    peer: Peer,
    request: Request<B>,
) -> Response<ResponseBody>
where
    R: ReceivePort,
    M: Monitor,
    B: Body<Data = Bytes, Error: Display> + HoldBack + Unpin,
{
    let (head, body) = request.into_parts();
    let headers = &head.headers;
    let names_encoding = headers.contains_key(&ENCODING);
    let checked = check_head(&head.method, head.uri.path(), headers);
    let deadline = headers.get(&TIMEOUT).and_then(|value| grpc::parse_timeout(value.as_bytes()));
    let sender = UserAgent::of(headers);
    // A head may have hundreds of headers, and the body may never come.
    drop(head);
    let result = match checked {
        Ok(encoding) => export(handler, peer, body, encoding, deadline).await,
        Err(error) => Err(error),
    };
    handler.report(Transport::Grpc, &result, &sender);
    let mut response = match result {
        Ok(result) => success_response(result),
        Err(error) => grpc_status(&error).into_http(),
    };
    if names_encoding {
        // gRPC, "Compression": the response advertises the supported encodings, also when the
        // request's encoding is not supported.
        let accepted = HeaderValue::from_static(Encoding::ACCEPTED);
        response.headers_mut().insert("grpc-accept-encoding", accepted);
    }
    response
}

async fn export<R, M, B>(
    handler: &ExportHandler<R, M>,
    peer: Peer,
    body: B,
    encoding: Encoding,
    deadline: Option<Duration>,
) -> Result<ExportResult, RequestError>
where
    R: ReceivePort,
    M: Monitor,
    B: Body<Data = Bytes, Error: Display> + HoldBack + Unpin,
{
    let request = handler.reader.open(peer)?;
    let reading = handler.reader.read_grpc(&request, body, encoding);
    let message = match deadline {
        Some(deadline) => {
            timeout(deadline, reading).await.unwrap_or_else(|_| Err(deadline_error(deadline)))
        }
        None => reading.await,
    };
    handler.export(Transport::Grpc, message?, MessageFormat::Protobuf).await
}

fn deadline_error(deadline: Duration) -> RequestError {
    RequestError::timed_out(format!("the call's deadline of {deadline:?} passed (grpc-timeout)"))
}

fn check_head(method: &Method, path: &str, headers: &HeaderMap) -> Result<Encoding, RequestError> {
    if path != EXPORT_PATH {
        let hint = OtherSignal::of_method(path).map(|signal| format!("; {signal}"));
        return Err(RequestError::new(
            ResponseStatus::NotFound,
            format!(
                "no such method: {}; traces are received at {EXPORT_PATH}{}",
                Escaped(&truncated(path, 200)),
                hint.unwrap_or_default()
            ),
        ));
    }
    if method != Method::POST {
        return Err(RequestError::new(
            ResponseStatus::MethodNotAllowed,
            "gRPC requests must use POST",
        ));
    }
    if !headers.get(CONTENT_TYPE).is_some_and(|kind| is_protobuf(kind.as_bytes())) {
        return Err(RequestError::new(
            ResponseStatus::UnsupportedMediaType,
            "gRPC messages must be protobuf (application/grpc)",
        ));
    }
    let named = headers.get(&ENCODING).map(HeaderValue::as_bytes);
    Encoding::from_header(named).ok_or_else(|| {
        RequestError::new(
            ResponseStatus::UnsupportedMediaType,
            format!("grpc-encoding must be one of {}", Encoding::ACCEPTED),
        )
    })
}

fn success_response(result: ExportResult) -> Response<ResponseBody> {
    let frame = if result.rejected_spans == 0 && result.message.is_empty() {
        Bytes::from_static(FULL_SUCCESS_FRAME)
    } else {
        frame(&export_response(result))
    };
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    let mut response = Response::new(ResponseBody::with_trailers(frame, trailers));
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

/// Frames a message for gRPC: flag 0 (not compressed), length, message.
fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(grpc::PREFIX_BYTES + length);
    frame.put_slice(&grpc::prefix(false, u32::try_from(length).unwrap_or(u32::MAX)));
    frame.put_slice(&message.encode_to_vec());
    frame.freeze()
}

/// Returns the status of a refused request, with the details that OTLP recommends.
pub(super) fn grpc_status(error: &RequestError) -> Status {
    let code = Code::from_i32(error.status.grpc_code().0);
    let message = error.message.as_ref();
    match error.status {
        ResponseStatus::Malformed => Status::with_error_details(
            code,
            message,
            ErrorDetails::with_bad_request_violation("", message),
        ),
        ResponseStatus::Unavailable => Status::with_error_details(
            code,
            message,
            ErrorDetails::with_retry_info(Some(RETRY_DELAY)),
        ),
        _ => Status::new(code, message),
    }
}

#[cfg(test)]
mod tests;
