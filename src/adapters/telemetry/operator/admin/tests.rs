use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;

use super::*;
use crate::adapters::telemetry::admin_server::handle;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Fixture {
    pages: ControllerPages,
    synced: Arc<AtomicBool>,
}

fn fixture() -> Fixture {
    let synced = Arc::new(AtomicBool::new(true));
    let holds = Arc::clone(&synced);
    let readiness = Readiness::new(vec![
        readiness_check(move || holds.load(Ordering::Acquire), "the pods are not listed yet"),
        Box::new(|| None),
    ]);
    let observed = GaugeCallbacks {
        is_leader: Box::new(|| true),
        certificate_until: Box::new(|| Some(Duration::from_hours(500_000))),
        watch_ages: vec![
            ("pods", Box::new(|| Duration::from_millis(1_500))),
            ("tracebuffers", Box::new(|| Duration::ZERO)),
        ],
    };
    let (metrics, readiness) = (Arc::new(ControllerMetrics::new()), Arc::new(readiness));
    Fixture { pages: ControllerPages::new(metrics, readiness, observed), synced }
}

async fn get(pages: &ControllerPages, path: &str) -> (StatusCode, String) {
    let response = handle(pages, HERE, &Method::GET, path, &HeaderMap::new());
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_replica_is_ready_while_all_checks_pass() {
    let Fixture { pages, synced } = fixture();
    assert_eq!(get(&pages, "/ready").await, (StatusCode::OK, "ready\n".into()));

    synced.store(false, Ordering::Release);

    let missing = (StatusCode::SERVICE_UNAVAILABLE, "the pods are not listed yet\n".into());
    assert_eq!(get(&pages, "/ready").await, missing);
    assert_eq!(get(&pages, "/live").await.0, StatusCode::OK);
}

#[tokio::test]
async fn each_reason_is_shown_on_its_own_line() {
    let readiness = Readiness::new(vec![
        readiness_check(|| false, "no certificate"),
        readiness_check(|| true, "never shown"),
        Box::new(|| Some("forbidden to list pods".to_owned())),
    ]);
    let Fixture { mut pages, .. } = fixture();
    pages.readiness = Arc::new(readiness);

    assert_eq!(get(&pages, "/ready").await.1, "no certificate\nforbidden to list pods\n");
}

#[tokio::test]
async fn a_replica_is_not_ready_once_it_shuts_down() {
    let Fixture { pages, .. } = fixture();

    pages.readiness.begin_shutdown();

    assert_eq!(get(&pages, "/ready").await, (StatusCode::SERVICE_UNAVAILABLE, "ending\n".into()));
    assert_eq!(get(&pages, "/live").await.0, StatusCode::OK);
}

#[tokio::test]
async fn observed_values_are_shown_at_each_scrape() {
    let (status, text) = get(&fixture().pages, "/metrics").await;

    assert_eq!(status, StatusCode::OK);
    for line in [
        "tracebuffer_leader 1",
        "tracebuffer_webhook_certificate_expiry_timestamp_seconds 1800000000.0",
        "tracebuffer_watch_age_seconds{resource=\"pods\"} 1.5",
        "tracebuffer_watch_age_seconds{resource=\"tracebuffers\"} 0.0",
    ] {
        assert!(text.lines().any(|each| each == line), "no line `{line}` in\n{text}");
    }
    assert!(text.contains("tracebuffer_build_info{version="));
    assert!(text.contains("process_resident_memory_bytes "));
    assert!(text.contains("tracebuffer_admission_requests_total{"));
}

#[tokio::test]
async fn an_unknown_path_lists_the_pages() {
    let Fixture { pages, .. } = fixture();

    assert!(get(&pages, "/").await.1.contains("/metrics"));
    let (status, text) = get(&pages, "/debug/buffer").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("/ready"));
}
