use std::time::Duration;

use http::HeaderValue;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use tonic_types::{ErrorDetails, StatusExt};

use super::super::decode::tests::encoded;
use super::super::failure::unavailable;
use super::*;
use crate::domain::delivery::FailureKind;

const SENT: SentRequest<'_> = SentRequest { peer: "traces.example:4317", compressed: false };

fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::try_from(*value).unwrap()))
        .collect()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

fn answer(status: u16, bytes: Vec<u8>, trailers: Option<HeaderMap>) -> BufferedResponse {
    BufferedResponse {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: BufferedBody { bytes, ..BufferedBody::default() },
        trailers,
    }
}

fn with_trailers(bytes: Vec<u8>, trailers: &[(&'static str, &str)]) -> Result<Delivered, Failure> {
    delivery_result(answer(200, bytes, Some(map(trailers))), None, SENT)
}

fn with_headers_only(headers: HeaderMap) -> Failure {
    let answer = BufferedResponse { headers, ..answer(200, Vec::new(), None) };
    delivery_result(answer, None, SENT).unwrap_err()
}

fn with_retry_info(code: i32, delay: Option<Duration>) -> Failure {
    let details = ErrorDetails::with_retry_info(delay);
    let status = tonic::Status::with_error_details(code.into(), "later", details);
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    with_headers_only(headers)
}

#[test]
fn status_zero_with_a_response_is_a_delivery() {
    assert_eq!(with_trailers(framed(&[]), &[("grpc-status", "0")]), Ok(Delivered::default()));
}

#[test]
fn a_partial_success_is_a_delivery_with_rejected_spans() {
    let partial_success =
        Some(ExportTracePartialSuccess { rejected_spans: 2, error_message: "too old".to_owned() });
    let message = ExportTraceServiceResponse { partial_success }.encode_to_vec();

    assert_eq!(
        with_trailers(framed(&message), &[("grpc-status", "0")]),
        Ok(Delivered { rejected_spans: 2, message: "too old".to_owned() })
    );
}

/// A response with a partial success in a message that is `encoded` so.
fn compressed(encoding: &str, message: &[u8]) -> Result<Delivered, Failure> {
    let mut bytes = framed(message);
    bytes[0] = 1;
    let headers = map(&[("grpc-encoding", encoding)]);
    let trailers = Some(map(&[("grpc-status", "0")]));
    delivery_result(BufferedResponse { headers, ..answer(200, bytes, trailers) }, None, SENT)
}

#[test]
fn a_compressed_partial_success_is_counted() {
    let partial_success =
        Some(ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old".to_owned() });
    let message = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    for encoding in ["gzip", "zstd", "deflate"] {
        assert_eq!(
            compressed(encoding, &encoded(&message, encoding)),
            Ok(Delivered { rejected_spans: 3, message: "too old".to_owned() }),
            "{encoding}"
        );
    }
}

#[test]
fn a_compressed_message_that_cannot_be_read_is_a_delivery_whose_warning_says_why() {
    let bomb = encoded(&vec![0; 1 << 20], "gzip");
    let whole = encoded(b"", "gzip");
    let cases = [
        ("br", &b"?"[..], r#"its encoding "br" is not supported"#),
        ("", b"?", "it is compressed, but no encoding is named"),
        ("identity", b"?", "it is compressed, but no encoding is named"),
        ("gzip", b"not gzip", "it cannot be decompressed: "),
        ("zstd", b"not zstd", "it cannot be decompressed: "),
        ("gzip", &whole[..whole.len() - 1], "it cannot be decompressed: "),
        ("gzip", &bomb, "it is too long after decompression"),
        ("gzip", &encoded(&[0xff], "gzip"), "it is not OTLP"),
    ];
    for (encoding, message, why) in cases {
        let delivered = compressed(encoding, message).unwrap();

        assert_eq!(delivered.rejected_spans, 0);
        assert!(delivered.message.contains(&format!("cannot be read: {why}")), "{delivered:?}");
    }
}

#[test]
fn status_zero_with_an_unreadable_message_is_a_delivery_with_a_warning() {
    let invalid_flag = [&[2], &framed(&[])[1..]].concat();
    for bytes in
        [Vec::new(), vec![0, 0], framed(&[0xff]), invalid_flag, [framed(&[]), vec![9]].concat()]
    {
        let delivered = with_trailers(bytes, &[("grpc-status", "0")]).unwrap();

        assert_eq!(delivered.rejected_spans, 0);
        assert!(delivered.message.contains("cannot be read"), "{}", delivered.message);
    }
}

#[test]
fn status_zero_with_a_message_too_long_to_keep_is_a_delivery_with_a_warning() {
    let mut answer = answer(200, framed(&[]), Some(map(&[("grpc-status", "0")])));
    answer.body.truncated = true;

    assert!(delivery_result(answer, None, SENT).unwrap().message.contains("cannot be read"));
}

#[test]
fn a_refusal_carries_the_code_and_the_decoded_message() {
    let failure = with_trailers(
        Vec::new(),
        &[("grpc-status", "3"), ("grpc-message", "span %E2%82%AC%0A%1b[2J 100%")],
    )
    .unwrap_err();

    assert_eq!((failure.kind, failure.code), (FailureKind::InvalidData, "INVALID_ARGUMENT"));
    assert_eq!(
        failure.message,
        r#"traces.example:4317 answered INVALID_ARGUMENT: "span €\n\u{1b}[2J 100%"; the destination's log may name the data that it cannot read"#
    );
}

#[test]
fn a_refusal_may_come_in_a_trailers_only_response() {
    let failure = with_headers_only(map(&[("grpc-status", "14")]));

    assert_eq!((failure.kind, failure.code), (FailureKind::Unavailable, "UNAVAILABLE"));
    assert_eq!(failure.message, "traces.example:4317 answered UNAVAILABLE");
}

#[test]
fn a_long_message_is_cut() {
    let long = "x".repeat(5_000);
    let failure = with_headers_only(map(&[("grpc-status", "14"), ("grpc-message", &long)]));

    assert!(failure.message.len() < 1_100, "{}", failure.message.len());
}

#[test]
fn retry_info_sets_the_wait_and_makes_resource_exhausted_retryable() {
    let failure = with_retry_info(8, Some(Duration::from_millis(1_500)));

    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(failure.retry_after, Some(Duration::from_millis(1_500)));
    assert_eq!(with_retry_info(8, None).kind, FailureKind::Unavailable);
}

#[test]
fn resource_exhausted_without_retry_info_means_too_large() {
    assert_eq!(with_headers_only(map(&[("grpc-status", "8")])).kind, FailureKind::TooLarge);
}

/// A length-delimited field, up to 127 bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

#[test]
fn a_negative_delay_is_ignored() {
    // A `google.rpc.Status` with one `RetryInfo` of -5 s, encoded by hand.
    let minus_five = [&[0x08, 0xfb], &[0xff; 8][..], &[0x01]].concat();
    let info = field(2, &field(1, &minus_five));
    let url = field(1, b"type.googleapis.com/google.rpc.RetryInfo");
    let status = field(3, &[url, info].concat());
    let mut headers = map(&[("grpc-status", "14")]);
    let details = tonic::Status::with_details(14.into(), "", status.into());
    details.add_header(&mut headers).unwrap();

    assert_eq!(with_headers_only(headers).retry_after, Some(Duration::ZERO));
}

#[test]
fn malformed_details_are_ignored() {
    for details in ["%%%", "AA", "////", ""] {
        let headers = map(&[("grpc-status", "8"), ("grpc-status-details-bin", details)]);

        assert_eq!(with_headers_only(headers).kind, FailureKind::TooLarge, "{details}");
    }
}

#[test]
fn a_status_that_is_not_a_number_is_retryable() {
    for status in ["", "ok", "0x0", "99999999999"] {
        let failure = with_headers_only(map(&[("grpc-status", status)]));

        assert_eq!((failure.kind, failure.code), (FailureKind::Inconclusive, "ANSWER"), "{status}");
    }
}

#[test]
fn an_unknown_code_is_a_refusal_with_its_own_label() {
    assert_eq!(with_headers_only(map(&[("grpc-status", "42")])).code, "OTHER");
}

#[test]
fn a_truncated_response_is_a_connection_failure() {
    let broken = unavailable(SendStage::Reset, "gone");

    assert_eq!(
        delivery_result(answer(200, Vec::new(), None), Some(broken.clone()), SENT),
        Err(broken)
    );
}

#[test]
fn a_status_counts_even_if_the_response_breaks_off_after_it() {
    let answer = answer(200, framed(&[]), Some(map(&[("grpc-status", "0")])));

    assert!(delivery_result(answer, Some(unavailable(SendStage::Reset, "gone")), SENT).is_ok());
}

#[test]
fn a_response_without_a_status_is_retryable() {
    let trailers = Some(map(&[("x", "y")]));
    let headers = map(&[("content-type", "application/grpc+proto")]);
    let answer = BufferedResponse { headers, ..answer(200, framed(&[]), trailers) };
    let failure = delivery_result(answer, None, SENT).unwrap_err();

    assert_eq!((failure.kind, failure.code), (FailureKind::Inconclusive, "ANSWER"));
    assert!(failure.message.contains("without a grpc-status"), "{}", failure.message);
}

#[test]
fn an_answer_that_is_not_grpc_is_shown_with_what_it_says() {
    let table = [
        (
            200,
            "text/html",
            "<title>Sign in</title>",
            r#"HTTP 200 OK, not gRPC: "Sign in"; is this"#,
        ),
        (502, "text/html", "<h1>Bad Gateway", r#"HTTP 502 Bad Gateway, not gRPC: "Bad Gateway""#),
        (403, "application/json", r#"{"error":"no"}"#, r#"not gRPC: "no"; check the configured"#),
        (404, "text/plain", "404 page not found", "; is this its OTLP/gRPC port?"),
    ];
    for (status, content_type, body, expected) in table {
        let headers = map(&[("content-type", content_type)]);
        let answer = BufferedResponse { headers, ..answer(status, body.into(), None) };

        let failure = delivery_result(answer, None, SENT).unwrap_err();

        assert!(failure.message.contains(expected), "{}", failure.message);
    }
}

#[test]
fn a_web_page_in_place_of_a_grpc_answer_is_retryable() {
    let failure = delivery_result(answer(200, b"<html>".into(), None), None, SENT).unwrap_err();

    assert_eq!((failure.kind, failure.code), (FailureKind::Inconclusive, "ANSWER"));
}

#[test]
fn out_of_range_means_too_large_only_if_it_says_so() {
    let kind = |message: &str| {
        let headers = map(&[("grpc-status", "11"), ("grpc-message", message)]);
        with_headers_only(headers).kind
    };

    let of_tonic = "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes";
    assert_eq!(kind(of_tonic), FailureKind::TooLarge);
    assert_eq!(kind("timestamp before the epoch"), FailureKind::Inconclusive);
    assert_eq!(kind(""), FailureKind::Inconclusive);
}

#[test]
fn a_refusal_of_the_compression_names_the_setting() {
    let headers = map(&[("grpc-status", "12"), ("grpc-message", "no decompressor for zstd")]);
    let sent = SentRequest { compressed: true, ..SENT };
    let answer = BufferedResponse { headers, ..answer(200, Vec::new(), None) };

    let failure = delivery_result(answer, None, sent).unwrap_err();

    assert!(failure.message.ends_with("set COMPRESSION to none"), "{}", failure.message);
}

#[test]
fn an_http_status_without_a_grpc_status_is_mapped_as_grpc_specifies() {
    let table = [
        (400, "INTERNAL"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "UNIMPLEMENTED"),
        (429, "UNAVAILABLE"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "UNAVAILABLE"),
        (500, "UNKNOWN"),
        (301, "UNKNOWN"),
    ];
    for (status, code) in table {
        let failure = delivery_result(answer(status, Vec::new(), None), None, SENT).unwrap_err();

        assert_eq!(failure.code, code, "{status}");
        assert!(failure.message.contains(&format!("HTTP {status}")), "{}", failure.message);
    }
}

#[test]
fn a_413_of_a_proxy_means_too_large() {
    let failure = delivery_result(answer(413, Vec::new(), None), None, SENT).unwrap_err();

    assert_eq!((failure.kind, failure.code), (FailureKind::TooLarge, "413"));
}

#[test]
fn codes_caused_by_configuration_come_with_a_remedy() {
    for code in ["7", "12", "16"] {
        let failure = with_headers_only(map(&[("grpc-status", code)]));

        assert!(failure.message.contains("; "), "{}", failure.message);
    }
}
