//! Interpreting gRPC responses.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode};
use percent_encoding::percent_decode;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic_types::{RetryInfo, RpcStatusExt, pb};

use super::decode::decode;
use super::error_text::{BodyFormat, error_text};
use super::failure::{SendStage, answer_message, inconclusive};
use super::remedy::{grpc_remedy, is_about_size, not_grpc_remedy};
use super::response::{
    BufferedBody, BufferedResponse, MAX_BODY_BYTES, SentRequest, encodings, parse_export_response,
};
use crate::adapters::messaging::wire::grpc;
use crate::domain::delivery::{
    Delivered, Failure, FailureKind, classify_grpc_code, classify_http_status,
};

const GRPC_ENCODING: HeaderName = HeaderName::from_static(grpc::GRPC_ENCODING);
const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";
const GRPC_STATUS_DETAILS: &str = "grpc-status-details-bin";
const OUT_OF_RANGE: i32 = 11;

/// Returns the outcome of a request. `broken` is the failure of a response whose body ended early.
pub(super) fn delivery_result(
    answer: BufferedResponse,
    broken: Option<Failure>,
    sent: SentRequest<'_>,
) -> Result<Delivered, Failure> {
    let BufferedResponse { status, headers, body, trailers } = answer;
    // A response without a message may consist of headers only ("Trailers-Only").
    let trailers = trailers.filter(|trailers| trailers.contains_key(GRPC_STATUS));
    let status_headers = trailers.as_ref().unwrap_or(&headers);
    match status_headers.get(GRPC_STATUS).map(|value| value.to_str().ok()?.parse().ok()) {
        Some(Some(0)) => Ok(success(&body, &headers, sent.peer)),
        Some(Some(code)) => Err(status_failure(code, trailers.unwrap_or(headers), sent)),
        Some(None) => Err(inconclusive(
            SendStage::Response,
            format!("{} sent a grpc-status that is not a number", sent.peer),
        )),
        None => Err(missing_status_failure(status, &headers, &body, broken, sent)),
    }
}

fn success(body: &BufferedBody, headers: &HeaderMap, peer: &str) -> Delivered {
    read_message(body, headers).unwrap_or_else(|problem| Delivered {
        rejected_spans: 0,
        message: format!("{peer} answered OK, with a message that cannot be read: {problem}"),
    })
}

/// Reads the one message of a body; returns why it cannot be read otherwise.
fn read_message(body: &BufferedBody, headers: &HeaderMap) -> Result<Delivered, Cow<'static, str>> {
    if let Some(problem) = body.problem() {
        return Err(problem.into());
    }
    let (prefix, message) = body.bytes.split_first_chunk().ok_or("there is none")?;
    let (flag, length) = grpc::split_prefix(*prefix);
    if usize::try_from(length) != Ok(message.len()) {
        return Err("its length is wrong".into());
    }
    let message = match flag {
        0 => Cow::Borrowed(message),
        1 => decompress(message, &encodings(headers, &GRPC_ENCODING))?.into(),
        _ => return Err("its prefix is invalid".into()),
    };
    parse_export_response(&message).ok_or_else(|| "it is not OTLP".into())
}

fn decompress(message: &[u8], encoding: &str) -> Result<Vec<u8>, Cow<'static, str>> {
    if matches!(encoding.trim(), "" | "identity") {
        return Err("it is compressed, but no encoding is named".into());
    }
    match decode(message.to_vec(), encoding, MAX_BODY_BYTES) {
        (message, None) => Ok(message),
        (_, Some(error)) => Err(error.to_string().into()),
    }
}

fn status_failure(code: i32, trailers: HeaderMap, sent: SentRequest<'_>) -> Failure {
    let message = trailers
        .get(GRPC_MESSAGE)
        .map(|value| percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned());
    let message = message.unwrap_or_default();
    let retry_info = retry_info(trailers);
    let (kind, name) = classify_grpc_code(code, retry_info.is_some());
    // Servers on tonic refuse large messages with this code, which OTLP calls retryable.
    let is_too_large = code == OUT_OF_RANGE && is_about_size(&message);
    let remedy = match kind {
        FailureKind::Unavailable => "",
        _ => grpc_remedy(code, &message, sent.compressed),
    };
    Failure {
        kind: if is_too_large { FailureKind::TooLarge } else { kind },
        code: name,
        retry_after: retry_info.and_then(|info| info.retry_delay),
        message: answer_message(sent.peer, name, &message, remedy).into(),
    }
}

fn retry_info(trailers: HeaderMap) -> Option<RetryInfo> {
    let metadata = MetadataMap::from_headers(trailers);
    let details = metadata.get_bin(GRPC_STATUS_DETAILS)?.to_bytes().ok()?;
    let status = pb::Status::decode(details).ok()?;
    status.get_details_retry_info()
}

/// Returns the failure of a response without `grpc-status`: the peer does not implement gRPC, or
/// the response was interrupted.
fn missing_status_failure(
    status: StatusCode,
    headers: &HeaderMap,
    body: &BufferedBody,
    broken: Option<Failure>,
    sent: SentRequest<'_>,
) -> Failure {
    if let Some(failure) = broken {
        return failure;
    }
    let is_grpc = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(grpc::CONTENT_TYPE.as_bytes()));
    if status == StatusCode::OK && is_grpc {
        let message = format!("{} ended its response without a grpc-status", sent.peer);
        return inconclusive(SendStage::Response, message);
    }
    let text = error_text(BodyFormat::from_headers(headers), &body.bytes);
    let remedy = not_grpc_remedy(status.as_u16(), &text, sent.compressed);
    let answer = format!("HTTP {status}, not gRPC");
    let message = answer_message(sent.peer, &answer, &text, remedy);
    let (kind, code) = match status {
        StatusCode::OK => return inconclusive(SendStage::Response, message),
        // From a proxy; no gRPC code says as clearly that the request is too large.
        StatusCode::PAYLOAD_TOO_LARGE => classify_http_status(status.as_u16()),
        _ => classify_grpc_code(grpc_code_from_http(status), false),
    };
    Failure { kind, code, retry_after: None, message: message.into() }
}

/// gRPC, "HTTP to gRPC Status Code Mapping".
const fn grpc_code_from_http(status: StatusCode) -> i32 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

#[cfg(test)]
mod tests;
