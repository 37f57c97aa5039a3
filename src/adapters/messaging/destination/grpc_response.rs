//! Interpreting gRPC responses.

use http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic_types::{RetryInfo, RpcStatusExt, pb};

use super::failure::{SendStage, printable, unavailable};
use super::response::{BufferedBody, BufferedResponse, parse_export_response};
use crate::adapters::messaging::wire::grpc;
use crate::domain::delivery::{Delivered, Failure, classify_grpc_code, classify_http_status};

const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";
const GRPC_STATUS_DETAILS: &str = "grpc-status-details-bin";

/// Returns the outcome of a request. `broken` is the failure of a response whose body ended early,
/// and `peer` names the destination.
pub(super) fn delivery_result(
    answer: BufferedResponse,
    broken: Option<Failure>,
    peer: &str,
) -> Result<Delivered, Failure> {
    let BufferedResponse { status, headers, body, trailers } = answer;
    // A response without a message may consist of headers only ("Trailers-Only").
    let trailers =
        trailers.filter(|trailers| trailers.contains_key(GRPC_STATUS)).unwrap_or(headers);
    match trailers.get(GRPC_STATUS).map(|value| value.to_str().ok()?.parse().ok()) {
        Some(Some(0)) => Ok(success(&body, peer)),
        Some(Some(code)) => Err(status_failure(code, trailers, peer)),
        Some(None) => Err(unavailable(
            SendStage::Response,
            format!("{peer} sent a grpc-status that is not a number"),
        )),
        None => Err(missing_status_failure(status, broken, peer)),
    }
}

fn success(body: &BufferedBody, peer: &str) -> Delivered {
    let message = (!body.truncated).then(|| unframe_message(&body.bytes)).flatten();
    message.and_then(parse_export_response).unwrap_or_else(|| Delivered {
        rejected_spans: 0,
        message: format!("{peer} answered OK, with a message that cannot be read"),
    })
}

/// Returns the one uncompressed message of a body.
fn unframe_message(body: &[u8]) -> Option<&[u8]> {
    let (prefix, message) = body.split_first_chunk()?;
    let (flag, length) = grpc::split_prefix(*prefix);
    let is_whole = flag == 0 && usize::try_from(length) == Ok(message.len());
    is_whole.then_some(message)
}

fn status_failure(code: i32, trailers: HeaderMap, peer: &str) -> Failure {
    let detail = trailers.get(GRPC_MESSAGE).map_or_else(String::new, |value| {
        printable(&percent_decode(value.as_bytes()).decode_utf8_lossy())
    });
    let retry_info = retry_info(trailers);
    let (kind, name) = classify_grpc_code(code, retry_info.is_some());
    let colon = if detail.is_empty() { "" } else { ": " };
    Failure {
        kind,
        code: name,
        retry_after: retry_info.and_then(|info| info.retry_delay),
        message: format!("{peer} answered {name}{colon}{detail}{}", remedy(code)).into(),
    }
}

const fn remedy(code: i32) -> &'static str {
    match code {
        7 | 16 => "; check the configured headers and the client certificate",
        12 => "; does it accept OTLP traces over gRPC on this port?",
        _ => "",
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
fn missing_status_failure(status: StatusCode, broken: Option<Failure>, peer: &str) -> Failure {
    if let Some(failure) = broken {
        return failure;
    }
    if status == StatusCode::OK {
        let message = format!("{peer} ended its response without a grpc-status");
        return unavailable(SendStage::Response, message);
    }
    let (kind, code) = match status {
        // From a proxy; no gRPC code says as clearly that the request is too large.
        StatusCode::PAYLOAD_TOO_LARGE => classify_http_status(status.as_u16()),
        _ => classify_grpc_code(grpc_code_from_http(status), false),
    };
    Failure {
        kind,
        code,
        retry_after: None,
        message: format!("{peer} answered HTTP {status}, not gRPC; is this its OTLP/gRPC port?")
            .into(),
    }
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
