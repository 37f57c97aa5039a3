//! The metrics as text, gathered at each scrape.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    CounterValueEncoder, DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue,
    GaugeValueEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::metrics::Metrics;
use super::process::ProcessStats;
use crate::ports::buffer::BufferStatus;

/// Content type of the `OpenMetrics` format.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Content type of Prometheus's own text format.
pub(super) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything one scrape tells.
pub(super) struct Scrape<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) status: BufferStatus,
    pub(super) open_connections: u64,
    pub(super) process: ProcessStats,
}

/// Label names and values, all from closed sets.
type Labels = Vec<(&'static str, &'static str)>;

/// One metric family with its samples.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<(Labels, Value)>,
}

/// A number that is written as what it is.
#[derive(Clone, Copy, Debug)]
enum Value {
    Whole(u64),
    Real(f64),
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Scrape<'_> {
    /// Returns the `OpenMetrics` text.
    pub(super) fn openmetrics(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register(
            "tracebuffer_exporter_send_duration_seconds",
            "Time from sending a request to the destination's answer",
            self.metrics.send_seconds.clone(),
        );
        let mut families = self.receiver();
        families.extend(self.buffer());
        families.extend(self.exporter());
        families.extend(self.process());
        registry.register_collector(Box::new(Families(families)));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }

    /// Returns the text in Prometheus's older format.
    pub(super) fn prometheus(&self) -> Result<String, fmt::Error> {
        self.openmetrics().map(|text| as_prometheus(&text))
    }

    fn receiver(&self) -> Vec<Family> {
        let accepted = self.metrics.accepted_spans();
        let refused = self.metrics.refused_spans();
        let answered = self.metrics.answered_requests().into_iter();
        vec![
            counter(
                "tracebuffer_receiver_accepted_spans",
                "Spans taken into the buffer and acknowledged",
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
                "tracebuffer_receiver_requests",
                "Requests answered, by gRPC code or HTTP status",
                answered
                    .map(|((name, code), n)| (vec![("transport", name), ("code", code)], n))
                    .collect(),
            ),
            gauge(
                "tracebuffer_receiver_connections",
                "Connections open",
                Value::Whole(self.open_connections),
            ),
        ]
    }

    fn buffer(&self) -> Vec<Family> {
        let BufferStatus { ledger, limits, charged_bytes, oldest_age } = &self.status;
        let age = oldest_age.unwrap_or_default().as_secs_f64();
        let dropped = ledger.drops();
        vec![
            gauge(
                "tracebuffer_buffer_spans",
                "Spans waiting in the buffer",
                Value::Whole(ledger.buffered),
            ),
            gauge(
                "tracebuffer_buffer_bytes",
                "Bytes charged to the limit, spans being sent included",
                Value::Whole(*charged_bytes),
            ),
            gauge(
                "tracebuffer_buffer_capacity_spans",
                "Most spans held, those being sent included",
                Value::Whole(limits.max_spans.get()),
            ),
            gauge(
                "tracebuffer_buffer_capacity_bytes",
                "Most bytes held, those being sent included",
                Value::Whole(limits.max_bytes.get()),
            ),
            gauge(
                "tracebuffer_buffer_oldest_age_seconds",
                "Age of the oldest span held; 0 when there is none",
                Value::Real(age),
            ),
            counter(
                "tracebuffer_dropped_spans",
                "Accepted spans that were lost",
                dropped.map(|(reason, n)| (vec![("reason", reason.as_str())], n)).collect(),
            ),
        ]
    }

    fn exporter(&self) -> Vec<Family> {
        let ledger = &self.status.ledger;
        let failed = self.metrics.failed_sends().into_iter().map(|((code, permanent), n)| {
            let permanent = if permanent { "true" } else { "false" };
            (vec![("code", code), ("permanent", permanent)], n)
        });
        let last_success = self.metrics.news().last_success.and_then(seconds).unwrap_or_default();
        vec![
            counter(
                "tracebuffer_exporter_sent_spans",
                "Spans the destination took",
                vec![(vec![], ledger.sent)],
            ),
            counter(
                "tracebuffer_exporter_rejected_spans",
                "Spans delivered but rejected by the destination (partial success)",
                vec![(vec![], ledger.rejected)],
            ),
            gauge(
                "tracebuffer_exporter_in_flight_spans",
                "Spans on their way to the destination",
                Value::Whole(ledger.in_flight),
            ),
            counter(
                "tracebuffer_exporter_send_failed_requests",
                "Requests the destination did not take; permanent when they must not be repeated",
                failed.collect(),
            ),
            gauge(
                "tracebuffer_exporter_last_success_timestamp_seconds",
                "When the destination last took a request; 0 when never",
                Value::Real(last_success),
            ),
        ]
    }

    fn process(&self) -> Vec<Family> {
        let ProcessStats {
            cpu_seconds,
            resident_bytes,
            virtual_bytes,
            open_fds,
            max_fds,
            threads,
            start_seconds,
        } = &self.process;
        let whole = |value: &Option<u64>| value.map(Value::Whole);
        let mut families = vec![Family {
            name: "tracebuffer_build_info",
            help: "The version that runs",
            kind: MetricType::Gauge,
            samples: vec![(vec![("version", env!("CARGO_PKG_VERSION"))], Value::Whole(1))],
        }];
        families.extend(cpu_seconds.map(|seconds| Family {
            kind: MetricType::Counter,
            ..gauge("process_cpu_seconds", "User and system CPU time", Value::Real(seconds))
        }));
        let gauges = [
            ("process_resident_memory_bytes", "Resident memory", whole(resident_bytes)),
            ("process_virtual_memory_bytes", "Virtual memory", whole(virtual_bytes)),
            ("process_open_fds", "Open file descriptors", whole(open_fds)),
            ("process_max_fds", "Most open file descriptors allowed", whole(max_fds)),
            ("process_threads", "Threads", whole(threads)),
            (
                "process_start_time_seconds",
                "When the process started, since the Unix epoch",
                start_seconds.map(Value::Real),
            ),
        ];
        families.extend(
            gauges.into_iter().filter_map(|(name, help, value)| Some(gauge(name, help, value?))),
        );
        families
    }
}

/// A counter; the encoder adds `_total` to its name.
fn counter(name: &'static str, help: &'static str, samples: Vec<(Labels, u64)>) -> Family {
    let samples = samples.into_iter().map(|(labels, n)| (labels, Value::Whole(n))).collect();
    Family { name, help, kind: MetricType::Counter, samples }
}

fn gauge(name: &'static str, help: &'static str, value: Value) -> Family {
    Family { name, help, kind: MetricType::Gauge, samples: vec![(vec![], value)] }
}

fn seconds(time: SystemTime) -> Option<f64> {
    Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64())
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for Family { name, help, kind, samples } in &self.0 {
            let help = format!("{help}.");
            let mut family = encoder.encode_descriptor(name, &help, None, *kind)?;
            for (labels, value) in samples {
                if labels.is_empty() {
                    value.encode(&mut family, *kind)?;
                } else {
                    value.encode(&mut family.encode_family(labels)?, *kind)?;
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, encoder: &mut MetricEncoder, kind: MetricType) -> Result<(), fmt::Error> {
        match kind {
            MetricType::Counter => encoder.encode_counter::<NoLabelSet, _, f64>(self, None),
            _ => encoder.encode_gauge(self),
        }
    }
}

impl EncodeCounterValue for Value {
    fn encode(&self, encoder: &mut CounterValueEncoder) -> Result<(), fmt::Error> {
        match self {
            Self::Whole(value) => EncodeCounterValue::encode(value, encoder),
            Self::Real(value) => EncodeCounterValue::encode(value, encoder),
        }
    }
}

impl EncodeGaugeValue for Value {
    fn encode(&self, encoder: &mut GaugeValueEncoder) -> Result<(), fmt::Error> {
        match self {
            Self::Whole(value) => EncodeGaugeValue::encode(value, encoder),
            Self::Real(value) => EncodeGaugeValue::encode(value, encoder),
        }
    }
}

/// Turns `OpenMetrics` into Prometheus's older text format: there, a counter's family is named with
/// its `_total`, and there is no end mark.
fn as_prometheus(openmetrics: &str) -> String {
    let counters: Vec<&str> = openmetrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines().filter(|line| *line != "# EOF") {
        text.push_str(&as_prometheus_line(line, &counters));
        text.push('\n');
    }
    text
}

fn as_prometheus_line(line: &str, counters: &[&str]) -> String {
    for keyword in ["# HELP ", "# TYPE "] {
        if let Some((name, rest)) = line.strip_prefix(keyword).and_then(|l| l.split_once(' '))
            && counters.contains(&name)
        {
            return format!("{keyword}{name}_total {rest}");
        }
    }
    line.to_owned()
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
