//! The receiver's metrics.

use std::time::SystemTime;

use super::metrics::Metrics;
use crate::adapters::telemetry::exposition::{
    Exposition, MetricFamily, MetricValue, counter, gauge,
};
use crate::adapters::telemetry::process::ProcessStats;
use crate::ports::buffer::BufferStatus;

/// The data of one scrape.
pub(super) struct Scrape<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) status: BufferStatus,
    pub(super) open_connections: u64,
    pub(super) process: ProcessStats,
}

impl Scrape<'_> {
    /// Returns all metric families.
    pub(super) fn exposition(&self) -> Exposition {
        let mut exposition = Exposition::new(&self.process);
        exposition.histogram(
            "tracebuffer_exporter_send_duration_seconds",
            "Time from sending a request to the destination's response",
            &self.metrics.send_duration,
        );
        exposition.add(self.receiver());
        exposition.add(self.buffer());
        exposition.add(self.exporter());
        exposition
    }

    fn receiver(&self) -> Vec<MetricFamily> {
        let accepted = self.metrics.accepted_spans();
        let refused = self.metrics.refused_spans();
        let responses = self.metrics.response_counts().into_iter();
        vec![
            counter(
                "tracebuffer_receiver_accepted_spans",
                "Spans stored in the buffer and acknowledged",
                accepted.map(|(name, n)| (vec![("transport", name)], n)).collect(),
            ),
            counter(
                "tracebuffer_receiver_refused_spans",
                "Spans of well-formed requests that were not accepted",
                refused
                    .map(|(name, reason, n)| (vec![("transport", name), ("reason", reason)], n))
                    .collect(),
            ),
            counter(
                "tracebuffer_receiver_misdirected_requests",
                "Requests that held something other than spans, such as logs",
                self.metrics
                    .misdirected_requests()
                    .map(|(name, n)| (vec![("transport", name)], n))
                    .collect(),
            ),
            counter(
                "tracebuffer_receiver_requests",
                "Responses to requests, by gRPC code or HTTP status",
                responses
                    .map(|((name, code), n)| (vec![("transport", name), ("code", code)], n))
                    .collect(),
            ),
            gauge(
                "tracebuffer_receiver_connections",
                "Open connections",
                MetricValue::Integer(self.open_connections),
            ),
        ]
    }

    fn buffer(&self) -> Vec<MetricFamily> {
        let BufferStatus { ledger, limits, charged_bytes, oldest_age } = &self.status;
        let age = oldest_age.unwrap_or_default().as_secs_f64();
        let dropped = ledger.drops();
        vec![
            gauge(
                "tracebuffer_buffer_spans",
                "Spans queued in the buffer",
                MetricValue::Integer(ledger.buffered),
            ),
            gauge(
                "tracebuffer_buffer_bytes",
                "Bytes charged against the limit, spans being sent included",
                MetricValue::Integer(*charged_bytes),
            ),
            gauge(
                "tracebuffer_buffer_capacity_spans",
                "Maximum spans held, those being sent included",
                MetricValue::Integer(limits.max_spans.get()),
            ),
            gauge(
                "tracebuffer_buffer_capacity_bytes",
                "Maximum bytes held, those being sent included",
                MetricValue::Integer(limits.max_bytes.get()),
            ),
            gauge(
                "tracebuffer_buffer_oldest_age_seconds",
                "Age of the oldest span held; 0 if there is none",
                MetricValue::Float(age),
            ),
            counter(
                "tracebuffer_dropped_spans",
                "Accepted spans that were lost",
                dropped.map(|(reason, n)| (vec![("reason", reason.as_str())], n)).collect(),
            ),
        ]
    }

    fn exporter(&self) -> Vec<MetricFamily> {
        let ledger = &self.status.ledger;
        let failed = self.metrics.failed_sends().into_iter().map(|((code, permanent), n)| {
            let permanent = if permanent { "true" } else { "false" };
            (vec![("code", code), ("permanent", permanent)], n)
        });
        let last_success =
            self.metrics.destination_health().last_success.and_then(seconds).unwrap_or_default();
        vec![
            counter(
                "tracebuffer_exporter_sent_spans",
                "Spans that the destination accepted",
                vec![(vec![], ledger.sent)],
            ),
            counter(
                "tracebuffer_exporter_rejected_spans",
                "Spans that the destination rejected in a partial success",
                vec![(vec![], ledger.rejected)],
            ),
            gauge(
                "tracebuffer_exporter_in_flight_spans",
                "Spans being sent to the destination",
                MetricValue::Integer(ledger.in_flight),
            ),
            counter(
                "tracebuffer_exporter_send_failed_requests",
                "Failed requests to the destination; permanent if they must not be retried",
                failed.collect(),
            ),
            gauge(
                "tracebuffer_exporter_last_success_timestamp_seconds",
                "When the destination last accepted a request; 0 if never",
                MetricValue::Float(last_success),
            ),
        ]
    }
}

fn seconds(time: SystemTime) -> Option<f64> {
    Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64())
}

#[cfg(test)]
mod tests;
