//! Interpreting OTLP/HTTP responses.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{LOCATION, RETRY_AFTER};
use serde_json::{Map, Value};

use super::error_text::{BodyFormat, error_text, is_html_page};
use super::failure::{SendStage, answer_message, inconclusive, printable, quoted};
use super::remedy::http_remedy;
use super::response::{BufferedResponse, SentRequest, parse_export_response};
use crate::domain::delivery::{Delivered, Failure, classify_http_status};

/// Returns the outcome of a request.
///
/// The status alone decides, even if the body is truncated or invalid; only a web page is no
/// success. Other foreign bodies are: some vendors answer `ok`, and would get the same spans again
/// for ever.
pub(super) fn delivery_result(
    response: &BufferedResponse,
    sent: SentRequest<'_>,
) -> Result<Delivered, Failure> {
    let format = BodyFormat::from_headers(&response.headers);
    if response.status.is_success() {
        return success(response, format, sent.peer);
    }
    let (kind, code) = classify_http_status(response.status.as_u16());
    Err(Failure {
        kind,
        code,
        retry_after: retry_after(&response.headers, SystemTime::now()),
        message: refusal_message(response, format, sent).into(),
    })
}

fn success(
    response: &BufferedResponse,
    format: BodyFormat,
    peer: &str,
) -> Result<Delivered, Failure> {
    let (status, bytes) = (response.status, &response.body.bytes);
    let problem = response.body.problem();
    let has_body = !bytes.is_empty() || problem.is_some();
    let is_page = (format == BodyFormat::Html && has_body) || is_html_page(bytes);
    if is_page {
        return Err(web_page_failure(response, peer));
    }
    let warn = |what: String| Delivered {
        rejected_spans: 0,
        message: format!("{peer} answered HTTP {status}, with {what}"),
    };
    if let Some(problem) = problem {
        return Ok(warn(format!("a body that cannot be read: {problem}")));
    }
    let delivered = match format {
        _ if bytes.is_empty() => Some(Delivered::default()),
        BodyFormat::Protobuf => parse_export_response(bytes),
        BodyFormat::Json => parse_export_response_json(bytes),
        BodyFormat::Html => None,
        BodyFormat::Other => rejection_of_any_type(bytes),
    };
    let text = || quoted(&error_text(format, bytes));
    Ok(match delivered {
        None => warn(format!("a body that is not OTLP: {}", text())),
        Some(_) if format == BodyFormat::Json && is_json_error(bytes) => {
            warn(format!("an error in its body: {}", text()))
        }
        Some(delivered) => delivered,
    })
}

/// Reads rejected spans from a body whose type is missing or wrong: they are lost, and must be counted.
fn rejection_of_any_type(bytes: &[u8]) -> Option<Delivered> {
    let delivered = parse_export_response(bytes).or_else(|| parse_export_response_json(bytes));
    delivered.filter(|delivered| delivered.rejected_spans > 0)
}

/// A login page, or the error page of a proxy: the destination did not get the spans.
fn web_page_failure(response: &BufferedResponse, peer: &str) -> Failure {
    let answer = format!("HTTP {} with a web page, not OTLP", response.status);
    let title = error_text(BodyFormat::Html, &response.body.bytes);
    let remedy = "; check the endpoint, and proxies in between";
    inconclusive(SendStage::Response, answer_message(peer, &answer, &title, remedy))
}

fn refusal_message(
    response: &BufferedResponse,
    format: BodyFormat,
    sent: SentRequest<'_>,
) -> String {
    let status = response.status;
    let text = error_text(format, &response.body.bytes);
    let remedy = http_remedy(status.as_u16(), &text, sent.compressed);
    let redirect =
        if status.is_redirection() { redirect(&response.headers) } else { String::new() };
    answer_message(sent.peer, &format!("HTTP {status}{redirect}"), &text, remedy)
}

/// Names the target of a redirect, without its query, which may contain secrets.
fn redirect(headers: &HeaderMap) -> String {
    let location = headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let Some(location) = location else { return String::new() };
    format!(" to {}", quoted(location.split(['?', '#']).next().unwrap_or_default()))
}

/// Parses an `ExportTraceServiceResponse` in JSON. `ProtoJSON` writes 64-bit numbers as strings and
/// names in camel case; plain numbers and the names of the schema are valid too.
fn parse_export_response_json(bytes: &[u8]) -> Option<Delivered> {
    let response: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let partial = either(&response, "partialSuccess", "partial_success").and_then(Value::as_object);
    let Some(partial) = partial else { return Some(Delivered::default()) };
    let rejected_spans: i64 = match either(partial, "rejectedSpans", "rejected_spans") {
        Some(Value::String(number)) => number.parse().ok()?,
        Some(number) => number.as_i64().unwrap_or(0),
        None => 0,
    };
    let message = either(partial, "errorMessage", "error_message").and_then(Value::as_str);
    Some(Delivered {
        rejected_spans: u64::try_from(rejected_spans).unwrap_or(0),
        message: printable(message.unwrap_or_default()),
    })
}

fn either<'a>(object: &'a Map<String, Value>, name: &str, other: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.get(other))
}

/// Returns whether a JSON body reports an error, as the answers of some gateways do whose status is
/// always 200.
fn is_json_error(bytes: &[u8]) -> bool {
    let object: Result<Map<String, Value>, _> = serde_json::from_slice(bytes);
    let is_error = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(errors) => !errors.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::Object(_) => true,
    };
    object.is_ok_and(|object| {
        ["error", "errors"].iter().any(|name| object.get(*name).is_some_and(is_error))
    })
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
