use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;

use super::*;
use crate::adapters::clock::TokioClock;
use crate::adapters::storage::memory::MemoryStore;
use crate::adapters::telemetry::admin_server::handle;
use crate::adapters::telemetry::exposition::{OPENMETRICS, PROMETHEUS};
use crate::application::buffer_management::TraceBuffer;
use crate::domain::delivery::{Failure, FailureKind};
use crate::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};
use crate::ports::monitor::Monitor;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

type State = AdminState<TraceBuffer<MemoryStore, TokioClock>>;

fn state() -> State {
    let limits = BufferLimits {
        max_spans: NonZeroU64::new(100).unwrap(),
        max_bytes: NonZeroU64::new(1 << 20).unwrap(),
        max_age: Some(Duration::from_mins(1)),
    };
    let store = MemoryStore::new();
    let buffer = TraceBuffer::new(limits, OverflowPolicy::DropOldest, store, TokioClock::new());
    AdminState {
        buffer: Arc::new(buffer),
        metrics: Arc::new(Metrics::new()),
        flush: Box::new(|| ()),
        open_connections: Box::new(|| 2),
        destination: "http://collector:4317".to_owned(),
        ready: AtomicBool::new(true),
    }
}

fn local_host() -> HeaderMap {
    HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost:9417"))])
}

fn get(state: &State, peer: IpAddr, path: &str) -> Response<Full<Bytes>> {
    handle(state, peer, &Method::GET, path, &local_host())
}

async fn text(response: Response<Full<Bytes>>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn debug(state: &State) -> Value {
    serde_json::from_str(&text(get(state, HERE, "/debug/buffer")).await).unwrap()
}

#[test]
fn a_receiver_is_always_live() {
    let state = state();
    state.ready.store(false, Ordering::Release);

    assert_eq!(get(&state, ELSEWHERE, "/live").status(), StatusCode::OK);
}

#[test]
fn a_receiver_is_ready_while_it_listens() {
    let state = state();
    assert_eq!(get(&state, ELSEWHERE, "/ready").status(), StatusCode::OK);

    state.ready.store(false, Ordering::Release);

    assert_eq!(get(&state, ELSEWHERE, "/ready").status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn metrics_are_in_the_requested_format() {
    let state = state();
    let mut headers = HeaderMap::new();
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    headers.insert(ACCEPT, HeaderValue::from_static(accept));

    let asked = handle(&state, HERE, &Method::GET, "/metrics", &headers);
    let plain = get(&state, HERE, "/metrics");

    assert_eq!(asked.headers()[CONTENT_TYPE], OPENMETRICS);
    assert_eq!(plain.headers()[CONTENT_TYPE], PROMETHEUS);
}

#[tokio::test]
async fn the_debug_page_shows_the_state_of_the_buffer() {
    let state = state();
    let spans = NonZeroU32::new(3).unwrap();
    state.buffer.append_now(&Bytes::from_static(b"0123456789"), spans).unwrap();

    let debug = debug(&state).await;

    assert_eq!(debug["buffer"]["spans"], 3);
    assert_eq!(debug["buffer"]["bytes"], 74);
    assert_eq!(debug["limits"]["max_spans"], 100);
    assert_eq!(debug["limits"]["max_age_seconds"], 60.0);
    assert_eq!(debug["ledger"]["accepted"], 3);
    assert_eq!(debug["ledger"]["buffered"], 3);
    assert_eq!(debug["ledger"]["dropped"]["overflow"], 0);
    assert_eq!(debug["destination"]["endpoint"], "http://collector:4317");
}

#[tokio::test]
async fn the_destination_is_untried_then_failing_then_delivering() {
    let state = state();
    assert_eq!(debug(&state).await["destination"]["state"], "untried");

    let failure = Failure {
        kind: FailureKind::Unavailable,
        code: "CONNECT",
        retry_after: None,
        message: "refused".into(),
    };
    state.metrics.send_failed(&failure, Duration::ZERO);
    let failing = debug(&state).await;
    assert_eq!(failing["destination"]["state"], "failing");
    assert_eq!(failing["destination"]["last_error"]["code"], "CONNECT");
    assert_eq!(failing["destination"]["last_error"]["message"], "refused");

    state.metrics.delivered(Duration::ZERO);
    assert_eq!(debug(&state).await["destination"]["state"], "delivering");
}

#[test]
fn the_debug_page_is_shown_to_this_machine_only() {
    let state = state();

    assert_eq!(get(&state, ELSEWHERE, "/debug/buffer").status(), StatusCode::FORBIDDEN);
    let mapped = "::ffff:127.0.0.1".parse().unwrap();
    assert_eq!(get(&state, mapped, "/debug/buffer").status(), StatusCode::OK);
}

#[test]
fn no_page_of_another_site_reaches_what_is_for_this_machine() {
    let state = state();
    let rebound = HeaderMap::from_iter([(HOST, HeaderValue::from_static("evil.example:9417"))]);

    for (method, path) in [(Method::GET, "/debug/buffer"), (Method::POST, "/flush")] {
        let response = handle(&state, HERE, &method, path, &rebound);
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }
    let metrics = handle(&state, HERE, &Method::GET, "/metrics", &rebound);
    assert_eq!(metrics.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_unknown_path_is_answered_with_the_known_ones() {
    let response = get(&state(), HERE, "/metric");

    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(text(response).await.contains("/metrics"));
}

#[test]
fn only_get_and_head_are_answered() {
    let state = state();

    let post = handle(&state, HERE, &Method::POST, "/live", &HeaderMap::new());
    let head = handle(&state, HERE, &Method::HEAD, "/live", &HeaderMap::new());

    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(head.status(), StatusCode::OK);
}

fn post(state: &State, peer: IpAddr, path: &str) -> Response<Full<Bytes>> {
    handle(state, peer, &Method::POST, path, &local_host())
}

#[tokio::test]
async fn a_flush_ends_linger_and_backoff_and_can_be_repeated() {
    let hurried = Arc::new(AtomicBool::new(false));
    let mut state = state();
    state.flush = Box::new({
        let hurried = Arc::clone(&hurried);
        move || hurried.store(true, Ordering::Relaxed)
    });
    let spans = NonZeroU32::new(3).unwrap();
    state.buffer.append_now(&Bytes::from_static(b"0123456789"), spans).unwrap();

    for _ in 0..2 {
        let response = post(&state, HERE, "/flush");

        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(text(response).await, "sending 3 buffered spans without waiting\n");
    }
    assert!(hurried.load(Ordering::Relaxed));
    let lingering = BatchLimits {
        max_spans: 100,
        max_bytes: 1 << 20,
        max_records: 10,
        linger: Duration::from_hours(1),
    };
    let batch = state.buffer.take(lingering).await.unwrap().unwrap();
    assert_eq!(batch.spans(), 3);
}

#[test]
fn a_flush_is_accepted_only_from_this_machine_and_with_post() {
    let mut state = state();
    state.flush = Box::new(|| panic!("unexpected flush"));

    assert_eq!(post(&state, ELSEWHERE, "/flush").status(), StatusCode::FORBIDDEN);
    let response = get(&state, HERE, "/flush");
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[ALLOW], "POST");
}
