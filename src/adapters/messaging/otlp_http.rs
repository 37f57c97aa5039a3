//! OTLP/HTTP: POST of protobuf or JSON to `/v1/traces`.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT,
    HeaderValue, RETRY_AFTER,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use prost::Message;
use serde_json::json;

use super::answer_body::AnswerBody;
use super::body::{Encoding, Plan};
use super::door::{Door, Format, response};
use super::otlp_grpc::{RETRY_DELAY, is_grpc, status};
use super::refused::Refused;
use crate::domain::answer::Answer;
use crate::ports::monitor::Transport;
use crate::ports::receive::{Receipt, ReceivePort};

/// OTLP's path, and `/`: an exporter given a per-signal endpoint without a path posts there.
const PATHS: [&str; 2] = ["/v1/traces", "/"];
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// An HTTP/1 client that is still sending would see a broken connection, not the answer; so much
/// of a refused body is read and thrown away.
const MOST_DISCARDED_BYTES: usize = 64 << 20;
const LONGEST_DISCARD: Duration = Duration::from_secs(5);

/// Answers one OTLP/HTTP request.
pub(super) async fn answer<R, B>(door: &Door<R>, request: Request<B>) -> Response<AnswerBody>
where
    R: ReceivePort,
    B: Body<Data = Bytes, Error: Display> + Send + Unpin + 'static,
{
    let (head, mut body) = request.into_parts();
    let format = format(&head.headers);
    let result = export(door, &head, &mut body, format).await;
    let answer = result.as_ref().map_or_else(|refused| refused.answer, |_| Answer::Accepted);
    door.receiver.answered(Transport::Http, answer);
    let format = format.unwrap_or(Format::Protobuf);
    match result {
        Ok(receipt) => success(receipt, format),
        Err(refused) if head.version < Version::HTTP_2 && !body.is_end_stream() => {
            let mut response = failure(&refused, format);
            if head.headers.contains_key(EXPECT) {
                // It may or may not send the body now, so what comes next may be anything.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // While the answer is on its way: the client may wait for it before it sends more.
            tokio::spawn(discard(body));
            response
        }
        Err(refused) => failure(&refused, format),
    }
}

async fn export<R, B>(
    door: &Door<R>,
    head: &http::request::Parts,
    body: &mut B,
    format: Option<Format>,
) -> Result<Receipt, Refused>
where
    R: ReceivePort,
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    if head.headers.get(CONTENT_TYPE).is_some_and(|kind| is_grpc(kind.as_bytes())) {
        let message = "gRPC is received over HTTP/2 only";
        return Err(Refused::new(Answer::UnsupportedMediaType, message));
    }
    let path = head.uri.path();
    if !PATHS.contains(&path) {
        let message = format!("no such path: {path:.200}; traces are received at {}", PATHS[0]);
        return Err(Refused::new(Answer::NotFound, message));
    }
    if head.method != Method::POST {
        let message = format!("traces are received by POST, not {:.20}", head.method.as_str());
        return Err(Refused::new(Answer::MethodNotAllowed, message));
    }
    let format = format.ok_or_else(|| {
        let message = format!("content-type must be {PROTOBUF} or {JSON}");
        Refused::new(Answer::UnsupportedMediaType, message)
    })?;
    let named = head.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    let encoding = Encoding::from_header(named).ok_or_else(|| {
        let message = format!("content-encoding must be one of {}", Encoding::ACCEPTED);
        Refused::new(Answer::UnsupportedMediaType, message)
    })?;
    let length =
        head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let copies = if format == Format::Json { 2 } else { 1 };
    let message = door.reader.read_http(body, length, Plan { encoding, copies }).await?;
    door.admit(Transport::Http, message.bytes.clone(), format).await
}

/// Returns how the content type says the body is serialized; parameters are ignored.
fn format(headers: &HeaderMap) -> Option<Format> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = value.split(';').next()?.trim();
    if kind.eq_ignore_ascii_case(PROTOBUF) {
        Some(Format::Protobuf)
    } else if kind.eq_ignore_ascii_case(JSON) {
        Some(Format::Json)
    } else {
        None
    }
}

async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let discarding = async {
        let mut left = MOST_DISCARDED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    };
    // Time up or not, it is enough.
    let _ = tokio::time::timeout(LONGEST_DISCARD, discarding).await;
}

fn success(receipt: Receipt, format: Format) -> Response<AnswerBody> {
    let message = response(receipt);
    let body = match format {
        Format::Protobuf => message.encode_to_vec(),
        Format::Json => match message.partial_success {
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

/// Answers with a `Status` in the request's encoding, as every 4xx and 5xx must.
fn failure(refused: &Refused, format: Format) -> Response<AnswerBody> {
    let code = StatusCode::from_u16(refused.answer.http_status().0);
    let code = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = reply(code, status_body(refused, format), format);
    let headers = response.headers_mut();
    match refused.answer {
        Answer::Unavailable => {
            headers.insert(RETRY_AFTER, RETRY_DELAY.as_secs().into());
        }
        Answer::MethodNotAllowed => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        Answer::UnsupportedMediaType => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(Encoding::ACCEPTED));
        }
        _ => {}
    }
    response
}

fn status_body(refused: &Refused, format: Format) -> Vec<u8> {
    let status = status(refused);
    match format {
        Format::Json => json_status(refused).to_string().into_bytes(),
        // With details, they are the whole `Status`.
        Format::Protobuf if !status.details().is_empty() => status.details().to_vec(),
        Format::Protobuf => tonic_types::Status {
            code: refused.answer.grpc_code().0,
            message: refused.message.clone().into_owned(),
            details: vec![],
        }
        .encode_to_vec(),
    }
}

fn json_status(refused: &Refused) -> serde_json::Value {
    let code = refused.answer.grpc_code().0;
    let message = &refused.message;
    let details = match refused.answer {
        Answer::Malformed => json!([{
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{ "description": message }],
        }]),
        Answer::Unavailable => json!([{
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}s", RETRY_DELAY.as_secs()),
        }]),
        _ => json!([]),
    };
    json!({ "code": code, "message": message, "details": details })
}

fn reply(code: StatusCode, body: Vec<u8>, format: Format) -> Response<AnswerBody> {
    let kind = match format {
        Format::Protobuf => PROTOBUF,
        Format::Json => JSON,
    };
    let mut response = Response::new(AnswerBody::data(body.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests;
