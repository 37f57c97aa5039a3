//! Interpreting OTLP/HTTP responses.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use prost::Message;
use serde_json::Value;
use tonic_types::pb;

use super::failure::printable;
use super::response::{BufferedResponse, parse_export_response};
use crate::domain::delivery::{Delivered, Failure, classify_http_status};

/// The format of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyFormat {
    Protobuf,
    Json,
    Text,
    Other,
}

/// Returns the outcome of a request; `peer` names the destination.
///
/// The status alone decides, even if the body is truncated or invalid.
pub(super) fn delivery_result(
    response: &BufferedResponse,
    peer: &str,
) -> Result<Delivered, Failure> {
    if response.status.is_success() {
        return Ok(success(response, peer));
    }
    let status = response.status;
    let (kind, code) = classify_http_status(status.as_u16());
    let message = error_message(response);
    let colon = if message.is_empty() { "" } else { ": " };
    Err(Failure {
        kind,
        code,
        retry_after: retry_after(&response.headers, SystemTime::now()),
        message: format!("{peer} answered HTTP {status}{colon}{message}{}", remedy(status)).into(),
    })
}

fn success(response: &BufferedResponse, peer: &str) -> Delivered {
    let complete = !response.body.truncated && response.body.error.is_none();
    let bytes = &response.body.bytes;
    let delivered = match body_format(&response.headers) {
        _ if !complete => None,
        _ if bytes.is_empty() => Some(Delivered::default()),
        BodyFormat::Protobuf => parse_export_response(bytes),
        BodyFormat::Json => parse_export_response_json(bytes),
        BodyFormat::Text | BodyFormat::Other => None,
    };
    delivered.unwrap_or_else(|| Delivered {
        rejected_spans: 0,
        message: format!("{peer} answered HTTP {}, with a body that is not OTLP", response.status),
    })
}

/// Parses an `ExportTraceServiceResponse` in JSON. `ProtoJSON` writes 64-bit numbers as strings;
/// plain numbers are accepted too.
fn parse_export_response_json(bytes: &[u8]) -> Option<Delivered> {
    let response: serde_json::Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let partial = response.get("partialSuccess").unwrap_or(&Value::Null);
    let rejected_spans = match &partial["rejectedSpans"] {
        Value::String(number) => number.parse().ok()?,
        number => number.as_u64().unwrap_or(0),
    };
    let message = partial["errorMessage"].as_str().unwrap_or_default();
    Some(Delivered { rejected_spans, message: printable(message) })
}

/// Returns the message of the `Status` in the body, or the body itself if it is plain text.
fn error_message(response: &BufferedResponse) -> String {
    let bytes = &response.body.bytes;
    let message = match body_format(&response.headers) {
        BodyFormat::Protobuf => {
            pb::Status::decode(bytes.as_slice()).ok().map(|status| status.message)
        }
        BodyFormat::Json => serde_json::from_slice::<Value>(bytes)
            .ok()
            .and_then(|status| status.get("message")?.as_str().map(str::to_owned)),
        BodyFormat::Text => Some(String::from_utf8_lossy(bytes).trim().to_owned()),
        BodyFormat::Other => None,
    };
    printable(&message.unwrap_or_default())
}

fn body_format(headers: &HeaderMap) -> BodyFormat {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/x-protobuf" | "application/protobuf" => BodyFormat::Protobuf,
        "application/json" => BodyFormat::Json,
        "text/plain" => BodyFormat::Text,
        _ => BodyFormat::Other,
    }
}

const fn remedy(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..=399 => "; redirects are not followed: use the final address as the endpoint",
        401 | 403 => "; check the configured headers and the client certificate",
        404 | 405 => "; check the path of the endpoint",
        _ => "",
    }
}

/// Parses `Retry-After`: seconds, or a date (RFC 9110, 10.2.3). A date in the past means now.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().map(Duration::from_secs);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests;
