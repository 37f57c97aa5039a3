use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};

use prost::Message;
use tonic_types::pb;

use super::super::decode::DecodeError;
use super::super::response::BufferedBody;
use super::*;
use crate::domain::delivery::FailureKind;

const SENT: SentRequest<'_> = SentRequest { peer: "traces.example:4318", compressed: false };

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
    assert_eq!(delivery_result(&protobuf, SENT), Ok(expected.clone()));
    for number in [r#""2""#, "2"] {
        let json = format!(
            r#"{{"partialSuccess":{{"rejectedSpans":{number},"errorMessage":"too old"}}}}"#
        );
        let response = response(200, "Application/JSON; charset=utf-8", json);
        assert_eq!(delivery_result(&response, SENT), Ok(expected.clone()));
    }
}

#[test]
fn rejected_spans_are_counted_whatever_type_their_answer_claims() {
    let expected = Delivered { rejected_spans: 2, message: "too old".to_owned() };
    let json = br#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}"#.to_vec();
    for body in [partial().encode_to_vec(), json] {
        for content_type in ["application/octet-stream", "text/plain"] {
            let with_type = response(200, content_type, body.clone());
            let without_type = BufferedResponse { headers: HeaderMap::new(), ..with_type };

            assert_eq!(delivery_result(&without_type, SENT), Ok(expected.clone()));
            let with_type = response(200, content_type, body.clone());
            assert_eq!(delivery_result(&with_type, SENT), Ok(expected.clone()));
        }
    }
    for text in ["ok", "\n\u{2}ok", "accepted 2"] {
        let delivered = delivery_result(&response(200, "text/plain", text), SENT).unwrap();

        assert_eq!(delivered.rejected_spans, 0, "{text:?}");
    }
}

#[test]
fn a_json_object_without_a_partial_success_is_a_full_success() {
    for json in [
        "{}",
        r#"{"partialSuccess":null}"#,
        r#"{"partialSuccess":{}}"#,
        r#"{"partialSuccess":{"rejectedSpans":"-1"}}"#,
        r#"{"status":"ok","error":null,"errors":[]}"#,
    ] {
        let response = response(200, "application/json", json);

        assert_eq!(delivery_result(&response, SENT), Ok(Delivered::default()), "{json}");
    }
}

#[test]
fn a_success_without_a_body_is_a_full_success() {
    for status in [200, 202, 204] {
        assert_eq!(delivery_result(&response(status, "", ""), SENT), Ok(Delivered::default()));
    }
}

#[test]
fn a_partial_success_in_json_may_have_the_names_of_the_schema() {
    let json = r#"{"partial_success":{"rejected_spans":2,"error_message":"too old"}}"#;

    let delivered = delivery_result(&response(200, "application/json", json), SENT);

    assert_eq!(delivered, Ok(Delivered { rejected_spans: 2, message: "too old".to_owned() }));
}

#[test]
fn a_success_with_a_foreign_body_is_a_delivery_with_a_warning_that_shows_it() {
    let bodies = [
        ("application/x-protobuf", "\u{7f}", "\"\\u{7f}\""),
        ("application/json", "[", "\"[\""),
        ("application/json", "\"ok\"", "\"ok\""),
        ("text/plain", "ok\n", "\"ok\""),
        ("", "Accepted", "\"Accepted\""),
        ("application/xml", "<ok/>", "\"<ok/>\""),
        ("application/octet-stream", "\0\0", "\"\""),
    ];
    for (content_type, body, shown) in bodies {
        let delivered = delivery_result(&response(200, content_type, body), SENT).unwrap();

        assert_eq!(delivered.rejected_spans, 0);
        let expected = "traces.example:4318 answered HTTP 200 OK, with a body that is not OTLP: ";
        assert_eq!(delivered.message, format!("{expected}{shown}"));
    }
}

#[test]
fn a_success_with_an_error_in_json_is_a_delivery_with_a_warning_that_shows_it() {
    for json in [r#"{"error":"bad key"}"#, r#"{"errors":[{"message":"bad key"}]}"#] {
        let delivered = delivery_result(&response(200, "application/json", json), SENT).unwrap();

        assert!(delivered.message.ends_with(r#"with an error in its body: "bad key""#), "{json}");
    }
}

#[test]
fn a_web_page_is_a_failure_that_may_pass() {
    let pages = [
        ("text/html; charset=utf-8", "<!DOCTYPE html><title>Sign in\u{202e}</title>"),
        ("application/xhtml+xml", "<html><title>Sign in\u{202e}</title>"),
        ("Text/HTML", "Sign in\u{202e}"),
        ("", " \r\n<HTML><head><title>Sign in\u{202e}"),
        ("text/plain", "<!doctype html><p>Sign in\u{202e}"),
        ("application/json", "<html><body>Sign in\u{202e}</body></html>"),
        ("application/x-protobuf", "<html>Sign in\u{202e}"),
    ];
    for status in [200, 202, 203] {
        for (content_type, body) in pages {
            let failure = delivery_result(&response(status, content_type, body), SENT).unwrap_err();

            assert_eq!((failure.kind, failure.code), (FailureKind::Inconclusive, "ANSWER"));
            let shown = r#"with a web page, not OTLP: "Sign in\u{202e}"; check the endpoint"#;
            assert!(failure.message.contains(shown), "{content_type}: {}", failure.message);
        }
    }
}

#[test]
fn a_web_page_that_is_too_long_or_breaks_off_or_cannot_be_decoded_is_one_too() {
    let page = || response(200, "text/html", "<html>");
    let mut too_long = page();
    too_long.body.truncated = true;
    let mut undecoded = page();
    undecoded.body.bytes.clear();
    undecoded.body.undecoded = Some(DecodeError::Unsupported("br".to_owned()));
    for response in [too_long, undecoded] {
        assert!(delivery_result(&response, SENT).is_err());
    }
}

#[test]
fn the_html_type_of_an_empty_success_means_nothing() {
    let delivered = delivery_result(&response(200, "text/html", ""), SENT);

    assert_eq!(delivered, Ok(Delivered::default()));
}

#[test]
fn a_success_whose_body_cannot_be_read_is_a_delivery_whose_warning_says_why() {
    let mut truncated = response(200, "application/x-protobuf", "");
    truncated.body.truncated = true;
    let mut undecoded = response(200, "application/x-protobuf", "");
    undecoded.body.undecoded = Some(DecodeError::Unsupported("br".to_owned()));
    for (response, why) in [
        (truncated, "it is longer than 64 KiB"),
        (undecoded, r#"its encoding "br" is not supported"#),
    ] {
        let delivered = delivery_result(&response, SENT).unwrap();

        assert!(delivered.message.ends_with(&format!("cannot be read: {why}")), "{delivered:?}");
    }
}

#[test]
fn what_a_refusal_says_is_quoted_in_any_encoding() {
    let status = pb::Status { message: "no\n\"room\"".to_owned(), ..pb::Status::default() };
    let bodies = [
        ("application/x-protobuf", status.encode_to_vec()),
        ("application/json", br#"{"code":8,"message":"no\n\"room\""}"#.to_vec()),
        ("application/problem+json", br#"{"title":"no\n\"room\""}"#.to_vec()),
        ("", br#"{"error":{"message":"no\n\"room\""}}"#.to_vec()),
        ("text/plain; charset=utf-8", b"no\n\"room\"\n".to_vec()),
    ];
    for (content_type, body) in bodies {
        let failure = delivery_result(&response(503, content_type, body), SENT).unwrap_err();

        assert_eq!((failure.kind, failure.code), (FailureKind::Unavailable, "503"));
        assert_eq!(
            failure.message,
            r#"traces.example:4318 answered HTTP 503 Service Unavailable: "no\n\"room\"""#
        );
    }
}

#[test]
fn of_a_page_of_errors_only_the_title_is_shown() {
    let page = "<html><head><title>no healthy upstream</title></head><body>nginx</body></html>";
    let failure = delivery_result(&response(502, "text/html", page), SENT).unwrap_err();

    let expected = r#"answered HTTP 502 Bad Gateway: "no healthy upstream""#;
    assert!(failure.message.ends_with(expected), "{}", failure.message);
}

#[test]
fn a_long_text_of_a_refusal_is_cut() {
    let text = "x".repeat(60_000);
    let failure = delivery_result(&response(503, "text/plain", text), SENT).unwrap_err();

    assert!(failure.message.len() < 1_200, "{}", failure.message.len());
}

#[test]
fn an_unreadable_refusal_still_counts_by_its_status() {
    for (content_type, body) in [("application/x-protobuf", "\u{7f}"), ("application/json", "{}")] {
        let failure = delivery_result(&response(413, content_type, body), SENT).unwrap_err();

        assert_eq!((failure.kind, failure.code), (FailureKind::TooLarge, "413"));
    }
}

#[test]
fn a_redirect_is_refused_and_its_target_is_named_without_the_query() {
    let mut moved = response(308, "", "");
    let target = HeaderValue::from_static("https://login.example/start?state=secret#x");
    moved.headers.insert(LOCATION, target);
    let failure = delivery_result(&moved, SENT).unwrap_err();

    assert_eq!((failure.kind, failure.code), (FailureKind::Refused, "3xx"));
    assert_eq!(
        failure.message,
        "traces.example:4318 answered HTTP 308 Permanent Redirect to \
         \"https://login.example/start\"; redirects are not followed: use the final address as the \
         endpoint"
    );
}

#[test]
fn configuration_errors_come_with_a_remedy() {
    for status in [401, 403, 404, 405] {
        let failure = delivery_result(&response(status, "", ""), SENT).unwrap_err();

        assert!(failure.message.contains("; check the "), "{}", failure.message);
    }
}

#[test]
fn a_refusal_of_the_compression_names_the_setting() {
    let refusal = response(415, "text/plain", "unsupported");
    for (compressed, names_it) in [(true, true), (false, false)] {
        let failure = delivery_result(&refusal, SentRequest { compressed, ..SENT }).unwrap_err();

        assert_eq!(failure.message.ends_with("set COMPRESSION to none"), names_it);
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
        delivery_result(&response, SENT).unwrap_err().retry_after,
        Some(Duration::from_secs(7))
    );
}
