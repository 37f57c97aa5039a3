//! The limits of size, time and concurrency.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{ALLOW, RETRY_AFTER};
use http_body::Frame;
use tokio::task::JoinSet;

use super::*;

/// A body of unknown length that sends this many pieces of 1 MiB and does not end.
struct Endless {
    pieces: usize,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.pieces.checked_sub(1) else { return Poll::Pending };
        self.pieces = left;
        Poll::Ready(Some(Ok(Frame::data(vec![b' '; 1 << 20].into()))))
    }
}

fn endless(pieces: usize) -> Request<Endless> {
    request(INJECT_PATH, "").map(|_| Endless { pieces })
}

/// A review of this many bytes.
fn of_size(bytes: usize) -> String {
    let mut review = pod_review();
    review["request"]["object"]["metadata"]["annotations"]["long"] = "".into();
    let missing = bytes - review.to_string().len();
    review["request"]["object"]["metadata"]["annotations"]["long"] = "x".repeat(missing).into();
    review.to_string()
}

fn failed(failure: AdmissionFailure) -> AdmissionOutcome {
    AdmissionOutcome::Failed(failure)
}

#[tokio::test]
async fn a_review_of_8_mib_is_answered_and_one_byte_more_is_rejected() {
    let (largest, larger) = (Harness::new(), Harness::new());

    let (status, _) = largest.post(INJECT_PATH, of_size(MAX_BODY_BYTES)).await;
    let (refused, text) = larger.post(INJECT_PATH, of_size(MAX_BODY_BYTES + 1)).await;

    assert_eq!(status, StatusCode::OK);
    assert_eq!(largest.outcome(), AdmissionOutcome::Injected);
    assert_eq!(refused, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text, "the review has more than 8388608 bytes\n");
    assert_eq!(larger.outcome(), failed(AdmissionFailure::TooLarge));
}

#[tokio::test]
async fn a_body_of_unknown_length_is_limited() {
    let fixture = Harness::new();

    let response = fixture.webhook.webhook.respond(HERE, endless(9)).await;

    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_pod_with_too_many_values_is_rejected() {
    let fixture = Harness::new();
    let mut review = pod_review();
    review["request"]["object"]["spec"]["x"] = vec![Value::Null; 100_000].into();

    let (status, text) = fixture.post(INJECT_PATH, review.to_string()).await;

    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text, "the pod has more than 100000 values\n");
    assert_eq!(fixture.outcome(), failed(AdmissionFailure::TooLarge));
}

#[tokio::test]
async fn only_json_is_accepted() {
    for (name, value, status) in [
        (CONTENT_TYPE, "application/json; charset=utf-8", StatusCode::OK),
        (CONTENT_TYPE, "Application/JSON", StatusCode::OK),
        (CONTENT_TYPE, "application/jsonx", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (CONTENT_TYPE, "text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (CONTENT_TYPE, "", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (CONTENT_ENCODING, "gzip", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let mut request = request(INJECT_PATH, POD);
        request.headers_mut().insert(name.clone(), value.parse().unwrap());

        let response = Harness::new().send(request).await;

        assert_eq!(response.status(), status, "{name}: {value}");
    }
}

#[tokio::test]
async fn only_post_is_allowed() {
    let fixture = Harness::new();
    let mut request = request(INJECT_PATH, POD);
    *request.method_mut() = Method::GET;

    let response = fixture.send(request).await;

    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[ALLOW], "POST");
    assert_eq!(fixture.outcome(), failed(AdmissionFailure::BadRequest));
}

#[tokio::test]
async fn an_unknown_path_is_rejected_with_the_known_ones() {
    let (status, text) = Harness::new().post("/mutate", POD).await;

    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(text, "not found; reviews are accepted at /inject and /inject-namespace\n");
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_body_is_abandoned_after_2_s() {
    let fixture = Harness::new();
    let started = Instant::now();

    let response = fixture.webhook.webhook.respond(HERE, endless(7)).await;

    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(started.elapsed().as_secs(), 2);
    assert_eq!(fixture.outcome(), failed(AdmissionFailure::TooSlow));
}

/// API servers wait 5 s.
#[tokio::test(start_paused = true)]
async fn a_response_never_takes_longer_than_4_s() {
    let refresh_takes = Duration::from_hours(1);
    let fixture = Harness::with(FakeCatalog { refresh_takes, ..FakeCatalog::default() });
    let started = Instant::now();

    let (status, text) = fixture.post(INJECT_PATH, POD).await;

    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(text, "the review took longer than 4 s\n");
    assert_eq!(started.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn slow_reviews_delay_others_for_a_second_at_most() {
    let fixture = Arc::new(Harness::new());
    let mut slow = JoinSet::new();
    // Two of an unknown length could become as large as all may be together.
    for _ in 0..2 {
        let fixture = Arc::clone(&fixture);
        slow.spawn(async move { fixture.webhook.webhook.respond(HERE, endless(0)).await });
    }
    tokio::task::yield_now().await;
    let started = Instant::now();

    let overloaded = fixture.send(request(INJECT_PATH, POD)).await;

    assert_eq!(overloaded.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(overloaded.headers()[RETRY_AFTER], "1");
    assert_eq!(started.elapsed().as_secs(), 1);
    slow.join_all().await;
    assert_eq!(fixture.send(request(INJECT_PATH, POD)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn many_reviews_at_once_are_all_answered() {
    let fixture = Arc::new(Harness::new());
    let mut reviews = JoinSet::new();
    for _ in 0..500 {
        let fixture = Arc::clone(&fixture);
        reviews.spawn(async move { fixture.send(request(INJECT_PATH, POD)).await.status() });
    }

    assert!(reviews.join_all().await.iter().all(|status| *status == StatusCode::OK));
}
