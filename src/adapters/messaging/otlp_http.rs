//! OTLP/HTTP: POST of protobuf or JSON to `/v1/traces`.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT,
    HeaderValue, RETRY_AFTER,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use prost::Message;
use serde_json::json;

use super::body::{Encoding, ReadOptions};
use super::cors::{self, Page};
use super::export_handler::{ExportHandler, MessageFormat, export_response};
use super::notation::url::TRACES_PATH;
use super::other_signal::{OtherSignal, SERVICES};
use super::otlp_grpc::{RETRY_DELAY, grpc_status, is_grpc};
use super::request_error::RequestError;
use super::response_body::ResponseBody;
use super::user_agent::UserAgent;
use crate::adapters::server::{HoldBack, Peer};
use crate::domain::response_status::ResponseStatus;
use crate::domain::text::{Escaped, quoted, truncated};
use crate::ports::monitor::{Monitor, Transport};
use crate::ports::receive::{ExportResult, ReceivePort};

/// OTLP's path, and `/`: exporters post to it if their per-signal endpoint has no path.
const TRACES_PATHS: [&str; 2] = [TRACES_PATH, "/"];
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// How much of a refused body is read and discarded: an HTTP/1 client that is still sending would
/// otherwise see a broken connection instead of the response.
const MAX_DISCARDED_BYTES: usize = 64 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// What is needed of a request's head when its body is read and answered. The head itself may have
/// hundreds of headers, and the body may never come.
struct RequestHead {
    /// `None` if the content type is not supported.
    format: Option<MessageFormat>,
    /// How to read the body, or why it is not read.
    body: Result<BodyHead, RequestError>,
    is_http1: bool,
    expects_continue: bool,
    sender: UserAgent,
}

/// What a head says about its body.
#[derive(Clone, Copy)]
struct BodyHead {
    format: MessageFormat,
    encoding: Encoding,
    /// `Content-Length`.
    length: Option<u64>,
}

/// Handles one OTLP/HTTP request.
pub(super) async fn handle<R, M, B>(
    handler: &ExportHandler<R, M>,
    peer: Peer,
    request: Request<B>,
) -> Response<ResponseBody>
where
    R: ReceivePort,
    M: Monitor,
    B: Body<Data = Bytes, Error: Display> + HoldBack + Send + Unpin + 'static,
{
    let (head, body) = request.into_parts();
    let page = handler.origins.as_ref().map(|origins| origins.page(&head.headers));
    if let Some(preflight) = page.as_ref().and_then(|page| preflight_response(page, &head)) {
        return preflight;
    }
    let request = RequestHead::new(&head);
    drop(head);
    let mut response = respond(handler, peer, request, body).await;
    if let Some(page) = page {
        page.allow(response.headers_mut());
    }
    response
}

async fn respond<R, M, B>(
    handler: &ExportHandler<R, M>,
    peer: Peer,
    head: RequestHead,
    mut body: B,
) -> Response<ResponseBody>
where
    R: ReceivePort,
    M: Monitor,
    B: Body<Data = Bytes, Error: Display> + HoldBack + Send + Unpin + 'static,
{
    let result = match head.body {
        Ok(about) => export(handler, peer, about, &mut body).await,
        Err(error) => Err(error),
    };
    handler.report(Transport::Http, &result, &head.sender);
    let format = head.format.unwrap_or(MessageFormat::Protobuf);
    match result {
        Ok(result) => success_response(result, format),
        Err(error) if head.is_http1 && !body.is_end_stream() => {
            let mut response = error_response(&error, format);
            if head.expects_continue {
                // After `Expect: 100-continue` the client may or may not send the body, so the next
                // bytes cannot be interpreted.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // Concurrently with the response: the client may wait for it before it sends more.
            tokio::spawn(discard_body(body));
            response
        }
        Err(error) => error_response(&error, format),
    }
}

async fn export<R, M, B>(
    handler: &ExportHandler<R, M>,
    peer: Peer,
    head: BodyHead,
    body: &mut B,
) -> Result<ExportResult, RequestError>
where
    R: ReceivePort,
    M: Monitor,
    B: Body<Data = Bytes, Error: Display> + HoldBack + Unpin,
{
    let BodyHead { format, encoding, length } = head;
    let copies = if format == MessageFormat::Json { 2 } else { 1 };
    let request = handler.reader.open(peer)?;
    let options = ReadOptions { encoding, copies };
    let message = handler.reader.read_http(&request, body, length, options).await?;
    handler.export(Transport::Http, message, format).await
}

impl RequestHead {
    fn new(head: &Parts) -> Self {
        let format = message_format(&head.headers);
        Self {
            format,
            body: BodyHead::new(head, format),
            is_http1: head.version < Version::HTTP_2,
            expects_continue: head.headers.contains_key(EXPECT),
            sender: UserAgent::of(&head.headers),
        }
    }
}

impl BodyHead {
    fn new(head: &Parts, format: Option<MessageFormat>) -> Result<Self, RequestError> {
        let headers = &head.headers;
        if headers.get(CONTENT_TYPE).is_some_and(|kind| is_grpc(kind.as_bytes())) {
            let message = "gRPC requires HTTP/2";
            return Err(RequestError::new(ResponseStatus::UnsupportedMediaType, message));
        }
        let path = head.uri.path();
        if path.starts_with(SERVICES) {
            let message = "the content-type of a gRPC request must be application/grpc";
            return Err(RequestError::new(ResponseStatus::UnsupportedMediaType, message));
        }
        if !TRACES_PATHS.contains(&path) {
            return Err(RequestError::new(ResponseStatus::NotFound, no_such_path(path)));
        }
        if head.method != Method::POST {
            return Err(RequestError::new(ResponseStatus::MethodNotAllowed, bad_method(head)));
        }
        let format = format.ok_or_else(|| {
            let message = format!(
                "content-type must be {PROTOBUF} or {JSON}, not {}",
                named(headers.get(CONTENT_TYPE))
            );
            RequestError::new(ResponseStatus::UnsupportedMediaType, message)
        })?;
        let encoding = headers.get(CONTENT_ENCODING);
        let encoding =
            Encoding::from_header(encoding.map(HeaderValue::as_bytes)).ok_or_else(|| {
                let (accepted, named) = (Encoding::ACCEPTED, named(encoding));
                let message = format!("content-encoding must be one of {accepted}, not {named}");
                RequestError::new(ResponseStatus::UnsupportedMediaType, message)
            })?;
        let length =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Self { format, encoding, length })
    }
}

/// Returns the value of a header to show in a message.
fn named(value: Option<&HeaderValue>) -> String {
    match value {
        Some(value) => quoted(&String::from_utf8_lossy(value.as_bytes())),
        None => "missing".to_owned(),
    }
}

fn no_such_path(path: &str) -> String {
    let hint = OtherSignal::of_path(path).map(|signal| format!("; {signal}")).unwrap_or_default();
    let path = truncated(path, 200);
    format!("no such path: {}; traces are received at {TRACES_PATH}{hint}", Escaped(&path))
}

fn bad_method(head: &Parts) -> String {
    if let Some(origin) = cors::preflight_origin(&head.method, &head.headers) {
        let origin = quoted(&String::from_utf8_lossy(origin.as_bytes()));
        return format!(
            "pages of the origin {origin} may not send from a browser: \
             TRACEBUFFER_CORS_ALLOWED_ORIGINS does not name it"
        );
    }
    format!("traces must be sent by POST, not {:.20}", head.method.as_str())
}

/// Answers a CORS preflight; `None` if the request is not one for a path of OTLP.
fn preflight_response(page: &Page, head: &Parts) -> Option<Response<ResponseBody>> {
    let path = head.uri.path();
    if !TRACES_PATHS.contains(&path) && OtherSignal::of_path(path).is_none() {
        return None;
    }
    let headers = page.preflight(&head.method, &head.headers)?;
    let mut response = Response::new(ResponseBody::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = headers;
    Some(response)
}

/// Returns the serialization that the content type names; parameters are ignored.
fn message_format(headers: &HeaderMap) -> Option<MessageFormat> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = value.split(';').next()?.trim();
    if kind.eq_ignore_ascii_case(PROTOBUF) {
        Some(MessageFormat::Protobuf)
    } else if kind.eq_ignore_ascii_case(JSON) {
        Some(MessageFormat::Json)
    } else {
        None
    }
}

async fn discard_body<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let discarding = async {
        let mut left = MAX_DISCARDED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    };
    // Best effort: a timeout needs no handling.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, discarding).await;
}

fn success_response(result: ExportResult, format: MessageFormat) -> Response<ResponseBody> {
    let message = export_response(result);
    let body = match format {
        MessageFormat::Protobuf => message.encode_to_vec(),
        MessageFormat::Json => match message.partial_success {
            None => b"{}".to_vec(),
            Some(partial) => json!({ "partialSuccess": {
                "rejectedSpans": partial.rejected_spans.to_string(),
                "errorMessage": partial.error_message,
            }})
            .to_string()
            .into_bytes(),
        },
    };
    reply(StatusCode::OK, body, format)
}

/// Returns a response with a `Status` in the request's format, as OTLP requires of every 4xx and
/// 5xx.
fn error_response(error: &RequestError, format: MessageFormat) -> Response<ResponseBody> {
    let code = StatusCode::from_u16(error.status.http_status().0);
    let code = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = reply(code, status_body(error, format), format);
    let headers = response.headers_mut();
    match error.status {
        ResponseStatus::Unavailable => {
            headers.insert(RETRY_AFTER, RETRY_DELAY.as_secs().into());
        }
        ResponseStatus::MethodNotAllowed => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        ResponseStatus::UnsupportedMediaType => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(Encoding::ACCEPTED));
        }
        _ => {}
    }
    response
}

fn status_body(error: &RequestError, format: MessageFormat) -> Vec<u8> {
    let status = grpc_status(error);
    match format {
        MessageFormat::Json => json_status(error).to_string().into_bytes(),
        // `details` of a tonic status is the serialized `google.rpc.Status`, if there are any.
        MessageFormat::Protobuf if !status.details().is_empty() => status.details().to_vec(),
        MessageFormat::Protobuf => tonic_types::Status {
            code: error.status.grpc_code().0,
            message: error.message.clone().into_owned(),
            details: vec![],
        }
        .encode_to_vec(),
    }
}

fn json_status(error: &RequestError) -> serde_json::Value {
    let code = error.status.grpc_code().0;
    let message = &error.message;
    let details = match error.status {
        ResponseStatus::Malformed => json!([{
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{ "description": message }],
        }]),
        ResponseStatus::Unavailable => json!([{
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}s", RETRY_DELAY.as_secs()),
        }]),
        _ => json!([]),
    };
    json!({ "code": code, "message": message, "details": details })
}

fn reply(code: StatusCode, body: Vec<u8>, format: MessageFormat) -> Response<ResponseBody> {
    let kind = match format {
        MessageFormat::Protobuf => PROTOBUF,
        MessageFormat::Json => JSON,
    };
    let mut response = Response::new(ResponseBody::data(body.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests;
