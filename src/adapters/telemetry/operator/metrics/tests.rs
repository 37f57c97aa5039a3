use super::*;
use crate::adapters::telemetry::process::ProcessStats;

fn text(metrics: &ControllerMetrics) -> String {
    let mut exposition = Exposition::new(&ProcessStats::default());
    metrics.write_to(&mut exposition);
    exposition.openmetrics().unwrap()
}

fn assert_has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|each| each == *line), "no line `{line}` in\n{text}");
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "shop".into(), name: name.into() }
}

#[test]
fn a_review_counts_for_its_outcome_and_reason() {
    let metrics = ControllerMetrics::new();

    metrics.answered(AdmissionOutcome::Injected, Duration::from_millis(2));
    metrics.answered(AdmissionOutcome::Skipped(SkipReason::HostNetwork), Duration::ZERO);
    metrics.answered(AdmissionOutcome::Failed(AdmissionFailure::TooLarge), Duration::ZERO);

    assert_has(
        &text(&metrics),
        &[
            "tracebuffer_admission_requests_total{outcome=\"injected\",reason=\"\"} 1",
            "tracebuffer_admission_requests_total{outcome=\"skipped\",reason=\"HostNetwork\"} 1",
            "tracebuffer_admission_requests_total{outcome=\"failed\",reason=\"TooLarge\"} 1",
            "tracebuffer_admission_duration_seconds_bucket{le=\"0.001\"} 2",
            "tracebuffer_admission_duration_seconds_bucket{le=\"0.0025\"} 3",
        ],
    );
}

/// `rate()` ignores the first increment of a series that does not start at zero.
#[test]
fn every_outcome_is_shown_before_it_first_occurs() {
    let text = text(&ControllerMetrics::new());

    let zeros = text.lines().filter(|line| {
        line.starts_with("tracebuffer_admission_requests_total{") && line.ends_with(" 0")
    });
    assert_eq!(zeros.count(), 2 + SkipReason::ALL.len() + AdmissionFailure::ALL.len());
}

#[test]
fn reconciling_counts_by_result() {
    let metrics = ControllerMetrics::new();

    metrics.reconciled(ReconcileOutcome::Done, Duration::ZERO);
    metrics.reconciled(ReconcileOutcome::Conflict, Duration::ZERO);
    metrics.reconciled(ReconcileOutcome::Conflict, Duration::ZERO);

    assert_has(
        &text(&metrics),
        &[
            "tracebuffer_reconcile_total{result=\"done\"} 1",
            "tracebuffer_reconcile_total{result=\"conflict\"} 2",
            "tracebuffer_reconcile_total{result=\"failed\"} 0",
            "tracebuffer_reconcile_duration_seconds_count 3",
        ],
    );
}

#[test]
fn pods_are_summed_over_all_trace_buffers() {
    let metrics = ControllerMetrics::new();
    let counts = |current, outdated| {
        Some(PodCounts { total: current + outdated, current, outdated, ..PodCounts::default() })
    };
    metrics.pod_counts(&key("a"), counts(1, 2));
    metrics.pod_counts(&key("b"), counts(10, 20));
    metrics.pod_counts(&key("c"), counts(100, 200));
    metrics.pod_counts(&key("b"), counts(11, 21));

    metrics.pod_counts(&key("c"), None);

    let lines = ["tracebuffer_outdated_pods 23", "tracebuffer_current_pods 12"];
    assert_has(&text(&metrics), &lines);
}

#[test]
fn a_reason_that_no_longer_has_pods_is_shown_as_zero() {
    let metrics = ControllerMetrics::new();
    metrics.missing_pods(&BTreeMap::from([("WebhookNotCalled", 3), ("HostNetwork", 1)]));

    metrics.missing_pods(&BTreeMap::from([("HostNetwork", 2)]));

    assert_has(
        &text(&metrics),
        &[
            "tracebuffer_uninjected_pods{cause=\"WebhookNotCalled\"} 0",
            "tracebuffer_uninjected_pods{cause=\"HostNetwork\"} 2",
        ],
    );
}

#[test]
fn pods_are_shown_while_this_replica_leads() {
    let metrics = ControllerMetrics::new();
    assert!(!text(&metrics).contains("outdated_pods"));

    metrics.missing_pods(&BTreeMap::from([("HostNetwork", 2)]));
    assert_has(&text(&metrics), &["tracebuffer_outdated_pods 0", "tracebuffer_current_pods 0"]);

    ReconcileMonitor::leadership_lost(&metrics);
    assert!(!text(&metrics).contains("_pods"), "{}", text(&metrics));
}

#[test]
fn the_expiry_of_stored_certificates_and_failures_are_shown() {
    let metrics = ControllerMetrics::new();

    metrics.stored(Duration::from_secs(2_000), Duration::from_secs(1_000));
    metrics.failed();

    assert_has(
        &text(&metrics),
        &[
            "tracebuffer_stored_certificate_expiry_timestamp_seconds{certificate=\"authority\"} 2000.0",
            "tracebuffer_stored_certificate_expiry_timestamp_seconds{certificate=\"leaf\"} 1000.0",
            "tracebuffer_certificate_failures_total 1",
        ],
    );
}

/// The two leases may be held by two replicas.
#[test]
fn the_stored_expiry_is_shown_by_the_replica_that_maintains_the_certificates() {
    const EXPIRY: &str = "tracebuffer_stored_certificate_expiry_timestamp_seconds{";
    let metrics = ControllerMetrics::new();
    metrics.stored(Duration::from_secs(2_000), Duration::from_secs(1_000));
    assert!(text(&metrics).contains(EXPIRY));

    CertificateMonitor::leadership_lost(&metrics);

    assert!(!text(&metrics).contains(EXPIRY));
}
