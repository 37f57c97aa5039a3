use std::num::NonZeroU64;
use std::time::Duration;

use super::*;
use crate::domain::delivery::{Failure, FailureKind};
use crate::domain::ledger::{DropReason, Ledger};
use crate::domain::limits::BufferLimits;
use crate::ports::monitor::{Monitor, Transport};

fn status() -> BufferStatus {
    let mut ledger = Ledger::default();
    (ledger.accepted, ledger.sent, ledger.rejected) = (10, 3, 1);
    (ledger.buffered, ledger.in_flight) = (2, 1);
    ledger.add_dropped(DropReason::Overflow, 3);
    BufferStatus {
        ledger,
        limits: BufferLimits {
            max_spans: NonZeroU64::new(50).unwrap(),
            max_bytes: NonZeroU64::new(4_096).unwrap(),
            max_age: None,
        },
        charged_bytes: 640,
        oldest_age: Some(Duration::from_millis(1_500)),
    }
}

fn scrape(metrics: &Metrics) -> Scrape<'_> {
    let process = ProcessStats { cpu_seconds: Some(1.25), ..ProcessStats::default() };
    Scrape { metrics, status: status(), open_connections: 4, process }
}

fn assert_has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|each| each == *line), "no line `{line}` in\n{text}");
    }
}

#[test]
fn the_ledger_and_the_limits_are_exposed() {
    let text = scrape(&Metrics::new()).exposition().openmetrics().unwrap();

    assert_has(
        &text,
        &[
            "tracebuffer_buffer_spans 2",
            "tracebuffer_buffer_bytes 640",
            "tracebuffer_buffer_capacity_spans 50",
            "tracebuffer_buffer_capacity_bytes 4096",
            "tracebuffer_buffer_oldest_age_seconds 1.5",
            "tracebuffer_dropped_spans_total{reason=\"overflow\"} 3",
            "tracebuffer_dropped_spans_total{reason=\"shutdown\"} 0",
            "tracebuffer_exporter_sent_spans_total 3",
            "tracebuffer_exporter_rejected_spans_total 1",
            "tracebuffer_exporter_in_flight_spans 1",
            "tracebuffer_receiver_connections 4",
            "process_cpu_seconds_total 1.25",
        ],
    );
}

#[test]
fn counters_are_exposed_with_their_labels() {
    let metrics = Metrics::new();
    metrics.accepted(Transport::Grpc, 7);
    let failure = Failure {
        kind: FailureKind::InvalidData,
        code: "INVALID_ARGUMENT",
        retry_after: None,
        message: "no".into(),
    };
    metrics.send_failed(&failure, Duration::from_millis(20));

    let text = scrape(&metrics).exposition().openmetrics().unwrap();

    assert_has(
        &text,
        &[
            "tracebuffer_receiver_accepted_spans_total{transport=\"grpc\"} 7",
            "tracebuffer_exporter_send_failed_requests_total{code=\"INVALID_ARGUMENT\",permanent=\"true\"} 1",
            "tracebuffer_exporter_send_duration_seconds_count 1",
        ],
    );
}

#[test]
fn a_metric_that_the_kernel_does_not_report_is_left_out() {
    let text = scrape(&Metrics::new()).exposition().openmetrics().unwrap();

    assert!(!text.contains("process_open_fds"));
}

#[test]
fn openmetrics_ends_with_eof_and_prometheus_does_not() {
    let metrics = Metrics::new();
    let scrape = scrape(&metrics);

    assert!(scrape.exposition().openmetrics().unwrap().ends_with("# EOF\n"));
    assert!(!scrape.exposition().prometheus().unwrap().contains("# EOF"));
}

#[test]
fn a_counters_family_has_its_full_name_in_the_prometheus_format_only() {
    let metrics = Metrics::new();
    let scrape = scrape(&metrics);

    assert_has(
        &scrape.exposition().openmetrics().unwrap(),
        &["# TYPE tracebuffer_exporter_sent_spans counter"],
    );
    assert_has(
        &scrape.exposition().prometheus().unwrap(),
        &[
            "# HELP tracebuffer_exporter_sent_spans_total Spans that the destination accepted.",
            "# TYPE tracebuffer_exporter_sent_spans_total counter",
            "# TYPE tracebuffer_buffer_spans gauge",
        ],
    );
}

#[test]
fn the_last_success_is_0_before_the_first_success_and_a_timestamp_afterwards() {
    let metrics = Metrics::new();
    let before = scrape(&metrics).exposition().openmetrics().unwrap();
    metrics.delivered(Duration::ZERO);
    let after = scrape(&metrics).exposition().openmetrics().unwrap();

    let line = "tracebuffer_exporter_last_success_timestamp_seconds 0.0";
    assert_has(&before, &[line]);
    assert!(!after.contains(line));
}
