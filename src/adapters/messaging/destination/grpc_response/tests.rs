use std::time::Duration;

use http::HeaderValue;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;
use crate::domain::delivery::FailureKind;

const PEER: &str = "traces.example:4317";

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
    delivery_result(answer(200, bytes, Some(map(trailers))), None, PEER)
}

fn with_headers_only(headers: HeaderMap) -> Failure {
    let answer = BufferedResponse { headers, ..answer(200, Vec::new(), None) };
    delivery_result(answer, None, PEER).unwrap_err()
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

#[test]
fn status_zero_with_an_unreadable_message_is_a_delivery_with_a_warning() {
    let compressed = [&[1], &framed(&[])[1..]].concat();
    for bytes in
        [Vec::new(), vec![0, 0], framed(&[0xff]), compressed, [framed(&[]), vec![9]].concat()]
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

    assert!(delivery_result(answer, None, PEER).unwrap().message.contains("cannot be read"));
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
        r"traces.example:4317 answered INVALID_ARGUMENT: span €\n\u{1b}[2J 100%"
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

        assert_eq!((failure.kind, failure.code), (FailureKind::Unavailable, "ANSWER"), "{status}");
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
        delivery_result(answer(200, Vec::new(), None), Some(broken.clone()), PEER),
        Err(broken)
    );
}

#[test]
fn a_status_counts_even_if_the_response_breaks_off_after_it() {
    let answer = answer(200, framed(&[]), Some(map(&[("grpc-status", "0")])));

    assert!(delivery_result(answer, Some(unavailable(SendStage::Reset, "gone")), PEER).is_ok());
}

#[test]
fn a_response_without_a_status_is_retryable() {
    let trailers = Some(map(&[("x", "y")]));
    let failure = delivery_result(answer(200, framed(&[]), trailers), None, PEER).unwrap_err();

    assert_eq!((failure.kind, failure.code), (FailureKind::Unavailable, "ANSWER"));
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
        let failure = delivery_result(answer(status, Vec::new(), None), None, PEER).unwrap_err();

        assert_eq!(failure.code, code, "{status}");
        assert!(failure.message.contains(&format!("HTTP {status}")), "{}", failure.message);
    }
}

#[test]
fn a_413_of_a_proxy_means_too_large() {
    let failure = delivery_result(answer(413, Vec::new(), None), None, PEER).unwrap_err();

    assert_eq!((failure.kind, failure.code), (FailureKind::TooLarge, "413"));
}

#[test]
fn codes_caused_by_configuration_come_with_a_remedy() {
    for code in ["7", "12", "16"] {
        let failure = with_headers_only(map(&[("grpc-status", code)]));

        assert!(failure.message.contains("; "), "{}", failure.message);
    }
}
