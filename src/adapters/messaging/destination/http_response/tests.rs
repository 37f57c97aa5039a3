use http::HeaderValue;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};

use super::super::response::BufferedBody;
use super::*;
use crate::domain::delivery::FailureKind;

const PEER: &str = "traces.example:4318";

fn response(status: u16, content_type: &str, bytes: impl Into<Vec<u8>>) -> BufferedResponse {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::try_from(content_type).unwrap());
    BufferedResponse {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: BufferedBody { bytes: bytes.into(), ..BufferedBody::default() },
        trailers: None,
    }
}

fn partial() -> ExportTraceServiceResponse {
    let partial_success =
        Some(ExportTracePartialSuccess { rejected_spans: 2, error_message: "too old".to_owned() });
    ExportTraceServiceResponse { partial_success }
}

fn waiting(value: &str, now: SystemTime) -> Option<Duration> {
    let headers = [(RETRY_AFTER, HeaderValue::try_from(value).unwrap())].into_iter().collect();
    retry_after(&headers, now)
}

#[test]
fn a_partial_success_is_read_from_protobuf_and_from_json() {
    let expected = Delivered { rejected_spans: 2, message: "too old".to_owned() };

    let protobuf = response(200, "application/x-protobuf", partial().encode_to_vec());
    assert_eq!(delivery_result(&protobuf, PEER), Ok(expected.clone()));
    for number in [r#""2""#, "2"] {
        let json = format!(
            r#"{{"partialSuccess":{{"rejectedSpans":{number},"errorMessage":"too old"}}}}"#
        );
        let response = response(200, "Application/JSON; charset=utf-8", json);
        assert_eq!(delivery_result(&response, PEER), Ok(expected.clone()));
    }
}

#[test]
fn a_json_object_without_a_partial_success_is_a_full_success() {
    for json in ["{}", r#"{"partialSuccess":null}"#, r#"{"partialSuccess":{}}"#] {
        let response = response(200, "application/json", json);

        assert_eq!(delivery_result(&response, PEER), Ok(Delivered::default()), "{json}");
    }
}

#[test]
fn a_success_without_a_body_is_a_full_success() {
    for status in [200, 202, 204] {
        assert_eq!(delivery_result(&response(status, "", ""), PEER), Ok(Delivered::default()));
    }
}

#[test]
fn a_success_with_a_malformed_body_is_a_delivery_with_a_warning() {
    let bodies =
        [("application/x-protobuf", "\u{7f}"), ("application/json", "["), ("text/html", "<p>")];
    for (content_type, body) in bodies {
        let delivered = delivery_result(&response(200, content_type, body), PEER).unwrap();

        assert_eq!(delivered.rejected_spans, 0);
        assert_eq!(
            delivered.message,
            "traces.example:4318 answered HTTP 200 OK, with a body that is not OTLP"
        );
    }
}

#[test]
fn a_truncated_success_is_a_delivery_with_a_warning() {
    let mut response = response(200, "application/x-protobuf", "");
    response.body.truncated = true;

    assert!(delivery_result(&response, PEER).unwrap().message.contains("not OTLP"));
}

#[test]
fn the_message_of_a_refusal_is_read_from_either_encoding_or_plain_text() {
    let status = pb::Status { message: "no\nroom".to_owned(), ..pb::Status::default() };
    let bodies = [
        ("application/x-protobuf", status.encode_to_vec()),
        ("application/json", br#"{"code":8,"message":"no\nroom"}"#.to_vec()),
        ("text/plain; charset=utf-8", b"no\nroom\n".to_vec()),
    ];
    for (content_type, body) in bodies {
        let failure = delivery_result(&response(503, content_type, body), PEER).unwrap_err();

        assert_eq!((failure.kind, failure.code), (FailureKind::Unavailable, "503"));
        assert_eq!(
            failure.message,
            r"traces.example:4318 answered HTTP 503 Service Unavailable: no\nroom"
        );
    }
}

#[test]
fn an_html_page_is_not_quoted() {
    let failure = delivery_result(&response(502, "text/html", "<html>"), PEER).unwrap_err();

    assert_eq!(failure.message, "traces.example:4318 answered HTTP 502 Bad Gateway");
}

#[test]
fn an_unreadable_refusal_still_counts_by_its_status() {
    for (content_type, body) in [("application/x-protobuf", "\u{7f}"), ("application/json", "{}")] {
        let failure = delivery_result(&response(413, content_type, body), PEER).unwrap_err();

        assert_eq!((failure.kind, failure.code), (FailureKind::TooLarge, "413"));
    }
}

#[test]
fn a_redirect_is_refused_with_a_remedy() {
    let failure = delivery_result(&response(308, "", ""), PEER).unwrap_err();

    assert_eq!((failure.kind, failure.code), (FailureKind::Refused, "3xx"));
    assert!(failure.message.contains("redirects are not followed"), "{}", failure.message);
}

#[test]
fn configuration_errors_come_with_a_remedy() {
    for status in [401, 403, 404, 405] {
        let failure = delivery_result(&response(status, "", ""), PEER).unwrap_err();

        assert!(failure.message.contains("; check the "), "{}", failure.message);
    }
}

#[test]
fn retry_after_may_be_seconds() {
    assert_eq!(waiting(" 125 ", SystemTime::now()), Some(Duration::from_secs(125)));
    assert_eq!(waiting("0", SystemTime::now()), Some(Duration::ZERO));
}

#[test]
fn retry_after_may_be_a_date() {
    let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();

    assert_eq!(waiting("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(Duration::from_secs(30)));
    assert_eq!(waiting("Sunday, 06-Nov-94 08:49:38 GMT", now), Some(Duration::from_secs(1)));
}

#[test]
fn a_retry_after_in_the_past_means_now() {
    assert_eq!(waiting("Sun, 06 Nov 1994 08:49:37 GMT", SystemTime::now()), Some(Duration::ZERO));
}

#[test]
fn a_retry_after_that_is_neither_is_ignored() {
    for value in ["soon", "-1", "1.5", "", "99999999999999999999999"] {
        assert_eq!(waiting(value, SystemTime::now()), None, "{value:?}");
    }
}

#[test]
fn the_retry_after_of_a_refusal_is_passed_on() {
    let mut response = response(429, "", "");
    response.headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));

    assert_eq!(
        delivery_result(&response, PEER).unwrap_err().retry_after,
        Some(Duration::from_secs(7))
    );
}
